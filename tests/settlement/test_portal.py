"""Mój Licznik: every kind of day, missing drawn as missing, invoices in full, no scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from litestar.testing import TestClient

from settlement import close, ingest, points, service
from settlement.api import Office
from settlement.hours import HourReading
from settlement.portal import bars, words
from settlement.portal.pages import pages
from settlement.rules.periods import Period, hours_of
from tests.support.settlement import (
    A_DAY,
    NOW_S,
    PPE,
    a_batch,
    a_day_of_profiles,
    a_key,
    a_point,
)

Client = TestClient[Any]
PAGE = f"/moj-licznik/{PPE}"
VOID = {"meta", "link", "input", "br"}


@pytest.fixture
def office(empty_office: Office) -> Office:
    close.put_point(empty_office.store, empty_office.law, PPE, points.decode(a_point()), NOW_S)
    return empty_office


@pytest.fixture
def client(office: Office) -> Iterator[Client]:
    app = service.application(office, portal=True)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


class Outline(HTMLParser):
    """Tags, their classes and all text; notices tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rects: list[dict[str, str | None]] = []
        self.names: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        self.names.append(tag)
        assert "style" not in fields
        assert not any(name.startswith("on") for name in fields)
        if tag == "rect":
            self.rects.append(fields)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def bars(self, kind: str) -> list[dict[str, str | None]]:
        return [rect for rect in self.rects if rect.get("class") == kind]


def outline(client: Client, path: str) -> Outline:
    response = client.get(path)
    assert response.status_code == 200
    read = Outline(response.text)
    assert read.open == []
    return read


def stored(office: Office, period: Period, skip: int | None = None) -> None:
    profiles = [each for n, each in enumerate(a_day_of_profiles(period)) if n != skip]
    body = a_batch(profiles)
    ingest.take(office.store, a_key(body), body, NOW_S)


def test_a_whole_day_has_a_bar_for_each_hour_and_its_sum(client: Client, office: Office) -> None:
    stored(office, A_DAY)
    page = outline(client, f"{PAGE}?day=2024-10-14")
    assert len(page.bars("import")) == len(page.bars("export")) == 24
    assert page.bars("missing") == []
    assert "14 października 2024, poniedziałek" in page.text
    assert "9,600 kWh" in page.text
    assert "Brak danych dla" not in page.text


@pytest.mark.parametrize(
    ("day", "hours", "labels_3"), [("2024-03-31", 23, 0), ("2024-10-27", 25, 2)]
)
def test_days_of_the_clock_change_are_drawn_whole(
    client: Client, office: Office, day: str, hours: int, labels_3: int
) -> None:
    start = date.fromisoformat(day)
    end = start + timedelta(days=1)
    stored(office, Period(start, end))
    text = client.get(f"{PAGE}?day={day}").text
    page = Outline(text)
    assert len(page.bars("import")) == hours
    assert page.bars("missing") == []
    assert len(re.findall(r'class="hour[^>]*>3</text>', text)) == labels_3


def test_a_missing_hour_is_hatched_and_not_a_zero(client: Client, office: Office) -> None:
    stored(office, A_DAY, skip=7)
    page = outline(client, f"{PAGE}?day=2024-10-14")
    assert len(page.bars("import")) == 23
    assert len(page.bars("missing")) == 2  # one above and one below the axis
    assert all(rect["height"] != "0" for rect in page.bars("missing"))
    assert "Brak danych dla 1 z 24 godzin" in page.text
    assert "brak danych" in page.text


def test_a_day_without_readings_is_all_hatched(client: Client) -> None:
    page = outline(client, f"{PAGE}?day=2024-10-14")
    assert page.bars("import") == []
    assert "Brak danych dla 24 z 24 godzin" in page.text
    assert "Nie wystawiono jeszcze żadnej faktury" in page.text


def test_the_page_opens_on_the_latest_day_with_readings(client: Client, office: Office) -> None:
    stored(office, A_DAY)
    text = client.get(PAGE).text
    assert "14 października 2024" in text
    assert f'href="{PAGE}?day=2024-10-13"' in text
    assert f'href="{PAGE}?day=2024-10-15"' in text


