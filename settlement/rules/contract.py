"""The metering point: its number, its contract, and which meter measured it when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import pairwise

from settlement.rules.errors import (
    BadAssignment,
    BadContract,
    BadPpe,
    OutsideContract,
    OverlappingContracts,
    UnsupportedScheme,
)
from settlement.rules.periods import Month
from settlement.rules.policies import Policies

PPE_DIGITS = 18
PPE_PREFIX = "590"  # the GS1 prefix of Poland, with which operators begin their numbers
OPERATORS = ("tauron",)
PLAIN = "plain"
NET_METERING = "net_metering"
NET_BILLING = "net_billing"
TENANT = "tenant"
SCHEMES = (PLAIN, NET_METERING, NET_BILLING, TENANT)
PROSUMERS = (NET_METERING, NET_BILLING, TENANT)
PHASES = (1, 3)
READOUT_MONTHS = (1, 2, 6, 12)
# Who the customer is; all but the last are entitled to the price cap without any statement.
CUSTOMERS = ("household", "garage", "allotment", "building_site", "business")
CAP_LIMITS = ("standard", "disability", "large_family")
ANNUAL_KWH_MAX = 1_000_000
UNIT_PRICE_PLN_PER_KWH_MAX = Decimal(10)
TRADE_FEE_PLN_PER_MONTH_MAX = Decimal(1000)
ENTITLED = CUSTOMERS[:-1]
RCE_FROM_MIN = Month(2024, 7)
BANK_NUMBER_DIGITS = 26
_LIST_NAME = re.compile(r"[a-z0-9_]{1,40}")
CONNECTION_POWER_W_MAX = 1_000_000
INSTALLED_POWER_W_MAX = 50_000  # a micro-installation, Act on renewable sources art. 2 pkt 19

# A started calendar month is charged in full, or by its share of days. The acts say nothing for
# households; docs/settlement.md gives the reasons for the default.
FULL_MONTH = "full_month"
BY_DAYS = "by_days"
PARTIAL_MONTH_POLICIES = (FULL_MONTH, BY_DAYS)


@dataclass(frozen=True)
class Contract:
    """What the household signed, on the days [valid_from, valid_to).

    `unit_prices_pln_per_kwh` by zone are net of VAT with excise; when empty, `price_list` names a
    table `seller_<price_list>`. `frozen_prices_pln_per_kwh` are the seller's prices of 2022 for the
    kWh inside the limits of 2023 and early 2024. `trade_fee_pln_per_month` is net, None takes it
    from the price list. `readout_months` is how often the meter is read for billing.
    `annual_kwh` picks the bands of the capacity and transitional fees; None computes it.
    `prosumer_since` is the first day of feeding in, `rce_from` the first month of hourly prices
    chosen by statement. `night_reference_kwh` is what G12as calls the reference use of a period;
    intervals above `connection_power_w` are flagged as spikes.
    """

    operator: str
    seller: str
    tariff_group: str
    scheme: str
    phases: int
    readout_months: int
    annual_kwh: int | None
    unit_prices_pln_per_kwh: Mapping[str, Decimal]
    price_list: str | None
    frozen_prices_pln_per_kwh: Mapping[str, Decimal]
    trade_fee_pln_per_month: Decimal | None
    customer: str
    cap_entitled: bool
    cap_limit: str
    partial_month: str
    installed_power_w: int | None
    prosumer_since: date | None
    rce_from: Month | None
    night_reference_kwh: int | None
    connection_power_w: int | None
    payout_bank_number: str | None
    policies: Policies
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
    """Raises UnsupportedScheme or BadContract, naming field and choices.

    Whether the tariff group is known is for the zone schedules to say (spans.py).
    """
    if contract.scheme not in SCHEMES:
        raise UnsupportedScheme(_choose("scheme", contract.scheme, SCHEMES))
    for field, choices in (
        ("operator", OPERATORS),
        ("phases", PHASES),
        ("readout_months", READOUT_MONTHS),
        ("customer", CUSTOMERS),
        ("cap_limit", CAP_LIMITS),
        ("partial_month", PARTIAL_MONTH_POLICIES),
    ):
        if getattr(contract, field) not in choices:
            raise BadContract(_choose(field, getattr(contract, field), choices))
    _check_prices(contract)
    _check_prosumer(contract)
    if contract.annual_kwh is not None and not 0 <= contract.annual_kwh <= ANNUAL_KWH_MAX:
        raise BadContract(f"annual_kwh is 0 to {ANNUAL_KWH_MAX}")
    power_w = contract.connection_power_w
    if power_w is not None and not 0 < power_w <= CONNECTION_POWER_W_MAX:
        raise BadContract(f"connection_power_w is 1 to {CONNECTION_POWER_W_MAX}")
    if contract.cap_entitled and contract.customer not in ENTITLED:
        raise BadContract(f"cap_entitled: a {contract.customer} is not entitled to the price cap")
    if contract.valid_to is not None and contract.valid_to <= contract.valid_from:
        raise BadContract("valid_to is the first day after the contract: later than valid_from")


def _check_prices(contract: Contract) -> None:
    if (contract.price_list is None) == (not contract.unit_prices_pln_per_kwh):
        raise BadContract("give unit prices by zone or the name of a price list, one of the two")
    if contract.price_list is not None and not _LIST_NAME.fullmatch(contract.price_list):
        raise BadContract("price_list is 1 to 40 of a-z, 0-9 and _: the name the list was given")
    every = [*contract.unit_prices_pln_per_kwh.items(), *contract.frozen_prices_pln_per_kwh.items()]
    for zone, price in every:
        if not 0 < price <= UNIT_PRICE_PLN_PER_KWH_MAX:
            raise BadContract(
                f"the unit price of zone {zone[:20]} is above 0 and at most "
                f"{UNIT_PRICE_PLN_PER_KWH_MAX} PLN/kWh"
            )
    fee = contract.trade_fee_pln_per_month
    if fee is not None and not 0 <= fee <= TRADE_FEE_PLN_PER_MONTH_MAX:
        raise BadContract(f"trade_fee_pln_per_month is 0 to {TRADE_FEE_PLN_PER_MONTH_MAX}")
    reference = contract.night_reference_kwh
    if reference is not None and not 0 <= reference <= ANNUAL_KWH_MAX:
        raise BadContract(f"night_reference_kwh is 0 to {ANNUAL_KWH_MAX}")


def _check_prosumer(contract: Contract) -> None:
    if contract.scheme not in PROSUMERS:
        return
    power_w = contract.installed_power_w
    if power_w is None or not 0 < power_w <= INSTALLED_POWER_W_MAX:
        raise BadContract(f"installed_power_w of a prosumer is 1 to {INSTALLED_POWER_W_MAX}")
    if contract.prosumer_since is None:
        raise BadContract("prosumer_since is the first day of feeding in: copy it from the DSO")
    if contract.rce_from is not None and contract.rce_from < RCE_FROM_MIN:
        raise BadContract(f"rce_from is {RCE_FROM_MIN} or later: RCE pays from then on")
    if contract.scheme == TENANT and not is_bank_number(contract.payout_bank_number or ""):
        raise BadContract(
            "payout_bank_number of a tenant prosumer is 26 digits with right check digits: one is "
            "mistyped, copy it again"
        )


def is_bank_number(digits: str) -> bool:
    """Whether these are the 26 digits of a Polish bank number (NRB, ISO 13616 mod 97 = 1)."""
    if len(digits) != BANK_NUMBER_DIGITS or not (digits.isascii() and digits.isdigit()):
        return False
    return int(digits[2:] + "2521" + digits[:2]) % 97 == 1  # P = 25, L = 21


def check_contracts(contracts: Sequence[Contract]) -> tuple[Contract, ...]:
    """The contracts of one point in order of time, each checked.

    Raises OverlappingContracts, BadContract (also for a way back from net-billing to net-metering:
    the change is one-way, Act on renewable sources art. 4 ust. 1b) or UnsupportedScheme.
    """
    if not contracts:
        raise BadContract("a point has at least one contract")
    ordered = tuple(sorted(contracts, key=lambda each: each.valid_from))
    for each in ordered:
        check_contract(each)
    for before, after in pairwise(ordered):
        if before.valid_to is None or before.valid_to > after.valid_from:
            raise OverlappingContracts(
                f"the contracts from {before.valid_from} and {after.valid_from} overlap: "
                f"end the first with valid_to = {after.valid_from}"
            )
    moved = False
    for each in ordered:
        if moved and each.scheme == NET_METERING:
            raise BadContract(
                f"the contract from {each.valid_from} returns to net_metering: the way to "
                "net_billing is one-way"
            )
        moved = moved or each.scheme in (NET_BILLING, TENANT)
    return ordered


def contract_on(contracts: Sequence[Contract], day: date) -> Contract:
    """The contract in force on the day. Raises OutsideContract."""
    for each in contracts:
        if each.valid_from <= day and (each.valid_to is None or day < each.valid_to):
            return each
    first, last = contracts[0].valid_from, contracts[-1].valid_to
    raise OutsideContract(
        f"no contract covers {day}: the contracts cover {first} to {last or 'today'}"
    )


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
