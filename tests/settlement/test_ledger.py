"""The ledger only grows: what it comes to, how it stood, and how a correction is appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules import ledger
from settlement.rules.ledger import (
    BOOKED,
    CONVERTED,
    DEPOSIT,
    FORFEITED,
    INWARD,
    OUTWARD,
    PAID_OUT,
    REBATE,
    REFUNDED,
    REVALUED,
    STORAGE,
    USED,
    Entry,
    LotKey,
    Recorded,
)
from settlement.rules.periods import Month

MAY, JUNE, JULY = Month(2024, 5), Month(2024, 6), Month(2024, 7)


def an_entry(
    kind: str = BOOKED,
    amount: int = 100,
    lot: Month = MAY,
    month: Month = JUNE,
    account: str = DEPOSIT,
    zone: str = "",
) -> Entry:
    """A movement of a deposit lot of May, settled in June, unless something else matters."""
    return Entry(account, kind, lot, month, amount, zone)


ENTRIES = st.lists(
    st.builds(
        an_entry,
        kind=st.sampled_from(INWARD + OUTWARD),
        amount=st.integers(-5, 5),
        lot=st.sampled_from((MAY, JUNE)),
        month=st.sampled_from((JUNE, JULY)),
        account=st.sampled_from((STORAGE, DEPOSIT)),
        zone=st.sampled_from(("", "day")),
    ),
    max_size=12,
)
HELD = LotKey(DEPOSIT, "", MAY)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (BOOKED, 110),
        (REVALUED, 110),
        (USED, 90),
        (REFUNDED, 90),
        (FORFEITED, 90),
        (CONVERTED, 90),
        (PAID_OUT, 90),
    ],
)
def test_what_is_left_grows_by_what_comes_in_and_shrinks_by_what_goes_out(
    kind: str, left: int
) -> None:
    assert ledger.open_amounts([an_entry(), an_entry(kind, 10)]) == {HELD: left}


def test_a_kind_nobody_knows_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="lost"):
        ledger.open_amounts([an_entry("lost")])


def test_the_balance_is_of_one_account_over_all_its_lots_and_zones() -> None:
    entries = [
        an_entry(amount=100),
        an_entry(amount=50, lot=JUNE, zone="day"),
        an_entry(USED, 30),
        an_entry(amount=7, account=REBATE),
    ]
    assert ledger.balance(entries, DEPOSIT) == 120
    assert ledger.balance(entries, REBATE) == 7
    assert ledger.balance(entries, STORAGE) == 0


def test_a_ledger_that_agrees_with_what_is_held_is_balanced() -> None:
    entries = [an_entry(), an_entry(USED, 30), an_entry(lot=JUNE), an_entry(PAID_OUT, lot=JUNE)]
    assert ledger.unbalanced(entries, {HELD: 70}) == {}


@pytest.mark.parametrize(
    ("held", "off"),
    [
        ({HELD: 69}, {HELD: 1}),
        ({}, {HELD: 70}),
        ({HELD: 70, LotKey(DEPOSIT, "", JULY): 5}, {LotKey(DEPOSIT, "", JULY): -5}),
        (
            {LotKey(DEPOSIT, "day", MAY): 70},
            {HELD: 70, LotKey(DEPOSIT, "day", MAY): -70},
        ),
    ],
    ids=["a grosz too few", "a lot forgotten", "a lot from nowhere", "the wrong zone"],
)
def test_a_lot_that_does_not_agree_with_the_ledger_is_named(
    held: dict[LotKey, int], off: dict[LotKey, int]
) -> None:
    assert ledger.unbalanced([an_entry(), an_entry(USED, 30)], held) == off


@pytest.mark.parametrize(("when_s", "known"), [(999, 0), (1000, 1), (1999, 1), (2000, 2)])
def test_the_ledger_of_a_past_moment_leaves_out_what_was_entered_later(
    when_s: int, known: int
) -> None:
    recorded = [Recorded(an_entry(), 1000), Recorded(an_entry(USED, 30), 2000)]
    assert ledger.known_at(recorded, when_s) == (an_entry(), an_entry(USED, 30))[:known]


def test_a_correction_appends_the_difference_of_each_movement() -> None:
    billed = [an_entry(amount=100), an_entry(USED, 100, month=JULY), an_entry(lot=JUNE)]
    due = [an_entry(amount=90), an_entry(USED, 80, month=JULY), an_entry(FORFEITED, 10, month=JULY)]
    assert ledger.difference(billed, due, "RCEm") == (
        replace(an_entry(amount=-10), note="RCEm"),
        replace(an_entry(amount=-100, lot=JUNE), note="RCEm"),
        replace(an_entry(FORFEITED, 10, month=JULY), note="RCEm"),
        replace(an_entry(USED, -20, month=JULY), note="RCEm"),
    )


def test_an_equal_run_appends_nothing_however_its_entries_are_cut() -> None:
    assert (
        ledger.difference([an_entry(amount=100)], [an_entry(amount=60), an_entry(amount=40)]) == ()
    )


def test_a_step_enters_what_each_lot_has_moved_by_kind() -> None:
    before = {MAY: {BOOKED: 100, USED: 30}}
    after = {MAY: {BOOKED: 100, REVALUED: -80, USED: 20}, JUNE: {BOOKED: 50, USED: 0}}
    notes = {MAY: "a lower price", JUNE: "a price"}
    assert ledger.movements(DEPOSIT, JULY, before, after, notes) == (
        Entry(DEPOSIT, REVALUED, MAY, JULY, -80, note="a lower price"),
        Entry(DEPOSIT, USED, MAY, JULY, -10),
        Entry(DEPOSIT, BOOKED, JUNE, JULY, 50, note="a price"),
    )


@given(ENTRIES, ENTRIES)
def test_after_a_correction_the_sums_are_those_of_the_new_run(
    old: Sequence[Entry], new: Sequence[Entry]
) -> None:
    appended = ledger.difference(old, new)
    assert ledger.sums([*old, *appended]) == ledger.sums(new)
    assert all(entry.amount for entry in appended)
    assert not ledger.unbalanced([*old, *appended], ledger.open_amounts(new))


@given(ENTRIES, ENTRIES, ENTRIES)
def test_corrections_of_corrections_add_up(
    first: Sequence[Entry], second: Sequence[Entry], third: Sequence[Entry]
) -> None:
    once = [*first, *ledger.difference(first, second)]
    assert ledger.sums([*once, *ledger.difference(once, third)]) == ledger.sums(third)
