"""Frozen: MicroPython runs this at power-on, with /config.json and /ca.der in the root."""

from boards import esp32c3_supermini

esp32c3_supermini.main([])
