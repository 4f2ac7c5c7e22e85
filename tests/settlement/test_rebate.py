"""The rebate of 10 %: who gets it, from which base, by which statements, and how it is used up."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules import rebate
from settlement.rules.errors import BadRebateClaim
from settlement.rules.policies import REBATE_TRADE_FEES
from settlement.rules.rebate import Rebate, RebateClaim, SellerStatement, rebate_of

JULY_2024 = date(2024, 7, 20)
NEW_YEAR = date(2024, 1, 1)
BANK_NUMBER = "61109010140000071219812874"


def a_claim(**changes: Any) -> RebateClaim:
    """A customer of many years who used exactly 90 % and is still with the seller."""
    fields: dict[str, Any] = {
        "entitled": True,
        "contract_from": date(2019, 5, 1),
        "contract_to": None,
        "reference_wh": 3_000_000,
        "current_wh": 2_700_000,
        "own_base_gr": 248_637,
        "known_on": JULY_2024,
    }
    return RebateClaim(**(fields | changes))


def a_statement(**changes: Any) -> SellerStatement:
    """A valid statement about 500.00 PLN at another seller."""
    fields: dict[str, Any] = {
        "amount_gr": 50_000,
        "received_on": date(2024, 7, 1),
        "form": "trusted_signature",
        "has_penal_clause": True,
        "signed_by_owner": True,
    }
    return SellerStatement(**(fields | changes))


def with_statements(*statements: SellerStatement) -> Rebate:
    return rebate_of(a_claim(other_sellers=True, statements=statements))


def test_p14_a_tenth_of_2486_37_pays_two_invoices_and_part_of_the_third() -> None:
    granted = rebate_of(a_claim())
    assert (granted.state, granted.amount_gr) == ("granted", 24_864)
    left, paid = granted.amount_gr, []
    for to_pay_gr in (9_840, 11_205, 13_120):
        used, left = rebate.apply(left, to_pay_gr)
        paid.append(to_pay_gr - used)
    assert paid == [0, 0, 9_301]
    assert left == 0


def test_exactly_90_percent_is_enough_and_one_wh_more_is_not() -> None:
    assert rebate_of(a_claim(current_wh=2_700_000)).reasons == ()
    declined = rebate_of(a_claim(current_wh=2_700_001))
    assert (declined.state, declined.amount_gr) == ("not_eligible", 0)
    assert declined.reasons == ("saved_too_little",)
    assert declined.paid_by is None


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 457))
def test_saving_is_judged_as_by_exact_fractions(reference: int, current: int, days: int) -> None:
    whole_reference = Fraction(reference * 457, days)
    enough = rebate.saved_enough(reference, current, days)
    assert enough == (current <= whole_reference * Fraction(9, 10))


def test_both_windows_have_15_months_and_share_the_last_quarter_of_2022() -> None:
    reference, current = rebate.REFERENCE, rebate.CURRENT
    assert reference == (date(2021, 10, 1), date(2023, 1, 1))
    assert current == (date(2022, 10, 1), date(2024, 1, 1))
    assert reference.days == current.days == 457
    assert (reference.end - current.start).days == 31 + 30 + 31


def test_a_tenth_is_rounded_half_up_to_the_grosz() -> None:
    assert rebate_of(a_claim(own_base_gr=1_004)).amount_gr == 100
    assert rebate_of(a_claim(own_base_gr=1_005)).amount_gr == 101
    assert rebate_of(a_claim(own_base_gr=0)).amount_gr == 0


ONE_GROSZ_MORE_EACH = {
    "active_energy": 1,
    "trade_fee": 10,
    "network_fixed": 100,
    "quality": 1_000,
    "network_variable": 10_000,
    "renewable": 100_000,
    "cogeneration": 1_000_000,
    "subscription": 10_000_000,
    "capacity": 100_000_000,
    "transitional": 1_000_000_000,
}


@pytest.mark.parametrize(
    ("trade_fee", "base_gr"), [("excluded", 10_011_101), ("included", 10_011_111)]
)
def test_the_base_has_energy_and_four_items_of_distribution(trade_fee: str, base_gr: int) -> None:
    assert trade_fee in REBATE_TRADE_FEES
    assert rebate.base_gr(ONE_GROSZ_MORE_EACH, trade_fee) == base_gr


def test_corrections_of_invoices_lower_the_base() -> None:
    assert rebate.base_gr({"active_energy": -250, "quality": 50}, "excluded") == -200


def test_an_item_that_no_invoice_has_is_refused() -> None:
    with pytest.raises(BadRebateClaim, match="'interest' is not an item"):
        rebate.base_gr({"active_energy": 1, "interest": 5}, "excluded")


def test_a_valid_statement_of_another_seller_adds_to_the_base() -> None:
    granted = with_statements(a_statement(), a_statement(amount_gr=7))
    assert granted.base_gr == 248_637 + 50_000 + 7
    assert granted.amount_gr == 29_864
    assert granted.reasons == ()


@pytest.mark.parametrize("form", [*rebate.SIGNED_FORMS, "post", "in_person"])
def test_every_form_that_the_act_takes_counts(form: str) -> None:
    assert with_statements(a_statement(form=form)).base_gr == 298_637


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"form": "scan"}, "statement_scanned"),
        ({"form": "photo"}, "statement_scanned"),
        ({"has_penal_clause": False}, "penal_clause_missing"),
        ({"signed_by_owner": False}, "not_signed_by_owner"),
        ({"received_on": date(2024, 7, 16)}, "statement_late"),
    ],
)
def test_an_invalid_statement_leaves_own_invoices_and_says_why(
    wrong: dict[str, Any], reason: str
) -> None:
    granted = with_statements(a_statement(**wrong))
    assert (granted.state, granted.amount_gr) == ("granted", 24_864)
    assert granted.reasons == (reason,)


def test_a_statement_of_the_15th_of_july_2024_is_in_time() -> None:
    assert rebate.faults_of(a_statement(received_on=date(2024, 7, 15))) == ()


def test_every_fault_of_a_statement_is_named_and_once_for_all_of_them() -> None:
    wrong = a_statement(form="scan", received_on=date(2024, 8, 1), has_penal_clause=False)
    granted = with_statements(wrong, a_statement(), wrong)
    assert granted.reasons == ("statement_late", "statement_scanned", "penal_clause_missing")
    assert granted.base_gr == 298_637, "the valid one among them counts"


def test_without_a_statement_own_invoices_alone_count_and_the_result_says_so() -> None:
    granted = with_statements()
    assert granted.amount_gr == 24_864
    assert granted.reasons == ("statement_missing",)


def test_a_form_that_is_not_known_and_a_statement_without_other_seller_are_refused() -> None:
    with pytest.raises(BadRebateClaim, match="'fax': choose one of"):
        with_statements(a_statement(form="fax"))
    with pytest.raises(BadRebateClaim, match="other_sellers"):
        rebate_of(a_claim(statements=(a_statement(),)))


def test_a_customer_from_2024_on_gets_nothing_from_the_new_seller() -> None:
    assert rebate_of(a_claim(contract_from=date(2023, 12, 31))).state == "granted"
    declined = rebate_of(a_claim(contract_from=NEW_YEAR))
    assert (declined.state, declined.reasons) == ("not_eligible", ("customer_since_2024",))


def test_a_customer_who_left_before_the_31st_of_december_2023_gets_nothing_here() -> None:
    # contract_to is the first day without contract.
    left = rebate_of(a_claim(contract_to=date(2023, 12, 31), bank_number=BANK_NUMBER))
    assert (left.state, left.reasons) == ("not_eligible", ("left_before_the_end_of_2023",))
    stayed = rebate_of(a_claim(contract_to=NEW_YEAR, bank_number=BANK_NUMBER))
    assert (stayed.state, stayed.amount_gr) == ("granted", 24_864)


def test_who_has_left_is_paid_at_the_bank_or_asked_for_its_number() -> None:
    assert rebate_of(a_claim(contract_to=NEW_YEAR, bank_number=BANK_NUMBER)).paid_by == "bank"
    for missing in (None, ""):
        waiting = rebate_of(a_claim(contract_to=NEW_YEAR, bank_number=missing))
        assert (waiting.state, waiting.amount_gr) == ("granted", 24_864)
        assert waiting.paid_by == "bank_number_missing"


def test_invoices_are_lowered_up_to_the_last_day_of_the_contract() -> None:
    ends = date(2024, 9, 1)
    assert rebate.paid_by(None, ends, BANK_NUMBER) == "invoices"
    assert rebate.paid_by(ends, date(2024, 8, 31), BANK_NUMBER) == "invoices"
    assert rebate.paid_by(ends, ends, BANK_NUMBER) == "bank"
    assert rebate_of(a_claim(contract_to=ends)).paid_by == "invoices"


def test_a_business_has_no_part_in_it() -> None:
    declined = rebate_of(a_claim(entitled=False))
    assert (declined.state, declined.reasons) == ("not_eligible", ("not_entitled",))


@pytest.mark.parametrize("unknown", ["reference_wh", "current_wh"])
@pytest.mark.parametrize(
    ("consent", "reason"), [(True, "operator_is_asked"), (False, "consent_missing")]
)
def test_missing_import_is_asked_of_the_operator_with_the_customers_consent(
    unknown: str, consent: bool, reason: str
) -> None:
    waiting = rebate_of(a_claim(**{unknown: None}, operator_data_consent=consent))
    assert (waiting.state, waiting.amount_gr) == ("needs_operator_data", 0)
    assert waiting.reasons == (reason,)


def test_without_any_reference_nothing_was_saved() -> None:
    for days in (457, 0):
        declined = rebate_of(a_claim(reference_wh=0, current_wh=0, reference_days=days))
        assert (declined.state, declined.reasons) == ("not_eligible", ("no_reference",))


def test_a_reference_of_some_days_is_scaled_to_the_window_and_reviewed() -> None:
    # 100 of 457 days: 1 000 000 Wh stand for 4 570 000 Wh, of which 90 % are 4 113 000 Wh.
    granted = rebate_of(a_claim(reference_wh=10**6, reference_days=100, current_wh=4_113_000))
    assert (granted.state, granted.reasons) == ("granted", ("reference_scaled",))
    assert granted.for_review
    declined = rebate_of(a_claim(reference_wh=10**6, reference_days=100, current_wh=4_113_001))
    assert (declined.state, declined.for_review) == ("not_eligible", True)
    assert declined.reasons == ("saved_too_little", "reference_scaled")


def test_a_whole_reference_needs_no_review() -> None:
    assert not rebate_of(a_claim(reference_days=457)).for_review
    assert rebate_of(a_claim(reference_days=456, current_wh=0)).for_review


@pytest.mark.parametrize(
    "changes",
    [
        {"reference_days": -1},
        {"reference_days": 458},
        {"reference_days": 0},
        {"reference_days": 0, "reference_wh": None},
        {"reference_wh": -1},
        {"current_wh": -1},
        {"own_base_gr": -1},
        {"other_sellers": True, "statements": (a_statement(amount_gr=-1),)},
        {"contract_to": date(2019, 5, 1)},
    ],
)
def test_a_figure_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRebateClaim) as refusal:
        rebate_of(a_claim(**changes))
    assert refusal.value.reason == "bad_rebate_claim"


def test_an_invoice_with_nothing_to_pay_uses_nothing() -> None:
    assert rebate.apply(500, 0) == (0, 500)
    assert rebate.apply(500, -100) == (0, 500)
    assert rebate.apply(500, 500) == (500, 0)
    assert rebate.apply(500, 501) == (500, 0)


@given(st.integers(0, 10**7), st.lists(st.integers(-1000, 10**6), max_size=20))
def test_the_rebate_is_used_in_full_or_carried_on_and_no_invoice_falls_below_zero(
    amount_gr: int, invoices: list[int]
) -> None:
    left, used_in_all = amount_gr, 0
    for to_pay_gr in invoices:
        before = left
        used, left = rebate.apply(left, to_pay_gr)
        assert used + left == before
        assert min(to_pay_gr, 0) <= to_pay_gr - used
        assert left == 0 or to_pay_gr - used <= 0, "nothing waits while something is to be paid"
        used_in_all += used
    assert used_in_all + left == amount_gr
