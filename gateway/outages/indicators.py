"""How well meters communicate: completeness, timeliness, correctness, as the market counts them.

The three are CSIRE's (Dz.U. 2022 poz. 234, section 8), counted here in load profile intervals:
delivered of required, in time of delivered, correct of delivered; over 1 day, 5 days, 1 month.
Days are UTC days, whole ones, the last being yesterday: the gateway knows no local time. So a day
always has 24 hours here, and differs from the civil day by one or two hours at its ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.journal import Row
from wire import messages
from wire.keys import UP
from wire.messages import Profile
from wire.quality import IMPLAUSIBLE, MEASURED, MISSING, grade

DAY_S = 86_400
PERIODS = {"1_day": 1, "5_days": 5, "1_month": 30}  # whole UTC days up to yesterday
TIMELY_S = DAY_S  # an interval is in time when it came within a day after its end
KEEP_DAYS = 62
PRUNE_ROWS = 2000
PERMILLE = 1000

_PROFILE_KIND = 1  # second byte of a message that is a profile (wire.cddl)


class Came(NamedTuple):
    """One interval that came, with what it counts as."""

    start_s: int
    capture_period_s: int
    timely: bool
    measured: bool


class Counts(NamedTuple):
    """Intervals of one meter, or of many, in some days."""

    required: int = 0
    received: int = 0
    timely: int = 0
    measured: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(mine + its for mine, its in zip(self, other, strict=True)))


def intervals_of(row: Row) -> list[Came]:
    """What a journal row brought; nothing unless it is a profile.

    An interval that the meter itself calls missing did not come. Correct is one that is measured
    and not implausible.
    """
    if row.message[1:2] != bytes((_PROFILE_KIND,)):
        return []
    profile = messages.decode(row.message, UP)
    assert isinstance(profile, Profile)
    period_s = profile.capture_period_s
    came = []
    for index, quality in enumerate(profile.quality):
        if grade(quality) != MISSING:
            start_s = profile.start_s + index * period_s
            timely = row.received_s <= start_s + period_s + TIMELY_S
            measured = grade(quality) == MEASURED and not quality & IMPLAUSIBLE
            came.append(Came(start_s, period_s, timely, measured))
    return came


class Days:
    """Bits to be set in quality_day: gathered from many rows, written once."""

    def __init__(self) -> None:
        self.bits: dict[tuple[bytes, int, int], list[int]] = {}
        self.spans: dict[bytes, tuple[int, int, int]] = {}  # first start, last end, its period

    def add(self, meter_id: bytes, came: Iterable[Came]) -> None:
        """Take what one row brought; an interval that comes twice counts once."""
        for one in came:
            day, second = divmod(one.start_s, DAY_S)
            bit = 1 << second // one.capture_period_s
            bits = self.bits.setdefault((meter_id, day, one.capture_period_s), [0, 0, 0])
            bits[0] |= bit
            bits[1] |= bit * one.timely
            bits[2] |= bit * one.measured
            end_s = one.start_s + one.capture_period_s
            first_s, last_s, period_s = self.spans.get(meter_id, (one.start_s, 0, 0))
            if end_s > last_s:
                last_s, period_s = end_s, one.capture_period_s
            self.spans[meter_id] = (min(first_s, one.start_s), last_s, period_s)

    def write(self, connection: sqlite3.Connection) -> None:
        """Set them, beside those that are set."""
        for (meter_id, day, period_s), bits in self.bits.items():
            found = connection.execute(
                "SELECT received, timely, measured FROM quality_day"
                " WHERE meter_id = ? AND day = ? AND capture_period_s = ?",
                (meter_id, day, period_s),
            ).fetchone()
            for index, blob in enumerate(found or ()):
                bits[index] |= int.from_bytes(blob, "little")
            size = (-(-DAY_S // period_s) + 7) // 8
            blobs = [each.to_bytes(size, "little") for each in bits]
            connection.execute(
                "INSERT OR REPLACE INTO quality_day VALUES (?, ?, ?, ?, ?, ?)",
                (meter_id, day, period_s, *blobs),
            )
        connection.executemany(
            "INSERT INTO quality_meter VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET"
            " first_s = min(first_s, ?2),"
            " capture_period_s = iif(?3 > last_s, ?4, capture_period_s), last_s = max(last_s, ?3)",
            [(meter_id, *span) for meter_id, span in self.spans.items()],
        )


def required(first_s: int, from_s: int, to_s: int) -> int:
    """How many seconds of [from_s, to_s) must be covered by a meter whose first interval began so.

    What it never measured cannot be missing; everything after its first interval can.
    """
    return max(0, to_s - max(from_s, first_s))


def count(
    first_s: int, period_s: int, days: Sequence[tuple[int, int, bytes, bytes, bytes]],
    from_s: int, to_s: int,
) -> Counts:  # fmt: skip
    """A meter's counts from its quality_day rows (period, day, bits): what is missing counts too.

    Missing time is counted in intervals of the meter's newest capture period.
    """
    received = timely = measured = covered_s = 0
    for capture_period_s, day, *blobs in days:
        if from_s <= day * DAY_S < to_s:
            bits = [int.from_bytes(blob, "little").bit_count() for blob in blobs]
            received += bits[0]
            timely += bits[1]
            measured += bits[2]
            covered_s += bits[0] * capture_period_s
    missing_s = max(0, required(first_s, from_s, to_s) - covered_s)
    return Counts(received + -(-missing_s // period_s), received, timely, measured)


def rows(
    connection: sqlite3.Connection, now_s: int, meter_id: bytes | None = None
) -> list[dict[str, object]]:
    """The indicators of one meter, or of every active one, for each of PERIODS."""
    today = now_s // DAY_S
    found = []
    for known, first_s, period_s in connection.execute(
        "SELECT meter_id, first_s, capture_period_s FROM quality_meter"
        " JOIN meter USING (meter_id)"
        " WHERE ?1 IS NULL AND state = 'active' OR meter_id = ?1 ORDER BY meter_id",
        (meter_id,),
    ).fetchall():
        days = connection.execute(
            "SELECT capture_period_s, day, received, timely, measured FROM quality_day"
            " WHERE meter_id = ? AND day >= ?",
            (known, today - max(PERIODS.values())),
        ).fetchall()
        for name, length in PERIODS.items():
            counts = count(first_s, period_s, days, (today - length) * DAY_S, today * DAY_S)
            found.append({"meter_id": known.hex(), "period": name} | to_dict(counts))
    return found


def overall(connection: sqlite3.Connection, now_s: int) -> list[dict[str, object]]:
    """The indicators of all active meters together."""
    sums = dict.fromkeys(PERIODS, Counts())
    for row in rows(connection, now_s):
        counts = Counts(*(int(str(row[name])) for name in Counts._fields))
        sums[str(row["period"])] = sums[str(row["period"])].plus(counts)
    return [{"meter_id": None, "period": name} | to_dict(counts) for name, counts in sums.items()]


def to_dict(counts: Counts) -> dict[str, object]:
    """The counts and the three indicators, in per mille rounded down; None where nothing is due."""
    return {
        **counts._asdict(),
        "completeness_permille": permille(counts.received, counts.required),
        "timeliness_permille": permille(counts.timely, counts.received),
        "correctness_permille": permille(counts.measured, counts.received),
    }


def permille(part: int, whole: int) -> int | None:
    """Rounded down, so that 1000 means all; None when there is no whole, which is not zero."""
    return part * PERMILLE // whole if whole else None


def prune(connection: sqlite3.Connection, now_s: int) -> None:
    """Delete some days that no indicator looks at any more."""
    connection.execute(
        "DELETE FROM quality_day WHERE (meter_id, day, capture_period_s) IN (SELECT meter_id, day,"
        " capture_period_s FROM quality_day WHERE day < ? LIMIT ?)",
        (now_s // DAY_S - KEEP_DAYS, PRUNE_ROWS),
    )
