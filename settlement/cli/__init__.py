"""Commands of the settlement service, a file for each kind of work; __main__.py runs them."""
