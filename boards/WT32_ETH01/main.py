"""Frozen: MicroPython runs this at power-on, with /config.json and /ca.der in the root."""

from boards import wt32_eth01

wt32_eth01.main([])
