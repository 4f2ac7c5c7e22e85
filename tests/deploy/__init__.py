"""How the gateway is run by systemd: the unit's sandbox, and its command as it stands there."""
