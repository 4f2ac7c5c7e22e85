"""Metering points over HTTP: contracts, changed meters, and the hours of a day."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar.testing import TestClient

from settlement.api import POINT_BYTES_MAX
from tests.support.settlement import (
    A_DAY,
    METER_ID,
    OTHER_METER_ID,
    OTHER_PPE,
    PPE,
    a_batch,
    a_day_of_profiles,
    a_point,
    a_profile,
    refused,
    send,
)

Client = TestClient[Any]
ORDER = {"start": "2024-10-14", "end": "2024-10-15"}
POINT = f"/v1/points/{PPE}"


def test_a_point_keeps_its_version_until_it_changes(client: Client) -> None:
    assert client.put(POINT, content=a_point()).json() == {"ppe": PPE, "version": 1}
    assert client.put(POINT, content=a_point()).json()["version"] == 1
    assert client.put(POINT, content=a_point([(METER_ID, 900, None)])).json()["version"] == 2


def test_a_meter_measures_one_point_at_a_time(client: Client) -> None:
    other = f"/v1/points/{OTHER_PPE}"
    assert client.put(POINT, content=a_point([(METER_ID, 900, 1800)])).status_code == 200
    for from_s, to_s in ((0, None), (0, 901), (1799, None), (1000, 1100)):
        taken = client.put(other, content=a_point([(METER_ID, from_s, to_s)]))
        assert refused(taken) == (409, "meter_taken")
    free = a_point([(METER_ID, 0, 900), (OTHER_METER_ID, 900, 1800), (METER_ID, 1800, None)])
    assert client.put(other, content=free).status_code == 200


def changed(field: str, value: object) -> bytes:
    point = json.loads(a_point())
    point["contract"][field] = value
    return json.dumps(point).encode()


def changed_point(field: str, value: object) -> bytes:
    return json.dumps({**json.loads(a_point()), field: value}).encode()


def two_contracts(ends: str) -> bytes:
    """A second contract from 1 July, the first one ends on a day."""
    point = json.loads(a_point())
    first = {**point.pop("contract"), "valid_to": ends}
    second = {**first, "valid_from": "2024-07-01", "valid_to": None}
    return json.dumps({**point, "contracts": [first, second]}).encode()


def test_a_point_may_have_several_contracts(client: Client) -> None:
    assert client.put(POINT, content=two_contracts("2024-07-01")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "malformed"),
        (changed("colour", "red"), 400, "malformed"),
        (changed("unit_price_pln_per_kwh", 0.649), 400, "malformed"),
        (changed("unit_price_pln_per_kwh", "0,649"), 422, "bad_number"),
        (changed("phases", 2), 422, "bad_contract"),
        (changed("tariff_group", "G99"), 422, "unsupported_tariff"),
        (changed("scheme", "barter"), 422, "unsupported_scheme"),
        (changed("scheme", "net_billing"), 422, "bad_contract"),
        (changed("policies", {"cap_scope": "x"}), 422, "bad_policy"),
        (two_contracts("2024-07-02"), 422, "overlapping_contracts"),
        (changed_point("contract", None), 422, "bad_contract"),
        (
            changed_point("opening", {"deposit": [{"month": "x", "value_gr": 1, "open_gr": 1}]}),
            422,
            "bad_period",
        ),
        (a_point([("xyz", 0, None)]), 400, "malformed"),
        (a_point([(METER_ID, 900, 900)]), 422, "bad_assignment"),
        (b" " * (POINT_BYTES_MAX + 1), 413, "too_large"),
    ],
)
def test_a_wrong_point_is_refused_by_name(
    client: Client, body: bytes, status: int, reason: str
) -> None:
    assert refused(client.put(POINT, content=body)) == (status, reason)
    assert refused(client.get(f"{POINT}/invoices")) == (404, "unknown_point")


def test_a_point_has_a_limited_number_of_meters(client: Client) -> None:
    meters = [(METER_ID, 900 * n, 900 * (n + 1)) for n in range(101)]
    assert refused(client.put(POINT, content=a_point(meters))) == (400, "malformed")
    assert client.put(POINT, content=a_point(meters[:100])).status_code == 200


def test_a_meter_changed_at_noon_is_billed_from_both_meters(client: Client) -> None:
    noon_s = A_DAY.start_s + 12 * 3600
    meters = [(METER_ID, 0, noon_s), (OTHER_METER_ID, noon_s, None)]
    client.put(POINT, content=a_point(meters))
    day = a_day_of_profiles()
    second = a_profile(
        noon_s,
        meter_id=OTHER_METER_ID,
        registers_wh=[5, 0],
        deltas_wh=[[50] * 48, [0] * 48],
        quality=[0] * 48,
    )
    # The old meter lies on the bench and goes on sending: after noon it counts for nobody.
    send(client, a_batch([*day, second]))
    invoice = client.post(f"{POINT}/invoices", json=ORDER).json()
    assert invoice["usage"]["import_wh"] == 48 * 100 + 48 * 50


def test_a_meter_changed_inside_of_an_interval_leaves_it_missing(client: Client) -> None:
    changed_s = A_DAY.start_s + 12 * 3600 + 60
    client.put(POINT, content=a_point([(METER_ID, 0, changed_s)]))
    send(client, a_batch(a_day_of_profiles()))
    response = client.post(f"{POINT}/invoices", json=ORDER)
    assert refused(response) == (422, "incomplete")
    assert response.json()["gaps"] == [[changed_s - 60, A_DAY.end_s]]


def test_the_hours_of_a_day_show_missing_as_null(client: Client) -> None:
    client.put(POINT, content=a_point())
    send(client, a_batch([a_profile(), a_profile(A_DAY.start_s + 7200, quality=[0, 3, 0, 0])]))
    hours = client.get(f"{POINT}/readings?day=2024-10-14").json()["hours"]
    assert len(hours) == 24
    assert hours[0] == {
        "start_s": A_DAY.start_s,
        "label": "1",
        "import_wh": 100,
        "export_wh": 3,
        "quality": "measured",
    }
    assert [hour["import_wh"] for hour in hours[1:]] == [None] * 23
    assert hours[1]["quality"] == hours[2]["quality"] == "missing"


@pytest.mark.parametrize(("day", "count"), [("2024-03-31", 23), ("2024-10-27", 25)])
def test_days_of_the_clock_change_have_all_their_hours(
    client: Client, day: str, count: int
) -> None:
    client.put(POINT, content=a_point())
    assert len(client.get(f"{POINT}/readings?day={day}").json()["hours"]) == count
