"""From the intervals of meters to totals: what each scheme needs to be known, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from settlement import elicznik
from settlement.measuring import (
    is_priced_by_hours,
    measured,
    registers_needed,
    totals_of_span,
)
from settlement.rules import account
from settlement.rules.contract import Contract
from settlement.rules.errors import Incomplete, NoRate, OffGrid
from settlement.rules.invoice import as_data
from settlement.rules.market import Rce
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from settlement.rules.spans import Span
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.validation import Interval
from tests.support.a_contract import LATE, a_contract, a_prosumer, prices, under
from tests.support.a_point import a_point, a_step, law

METER = "00112233445566aa"
EXPORTS = Path(__file__).parents[1] / "vectors" / "elicznik"
LAW = law({})
NO_PRICES = Rce(())
MONDAY = date(2024, 10, 14)
Energies = Sequence[int]


def a_span(contract: Contract, day: date = MONDAY) -> Span:
    zones = LAW.schedules.zones(contract.tariff_group, day)
    return Span(Period(day, day + timedelta(days=1)), contract, zones)


def hourly(span: Span, energies_wh: Energies, **changes: Any) -> list[Interval]:
    """Intervals of an hour with these energies, over and over again."""
    starts = range(span.period.start_s, span.period.end_s, 3600)
    fields: dict[str, Any] = {"meter_id": METER, "capture_period_s": 3600, "quality": 0} | changes
    return [
        Interval(start_s=start_s, energy_wh=energies_wh[place % len(energies_wh)], **fields)
        for place, start_s in enumerate(starts)
    ]


def totals(
    span: Span,
    imported_wh: Energies = (100,),
    exported_wh: Energies | None = (0,),
    rce: Rce = NO_PRICES,
) -> Totals:
    registers = {"1.8.0": hourly(span, imported_wh)}
    if exported_wh is not None:
        registers["2.8.0"] = hourly(span, exported_wh)
    return totals_of_span(span, registers, LAW, rce)


PROSUMERS = ("net_metering", "net_billing", "tenant")


@pytest.mark.parametrize("scheme", PROSUMERS)
def test_a_prosumer_needs_both_registers(scheme: str) -> None:
    span = a_span(a_prosumer(scheme))
    assert registers_needed(span) == ("1.8.0", "2.8.0")
    with pytest.raises(Incomplete, match=r"2\.8\.0") as refusal:
        totals(span, exported_wh=None)
    assert refusal.value.missing_s == 24 * 3600


def test_a_plain_household_needs_import_alone_and_its_export_counts_nowhere() -> None:
    span = a_span(a_contract())
    assert registers_needed(span) == ("1.8.0",)
    without = totals(span, exported_wh=None)
    assert totals(span, exported_wh=(500,)) == without
    assert (without.import_wh, without.positive_wh) == ({"all_day": 2400}, {"all_day": 2400})
    assert (without.export_wh, without.negative_wh, without.value) == ({}, {}, None)


@pytest.mark.parametrize("scheme", ["plain", *PROSUMERS])
def test_import_that_is_not_known_is_refused_under_every_scheme(scheme: str) -> None:
    span = a_span(under(scheme))
    known = hourly(span, (100,))
    for registers in ({}, {"1.8.0": known[:5] + known[6:], "2.8.0": known}):
        with pytest.raises(Incomplete, match=r"1\.8\.0"):
            totals_of_span(span, registers, LAW, NO_PRICES)


def test_one_missing_hour_of_export_is_named() -> None:
    span = a_span(a_prosumer())
    every = hourly(span, (100,))
    with pytest.raises(Incomplete) as refusal:
        totals_of_span(span, {"1.8.0": every, "2.8.0": every[:3] + every[4:]}, LAW, NO_PRICES)
    assert refusal.value.gaps == ((every[3].start_s, every[3].end_s),)


def test_intervals_of_another_day_are_refused() -> None:
    span, next_day = a_span(a_contract()), a_span(a_contract(), MONDAY + timedelta(days=1))
    with pytest.raises(OffGrid):
        measured(span, {"1.8.0": hourly(next_day, (1,))})


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing"])
@pytest.mark.parametrize(
    ("day", "positive_wh", "negative_wh"),
    [(date(2022, 3, 31), 500, 600), (date(2022, 4, 1), 300, 400)],
)
def test_hours_are_balanced_from_april_2022_on(
    scheme: str, day: date, positive_wh: int, negative_wh: int
) -> None:
    # Each four hours: +200, -200, +100, -200 when balanced.
    found = totals(a_span(a_prosumer(scheme), day), (300, 0, 100, 100), (100, 200, 0, 300))
    assert found.import_wh == {"all_day": 6 * 500}
    assert found.export_wh == {"all_day": 6 * 600}
    assert found.positive_wh == {"all_day": 6 * positive_wh}
    assert found.negative_wh == {"all_day": 6 * negative_wh}


def test_a_real_day_of_25_hours_is_balanced_hour_by_hour() -> None:
    hours = elicznik.parse(elicznik.read(EXPORTS / "elicznik-2022-10-30-25h.csv"))
    span = a_span(a_prosumer("net_metering"), date(2022, 10, 30))
    registers = {
        name: [Interval(METER, each.start_s, 3600, getattr(each, field), 0) for each in hours]
        for name, field in (("1.8.0", "import_wh"), ("2.8.0", "export_wh"))
    }
    found = totals_of_span(span, registers, LAW, NO_PRICES)
    assert (found.import_wh, found.export_wh) == ({"all_day": 3791}, {"all_day": 9866})
    assert (found.positive_wh, found.negative_wh) == ({"all_day": 3685}, {"all_day": 9760})
    assert found.intervals == 50


def test_energy_lies_in_the_zone_of_its_hour() -> None:
    prices_of_zones = prices(day="1", night="1")
    span = a_span(a_contract(tariff_group="G12", unit_prices_pln_per_kwh=prices_of_zones))
    assert totals(span, range(24)).import_wh == {
        "day": sum((*range(6, 13), *range(15, 22))),
        "night": sum((*range(6), 13, 14, 22, 23)),
    }


@pytest.mark.parametrize(
    ("contract", "month", "priced"),
    [
        (a_contract(), Month(2024, 10), False),
        (a_prosumer("net_metering", prosumer_since=LATE), Month(2024, 10), False),
        (a_prosumer(), Month(2024, 10), False),
        (a_prosumer(prosumer_since=LATE), Month(2024, 6), False),
        (a_prosumer(prosumer_since=LATE), Month(2024, 7), True),
        (a_prosumer("tenant", prosumer_since=LATE), Month(2024, 7), True),
        (a_prosumer(rce_from=Month(2024, 10)), Month(2024, 9), False),
        (a_prosumer(rce_from=Month(2024, 10)), Month(2024, 10), True),
        (a_prosumer(policies=Policies(rce_transition="rce_from_2024_07")), Month(2024, 7), True),
    ],
)
def test_prices_of_hours_are_asked_for_only_where_export_is_valued_by_them(
    contract: Contract, month: Month, priced: bool
) -> None:
    span = a_span(contract, month.first)
    assert is_priced_by_hours(span) is priced
    if not priced:
        assert totals(span, exported_wh=(10,)).value is None
        return
    with pytest.raises(NoRate, match="RCE of the hour"):
        totals(span, exported_wh=(10,))


def rce_of(span: Span, prices_gr: Sequence[int]) -> Rce:
    """Quarter prices in gr/MWh, over and over again."""
    starts = range(span.period.start_s, span.period.end_s, 900)
    return Rce((start_s, prices_gr[place % len(prices_gr)]) for place, start_s in enumerate(starts))


@pytest.mark.parametrize(
    ("clamp", "value_gr"),
    [("quarter", 24 * 20), ("hour", 24 * 10), ("none", 24 * 10)],
)
def test_balanced_export_is_valued_hour_by_hour_under_its_policy(clamp: str, value_gr: int) -> None:
    contract = a_prosumer(prosumer_since=LATE, policies=Policies(rce_clamp=clamp))
    span = a_span(contract)
    # 1 kWh an hour; quarters of 400, 400, 0 and -400 PLN/MWh have a mean of 100 or 200.
    rce = rce_of(span, (40_000, 40_000, 0, -40_000))
    found = totals(span, (500,), (1500,), rce)
    assert found.negative_wh == {"all_day": 24_000}
    assert found.value == value_gr * VALUE_PER_GR


def test_quality_and_digest_are_of_all_registers_that_were_used() -> None:
    plain, prosumer = totals(a_span(a_contract())), totals(a_span(a_prosumer()))
    assert (plain.intervals, prosumer.intervals) == (24, 48)
    assert dict(plain.quality) == {"measured": 24}
    assert dict(prosumer.quality) == {"measured": 48}
    assert len(plain.readings_sha256) == 64
    assert plain.readings_sha256 != prosumer.readings_sha256
    assert plain.findings == prosumer.findings == ()


@pytest.mark.parametrize(("power_w", "spikes"), [(None, 0), (5_000, 0), (4_999, 1), (1_000, 1)])
def test_more_energy_than_the_connection_lets_through_is_told_on_the_invoice(
    power_w: int | None, spikes: int
) -> None:
    span = a_span(a_contract(connection_power_w=power_w))
    imported = [100] * 7 + [5_000] + [100] * 16
    found = totals(span, imported)
    assert len(found.findings) == spikes
    steps = [a_step(span.period)]
    (invoice,) = account.settle(a_point(span.contract), steps, {span.period: found}, LAW).invoices
    data = as_data(invoice)
    assert data["usage"]["findings"] == list(found.findings)
    assert data["usage"]["import_wh"] == 23 * 100 + 5_000
    if spikes:
        assert found.findings[0].startswith(f"spike {METER}: 1.8.0: 5000 Wh, {power_w} W")


def test_export_is_watched_for_spikes_too() -> None:
    span = a_span(a_prosumer(connection_power_w=4_000))
    found = totals(span, (0,), [0] * 12 + [4_001] + [0] * 11)
    assert [finding[: len("spike ") + 16 + 7] for finding in found.findings] == [
        f"spike {METER}: 2.8.0"
    ]


def test_a_register_that_went_round_is_billed_and_told() -> None:
    span = a_span(a_contract())
    first_wh = 10**8 - 1_150
    intervals = [
        Interval(METER, each.start_s, 3600, 100, 0, (first_wh + 100 * place) % 10**8)
        for place, each in enumerate(hourly(span, (100,)))
    ]
    found = totals_of_span(span, {"1.8.0": intervals}, LAW, NO_PRICES)
    assert found.import_wh == {"all_day": 2400}
    assert found.findings == (f"rollover {METER}: 1.8.0: the register went round at {10**8} Wh",)
