"""What is known of an outage: the records, when a meter's word is true and of which (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

MATCH_S = 120  # a meter dates an outage by its last save, up to 60 s before the supply went
OUTAGE_S_MAX = 10 * 366 * 86_400  # longer is a broken clock
AHEAD_S_MAX = 86_400
BEGAN_S_MIN = 1_577_836_800  # 2020, as in wire.messages

GATEWAY = "gateway"  # the area of the meters that were put into none
UNREACHED = "gateway_unreached"  # most meters vanished at once: our line, not their supply
EVERY = "*"  # of a planned outage: all meters

SAID_BY_GATEWAY, SAID_BY_BOOT, SAID_BY_METER = "gateway", "boot", "meter"
MERGED = "merged"  # end_why of a record that another one holds

OPENED, CLOSED = "opened", "closed"  # what a notice says; also how far an outage was told
PLANNED = "planned"  # nobody was told: it was known before


class Now(NamedTuple):
    """One moment on both clocks, in whole seconds."""

    utc_s: int
    steady_s: int

    def utc_of(self, steady_s: int) -> int:
        return self.utc_s - (self.steady_s - steady_s)


class Rules(NamedTuple):
    """The numbers of [outages] in gateway.toml."""

    silence_s: int = 3600
    grace_s: int = 60
    area_meters: int = 3
    area_window_s: int = 120


class Plan(NamedTuple):
    """A planned outage of an area, a meter (16 hex digits) or EVERY: recorded, not told."""

    subject: str
    from_s: int
    to_s: int
    text: str


@dataclass(slots=True, eq=False)
class AreaOutage:
    """Many meters of one area at once. Its members are the newest outage of each meter."""

    area: str
    opened_s: int
    opened_at: int  # steady
    ended_s: int | None = None
    told: str = ""
    end_why: str = ""
    row_id: int = 0
    members: dict[bytes, Outage] = field(default_factory=dict)

    @property
    def began_s(self) -> int:
        return min((member.began_s for member in self.members.values()), default=self.opened_s)

    @property
    def back(self) -> int:
        """How many of its meters have supply again."""
        return sum(member.ended_s is not None for member in self.members.values())


@dataclass(slots=True, eq=False)
class Outage:
    """One meter without supply, or without a word; `ended_s` is None while it lasts."""

    meter_id: bytes
    area: str
    cause: str
    began_s: int
    opened_s: int
    opened_at: int  # steady
    began_at: int | None = None  # steady; None when only UTC is known
    ended_s: int | None = None
    end_why: str = ""
    said_by: str = SAID_BY_GATEWAY
    number: int | None = None  # of the meter's own event
    told: str = ""
    row_id: int = 0
    group: AreaOutage | None = None


class Told(NamedTuple):
    """What a meter's own outage event says."""

    number: int
    began_s: int  # 0 where the meter did not know the time
    duration_s: int
    received_s: int


class Tell(NamedTuple):
    """A notice to be sent: this outage was OPENED or CLOSED."""

    what: str
    outage: Outage | AreaOutage


def dated(told: Told) -> Told | None:
    """The told outage with its begin; None when its numbers cannot be true."""
    began_s = told.began_s or told.received_s - told.duration_s
    possible = (
        0 <= told.duration_s <= OUTAGE_S_MAX
        and began_s >= BEGAN_S_MIN
        and began_s + told.duration_s <= told.received_s + AHEAD_S_MAX
    )
    return told._replace(began_s=began_s) if possible else None


def same_outages(told: Told, records: Iterable[Outage]) -> list[Outage]:
    """Those records that the told outage is the truth of, newest first.

    A record that a meter's event made true already is another outage.
    """
    end_s = told.began_s + told.duration_s
    return [
        record
        for record in sorted(records, key=lambda record: -record.began_s)
        if record.said_by != SAID_BY_METER
        and record.began_s <= end_s + MATCH_S
        and (record.ended_s is None or record.ended_s >= told.began_s - MATCH_S)
    ]
