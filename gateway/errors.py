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


class CommandRefused(UsageError):
    """A command is not queued, or not changed; `reason` names why, the text what to do."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


class MoveRefused(UsageError):
    """Shards are not given up or taken over; `reason` names why, the text what to do."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


class BrokerLost(GatewayError):
    """A broker is not reached or the connection to it ended: it is tried again by itself."""


class BrokerRefused(GatewayError):
    """A broker does not let us in, or not where we must be: correct what the text names."""


class PublishLost(GatewayError):
    """The connection to the broker ended before it acknowledged: send the same again."""


class PublishRefused(PublishLost):
    """The broker will not take this publish, however often it comes: set it aside."""
