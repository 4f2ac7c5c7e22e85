"""The ledgers of a point as known on a day: what is open in which lot, and how that came about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from sqlite3 import Connection
from typing import Any

from settlement import history
from settlement.rules.ledger import ACCOUNTS, STORAGE, Entry, Recorded, known_at, open_amounts
from settlement.rules.periods import day_start_s
from settlement.store import ledger
from settlement.store.ledger import StoredEntry

_FOREVER_S = 1 << 62


def ledger_of(connection: Connection, ppe: str, as_of: date | None) -> dict[str, Any]:
    """Everything entered by the end of the day; without one, everything. Raises UnknownPoint.

    Amounts are Wh in the storage and grosz in the deposit and the rebate.
    """
    history.form_of(connection, ppe)
    entries = ledger.of_point(connection, ppe)
    when_s = _FOREVER_S if as_of is None else day_start_s(as_of + timedelta(days=1)) - 1
    known = known_at((Recorded(each.entry, each.recorded_s) for each in entries), when_s)
    return {
        "ppe": ppe,
        "as_of": None if as_of is None else as_of.isoformat(),
        "accounts": _accounts(known),
        "entries": [entry_data(each) for each in entries if each.recorded_s <= when_s],
    }


def entry_data(stored: StoredEntry) -> dict[str, Any]:
    """One entry as plain data."""
    entry = stored.entry
    return {
        "recorded_s": stored.recorded_s,
        "document": stored.document,
        "account": entry.account,
        "kind": entry.kind,
        "lot": str(entry.lot),
        "month": str(entry.month),
        "zone": entry.zone,
        "amount": entry.amount,
        "unit": unit_of(entry.account),
        "note": entry.note,
    }


def unit_of(account: str) -> str:
    """What amounts of the account are counted in."""
    return "wh" if account == STORAGE else "gr"


def _accounts(entries: Sequence[Entry]) -> dict[str, Any]:
    """The accounts that were ever used, each with its open lots, oldest first."""
    left = open_amounts(entries)
    found: dict[str, Any] = {}
    for account in ACCOUNTS:
        keys = sorted((key for key in left if key.account == account), key=lambda key: key.lot)
        if keys:
            found[account] = {
                "unit": unit_of(account),
                "open": sum(left[key] for key in keys),
                "lots": [
                    {"lot": str(key.lot), "zone": key.zone, "open": left[key]}
                    for key in keys
                    if left[key]
                ],
            }
    return found
