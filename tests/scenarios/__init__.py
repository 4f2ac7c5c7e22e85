"""Scenario folders: what is given, and what it comes to."""
