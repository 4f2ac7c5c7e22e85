"""Commands that come round: every so many seconds, or daily at a time of day (UTC)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from gateway import audit
from gateway.downlink import commands
from gateway.downlink.command_args import NAMES, READ_PROFILE_MAX
from gateway.errors import CommandRefused, StoreError
from gateway.registry import Registry
from gateway.store import Store
from wire import cbor, messages

SCHEDULES_MAX = 100
METERS_NAMED_MAX = 1000  # in one schedule; none named means every meter
EVERY_S_MIN = 60
EVERY_S_MAX = 366 * 86_400
DAY_S = 86_400
LOOK_S = 5.0  # between looks for rounds that are due
METERS_AT_A_TIME = 200  # in one transaction, which frames wait for

LIMIT, NOT_SCHEDULED, UNKNOWN_SCHEDULE = "limit", "not_scheduled", "unknown_schedule"

# What may come round. read_profile has one argument here: how many of the latest intervals.
CODES = {messages.COMMAND_READ_NOW, messages.COMMAND_READ_PROFILE, messages.COMMAND_SET_CLOCK}

log = structlog.get_logger()


class Schedule(NamedTuple):
    """A row of table `schedule`, as far as a round needs it."""

    schedule_id: int
    code: int
    args: tuple[Any, ...]
    meters: list[bytes]
    every_s: int | None
    daily_s: int | None
    jitter_s: int
    round_s: int | None
    reached: bytes | None

    @property
    def origin(self) -> str:
        """What its commands are known by."""
        return f"schedule {self.schedule_id}"


def next_s(every_s: int | None, daily_s: int | None, after_s: int) -> int:
    """The second of the next round after this one, UTC; rounds that were missed are left out."""
    if every_s is not None:
        return after_s + every_s
    assert daily_s is not None
    today_s = after_s - after_s % DAY_S + daily_s
    return today_s if today_s > after_s else today_s + DAY_S


def add(
    connection: sqlite3.Connection,
    code: int,
    args: tuple[int, ...],
    meters: list[bytes],
    *,
    every_s: int | None,
    daily_s: int | None,
    jitter_s: int,
    actor: str,
    now_s: int,
) -> int:
    """Keep a schedule; its number. No meters stands for all. Raises CommandRefused."""
    _check(code, args, meters, every_s, daily_s, jitter_s)
    if len(rows(connection)) >= SCHEDULES_MAX:
        raise CommandRefused(LIMIT, f"at most {SCHEDULES_MAX} schedules; remove one first")
    known = connection.execute(
        "INSERT INTO schedule (code, args, meters, every_s, daily_s, jitter_s, next_s, actor,"
        " added_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            code, cbor.encode(list(args)), json.dumps([one.hex() for one in meters]), every_s,
            daily_s, jitter_s, next_s(every_s, daily_s, now_s), actor, now_s,
        ),
    ).lastrowid  # fmt: skip
    assert known is not None
    detail: dict[str, object] = {"command": NAMES[code], "every_s": every_s, "daily_s": daily_s}
    audit.record(connection, actor, "schedule.add", str(known), detail, now_s)
    return known


def _check(
    code: int,
    args: tuple[int, ...],
    meters: list[bytes],
    every_s: int | None,
    daily_s: int | None,
    jitter_s: int,
) -> None:
    if code not in CODES:
        names = ", ".join(sorted(NAMES[one] for one in CODES))
        raise CommandRefused(NOT_SCHEDULED, f"only {names} come round")
    counted = code == messages.COMMAND_READ_PROFILE
    if len(args) != counted or (counted and not 1 <= args[0] <= READ_PROFILE_MAX):
        raise CommandRefused(LIMIT, f"read_profile takes 1 to {READ_PROFILE_MAX} intervals here")
    if (every_s is None) == (daily_s is None):
        raise CommandRefused(LIMIT, "say either every how many seconds, or daily at what time")
    if every_s is not None and not EVERY_S_MIN <= every_s <= EVERY_S_MAX:
        raise CommandRefused(LIMIT, f"from every {EVERY_S_MIN} s to every {EVERY_S_MAX} s")
    if daily_s is not None and not 0 <= daily_s < DAY_S:
        raise CommandRefused(LIMIT, "a time of day is 00:00 to 23:59")
    if not 0 <= jitter_s <= (every_s or DAY_S):
        raise CommandRefused(LIMIT, "the jitter is at most the time from one round to the next")
    if len(meters) > METERS_NAMED_MAX:
        raise CommandRefused(LIMIT, f"name at most {METERS_NAMED_MAX} meters, or none for all")


def remove(connection: sqlite3.Connection, schedule_id: int, actor: str, now_s: int) -> None:
    """Let it come round no more; what it queued stays queued. Raises CommandRefused."""
    removed = connection.execute("DELETE FROM schedule WHERE id = ?", (schedule_id,)).rowcount
    if not removed:
        raise CommandRefused(UNKNOWN_SCHEDULE, f"no schedule {schedule_id}; see `schedule list`")
    audit.record(connection, actor, "schedule.remove", str(schedule_id), {}, now_s)


def rows(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every schedule, as people and programs read it."""
    found = connection.execute(
        "SELECT id, code, args, meters, every_s, daily_s, jitter_s, next_s, actor, added_s"
        " FROM schedule ORDER BY id"
    )
    return [
        {
            "id": row[0], "command": NAMES[row[1]], "args": cbor.decode(row[2]),
            "meters": json.loads(row[3]), "every_s": row[4], "daily_s": row[5],
            "jitter_s": row[6], "next_s": row[7], "actor": row[8], "added_s": row[9],
        }
        for row in found
    ]  # fmt: skip


