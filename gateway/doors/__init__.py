"""Where frames come in: the embedded endpoint with its TLS and limits, and a broker."""
