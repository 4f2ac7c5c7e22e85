"""Invoices that exist outside of this project, typed by hand, reproduced to the grosz."""

from __future__ import annotations

from decimal import Decimal

import pytest

from settlement.rules.book import Opening
from settlement.rules.contract import Contract
from settlement.rules.invoice import Invoice, Sum
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from tests.support.a_contract import a_contract, a_prosumer, prices
from tests.support.a_point import (
    Flow,
    a_point,
    a_step,
    days,
    law,
    lines_of,
    one_invoice,
    rcem_of,
    settled,
)

FEBRUARY_2024, JULY_2024 = Month(2024, 2), Month(2024, 7)
MARCH_2025, APRIL_2025, OCTOBER_2025 = Month(2025, 3), Month(2025, 4), Month(2025, 10)
BIG = 9000  # kWh a year: the highest band


def with_a_deposit(
    contract: Contract, month: Month, flow: Flow, brought: tuple[Month, int]
) -> Invoice:
    """The invoice of a month of a prosumer who brings one lot along."""
    lot, open_gr = brought
    point = a_point(contract, opening=Opening(deposit=((lot, open_gr, open_gr),)))
    (invoice,) = settled(point, [a_step(month.period)], flow).invoices
    return invoice


def test_p1_the_cap_of_the_act_costs_62115_grosz_for_1000_kwh() -> None:
    contract = a_contract(unit_prices_pln_per_kwh=prices(all_day="0.70000"))
    invoice = one_invoice(contract, JULY_2024.period, Flow(1_000_000))
    assert invoice.lines[0].position.unit_price_pln == Decimal("0.5050")
    assert lines_of(invoice)["active_energy", "all_day"] == (50500, 11615, 62115)


def test_p2_a_capped_household_in_the_second_half_of_2024() -> None:
    invoice = one_invoice(a_contract(), JULY_2024.period, Flow(231_000))
    assert lines_of(invoice) == {
        ("active_energy", "all_day"): (11666, 2683, 14349),
        ("network_fixed", ""): (1034, 238, 1272),
        ("quality", "all_day"): (725, 167, 892),
        ("network_variable", "all_day"): (5944, 1367, 7311),
        ("renewable", "all_day"): (0, 0, 0),
        ("cogeneration", "all_day"): (143, 33, 176),
        ("subscription", ""): (456, 105, 561),
        ("capacity", ""): (0, 0, 0),
        ("transitional", ""): (33, 8, 41),
    }
    assert invoice.distribution == Sum(8335, 1918, 10253)
    assert invoice.result.gross_gr == invoice.to_pay_gr == 24602


def test_p2_without_the_cap_the_energy_line_is_18440_grosz() -> None:
    invoice = one_invoice(a_contract(cap_entitled=False), JULY_2024.period, Flow(231_000))
    assert lines_of(invoice)["active_energy", "all_day"][2] == 18440


def test_p3_the_real_invoice_of_february_2024_in_every_printed_line() -> None:
    contract = a_prosumer(
        unit_prices_pln_per_kwh=prices(all_day="0.67270"),
        trade_fee_pln_per_month=Decimal("28.86"),
        cap_entitled=False,
        annual_kwh=BIG,
    )
    invoice = with_a_deposit(contract, FEBRUARY_2024, Flow(1_226_000), (Month(2023, 12), 219))
    assert lines_of(invoice) == {
        ("active_energy", "all_day"): (82473, 18969, 101442),
        ("trade_fee", ""): (2886, 664, 3550),
        ("network_fixed", ""): (1034, 238, 1272),
        ("quality", "all_day"): (3850, 886, 4736),
        ("network_variable", "all_day"): (31545, 7255, 38800),
        ("renewable", "all_day"): (0, 0, 0),
        ("cogeneration", "all_day"): (758, 174, 932),
        ("subscription", ""): (456, 105, 561),
        ("capacity", ""): (1490, 343, 1833),
        ("transitional", ""): (33, 8, 41),
    }
    assert invoice.sale == Sum(85359, 19633, 104992)
    assert invoice.distribution == Sum(39166, 9009, 48175)
    assert invoice.result.gross_gr == 153167
    assert (invoice.deposit.used_gr, invoice.to_pay_gr) == (219, 152948)


def a_g12w_prosumer(
    peak: str, offpeak: str, scheme: str = "net_billing", **changes: object
) -> Contract:
    return a_prosumer(
        scheme,
        tariff_group="G12w",
        unit_prices_pln_per_kwh=prices(peak=peak, offpeak=offpeak),
        annual_kwh=BIG,
        **changes,
    )


def april_2025(**policies: str) -> Contract:
    return a_g12w_prosumer(
        "0.76410",
        "0.42030",
        trade_fee_pln_per_month=Decimal("28.86"),
        policies=Policies(**policies),
    )