# ------------------------------------------------------------------ in the running gateway


class Schedules:
    """Begins rounds when they are due, and queues their commands some meters at a time."""

    def __init__(
        self,
        store: Store,
        keeper: Registry,
        wake: Callable[[bytes], None],
        clock_s: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self._store, self._keeper, self._wake = store, keeper, wake
        self._clock_s, self._chance = clock_s, chance
        self.left_out = 0  # meters whose queue was full, or whose last one is still open

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(0.0 if await self.look() else LOOK_S)

    async def look(self) -> bool:
        """Queue for the next meters of one round that is due. True: there is more to do."""
        now_s = self._clock_s()
        try:
            schedule = await self._store.run(lambda connection: _begin(connection, now_s))
            if schedule is None:
                return False
            told = await self._store.run(lambda connection: self._go_on(connection, schedule))
        except StoreError as error:
            log.error("schedules_wait", error=str(error), next="they go on when it writes again")
            return False
        for meter_id in told:
            self._wake(meter_id)
        return True

    def _go_on(self, connection: sqlite3.Connection, schedule: Schedule) -> list[bytes]:
        """The next meters of the round, and how far it got, in one transaction."""
        now_s = self._clock_s()
        meters = _next_meters(connection, schedule)
        connection.execute(
            "UPDATE schedule SET reached = ?1, round_s = CASE WHEN ?1 IS NULL THEN NULL"
            " ELSE round_s END WHERE id = ?2",
            (meters[-1] if meters else None, schedule.schedule_id),
        )
        return [one for one in meters if self._queue_one(connection, schedule, one, now_s)]

    def _queue_one(
        self, connection: sqlite3.Connection, schedule: Schedule, meter_id: bytes, now_s: int
    ) -> bool:
        """False for a meter that is left out of this round."""
        args = self._args(schedule, meter_id)
        not_before_s = now_s + int(self._chance() * schedule.jitter_s)
        expires_s = not_before_s + (schedule.every_s or DAY_S)
        try:
            if args is None or _is_open(connection, schedule, meter_id):
                raise CommandRefused(LIMIT, "nothing to ask for, or the last one is still open")
            commands.queue(
                connection, meter_id, schedule.code, args, actor="gateway", now_s=now_s,
                not_before_s=not_before_s, expires_s=min(expires_s, now_s + commands.EXPIRY_S_MAX),
                origin=schedule.origin,
            )  # fmt: skip
        except CommandRefused:
            self.left_out += 1
            return False
        return True

    def _args(self, schedule: Schedule, meter_id: bytes) -> tuple[int, ...] | None:
        if schedule.code != messages.COMMAND_READ_PROFILE:
            return ()
        meter = self._keeper.meters.get(meter_id)
        upto = meter.progress.intervals.upto if meter is not None else 0
        first = max(1, upto - schedule.args[0] + 1)
        return (first, upto - first + 1) if upto else None


def _begin(connection: sqlite3.Connection, now_s: int) -> Schedule | None:
    """A round under way, or one that begins now: the next one is written down with it."""
    row = connection.execute(
        "SELECT id, code, args, meters, every_s, daily_s, jitter_s, round_s, reached"
        " FROM schedule WHERE round_s IS NOT NULL OR next_s <= ? ORDER BY round_s IS NULL, id"
        " LIMIT 1",
        (now_s,),
    ).fetchone()
    if row is None:
        return None
    meters = [bytes.fromhex(one) for one in json.loads(row[3])]
    schedule = Schedule(row[0], row[1], tuple(cbor.decode(row[2])), sorted(meters), *row[4:])
    if schedule.round_s is None:
        connection.execute(
            "UPDATE schedule SET round_s = ?, next_s = ?, reached = x'' WHERE id = ?",
            (now_s, next_s(schedule.every_s, schedule.daily_s, now_s), schedule.schedule_id),
        )
        schedule = schedule._replace(round_s=now_s, reached=b"")
    return schedule


def _next_meters(connection: sqlite3.Connection, schedule: Schedule) -> list[bytes]:
    reached = schedule.reached or b""
    if schedule.meters:
        return [one for one in schedule.meters if one > reached][:METERS_AT_A_TIME]
    found = connection.execute(
        "SELECT meter_id FROM meter WHERE meter_id > ? AND state = 'active' ORDER BY meter_id"
        " LIMIT ?",
        (reached, METERS_AT_A_TIME),
    )
    return [row[0] for row in found]


def _is_open(connection: sqlite3.Connection, schedule: Schedule, meter_id: bytes) -> bool:
    row = connection.execute(
        "SELECT 1 FROM command WHERE meter_id = ? AND state IN ('queued', 'sent') AND origin = ?",
        (meter_id, schedule.origin),
    ).fetchone()
    return row is not None
