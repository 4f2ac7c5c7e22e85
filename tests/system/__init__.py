"""Real processes on loopback: a meter on MicroPython, a gateway, settlement, an invoice."""