APRIL_FLOW = Flow({"peak": 29_000, "offpeak": 91_000})


def test_p4_the_real_invoice_of_april_2025_whose_zone_prices_average_below_the_cap() -> None:
    invoice = with_a_deposit(april_2025(), APRIL_2025, APRIL_FLOW, (MARCH_2025, 6806))
    assert lines_of(invoice) == {
        ("active_energy", "peak"): (2216, 510, 2726),
        ("active_energy", "offpeak"): (3825, 880, 4705),
        ("trade_fee", ""): (2886, 664, 3550),
        ("network_fixed", ""): (1034, 238, 1272),
        ("quality", "peak"): (93, 21, 114),
        ("quality", "offpeak"): (292, 67, 359),
        ("network_variable", "peak"): (949, 218, 1167),
        ("network_variable", "offpeak"): (471, 108, 579),
        ("renewable", "peak"): (10, 2, 12),
        ("renewable", "offpeak"): (32, 7, 39),
        ("cogeneration", "peak"): (9, 2, 11),
        ("cogeneration", "offpeak"): (27, 6, 33),
        ("subscription", ""): (456, 105, 561),
        ("capacity", ""): (0, 0, 0),
        ("transitional", ""): (33, 8, 41),
    }
    assert invoice.sale == Sum(8927, 2054, 10981)
    assert invoice.distribution == Sum(3406, 782, 4188)
    assert invoice.result.gross_gr == 15169
    assert (invoice.deposit.used_gr, invoice.to_pay_gr) == (6806, 8363)


def test_p4_capped_zone_by_zone_the_peak_price_would_be_the_cap() -> None:
    contract = april_2025(cap_scope="unit_price")
    invoice = with_a_deposit(contract, APRIL_2025, APRIL_FLOW, (MARCH_2025, 6806))
    assert [line.position.unit_price_pln for line in invoice.lines[:2]] == [
        Decimal("0.505"),
        Decimal("0.4203"),
    ]


def test_p5_the_real_invoice_of_october_2025_whose_deposit_covers_all_energy() -> None:
    flow = Flow({"peak": 62_000, "offpeak": 238_000})
    contract = a_g12w_prosumer("0.76100", "0.43500")
    invoice = with_a_deposit(contract, OCTOBER_2025, flow, (Month(2025, 8), 50_000))
    lines = lines_of(invoice)
    assert lines["active_energy", "peak"] == (4718, 1085, 5803)
    assert lines["active_energy", "offpeak"] == (10353, 2381, 12734)
    assert lines["capacity", ""] == (1601, 368, 1969)
    assert invoice.distribution == Sum(7543, 1735, 9278)
    assert invoice.result.gross_gr == 27815
    assert (invoice.deposit.used_gr, invoice.to_pay_gr) == (18537, 9278)


def test_p6_the_export_of_march_2025_pays_all_energy_of_april() -> None:
    # TAURON printed 68.06, without 1.23; its correction has 74.31, bound by the energy.
    steps = [a_step(month.period) for month in (MARCH_2025, APRIL_2025)]
    flows = {MARCH_2025: Flow(0, {"offpeak": 372_000}), APRIL_2025: APRIL_FLOW}
    _, april = settled(a_point(april_2025()), steps, flows).invoices
    assert april.deposit.of_earlier_periods_gr == 8372
    assert (april.deposit.used_gr, april.to_pay_gr) == (7431, 7738)
    assert april.deposit.open_gr == 941


def test_p7_238_kwh_left_of_net_metering_become_15691_grosz_and_15614_when_corrected() -> None:
    june, july, november = Month(2022, 6), Month(2022, 7), Month(2022, 11)
    before = a_prosumer("net_metering", valid_from=june.first, valid_to=july.first)
    after = a_prosumer("net_billing", valid_from=july.first)
    opening = Opening(storage=(("", Month(2022, 5), 238_000),))
    point = a_point(before, after, opening=opening)
    of_law = law({})
    steps = [
        a_step(june.period),
        a_step(july.period, july.plus(1).first.replace(day=10)),
        a_step(november.period, november.plus(1).first),
    ]
    account = settled(point, steps, Flow(0), of_law)
    moved = [(str(each.month), each.kind, each.amount) for each in account.entries[1:]]
    assert moved == [
        ("2022-06", "converted", 238_000),
        ("2022-07", "booked", 15691),
        ("2022-11", "revalued", 15614 - 15691),
    ]


