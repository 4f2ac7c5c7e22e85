"""What is stored of one metering point: what its account is settled from, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from sqlite3 import Connection
from typing import Any

import msgspec

from settlement import points
from settlement.errors import UnknownPoint
from settlement.rules.contract import Assignment, check_ppe
from settlement.rules.step import Point
from settlement.store import corrections, invoices, ledger
from settlement.store import points as stored_points
from settlement.store.corrections import StoredCorrection
from settlement.store.invoices import StoredInvoice
from settlement.store.ledger import StoredEntry
from settlement.store.settlings import Settling


@dataclass(frozen=True)
class History:
    """A point under one version, and its documents and ledger entries up to some settling."""

    ppe: str
    version: int
    form: points.PointForm
    invoices: tuple[StoredInvoice, ...]
    corrections: tuple[StoredCorrection, ...]
    entries: tuple[StoredEntry, ...]

    @cached_property
    def point(self) -> Point:
        """The point as the rules see it. Raises Refused."""
        contracts, opening = self.form.checked_contracts(), self.form.opening.opening()
        return Point(self.ppe, contracts, opening, self.form.rebate_gr)

    @cached_property
    def meters(self) -> tuple[Assignment, ...]:
        """Which meter measured it when."""
        return tuple(self.form.assignments())

    @property
    def settled(self) -> tuple[StoredInvoice, ...]:
        """The invoices that are settled again with every new one, in the order of their days.

        Invoices of schema 1 are not: they were issued by other rules and stay as they are.
        """
        return tuple(each for each in self.invoices if each.settling_id is not None)

    def standing(self, invoice: StoredInvoice) -> Mapping[str, Any]:
        """The invoice as it stands after all of its corrections, as plain data."""
        for each in reversed(self.corrections):
            if each.invoice_id == invoice.invoice_id:
                corrected: dict[str, Any] = msgspec.json.decode(each.body)["should_have_been"]
                return corrected
        issued: dict[str, Any] = msgspec.json.decode(invoice.body)
        return issued


def form_of(connection: Connection, ppe: str) -> tuple[points.PointForm, int]:
    """The newest form of the point and its version. Raises Refused or UnknownPoint."""
    check_ppe(ppe)
    stored = stored_points.newest(connection, ppe)
    if stored is None:
        raise UnknownPoint(f"point {ppe} is not known: put its contract first")
    return points.decode(stored.body), stored.version


def now(connection: Connection, ppe: str) -> History:
    """Everything stored of the point. Raises Refused or UnknownPoint."""
    form, version = form_of(connection, ppe)
    return History(
        ppe,
        version,
        form,
        tuple(invoices.all_of(connection, ppe)),
        tuple(corrections.all_of(connection, ppe)),
        tuple(ledger.of_point(connection, ppe)),
    )


def before(connection: Connection, settling: Settling) -> History:
    """What that settling found: its version of the point, and what earlier ones had left."""
    number, ppe = settling.settling_id, settling.ppe
    stored = stored_points.at_version(connection, ppe, settling.point_version)
    return History(
        ppe,
        stored.version,
        points.decode(stored.body),
        tuple(
            each
            for each in invoices.all_of(connection, ppe)
            if each.settling_id is None or each.settling_id < number
        ),
        tuple(each for each in corrections.all_of(connection, ppe) if each.settling_id < number),
        tuple(each for each in ledger.of_point(connection, ppe) if each.settling_id < number),
    )
