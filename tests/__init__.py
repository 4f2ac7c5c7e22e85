"""The tests; a regular package so that no installed `tests` package can stand in its place."""
