"""Sags, swells, outages, last gasp and cover: each threshold at, below and above."""

from firmware.power_quality import (
    EPISODE_S_MIN,
    EVENTS_PER_HOUR_MAX,
    HOUR_S,
    INTERRUPTIONS_MAX,
    PowerQuality,
    outage_at_start,
)
from tests.support.a_meter import NOON_S
from wire.messages import EVENT_LAST_GASP, EVENT_OUTAGE, EVENT_SAG, EVENT_SWELL, EVENT_TAMPER

UN_MV = 230_000


class Watched:
    """A PowerQuality looked at with everything well, unless a look says otherwise."""

    def __init__(self, clock_known=True):
        self.quality = PowerQuality()
        self.uptime_s = 100
        self.known = clock_known

    def look(self, *voltage_mv, passed_s=1, lost=False, opened=False):
        self.uptime_s += passed_s
        now_s = NOON_S + self.uptime_s if self.known else None
        return self.quality.take(now_s, self.uptime_s, voltage_mv, lost, opened)


def an_episode(*voltages_mv):
    """What one phase at these voltages, a second each and then well again, is told as."""
    watched = Watched()
    events = []
    for mv in voltages_mv:
        events += watched.look(mv)
    return events + watched.look(UN_MV)


def test_a_supply_that_is_well_tells_nothing():
    watched = Watched()
    for mv in (UN_MV, 215_000, 245_000):
        assert watched.look(mv, mv, mv) == []


def test_a_sag_begins_below_90_percent():
    assert an_episode(207_000) == []
    assert an_episode(207_001) == []
    event = (EVENT_SAG, NOON_S + 101, 101, (1, 206_999, 1))
    assert an_episode(206_999) == [event]


def test_a_swell_begins_above_110_percent():
    assert an_episode(253_000) == []
    assert an_episode(252_999) == []
    event = (EVENT_SWELL, NOON_S + 101, 101, (1, 253_001, 1))
    assert an_episode(253_001) == [event]


def test_a_sag_ends_two_percent_above_its_threshold():
    for mv, ends in ((211_599, False), (211_600, True), (211_601, True)):
        watched = Watched()
        watched.look(200_000)
        assert bool(watched.look(mv)) == ends, mv


def test_a_swell_ends_two_percent_below_its_threshold():
    for mv, ends in ((248_401, False), (248_400, True), (248_399, True)):
        watched = Watched()
        watched.look(260_000)
        assert bool(watched.look(mv)) == ends, mv


def test_an_episode_is_told_when_it_is_over_with_its_extreme_and_duration():
    told = an_episode(200_000, 150_000, 190_000, 208_000)
    assert told == [(EVENT_SAG, NOON_S + 101, 101, (1, 150_000, 4))]
    told = an_episode(254_000, 270_000, 250_000)
    assert told == [(EVENT_SWELL, NOON_S + 101, 101, (1, 270_000, 3))]


def test_a_supply_that_swings_from_sag_to_swell_is_told_as_both():
    assert [event[0] for event in an_episode(180_000, 260_000)] == [EVENT_SAG, EVENT_SWELL]


def test_an_episode_shorter_than_the_least_is_not_told():
    for duration_s in (EPISODE_S_MIN - 1, EPISODE_S_MIN, EPISODE_S_MIN + 1):
        watched = Watched()
        watched.look(180_000)
        told = watched.look(UN_MV, passed_s=duration_s)
        assert bool(told) == (duration_s >= EPISODE_S_MIN), duration_s


def test_three_phases_are_watched_apart():
    watched = Watched()
    assert watched.look(180_000, UN_MV, 260_000) == []
    assert watched.look(170_000, 190_000, 255_000) == []
    told = watched.look(UN_MV, 190_000, UN_MV)
    assert told == [
        (EVENT_SAG, NOON_S + 101, 101, (1, 170_000, 2)),
        (EVENT_SWELL, NOON_S + 101, 101, (3, 260_000, 2)),
    ]
    assert watched.look(UN_MV, UN_MV, UN_MV) == [
        (EVENT_SAG, NOON_S + 102, 102, (2, 190_000, 2)),
    ]


