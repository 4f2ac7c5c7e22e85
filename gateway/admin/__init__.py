"""The gateway as a service: admin interface, metrics, health, checks of the configuration."""
