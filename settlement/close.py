"""Closes a billing period: load the point and its readings, settle by the rules, issue once."""

from __future__ import annotations

from sqlite3 import Connection

import msgspec

from settlement import points
from settlement.errors import InvoiceOverlaps, MeterTaken, UnknownPoint
from settlement.rules.contract import check_ppe
from settlement.rules.invoice import as_data, settle
from settlement.rules.periods import Period
from settlement.rules.rates import Tables
from settlement.rules.validation import Interval, usage_of
from settlement.store import Store, invoices, readings
from settlement.store import points as stored_points
from settlement.store.invoices import StoredInvoice
from wire.obis import IMPORT_WH, NAMES


def put_point(store: Store, ppe: str, form: points.PointForm, now_s: int) -> int:
    """Stores the point and returns its version; the same form again changes nothing.

    Raises Refused for a bad number, contract or assignment, MeterTaken when a meter measures
    another point at that time.
    """
    check_ppe(ppe)
    form.contract.contract()
    assignments = form.assignments()
    with store.writing() as connection:
        for wanted in assignments:
            other = stored_points.taken_elsewhere(connection, ppe, wanted)
            if other is not None:
                raise MeterTaken(
                    f"meter {wanted.meter_id} measures point {other} at that time: end it there"
                )
        return stored_points.put(connection, ppe, points.encode(form), assignments, now_s)


def load_point(connection: Connection, ppe: str) -> tuple[points.PointForm, int]:
    """The newest form of the point and its version. Raises Refused or UnknownPoint."""
    check_ppe(ppe)
    stored = stored_points.newest(connection, ppe)
    if stored is None:
        raise UnknownPoint(f"point {ppe} is not known: put its contract first")
    return points.decode(stored.body), stored.version


def issue(
    store: Store, tables: Tables, ppe: str, period: Period, now_s: int
) -> tuple[StoredInvoice, bool]:
    """The invoice of the period, and whether it was issued just now.

    Asking again returns the stored one, whatever came in since. Raises Refused, UnknownPoint or
    InvoiceOverlaps.
    """
    start, end = period.start.isoformat(), period.end.isoformat()
    with store.writing() as connection:
        form, version = load_point(connection, ppe)
        stored = invoices.of_period(connection, ppe, start, end)
        if stored is not None:
            return stored, False
        other = invoices.overlapping(connection, ppe, start, end)
        if other is not None:
            raise InvoiceOverlaps(f"invoice {other} already bills a day of {start} to {end}")
        usage = usage_of(point_intervals(connection, ppe, period.start_s, period.end_s), period)
        invoice = settle(ppe, form.contract.contract(), tables, period, usage)
        body = msgspec.json.encode(as_data(invoice))
        return invoices.add(connection, ppe, start, end, version, now_s, body), True


def point_intervals(
    connection: Connection, ppe: str, start_s: int, end_s: int, obis: str = NAMES[IMPORT_WH]
) -> list[Interval]:
    """Intervals of the point's meters in [start_s, end_s), each only while it was assigned.

    An interval in which a meter was changed belongs to none of them: it is missing.
    """
    found: list[Interval] = []
    for each in stored_points.assignments_of(connection, ppe):
        from_s = max(start_s, each.from_s)
        to_s = end_s if each.to_s is None else min(end_s, each.to_s)
        if from_s < to_s:
            found.extend(readings.intervals(connection, each.meter_id, obis, from_s, to_s))
    return found
