"""Who is without supply: the pure decisions, meter by meter, area by area, notice by notice."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outages import outage_records, outages
from gateway.outages.outage_records import (
    GATEWAY,
    OPENED,
    Now,
    Outage,
    Told,
    dated,
    same_outages,
)
from gateway.outages.outages import HEARD, OUT, SUSPECTED, TABLE, UNWATCHED, WELL
from tests.support.gateway import NOW_S
from tests.support.outage_story import A, B, C, D, Story

DOCS = Path(__file__).resolve().parents[2] / "docs" / "outages.md"


# -- one meter


def test_a_last_gasp_opens_an_outage_at_once() -> None:
    story = Story(heard=(A,)).pass_s(5).gasp(A, late_s=2)
    (outage,) = story.outages
    assert (outage.cause, outage.began_s, outage.ended_s) == ("last_gasp", NOW_S + 3, None)
    assert story.state(A) == OUT


@pytest.mark.parametrize(
    ("late_s", "state"),
    [(outages.GASP_FRESH_S, OUT), (outages.GASP_FRESH_S + 1, WELL)],
)
def test_a_gasp_that_was_sent_again_after_the_supply_came_back_opens_nothing(
    late_s: int, state: str
) -> None:
    assert Story(heard=(A,)).pass_s(100).gasp(A, late_s=late_s).state(A) == state


def test_a_gasp_without_a_time_begins_when_it_came() -> None:
    story = Story(heard=(A,)).pass_s(5)
    story.watch.gasped(A, 0, story.now.utc_s, story.now)
    assert story.look().outages[0].began_s == NOW_S + 5


@pytest.mark.parametrize(
    ("after_s", "state"), [(outages.GASP_QUIET_S, OUT), (outages.GASP_QUIET_S + 1, WELL)]
)
def test_what_a_dying_capacitor_still_sends_is_no_restoration(after_s: int, state: str) -> None:
    assert Story(heard=(A,)).gasp(A).pass_s(after_s).heard(A).state(A) == state


@pytest.mark.parametrize(("after_s", "state"), [(60, SUSPECTED), (61, OUT)])
def test_a_dead_line_is_suspected_for_the_grace_and_then_an_outage(
    after_s: int, state: str
) -> None:
    story = Story(heard=(A,)).pass_s(10).die(A).pass_s(after_s)
    assert story.state(A) == state
    assert [o.began_s for o in story.outages] == ([NOW_S + 10] if state == OUT else [])


def test_a_reconnect_within_the_grace_is_no_outage() -> None:
    story = Story(heard=(A,)).die(A).pass_s(60).here(A).pass_s(500)
    assert (story.state(A), story.outages) == (WELL, [])


def test_a_frame_sent_before_the_line_died_does_not_lift_the_suspicion() -> None:
    story = Story(heard=(A,)).pass_s(10).die(A)
    story.watch.heard(A, story.now.steady_s, story.now)
    assert story.look().state(A) == SUSPECTED
    story.pass_s(1).heard(A)
    assert story.state(A) == WELL


@pytest.mark.parametrize(("after_s", "state"), [(3600, WELL), (3601, OUT)])
def test_silence_longer_than_its_limit_is_an_outage_that_began_with_the_last_frame(
    after_s: int, state: str
) -> None:
    story = Story(heard=(A,)).pass_s(after_s)
    assert story.state(A) == state
    assert [(o.cause, o.began_s) for o in story.outages] == (
        [("silence", NOW_S)] if state == OUT else []
    )


def test_any_accepted_frame_closes_the_outage_with_its_duration() -> None:
    story = Story(heard=(A,)).pass_s(4000).pass_s(500).heard(A)
    (outage,) = story.outages
    assert (outage.began_s, outage.ended_s, outage.end_why) == (NOW_S, NOW_S + 4500, HEARD)
    assert story.state(A) == WELL


def test_a_session_alone_closes_nothing_because_only_a_frame_proves_the_meter() -> None:
    story = Story(heard=(A,)).pass_s(4000).here(A)
    assert story.state(A) == OUT


def test_a_meter_that_never_sent_a_frame_is_not_missed() -> None:
    story = Story().here(A).die(A).pass_s(10_000)
    assert (story.state(A), story.outages) == (UNWATCHED, [])


def test_a_meter_taken_out_of_service_closes_its_outage_and_is_forgotten() -> None:
    story = Story(heard=(A,)).pass_s(4000)
    story.watch.removed(A, story.now)
    story.look().pass_s(10_000)
    assert [o.end_why for o in story.outages] == ["removed"]
    assert A not in story.watch.meters


def test_the_gateways_own_standstill_is_not_called_silence() -> None:
    story = Story(heard=(A, B)).die(B)
    story.now = Now(story.now.utc_s + 9000, story.now.steady_s + 9000)
    story.watch.rested(story.now)
    story.look()
    assert (story.state(A), story.state(B), story.outages) == (WELL, SUSPECTED, [])
    assert story.pass_s(61).state(B) == OUT
    assert story.pass_s(3540).state(A) == OUT


@pytest.mark.parametrize(("silent", "first", "second"), [(2, 2, 2), (3, 3, 3), (4, 3, 4)])
def test_one_look_opens_a_bounded_number_and_the_next_one_the_rest(
    monkeypatch: pytest.MonkeyPatch, silent: int, first: int, second: int
) -> None:
    monkeypatch.setattr(outages, "OPENS_A_LOOK_MAX", 3)
    story = Story(heard=tuple(bytes([number]) * 8 for number in range(silent))).pass_s(3601)
    assert story.watch.count(OUT) == first
    assert story.pass_s(1).watch.count(OUT) == second


# -- the meter's own word


def test_the_meters_own_outage_is_the_truth_of_the_open_record() -> None:
    story = Story(heard=(A,)).pass_s(4000).tell(A, NOW_S + 300, 3600)
    (outage,) = story.outages
    assert (outage.began_s, outage.ended_s, outage.number) == (NOW_S + 300, NOW_S + 3900, 7)
    assert (outage.said_by, outage.cause, story.state(A)) == ("meter", "silence", WELL)


def test_the_meters_own_outage_corrects_the_record_that_a_frame_has_closed() -> None:
    story = Story(heard=(A,)).pass_s(4000).heard(A).pass_s(5).tell(A, NOW_S + 300, 3600)
    (outage,) = story.outages
    assert (outage.began_s, outage.ended_s, outage.said_by) == (NOW_S + 300, NOW_S + 3900, "meter")


def test_an_outage_that_nobody_noticed_makes_one_record_after_the_fact() -> None:
    story = Story(heard=(A,)).pass_s(900).tell(A, NOW_S + 100, 200)
    (outage,) = story.outages
    assert (outage.cause, outage.began_s, outage.ended_s) == ("meter", NOW_S + 100, NOW_S + 300)
    assert story.state(A) == WELL


def test_two_outages_in_one_silence_are_one_corrected_and_one_new_record() -> None:
    story = Story(heard=(A,)).pass_s(4000)
    story.tell(A, NOW_S + 100, 200, number=7).tell(A, NOW_S + 1000, 100, number=8)
    assert [(o.began_s, o.ended_s) for o in story.outages] == [
        (NOW_S + 100, NOW_S + 300),
        (NOW_S + 1000, NOW_S + 1100),
    ]


def test_two_outages_that_the_meter_tells_of_are_two_however_close() -> None:
    story = Story(heard=(A,)).pass_s(900)
    story.tell(A, NOW_S + 100, 200, number=7).tell(A, NOW_S + 350, 50, number=8)
    assert [(o.began_s, o.ended_s) for o in story.outages] == [
        (NOW_S + 100, NOW_S + 300),
        (NOW_S + 350, NOW_S + 400),
    ]


def test_two_records_of_one_real_outage_become_one() -> None:
    story = Story(heard=(A,)).gasp(A).pass_s(20).heard(A).pass_s(5).gasp(A).pass_s(100)
    assert len(story.outages) == 2
    story.tell(A, NOW_S, 120)
    (outage,) = story.outages
    assert (outage.began_s, outage.ended_s) == (NOW_S, NOW_S + 120)
    assert story.state(A) == WELL


def test_an_open_outage_stays_open_when_the_meter_tells_of_yesterdays() -> None:
    story = Story(heard=(A,)).pass_s(4000).tell(A, NOW_S - 90_000, 60)
    assert story.state(A) == OUT
    assert len(story.outages) == 2


@pytest.mark.parametrize(
    ("gap_s", "same"), [(outage_records.MATCH_S, 1), (outage_records.MATCH_S + 1, 0)]
)
def test_a_told_outage_is_matched_within_the_meters_save_period(gap_s: int, same: int) -> None:
    record = Outage(A, GATEWAY, "silence", NOW_S, NOW_S, 0, ended_s=NOW_S + 50)
    assert len(same_outages(Told(1, NOW_S + 50 + gap_s, 10, 0), [record])) == same
    assert len(same_outages(Told(1, NOW_S - gap_s - 10, 10, 0), [record])) == same


@pytest.mark.parametrize(
    ("began_s", "duration_s", "possible"),
    [
        (NOW_S, 0, True),
        (NOW_S, -1, False),
        (NOW_S - outage_records.OUTAGE_S_MAX, outage_records.OUTAGE_S_MAX, False),  # before 2020
        (outage_records.BEGAN_S_MIN, 1, True),
        (outage_records.BEGAN_S_MIN - 1, 1, False),
        (NOW_S, outage_records.AHEAD_S_MAX, True),
        (NOW_S, outage_records.AHEAD_S_MAX + 1, False),
        (0, 60, True),
        (0, 1 << 60, False),
        (1 << 60, 1, False),
    ],
)
def test_an_outage_with_impossible_times_is_refused(
    began_s: int, duration_s: int, possible: bool
) -> None:
    assert (dated(Told(1, began_s, duration_s, NOW_S)) is not None) is possible


def test_an_undated_outage_ended_when_it_was_told() -> None:
    assert dated(Told(1, 0, 60, NOW_S)) == Told(1, NOW_S - 60, 60, NOW_S)


def test_a_start_of_the_meter_dates_the_end_of_what_a_later_frame_closed() -> None:
    story = Story(heard=(A,)).pass_s(4000).heard(A)
    (outage,) = story.outages
    story.watch.booted(NOW_S + 3990, [outage])
    assert (outage.ended_s, outage.said_by) == (NOW_S + 3990, "boot")
    story.watch.booted(NOW_S + 100, [outage])
    assert outage.ended_s == NOW_S + 3990, "the first start is the one that ended it"


# -- clocks


@pytest.mark.parametrize("jump_s", [-90_000, 90_000])
def test_a_clock_that_jumps_opens_nothing_and_leaves_durations_right(jump_s: int) -> None:
    story = Story(heard=(A, B)).pass_s(100, clock_jump_s=jump_s)
    assert story.outages == []
    story.heard(A, B).gasp(A).pass_s(50, clock_jump_s=jump_s).heard(A)
    (outage,) = story.outages
    assert outage.ended_s is not None
    assert outage.ended_s - outage.began_s == 50


# -- the table


def test_every_state_answers_everything_that_can_happen_to_it() -> None:
    states = {UNWATCHED, WELL, SUSPECTED, OUT}
    happenings = {what for _, what in TABLE}
    missing = set(itertools.product(states, happenings)) - set(TABLE)
    assert missing == {
        (UNWATCHED, "grace_over"), (UNWATCHED, "silent"), (WELL, "grace_over"),
        (OUT, "grace_over"), (OUT, "silent"),
    }  # fmt: skip
    assert set(TABLE.values()) <= states


def test_the_page_shows_the_table_of_states() -> None:
    rows = [f"| {state} | {what} | {then} |" for (state, what), then in TABLE.items()]
    assert "\n".join(rows) in DOCS.read_text("utf-8")


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["heard", "gasp", "die", "here", "pass", "tell", "remove", "rest"]),
        st.sampled_from([A, B, C, D]),
        st.integers(0, 5000),
    ),
    max_size=40,
)


@given(ACTS)
def test_whatever_happens_a_meter_has_one_open_record_exactly_while_it_is_out(
    acts: list[tuple[str, bytes, int]],
) -> None:
    story = Story()
    for what, meter_id, seconds in acts:
        if what == "pass":
            story.pass_s(seconds)
        elif what == "tell":
            story.tell(meter_id, story.now.utc_s - seconds, seconds // 2, number=seconds)
        elif what == "remove":
            story.watch.removed(meter_id, story.now)
            story.look()
        elif what == "rest":
            story.watch.rested(story.now)
        else:
            getattr(story, what)(meter_id)
        is_open = [o.meter_id for o in story.outages if o.ended_s is None]
        out = [m for m, watched in story.watch.meters.items() if watched.state == OUT]
        assert sorted(is_open) == sorted(out)
        assert all(o.ended_s is None or o.ended_s >= o.began_s for o in story.outages)
        numbers = [tell.outage for tell in story.told if tell.what == OPENED]
        assert len(numbers) == len({id(outage) for outage in numbers}), "told once"
