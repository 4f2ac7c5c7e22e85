"""Scenario folders: what is given in files, settled by the rules, as what then comes of it."""
