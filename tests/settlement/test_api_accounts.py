"""Corrections and ledgers over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from settlement.api import Office
from tests.support.settled import issued, month, put, told
from tests.support.settlement import (
    PPE,
    TOKEN,
    a_point,
    a_point_form,
    a_prosumer,
    refused,
)

Client = TestClient[Any]
POINT = f"/v1/points/{PPE}"


def spring(office: Office) -> None:
    """A prosumer, billed for February and March 2024."""
    put(office.store, a_point_form(a_prosumer(cap_entitled=False)))
    told(office.store, month("2024-02"), 100, 700)
    told(office.store, month("2024-03"), 300, 0, counter=1000)
    issued(office.store, "2024-02", "2024-03-01")
    issued(office.store, "2024-03", "2024-04-12")


def test_corrections_are_issued_once_and_listed_newest_first(
    client: Client, office: Office
) -> None:
    spring(office)
    assert client.post(f"{POINT}/corrections").json() == {"ppe": PPE, "corrections": []}
    told(office.store, month("2024-02"), 100, 500, counter=5000)
    first = client.post(f"{POINT}/corrections")
    assert first.status_code == 201
    february, march = first.json()["corrections"][::-1]
    assert (february["number"], february["corrects"]) == (
        "FK-2024-02-000001",
        "FV-2024-02-000001",
    )
    assert (march["reason"], february["reason"]) == ("ledger", "readings")
    assert march["billed"]["summary"]["7_deposit_used_gr"] == 13554
    again = client.post(f"{POINT}/corrections")
    assert (again.status_code, again.json()["corrections"]) == (200, [])
    assert client.get(f"{POINT}/corrections").json() == first.json()


def test_a_ledger_tells_open_lots_and_entries_as_known_on_a_day(
    client: Client, office: Office
) -> None:
    spring(office)
    told_now = client.get(f"{POINT}/ledger").json()
    assert told_now["accounts"]["deposit"] == {"unit": "gr", "open": 0, "lots": []}
    assert [each["kind"] for each in told_now["entries"]] == ["booked", "used"]
    assert told_now["entries"][0] == {
        "recorded_s": told_now["entries"][1]["recorded_s"],
        "document": "FV-2024-03-000002",
        "account": "deposit",
        "kind": "booked",
        "lot": "2024-02",
        "month": "2024-03",
        "zone": "",
        "amount": 13554,
        "unit": "gr",
        "note": "(418 kWh x 324.25 PLN/MWh) x 1",
    }
    before = client.get(f"{POINT}/ledger?as_of=2024-04-11").json()
    assert (before["as_of"], before["accounts"], before["entries"]) == ("2024-04-11", {}, [])
    on_the_day = client.get(f"{POINT}/ledger?as_of=2024-04-12").json()
    assert on_the_day["entries"] == told_now["entries"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_accounts_are_not_served_without_the_token(client: Client, method: str) -> None:
    for path in ("corrections", "ledger"):
        if (method, path) != ("POST", "ledger"):
            answer = client.request(
                method, f"{POINT}/{path}", headers={"authorization": f"Basic {TOKEN}"}
            )
            assert refused(answer) == (401, "unauthorized")


@pytest.mark.parametrize("path", ["corrections", "ledger"])
def test_a_point_that_is_not_there_has_no_account(client: Client, path: str) -> None:
    assert refused(client.get(f"{POINT}/{path}")) == (404, "unknown_point")
    assert refused(client.get(f"/v1/points/1/{path}")) == (404, "bad_ppe")
    assert refused(client.post(f"{POINT}/corrections")) == (404, "unknown_point")


def test_a_day_of_a_ledger_is_a_day(client: Client) -> None:
    client.put(POINT, content=a_point())
    assert refused(client.get(f"{POINT}/ledger?as_of=soon")) == (422, "bad_period")


def test_an_invoice_out_of_order_is_refused_by_name(client: Client, office: Office) -> None:
    put(office.store, a_point_form(a_prosumer(cap_entitled=False)))
    for number in (2, 3, 4):
        told(office.store, month(f"2024-0{number}"), 100, 700, counter=1000 * number)
    issued(office.store, "2024-02", "2024-03-01")
    order = {"start": "2024-04-01", "end": "2024-05-01"}
    answer = client.post(f"{POINT}/invoices", json=order)
    assert refused(answer) == (409, "out_of_order")
    assert "bill 2024-03-01 to 2024-04-01 first" in answer.json()["detail"]
