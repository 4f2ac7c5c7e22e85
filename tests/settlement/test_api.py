"""The HTTP interface: who may ask, what is answered, and the name of every refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard
from litestar.testing import TestClient

from settlement import ingest, service
from settlement.api import ORDER_BYTES_MAX, Office
from tests.support.settlement import (
    A_DAY,
    OTHER_METER_ID,
    OTHER_PPE,
    PPE,
    TOKEN,
    a_batch,
    a_day_of_profiles,
    a_key,
    a_point,
    a_profile,
    a_settled_day,
    refused,
    send,
)

Client = TestClient[Any]
ORDER = {"start": "2024-10-14", "end": "2024-10-15"}
POINT = f"/v1/points/{PPE}"


def test_a_batch_becomes_readings_and_an_invoice(client: Client) -> None:
    a_settled_day(client)
    response = client.post(f"{POINT}/invoices", json=ORDER)
    assert response.status_code == 201
    invoice = response.json()
    assert invoice["usage"]["import_wh"] == 9600
    assert invoice["usage"]["billed_kwh"] == "10"
    assert invoice["number"] == "FV-2024-10-000001"
    assert client.get(f"{POINT}/invoices").json() == {"ppe": PPE, "invoices": [invoice]}
    assert client.get(f"{POINT}/invoices/{invoice['number']}").json() == invoice


def test_asking_again_returns_the_stored_invoice_whatever_came_in_since(client: Client) -> None:
    a_settled_day(client)
    issued = client.post(f"{POINT}/invoices", json=ORDER)
    corrected = a_profile(frame_counter=99, registers_wh=[0, 0])
    assert send(client, a_batch([corrected], first_id=500)).json()["accepted"] == 1
    again = client.post(f"{POINT}/invoices", json=ORDER)
    assert (issued.status_code, again.status_code) == (201, 200)
    assert again.json() == issued.json()


def test_a_compressed_batch_is_taken_and_its_replay_is_marked(client: Client) -> None:
    body = a_batch([a_profile()])
    packed = zstandard.ZstdCompressor().compress(body)
    headers = {"idempotency-key": a_key(body), "content-encoding": "zstd"}
    first = client.post("/v1/batches", content=packed, headers=headers)
    again = client.post("/v1/batches", content=packed, headers=headers)
    assert first.json() == again.json() == {"accepted": 1, "duplicate": 0, "rejected": []}
    assert first.headers["content-type"].startswith("application/json")
    assert first.headers["idempotency-replayed"] == "false"
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer żółw"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/batches"),
        ("PUT", POINT),
        ("POST", f"{POINT}/invoices"),
        ("GET", f"{POINT}/invoices"),
        ("GET", f"{POINT}/invoices/FV-2024-10-000001"),
        ("GET", f"{POINT}/readings?day=2024-10-14"),
    ],
)
def test_nothing_is_served_without_the_token(
    client: Client, method: str, path: str, value: str
) -> None:
    response = client.request(method, path, headers={b"authorization": value.encode()})
    assert refused(response) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in response.text


def test_every_refusal_of_a_batch_has_its_status_and_name(client: Client) -> None:
    body = a_batch([a_profile()])
    no_key = client.post("/v1/batches", content=body)
    assert refused(no_key) == (400, "missing_idempotency_key")
    assert refused(send(client, body, idempotency_key="")) == (400, "bad_idempotency_key")
    assert refused(send(client, body, content_encoding="br")) == (415, "bad_encoding")
    assert refused(send(client, body, content_encoding="zstd")) == (400, "malformed")
    assert refused(send(client, b"{}")) == (400, "malformed")
    assert send(client, body, idempotency_key="k").status_code == 200
    assert refused(send(client, b"{}", idempotency_key="k")) == (422, "idempotency_key_reused")


def test_a_body_above_the_limit_is_refused_with_and_without_a_declared_length(
    client: Client,
) -> None:
    large = b" " * (ingest.BODY_BYTES_MAX + 1)
    assert refused(send(client, large)) == (413, "too_large")
    chunked = client.post("/v1/batches", content=iter([large]), headers={"idempotency-key": "k"})
    assert refused(chunked) == (413, "too_large")
    assert refused(send(client, large[:-1])) == (400, "malformed")


def test_a_full_disk_is_answered_507_and_the_batch_goes_through_when_there_is_room(
    client: Client, office: Office
) -> None:
    body = a_batch(a_day_of_profiles())
    office.store.limit_pages(1)
    response = send(client, body)
    assert refused(response) == (507, "storage_full")
    assert int(response.headers["retry-after"]) > 0
    office.store.limit_pages(1_000_000)
    assert send(client, body).json()["accepted"] == 24


@pytest.mark.parametrize(
    ("order", "status", "reason"),
    [
        ({"start": "2024-10-14"}, 400, "malformed"),
        ({**ORDER, "policy": "x"}, 400, "malformed"),
        ({"start": "14.10.2024", "end": "2024-10-15"}, 422, "bad_period"),
        ({"start": "2024-10-15", "end": "2024-10-15"}, 422, "bad_period"),
        ({"start": "2023-10-14", "end": "2023-10-15"}, 422, "outside_contract"),
        ({"start": "2024-10-14", "end": "2024-10-16"}, 422, "incomplete"),
    ],
)
def test_a_wrong_order_of_an_invoice_is_refused_by_name(
    client: Client, order: dict[str, str], status: int, reason: str
) -> None:
    a_settled_day(client)
    assert refused(client.post(f"{POINT}/invoices", json=order)) == (status, reason)


def test_a_missing_hour_is_named_and_no_invoice_is_issued(client: Client) -> None:
    client.put(POINT, content=a_point())
    kept = [each for place, each in enumerate(a_day_of_profiles()) if place != 7]
    send(client, a_batch(kept))
    response = client.post(f"{POINT}/invoices", json=ORDER)
    assert refused(response) == (422, "incomplete")
    gap_start_s = A_DAY.start_s + 7 * 3600
    assert response.json()["gaps"] == [[gap_start_s, gap_start_s + 3600]]
    assert response.json()["missing_s"] == 3600
    assert client.get(f"{POINT}/invoices").json()["invoices"] == []


def test_no_day_is_billed_twice(client: Client) -> None:
    a_settled_day(client)
    assert client.post(f"{POINT}/invoices", json=ORDER).status_code == 201
    wider = {"start": "2024-10-13", "end": "2024-10-15"}
    assert refused(client.post(f"{POINT}/invoices", json=wider)) == (409, "invoice_overlaps")


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        (f"{POINT}/readings?day=2024-10-14", 404, "unknown_point"),
        (f"{POINT}/readings?day=today", 422, "bad_period"),
        (f"{POINT}/readings", 400, "bad_request"),
        ("/v1/points/123/invoices", 404, "bad_ppe"),
        (f"{POINT}/invoices/FV-1", 404, "unknown_point"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/batches", 405, "method_not_allowed"),
    ],
)
def test_asking_for_what_is_not_there_is_answered_by_name(
    client: Client, path: str, status: int, reason: str
) -> None:
    assert refused(client.get(path)) == (status, reason)


def test_an_invoice_belongs_to_its_point_only(client: Client) -> None:
    a_settled_day(client)
    number = client.post(f"{POINT}/invoices", json=ORDER).json()["number"]
    other = f"/v1/points/{OTHER_PPE}"
    client.put(other, content=a_point([(OTHER_METER_ID, 0, None)]))
    assert refused(client.get(f"{other}/invoices/{number}")) == (404, "unknown_invoice")


def test_an_order_has_a_limit(client: Client) -> None:
    padded = json.dumps(ORDER).encode().ljust(ORDER_BYTES_MAX + 1)
    assert refused(client.post(f"{POINT}/invoices", content=padded)) == (413, "too_large")
    client.put(POINT, content=a_point())
    at_limit = client.post(f"{POINT}/invoices", content=padded[:-1])
    assert refused(at_limit) == (422, "incomplete")


def test_a_fault_of_ours_is_answered_without_its_traceback(office: Office) -> None:
    broken = Office(office.store, office.law, office.token, lambda: 1 // 0)
    app = service.application(broken, portal=False)
    with TestClient(app, raise_server_exceptions=False) as client:
        headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "k"}
        response = client.post("/v1/batches", content=b"{}", headers=headers)
    assert refused(response) == (500, "internal_error")
    assert "Traceback" not in response.text
    assert "ZeroDivision" not in response.text


def test_health_is_told_without_a_token(client: Client, office: Office) -> None:
    del client.headers["authorization"]
    assert client.get("/livez").json() == {"status": "live"}
    assert client.get("/readyz").json() == {"status": "ready"}
    office.store.close()
    assert client.get("/livez").status_code == 200
    assert refused(client.get("/readyz")) == (503, "store_failed")


def test_the_page_is_not_there_when_it_is_disabled(client: Client) -> None:
    assert client.get(f"/moj-licznik/{PPE}").status_code == 404