def test_p8_a_correction_of_the_price_takes_189_grosz_of_a_deposit_back() -> None:
    # 230.79 becomes 228.90; the total of 461.42 stays, so that 1.89 more are due.
    may, june, july = Month(2023, 5), Month(2023, 6), Month(2023, 7)
    fallen = july.plus(1).first.replace(day=11)
    of_law = law({}, rcem_of({may: {june.first.replace(day=11): "769.30", fallen: "763.00"}}))
    contract = a_prosumer(unit_prices_pln_per_kwh=prices(all_day="0.5"))
    flows = {may: Flow(0, 300_000), june: Flow(500_000), july: Flow(0)}
    steps = [a_step(month.period) for month in (may, june, july)]
    account = settled(a_point(contract), steps, flows, of_law)
    (back,) = account.returns
    before, after = account.invoices[1], back.invoice
    assert (back.at, back.place) == (2, 1)
    assert (before.deposit.used_gr, after.deposit.used_gr) == (23079, 22890)
    assert after.to_pay_gr - before.to_pay_gr == 189
    assert after.result == before.result


P11 = {
    Month(2023, 6): Flow(180_000, 520_000),
    Month(2023, 7): Flow(210_000, 480_000),
    Month(2023, 8): Flow(200_000, 430_000),
    Month(2023, 11): Flow(390_000, 60_000),
    Month(2023, 12): Flow(460_000, 30_000),
}


def stored(contract: Contract, months: dict[Month, Flow]) -> tuple[list[int], list[int]]:
    """Billed Wh, and Wh left in the storage, of each month from the first to the last."""
    first, last = min(months), max(months)
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    steps = [a_step(first.plus(place).period) for place in range(count)]
    invoices = settled(a_point(contract), steps, months, law({})).invoices
    return (
        [each.billed_wh for each in invoices],
        [each.storage.open_wh for each in invoices if each.storage is not None],
    )


def test_p11_half_a_year_of_net_metering_at_08() -> None:
    billed, left = stored(a_prosumer("net_metering"), P11)
    assert billed == [0, 0, 0, 0, 0, 0, 224_000]
    assert left == [236_000, 410_000, 554_000, 554_000, 554_000, 212_000, 0]


def test_p11_with_07_and_three_months_129_kwh_are_billed() -> None:
    months = {month: P11[month] for month in (Month(2023, 6), Month(2023, 7), Month(2023, 12))}
    billed, left = stored(a_prosumer("net_metering", installed_power_w=10_001), months)
    assert left[:2] == [184_000, 310_000]
    assert billed[-1] == 129_000
    assert (left[-1], sum(billed)) == (0, 129_000)


def test_p12_stored_energy_covers_the_zone_with_the_highest_network_rate_first() -> None:
    contract = a_g12w_prosumer("0.76100", "0.43500", "net_metering")
    flow = Flow({"peak": 90_000, "offpeak": 140_000}, {"offpeak": 187_500})
    invoice = one_invoice(contract, OCTOBER_2025.period, flow)
    assert invoice.parts[0].billed_wh == {"peak": 0, "offpeak": 80_000}
    assert invoice.sale.gross_gr == 4280
    assert invoice.distribution.gross_gr == 4732
    assert invoice.to_pay_gr == 9012


def test_p17_1600_kwh_in_the_first_half_of_2024_cross_the_limit_by_100() -> None:
    contract = a_contract(unit_prices_pln_per_kwh=prices(all_day="0.8"))
    invoice = one_invoice(contract, days("2024-01-01", "2024-07-01"), Flow(1_600_000))
    energy = [line for line in invoice.lines if line.position.code == "active_energy"]
    printed = [
        (str(line.position.quantity), str(line.position.unit_price_pln), line.gross_gr)
        for line in energy
    ]
    assert printed == [("1500", "0.41700", 76937), ("100", "0.69800", 8585)]
    assert sum(line.gross_gr for line in energy) == 85522


def test_p18_an_invoice_of_april_2026_in_its_totals() -> None:
    contract = a_g12w_prosumer("0.6270", "0.4180")
    flow = Flow({"peak": 14_000, "offpeak": 201_000})
    invoice = with_a_deposit(contract, Month(2026, 4), flow, (Month(2026, 2), 7248))
    assert invoice.sale.gross_gr == 11414
    assert invoice.distribution.gross_gr == 7838
    assert invoice.result.gross_gr == 19252
    assert (invoice.deposit.used_gr, invoice.to_pay_gr) == (7248, 12004)


@pytest.mark.parametrize(
    ("annual_kwh", "published_pln"),
    [(1000, 1171), (2000, 2158), (4000, 4126), (6000, 6094), (10000, 10029)],
)
def test_published_yearly_totals_of_late_2024_agree(annual_kwh: int, published_pln: int) -> None:
    # Totals published for a year at the rates of the second half of 2024, read every two
    # months, whole zlotys cut off: twice our half-year must give the same.
    contract = a_contract(annual_kwh=annual_kwh, readout_months=2)
    half = days("2024-07-01", "2025-01-01")
    invoice = one_invoice(contract, half, Flow(annual_kwh * 500))
    assert 2 * invoice.to_pay_gr // 100 == published_pln
