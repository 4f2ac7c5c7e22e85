"""Frozen: MicroPython runs this at power-on, with /config.json and /ca.der in the root."""

from boards import esp32s3_devkit

esp32s3_devkit.main([])
