"""What one accepted frame says, as `trace` and the admin interface show it: energy, no secret."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import journal, store
from gateway.admin import queries
from gateway.errors import DamagedStore
from gateway.journal import Group
from tests.gateway.test_gateway_command_line import gateway
from tests.support.admin import Admin, administered
from tests.support.gateway import NOW_S, START_S, Client, a_home, a_meter, a_profile
from wire import messages, obis, quality
from wire.keys import UP
from wire.messages import Event, Live, Registers, Result, Status

METER = a_meter()
SECRET = b"a secret of a command's result"
AT_S = START_S + 60


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = store.connect(tmp_path / "gateway.db")
    yield opened
    opened.close()


def accept(connection: sqlite3.Connection, *said: Any) -> None:
    """Put these into the journal, the first under frame counter 0."""
    frames = [
        (METER.meter_id, 0, counter, NOW_S, each if type(each) is bytes else messages.encode(each))
        for counter, each in enumerate(said)
    ]
    store.transact(connection, lambda c: journal.commit(c, Group(NOW_S, rows=frames)))


def traced(connection: sqlite3.Connection, said: Any) -> Any:
    """The trace of the only frame."""
    accept(connection, said)
    found = queries.trace(connection, METER.meter_id, 0)
    assert found is not None
    return found


def test_registers_are_shown_with_the_time_they_were_read(connection: sqlite3.Connection) -> None:
    found = traced(connection, Registers(AT_S, (1, 2), (12_345, 678)))
    assert found["message"] == {
        "kind": "registers",
        "at": "2021-10-15T00:01:00Z",
        "at_s": AT_S,
        "registers_wh": {"1.8.0": 12_345, "2.8.0": 678},
    }
    assert (found["first"], found["intervals"]) == (None, 0)


def test_every_register_is_under_its_own_unit(connection: sqlite3.Connection) -> None:
    channels = (obis.IMPORT_WH, obis.IMPORT_VARH, obis.DEMAND_W)
    said = traced(connection, Registers(AT_S, channels, (1, 2, 3)))["message"]
    assert said["registers_wh"] == {"1.8.0": 1}
    assert said["registers_varh"] == {"3.8.0": 2}
    assert said["registers_w"] == {"1.6.0": 3}


def test_registers_of_a_meter_without_the_time_have_none(connection: sqlite3.Connection) -> None:
    said = traced(connection, Registers(0, (1,), (5,)))["message"]
    assert (said["at"], said["at_s"], said["registers_wh"]) == (None, None, {"1.8.0": 5})


def test_of_a_profile_the_registers_at_its_end_are_shown(connection: sqlite3.Connection) -> None:
    found = traced(connection, a_profile(5, 4))
    assert (found["first"], found["intervals"]) == (5, 4)
    assert found["message"] == {
        "kind": "profile",
        "start": "2021-10-15T01:00:00Z",
        "start_s": START_S + 4 * 900,
        "capture_period_s": 900,
        "end": "2021-10-15T02:00:00Z",
        "end_s": START_S + 8 * 900,
        "registers_wh": {"1.8.0": 1000 + 8 * 250, "2.8.0": 0},
    }


def test_what_is_missing_at_the_end_of_a_profile_is_null_and_never_zero(
    connection: sqlite3.Connection,
) -> None:
    missing = quality.MISSING | quality.GAP
    profile = a_profile(1, 2, quality=(0, missing), deltas_wh=((10, 0), (0, 0)))
    said = traced(connection, profile)["message"]
    assert said["registers_wh"] == {"1.8.0": None, "2.8.0": None}


OTHERS = [
    Live(AT_S, -350, (230_100,), (1520,), 49_998),
    Event(AT_S, messages.EVENT_CONFIG_CHANGE, (4, 900), 9),
    Status(AT_S, SECRET.decode(), 5, 1000, 3, 0, 1),
    Result(7, messages.RESULT_DONE, SECRET),
]


@pytest.mark.parametrize("message", OTHERS, ids=lambda message: type(message).__name__)
def test_of_every_other_message_only_the_kind_is_shown(
    connection: sqlite3.Connection, message: Any
) -> None:
    found = traced(connection, message)
    assert found["message"] == {"kind": type(message).__name__.lower()}
    assert SECRET.decode() not in json.dumps(found)
    assert SECRET.hex() not in json.dumps(found)


def test_every_kind_that_comes_up_is_looked_at_here() -> None:
    up = {kind for kind, (_, way, _, _) in messages._KINDS.items() if way == UP}
    assert up == {messages.Profile, Registers, *(type(message) for message in OTHERS)}


def test_a_frame_that_cannot_be_read_is_named(connection: sqlite3.Connection) -> None:
    accept(connection, b"\xff")
    with pytest.raises(DamagedStore, match="journal row 1 cannot be read; restore a backup"):
        queries.trace(connection, METER.meter_id, 0)


def test_the_command_line_shows_it_on_a_line_and_as_json(tmp_path: Path) -> None:
    a_home(tmp_path, METER)
    opened = store.connect(tmp_path / "gateway.db")
    accept(opened, Registers(AT_S, (1, 2), (12_345, 0)))
    opened.close()
    shown = gateway("trace", METER.hex_id, "0", folder=tmp_path).stdout.splitlines()
    assert shown[-1].split(maxsplit=1) == [
        "message",
        "kind registers, at 2021-10-15T00:01:00Z, at_s 1634256060, registers_wh 1.8.0 12345,"
        " 2.8.0 0",
    ]
    found = json.loads(gateway("trace", METER.hex_id, "0", "--json", folder=tmp_path).stdout)
    assert found["message"]["registers_wh"] == {"1.8.0": 12_345, "2.8.0": 0}


def test_the_admin_interface_shows_what_a_meter_said(tmp_path: Path) -> None:
    meter = a_meter(2)

    async def work(admin: Admin) -> list[Any]:
        client = await Client.join(admin.service.port, meter)
        for packet_id, said in enumerate((Registers(AT_S, (1,), (7,)), a_profile()), 1):
            client.publish(meter, meter.seal(said), packet_id)
            await client.puback()
        await client.close()
        frames = [await admin.ask("GET", f"/v1/frames/{meter.hex_id}/{n}") for n in range(3)]
        assert [frame.status for frame in frames] == [200, 200, 404]
        return [frame.body["message"] for frame in frames[:2]]

    registers, profile = administered(tmp_path, work, meter)
    assert (registers["kind"], registers["at_s"]) == ("registers", AT_S)
    assert registers["registers_wh"] == {"1.8.0": 7}
    assert (profile["kind"], profile["registers_wh"]) == ("profile", {"1.8.0": 1250, "2.8.0": 0})
