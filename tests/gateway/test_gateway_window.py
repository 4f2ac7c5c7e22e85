"""The replay window and the tracker of intervals, each held against a naive set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intervals import RANGES_MAX, Intervals
from gateway.window import BELOW, NEW, SEEN, WINDOW_FRAMES, Window
from wire.keys import FRAME_COUNTER_MAX

steps = st.lists(
    st.one_of(st.integers(0, 200), st.integers(FRAME_COUNTER_MAX - 200, FRAME_COUNTER_MAX)),
    max_size=80,
)


@given(steps)
def test_the_window_agrees_with_a_set_of_everything_seen(counters: list[int]) -> None:
    window, seen = Window(), set[int]()
    for counter in counters:
        top = max(seen, default=-1)
        if counter <= top - WINDOW_FRAMES:
            expected = BELOW
        else:
            expected = SEEN if counter in seen else NEW
        assert window.look(counter) == expected
        if expected == NEW:
            window.mark(counter)
            seen.add(counter)
    assert window.contiguous() == naive_contiguous(seen)


def naive_contiguous(seen: set[int]) -> int:
    """Count upwards from the lowest counter that could still be accepted."""
    counter = max(-1, max(seen, default=-1) - WINDOW_FRAMES)
    while counter + 1 in seen:
        counter += 1
    return counter


@pytest.mark.parametrize(("behind", "look"), [(62, NEW), (63, NEW), (64, BELOW), (65, BELOW)])
def test_the_window_is_64_frames_deep(behind: int, look: str) -> None:
    window = Window()
    window.mark(1000)
    assert window.look(1000 - behind) == look


@pytest.mark.parametrize("jump", [1, 63, 64, 65, 1 << 63])
def test_a_jump_forgets_exactly_what_falls_out(jump: int) -> None:
    window = Window()
    window.mark(10)
    window.mark(10 + jump)
    assert window.look(10) == (SEEN if jump < WINDOW_FRAMES else BELOW)
    assert window.look(10 + jump) == SEEN


reports = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 12), st.integers(0, 40)), max_size=60
)


@given(reports)
def test_the_tracker_agrees_with_a_set_of_intervals(given: list[tuple[int, int, int]]) -> None:
    tracker, held, floor = Intervals(), set[int](), 0
    for first, count, behind in given:
        oldest = max(1, first - behind)
        floor = max(floor, oldest - 1)
        held.update(range(first, first + count))
        tracker.add(first, count, oldest)
        upto = floor
        while upto + 1 in held:
            upto += 1
        floor = upto
        assert tracker.upto == upto
    again = Intervals.from_bytes(tracker.upto, tracker.to_bytes())
    assert (again.upto, again.islands) == (tracker.upto, tracker.islands)


def test_a_gap_holds_the_receipt_back_until_it_is_filled() -> None:
    tracker = Intervals()
    tracker.add(first=1, count=4, oldest=1)
    tracker.add(first=9, count=4, oldest=1)
    assert tracker.upto == 4
    tracker.add(first=5, count=4, oldest=1)
    assert (tracker.upto, tracker.islands) == (12, [])


def test_intervals_that_the_meter_no_longer_holds_are_not_waited_for() -> None:
    tracker = Intervals()
    tracker.add(first=50, count=1, oldest=50)
    assert tracker.upto == 50


@pytest.mark.parametrize("islands", [RANGES_MAX - 1, RANGES_MAX, RANGES_MAX + 1])
def test_the_tracker_remembers_a_bounded_number_of_islands(islands: int) -> None:
    tracker = Intervals()
    for number in range(islands):
        tracker.add(first=10 + 2 * number, count=1, oldest=1)
    assert len(tracker.islands) == min(islands, RANGES_MAX)
    tracker.add(first=10, count=2 * islands, oldest=1)  # the meter sends what was not receipted
    tracker.add(first=1, count=9, oldest=1)
    assert tracker.upto == 10 + 2 * islands - 1
