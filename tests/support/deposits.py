"""Deposits of net-billing for tests: the export of May 2023, its price, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

from settlement import tables
from settlement.rules import net_billing
from settlement.rules.ledger import Entry
from settlement.rules.market import Rcem, RcemVersion
from settlement.rules.net_billing import Deposit, Opened
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.valuation import Terms

EARLY_PROSUMER, LATE_PROSUMER = date(2022, 7, 1), date(2024, 7, 1)
MAY, JUNE, JULY = Month(2023, 5), Month(2023, 6), Month(2023, 7)
LAST = MAY.plus(12)  # the last month that can use the export of May
LATE = date(2027, 1, 1)  # every price is known by then


def some_terms(
    since: date = EARLY_PROSUMER, rce_from: Month | None = None, **policies: str
) -> Terms:
    """The terms of one who fed in before July 2024 and has made no statement."""
    return Terms(since, rce_from, Policies(**policies))


def prices(month: Month, first: str, later: Mapping[date, str] | None = None) -> Rcem:
    """RCEm of one month, published on the 11th of the next, and its corrections."""
    published = date(month.plus(1).year, month.plus(1).month, 11)
    every = {published: first, **(later or {})}
    return Rcem(RcemVersion(month, Decimal(price), day, "by hand") for day, price in every.items())


def fed_in(
    month: Month, kwh: int, value_gr: int | None = None, deposit: Deposit | None = None
) -> Deposit:
    """A deposit that remembers the export of a month."""
    value = None if value_gr is None else value_gr * VALUE_PER_GR
    totals = Totals(month.period, {}, {}, {}, {"day": 1000 * kwh}, value)
    return net_billing.feed_in(deposit or Deposit(), month, totals)


def opened(
    deposit: Deposit,
    month: Month,
    rcem: Rcem,
    known_on: date = LATE,
    terms: Terms | None = None,
) -> Opened:
    """A month opened by the tables that come with this version."""
    return net_billing.open_month(
        deposit, month, rcem, tables.load(), terms or some_terms(), known_on
    )


def a_deposit(kwh: int, pln_per_mwh: str, terms: Terms | None = None) -> Deposit:
    """The export of May, booked in June."""
    return opened(fed_in(MAY, kwh), JUNE, prices(MAY, pln_per_mwh), terms=terms).deposit


def open_gr(deposit: Deposit) -> int:
    """All that is open, in grosz."""
    return sum(net_billing.held(deposit).values())


def moved(entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """The movements as kind and amount."""
    return [(entry.kind, entry.amount) for entry in entries]


def versions(month: Month, price: str) -> list[RcemVersion]:
    """A price without corrections, to be put together with those of other months."""
    return [prices(month, price).version(month, LATE)]
