"""What each settlement scheme makes of a month, and what follows a change from one to another."""

from __future__ import annotations

from datetime import date

import pytest

from settlement.rules.contract import Contract
from settlement.rules.errors import NoMarketValue, NoRate, NoTenantScheme
from settlement.rules.invoice import Deposit, Storage
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from tests.support.a_contract import LATE, a_contract, a_prosumer, prices
from tests.support.a_point import (
    Flow,
    a_point,
    a_step,
    days,
    law,
    monthly,
    moves,
    one_invoice,
    rcem_of,
    settled,
    steady_rcem,
    to_pay,
)

OCTOBER, NOVEMBER, DECEMBER = (Month(2023, month) for month in (10, 11, 12))
MIDDLE = date(2023, 11, 16)
HALF_A_PLN = steady_rcem("500")  # a kWh fed in is worth 50 gr


def contracts(*schemes: str, change: date = NOVEMBER.first, **changes: object) -> list[Contract]:
    """One scheme up to the change, another from it on."""
    before, after = schemes
    return [
        a_prosumer(before, valid_to=change, **changes),
        a_prosumer(after, valid_from=change, **changes),
    ]


def test_a_plain_household_pays_its_import_as_metered_and_a_prosumer_the_balance() -> None:
    flow = Flow(taken_wh=80_000, raw_wh=100_000)
    billed = {
        scheme: one_invoice(
            a_contract() if scheme == "plain" else a_prosumer(scheme), OCTOBER.period, flow, law({})
        ).billed_wh
        for scheme in ("plain", "net_metering", "net_billing", "tenant")
    }
    assert billed == {
        "plain": 100_000,
        "net_metering": 80_000,
        "net_billing": 80_000,
        "tenant": 80_000,
    }


def test_what_a_plain_household_feeds_in_is_worth_nothing() -> None:
    found = settled(a_point(a_contract()), monthly(OCTOBER, 2), Flow(1000, 90_000), law({}))
    assert found.entries == ()
    assert {each.deposit for each in found.invoices} == {Deposit(0, 0, 0, 0, 0, 0, 0)}
    assert {each.storage for each in found.invoices} == {None}


def test_net_metering_tells_what_was_credited_covered_and_kept() -> None:
    flows = {OCTOBER: Flow(100_000, 500_000), NOVEMBER: Flow(350_000, 50_000)}
    found = settled(a_point(a_prosumer("net_metering")), monthly(OCTOBER, 2), flows, law({}))
    assert [each.storage for each in found.invoices] == [
        Storage(credited_wh=400_000, covered_wh=100_000, forfeited_wh=0, open_wh=300_000),
        Storage(credited_wh=40_000, covered_wh=340_000, forfeited_wh=0, open_wh=0),
    ]
    assert [each.billed_wh for each in found.invoices] == [0, 10_000]
    assert moves(found, "storage") == [
        ("2023-10", "booked", "2023-10", 300_000),
        ("2023-11", "used", "2023-10", 300_000),
    ]


@pytest.mark.parametrize(("power_w", "credited_wh"), [(10_000, 800), (10_001, 700)])
def test_the_storage_ratio_falls_above_10_kw(power_w: int, credited_wh: int) -> None:
    contract = a_prosumer("net_metering", installed_power_w=power_w)
    invoice = one_invoice(contract, OCTOBER.period, Flow(0, 1000), law({}))
    assert invoice.storage is not None
    assert invoice.storage.credited_wh == credited_wh


NETWORK = ("distribution_tauron", "g11.variable.all_day")


