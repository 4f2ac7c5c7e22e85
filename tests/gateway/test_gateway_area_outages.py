"""Many meters at once are one outage, and which notices go out: the pure decisions."""

from __future__ import annotations

import pytest

from gateway.outages import area_outages
from gateway.outages.outage_records import (
    CLOSED,
    GATEWAY,
    OPENED,
    PLANNED,
    UNREACHED,
    Plan,
)
from tests.support.gateway import NOW_S
from tests.support.outage_story import A, B, C, D, E, Story

# -- many at once


def test_three_meters_of_one_area_at_once_are_one_area_outage_with_one_notice() -> None:
    story = Story(heard=(A, B, C, D, E))
    story.watch.area_of = dict.fromkeys((A, B, C, D), "Wola")
    story.gasp(A).pass_s(60).gasp(B).pass_s(60).gasp(C)
    (area,) = story.area_outages
    assert (area.area, set(area.members), area.began_s) == ("Wola", {A, B, C}, NOW_S)
    story.pass_s(121)
    assert story.said() == [(OPENED, "Wola")]


def test_meters_that_fail_apart_are_no_area_outage() -> None:
    story = Story(heard=(A, B, C, D, E))
    story.gasp(A).pass_s(60).gasp(B).pass_s(61).gasp(C).pass_s(121)
    assert story.area_outages == []
    assert story.said() == [(OPENED, "meter")] * 3


def test_two_meters_of_an_area_are_two_outages() -> None:
    story = Story(heard=(A, B, C, D, E)).gasp(A, B).pass_s(121)
    assert story.area_outages == []
    assert story.said() == [(OPENED, "meter")] * 2


def test_one_meter_that_flaps_is_no_area() -> None:
    story = Story(heard=(A, B, C, D, E))
    for _ in range(4):
        story.gasp(A).pass_s(20).heard(A)
    assert story.area_outages == []


def test_a_late_joiner_joins_without_a_notice_of_its_own() -> None:
    story = Story(heard=(A, B, C, D, E)).gasp(A, B, C).pass_s(500).gasp(D).pass_s(500)
    (area,) = story.area_outages
    assert set(area.members) == {A, B, C, D}
    assert story.said() == [(OPENED, GATEWAY)]


def test_what_fails_long_after_is_not_swallowed_by_an_area_outage_that_never_ended() -> None:
    story = Story(heard=(A, B, C, D)).gasp(A, B, C)
    for _ in range(40):
        story.pass_s(100).heard(D)
    story.gasp(D).pass_s(121)
    assert D not in story.area_outages[0].members
    assert story.said() == [(OPENED, GATEWAY), (OPENED, "meter")]


@pytest.mark.parametrize(("back", "is_over"), [((A, B, C), False), ((A, B, C, D), True)])
def test_an_area_outage_ends_when_most_of_its_meters_are_back(
    back: tuple[bytes, ...], is_over: bool
) -> None:
    story = Story(heard=(A, B, C, D, E)).gasp(A, B, C, D, E).pass_s(300).heard(*back)
    (area,) = story.area_outages
    assert (area.ended_s is not None) is is_over  # 80 % of five are four
    assert story.said() == [(OPENED, GATEWAY)] + [(CLOSED, GATEWAY)] * is_over
    assert area_outages.AREA_BACK_PERMILLE == 800


def test_short_outages_told_afterwards_by_a_whole_street_are_one_notice() -> None:
    story = Story(heard=(A, B, C, D, E)).pass_s(600)
    for meter_id in (A, B, C, D):
        story.tell(meter_id, NOW_S + 100, 60)
    story.pass_s(121)
    assert story.said() == [(CLOSED, GATEWAY)]


def test_most_meters_gone_at_once_without_a_gasp_is_our_own_line() -> None:
    story = Story(heard=(A, B, C, D, E))
    story.watch.area_of = {A: "Wola", B: "Wola", C: "Ochota"}
    story.die(A, B, C).pass_s(61)
    (area,) = story.area_outages
    assert (area.area, set(area.members)) == (UNREACHED, {A, B, C})
    story.heard(D, E).pass_s(121)
    assert story.said() == [(OPENED, UNREACHED)]


def test_an_area_that_turns_out_to_be_our_own_line_gives_up_its_meters() -> None:
    story = Story(heard=(A, B, C, D, E, bytes(8), b"7" * 8))
    story.watch.area_of = dict.fromkeys((A, B, C), "Wola")
    story.die(A, B, C).pass_s(61)
    assert [area.area for area in story.area_outages] == ["Wola"]
    story.die(D, E).pass_s(61).pass_s(130)
    assert [area.area for area in story.area_outages] == [UNREACHED]
    assert story.said() == [(OPENED, UNREACHED)]


def test_half_of_all_meters_is_not_most_of_them() -> None:
    story = Story(heard=(A, B, C, D, E, bytes(8))).die(A, B, C).pass_s(61)
    assert [area.area for area in story.area_outages] == [GATEWAY]


def test_gasps_of_all_meters_are_their_supply_and_not_our_line() -> None:
    story = Story(heard=(A, B, C, D, E)).gasp(A, B, C, D, E)
    assert [area.area for area in story.area_outages] == [GATEWAY]


# -- notices


def test_a_notice_waits_until_the_outage_cannot_be_part_of_a_larger_one() -> None:
    story = Story(heard=(A, B, C, D, E)).gasp(A).pass_s(120)
    assert story.said() == []
    story.pass_s(1)
    assert story.said() == [(OPENED, "meter")]
    story.heard(A)
    assert story.said() == [(OPENED, "meter"), (CLOSED, "meter")]


def test_an_outage_that_was_over_before_anybody_was_told_is_one_notice() -> None:
    story = Story(heard=(A, B)).gasp(A).pass_s(60).heard(A).pass_s(61)
    assert story.said() == [(CLOSED, "meter")]


@pytest.mark.parametrize("subject", ["Wola", A.hex(), "*"])
def test_a_planned_outage_is_recorded_and_not_told(subject: str) -> None:
    story = Story(heard=(A, B))
    story.watch.area_of = {A: "Wola"}
    story.watch.areas.plans = [Plan(subject, NOW_S, NOW_S + 7200, "transformer")]
    story.gasp(A).pass_s(600).heard(A).pass_s(1)
    assert [o.told for o in story.outages] == [PLANNED]
    assert story.said() == []


def test_a_planned_outage_that_outlasts_its_plan_is_told() -> None:
    story = Story(heard=(A, B))
    story.watch.areas.plans = [Plan("*", NOW_S, NOW_S + 600, "")]
    story.gasp(A).pass_s(600)
    assert story.said() == []
    story.pass_s(1)
    assert story.said() == [(OPENED, "meter")]


def test_a_plan_of_another_place_or_time_holds_nothing_back() -> None:
    story = Story(heard=(A, B))
    story.watch.areas.plans = [
        Plan("Ochota", NOW_S, NOW_S + 7200, ""),
        Plan("*", NOW_S + 3601, NOW_S + 7200, ""),
    ]
    assert story.gasp(A).pass_s(121).said() == [(OPENED, "meter")]
