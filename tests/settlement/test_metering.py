"""Both registers of a point become hours; what is not wholly known is None, never zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.rules.errors import Incomplete, OffGrid, Overlapping
from settlement.rules.metering import EXPORT, IMPORT, HourEnergy, check_whole, metered
from settlement.rules.periods import Period
from settlement.rules.validation import SPIKE, Interval
from wire.quality import ESTIMATED, ESTIMATED_VA, MEASURED, MISSING

METER = "00112233445566aa"
NEW_METER = "00112233445566bb"
DAY = Period(date(2024, 10, 14), date(2024, 10, 15))
AUTUMN = Period(date(2024, 10, 27), date(2024, 10, 28))


def intervals(
    energy_wh: int = 100, capture_period_s: int = 900, day: Period = DAY
) -> list[Interval]:
    """The whole day of one register, without its readings."""
    starts = range(day.start_s, day.end_s, capture_period_s)
    return [Interval(METER, start_s, capture_period_s, energy_wh, MEASURED) for start_s in starts]


def both(imported: Iterable[Interval], exported: Iterable[Interval]) -> dict[str, list[Interval]]:
    return {IMPORT: list(imported), EXPORT: list(exported)}


def test_four_quarters_are_summed_into_their_hour_for_each_register() -> None:
    found = metered(both(intervals(100), intervals(30)), DAY)
    assert len(found.hours) == 24
    assert set(found.hours.values()) == {HourEnergy(400, 120)}
    assert (found.intervals, found.quality) == (192, (("measured", 192),))
    check_whole(found)
    assert found.missing == {IMPORT: (), EXPORT: ()}


def test_the_autumn_day_has_25_hours_of_its_own() -> None:
    found = metered(both(intervals(7, 3600, AUTUMN), intervals(0, 900, AUTUMN)), AUTUMN)
    assert list(found.hours.values()) == [HourEnergy(7, 0)] * 25


def test_capture_periods_mix_freely() -> None:
    hours, halves, quarters = intervals(400, 3600), intervals(200, 1800), intervals(100)
    mixed = [*hours[:8], *halves[16:32], *quarters[64:]]
    found = metered(both(mixed, quarters), DAY)
    assert set(found.hours.values()) == {HourEnergy(400, 400)}
    assert found.intervals == 8 + 16 + 32 + 96


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_an_hour_with_one_quarter_missing_is_not_known(lost: int) -> None:
    gappy = [each for place, each in enumerate(intervals()) if place != 20 + lost]
    found = metered(both(intervals(30), gappy), DAY)
    hour_s = DAY.start_s + 5 * 3600
    assert found.hours[hour_s] == HourEnergy(120, None)
    assert found.hours[hour_s + 3600] == HourEnergy(120, 400)
    gap_s = hour_s + 900 * lost
    assert found.missing == {IMPORT: (), EXPORT: ((gap_s, gap_s + 900),)}
    with pytest.raises(Incomplete, match=r"register 2\.8\.0 is missing for 900 s") as refusal:
        check_whole(found)
    assert refusal.value.gaps == ((gap_s, gap_s + 900),)


@pytest.mark.parametrize("quality", [MISSING, MEASURED | ESTIMATED_VA])
def test_an_interval_that_may_not_be_billed_leaves_its_hour_unknown(quality: int) -> None:
    marked = intervals()
    marked[0] = replace(marked[0], quality=quality)
    found = metered(both(marked, intervals()), DAY)
    assert found.hours[DAY.start_s] == HourEnergy(None, 400)
    assert found.intervals == 95 + 96


def test_a_plain_household_tells_import_alone() -> None:
    found = metered({IMPORT: intervals()}, DAY)
    assert set(found.hours.values()) == {HourEnergy(400, None)}
    assert set(found.missing) == {IMPORT}
    check_whole(found)


def test_a_prosumer_whose_export_never_came_is_incomplete() -> None:
    with pytest.raises(Incomplete) as refusal:
        check_whole(metered(both(intervals(), []), DAY))
    assert refusal.value.missing_s == 24 * 3600


def test_nothing_at_all_leaves_every_hour_unknown() -> None:
    found = metered(both([], []), DAY)
    assert set(found.hours.values()) == {HourEnergy(None, None)}
    assert len(found.hours) == 24


def test_findings_name_the_register_and_the_meter() -> None:
    spiky = intervals()
    spiky[9] = replace(spiky[9], energy_wh=9_000)
    (finding,) = metered(both(intervals(), spiky), DAY, 14_000).findings
    assert (finding.kind, finding.meter_id, finding.start_s) == (SPIKE, METER, spiky[9].start_s)
    assert finding.detail.startswith("2.8.0: 9000 Wh")


def test_quality_is_counted_over_both_registers() -> None:
    guessed = intervals()
    guessed[3] = replace(guessed[3], quality=ESTIMATED)
    found = metered(both(intervals(), guessed), DAY)
    assert found.quality == (("estimated", 1), ("measured", 191))


def test_a_changed_meter_goes_on_in_the_same_hours() -> None:
    first, second = intervals()[:50], [replace(e, meter_id=NEW_METER) for e in intervals()[50:]]
    found = metered(both([*first, *second], intervals()), DAY)
    assert set(found.hours.values()) == {HourEnergy(400, 400)}


def test_two_intervals_of_one_register_never_overlap_but_two_registers_do() -> None:
    with pytest.raises(Overlapping):
        metered(both([*intervals(), *intervals(400, 3600)[:1]], intervals()), DAY)
    assert metered(both(intervals(), intervals(400, 3600)), DAY).missing[EXPORT] == ()


def test_an_interval_out_of_the_period_is_refused_in_either_register() -> None:
    outside = replace(intervals()[0], start_s=DAY.end_s)
    with pytest.raises(OffGrid):
        metered(both(intervals(), [*intervals(), outside]), DAY)


def test_the_digest_pins_register_order_of_time_and_every_value() -> None:
    one, other = intervals(100), intervals(30)
    digest = metered(both(one, other), DAY).readings_sha256
    assert metered(both(reversed(one), reversed(other)), DAY).readings_sha256 == digest
    changed = [replace(other[0], quality=ESTIMATED), *other[1:]]
    assert (
        metered(both(one, []), DAY).readings_sha256 != metered(both([], one), DAY).readings_sha256
    )
    for different in (both(other, one), both(one, changed), {IMPORT: one}):
        assert metered(different, DAY).readings_sha256 != digest


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 95)), st.sets(st.integers(0, 95)))
def test_an_hour_is_known_when_all_its_quarters_are(lost: set[int], lost_export: set[int]) -> None:
    def kept(without: set[int]) -> list[Interval]:
        return [each for place, each in enumerate(intervals()) if place not in without]

    found = metered(both(kept(lost), kept(lost_export)), DAY)
    for hour, (start_s, energy) in enumerate(found.hours.items()):
        quarters = set(range(4 * hour, 4 * hour + 4))
        assert start_s == DAY.start_s + 3600 * hour
        assert energy.import_wh == (None if quarters & lost else 400)
        assert energy.export_wh == (None if quarters & lost_export else 400)
    missing_s = sum(end_s - start_s for start_s, end_s in found.missing[IMPORT])
    assert missing_s == 900 * len(lost)
