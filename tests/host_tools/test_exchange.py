"""The exchange of a meter: what belongs to which, settlement, the invoice, the record."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from host_tools.pairing import handover, work_orders
from host_tools.pairing.errors import BadInput, Conflict, SettlementRefused, SettlementUnreachable
from host_tools.pairing.exchange import Readings, SettlementClient, exchanged, reported, split
from host_tools.pairing.identity import Secret
from settlement.service import application
from tests.support.an_order import NEW, OLD, ORDER, PPE, READINGS, TEN_S, done
from tests.support.answers import Answers, a_server
from tests.support.settlement import (
    A_DAY,
    TOKEN,
    a_batch,
    a_point,
    a_profile,
    an_office,
    send,
)
from wire.messages import REGISTER_WH_MAX

POINT: dict[str, Any] = {
    "contract": {"tariff_group": "G11"},
    "meters": [{"meter_id": OLD, "from_s": TEN_S - 900 * 1000, "to_s": None}],
}


# ------------------------------------------------------------------ the exchange


def test_an_exchange_on_the_grid_loses_no_interval() -> None:
    assert split(TEN_S, TEN_S) == (TEN_S, TEN_S, 900)
    assert split(TEN_S, TEN_S).lost == 0
    assert split(TEN_S, TEN_S).warning == ""


@pytest.mark.parametrize(
    ("removed", "installed", "lost"),
    [(0, 1, 1), (-1, 0, 1), (1, 1, 1), (0, 900, 1), (-1, 901, 3), (899, 901, 2), (60, 600, 1)],
)
def test_an_interval_in_which_the_meter_was_changed_belongs_to_neither(
    removed: int, installed: int, lost: int
) -> None:
    parted = split(TEN_S + removed, TEN_S + installed)
    assert parted.lost == lost
    assert parted.old_to_s <= TEN_S + removed < parted.old_to_s + 900
    assert parted.new_from_s - 900 < TEN_S + installed <= parted.new_from_s
    assert "neither meter" in parted.warning
    assert "15 minutes" in parted.warning


@pytest.mark.parametrize(
    ("removed", "installed", "period"),
    [(1, 0, 900), (0, 86_401, 900), (0, 0, 59), (0, 0, 7), (0, 0, 3601), (0, 0, 0)],
)
def test_times_that_cannot_be_are_refused(removed: int, installed: int, period: int) -> None:
    with pytest.raises(BadInput):
        split(TEN_S + removed, TEN_S + installed, period)
    assert split(TEN_S, TEN_S + 86_400).lost == 96


def test_an_exchange_is_recorded_once() -> None:
    order = done()
    assert (order.state, order.new_meter_id, order.old_import_wh) == ("done", NEW, 12_345_678)
    assert order.technician == "Anna Nowak", "the order's own, when nobody else is named"
    same = exchanged(order, NEW, TEN_S, TEN_S, READINGS, TEN_S + 90_000, "", "P-1")
    assert same == order
    with pytest.raises(Conflict) as other:
        exchanged(order, NEW, TEN_S, TEN_S + 60, READINGS, TEN_S + 90_000, "")
    assert other.value.reason == "already_done"


@pytest.mark.parametrize(
    ("new_meter_id", "readings", "now_s", "said"),
    [
        (OLD, READINGS, TEN_S, "is the old one"),
        (NEW, READINGS, TEN_S - 1, "time to come"),
        (NEW, READINGS._replace(old_import_wh=-1), TEN_S, "old_import: the register"),
        (NEW, READINGS._replace(new_import_wh=-1), TEN_S, "new_import"),
        (NEW, READINGS._replace(new_export_wh=-2), TEN_S, "new_export"),
        (NEW, READINGS._replace(old_export_wh=REGISTER_WH_MAX + 1), TEN_S, "old_export"),
    ],
)
def test_what_cannot_be_an_exchange_is_refused(
    new_meter_id: str, readings: Readings, now_s: int, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        exchanged(ORDER, new_meter_id, TEN_S, TEN_S, readings, now_s, "")
    assert work_orders.REGISTER_WH_MAX == REGISTER_WH_MAX


# ------------------------------------------------------------------ settlement


def test_the_point_has_both_meters_without_a_gap_or_an_overlap() -> None:
    before = copy.deepcopy(POINT)
    point = reported(POINT, done())
    assert before == POINT, "what was given stays as it is"
    assert point == {
        "contract": {"tariff_group": "G11"},
        "meters": [
            {"meter_id": OLD, "from_s": TEN_S - 900_000, "to_s": TEN_S},
            {"meter_id": NEW, "from_s": TEN_S, "to_s": None},
        ],
    }
    assert reported(point, done()) is point, "the same again changes nothing"


def test_intervals_between_the_meters_are_left_to_neither() -> None:
    point = reported(POINT, done(TEN_S + 60, TEN_S + 600))
    assert [each["to_s"] for each in point["meters"]] == [TEN_S, None]
    assert point["meters"][1]["from_s"] == TEN_S + 900


def test_a_meter_that_was_not_ours_leaves_no_trace() -> None:
    point = reported({"contracts": [], "meters": []}, done(old_meter_id=""))
    assert point["meters"] == [{"meter_id": NEW, "from_s": TEN_S, "to_s": None}]


@pytest.mark.parametrize(
    ("meters", "old", "reason"),
    [
        ([], OLD, "other_meter"),
        ([{"meter_id": "ff" * 8, "from_s": 0}], OLD, "other_meter"),
        ([{"meter_id": "ff" * 8, "from_s": 0}], "", "other_meter"),
        ([{"meter_id": OLD, "from_s": TEN_S, "to_s": None}], OLD, "measured_later"),
        ([{"meter_id": OLD, "from_s": 0, "to_s": TEN_S + 1}], OLD, "measured_later"),
        ([{"meter_id": NEW, "from_s": 0, "to_s": 900}], OLD, "meter_twice"),
    ],
)
def test_a_point_that_contradicts_the_order_is_a_conflict_by_name(
    meters: list[dict[str, Any]], old: str, reason: str
) -> None:
    with pytest.raises(Conflict) as conflict:
        reported({"contract": {}, "meters": meters}, done(old_meter_id=old))
    assert conflict.value.reason == reason


@pytest.mark.parametrize(
    "point", [{}, {"meters": []}, {"contract": {}}, {"contract": {}, "meters": {}},
              {"contract": {}, "meters": [5]}, {"contract": {}, "meters": [{"meter_id": OLD}]},
              {"contract": {}, "meters": [{"meter_id": 5, "from_s": 0}]}],
)  # fmt: skip
def test_what_is_no_point_is_refused(point: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="point"):
        reported(point, done())
    with pytest.raises(BadInput, match="record the exchange first"):
        reported(POINT, ORDER)


def test_settlement_is_told_with_its_token_and_its_refusals_are_named() -> None:
    refusal = b'{"reason": "meter_taken", "detail": "end it there with to_s"}'
    with a_server((200, b'{"version": 3}', {}), (409, refusal, {}), (401, b"", {})) as port:
        client = SettlementClient(f"http://127.0.0.1:{port}", Secret(b"operators-token"))
        assert client.put_point(PPE, reported(POINT, done())) == 3
        with pytest.raises(SettlementRefused, match="settlement says meter_taken: end it") as no:
            client.put_point(PPE, POINT)
        assert (no.value.status, no.value.problem) == (409, "meter_taken")
        with pytest.raises(SettlementRefused, match="status 401"):
            client.put_point(PPE, POINT)
    method, path, body = Answers.seen[0]
    assert (method, path) == ("PUT", f"/v1/points/{PPE}")
    assert [each["meter_id"] for each in json.loads(body)["meters"]] == [OLD, NEW]
    with pytest.raises(SettlementUnreachable, match="does not answer"):
        SettlementClient(
            f"http://127.0.0.1:{port}", Secret(b"operators-token"), sleep=lambda _: None
        ).put_point(PPE, POINT)


# ------------------------------------------------------------------ the record


def test_the_record_is_one_page_that_says_everything() -> None:
    page = handover.record(done(TEN_S + 60, TEN_S + 600))
    lines = page.splitlines()
    assert len(lines) <= handover.LINES_MAX
    assert max(map(len, lines)) <= handover.COLUMNS
    assert all(char.isprintable() for line in lines for char in line)
    assert page.encode().decode("utf-8") == page
    for text in (
        "PROTOKÓŁ WYMIANY LICZNIKA", "nr WO-17", PPE, "ul. Żółwia 1", "Jan Kowalski", "12345678",
        "01.12.2026 10:01 (CET)", "12 345,678 kWh", "0,012 kWh", "0011-2233-4455-66BB-",
        "nie należą do żadnego z liczników", "(liczba: 1)", "P-1", "Technik: Anna Nowak",
        "Odbiorca",
    ):  # fmt: skip
        assert text in page.replace("\n  ", " "), text
    assert OLD not in page


def test_the_record_of_an_exchange_on_the_grid_says_that_nothing_was_lost() -> None:
    assert "leży na granicy okresu rejestracji" in handover.record(done()).replace("\n  ", " ")


def test_a_register_that_a_meter_does_not_have_is_said_so() -> None:
    order = exchanged(ORDER, NEW, TEN_S, TEN_S, Readings(1000, 0), TEN_S, "")
    assert handover.record(order).count("— (brak rejestru)") == 2


def test_a_record_that_does_not_fit_its_page_or_is_not_done_is_refused() -> None:
    with pytest.raises(BadInput, match="record the exchange first"):
        handover.record(ORDER)
    with pytest.raises(BadInput, match="shorten remarks"):
        handover.record(replace(done(), remarks="długie uwagi " * 200))


# ------------------------------------------------------------------ the invoice


def told_by(meter_id: str, first: int, last: int) -> bytes:
    """A batch of the quarters [first, last) of A_DAY, 100 Wh each, registers from 0."""
    profiles = [
        a_profile(
            A_DAY.start_s + 900 * place, meter_id=meter_id, frame_counter=place, first=1 + place,
            registers_wh=[100 * (place - first), 0], deltas_wh=[[100], [0]], quality=[0],
        )
        for place in range(first, last)
    ]  # fmt: skip
    return a_batch(profiles)


@pytest.mark.parametrize(
    ("removed", "installed", "lost"), [(40, 40, 0), (40.2, 40.4, 1), (40, 42, 2)]
)
def test_the_invoice_spans_the_exchange_and_misses_what_belongs_to_neither(
    tmp_path: Path, removed: float, installed: float, lost: int
) -> None:
    order = replace(ORDER, old_meter_id=OLD)
    removed_s, installed_s = (A_DAY.start_s + int(900 * at) for at in (removed, installed))
    order = exchanged(order, NEW, removed_s, installed_s, Readings(4000, 0), TEN_S, "")
    point = reported(json.loads(a_point(((OLD, 0, None),))), order)
    office = an_office(tmp_path)
    with TestClient(application(office, portal=False)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert client.put(f"/v1/points/{PPE}", json=point).status_code == 200
        for batch in (told_by(OLD, 0, 40), told_by(NEW, 40 + lost, 96)):
            assert send(client, batch).status_code == 200
        period = {"start": A_DAY.start.isoformat(), "end": A_DAY.end.isoformat()}
        answer = client.post(f"/v1/points/{PPE}/invoices", json=period)
    office.store.close()
    if lost:
        assert (answer.status_code, answer.json()["reason"]) == (422, "incomplete")
        assert answer.json()["missing_s"] == 900 * lost
    else:
        assert answer.status_code == 201, answer.json()
        assert answer.json()["usage"]["import_wh"] == 96 * 100
