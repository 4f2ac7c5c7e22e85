"""What the admin interface refuses: each refusal has a name, is counted, and changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.admin import api
from tests.support.admin import Admin, Answer, administered
from tests.support.gateway import a_meter, rows

METER = api.EXAMPLE_METER


def test_refused_requests_are_counted_by_problem_and_logged_once_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(admin: Admin) -> list[int]:
        for _ in range(3):
            await admin.ask("GET", "/v1/meters", token=None)
        return [admin.service.metrics.refused_requests["unauthorized"]]

    assert administered(tmp_path, work) == [3]
    assert capsys.readouterr().out.count("problem=unauthorized") == 1


@pytest.mark.parametrize(("after_s", "logged"), [(59.9, False), (60.0, True), (60.1, True)])
def test_a_problem_is_logged_again_after_a_minute(after_s: float, logged: bool) -> None:
    now = [1000.0]
    refusals = api.Refusals(lambda: now[0])
    assert refusals.note("unauthorized")
    now[0] += after_s
    assert refusals.note("unauthorized") is logged
    assert refusals.note("malformed")  # each has a minute of its own


def test_a_command_is_refused_for_the_reason_that_the_command_line_gives(tmp_path: Path) -> None:
    cases: list[tuple[str, list[Any], int, str]] = [
        ("read_profile", [1], 422, "arguments"),
        ("read_profile", [1, 2977], 422, "range"),
        ("read_profile", [1, 2976], 201, ""),
        ("rekey", [1], 422, "not_in_bundles"),
        ("dance", [], 422, "unknown_command"),
        ("home_key", ["00" * 15], 422, "range"),
        ("home_key", ["00" * 16], 201, ""),
        ("home_key", ["zz"], 422, "arguments"),
        ("home_key", [], 422, "arguments"),
    ]

    async def work(admin: Admin) -> None:
        for command, args, status, name in cases:
            body = {"meter_id": a_meter().hex_id, "command": command, "args": args}
            answer = await admin.ask("POST", "/v1/commands", body)
            assert answer.status == status, (command, args, answer)
            assert status == 201 or answer.body["type"] == api.PROBLEM_TYPE + name

    administered(tmp_path, work, a_meter())


def test_decommissioning_wants_the_meters_id_once_more(tmp_path: Path) -> None:
    meter = a_meter()

    async def work(admin: Admin) -> tuple[int, str]:
        path = f"/v1/meters/{meter.hex_id}/decommission"
        answer = await admin.ask("POST", path, {"confirm": METER})
        shown = await admin.ask("GET", f"/v1/meters/{meter.hex_id}")
        return answer.status, shown.body["state"]

    assert administered(tmp_path, work, meter) == (422, "active")


def test_a_full_disk_is_answered_507_and_nothing_was_done(tmp_path: Path) -> None:
    meters = [a_meter(number) for number in range(10)]

    async def work(admin: Admin) -> Answer:
        def fill(connection: sqlite3.Connection) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

        await admin.service.store.run(fill)
        ids = [meter.hex_id for meter in meters]
        body = {"meters": ids, "steps": [{"command": "read_now"}] * 60}
        return await admin.ask("POST", "/v1/bundles", body)

    answer = administered(tmp_path, work, *meters)
    assert (answer.status, answer.body["type"]) == (507, api.PROBLEM_TYPE + "disk_full")
    assert answer.headers["Retry-After"] == "5"
    assert rows(tmp_path, "SELECT count(*) FROM command") == [(0,)]


def test_without_a_token_file_there_is_no_admin_interface(tmp_path: Path) -> None:
    async def work(admin: Admin) -> tuple[int, int]:
        closed = await admin.ask("GET", "/v1/meters")
        live = await admin.ask("GET", "/livez", token=None)
        return closed.status, live.status

    assert administered(tmp_path, work, with_tokens=False) == (404, 200)
