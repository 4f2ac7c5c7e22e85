"""Lots of storage and deposit: oldest first, lost at the end of life, and nothing vanishes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules import lots
from settlement.rules.lots import Lot, Part
from settlement.rules.periods import Month

MAY, JUNE, JULY = Month(2024, 5), Month(2024, 6), Month(2024, 7)
THREE = (Lot(MAY, 100, 40), Lot(JUNE, 50, 50), Lot(JULY, 30, 30))


class Step(NamedTuple):
    """What one month brings and wants."""

    booked: int
    wanted: int


STEPS = st.lists(st.builds(Step, st.integers(0, 9), st.integers(0, 12)), min_size=1, max_size=40)
LIVES = st.integers(0, 14)


def test_the_oldest_lot_is_used_first() -> None:
    after, parts = lots.take(THREE, 60)
    assert parts == (Part(MAY, 40), Part(JUNE, 20))
    assert after == (Lot(MAY, 100, 0), Lot(JUNE, 50, 30), Lot(JULY, 30, 30))


@pytest.mark.parametrize(("wanted", "taken"), [(0, 0), (119, 119), (120, 120), (121, 120)])
def test_no_more_is_used_than_is_wanted_and_than_there_is(wanted: int, taken: int) -> None:
    after, parts = lots.take(THREE, wanted)
    assert sum(part.amount for part in parts) == taken
    assert lots.total(after) == 120 - taken


def test_a_month_that_is_booked_again_grows_its_lot() -> None:
    twice = lots.book(lots.book((), MAY, 70), MAY, 30)
    assert twice == (Lot(MAY, 100, 100),)
    assert lots.book(twice, JULY, 0) == (Lot(MAY, 100, 100), Lot(JULY, 0, 0))


def test_a_month_before_the_newest_is_not_booked() -> None:
    with pytest.raises(AssertionError, match="in order"):
        lots.book((Lot(JUNE, 1, 1),), MAY, 1)


def test_the_end_of_life_takes_the_lots_up_to_that_month_and_no_later_one() -> None:
    assert lots.expire(THREE, MAY.plus(-1)) == (THREE, ())
    assert lots.expire(THREE, JUNE) == (THREE[2:], (Part(MAY, 40), Part(JUNE, 50)))


def test_a_lot_used_up_leaves_nothing_to_expire() -> None:
    assert lots.expire((Lot(MAY, 100, 0),), MAY) == ((), ())


@pytest.mark.parametrize(("booked", "left"), [(100, -1), (100, 101)])
def test_a_lot_never_holds_less_than_nothing_or_more_than_came_in(booked: int, left: int) -> None:
    with pytest.raises(AssertionError):
        Lot(MAY, booked, left)


class Run(NamedTuple):
    """Used, expired and open amounts, month by month."""

    used: list[int]
    expired: list[int]
    left: list[int]


def run_of_lots(steps: list[Step], life: int) -> Run:
    """Each month books, takes, and loses the lot that is `life` months old."""
    held: lots.Lots = ()
    run = Run([], [], [])
    for number, step in enumerate(steps):
        month = MAY.plus(number)
        held = lots.book(held, month, step.booked)
        held, taken = lots.take(held, step.wanted)
        held, gone = lots.expire(held, month.plus(-life))
        run.used.append(sum(part.amount for part in taken))
        run.expired.append(sum(part.amount for part in gone))
        run.left.append(lots.total(held))
    return run


def run_of_single_units(steps: list[Step], life: int) -> Run:
    """The same, naively: every Wh or grosz is a thing that knows its month."""
    units: list[int] = []
    run = Run([], [], [])
    for month, step in enumerate(steps):
        units += [month] * step.booked
        used, units = units[: step.wanted], units[step.wanted :]
        expired = [unit for unit in units if unit <= month - life]
        units = [unit for unit in units if unit > month - life]
        run.used.append(len(used))
        run.expired.append(len(expired))
        run.left.append(len(units))
    return run


def run_of_the_closed_form(steps: list[Step], life: int) -> Run:
    """The same without lots: cumulative sums, each month clamped between two earlier ones.

    A = all booked so far, U = all used or expired so far; V = min(A, U + wanted) is U before
    expiry, and U = max(V, A of `life` months ago) after it.
    """
    booked = [sum(step.booked for step in steps[: upto + 1]) for upto in range(len(steps))]
    gone = 0
    run = Run([], [], [])
    for month, step in enumerate(steps):
        after_use = min(booked[month], gone + step.wanted)
        expiring = booked[month - life] if month >= life else 0
        run.used.append(after_use - gone)
        gone = max(after_use, expiring)
        run.expired.append(gone - after_use)
        run.left.append(booked[month] - gone)
    return run


@given(STEPS, LIVES)
def test_lots_move_as_single_units_would(steps: list[Step], life: int) -> None:
    assert run_of_lots(steps, life) == run_of_single_units(steps, life)


@given(STEPS, LIVES)
def test_the_closed_form_moves_as_the_lots_do(steps: list[Step], life: int) -> None:
    assert run_of_the_closed_form(steps, life) == run_of_lots(steps, life)


@given(STEPS, LIVES)
def test_all_that_was_booked_is_used_expired_or_open(steps: list[Step], life: int) -> None:
    run = run_of_lots(steps, life)
    assert sum(step.booked for step in steps) == sum(run.used) + sum(run.expired) + run.left[-1]
