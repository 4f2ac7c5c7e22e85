"""Which meters are without supply, as far as a gateway can know (pure: no clock, no database).

Times come in twice: UTC seconds for what is written down, and steady seconds, which nobody can
set, for how long something lasted. So a clock that jumps dates a record wrongly and opens none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.outages.area_outages import Areas
from gateway.outages.outage_records import (
    GATEWAY,
    MERGED,
    SAID_BY_BOOT,
    SAID_BY_GATEWAY,
    SAID_BY_METER,
    Now,
    Outage,
    Rules,
    Told,
    same_outages,
)

GASP_FRESH_S = 60  # an older last gasp was sent again after the supply came back: no news
OPENS_A_LOOK_MAX = 2000  # by silence and grace; the rest at the next look, so that none takes long
GASP_QUIET_S = 10  # what a dying capacitor still sends is no restoration

# States of a meter.
UNWATCHED, WELL, SUSPECTED, OUT = "unwatched", "well", "suspected", "out"
# What happens to it.
HERE, HEARD, LINE_DIED, GASPED = "here", "heard", "line_died", "gasped"
GRACE_OVER, SILENT, TOLD, REMOVED = "grace_over", "silent", "told", "removed"

# (state, what happens) -> state. docs/outages.md shows this table; a test compares them.
TABLE = {
    (UNWATCHED, HERE): UNWATCHED,
    (UNWATCHED, LINE_DIED): UNWATCHED,
    (UNWATCHED, HEARD): WELL,
    (UNWATCHED, GASPED): OUT,
    (UNWATCHED, TOLD): WELL,
    (UNWATCHED, REMOVED): UNWATCHED,
    (WELL, HERE): WELL,
    (WELL, HEARD): WELL,
    (WELL, LINE_DIED): SUSPECTED,
    (WELL, GASPED): OUT,
    (WELL, SILENT): OUT,
    (WELL, TOLD): WELL,  # an outage that nobody had noticed
    (WELL, REMOVED): UNWATCHED,
    (SUSPECTED, HERE): WELL,
    (SUSPECTED, HEARD): WELL,
    (SUSPECTED, LINE_DIED): SUSPECTED,
    (SUSPECTED, GASPED): OUT,
    (SUSPECTED, GRACE_OVER): OUT,
    (SUSPECTED, SILENT): OUT,
    (SUSPECTED, TOLD): WELL,
    (SUSPECTED, REMOVED): UNWATCHED,
    (OUT, HERE): OUT,  # a session proves the password, a frame proves the meter
    (OUT, LINE_DIED): OUT,
    (OUT, GASPED): OUT,
    (OUT, HEARD): WELL,
    (OUT, TOLD): WELL,
    (OUT, REMOVED): UNWATCHED,
}

CAUSES = {GASPED: "last_gasp", GRACE_OVER: "last_will", SILENT: "silence", TOLD: "meter"}


@dataclass(slots=True)
class Watched:
    """What is remembered of one meter between its frames; times are steady."""

    state: str
    heard_at: int
    died_at: int = 0
    grace_from: int = 0
    quiet_until: int = -1
    outage: Outage | None = None


class Watch:
    """Every meter's state and every open outage.

    After each call `areas.changed` has the records to write and `areas.tells` the notices to
    send; who calls takes both. `look` comes last: it finds silence and lets notices out.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.area_of: Mapping[bytes, str] = {}
        self.meters: dict[bytes, Watched] = {}
        self.areas = Areas(rules)

    def count(self, state: str) -> int:
        """How many meters are in a state."""
        return sum(watched.state == state for watched in self.meters.values())

    # -- what happens to a meter

    def here(self, meter_id: bytes, now: Now) -> None:
        """Its session began."""
        self._go(meter_id, HERE, now)

    def heard(self, meter_id: bytes, heard_at: int, now: Now) -> None:
        """A frame of it was accepted, taken at this steady second."""
        watched = self._of(meter_id, heard_at)
        watched.heard_at = max(watched.heard_at, heard_at)
        if watched.state == SUSPECTED and heard_at <= watched.died_at:
            return  # sent before the line died, committed after
        if watched.state == OUT and heard_at <= watched.quiet_until:
            return
        self._go(meter_id, HEARD, now)

    def line_died(self, meter_id: bytes, died_at: int, now: Now) -> None:
        """Its session ended with its last will, at this steady second."""
        watched = self._of(meter_id, died_at)
        watched.died_at = watched.grace_from = died_at
        self._go(meter_id, LINE_DIED, now)

    def gasped(self, meter_id: bytes, at_s: int, received_s: int, now: Now) -> None:
        """Its last gasp came, dated at_s (0: it did not know the time)."""
        began_s = at_s if 0 < at_s <= received_s else received_s
        if received_s - began_s > GASP_FRESH_S:
            return
        watched = self._spoke(meter_id, now)
        watched.quiet_until = now.steady_s + GASP_QUIET_S
        self._go(meter_id, GASPED, now, began_s)

    def told(self, meter_id: bytes, told: Told, records: Sequence[Outage], now: Now) -> None:
        """It says of an outage that it is over (`dated` before): the truth for begin and end.

        `records` are the meter's closed ones around that time. Makes or corrects one record.
        """
        watched = self._spoke(meter_id, now)
        mine = [watched.outage] if watched.outage is not None else []
        same = same_outages(told, [*mine, *records])
        if watched.outage is None or watched.outage in same:
            self._go(meter_id, TOLD, now)
        if same:
            record = same[-1]  # the oldest: notices of it may be out
        else:
            record = self._record(meter_id, TOLD, told.began_s, now)
        for other in same[:-1]:
            other.end_why = MERGED
            self.areas.changed[other] = None
        record.began_s, record.ended_s = told.began_s, told.began_s + told.duration_s
        record.said_by, record.number, record.end_why = SAID_BY_METER, told.number, TOLD
        self.areas.changed[record] = None

    def booted(self, at_s: int, records: Sequence[Outage]) -> None:
        """It was switched on at `at_s`: the end of a record that a later frame has closed."""
        for record in records:
            if record.said_by != SAID_BY_GATEWAY or record.ended_s is None:
                continue
            if record.began_s <= at_s <= record.ended_s:
                record.ended_s, record.said_by = at_s, SAID_BY_BOOT
                self.areas.changed[record] = None
                return

    def removed(self, meter_id: bytes, now: Now) -> None:
        """Nobody expects anything of it any more: revoked or decommissioned."""
        if meter_id in self.meters:
            self._go(meter_id, REMOVED, now)
            del self.meters[meter_id]

    def rested(self, now: Now) -> None:
        """The gateway itself heard nothing for a while: silence and grace count from now on."""
        for watched in self.meters.values():
            watched.heard_at = max(watched.heard_at, now.steady_s)
            watched.grace_from = max(watched.grace_from, now.steady_s)

    # -- what time does

    def look(self, now: Now) -> None:
        """Find who is silent and whose grace is over; form and end area outages; tell."""
        reached = opened = 0
        grace_over_at = now.steady_s - self.rules.grace_s
        silent_at = now.steady_s - self.rules.silence_s
        for meter_id, watched in self.meters.items():
            if watched.state not in (WELL, SUSPECTED):
                continue
            if opened == OPENS_A_LOOK_MAX:
                reached += 1
            elif watched.state == SUSPECTED and watched.grace_from < grace_over_at:
                self._go(meter_id, GRACE_OVER, now)
                opened += 1
            elif watched.heard_at < silent_at:
                self._go(meter_id, SILENT, now)
                opened += 1
            else:
                reached += 1
        self.areas.look(reached, now)

    # -- how

    def restore(self, outages: Sequence[Outage], heard: Mapping[bytes, int], now: Now) -> None:
        """Begin with these open outages of the database, and with when each meter was heard."""
        self.meters = {
            meter_id: Watched(WELL, heard_at, died_at=now.steady_s)
            for meter_id, heard_at in heard.items()
        }
        for outage in outages:
            watched = self._of(outage.meter_id, now.steady_s)
            watched.state, watched.outage = OUT, outage

    def _of(self, meter_id: bytes, at: int) -> Watched:
        watched = self.meters.get(meter_id)
        if watched is None:
            watched = self.meters[meter_id] = Watched(UNWATCHED, at)
        return watched

    def _spoke(self, meter_id: bytes, now: Now) -> Watched:
        """An event of it came: it is not silent, even if `heard` says so only later."""
        watched = self._of(meter_id, now.steady_s)
        watched.heard_at = max(watched.heard_at, now.steady_s)
        return watched

    def _go(self, meter_id: bytes, what: str, now: Now, began_s: int | None = None) -> None:
        """Take one step of the table; entering OUT opens a record, leaving it closes it."""
        watched = self._of(meter_id, now.steady_s)
        was, watched.state = watched.state, TABLE[watched.state, what]
        if watched.state == OUT and was != OUT:
            began_at = {SILENT: watched.heard_at, GRACE_OVER: watched.died_at}.get(
                what, now.steady_s
            )
            began_s = now.utc_of(began_at) if began_s is None else began_s
            watched.outage = self._record(meter_id, what, began_s, now)
            watched.outage.began_at = now.steady_s - (now.utc_s - began_s)
        elif was == OUT and watched.state != OUT:
            outage, watched.outage = watched.outage, None
            assert outage is not None, "OUT has an outage"
            _close(outage, what, now)
            self.areas.closed(outage)

    def _record(self, meter_id: bytes, what: str, began_s: int, now: Now) -> Outage:
        area = self.area_of.get(meter_id, GATEWAY)
        outage = Outage(meter_id, area, CAUSES[what], began_s, now.utc_s, now.steady_s)
        self.areas.opened(outage)
        return outage


def _close(outage: Outage, why: str, now: Now) -> None:
    """End a record now; its length is by the steady clock where that saw the begin."""
    ended_s = now.utc_s
    if outage.began_at is not None:
        ended_s = outage.began_s + now.steady_s - outage.began_at
    outage.ended_s, outage.end_why = max(outage.began_s, ended_s), why
