"""The HTTP interface for gateways and operators: batches, points, invoices, readings."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, Router, get, post, put
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, FromQuery

from settlement import balances, close, history, hours, ingest, points
from settlement.config import Secret
from settlement.errors import BodyTooLarge, Unauthorized, UnknownInvoice
from settlement.rules.periods import Period, parse_day
from settlement.rules.schemes import Law
from settlement.store import Store, corrections, invoices
from settlement.store.corrections import StoredCorrection
from settlement.store.invoices import StoredInvoice

POINT_BYTES_MAX = 64 * 1024
ORDER_BYTES_MAX = 1024

AnyRequest = Request[Any, Any, Any]


@dataclass(frozen=True)
class Office:
    """What the handlers work with; made in service.py, replaced by fakes in tests."""

    store: Store
    law: Law
    token: Secret
    now_s: Callable[[], int]


class InvoiceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for the invoice of the civil days [start, end)."""

    start: str
    end: str


def authorized(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of every /v1 path. Raises Unauthorized; the comparison takes constant time."""
    office: Office = connection.app.state.office
    scheme, _space, given = connection.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), office.token.reveal_bytes())
    if scheme.lower() != "bearer" or not right:
        raise Unauthorized("send `Authorization: Bearer <token>` with the token of token_file")


async def read_limited(request: AnyRequest, bytes_max: int) -> bytes:
    """The body as sent. Raises BodyTooLarge without reading further than the limit."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > bytes_max:
        raise BodyTooLarge(f"the body has at most {bytes_max} bytes")
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLarge(f"the body has at most {bytes_max} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


@post("/batches", status_code=200)
async def post_batch(request: AnyRequest, office: NamedDependency[Office]) -> Response[bytes]:
    """Takes a batch of a gateway exactly once."""
    key = ingest.checked_key(request.headers.get("idempotency-key"))
    data = await read_limited(request, ingest.BODY_BYTES_MAX)
    encoding = request.headers.get("content-encoding")
    receipt = await asyncio.to_thread(_take, office, key, data, encoding)
    replayed = "true" if receipt.replayed else "false"
    headers = {"Idempotency-Replayed": replayed, "Accept-Encoding": ingest.ENCODINGS}
    return Response(receipt.answer, media_type=MediaType.JSON, headers=headers)


def _take(office: Office, key: str, data: bytes, encoding: str | None) -> ingest.Receipt:
    return ingest.take(office.store, key, ingest.unpacked(data, encoding), office.now_s())


@put("/points/{ppe:str}", status_code=200)
async def put_point(
    request: AnyRequest, office: NamedDependency[Office], ppe: FromPath[str]
) -> dict[str, Any]:
    """Stores the contract of a point and which meters measure it."""
    form = points.decode(await read_limited(request, POINT_BYTES_MAX))
    version = await asyncio.to_thread(
        close.put_point, office.store, office.law, ppe, form, office.now_s()
    )
    return {"ppe": ppe, "version": version}


@post("/points/{ppe:str}/invoices")
async def post_invoice(
    request: AnyRequest, office: NamedDependency[Office], ppe: FromPath[str]
) -> Response[dict[str, Any]]:
    """Issues the invoice of a period (201), or gives the one that was issued before (200)."""
    order = points.decode_as(await read_limited(request, ORDER_BYTES_MAX), InvoiceOrder)
    period = Period(parse_day(order.start), parse_day(order.end))
    stored, created = await asyncio.to_thread(
        close.issue, office.store, office.law, ppe, period, office.now_s()
    )
    return Response(invoice_data(stored), status_code=201 if created else 200)


@get("/points/{ppe:str}/invoices", sync_to_thread=True)
def list_invoices(office: NamedDependency[Office], ppe: FromPath[str]) -> dict[str, Any]:
    """Every invoice of the point, newest period first."""
    return {"ppe": ppe, "invoices": [invoice_data(each) for each in all_invoices(office, ppe)]}


@get("/points/{ppe:str}/invoices/{number:str}", sync_to_thread=True)
def get_invoice(
    office: NamedDependency[Office], ppe: FromPath[str], number: FromPath[str]
) -> dict[str, Any]:
    """One invoice by its number."""
    with office.store.reading() as connection:
        history.form_of(connection, ppe)
        stored = invoices.by_number(connection, number)
    if stored is None or stored.ppe != ppe:
        raise UnknownInvoice(f"point {ppe} has no invoice of that number: list its invoices")
    return invoice_data(stored)


@post("/points/{ppe:str}/corrections")
async def post_corrections(
    office: NamedDependency[Office], ppe: FromPath[str]
) -> Response[dict[str, Any]]:
    """Issues corrections of what has changed since the invoices (201), or finds none due (200)."""
    numbers = await asyncio.to_thread(close.correct, office.store, office.law, ppe, office.now_s())
    found = await asyncio.to_thread(all_corrections, office, ppe)
    data = [correction_data(each) for each in found if each.number in numbers]
    return Response({"ppe": ppe, "corrections": data}, status_code=201 if data else 200)


@get("/points/{ppe:str}/corrections", sync_to_thread=True)
def list_corrections(office: NamedDependency[Office], ppe: FromPath[str]) -> dict[str, Any]:
    """Every correction of the point's invoices, newest first."""
    found = all_corrections(office, ppe)
    return {"ppe": ppe, "corrections": [correction_data(each) for each in found]}


@get("/points/{ppe:str}/ledger", sync_to_thread=True)
def get_ledger(
    office: NamedDependency[Office], ppe: FromPath[str], as_of: FromQuery[str | None] = None
) -> dict[str, Any]:
    """Open lots and entries as known at the end of a civil day; today without one."""
    with office.store.reading() as connection:
        return balances.ledger_of(connection, ppe, None if as_of is None else parse_day(as_of))


@get("/points/{ppe:str}/readings", sync_to_thread=True)
def get_readings(
    office: NamedDependency[Office], ppe: FromPath[str], day: FromQuery[str]
) -> dict[str, Any]:
    """The hours of one civil day; null where energy is missing."""
    wanted: date = parse_day(day)
    return {"ppe": ppe, "day": day, "hours": hours.of_day(office.store, ppe, wanted)}


def all_invoices(office: Office, ppe: str) -> list[StoredInvoice]:
    """Invoices of the point, newest period first. Raises Refused or UnknownPoint."""
    with office.store.reading() as connection:
        history.form_of(connection, ppe)
        return invoices.newest_of(connection, ppe)


def all_corrections(office: Office, ppe: str) -> list[StoredCorrection]:
    """Corrections of the point, newest first. Raises Refused or UnknownPoint."""
    with office.store.reading() as connection:
        history.form_of(connection, ppe)
        return corrections.all_of(connection, ppe)[::-1]


def invoice_data(stored: StoredInvoice) -> dict[str, Any]:
    """An issued invoice with its number and instant of issue (UTC seconds)."""
    body: dict[str, Any] = msgspec.json.decode(stored.body)
    return {"number": stored.number, "issued_s": stored.issued_s, **body}


def correction_data(stored: StoredCorrection) -> dict[str, Any]:
    """An issued correction with its number, the invoice it corrects, and the instant of issue."""
    body: dict[str, Any] = msgspec.json.decode(stored.body)
    return {
        "number": stored.number,
        "corrects": stored.corrects,
        "issued_s": stored.issued_s,
        **body,
    }


def router() -> Router:
    """Everything under /v1, behind the bearer token."""
    handlers = [
        post_batch,
        put_point,
        post_invoice,
        list_invoices,
        get_invoice,
        post_corrections,
        list_corrections,
        get_ledger,
        get_readings,
    ]
    return Router("/v1", guards=[authorized], route_handlers=handlers)