@pytest.mark.parametrize(
    ("before", "after", "kwh"),
    [("0.25", "0.2", [0, 20]), ("0.25", "0.3", [20, 0]), ("0.25", "0.25", [20])],
)
def test_credit_of_a_month_covers_all_of_it_where_the_network_is_dearest_first(
    before: str, after: str, kwh: list[int]
) -> None:
    rates = {NETWORK: {OCTOBER.first: before, MIDDLE: after}}
    flows = {NOVEMBER: Flow(30_000), MIDDLE: Flow(30_000, 50_000)}
    if len(kwh) == 1:
        flows = {NOVEMBER: Flow(60_000, 50_000)}
    found = settled(a_point(a_prosumer("net_metering")), monthly(NOVEMBER, 1), flows, law(rates))
    (november,) = found.invoices
    assert [sum(part.billed_wh.values()) // 1000 for part in november.parts] == kwh
    assert november.storage == Storage(40_000, 40_000, 0, 0)


def test_a_month_of_two_invoices_covers_the_first_with_what_it_knows_alone() -> None:
    flows = {NOVEMBER: Flow(30_000), MIDDLE: Flow(10_000, 50_000)}
    steps = [a_step(days("2023-11-01", "2023-11-16")), a_step(days("2023-11-16", "2023-12-01"))]
    found = settled(a_point(a_prosumer("net_metering")), steps, flows, law({}))
    assert [each.billed_wh for each in found.invoices] == [30_000, 0]
    assert [each.storage for each in found.invoices] == [
        Storage(0, 0, 0, 0),
        Storage(40_000, 10_000, 0, 30_000),
    ]


def test_a_roof_that_grows_inside_of_a_month_has_the_ratio_of_the_month_s_last_day() -> None:
    before = a_prosumer("net_metering", valid_to=MIDDLE)
    after = a_prosumer("net_metering", valid_from=MIDDLE, installed_power_w=12_000)
    flows = {OCTOBER: Flow(0, 1000), NOVEMBER: Flow(0, 1000)}
    found = settled(a_point(before, after), monthly(OCTOBER, 2), flows, law({}))
    credited = [each.storage.credited_wh for each in found.invoices if each.storage]
    assert credited == [800, 1400]


def test_per_zone_each_zone_covers_itself_from_its_own_lots_in_every_span_of_a_month() -> None:
    contract = a_prosumer(
        "net_metering",
        tariff_group="G12",
        unit_prices_pln_per_kwh=prices(day="1", night="1"),
        policies=Policies(zone_policy="per_zone"),
    )
    rates = {("levies", "renewable"): {MIDDLE: "0.003"}}
    flows = {
        OCTOBER: Flow(0, {"day": 10_000, "night": 20_000}),
        NOVEMBER: Flow({"day": 4_000, "night": 30_000}),
        MIDDLE: Flow({"day": 9_000}, {"night": 5_000}),
    }
    found = settled(a_point(contract), monthly(OCTOBER, 2), flows, law(rates))
    assert [part.billed_wh for part in found.invoices[1].parts] == [
        {"day": 0, "night": 10_000},
        {"day": 5_000, "night": 0},
    ]
    assert [(each.zone, each.kind, each.amount) for each in found.entries] == [
        ("day", "booked", 8_000),
        ("night", "booked", 16_000),
        ("day", "used", 8_000),
        ("night", "used", 16_000),
    ]


def test_storage_that_is_over_is_forfeited_at_the_end_of_its_last_month() -> None:
    flows = {OCTOBER: Flow(0, 1000)}
    found = settled(a_point(a_prosumer("net_metering")), monthly(OCTOBER, 14), flows, law({}))
    forfeited = [each.storage.forfeited_wh for each in found.invoices if each.storage]
    assert forfeited == [0] * 12 + [800, 0]
    assert moves(found, "storage")[-1] == ("2024-10", "forfeited", "2023-10", 800)


def test_export_pays_active_energy_from_the_next_month_on_and_nothing_else() -> None:
    flows = {OCTOBER: Flow(0, 20_000), NOVEMBER: Flow(10_000), DECEMBER: Flow(100_000)}
    found = settled(a_point(a_prosumer()), monthly(OCTOBER, 3), flows, law({}, HALF_A_PLN))
    # 10.00; a kWh of energy costs 0.649 net, 7.98 for ten.
    assert [each.deposit for each in found.invoices] == [
        Deposit(0, 0, 0, 0, 0, 0, 0),
        Deposit(0, 1000, 798, 0, 0, 0, 202),
        Deposit(0, 202, 202, 0, 0, 0, 0),
    ]
    assert [each.result.gross_gr - each.to_pay_gr for each in found.invoices] == [0, 798, 202]
    assert (
        moves(found)
        == [
            ("2023-11", "booked", "2023-10", 1000),
            ("2023-11", "used", "2023-10", 798),
            ("2023-12", "used", "2023-10", 202),
            ("2023-12", "booked", "2023-11", 0),
        ][:3]
    )


def test_a_deposit_that_ends_is_refunded_up_to_a_fifth_of_its_value() -> None:
    flows = {OCTOBER: Flow(0, 20_000), NOVEMBER: Flow(10_000)}
    found = settled(a_point(a_prosumer()), monthly(OCTOBER, 14), flows, law({}, HALF_A_PLN))
    last = found.invoices[12].deposit
    assert (last.refunded_gr, last.forfeited_gr, last.open_gr) == (200, 2, 0)
    assert moves(found)[-2:] == [
        ("2024-10", "refunded", "2023-10", 200),
        ("2024-10", "forfeited", "2023-10", 2),
    ]


def test_a_tenant_prosumer_is_paid_to_the_bank_and_pays_the_whole_invoice() -> None:
    flows = {OCTOBER: Flow(0, 20_000), NOVEMBER: Flow(10_000)}
    found = settled(a_point(a_prosumer("tenant")), monthly(OCTOBER, 2), flows, law({}, HALF_A_PLN))
    assert [each.deposit for each in found.invoices] == [
        Deposit(0, 0, 0, 0, 0, 0, 0),
        Deposit(0, 0, 0, 0, 0, 1000, 0),
    ]
    assert to_pay(found.invoices) == [each.result.gross_gr for each in found.invoices]
    assert moves(found) == [
        ("2023-11", "booked", "2023-10", 1000),
        ("2023-11", "paid_out", "2023-10", 1000),
    ]


def test_there_are_no_tenant_prosumers_before_october_2023() -> None:
    with pytest.raises(NoTenantScheme, match="2023-09"):
        one_invoice(a_prosumer("tenant"), Month(2023, 9).period, Flow(0), law({}))


def test_hours_that_are_valued_by_rce_need_their_value() -> None:
    contract = a_prosumer(prosumer_since=LATE)
    steps = monthly(Month(2024, 7), 2)
    flows = {Month(2024, 7): Flow(0, 5_000, value_gr=123)}
    found = settled(a_point(contract), steps, flows, law({}))
    assert moves(found) == [("2024-08", "booked", "2024-07", 123)]
    with pytest.raises(NoMarketValue, match="2024-07"):
        settled(a_point(contract), steps, Flow(0, 5_000), law({}))


def test_a_month_whose_price_is_not_published_cannot_be_booked_yet() -> None:
    early = a_step(NOVEMBER.period, date(2023, 11, 10))
    steps = [a_step(OCTOBER.period, date(2023, 11, 10)), early]
    with pytest.raises(NoRate, match=r"RCEm of 2023-10.*2023-11-11"):
        settled(a_point(a_prosumer()), steps, Flow(0, 1000), law({}))


@pytest.mark.parametrize("into", ["net_billing", "tenant"])
def test_energy_left_of_net_metering_is_valued_by_its_last_month(into: str) -> None:
    rcem = rcem_of({OCTOBER: "400", NOVEMBER: "700"})
    flows = {OCTOBER: Flow(0, 100_500), NOVEMBER: Flow(0, 10_000)}
    point = a_point(*contracts("net_metering", into))
    found = settled(point, monthly(OCTOBER, 3), flows, law({}, rcem))
    assert moves(found, "storage") == [
        ("2023-10", "booked", "2023-10", 80_400),
        ("2023-10", "converted", "2023-10", 80_400),
    ]
    # 80 whole kWh at 0.40, then ten of November at 0.70.
    booked = [each for each in moves(found) if each[1] == "booked"]
    assert booked == [
        ("2023-11", "booked", "2023-10", 3200),
        ("2023-12", "booked", "2023-11", 700),
    ]
    paid_out = [each[3] for each in moves(found) if each[1] == "paid_out"]
    assert paid_out == ([3200, 700] if into == "tenant" else [])


def test_a_change_in_the_middle_of_a_month_values_both_parts_by_that_month() -> None:
    rcem = rcem_of({OCTOBER: "400", NOVEMBER: "700"})
    flows = {
        OCTOBER: Flow(0, 100_000),
        NOVEMBER.first: Flow(30_000, 25_000),
        MIDDLE: Flow(10_000, 40_000),
    }
    point = a_point(*contracts("net_metering", "net_billing", change=MIDDLE))
    found = settled(point, monthly(OCTOBER, 3), flows, law({}, rcem))
    november = found.invoices[1]
    assert [sum(part.billed_wh.values()) for part in november.parts] == [0, 10_000]
    assert november.storage == Storage(20_000, 30_000, 0, 0)
    assert moves(found, "storage") == [
        ("2023-10", "booked", "2023-10", 80_000),
        ("2023-11", "used", "2023-10", 10_000),
        ("2023-11", "converted", "2023-10", 70_000),
    ]
    # 70 kWh out of the storage and 40 of export are one lot of November.
    assert moves(found) == [("2023-12", "booked", "2023-11", 7700)]


def test_energy_out_of_the_storage_is_worth_rcem_also_beside_export_by_the_hour() -> None:
    july, august = Month(2024, 7), Month(2024, 8)
    change = date(2024, 7, 16)
    before = a_prosumer("net_metering", valid_to=change)
    after = a_prosumer(valid_from=change, rce_from=july)
    flows = {
        july.first: Flow(0, 10_000),
        change: Flow(0, 5_000, value_gr=111),
        august: Flow(0, 0, 0),
    }
    rcem = rcem_of({july: "300"})
    found = settled(a_point(before, after), monthly(july, 2), flows, law({}, rcem))
    assert moves(found) == [("2024-08", "booked", "2024-07", 240 + 111)]


def test_an_empty_storage_is_converted_to_nothing_and_asks_for_no_price() -> None:
    flows = {OCTOBER: Flow(80_000, 100_000)}
    point = a_point(*contracts("net_metering", "net_billing"))
    found = settled(point, monthly(OCTOBER, 2), flows, law({}, rcem_of({})))
    assert found.entries == ()


@pytest.mark.parametrize("change", [NOVEMBER.first, MIDDLE])
@pytest.mark.parametrize(
    ("before", "after"), [("net_billing", "tenant"), ("tenant", "net_billing")]
)
def test_export_that_is_not_booked_follows_to_the_bank_and_back(
    before: str, after: str, change: date
) -> None:
    # What is not booked before the change, its own month included, is booked under the other.
    flows = {OCTOBER: Flow(0, 20_000), NOVEMBER: Flow(0, 6_000), MIDDLE: Flow(0, 4_000)}
    point = a_point(*contracts(before, after, change=change))
    found = settled(point, monthly(OCTOBER, 3), flows, law({}, HALF_A_PLN))
    booked = [each for each in moves(found) if each[1] == "booked"]
    november = 300 if change == NOVEMBER.first else 500
    assert booked == [
        ("2023-11", "booked", "2023-10", 1000),
        ("2023-12", "booked", "2023-11", november),
    ]
    paid_out = [each[2] for each in moves(found) if each[1] == "paid_out"]
    of_middle = {"net_billing": ["2023-11"], "tenant": ["2023-10"]}[before]
    at_month_end = {"net_billing": ["2023-10", "2023-11"], "tenant": []}[before]
    assert paid_out == (at_month_end if change == NOVEMBER.first else of_middle)


def test_a_tenant_s_older_deposit_goes_on_paying_invoices() -> None:
    flows = {OCTOBER: Flow(0, 20_000), DECEMBER: Flow(10_000)}
    point = a_point(*contracts("net_billing", "tenant", change=DECEMBER.first))
    found = settled(point, monthly(OCTOBER, 3), flows, law({}, HALF_A_PLN))
    assert [each.deposit.used_gr for each in found.invoices] == [0, 0, 798]
    assert moves(found)[-1] == ("2023-12", "used", "2023-10", 798)


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing", "tenant"])
def test_ledgers_count_in_months_however_many_of_them_an_invoice_has(scheme: str) -> None:
    flows = {
        OCTOBER: Flow(10_000, 60_000),
        NOVEMBER: Flow(40_000, 20_000),
        DECEMBER: Flow(90_000, 5_000),
    }
    point, of_law = a_point(a_prosumer(scheme)), law({}, HALF_A_PLN)
    by_month = settled(point, monthly(OCTOBER, 3), flows, of_law)
    at_once = settled(point, [a_step(days("2023-10-01", "2024-01-01"))], flows, of_law)
    assert at_once.entries == by_month.entries
    (whole,) = at_once.invoices
    assert whole.lines == tuple(line for each in by_month.invoices for line in each.lines)
    assert whole.to_pay_gr == sum(to_pay(by_month.invoices))


@pytest.mark.parametrize("exempt", ["every_variable_item", "network_variable_only"])
def test_covered_energy_is_charged_for_what_the_policy_leaves(exempt: str) -> None:
    contract = a_prosumer("net_metering", policies=Policies(storage_exemption=exempt))
    flow = Flow(100_000, 100_000)
    invoice = one_invoice(contract, days("2023-10-01", "2023-11-01"), flow, law({}))
    by_code = {line.position.code: str(line.position.quantity) for line in invoice.lines}
    assert (by_code["active_energy"], by_code["network_variable"]) == ("20", "20")
    assert by_code["quality"] == ("20" if exempt == "every_variable_item" else "100")
