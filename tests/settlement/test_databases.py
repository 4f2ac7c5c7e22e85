"""Databases as older versions left them: each opens, is upgraded, and shows what it held."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from litestar.testing import TestClient

from settlement import close, explain, laws, service
from settlement.api import Office
from settlement.config import Secret
from settlement.rules.periods import Period, parse_day
from settlement.store import Store, invoices, schema_steps
from tests.support.settled import at
from tests.support.settlement import A_DAY, NOW_S, PPE, TOKEN

Client = TestClient[Any]
DATABASES = Path(__file__).with_name("databases")
OLD_NUMBER = "FV-2024-10-000001"
NEXT_DAY = Period(parse_day("2024-10-15"), parse_day("2024-10-16"))
POINT = f"/v1/points/{PPE}"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of schema 1: a point, readings of two days, and the invoice of the first."""
    path = tmp_path / "settlement.db"
    packed = (DATABASES / "schema_001.db.zst").read_bytes()
    path.write_bytes(zstandard.ZstdDecompressor().decompress(packed))
    return path


@pytest.fixture
def office(old: Path) -> Iterator[Office]:
    made = Office(Store(old), laws.shipped(), Secret(TOKEN), lambda: NOW_S)
    yield made
    made.store.close()


@pytest.fixture
def client(office: Office) -> Iterator[Client]:
    app = service.application(office, portal=True)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        opened.headers["authorization"] = f"Bearer {TOKEN}"
        yield opened


def test_a_database_of_schema_1_is_upgraded_and_keeps_every_row(old: Path) -> None:
    tables = ("inbox", "readings", "points", "assignments", "invoices")
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        before = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    Store(old).close()
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(schema_steps()),)
        for name, rows in before.items():
            kept = connection.execute(f"SELECT * FROM {name}").fetchall()
            assert [row[: len(rows[0])] for row in kept] == rows
            assert rows


def test_an_invoice_of_schema_1_is_still_told_and_shown(client: Client) -> None:
    (told,) = client.get(f"{POINT}/invoices").json()["invoices"]
    assert (told["number"], told["summary"]["8_to_pay_gr"]) == (OLD_NUMBER, 2856)
    assert client.get(f"{POINT}/invoices/{OLD_NUMBER}").json() == told
    page = client.get(f"/moj-licznik/{PPE}?day=2024-10-14")
    assert page.status_code == 200
    assert OLD_NUMBER in page.text
    assert "28,56" in page.text


def test_an_invoice_of_schema_1_is_found_again_and_its_days_are_not_billed_twice(
    client: Client,
) -> None:
    again = client.post(f"{POINT}/invoices", json={"start": "2024-10-14", "end": "2024-10-15"})
    assert (again.status_code, again.json()["number"]) == (200, OLD_NUMBER)
    wider = client.post(f"{POINT}/invoices", json={"start": "2024-10-14", "end": "2024-10-16"})
    assert (wider.status_code, wider.json()["reason"]) == (409, "invoice_overlaps")


def test_the_next_invoice_after_one_of_schema_1_goes_on_with_the_numbers(client: Client) -> None:
    new = client.post(f"{POINT}/invoices", json={"start": "2024-10-15", "end": "2024-10-16"})
    assert (new.status_code, new.json()["number"]) == (201, "FV-2024-10-000002")
    assert [each["number"] for each in client.get(f"{POINT}/invoices").json()["invoices"]] == [
        "FV-2024-10-000002",
        OLD_NUMBER,
    ]
    assert client.get(f"/moj-licznik/{PPE}").status_code == 200


def test_an_invoice_of_schema_1_is_never_settled_again(office: Office) -> None:
    with office.store.writing() as connection:
        # What a late reading would do to the day that is billed.
        connection.execute(
            "UPDATE readings SET energy_wh = energy_wh + 1 WHERE start_s < ?", (A_DAY.end_s,)
        )
    assert close.correct(office.store, office.law, PPE, NOW_S) == []
    close.issue(office.store, office.law, PPE, NEXT_DAY, at("2024-11-01"))
    with office.store.reading() as connection:
        stored = invoices.by_number(connection, OLD_NUMBER)
        count = connection.execute("SELECT count(*) FROM corrections").fetchone()
    assert stored is not None
    assert stored.settling_id is None
    assert json.loads(stored.body)["usage"]["import_wh"] == 9600
    assert count == (0,)


def test_an_invoice_of_schema_1_is_explained_as_far_as_it_can_be(office: Office) -> None:
    with office.store.reading() as connection:
        told = explain.explained(connection, office.law, OLD_NUMBER)
    assert [line["code"] for line in told["lines"]][:2] == ["active_energy", "network_fixed"]
    assert told["replay"] is None
    assert told["summary"]["3_result"]["gross_gr"] == 2856
    assert (told["start"], told["end"]) == (A_DAY.start.isoformat(), A_DAY.end.isoformat())
