"""Locking a chip for good: eFuses, keys, steps that are not undone."""
