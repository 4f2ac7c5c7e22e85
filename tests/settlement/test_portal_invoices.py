"""Mój Licznik shows what prosumers and multi-zone groups need: storage, deposit, corrections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from settlement import points, service
from settlement.api import Office
from settlement.portal import words
from settlement.tables.zones import load_schedules
from tests.support.settled import corrected, issued, month, put, told
from tests.support.settlement import PPE, a_form, a_point_form, a_prosumer

Client = TestClient[Any]
PAGE = f"/moj-licznik/{PPE}?day=2024-02-01"


@pytest.fixture
def client(empty_office: Office) -> Iterator[Client]:
    app = service.application(empty_office, portal=True)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


def page_of(client: Client) -> str:
    response = client.get(PAGE)
    assert response.status_code == 200
    return response.text


def spring(office: Office, form: points.PointForm) -> None:
    put(office.store, form)
    told(office.store, month("2024-02"), 100, 700)
    told(office.store, month("2024-03"), 300, 0, counter=1000)
    issued(office.store, "2024-02", "2024-03-01")
    issued(office.store, "2024-03", "2024-04-12")


def test_a_prosumer_sees_the_deposit_that_is_left(client: Client, empty_office: Office) -> None:
    spring(empty_office, a_point_form(a_prosumer(cap_entitled=False)))
    page = page_of(client)
    assert "5. Depozyt z okresów poprzednich" in page
    assert "135,54 zł" in page
    assert "Depozyt prosumencki: do zwrotu 0,00 zł" in page
    assert "Magazyn wirtualny" not in page


def test_a_prosumer_sees_what_the_storage_did(client: Client, empty_office: Office) -> None:
    spring(empty_office, a_point_form(a_prosumer(scheme="net_metering", cap_entitled=False)))
    page = page_of(client)
    assert "Magazyn wirtualny: przyjęto 334,080 kWh" in page
    assert "pokryto 222,900 kWh, przepadło 0,000 kWh, pozostało 111,180 kWh." in page
    assert "Depozyt prosumencki" not in page


def test_a_correction_is_listed_under_the_invoice_it_corrects(
    client: Client, empty_office: Office
) -> None:
    spring(empty_office, a_point_form(a_prosumer(cap_entitled=False)))
    assert "Korekta" not in page_of(client)
    told(empty_office.store, month("2024-02"), 800, 600, counter=5000)
    corrected(empty_office.store, "2024-04-13")
    page = page_of(client)
    assert "Korekta FK-2024-02-000001, przyczyna: zmiana danych pomiarowych." in page
    assert page.index("FV-2024-03-000002") < page.index("FK-2024-03") < page.index("FV-2024-02")
    assert "należało policzyć" in page


def test_a_line_names_its_zone_in_polish_where_there_are_several() -> None:
    names = [words.line_name({"code": "active_energy", "zone": each}) for each in ("day", "night")]
    assert names == ["Energia czynna, dzień", "Energia czynna, noc"]
    assert words.line_name({"code": "trade_fee", "zone": ""}) == "Opłata handlowa"
    assert words.line_name({"code": "active_energy", "zone": "all_day"}) == "Energia czynna"


def test_every_zone_of_every_group_has_a_polish_name() -> None:
    schedules = load_schedules()
    for group in schedules.groups:
        for zone in schedules.zones(group, month("2026-01").start):
            name = words.zone_name(zone)
            assert "_" not in name
            assert name or zone == "all_day"
    assert words.zone_name("summer_workday_day_offpeak") == "lato, dzień roboczy, poza szczytem"
    assert words.zone_name("winter_free_night") == "zima, dzień wolny, noc"


def test_a_rebate_lowers_what_is_to_pay(client: Client, empty_office: Office) -> None:
    put(empty_office.store, a_point_form(a_form(cap_entitled=False), rebate_gr=5000))
    told(empty_office.store, month("2024-02"))
    issued(empty_office.store, "2024-02", "2024-03-01")
    page = page_of(client)
    assert "Upust 10%" in page
    assert "8. Do zapłaty (3 − 7 − upust)" in page
    assert "50,00 zł" in page