def test_one_phase_interrupted_is_a_sag_to_nothing_and_no_outage():
    watched = Watched()
    watched.look(0, UN_MV, UN_MV)
    told = watched.look(UN_MV, UN_MV, UN_MV)
    assert told == [(EVENT_SAG, NOON_S + 101, 101, (1, 0, 1))]
    assert watched.quality.interruptions == []


def test_all_phases_below_five_percent_are_an_outage():
    for mv, code in ((11_499, EVENT_OUTAGE), (11_500, EVENT_SAG), (11_501, EVENT_SAG)):
        watched = Watched()
        watched.look(mv, mv, 0)
        told = watched.look(UN_MV, UN_MV, UN_MV, passed_s=7)
        assert {event[0] for event in told} == {code}, mv


def test_an_outage_ends_two_percent_above_its_threshold_on_any_phase():
    for mv, ends in ((16_099, False), (16_100, True), (16_101, True)):
        watched = Watched()
        watched.look(0, 0, 0)
        told = watched.look(0, mv, 0)
        assert (told == [(EVENT_OUTAGE, NOON_S + 101, 101, (1,))]) == ends, mv


def test_an_outage_swallows_the_sag_that_it_began_as():
    watched = Watched()
    watched.look(150_000)
    watched.look(0)
    told = watched.look(UN_MV, passed_s=60)
    assert told == [(EVENT_OUTAGE, NOON_S + 102, 102, (60,))]


def test_without_voltage_sensors_nothing_is_a_sag_or_an_outage():
    watched = Watched()
    assert watched.look() == watched.look() == []


def test_a_gap_in_the_voltage_keeps_an_open_sag():
    watched = Watched()
    watched.look(180_000)
    assert watched.look() == []
    assert watched.look(UN_MV) == [(EVENT_SAG, NOON_S + 101, 101, (1, 180_000, 2))]


# ------------------------------------------------------------------ last gasp and outages


def test_the_last_gasp_is_told_once_and_at_once():
    watched = Watched()
    assert watched.look(lost=True) == [(EVENT_LAST_GASP, NOON_S + 101, 101, ())]
    assert watched.look(lost=True) == []


def test_a_supply_that_comes_back_without_a_reset_tells_the_outage_with_its_duration():
    watched = Watched()
    watched.look(lost=True)
    watched.look(lost=True)
    assert watched.look(passed_s=3) == [(EVENT_OUTAGE, NOON_S + 101, 101, (4,))]
    assert watched.look() == []
    assert watched.quality.interruptions == [(NOON_S + 101, 4)]


def test_a_second_loss_gasps_again():
    watched = Watched()
    watched.look(lost=True)
    watched.look()
    assert watched.look(lost=True)[0][0] == EVENT_LAST_GASP


def test_voltages_are_not_judged_while_the_supply_is_lost():
    watched = Watched()
    watched.look(150_000, lost=True)
    told = watched.look(UN_MV)
    assert [event[0] for event in told] == [EVENT_OUTAGE]


def test_an_outage_lasts_until_both_the_supply_and_a_voltage_are_back():
    watched = Watched()
    watched.look(0)
    assert [event[0] for event in watched.look(0, lost=True)] == [EVENT_LAST_GASP]
    assert watched.look(0) == []
    assert watched.look(UN_MV) == [(EVENT_OUTAGE, NOON_S + 101, 101, (3,))]


def test_a_time_that_is_unknown_is_told_by_uptime():
    watched = Watched(clock_known=False)
    assert watched.look(lost=True) == [(EVENT_LAST_GASP, None, 101, ())]
    assert watched.look() == [(EVENT_OUTAGE, None, 101, (1,))]
    assert watched.quality.interruptions == [(None, 1)]


