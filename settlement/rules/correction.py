"""Corrections: what was billed, what should have been billed, and the difference.

A correcting invoice (faktura korekta, Act on VAT art. 106j) shows both sides, POLICZONO and
NALEŻAŁO POLICZYĆ, and why. It works on invoices as plain data, because that is what was issued
and is never changed. One late reading may change several invoices: each gets its own correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

READINGS = "readings"
CONTRACT = "contract"
RATES = "rates"
MARKET_PRICE = "market_price"
LEDGER = "ledger"
# What each reason says on the correction, in the words of the customer's language.
REASON_TEXTS = {
    READINGS: "zmiana danych pomiarowych",
    CONTRACT: "zmiana danych umowy",
    RATES: "zmiana cen lub stawek opłat",
    MARKET_PRICE: "korekta rynkowej ceny energii, wartość depozytu prosumenckiego",
    LEDGER: "zmiana wcześniejszego rozliczenia magazynu, depozytu lub upustu",
}


class Corrected(NamedTuple):
    """A correction of the invoice at `place` in the order of settling."""

    place: int
    correction: dict[str, Any]


def correction_of(
    billed: Mapping[str, Any], due: Mapping[str, Any], reason: str | None = None
) -> dict[str, Any] | None:
    """The correction that turns one invoice into another of the same period; None when equal.

    Both are data of invoice.as_data. The reason is told from what differs unless it is given.
    """
    for field in ("ppe", "start", "end"):
        assert billed[field] == due[field], "a correction keeps point and period"
    if billed == due:
        return None
    why = reason or reason_of(billed, due)
    return {
        "ppe": due["ppe"],
        "start": due["start"],
        "end": due["end"],
        "reason": why,
        "reason_text": REASON_TEXTS[why],
        "billed": dict(billed),
        "should_have_been": dict(due),
        "difference": difference(billed, due),
    }


def reason_of(billed: Mapping[str, Any], due: Mapping[str, Any]) -> str:
    """The first cause that shows: readings, then the contract, then rates, else the ledgers."""
    if _readings(billed) != _readings(due):
        return READINGS
    if any(billed[field] != due[field] for field in ("seller", "tariff_group", "scheme")):
        return CONTRACT
    before, after = _prices(billed), _prices(due)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    # A price that one side lacks tells nothing of the contract: a limit of use may be crossed.
    if any(key.agreed and key in before and key in after for key in changed):
        return CONTRACT
    return RATES if changed or _vat(billed) != _vat(due) else LEDGER


def difference(billed: Mapping[str, Any], due: Mapping[str, Any]) -> dict[str, int]:
    """Grosz that the correction adds (negative: gives back)."""
    before, after = billed["summary"], due["summary"]
    return {
        "net_gr": after["3_result"]["net_gr"] - before["3_result"]["net_gr"],
        "vat_gr": after["3_result"]["vat_gr"] - before["3_result"]["vat_gr"],
        "gross_gr": after["3_result"]["gross_gr"] - before["3_result"]["gross_gr"],
        "deposit_used_gr": after["7_deposit_used_gr"] - before["7_deposit_used_gr"],
        "rebate_used_gr": after["rebate_used_gr"] - before["rebate_used_gr"],
        "to_pay_gr": after["8_to_pay_gr"] - before["8_to_pay_gr"],
    }


def ripple(
    billed: Sequence[Mapping[str, Any]], due: Sequence[Mapping[str, Any]]
) -> tuple[Corrected, ...]:
    """The corrections of a run of invoices, in order: one change may move all that follow."""
    assert len(billed) == len(due)
    found = []
    for place, (before, after) in enumerate(zip(billed, due, strict=True)):
        correction = correction_of(before, after)
        if correction is not None:
            found.append(Corrected(place, correction))
    return tuple(found)


def _readings(invoice: Mapping[str, Any]) -> tuple[Any, ...]:
    usage = invoice["usage"]
    return (usage["import_wh"], usage["export_wh"], usage["readings_sha256"], usage["quality"])


class _Priced(NamedTuple):
    """A line of the invoice, and whether the contract itself names its price."""

    code: str
    zone: str
    agreed: bool


def _prices(invoice: Mapping[str, Any]) -> dict[_Priced, set[str]]:
    """The prices of each kind of line, on whatever days."""
    prices: dict[_Priced, set[str]] = {}
    for line in invoice["lines"]:
        key = _Priced(line["code"], line["zone"], line["price_from"].startswith("contract"))
        prices.setdefault(key, set()).add(line["unit_price_pln"])
    return prices


def _vat(invoice: Mapping[str, Any]) -> set[str]:
    return {line["vat_percent"] for line in invoice["lines"]}
