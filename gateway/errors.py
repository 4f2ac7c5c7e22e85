"""Everything that can stop the gateway or one of its commands; each says what to do next."""

from __future__ import annotations


class GatewayError(Exception):
    """Printed as one line; the process ends with `exit_code`."""

    exit_code = 1


class ConfigError(GatewayError):
    """The configuration, or a file it names, is not usable: correct it and start again."""

    exit_code = 2


class UsageError(GatewayError):
    """A command was given something it cannot use: correct the input and repeat."""

    exit_code = 2


class MasterKeyError(ConfigError):
    """The master key file is missing, readable by others, or not the one that wrapped the keys."""


class PortInUse(GatewayError):
    """Another program listens on the endpoint's port: stop it or choose another port."""


class StoreError(GatewayError):
    """The database cannot be used."""


class StoreInUse(StoreError):
    """Another gateway runs on this database: stop it, or give this one its own [store] path."""


class NewerStore(StoreError):
    """The database was written by a newer version: install that version, or restore a backup."""


class DamagedStore(StoreError):
    """The database is not ours or is damaged: restore a backup; keep the file for inspection."""


class StoreFull(StoreError):
    """No space for the database: free some. Nothing is acknowledged until a write succeeds."""


class MeterExists(UsageError):
    """A meter with this id is registered already: choose another id, or keep the one there."""
