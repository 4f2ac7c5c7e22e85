"""The serial line to a board: which ports there are, what is on one, and its prompt."""
