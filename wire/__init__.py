"""What the programs say to each other; runs on CPython and on MicroPython."""
