"""Making the application small: what a device does not run goes, what is left has short names."""
