"""Boards: the only folder that may name hardware; each file hands itself to the meter."""
