"""The meter's tests; each file runs on CPython and on the MicroPython unix port."""
