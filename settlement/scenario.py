"""Runs one scenario folder: what is given under `when` becomes the files under `then`.

The formats are in docs/settlement.md, for an expert who reads no code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settlement.errors import MalformedBody, RequestRefused
from settlement.measuring import totals_of_span
from settlement.rules import account
from settlement.rules.account import Account, spans_needed, standing
from settlement.rules.correction import MARKET_PRICE, correction_of, ripple
from settlement.rules.errors import Incomplete, Refused
from settlement.rules.invoice import as_data
from settlement.rules.periods import Period
from settlement.rules.rates import Tables
from settlement.rules.spans import Span
from settlement.rules.totals import Totals
from settlement.rules.validation import Interval
from settlement.scenarios import asked, energy, given, shown
from settlement.scenarios.folder import Folder
from settlement.scenarios.given import Given


def run(folder: Path, tables: Tables) -> dict[str, Any]:
    """File name -> content: JSON data, or the text of a CSV file; a refusal.json when refused.

    Raises MalformedBody for a folder that is written wrongly, and OSError.
    """
    when = folder / "when"
    files = Folder(when)
    try:
        then = asked.answers(files, tables)
        scenario = given.read(files, tables)
        if scenario is not None:
            then |= _settled(scenario, given.later(scenario, when, tables))
    except Refused as refusal:
        return {"refusal.json": refusal_data(refusal)}
    if not then:
        raise MalformedBody(f"{when} has none of contract.toml, rebate.toml, voucher.toml, ...")
    return then


def refusal_data(refusal: Refused | RequestRefused) -> dict[str, Any]:
    """A refusal as plain data: its name, its message, and the gaps when energy is missing."""
    data: dict[str, Any] = {"reason": refusal.reason, "detail": str(refusal)}
    if isinstance(refusal, Incomplete):
        data["gaps"] = [list(gap) for gap in refusal.gaps]
        data["missing_s"] = refusal.missing_s
    return data


def _settled(scenario: Given, later: Given | None) -> dict[str, Any]:
    settled = _account(scenario)
    corrections = _returned(settled)
    then: dict[str, Any] = {
        "invoices.csv": shown.invoices_csv(settled.invoices),
        "lines.csv": shown.lines_csv(settled.invoices),
    }
    if len(settled.invoices) == 1:
        then["invoice.json"] = as_data(settled.invoices[0])
    if settled.entries:
        then["ledger.csv"] = shown.ledger_csv(settled.entries)
    if later is not None:
        before = [as_data(each) for each in standing(settled)]
        after = [as_data(each) for each in standing(_account(later))]
        corrections += [each.correction for each in ripple(before, after)]
    if corrections:
        then["corrections.csv"] = shown.corrections_csv(corrections)
        then["corrections.json"] = corrections
    return then


def _account(scenario: Given) -> Account:
    spans = spans_needed(scenario.point, scenario.steps, scenario.law)
    totals = energy.given_totals(scenario.folder, scenario.when.total_kwh, spans)
    if totals is None:
        totals = _measured(scenario, spans)
    return account.settle(scenario.point, scenario.steps, totals, scenario.law)


def _measured(scenario: Given, spans: tuple[Span, ...]) -> dict[Period, Totals]:
    registers = energy.given_intervals(scenario.folder, scenario.when.capture_period_s)
    totals = {}
    for span in spans:
        of_span = {
            name: [each for each in intervals if _starts_in(each, span.period)]
            for name, intervals in registers.items()
        }
        totals[span.period] = totals_of_span(span, of_span, scenario.law, scenario.rce)
    return totals


def _starts_in(interval: Interval, period: Period) -> bool:
    return period.start_s <= interval.start_s < period.end_s


def _returned(settled: Account) -> list[dict[str, Any]]:
    """Corrections of invoices whose deposit was spent before its price fell."""
    latest = [as_data(each) for each in settled.invoices]
    corrections = []
    for each in settled.returns:
        due = as_data(each.invoice)
        correction = correction_of(latest[each.place], due, MARKET_PRICE)
        if correction is not None:
            corrections.append(correction)
        latest[each.place] = due
    return corrections
