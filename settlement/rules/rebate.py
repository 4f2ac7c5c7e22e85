"""The rebate (upust): a tenth of the 2022/23 invoices for who used a tenth less than before.

Act of 7 October 2022 (Dz.U. 2023 poz. 1704 t.j.) with the act of 23 May 2024 (Dz.U. 2024 poz. 859),
as the seller explains them to households. Import at the metering point in two windows of 15 months
is compared as metered, before hourly balancing, also for prosumers. The windows overlap: the last
three months of 2022 count in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from settlement.rules.errors import BadRebateClaim
from settlement.rules.units import divide_half_up


class Window(NamedTuple):
    """Civil days [start, end) that are compared; longer than a billing period may be."""

    start: date
    end: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days


REFERENCE = Window(date(2021, 10, 1), date(2023, 1, 1))
CURRENT = Window(date(2022, 10, 1), date(2024, 1, 1))
USED_PERCENT_MAX = 90
REBATE_PERCENT = 10
# The seller with an active contract on this day applies the rebate, and nobody else.
SELLER_DAY = date(2023, 12, 31)
# It lowers invoices of 2024, the first one first.
APPLIES_FROM = date(2024, 1, 1)
# Last day for statements about other sellers: a month from the act of 23 May 2024 coming in force.
STATEMENT_DEADLINE = date(2024, 7, 15)

# Items of the invoice whose gross amounts make the base: energy, and of distribution these four.
BASE_CODES = frozenset(
    {"active_energy", "network_fixed", "network_variable", "quality", "subscription"}
)
TRADE_FEE = "trade_fee"
OTHER_CODES = frozenset({"renewable", "cogeneration", "capacity", "transitional"})

# How a statement came in. The act takes no scan and no photo, however signed.
SIGNED_FORMS = ("qualified_signature", "trusted_signature", "personal_signature")
HANDED_FORMS = ("post", "in_person")
INVALID_FORMS = ("scan", "photo")
FORMS = SIGNED_FORMS + HANDED_FORMS + INVALID_FORMS

GRANTED = "granted"
NOT_ELIGIBLE = "not_eligible"
NEEDS_OPERATOR_DATA = "needs_operator_data"

# Reasons of a rebate that is not granted.
NOT_ENTITLED = "not_entitled"
CUSTOMER_SINCE_2024 = "customer_since_2024"
LEFT_BEFORE_THE_END_OF_2023 = "left_before_the_end_of_2023"
NO_REFERENCE = "no_reference"
SAVED_TOO_LITTLE = "saved_too_little"
OPERATOR_IS_ASKED = "operator_is_asked"
CONSENT_MISSING = "consent_missing"
# Reasons why a statement does not count and the own invoices alone are the base.
STATEMENT_MISSING = "statement_missing"
STATEMENT_LATE = "statement_late"
STATEMENT_SCANNED = "statement_scanned"
PENAL_CLAUSE_MISSING = "penal_clause_missing"
NOT_SIGNED_BY_OWNER = "not_signed_by_owner"
# Reason for a second look by a person.
REFERENCE_SCALED = "reference_scaled"

# How a granted rebate reaches the customer.
BY_INVOICES = "invoices"
BY_BANK = "bank"
BANK_NUMBER_MISSING = "bank_number_missing"


@dataclass(frozen=True)
class SellerStatement:
    """What the customer says another seller has charged for the base items, in grosz gross.

    `form` is one of FORMS. `has_penal_clause`: it quotes art. 233 § 6 of the penal code.
    `signed_by_owner`: by the owner of the metering point.
    """

    amount_gr: int
    received_on: date
    form: str
    has_penal_clause: bool
    signed_by_owner: bool


@dataclass(frozen=True)
class RebateClaim:
    """All that the rebate of one metering point depends on, as known on `known_on`.

    `reference_wh`, `current_wh`: raw import in REFERENCE and CURRENT, None when some of it is not
    known. `reference_days`: days of REFERENCE on which the customer was supplied at the point; on
    the others there was nothing to measure. `own_base_gr`: see base_gr. `other_sellers`: somebody
    else sold energy to the customer in a part of CURRENT. `contract_to` is the first day no longer
    under the contract, None while it goes on. `entitled`: a household, or treated like one.
    """

    entitled: bool
    contract_from: date
    own_base_gr: int
    known_on: date
    contract_to: date | None = None
    reference_wh: int | None = None
    current_wh: int | None = None
    reference_days: int = REFERENCE.days
    other_sellers: bool = False
    statements: tuple[SellerStatement, ...] = ()
    operator_data_consent: bool = False
    bank_number: str | None = None


@dataclass(frozen=True)
class Rebate:
    """What came out: state, amount and base in grosz, every reason by name.

    `paid_by` is None unless granted.
    """

    state: str
    amount_gr: int
    base_gr: int
    paid_by: str | None
    reasons: tuple[str, ...]

    @property
    def for_review(self) -> bool:
        """Whether a person looks at it before it is paid or declined."""
        return REFERENCE_SCALED in self.reasons


def rebate_of(claim: RebateClaim) -> Rebate:
    """The rebate of the claim; a customer without one gets the reason, not an exception.

    Raises BadRebateClaim for figures that cannot be.
    """
    _check(claim)
    if refusal := _wrong_customer(claim):
        return _without(NOT_ELIGIBLE, refusal)
    if claim.reference_wh is None or claim.current_wh is None:
        asked = OPERATOR_IS_ASKED if claim.operator_data_consent else CONSENT_MISSING
        return _without(NEEDS_OPERATOR_DATA, asked)
    if claim.reference_wh == 0:
        return _without(NOT_ELIGIBLE, NO_REFERENCE)
    scaled = (REFERENCE_SCALED,) if claim.reference_days < REFERENCE.days else ()
    if not saved_enough(claim.reference_wh, claim.current_wh, claim.reference_days):
        return _without(NOT_ELIGIBLE, SAVED_TOO_LITTLE, *scaled)
    base, faults = _base(claim)
    return Rebate(
        state=GRANTED,
        amount_gr=divide_half_up(base * REBATE_PERCENT, 100),
        base_gr=base,
        paid_by=paid_by(claim.contract_to, claim.known_on, claim.bank_number),
        reasons=faults + scaled,
    )


def saved_enough(reference_wh: int, current_wh: int, reference_days: int = REFERENCE.days) -> bool:
    """Whether current import is at most 90 % of the reference, to the Wh.

    Somebody supplied on only some days of REFERENCE is compared with that import scaled to all of
    its days, as art. 20 ust. 4 of the sister act of 27 October 2022 does for other customers; the
    act for households is silent. Current import is not scaled, hence the review.
    """
    # Multiplied out, because a quotient would have to be rounded.
    allowed = USED_PERCENT_MAX * reference_wh * REFERENCE.days
    return 100 * current_wh * reference_days <= allowed


def base_gr(gross_gr_by_code: Mapping[str, int], trade_fee: str) -> int:
    """The base in grosz: gross amounts of invoices for CURRENT, by code of their lines.

    `trade_fee` is the policy rebate_trade_fee. Raises BadRebateClaim for a code it does not know.
    """
    if unknown := sorted(set(gross_gr_by_code) - BASE_CODES - OTHER_CODES - {TRADE_FEE}):
        raise BadRebateClaim(f"{unknown[0][:40]!r} is not an item of an invoice: correct the code")
    counted = BASE_CODES | {TRADE_FEE} if trade_fee == "included" else BASE_CODES
    return sum(amount for code, amount in gross_gr_by_code.items() if code in counted)


def faults_of(statement: SellerStatement) -> tuple[str, ...]:
    """Every reason why the statement does not count; none when it does."""
    checks = {
        STATEMENT_LATE: statement.received_on > STATEMENT_DEADLINE,
        STATEMENT_SCANNED: statement.form in INVALID_FORMS,
        PENAL_CLAUSE_MISSING: not statement.has_penal_clause,
        NOT_SIGNED_BY_OWNER: not statement.signed_by_owner,
    }
    return tuple(reason for reason, wrong in checks.items() if wrong)


def paid_by(contract_to: date | None, on: date, bank_number: str | None) -> str:
    """How what is left of the rebate reaches the customer on that day.

    While the contract goes on it lowers invoices; a former customer gets it at the bank, once a
    bank number is given.
    """
    if contract_to is None or on < contract_to:
        return BY_INVOICES
    return BY_BANK if bank_number else BANK_NUMBER_MISSING


def apply(left_gr: int, to_pay_gr: int) -> tuple[int, int]:
    """(used, left) in grosz: lowers one invoice, never below 0; the rest waits for the next."""
    assert left_gr >= 0
    used = min(left_gr, max(to_pay_gr, 0))
    return used, left_gr - used


def _wrong_customer(claim: RebateClaim) -> str | None:
    if not claim.entitled:
        return NOT_ENTITLED
    if claim.contract_from > SELLER_DAY:
        return CUSTOMER_SINCE_2024
    if claim.contract_to is not None and claim.contract_to <= SELLER_DAY:
        return LEFT_BEFORE_THE_END_OF_2023
    return None


def _base(claim: RebateClaim) -> tuple[int, tuple[str, ...]]:
    """Own invoices and every valid statement; the faults of the others, each named once."""
    base = claim.own_base_gr
    reasons = [] if claim.statements or not claim.other_sellers else [STATEMENT_MISSING]
    for statement in claim.statements:
        faults = faults_of(statement)
        reasons += faults
        base += 0 if faults else statement.amount_gr
    return base, tuple(dict.fromkeys(reasons))


def _without(state: str, *reasons: str) -> Rebate:
    return Rebate(state, amount_gr=0, base_gr=0, paid_by=None, reasons=reasons)


def _check(claim: RebateClaim) -> None:
    if claim.contract_to is not None and claim.contract_to <= claim.contract_from:
        raise BadRebateClaim("contract_to is the first day after the contract: after contract_from")
    if (claim.reference_wh or 0) < 0 or (claim.current_wh or 0) < 0:
        raise BadRebateClaim("import only grows: reference_wh and current_wh are 0 or more")
    if not 0 <= claim.reference_days <= REFERENCE.days:
        raise BadRebateClaim(f"reference_days is 0 to {REFERENCE.days}, the days of the window")
    if claim.reference_days == 0 and claim.reference_wh != 0:
        raise BadRebateClaim("without a day of supply the reference is 0 Wh: correct one of both")
    if claim.own_base_gr < 0 or any(each.amount_gr < 0 for each in claim.statements):
        raise BadRebateClaim("amounts of invoices and statements are 0 grosz or more")
    if claim.statements and not claim.other_sellers:
        raise BadRebateClaim("a statement about another seller needs other_sellers to be true")
    for statement in claim.statements:
        if statement.form not in FORMS:
            raise BadRebateClaim(f"form {statement.form[:20]!r}: choose one of {', '.join(FORMS)}")
