"""Frozen: MicroPython runs this at power-on, with /config.json and /ca.der in the root."""

from boards import olimex_esp32_poe

olimex_esp32_poe.main([])
