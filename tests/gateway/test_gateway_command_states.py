"""What becomes of a command: its states, its result, its expiry; and of bundles of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import registry, store
from gateway.downlink import bundles, commands
from gateway.downlink.command_args import Hidden
from gateway.errors import CommandRefused
from tests.support.a_queue import MASTER, METER, OTHER, a_database, answer, queue, row
from tests.support.gateway import NOW_S
from wire import messages
from wire.messages import Result

ROOT = Path(__file__).resolve().parents[2]
STATES = commands.STATES


@pytest.fixture
def keeper() -> registry.Registry:
    return registry.Registry(MASTER)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = a_database(tmp_path)
    yield opened
    opened.close()


# ------------------------------------------------------------------ what becomes of it


@pytest.mark.parametrize(
    ("code", "state"),
    [(0, "done"), (1, "unsupported"), (2, "refused"), (3, "failed"), (9, "failed")],
)
@pytest.mark.parametrize("was", ["queued", "sent", "expired", "cancelled"])
def test_a_result_marks_its_command_whenever_it_comes(
    connection: sqlite3.Connection, was: str, code: int, state: str
) -> None:
    row_id = queue(connection, messages.COMMAND_RESTART)
    if was != "queued":
        commands.note_sent(connection, row_id, NOW_S)
    if was == "expired":
        commands.expire(connection, NOW_S + commands.EXPIRY_S, 10)
    if was == "cancelled":
        commands.cancel(connection, row_id, "anna", NOW_S)
    assert row(connection, row_id)["state"] == was
    assert answer(connection, row_id, code, b"range")
    shown = row(connection, row_id)
    assert (shown["state"], shown["result_code"], shown["detail"]) == (state, code, "range")
    assert shown["ended_s"] == NOW_S + 9


def test_a_second_result_changes_nothing(connection: sqlite3.Connection) -> None:
    row_id = queue(connection, messages.COMMAND_RESTART)
    assert answer(connection, row_id, messages.RESULT_REFUSED, b"first")
    assert answer(connection, row_id, messages.RESULT_DONE, b"second")
    shown = row(connection, row_id)
    assert (shown["state"], shown["detail"]) == ("refused", "first")


def test_a_result_for_an_id_of_another_meter_marks_nothing(connection: sqlite3.Connection) -> None:
    row_id = queue(connection, messages.COMMAND_RESTART)
    number = row(connection, row_id)["command_id"]
    assert not commands.note_result(connection, OTHER.meter_id, Result(number, 0, b""), NOW_S)
    assert row(connection, row_id)["state"] == "queued"


def test_an_ended_command_is_not_cancelled(connection: sqlite3.Connection) -> None:
    row_id = queue(connection, messages.COMMAND_RESTART)
    answer(connection, row_id)
    with pytest.raises(CommandRefused, match="command_ended"):
        commands.cancel(connection, row_id, "anna", NOW_S)
    with pytest.raises(CommandRefused, match="unknown_command"):
        commands.cancel(connection, row_id + 1, "anna", NOW_S)


def test_a_command_expires_in_its_second_and_not_before(connection: sqlite3.Connection) -> None:
    row_id = queue(connection, messages.COMMAND_RESTART, expires_s=NOW_S + 100)
    assert commands.expire(connection, NOW_S + 99, 10) == []
    assert commands.expire(connection, NOW_S + 100, 10) == [METER.meter_id]
    assert row(connection, row_id)["state"] == "expired"


def test_the_clock_is_set_to_the_time_of_sending(
    connection: sqlite3.Connection, keeper: registry.Registry
) -> None:
    row_id = queue(connection, messages.COMMAND_SET_CLOCK)
    sending = commands.note_sent(connection, row_id, NOW_S + 500)
    assert sending.message(keeper, NOW_S + 500).args == (NOW_S + 500,)


def test_pieces_of_updates_are_forgotten_after_a_day_and_other_commands_after_400(
    connection: sqlite3.Connection,
) -> None:
    piece = queue(connection, messages.COMMAND_UPDATE_CHUNK, 0, b"piece")
    other = queue(connection, messages.COMMAND_RESTART)
    answer(connection, piece)
    answer(connection, other)
    ended_s = NOW_S + 9
    assert row(connection, piece)["args"] == []
    assert commands.prune(connection, ended_s + commands.PIECES_KEPT_S - 1, 10) == 0
    assert commands.prune(connection, ended_s + commands.PIECES_KEPT_S, 10) == 1
    assert commands.prune(connection, ended_s + commands.KEPT_S - 1, 10) == 0
    assert commands.prune(connection, ended_s + commands.KEPT_S, 10) == 1
    assert commands.rows(connection) == []


def test_the_states_in_the_documentation_are_those_of_the_table() -> None:
    said = (ROOT / "docs" / "commands.md").read_text().split("## States")[1].split("##")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()]
    listed = {(row[0], row[1]): row[2] for row in cells if len(row) == 3 and row[0] in STATES}
    assert listed == commands.TABLE


# ------------------------------------------------------------------ bundles


def a_bundle(connection: sqlite3.Connection, on_failure: Any) -> tuple[int, list[int]]:
    steps = [(messages.COMMAND_SET_CAPTURE_PERIOD, (900,)), (messages.COMMAND_RESTART, ())]
    number = bundles.queue(
        connection, [METER.meter_id, OTHER.meter_id], steps, title="to 15 minutes",
        on_failure=on_failure, actor="anna", now_s=NOW_S,
    )  # fmt: skip
    return number, [shown["id"] for shown in reversed(commands.rows(connection, bundle_id=number))]


def test_a_bundle_that_stops_cancels_the_rest_for_the_meter_that_failed_only(
    connection: sqlite3.Connection,
) -> None:
    number, ids = a_bundle(connection, bundles.STOP)
    answer(connection, ids[0], messages.RESULT_REFUSED)
    assert [row(connection, one)["state"] for one in ids] == [
        "refused", "cancelled", "queued", "queued",
    ]  # fmt: skip
    assert row(connection, ids[1])["detail"] == "bundle_stopped"
    (shown,) = bundles.progress(connection, number)
    assert (shown["commands"], shown["open"]) == (4, 2)
    assert shown["states"] == {"refused": 1, "cancelled": 1, "queued": 2}


def test_a_bundle_that_goes_on_keeps_the_rest(connection: sqlite3.Connection) -> None:
    _, ids = a_bundle(connection, bundles.GO_ON)
    answer(connection, ids[0], messages.RESULT_REFUSED)
    assert row(connection, ids[1])["state"] == "queued"


def test_an_expired_command_stops_its_bundle_too(connection: sqlite3.Connection) -> None:
    _, ids = a_bundle(connection, bundles.STOP)
    connection.execute("UPDATE command SET expires_s = ? WHERE id = ?", (NOW_S + 5, ids[0]))
    commands.expire(connection, NOW_S + 5, 10)
    assert row(connection, ids[1])["state"] == "cancelled"


def test_what_failed_of_a_bundle_is_queued_again_in_order_and_nothing_else(
    connection: sqlite3.Connection,
) -> None:
    number, ids = a_bundle(connection, bundles.STOP)
    answer(connection, ids[0], messages.RESULT_FAILED)
    assert bundles.retry(connection, number, "anna", NOW_S + 60) == 2
    rows = commands.rows(connection, METER.meter_id, "queued")
    assert [shown["command"] for shown in reversed(rows)] == ["set_capture_period", "restart"]
    assert row(connection, ids[0])["retried_as"] == rows[-1]["id"]
    (shown,) = bundles.progress(connection, number)
    assert shown["states"] == {"queued": 4}
    with pytest.raises(CommandRefused, match="nothing_failed"):
        bundles.retry(connection, number, "anna", NOW_S + 61)
    with pytest.raises(CommandRefused, match="unknown_bundle"):
        bundles.retry(connection, number + 1, "anna", NOW_S + 61)


def test_a_bundle_is_queued_whole_or_not_at_all(connection: sqlite3.Connection) -> None:
    for _ in range(commands.QUEUE_MAX):
        queue(connection, messages.COMMAND_READ_NOW, meter=OTHER)
    with pytest.raises(CommandRefused, match="queue_full"):
        store.transact(connection, lambda connection: a_bundle(connection, bundles.STOP))
    assert bundles.progress(connection) == []
    assert commands.rows(connection, METER.meter_id) == []


@pytest.mark.parametrize("count", [0, bundles.BUNDLE_COMMANDS_MAX + 1])
def test_an_empty_bundle_and_one_over_the_limit_are_refused(
    connection: sqlite3.Connection, count: int
) -> None:
    with pytest.raises(CommandRefused, match="bundle_size"):
        bundles.queue(
            connection, [METER.meter_id] * count, [(messages.COMMAND_RESTART, ())], title="",
            on_failure=bundles.STOP, actor="anna", now_s=NOW_S,
        )  # fmt: skip


def test_rekeys_are_not_queued_in_bundles(connection: sqlite3.Connection) -> None:
    with pytest.raises(CommandRefused, match="not_in_bundles"):
        bundles.queue(
            connection, [METER.meter_id], [(messages.COMMAND_REKEY, (1, Hidden(b"", 32)))],
            title="", on_failure=bundles.STOP, actor="anna", now_s=NOW_S,
        )  # fmt: skip
