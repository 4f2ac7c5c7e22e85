"""The gateway and its publisher with a real mosquitto."""
