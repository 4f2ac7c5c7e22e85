"""The pages of Mój Licznik: one day of one metering point with its invoices."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response, Router, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, FromQuery

from settlement import hours
from settlement.api import (
    Office,
    all_corrections,
    all_invoices,
    correction_data,
    invoice_data,
)
from settlement.config import is_loopback
from settlement.errors import RequestRefused, UnknownPoint, WrongHost
from settlement.portal import words
from settlement.portal.bars import chart
from settlement.rules.errors import BadPpe, Refused
from settlement.rules.periods import YEAR_MAX, YEAR_MIN, day_of, parse_day

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

pages = Environment(
    loader=PackageLoader("settlement.portal"), autoescape=True, undefined=StrictUndefined
)
pages.filters.update(
    pln=words.pln,
    kwh=words.kwh,
    decimal=words.decimal,
    thousands=words.thousands,
    quality=words.quality,
    day=words.day,
    line_name=words.line_name,
)


def asked_on_this_computer(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Guard: a foreign page that points its own name here must not read the household's data."""
    host = urlsplit("//" + connection.headers.get("host", "")).hostname or ""
    if not is_loopback(host):
        raise WrongHost("open the page under http://127.0.0.1 or http://localhost")


@get("/moj-licznik/{ppe:str}", sync_to_thread=True)
def day_page(
    office: NamedDependency[Office], ppe: FromPath[str], day: FromQuery[str | None] = None
) -> Response[str]:
    """The hours of the day (the latest with readings when none is named) and all invoices."""
    try:
        wanted = parse_day(day) if day else _latest(office, ppe)
        context = _context(office, ppe, wanted)
    except (Refused, RequestRefused) as refusal:
        return _refused(refusal)
    return _html(pages.get_template("day.html").render(context))


@get("/moj-licznik/style.css", sync_to_thread=False)
def style() -> Response[str]:
    """The style sheet, which the content security policy allows from here only."""
    css = pages.get_template("style.css").render()
    return Response(css, media_type="text/css; charset=utf-8", headers=HEADERS)


def router() -> Router:
    """The pages, for this computer only."""
    return Router("/", guards=[asked_on_this_computer], route_handlers=[day_page, style])


def _latest(office: Office, ppe: str) -> date:
    latest = hours.last_day(office.store, ppe)
    return latest or day_of(office.now_s())


def _context(office: Office, ppe: str, day: date) -> dict[str, Any]:
    of_day = hours.of_day(office.store, ppe, day)
    invoices = [invoice_data(stored) for stored in all_invoices(office, ppe)]
    corrections = [correction_data(stored) for stored in all_corrections(office, ppe)]
    for invoice in invoices:
        invoice["corrections"] = [
            each for each in reversed(corrections) if each["corrects"] == invoice["number"]
        ]
        end = date.fromisoformat(invoice["end"])
        invoice["last_day"] = (end - timedelta(days=1)).isoformat()
    unknown = [hour for hour in of_day if hour.import_wh is None or hour.export_wh is None]
    return {
        "ppe": ppe,
        "day": day.isoformat(),
        "day_name": words.day(day.isoformat()),
        "weekday": words.WEEKDAY_NAMES[day.weekday()],
        "previous_day": max(day - timedelta(days=1), date(YEAR_MIN, 1, 1)).isoformat(),
        "next_day": min(day + timedelta(days=1), date(YEAR_MAX, 12, 30)).isoformat(),
        "hours": of_day,
        "missing_hours": len(unknown),
        "import_wh": sum(hour.import_wh or 0 for hour in of_day),
        "export_wh": sum(hour.export_wh or 0 for hour in of_day),
        "chart": chart(of_day),
        "invoices": invoices,
        "storage_names": words.STORAGE_NAMES,
        "deposit_names": words.DEPOSIT_NAMES,
        "section_names": words.SECTION_NAMES,
        "unit_names": words.UNIT_NAMES,
    }


def _refused(refusal: Refused | RequestRefused) -> Response[str]:
    if isinstance(refusal, UnknownPoint | BadPpe):
        heading, status = "Nie ma takiego punktu poboru", 404
        advice = "Sprawdź numer PPE na umowie lub fakturze: 18 cyfr, na początku 590."
    else:
        heading, status = "Nie można pokazać tego dnia", 400
        advice = "Podaj dzień w postaci 2024-10-27."
    page = pages.get_template("refused.html")
    return _html(page.render(heading=heading, advice=advice, reason=refusal.reason), status)


def _html(text: str, status: int = 200) -> Response[str]:
    content_type = "text/html; charset=utf-8"
    return Response(text, status_code=status, media_type=content_type, headers=HEADERS)