def test_an_invoice_shows_every_line_and_every_row_of_the_summary(
    client: Client, office: Office
) -> None:
    stored(office, A_DAY)
    invoice, _ = close.issue(office.store, office.law, PPE, A_DAY, NOW_S)
    page = outline(client, PAGE)
    assert invoice.number in page.text
    assert "14 października 2024 – 14 października 2024" in page.text
    names = set(words.LINE_NAMES.values()) - {"Opłata handlowa"}
    for name in names:
        assert name in page.text
    for row in range(1, 9):
        assert f"{row}. " in page.text
    # 10 kWh at 0.505: 5.05 net, 1.16 VAT, 6.21 gross.
    assert all(amount in page.text for amount in ("5,05", "1,16", "6,21", "0,50500"))


def test_every_answer_forbids_scripts_and_foreign_frames(client: Client) -> None:
    for path in (PAGE, f"{PAGE}?day=x", "/moj-licznik/1", "/moj-licznik/style.css"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    assert "script" not in outline(client, PAGE).names
    assert client.get("/moj-licznik/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/moj-licznik/590322400000000027", 404),
        ("/moj-licznik/%3Cscript%3E", 404),
        (f"{PAGE}?day=%3Cscript%3E", 400),
        (f"{PAGE}?day=1999-01-01", 400),
    ],
)
def test_a_wrong_address_gets_a_polish_page_without_an_echo(
    client: Client, path: str, status: int
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert "<script" not in response.text
    assert 'lang="pl"' in response.text


def test_what_comes_from_outside_is_escaped() -> None:
    page = pages.get_template("refused.html")
    text = page.render(heading="<b>", advice='"&', reason="<script>")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_foreign_host_name_reads_nothing(client: Client, host: str) -> None:
    response = client.get(PAGE, headers={"host": host})
    assert response.status_code == 421
    assert response.json()["reason"] == "wrong_host"


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080"])
def test_names_of_this_computer_are_served(client: Client, host: str) -> None:
    assert client.get(PAGE, headers={"host": host}).status_code == 200


def readings(import_wh: int | None, export_wh: int | None) -> list[HourReading]:
    return [
        HourReading(hour.start_s, hour.label, import_wh, export_wh, "measured")
        for hour in hours_of(A_DAY.start)
    ]


def test_bars_grow_from_one_axis_and_stay_inside_of_the_drawing() -> None:
    drawing = bars.chart([*readings(3000, 0)[:12], *readings(0, 1000)[12:]])
    for bar in drawing.bars:
        assert bar.import_height is not None
        assert bar.export_height is not None
        assert drawing.top_y <= bar.import_y <= drawing.axis_y
        assert drawing.axis_y + bar.export_height <= drawing.bottom_y
        assert bar.x + bar.width <= drawing.width
    tallest_import = drawing.bars[0].import_height or 0
    tallest_export = drawing.bars[12].export_height or 0
    assert abs(tallest_import - 3 * tallest_export) <= 3


def test_a_single_watt_hour_is_visible_beside_a_large_hour() -> None:
    drawing = bars.chart([*readings(100_000, 0)[:1], *readings(1, 0)[1:]])
    assert drawing.bars[1].import_height == 1


def test_a_day_of_zeros_has_a_scale_and_no_bars() -> None:
    drawing = bars.chart(readings(0, 0))
    assert drawing.scale_import_wh == bars.SCALE_WH_MIN
    assert {bar.import_height for bar in drawing.bars} == {0}


def test_numbers_are_written_the_polish_way() -> None:
    space = "\N{NO-BREAK SPACE}"
    assert words.pln(152948) == f"1{space}529,48"
    assert words.pln(-5) == "-0,05"
    assert words.kwh(1_226_004) == f"1{space}226,004"
    assert words.kwh(None) == "\N{EN DASH}"
    assert words.decimal("0.50500") == "0,50500"
    assert words.decimal("1226") == f"1{space}226"
    assert words.quality("estimated+gap, measured") == "szacowany + po przerwie, licznik"
