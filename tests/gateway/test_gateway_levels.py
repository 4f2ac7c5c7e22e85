"""How well a meter's key is protected, as the gateway records it: said, shown, audited, refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import audit, lifecycle, registry, store
from gateway.admin import api, queries
from gateway.errors import UsageError
from gateway.registry import NewMeter, Registry
from host_tools.levels import LEVELS
from tests.gateway.test_gateway_command_line import gateway
from tests.support.admin import Admin, administered
from tests.support.gateway import NOW_S, a_home, a_meter, rows

METER = a_meter()
PATH = f"/v1/meters/{METER.hex_id}"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = store.connect(tmp_path / "gateway.db")
    lifecycle.add(opened, Registry(bytes(32)), [METER.new()], "anna", NOW_S)
    yield opened
    opened.close()


def level_of(connection: sqlite3.Connection) -> object:
    shown = queries.show_meter(connection, METER.meter_id)
    assert shown is not None
    return shown["security_level"]


def set_level(connection: sqlite3.Connection, level: str, meter_id: bytes = METER.meter_id) -> None:
    lifecycle.set_security_level(connection, meter_id, level, "anna", NOW_S)


def acts(connection: sqlite3.Connection) -> list[tuple[str, str, str, Any]]:
    """What was done after the meter was added."""
    return [
        (act.actor, act.action, act.subject, json.loads(act.detail))
        for act in audit.since(connection, 1)
    ]


def test_the_levels_are_those_of_the_tools() -> None:
    assert lifecycle.SECURITY_LEVELS == LEVELS


def test_nobody_said_a_level_until_somebody_does(connection: sqlite3.Connection) -> None:
    assert level_of(connection) is None
    for level in LEVELS:
        set_level(connection, level)
        assert level_of(connection) == level
        assert queries.list_meters(connection)[0]["security_level"] == level
    set_level(connection, "L0")  # who was mistaken says it again
    assert level_of(connection) == "L0"


def test_each_change_is_in_the_audit_log_with_the_level_before(
    connection: sqlite3.Connection,
) -> None:
    set_level(connection, "L1")
    set_level(connection, "L2")
    said = ("anna", "meter.level", METER.hex_id)
    assert acts(connection) == [
        (*said, {"before": None, "security_level": "L1"}),
        (*said, {"before": "L1", "security_level": "L2"}),
    ]
    assert audit.verify(connection) is None


def test_the_level_and_its_audit_row_are_one_transaction(connection: sqlite3.Connection) -> None:
    class Crash(Exception):
        pass

    def crash(inside: sqlite3.Connection) -> None:
        set_level(inside, "L1")
        raise Crash

    with pytest.raises(Crash):
        store.transact(connection, crash)
    assert (level_of(connection), acts(connection)) == (None, [])


def test_the_same_level_again_is_no_change(connection: sqlite3.Connection) -> None:
    set_level(connection, "L1")
    set_level(connection, "L1")
    assert len(acts(connection)) == 1


@pytest.mark.parametrize("level", ["", "L3", "l1", "L1 ", "2", "open"])
def test_another_value_is_refused_and_changes_nothing(
    connection: sqlite3.Connection, level: str
) -> None:
    set_level(connection, "L1")
    with pytest.raises(UsageError, match="one of L0, L1, L2"):
        set_level(connection, level)
    assert (level_of(connection), len(acts(connection))) == ("L1", 1)


def test_a_meter_that_nobody_registered_has_no_level(connection: sqlite3.Connection) -> None:
    with pytest.raises(UsageError, match="meters list"):
        set_level(connection, "L1", bytes(8))
    assert acts(connection) == []


def test_a_tombstone_keeps_its_level_and_has_it_when_it_comes_back(
    connection: sqlite3.Connection,
) -> None:
    set_level(connection, "L1")
    lifecycle.decommission(connection, METER.meter_id, "anna", NOW_S)
    with pytest.raises(UsageError, match="is decommissioned"):
        set_level(connection, "L2")
    assert level_of(connection) == "L1"
    new = NewMeter(METER.hex_id, "ab" * 32, 1, METER.password)
    lifecycle.add(connection, Registry(bytes(32)), [new], "anna", NOW_S, again=True)
    assert registry.state_of(connection, METER.meter_id) == registry.ACTIVE
    assert level_of(connection) == "L1", "its eFuses stay burned"


def test_a_revoked_meter_s_level_can_be_recorded(connection: sqlite3.Connection) -> None:
    lifecycle.revoke(connection, METER.meter_id, "anna", NOW_S)
    set_level(connection, "L1")
    assert level_of(connection) == "L1"


# ------------------------------------------------------------------ the admin interface


def test_the_admin_interface_records_and_shows_it(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        for path in (PATH, "/v1/meters"):
            shown = (await admin.ask("GET", path)).body
            assert (shown if path == PATH else shown[0])["security_level"] is None
        for _ in range(2):
            put = await admin.ask("PUT", f"{PATH}/security-level", {"security_level": "L1"})
            assert (put.status, put.body["security_level"]) == (200, "L1")
        for path in (PATH, "/v1/meters"):
            shown = (await admin.ask("GET", path)).body
            assert (shown if path == PATH else shown[0])["security_level"] == "L1"

    administered(tmp_path, work, METER)
    assert rows(tmp_path, "SELECT actor, action, subject FROM audit") == [
        ("api:anna", "meter.level", METER.hex_id)
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "name"),
    [
        (PATH, {"security_level": "L3"}, 422, "unusable"),
        (PATH, {"security_level": "l1"}, 422, "unusable"),
        (PATH, {"security_level": ""}, 422, "unusable"),
        (PATH, {"security_level": None}, 400, "malformed"),
        (PATH, {"security_level": 1}, 400, "malformed"),
        (PATH, {"security_level": "L1", "more": 1}, 400, "malformed"),
        (PATH, {}, 400, "malformed"),
        (f"/v1/meters/{'0' * 16}", {"security_level": "L1"}, 404, "not_there"),
    ],
)
def test_the_admin_interface_refuses_it_by_name(
    tmp_path: Path, path: str, body: Any, status: int, name: str
) -> None:
    async def work(admin: Admin) -> Any:
        return await admin.ask("PUT", f"{path}/security-level", body)

    answer = administered(tmp_path, work, METER)
    assert (answer.status, answer.body["type"]) == (status, api.PROBLEM_TYPE + name)
    assert rows(tmp_path, "SELECT security_level FROM meter") == [(None,)]
    assert rows(tmp_path, "SELECT count(*) FROM audit") == [(0,)]


# ------------------------------------------------------------------ the command line


def test_the_command_line_records_and_lists_it(tmp_path: Path) -> None:
    a_home(tmp_path, METER)
    done = gateway("meters", "level", METER.hex_id, "l1", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"meter {METER.hex_id} is recorded as L1\n")
    (shown,) = json.loads(gateway("meters", "list", "--json", folder=tmp_path).stdout)
    assert shown["security_level"] == "L1"
    table = gateway("meters", "show", METER.hex_id, folder=tmp_path).stdout.splitlines()
    assert "security_level" in table[0]
    assert " L1 " in table[1]
    refused = gateway("meters", "level", METER.hex_id, "L9", folder=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "one of L0, L1, L2" in refused.stderr
