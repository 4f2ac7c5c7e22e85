"""Mój Licznik, the household's own page: hours of a day and invoices, rendered on the server."""
