"""Substitutes for missing intervals: proposed, kept when told to, and giving way to readings."""

from __future__ import annotations

from datetime import date

import pytest

from settlement import close, estimating, history, hours, inputs, laws
from settlement.errors import NothingToEstimate, UnknownPoint
from settlement.rules.errors import CannotEstimate, Incomplete
from settlement.rules.estimation import MEAN_OF_COMPARABLE_DAYS, REGISTER_BY_PROFILE
from settlement.rules.periods import Month
from settlement.store import Store, substitutes
from tests.support.settled import all_corrections, at, body_of, corrected, issued, month, put, told
from tests.support.settlement import METER_ID, OTHER_METER_ID, PPE, a_point_form, a_prosumer

JULY, AUGUST = Month(2024, 7), Month(2024, 8)
DAY_WH = 24 * 400
MISSING = date(2024, 7, 18)


def proposed(store: Store, of_month: Month = JULY) -> tuple[estimating.Estimate, ...]:
    with store.reading() as connection:
        return estimating.estimates_of(connection, PPE, of_month)


def keep(store: Store, of_month: Month = JULY) -> None:
    with store.writing() as connection:
        found = estimating.estimates_of(connection, PPE, of_month)
        estimating.keep(connection, found, at("2024-08-01"))


def a_gap(store: Store, first: int = 18, last: int = 18) -> None:
    put(store, a_point_form())
    told(store, month("2024-07"), skip=lambda day: first <= day.day <= last)


def test_a_gap_between_two_readings_gets_what_the_register_grew_by(store: Store) -> None:
    a_gap(store)
    (estimate,) = proposed(store)
    assert estimate.gap.meter_id == METER_ID
    assert len(estimate.substitutes) == 24
    assert sum(each.energy_wh for each in estimate.substitutes) == DAY_WH
    assert {each.method for each in estimate.substitutes} == {REGISTER_BY_PROFILE}
    with store.reading() as connection:
        start_s, end_s = estimate.gap.start_s, estimate.gap.end_s
        assert substitutes.within(connection, METER_ID, "1.8.0", start_s, end_s) == []


def test_nothing_is_billed_by_a_proposal_and_everything_once_it_is_kept(store: Store) -> None:
    a_gap(store)
    proposed(store)
    with pytest.raises(Incomplete):
        issued(store, "2024-07", "2024-08-01")
    keep(store)
    usage = body_of(issued(store, "2024-07", "2024-08-02"))["usage"]
    assert usage["import_wh"] == 31 * DAY_WH
    assert usage["quality"] == {"estimated": 24, "measured": 30 * 24}


def test_a_kept_estimate_is_shown_as_estimated(store: Store) -> None:
    a_gap(store)
    assert {each.quality for each in hours.of_day(store, PPE, MISSING)} == {"missing"}
    keep(store)
    of_day = hours.of_day(store, PPE, MISSING)
    assert {each.quality for each in of_day} == {"estimated"}
    assert [each.import_wh for each in of_day] == [400] * 24


def test_what_is_estimated_already_is_not_estimated_again(store: Store) -> None:
    a_gap(store)
    keep(store)
    with pytest.raises(NothingToEstimate, match="estimated already"):
        keep(store)


def test_more_knowledge_makes_a_new_version_of_the_estimate(store: Store) -> None:
    put(store, a_point_form())
    told(store, month("2024-07"), skip=lambda day: day.day >= 30)
    keep(store)
    (estimate,) = _kept(store)
    assert estimate == (MEAN_OF_COMPARABLE_DAYS, 1, 2 * DAY_WH)
    told(store, month("2024-07"), 500, counter=2000, skip=lambda day: day.day >= 30)
    keep(store)
    assert [version for _, version, _ in _kept(store)] == [1, 2]


def _kept(store: Store) -> list[tuple[str, int, int]]:
    """Method, version and energy of what is kept of July, by version."""
    period = JULY.period
    found: dict[tuple[str, int], int] = {}
    with store.reading() as connection:
        for each in substitutes.within(connection, METER_ID, "1.8.0", period.start_s, period.end_s):
            key = (each.method, each.version)
            found[key] = found.get(key, 0) + each.energy_wh
    return [(method, version, energy_wh) for (method, version), energy_wh in found.items()]


def test_a_reading_that_comes_late_takes_the_place_of_its_estimate(store: Store) -> None:
    a_gap(store)
    keep(store)
    issued(store, "2024-07", "2024-08-02")
    told(store, month("2024-07"), counter=1000)
    # The same energy comes out, so that nobody has to pay otherwise.
    assert corrected(store, "2024-08-03") == []
    told(store, month("2024-07"), 410, counter=2000)
    assert corrected(store, "2024-08-04") == ["readings"]
    (correction,) = all_corrections(store)
    assert body_of(correction)["should_have_been"]["usage"]["quality"] == {"measured": 744}


def test_a_prosumer_gets_estimates_of_both_registers(store: Store) -> None:
    put(store, a_point_form(a_prosumer()))
    told(store, month("2024-07"), 100, 300, skip=lambda day: day == MISSING)
    assert sorted(
        (each.gap.obis, sum(one.energy_wh for one in each.substitutes)) for each in proposed(store)
    ) == [("1.8.0", 2400), ("2.8.0", 7200)]


def test_a_changed_meter_is_estimated_only_while_it_was_there(store: Store) -> None:
    change_s = at("2024-07-18", 12)
    meters = [(METER_ID, 0, change_s), (OTHER_METER_ID, change_s, None)]
    put(store, a_point_form(meters=meters))
    told(store, month("2024-07"), skip=lambda day: day.day == 18)
    told(store, month("2024-07"), 600, meter_id=OTHER_METER_ID, skip=lambda day: day.day < 19)
    found = {each.gap.meter_id: each for each in proposed(store)}
    assert found[METER_ID].gap.end_s == change_s
    assert found[OTHER_METER_ID].gap.start_s == change_s
    assert len(found[METER_ID].substitutes) == len(found[OTHER_METER_ID].substitutes) == 12
    keep(store)
    with store.reading() as connection:
        form = history.form_of(connection, PPE)[0]
        counted = inputs.intervals_of(
            connection, form.assignments(), "1.8.0", JULY.period.start_s, JULY.period.end_s
        )
    assert len(counted) == 744
    assert close.issue(store, laws.shipped(), PPE, JULY.period, at("2024-08-01"))[1]


def test_where_nothing_is_known_nothing_is_guessed(store: Store) -> None:
    put(store, a_point_form())
    with pytest.raises(CannotEstimate, match="read the register by hand"):
        proposed(store)


def test_a_month_that_is_whole_or_has_no_meter_is_not_estimated(store: Store) -> None:
    put(store, a_point_form())
    told(store, month("2024-07"))
    with pytest.raises(NothingToEstimate, match="nothing is missing of 2024-07"):
        proposed(store)
    put(store, a_point_form(meters=[(METER_ID, AUGUST.period.start_s, None)]))
    with pytest.raises(NothingToEstimate):
        proposed(store)


def test_a_point_that_is_not_known_cannot_be_estimated(store: Store) -> None:
    with pytest.raises(UnknownPoint):
        proposed(store)
