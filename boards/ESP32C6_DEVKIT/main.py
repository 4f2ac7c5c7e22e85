"""Frozen: MicroPython runs this at power-on, with /config.json and /ca.der in the root."""

from boards import esp32c6_devkit

esp32c6_devkit.main([])
