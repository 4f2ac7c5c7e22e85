"""Tests of the meter that need CPython: reading its source, starting it as a process."""
