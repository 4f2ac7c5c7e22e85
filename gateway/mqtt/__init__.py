"""MQTT as bytes: what meters send us, and what we send as a client of a broker."""
