"""Tests of the wire that need CPython: independent libraries and random search."""
