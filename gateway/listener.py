"""What the parts of the gateway hear of meters besides their profiles: the seam they hang on."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wire.messages import Event, Live, Registers, Result, Status

if TYPE_CHECKING:
    from gateway.audit import Act
    from gateway.meter import Meter


class Said(NamedTuple):
    """A message other than a profile, accepted from a meter. The journal keeps it, too."""

    meter: Meter
    key_epoch: int
    frame_counter: int
    received_s: int
    message: Event | Live | Registers | Result | Status


class Line(Protocol):
    """The way to meters: the connection of one, or the broker's of all."""

    acks: bytearray  # PUBACKs that wait for the commit

    def hears(self, meter: Meter) -> bool:
        """Whether the meter listens to its down topic, as far as we know."""

    def send(self, data: bytes) -> None:
        """Write MQTT packets; dropped when the line is gone."""

    def pause(self) -> None:
        """Take no more from it for now."""

    def resume(self) -> None: ...


class Listener:
    """Does nothing; a part overrides what it wants to hear.

    All but `write` are called on the loop and must not block. A restart forgets what was only
    heard: what must survive is written in `write`.
    """

    def here(self, meter: Meter) -> None:
        """The meter's session began (`meter.line`)."""

    def gone(self, meter: Meter, why: str, will: bytes | None) -> None:
        """Its session ended; `will` when its last will counts."""

    def write(self, connection: sqlite3.Connection, said: list[Said], now_s: int) -> None:
        """On the store's thread, in the transaction that makes these messages durable."""

    def committed(self, meters: Collection[Meter], said: list[Said]) -> None:
        """New frames of these meters are durable now, these messages among them."""

    def proven(self, meter: Meter, key_epoch: int) -> None:
        """The first frame of this key epoch is durable; the meter's older epochs are retired."""

    def acted(self, act: Act) -> None:
        """Somebody administered something: a row of the audit log, at most some seconds ago."""

    def recovered(self) -> None:
        """The store took no writes for a while: what was heard meanwhile may not be written."""
