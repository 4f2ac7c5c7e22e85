"""Parts that boards are made of; the only place besides a board that may name hardware."""