def test_a_beginning_before_the_time_was_known_is_reckoned_back():
    watched = Watched(clock_known=False)
    watched.look(180_000)
    watched.known = True
    assert watched.look(UN_MV, passed_s=5) == [(EVENT_SAG, NOON_S + 101, 101, (1, 180_000, 5))]


def test_the_list_keeps_the_last_interruptions():
    quality = PowerQuality()
    for count in (INTERRUPTIONS_MAX - 1, INTERRUPTIONS_MAX, INTERRUPTIONS_MAX + 1):
        quality.interruptions = []
        for index in range(count):
            quality.interrupted(index, 1)
        assert len(quality.interruptions) == min(count, INTERRUPTIONS_MAX)
        assert quality.interruptions[-1] == (count - 1, 1)


def test_a_start_after_power_on_ends_an_outage_since_the_meter_was_last_seen():
    assert outage_at_start("power_on", NOON_S, NOON_S + 1) == (NOON_S, 1)
    assert outage_at_start("power_on", NOON_S, NOON_S) is None
    assert outage_at_start("power_on", NOON_S, NOON_S - 1) is None


def test_a_start_that_ends_no_outage_or_an_undated_one_tells_none():
    for why in ("soft", "watchdog"):
        assert outage_at_start(why, NOON_S, NOON_S + 60) is None
    for last_seen_s in (0, None):
        assert outage_at_start("power_on", last_seen_s, NOON_S) is None
    assert outage_at_start("power_on", NOON_S, None) is None


# ------------------------------------------------------------------ cover and flapping


def test_the_cover_is_told_at_each_edge():
    watched = Watched()
    assert watched.look(opened=True) == [(EVENT_TAMPER, NOON_S + 101, 101, (1,))]
    assert watched.look(opened=True) == []
    assert watched.look() == [(EVENT_TAMPER, NOON_S + 103, 103, (0,))]
    assert watched.look() == []


def test_events_of_one_code_are_bounded_in_an_hour_and_the_rest_counted():
    for swings in (EVENTS_PER_HOUR_MAX - 1, EVENTS_PER_HOUR_MAX, EVENTS_PER_HOUR_MAX + 1):
        watched = Watched()
        told = []
        for _ in range(swings):
            watched.look(180_000)
            told += watched.look(UN_MV)
        assert len(told) == min(swings, EVENTS_PER_HOUR_MAX)
        assert watched.quality.suppressed == swings - len(told)


def test_a_swinging_voltage_suppresses_neither_the_cover_nor_the_last_gasp():
    watched = Watched()
    for _ in range(EVENTS_PER_HOUR_MAX + 5):
        watched.look(180_000)
        watched.look(UN_MV)
    codes = [event[0] for event in watched.look(UN_MV, lost=True, opened=True)]
    assert codes == [EVENT_LAST_GASP, EVENT_TAMPER]


def test_the_next_hour_has_room_again():
    watched = Watched()
    for _ in range(EVENTS_PER_HOUR_MAX + 1):
        watched.look(180_000)
        watched.look(UN_MV)
    watched.look(UN_MV, passed_s=HOUR_S)
    watched.look(180_000)
    assert len(watched.look(UN_MV)) == 1


def test_an_outage_that_is_suppressed_is_on_the_list_all_the_same():
    watched = Watched()
    for _ in range(EVENTS_PER_HOUR_MAX + 1):
        watched.look(lost=True)
        watched.look()
    assert len(watched.quality.interruptions) == EVENTS_PER_HOUR_MAX + 1
    assert watched.quality.suppressed == 2  # the gasp and the outage


def test_a_cover_left_open_in_a_flapping_hour_is_told_in_the_next():
    watched = Watched()
    for _ in range(EVENTS_PER_HOUR_MAX // 2):
        watched.look(opened=True)
        watched.look()
    assert watched.look(opened=True) == []
    assert watched.quality.suppressed == 1
    assert watched.look(opened=True) == []
    assert watched.quality.suppressed == 1
    told = watched.look(passed_s=HOUR_S, opened=True)
    assert [(event[0], event[3]) for event in told] == [(EVENT_TAMPER, (1,))]
