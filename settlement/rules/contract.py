"""The metering point: its number, its contract, and which meter measured it when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from settlement.rules.errors import (
    BadAssignment,
    BadContract,
    BadPpe,
    OutsideContract,
    UnsupportedScheme,
    UnsupportedTariff,
)
from settlement.rules.periods import Period

PPE_DIGITS = 18
PPE_PREFIX = "590"  # the GS1 prefix of Poland, with which operators begin their numbers
OPERATORS = ("tauron",)
TARIFF_GROUPS = ("G11",)
SCHEMES = ("plain",)
PHASES = (1, 3)
READOUT_MONTHS = (1, 2, 6, 12)
ANNUAL_KWH_MAX = 1_000_000
UNIT_PRICE_PLN_PER_KWH_MAX = Decimal(10)
TRADE_FEE_PLN_PER_MONTH_MAX = Decimal(1000)

# A started calendar month is charged in full, or by its share of days. The acts say nothing for
# households; docs/settlement.md gives the reasons for the default.
FULL_MONTH = "full_month"
BY_DAYS = "by_days"
PARTIAL_MONTH_POLICIES = (FULL_MONTH, BY_DAYS)


@dataclass(frozen=True)
class Contract:
    """What the household signed.

    `unit_price_pln_per_kwh` is net of VAT with excise; `trade_fee_pln_per_month` is net;
    `readout_months` is how often the meter is read for billing; `annual_kwh` picks the bands of
    the capacity and transitional fees; `valid_to` is the first day no longer under the contract.
    """

    operator: str
    tariff_group: str
    scheme: str
    phases: int
    readout_months: int
    annual_kwh: int
    unit_price_pln_per_kwh: Decimal
    trade_fee_pln_per_month: Decimal
    cap_entitled: bool
    partial_month: str
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True)
class Assignment:
    """This meter measured the point in [from_s, to_s), UTC; to_s None means until today."""

    meter_id: str
    from_s: int
    to_s: int | None


def check_ppe(ppe: str) -> None:
    """Raises BadPpe unless 18 digits, 590 in front, and a right GS1 mod-10 check digit.

    Check digit: GS1 General Specifications section 7.9.1, weights 3 and 1 from the right.
    """
    if len(ppe) != PPE_DIGITS or not (ppe.isascii() and ppe.isdigit()):
        raise BadPpe(f"a ppe is {PPE_DIGITS} digits: copy it from the contract or an invoice")
    if not ppe.startswith(PPE_PREFIX):
        raise BadPpe(f"a Polish ppe begins with {PPE_PREFIX}: copy it from the contract")
    if int(ppe[-1]) != check_digit(ppe[:-1]):
        raise BadPpe("the check digit of the ppe is wrong: one of its digits is mistyped")


def check_digit(body: str) -> int:
    """The GS1 mod-10 check digit of the digits before it."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(body[::-1]))
    return -total % 10


def check_contract(contract: Contract) -> None:
    """Raises UnsupportedTariff, UnsupportedScheme or BadContract, naming field and choices."""
    if contract.tariff_group not in TARIFF_GROUPS:
        raise UnsupportedTariff(_choose("tariff_group", contract.tariff_group, TARIFF_GROUPS))
    if contract.scheme not in SCHEMES:
        raise UnsupportedScheme(_choose("scheme", contract.scheme, SCHEMES))
    if contract.operator not in OPERATORS:
        raise BadContract(_choose("operator", contract.operator, OPERATORS))
    if contract.phases not in PHASES:
        raise BadContract(_choose("phases", contract.phases, PHASES))
    if contract.readout_months not in READOUT_MONTHS:
        raise BadContract(_choose("readout_months", contract.readout_months, READOUT_MONTHS))
    if contract.partial_month not in PARTIAL_MONTH_POLICIES:
        raise BadContract(_choose("partial_month", contract.partial_month, PARTIAL_MONTH_POLICIES))
    _check_amounts(contract)
    if contract.valid_to is not None and contract.valid_to <= contract.valid_from:
        raise BadContract("valid_to is the first day after the contract: later than valid_from")


def _check_amounts(contract: Contract) -> None:
    if not 0 <= contract.annual_kwh <= ANNUAL_KWH_MAX:
        raise BadContract(f"annual_kwh is 0 to {ANNUAL_KWH_MAX}")
    if not 0 < contract.unit_price_pln_per_kwh <= UNIT_PRICE_PLN_PER_KWH_MAX:
        raise BadContract(
            f"unit_price_pln_per_kwh is above 0 and at most {UNIT_PRICE_PLN_PER_KWH_MAX}"
        )
    if not 0 <= contract.trade_fee_pln_per_month <= TRADE_FEE_PLN_PER_MONTH_MAX:
        raise BadContract(f"trade_fee_pln_per_month is 0 to {TRADE_FEE_PLN_PER_MONTH_MAX}")


def _choose(field: str, value: object, choices: Sequence[object]) -> str:
    known = ", ".join(str(choice) for choice in choices)
    return f"{field} {str(value)[:20]!r} is not known here: choose one of {known}"


def check_assignments(assignments: Sequence[Assignment]) -> None:
    """Raises BadAssignment when one ends before it starts or two meters measure at once."""
    ordered = sorted(assignments, key=lambda each: each.from_s)
    for each in ordered:
        if each.to_s is not None and each.to_s <= each.from_s:
            raise BadAssignment(f"meter {each.meter_id}: to_s is not later than from_s")
    for before, after in pairwise(ordered):
        if before.to_s is None or before.to_s > after.from_s:
            raise BadAssignment(
                f"meters {before.meter_id} and {after.meter_id} overlap: end the first with to_s"
            )


def check_covers(contract: Contract, period: Period) -> None:
    """Raises OutsideContract unless every day of the period is under the contract."""
    ends = contract.valid_to
    if period.start < contract.valid_from or (ends is not None and period.end > ends):
        raise OutsideContract(
            f"the contract covers {contract.valid_from} to {ends or 'today'}, "
            f"the period asked for is {period.start} to {period.end}"
        )
