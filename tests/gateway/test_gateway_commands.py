"""The queue of commands: what is let in, under which id, and what never leaves it in plain."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import audit, registry
from gateway.downlink import command_args, commands
from gateway.downlink.command_args import Hidden
from gateway.errors import CommandRefused, StoreError
from tests.support.a_queue import MASTER, METER, OTHER, a_database, answer, queue, row
from tests.support.gateway import NOW_S, a_meter
from wire import messages

A_TABLE = b"\x01" + (1_640_991_600).to_bytes(4, "big") + b"\x03G11" + b"\x00" * 9


@pytest.fixture
def keeper() -> registry.Registry:
    return registry.Registry(MASTER)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = a_database(tmp_path)
    yield opened
    opened.close()


def refused(connection: sqlite3.Connection, code: int, *args: Any, **changes: Any) -> str:
    with pytest.raises(CommandRefused) as caught:
        queue(connection, code, *args, **changes)
    assert not commands.rows(connection, METER.meter_id, limit=1)
    return caught.value.reason


# ------------------------------------------------------------------ what is let in


@pytest.mark.parametrize(
    ("code", "args", "reason"),
    [
        (messages.COMMAND_READ_PROFILE, (0, 1), "range"),
        (messages.COMMAND_READ_PROFILE, (1, 0), "range"),
        (messages.COMMAND_READ_PROFILE, (1, 2977), "range"),
        (messages.COMMAND_READ_PROFILE, (1 << 32, 1), "range"),
        (messages.COMMAND_READ_PROFILE, (1,), "arguments"),
        (messages.COMMAND_READ_PROFILE, (1, b"\x01"), "arguments"),
        (messages.COMMAND_READ_PROFILE, (True, 1), "arguments"),
        (messages.COMMAND_READ_NOW, (1,), "arguments"),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (59,), "range"),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (61,), "range"),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (3601,), "range"),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (7200,), "range"),
        (messages.COMMAND_SET_TARIFF, (b"",), "range"),
        (messages.COMMAND_SET_TARIFF, (A_TABLE + bytes(121 - len(A_TABLE)),), "range"),
        (messages.COMMAND_SET_TARIFF, (b"\x02" + A_TABLE[1:],), "tariff_table"),
        (messages.COMMAND_SET_TARIFF, (A_TABLE[:6],), "tariff_table"),
        (messages.COMMAND_SET_TARIFF, (A_TABLE[:4] + b"\x01" + A_TABLE[5:],), "tariff_table"),
        (messages.COMMAND_SET_TARIFF, ("G11",), "arguments"),
        (messages.COMMAND_SET_CLOCK, (NOW_S,), "arguments"),
        (messages.COMMAND_RESTART, (1,), "arguments"),
        (messages.COMMAND_REKEY, (0, Hidden(b"", 32)), "range"),
        (messages.COMMAND_REKEY, (256, Hidden(b"", 32)), "range"),
        (messages.COMMAND_REKEY, (1, bytes(32)), "secret_in_plain"),
        (messages.COMMAND_HOME_KEY, (bytes(16),), "secret_in_plain"),
        (messages.COMMAND_HOME_KEY, (), "secret_in_plain"),
        (messages.COMMAND_UPDATE_CHUNK, (0, bytes(901)), "arguments"),
        (messages.COMMAND_UPDATE_CHUNK, (0, bytes(900), bytes(100)), "too_large"),
        (11, (), "unknown_command"),
    ],
)
def test_what_the_meter_would_refuse_is_refused_by_name_when_it_is_queued(
    connection: sqlite3.Connection, code: int, args: tuple[Any, ...], reason: str
) -> None:
    assert refused(connection, code, *args) == reason


@pytest.mark.parametrize(
    ("code", "args"),
    [
        (messages.COMMAND_READ_PROFILE, (1, 1)),
        (messages.COMMAND_READ_PROFILE, ((1 << 32) - 1, 2976)),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (60,)),
        (messages.COMMAND_SET_CAPTURE_PERIOD, (3600,)),
        (messages.COMMAND_SET_TARIFF, (A_TABLE,)),
        (messages.COMMAND_SET_TARIFF, (A_TABLE + bytes(120 - len(A_TABLE)),)),
        (messages.COMMAND_UPDATE_CHUNK, (0, bytes(900))),
        (messages.COMMAND_READ_NOW, ()),
        (messages.COMMAND_SET_CLOCK, ()),
        (messages.COMMAND_RESTART, ()),
    ],
)
def test_what_the_meter_takes_is_queued(
    connection: sqlite3.Connection, code: int, args: tuple[Any, ...]
) -> None:
    shown = row(connection, queue(connection, code, *args))
    assert shown["state"] == "queued"
    assert shown["command"] == command_args.NAMES[code]
    assert shown["args"] == [arg.hex() if isinstance(arg, bytes) else arg for arg in args]


def test_the_meters_own_limits_are_the_gateways() -> None:
    from firmware import commands as firmware
    from firmware import config, settings, tariff

    assert command_args.READ_PROFILE_MAX == firmware.READ_PROFILE_MAX
    assert command_args.CAPTURE_PERIOD_S_MIN == config.CAPTURE_PERIOD_S_MIN
    assert command_args.HOUR_S == config.CAPTURE_PERIOD_S_MAX
    assert command_args.TARIFF_BYTES_MAX == tariff.TABLE_BYTES_MAX
    assert command_args.TARIFF_NAME_BYTES_MAX == tariff.NAME_BYTES_MAX
    assert command_args.HOME_KEY_BYTES_MIN == firmware.HOME_KEY_BYTES_MIN
    assert command_args.HOME_KEY_BYTES_MAX == settings.HOME_KEY_BYTES_MAX


def test_a_command_to_a_meter_nobody_registered_is_refused(connection: sqlite3.Connection) -> None:
    assert refused(connection, messages.COMMAND_READ_NOW, meter=a_meter(9)) == "unknown_meter"


def test_a_command_to_a_revoked_meter_is_refused(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meter SET state = 'revoked'")
    assert refused(connection, messages.COMMAND_READ_NOW) == "not_active"


def test_a_meters_queue_takes_sixty_four_commands_and_no_more(
    connection: sqlite3.Connection,
) -> None:
    ids = [queue(connection, messages.COMMAND_READ_NOW) for _ in range(commands.QUEUE_MAX)]
    with pytest.raises(CommandRefused, match="queue_full"):
        queue(connection, messages.COMMAND_READ_NOW)
    queue(connection, messages.COMMAND_READ_NOW, meter=OTHER)
    commands.cancel(connection, ids[3], "anna", NOW_S)
    queue(connection, messages.COMMAND_READ_NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_s": NOW_S},
        {"expires_s": 3600},
        {"expires_s": NOW_S + commands.EXPIRY_S_MAX + 1},
        {"not_before_s": NOW_S + 100, "expires_s": NOW_S + 100},
    ],
)
def test_a_command_that_expires_at_once_or_never_is_refused(
    connection: sqlite3.Connection, changes: dict[str, int]
) -> None:
    assert refused(connection, messages.COMMAND_READ_NOW, **changes) == "expiry"


def test_a_command_may_expire_a_second_after_its_begin_and_a_year_from_now(
    connection: sqlite3.Connection,
) -> None:
    queue(connection, messages.COMMAND_READ_NOW, not_before_s=NOW_S + 9, expires_s=NOW_S + 10)
    queue(connection, messages.COMMAND_READ_NOW, expires_s=NOW_S + commands.EXPIRY_S_MAX)
    assert len(commands.rows(connection)) == 2


def test_command_ids_are_never_given_twice_not_even_by_a_restored_backup(
    connection: sqlite3.Connection,
) -> None:
    first = row(connection, queue(connection, messages.COMMAND_READ_NOW))["command_id"]
    second = row(connection, queue(connection, messages.COMMAND_READ_NOW))["command_id"]
    assert second == first + 1
    connection.execute("DELETE FROM command")
    connection.execute("DELETE FROM command_number")  # as in a backup of an hour ago
    third = row(connection, queue(connection, messages.COMMAND_READ_NOW, now_s=NOW_S + 3600))
    assert third["command_id"] > second


def test_a_clock_that_was_set_back_gives_no_command_id_twice(
    connection: sqlite3.Connection,
) -> None:
    first = row(connection, queue(connection, messages.COMMAND_READ_NOW))["command_id"]
    second = queue(connection, messages.COMMAND_READ_NOW, now_s=NOW_S - 86_400)
    assert row(connection, second)["command_id"] == first + 1


def test_when_every_command_id_is_used_no_more_are_queued(connection: sqlite3.Connection) -> None:
    last = (METER.meter_id, commands.COMMAND_ID_MAX - 1)
    connection.execute("INSERT INTO command_number VALUES (?, ?)", last)
    queue(connection, messages.COMMAND_READ_NOW)
    with pytest.raises(CommandRefused, match="command_ids_used_up"):
        queue(connection, messages.COMMAND_READ_NOW)


def test_who_queued_what_is_in_the_audit_log_unless_a_part_did(
    connection: sqlite3.Connection,
) -> None:
    queue(connection, messages.COMMAND_RESTART)
    queue(connection, messages.COMMAND_RESTART, origin="backfill")
    acts = [act for act in audit.since(connection, 0) if act.action == "command.queue"]
    assert [(act.actor, act.subject) for act in acts] == [("anna", METER.hex_id)]
    assert '"command":"restart"' in acts[0].detail


# ------------------------------------------------------------------ secrets


def test_a_secret_lies_in_the_database_wrapped_only_and_is_shown_to_nobody(
    connection: sqlite3.Connection, keeper: registry.Registry, tmp_path: Path
) -> None:
    home_key = b"a home key of twenty"
    hidden = commands.hide(keeper, METER.meter_id, messages.COMMAND_HOME_KEY, home_key)
    row_id = queue(connection, messages.COMMAND_HOME_KEY, hidden)
    assert row(connection, row_id)["args"] == ["hidden"]
    assert "hidden" in repr(hidden).lower()
    assert hidden.wrapped.hex() not in repr(hidden)
    sending = commands.note_sent(connection, row_id, NOW_S)
    assert sending.message(keeper, NOW_S).args == (home_key,)
    assert "home" not in repr(sending)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert home_key not in (tmp_path / "gateway.db").read_bytes()


def test_a_secret_is_let_go_once_it_arrived(
    connection: sqlite3.Connection, keeper: registry.Registry
) -> None:
    hidden = commands.hide(keeper, METER.meter_id, messages.COMMAND_HOME_KEY, bytes(16))
    row_id = queue(connection, messages.COMMAND_HOME_KEY, hidden)
    answer(connection, row_id)
    assert connection.execute("SELECT wrapped FROM command").fetchone() == (None,)
    assert row(connection, row_id)["args"] == ["hidden"]


def test_a_secret_of_one_meter_does_not_open_as_anothers(keeper: registry.Registry) -> None:
    code = messages.COMMAND_HOME_KEY
    hidden = commands.hide(keeper, METER.meter_id, code, bytes(20))
    assert commands.reveal(keeper, METER.meter_id, code, hidden) == bytes(20)
    for meter_id, other_code, secret_bytes in [
        (OTHER.meter_id, code, 20),
        (METER.meter_id, messages.COMMAND_REKEY, 20),
        (METER.meter_id, code, 19),
    ]:
        with pytest.raises(StoreError):
            commands.reveal(keeper, meter_id, other_code, Hidden(hidden.wrapped, secret_bytes))


@pytest.mark.parametrize(
    ("code", "good", "bad"),
    [
        (messages.COMMAND_HOME_KEY, [16, 32], [15, 33]),
        (messages.COMMAND_REKEY, [32], [31, 33]),
    ],
)
def test_a_secret_of_the_wrong_length_is_refused(
    keeper: registry.Registry, code: int, good: list[int], bad: list[int]
) -> None:
    for size in good:
        assert commands.hide(keeper, METER.meter_id, code, bytes(size)).secret_bytes == size
    for size in bad:
        with pytest.raises(CommandRefused, match="range"):
            commands.hide(keeper, METER.meter_id, code, bytes(size))
