"""Net-metering: 0.8 or 0.7 of what is fed in comes back, the month's own first, then the oldest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import tables
from settlement.rules import ledger, net_metering
from settlement.rules.errors import NoRate
from settlement.rules.ledger import (
    BOOKED,
    CONVERTED,
    FORFEITED,
    STORAGE,
    USED,
    Entry,
)
from settlement.rules.lots import Lot
from settlement.rules.net_metering import Covered, Queue, Storage
from settlement.rules.periods import Month
from settlement.rules.policies import (
    DEFAULTS,
    STORAGE_EXPIRIES,
    ZONE_POLICIES,
    Policies,
)
from settlement.rules.rates import Tables

RATIO = Decimal("0.8")
JUNE, JULY, AUGUST = Month(2023, 6), Month(2023, 7), Month(2023, 8)
NOVEMBER, DECEMBER = Month(2023, 11), Month(2023, 12)
PER_ZONE = Policies(zone_policy="per_zone")
PROPORTIONAL = Policies(zone_policy="proportional")
NIGHT_AND_DAY = ("day", "night")


def a_month(
    storage: Storage,
    month: Month,
    import_kwh: Mapping[str, int],
    export_kwh: Mapping[str, int],
    ratio: Decimal = RATIO,
    zones: Sequence[str] = NIGHT_AND_DAY,
    policies: Policies = DEFAULTS,
) -> Covered:
    """Settles a month that is given in kWh."""
    positive = {zone: 1000 * energy for zone, energy in import_kwh.items()}
    negative = {zone: 1000 * energy for zone, energy in export_kwh.items()}
    return net_metering.cover(storage, month, positive, negative, ratio, zones, policies)


def a_flat_month(
    storage: Storage, month: Month, import_kwh: int, export_kwh: int, ratio: Decimal = RATIO
) -> Covered:
    """The same with the single zone of G11."""
    flows = ({"all_day": import_kwh}, {"all_day": export_kwh})
    return a_month(storage, month, *flows, ratio=ratio, zones=("all_day",))


def stored(*lots: Lot, zone: str = "") -> Storage:
    return Storage((Queue(zone, lots),))


def stored_wh(storage: Storage) -> int:
    return sum(net_metering.held(storage).values())


@pytest.mark.parametrize(
    ("installed_power_w", "ratio"),
    [(1, "0.8"), (9_999, "0.8"), (10_000, "0.8"), (10_001, "0.7"), (50_000, "0.7")],
)
def test_the_ratio_is_seven_tenths_only_above_ten_kilowatts(
    installed_power_w: int, ratio: str
) -> None:
    found = net_metering.storage_ratio(installed_power_w, tables.load(), JUNE)
    assert found == Decimal(ratio)


def test_the_ratio_of_a_month_without_a_row_is_refused() -> None:
    with pytest.raises(NoRate, match="storage_ratio"):
        net_metering.storage_ratio(5_000, Tables([]), JUNE)


def test_a_winter_is_covered_from_its_own_export_and_then_from_the_summer() -> None:
    # Worked example: 0.8, one zone, import and export of five months in kWh.
    storage = Storage()
    steps = [
        (JUNE, 180, 520, 0, 236),
        (JULY, 210, 480, 0, 410),
        (AUGUST, 200, 430, 0, 554),
        (NOVEMBER, 390, 60, 0, 212),
        (DECEMBER, 460, 30, 224, 0),
    ]
    for month, import_kwh, export_kwh, payable_kwh, left_kwh in steps:
        covered = a_flat_month(storage, month, import_kwh, export_kwh)
        storage = covered.storage
        assert covered.payable_wh == {"all_day": 1000 * payable_kwh}
        assert covered.covered_wh == {"all_day": 1000 * (import_kwh - payable_kwh)}
        assert stored_wh(storage) == 1000 * left_kwh
        if month == NOVEMBER:
            assert covered.entries == (
                Entry(STORAGE, USED, JUNE, NOVEMBER, 236_000),
                Entry(STORAGE, USED, JULY, NOVEMBER, 106_000),
            )


def test_above_ten_kilowatts_the_same_summer_covers_less() -> None:
    ratio = Decimal("0.7")
    june = a_flat_month(Storage(), JUNE, 180, 520, ratio)
    assert stored_wh(june.storage) == 184_000
    july = a_flat_month(june.storage, JULY, 210, 480, ratio)
    assert stored_wh(july.storage) == 310_000
    december = a_flat_month(july.storage, DECEMBER, 460, 30, ratio)
    assert december.payable_wh == {"all_day": 129_000}


def test_credit_covers_the_zone_with_the_dearest_distribution_first() -> None:
    # Worked example: 187.5 kWh of export are 150 of credit; import 90 in the peak, 140 off it.
    covered = net_metering.cover(
        Storage(),
        JUNE,
        {"peak": 90_000, "offpeak": 140_000},
        {"offpeak": 187_500},
        RATIO,
        ("peak", "offpeak"),
        DEFAULTS,
    )
    assert covered.payable_wh == {"peak": 0, "offpeak": 80_000}
    assert covered.covered_wh == {"peak": 90_000, "offpeak": 60_000}
    assert covered.storage == Storage()
    assert covered.entries == ()


def test_the_storage_too_covers_the_dearest_zone_first() -> None:
    covered = a_month(stored(Lot(JUNE, 50_000, 50_000)), JULY, {"day": 30, "night": 40}, {})
    assert covered.payable_wh == {"day": 0, "night": 20_000}


def test_with_a_queue_for_each_zone_credit_of_the_night_does_not_pay_for_the_day() -> None:
    flows = ({"day": 100, "night": 10}, {"day": 50, "night": 100})
    june = a_month(Storage(), JUNE, *flows, policies=PER_ZONE)
    assert june.payable_wh == {"day": 60_000, "night": 0}
    assert june.entries == (Entry(STORAGE, BOOKED, JUNE, JUNE, 70_000, "night"),)
    july = a_month(june.storage, JULY, {"day": 100, "night": 80}, {}, policies=PER_ZONE)
    assert july.payable_wh == {"day": 100_000, "night": 10_000}
    assert july.entries == (Entry(STORAGE, USED, JUNE, JULY, 70_000, "night"),)


def test_with_a_queue_for_each_zone_credit_is_rounded_in_each() -> None:
    # 0.8 x 3 Wh = 2.4 and 2.4: each rounds to 2, together 4.8 rounds to 5.
    negative = {"day": 3, "night": 3}
    apart = net_metering.cover(Storage(), JUNE, {}, negative, RATIO, NIGHT_AND_DAY, PER_ZONE)
    together = net_metering.cover(Storage(), JUNE, {}, negative, RATIO, NIGHT_AND_DAY, DEFAULTS)
    assert stored_wh(apart.storage) == 4
    assert stored_wh(together.storage) == 5


def test_what_lies_in_the_zone_of_an_earlier_tariff_group_serves_every_zone_last() -> None:
    storage = Storage(
        (
            Queue("all_day", (Lot(JUNE, 50_000, 50_000),)),
            Queue("night", (Lot(JULY, 20_000, 20_000),)),
        )
    )
    covered = a_month(storage, AUGUST, {"day": 30, "night": 45}, {}, policies=PER_ZONE)
    assert covered.payable_wh == {"day": 0, "night": 5_000}
    assert covered.entries == (
        Entry(STORAGE, USED, JULY, AUGUST, 20_000, "night"),
        Entry(STORAGE, USED, JUNE, AUGUST, 50_000, "all_day"),
    )


def test_queues_of_two_zones_that_are_pooled_later_are_used_oldest_first() -> None:
    storage = Storage(
        (
            Queue("day", (Lot(JULY, 10_000, 10_000),)),
            Queue("night", (Lot(JUNE, 10_000, 10_000), Lot(JULY, 10_000, 10_000))),
        )
    )
    covered = a_month(storage, AUGUST, {"day": 15}, {})
    assert covered.entries == (
        Entry(STORAGE, USED, JUNE, AUGUST, 10_000, "night"),
        Entry(STORAGE, USED, JULY, AUGUST, 5_000, "day"),
    )
    assert stored_wh(covered.storage) == 15_000


def test_credit_and_storage_are_spread_in_proportion_to_what_is_left() -> None:
    storage = stored(Lot(JUNE, 60_000, 60_000))
    flows = ({"day": 100, "night": 200}, {"day": 150})
    covered = a_month(storage, JULY, *flows, policies=PROPORTIONAL)
    # 120 of credit are 40 and 80; then 60 of the storage over 60 and 120 are 20 and 40.
    assert covered.payable_wh == {"day": 40_000, "night": 80_000}


def test_a_spread_goes_by_the_largest_remainder_and_loses_no_wh() -> None:
    positive = {"day": 1, "night": 2}
    covered = net_metering.cover(
        stored(Lot(JUNE, 2, 2)), JULY, positive, {}, RATIO, NIGHT_AND_DAY, PROPORTIONAL
    )
    # Two thirds and four thirds of a Wh: the larger remainder gets the odd one.
    assert covered.covered_wh == {"day": 1, "night": 1}


def test_the_odd_wh_of_an_even_spread_goes_to_the_dearest_zone() -> None:
    positive = {"night": 2, "day": 2}
    covered = net_metering.cover(
        stored(Lot(JUNE, 3, 3)), JULY, positive, {}, RATIO, NIGHT_AND_DAY, PROPORTIONAL
    )
    assert covered.covered_wh == {"day": 2, "night": 1}


@pytest.mark.parametrize(
    ("energy_wh", "credit_wh"), [(0, 0), (1, 1), (2, 2), (3, 2), (5, 4), (625, 500)]
)
def test_credit_is_rounded_half_up_to_a_wh(energy_wh: int, credit_wh: int) -> None:
    negative = {"day": energy_wh}
    covered = net_metering.cover(Storage(), JUNE, {}, negative, RATIO, NIGHT_AND_DAY, DEFAULTS)
    assert stored_wh(covered.storage) == credit_wh


def test_half_a_wh_of_credit_is_a_whole_one() -> None:
    negative = {"day": 5}
    ratio = Decimal("0.7")  # 3.5 Wh
    covered = net_metering.cover(Storage(), JUNE, {}, negative, ratio, NIGHT_AND_DAY, DEFAULTS)
    assert stored_wh(covered.storage) == 4


def test_the_parts_of_a_month_share_its_lot() -> None:
    first = a_flat_month(Storage(), JUNE, 0, 100)
    second = a_flat_month(first.storage, JUNE, 10, 50)
    assert second.storage == stored(Lot(JUNE, 110_000, 110_000))
    assert second.entries == (Entry(STORAGE, BOOKED, JUNE, JUNE, 30_000),)


def test_a_later_part_of_the_month_uses_older_lots_before_the_months_own() -> None:
    first = a_flat_month(stored(Lot(Month(2023, 5), 20_000, 20_000)), JUNE, 0, 100)
    second = a_flat_month(first.storage, JUNE, 50, 0)
    assert [(entry.lot.month, entry.amount) for entry in second.entries] == [
        (5, 20_000),
        (6, 30_000),
    ]


@pytest.mark.parametrize(("policy", "last_usable"), [("month_plus_12", 12), ("month_plus_11", 11)])
def test_stored_energy_is_lost_at_the_end_of_its_last_month(policy: str, last_usable: int) -> None:
    policies = Policies(storage_expiry=policy)
    storage = stored(Lot(JUNE, 236_000, 212_000))
    before, at = JUNE.plus(last_usable - 1), JUNE.plus(last_usable)
    assert net_metering.close_month(storage, before, policies) == (storage, ())
    still = a_month(storage, at, {"day": 12}, {}, policies=policies)
    assert still.payable_wh == {"day": 0, "night": 0}
    after, entries = net_metering.close_month(still.storage, at, policies)
    assert stored_wh(after) == 0
    assert entries == (Entry(STORAGE, FORFEITED, JUNE, at, 200_000),)


def test_a_month_is_not_settled_while_the_one_before_is_open() -> None:
    with pytest.raises(AssertionError, match="not closed"):
        a_month(stored(Lot(JUNE, 10, 10)), JUNE.plus(13), {"day": 1}, {})


def test_energy_in_a_zone_the_tariff_does_not_have_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        a_month(Storage(), JUNE, {"weekend": 1}, {})


def test_whoever_leaves_forfeits_all_that_is_stored() -> None:
    storage = stored(Lot(JUNE, 236_000, 0), Lot(JULY, 174_000, 68_000))
    assert net_metering.leave(storage, DECEMBER) == (
        Storage(),
        (Entry(STORAGE, FORFEITED, JULY, DECEMBER, 68_000),),
    )


@pytest.mark.parametrize(
    ("last_lot_wh", "kwh"), [(137_499, 237), (137_500, 238), (138_000, 238), (138_499, 238)]
)
def test_whole_kwh_leave_for_the_deposit_when_the_prosumer_moves_to_net_billing(
    last_lot_wh: int, kwh: int
) -> None:
    may, june = Month(2022, 5), Month(2022, 6)
    storage = stored(Lot(may, 120_000, 100_000), Lot(june, last_lot_wh, last_lot_wh))
    converted, after, entries = net_metering.convert(storage, june)
    assert converted == kwh
    assert after == Storage()
    assert entries == (
        Entry(STORAGE, CONVERTED, may, june, 100_000),
        Entry(STORAGE, CONVERTED, june, june, last_lot_wh),
    )


def test_an_empty_storage_converts_to_nothing() -> None:
    assert net_metering.convert(Storage(), JUNE) == (0, Storage(), ())


FLOWS = st.fixed_dictionaries(dict.fromkeys(NIGHT_AND_DAY, st.integers(0, 60)))
YEARS = st.lists(st.tuples(FLOWS, FLOWS), max_size=30)


@given(YEARS, st.sampled_from(ZONE_POLICIES), st.sampled_from(STORAGE_EXPIRIES))
def test_the_storage_always_agrees_with_its_ledger_and_covers_all_it_can(
    year: list[tuple[dict[str, int], dict[str, int]]], zone_policy: str, expiry: str
) -> None:
    policies = Policies(zone_policy=zone_policy, storage_expiry=expiry)
    storage = Storage()
    entries: list[Entry] = []
    for number, (positive, negative) in enumerate(year):
        month = JUNE.plus(number)
        before_wh = stored_wh(storage)
        done = net_metering.cover(
            storage, month, positive, negative, RATIO, NIGHT_AND_DAY, policies
        )
        entries += done.entries
        for zone in NIGHT_AND_DAY:
            assert done.payable_wh[zone] + done.covered_wh[zone] == positive[zone]
            assert min(done.payable_wh[zone], done.covered_wh[zone]) >= 0
        credit_wh = sum(done.covered_wh.values()) + stored_wh(done.storage) - before_wh
        assert abs(10 * credit_wh - 8 * sum(negative.values())) <= 10
        if zone_policy != "per_zone":
            nothing_to_pay = not any(done.payable_wh.values())
            assert nothing_to_pay or stored_wh(done.storage) == 0
        storage, closing = net_metering.close_month(done.storage, month, policies)
        entries += closing
        assert not ledger.unbalanced(entries, net_metering.held(storage))
