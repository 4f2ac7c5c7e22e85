"""Tools for the person at the desk: set-up, checks, and (later) flashing and pairing."""
