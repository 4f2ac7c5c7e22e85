"""The naive statement reproduces the golden examples that are monthly settlements (P2-P18)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.second_opinion.naive import Household, Result, settle

RCEM_OF_A_CONVERSION = [
    ["2022-07-11", "659.29"],
    ["2022-08-11", "648.16"],
    ["2022-10-11", "656.04"],
]
RATES_2025 = {
    "variable": {"peak": "0.32710", "offpeak": "0.05180"},
    "fixed": "10.34",
    "quality": "0.03210",
    "renewable": "0.00350",
    "cogeneration": "0.00300",
    "subscription": "4.56",
    "transitional": {"0": "0.33"},
}
NO_RATES = {
    "vat": "23",
    "variable": {"all_day": "0"},
    "fixed": "0",
    "quality": "0",
    "renewable": "0",
    "cogeneration": "0",
    "subscription": "0",
    "capacity": {"0": "0"},
    "transitional": {"0": "0"},
    "regime": 0,
    "cap": None,
    "inside": None,
    "limit": None,
}


def a_household(invoices: list[dict[str, Any]], **facts: Any) -> Household:
    """A net-billing household in G11 at 1 PLN for one kWh, but for what is said."""
    return {
        "group": "G11",
        "scheme": "net_billing",
        "phases": 3,
        "installed_power_w": 10_000,
        "prosumer_since": "2022-05-01",
        "rce_from": None,
        "annual_kwh": 2_000,
        "partial_month": "full_month",
        "seller": "the first",
        "prices": {"all_day": "1"},
        "frozen_prices": None,
        "trade_fee": "0",
        "cap_entitled": True,
        "cap_limit": "standard",
        "policies": {},
        "rebate_gr": 0,
        "changes": [],
        "ends": None,
        "invoices": invoices,
        **facts,
    }


def a_month(
    month: str,
    taken_wh: int | dict[str, int],
    fed_in_wh: int = 0,
    *,
    rce: list[Any] | None = None,
    known_on: str | None = None,
) -> Any:
    """The invoice of a month whose hours never both take and feed in.

    Energy fed in lies in the last zone.
    """
    taken = {"all_day": taken_wh} if isinstance(taken_wh, int) else taken_wh
    fed_in = dict.fromkeys(taken, 0) | {list(taken)[-1]: fed_in_wh}
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12}-{number % 12 + 1:02}"
    part = {
        "from": f"{month}-01",
        "until": f"{following}-01",
        "import_wh": taken,
        "export_wh": fed_in,
        "positive_wh": taken,
        "negative_wh": fed_in,
        "rce": rce or [],
    }
    return {"known_on": known_on or f"{following}-15", "parts": [part]}


def settled(
    household: Household, rates: dict[str, Any], rcem: dict[str, list[list[str]]] | None = None
) -> list[Result]:
    """Settles with the same rates in every month; RCEm by default one price, of no account."""
    months = [metered["parts"][0]["from"][:7] for metered in household["invoices"]]
    prices = {month: [["2000-01-01", "100"]] for month in months} | (rcem or {})
    return settle(household, dict.fromkeys(months, NO_RATES | rates), prices)


def gross_gr(result: Result, *codes: str) -> int:
    """The gross sum of an invoice, or of its lines of some codes."""
    return sum(line[6] for line in result["lines"] if not codes or line[0] in codes)


def sale_and_rest(result: Result) -> tuple[int, int]:
    """The two sections of an invoice: sale, distribution; in grosz gross."""
    sale = gross_gr(result, "active_energy", "trade_fee")
    return sale, gross_gr(result) - sale


def test_p2_a_capped_household_in_the_second_half_of_2024() -> None:
    rates = {
        "variable": {"all_day": "0.25730"},
        "fixed": "10.34",
        "quality": "0.03140",
        "cogeneration": "0.00618",
        "subscription": "4.56",
        "transitional": {"0": "0.33"},
        "regime": 1,
        "cap": "0.50500",
    }
    facts = {"scheme": "plain", "prices": {"all_day": "0.64900"}}
    capped, uncapped = (
        settled(a_household([a_month("2024-07", 231_000)], **facts, cap_entitled=entitled), rates)[
            0
        ]
        for entitled in (True, False)
    )
    assert capped["to_pay_gr"] == 246_02
    assert capped["lines"][0][4:] == (116_66, 26_83, 143_49)
    assert uncapped["lines"][0][6] == 184_40
    assert [line[0] for line in capped["lines"]] == [
        "active_energy",
        "network_fixed",
        "quality",
        "network_variable",
        "renewable",
        "cogeneration",
        "subscription",
        "capacity",
        "transitional",
    ]


def test_p3_the_invoice_of_february_2024() -> None:
    rates = {
        "variable": {"all_day": "0.25730"},
        "fixed": "10.34",
        "quality": "0.03140",
        "cogeneration": "0.00618",
        "subscription": "4.56",
        "capacity": {"0": "14.90"},
        "transitional": {"0": "0.33"},
    }
    months = [a_month("2024-01", 0, 5_000), a_month("2024-02", 1_226_000)]
    facts = {"prices": {"all_day": "0.67270"}, "trade_fee": "28.86"}
    rcem = {"2024-01": [["2024-02-11", "437.02"]]}
    february = settled(a_household(months, **facts), rates, rcem)[1]
    assert sale_and_rest(february) == (1049_92, 481_75)
    assert february["deposit_used_gr"] == 2_19
    assert february["to_pay_gr"] == 1529_48


def in_april_2025(price_of_march: list[list[str]]) -> Result:
    """April 2025 in G12w after 372 kWh were fed in during March."""
    march = a_month("2025-03", {"peak": 0, "offpeak": 0}, 372_000)
    april = a_month("2025-04", {"peak": 29_000, "offpeak": 91_000})
    prices = {"peak": "0.76410", "offpeak": "0.42030"}
    household = a_household([march, april], group="G12w", prices=prices, trade_fee="28.86")
    rates = RATES_2025 | {"regime": 1, "cap": "0.50500", "capacity": {"0": "0.00"}}
    return settled(household, rates, {"2025-03": price_of_march})[1]


def test_p4_the_invoice_of_april_2025() -> None:
    # It was made before the value was raised by 1.23; a price 1.23 times lower says the same.
    april = in_april_2025([["2025-04-11", "148.75"]])
    assert sale_and_rest(april) == (109_81, 41_88)
    assert april["deposit_used_gr"] == 68_06
    assert april["to_pay_gr"] == 83_63


def test_p5_a_deposit_larger_than_the_energy_of_october_2025() -> None:
    months = [
        a_month("2025-09", {"peak": 0, "offpeak": 0}, 2_000_000),
        a_month("2025-10", {"peak": 62_000, "offpeak": 238_000}),
    ]
    prices = {"peak": "0.76100", "offpeak": "0.43500"}
    rates = RATES_2025 | {"regime": 1, "cap": "0.50500", "capacity": {"0": "16.01"}}
    october = settled(a_household(months, group="G12w", prices=prices), rates)[1]
    assert sale_and_rest(october) == (185_37, 92_78)
    assert october["deposit_used_gr"] == 185_37
    assert october["to_pay_gr"] == 92_78


def test_p6_the_value_of_march_2025_is_raised() -> None:
    april = in_april_2025([["2025-04-11", "182.96"]])
    assert april["booked_gr"] == 83_72
    assert april["deposit_used_gr"] == 74_31
    assert april["to_pay_gr"] == 77_38
    assert april["deposit_open_gr"] == 9_41


def test_p6_before_the_raise_the_same_export_is_worth_what_was_printed() -> None:
    months = [a_month("2024-12", 0, 372_000), a_month("2025-01", 0)]
    rcem = {"2024-12": [["2025-01-11", "182.96"]]}
    assert settled(a_household(months), {}, rcem)[1]["booked_gr"] == 68_06


def test_p7_the_storage_left_at_a_switch_becomes_a_deposit() -> None:
    months = [
        a_month("2022-06", 0, 297_500),
        a_month("2022-07", 0, known_on="2022-08-10"),
        a_month("2022-08", 0),
        a_month("2022-09", 0),
    ]
    facts = {
        "scheme": "net_metering",
        "prosumer_since": "2021-06-01",
        "changes": [{"from": "2022-07-01", "scheme": "net_billing"}],
    }
    results = settled(a_household(months, **facts), {}, {"2022-06": RCEM_OF_A_CONVERSION})
    assert [result["storage_open_wh"] for result in results] == [238_000, 0, 0, 0]
    opened = [result["deposit_open_gr"] for result in results]
    assert opened == [0, 156_91, 154_26, 156_14]


@pytest.mark.parametrize(
    ("policy", "returned_gr", "resettled_gr"),
    [("post_difference", 189, 0), ("settle_again", 0, 189)],
)
def test_p8_a_price_corrected_after_the_deposit_was_used(
    policy: str, returned_gr: int, resettled_gr: int
) -> None:
    # Made-up kWh and prices that give the three figures of the correction.
    months = [a_month("2025-09", 0, 500_000), a_month("2025-10", 300_000), a_month("2025-11", 0)]
    rcem = {"2025-09": [["2025-10-11", "375.27"], ["2025-12-11", "372.20"]]}
    household = a_household(months, policies={"rcem_correction": policy})
    _, october, november = settled(household, {"fixed": "75.14"}, rcem)
    assert gross_gr(october) == 461_42
    assert (october["deposit_used_gr"], october["to_pay_gr"]) == (230_79, 230_63)
    assert november["returned_gr"] == returned_gr
    assert november["resettled_gr"] == resettled_gr


def test_p11_energy_is_taken_from_the_oldest_month_on() -> None:
    flows = {6: (180, 520), 7: (210, 480), 8: (200, 430), 11: (390, 60), 12: (460, 30)}
    months = [
        a_month(f"2023-{n:02}", *(kwh * 1000 for kwh in flows.get(n, (0, 0)))) for n in range(6, 13)
    ]
    results = settled(a_household(months, scheme="net_metering"), {})
    assert [result["storage_open_wh"] // 1000 for result in results] == [
        236, 410, 554, 554, 554, 212, 0,
    ]  # fmt: skip
    assert [result["payable_wh"]["all_day"] for result in results[-2:]] == [0, 224_000]


def test_p11_above_10_kw_the_ratio_is_lower() -> None:
    flows = {6: (180, 520), 7: (210, 480), 12: (460, 30)}
    months = [
        a_month(f"2023-{n:02}", *(kwh * 1000 for kwh in flows.get(n, (0, 0)))) for n in range(6, 13)
    ]
    household = a_household(months, scheme="net_metering", installed_power_w=10_001)
    results = settled(household, {})
    assert [result["storage_open_wh"] for result in results[:2]] == [184_000, 310_000]
    assert results[-1]["payable_wh"]["all_day"] == 129_000


def test_p12_storage_covers_the_zone_with_the_dearest_network_first() -> None:
    month = a_month("2025-10", {"peak": 90_000, "offpeak": 140_000}, 187_500)
    prices = {"peak": "0.76100", "offpeak": "0.43500"}
    household = a_household([month], scheme="net_metering", group="G12w", prices=prices)
    rates = RATES_2025 | {"regime": 1, "cap": "0.50500", "capacity": {"0": "16.01"}}
    result = settled(household, rates)[0]
    assert result["payable_wh"] == {"peak": 0, "offpeak": 80_000}
    assert sale_and_rest(result) == (42_80, 47_32)
    assert result["to_pay_gr"] == 90_12


@pytest.mark.parametrize(("clamp", "value_gr"), [("quarter", 267), ("hour", 267), ("none", 194)])
def test_p13_negative_prices_do_not_lower_the_deposit(clamp: str, value_gr: int) -> None:
    hours = [
        (12_500, "0.00"),
        (21_000, "-35.12"),
        (18_000, "12.40"),
        (4_000, "612.35"),
    ]
    rce = [[export_wh, [price] * 4] for export_wh, price in hours]
    months = [a_month("2024-08", 0, 55_500, rce=rce), a_month("2024-09", 0)]
    household = a_household(months, prosumer_since="2024-07-01", policies={"rce_clamp": clamp})
    assert settled(household, {})[1]["deposit_open_gr"] == value_gr


def test_p14_a_rebate_is_carried_until_it_is_used_up() -> None:
    months = [a_month(month, 0) for month in ("2023-12", "2024-01", "2024-02", "2024-03")]
    household = a_household(months, scheme="plain", rebate_gr=248_64)
    fees = {"2023-12": "80", "2024-01": "80", "2024-02": "91.10", "2024-03": "106.67"}
    results = settle(household, {m: NO_RATES | {"fixed": fee} for m, fee in fees.items()}, {})
    assert [gross_gr(result) for result in results[1:]] == [98_40, 112_05, 131_20]
    assert [result["to_pay_gr"] for result in results] == [98_40, 0, 0, 93_01]


def test_p17_a_limit_is_crossed_inside_one_invoice() -> None:
    limit = {"standard": 1_500, "disability": 1_800, "large_family": 2_000}
    rates = {"regime": 2, "cap": "0.69800", "inside": "0.41700", "limit": limit}
    months = [a_month("2024-01", 1_600_000), a_month("2024-02", 10_000)]
    first, second = settled(a_household(months, scheme="plain"), rates)
    energy = [line for line in first["lines"] if line[0] == "active_energy"]
    assert [line[6] for line in energy] == [769_37, 85_85]
    assert first["to_pay_gr"] == 855_22
    assert second["to_pay_gr"] == 8_59


def test_p18_the_invoice_of_april_2026() -> None:
    rates = {
        "variable": {"peak": "0.32980", "offpeak": "0.05120"},
        "fixed": "10.86",
        "quality": "0.03320",
        "renewable": "0.00730",
        "cogeneration": "0.00300",
        "subscription": "4.56",
        "capacity": {"0": "24.05"},
    }
    months = [
        a_month("2026-03", {"peak": 0, "offpeak": 0}, 307_000),
        a_month("2026-04", {"peak": 14_000, "offpeak": 201_000}),
    ]
    prices = {"peak": "0.62700", "offpeak": "0.41800"}
    household = a_household(months, group="G12w", prices=prices)
    april = settled(household, rates, {"2026-03": [["2026-04-11", "191.95"]]})[1]
    assert sale_and_rest(april) == (114_14, 78_38)
    assert april["deposit_used_gr"] == 72_48
    assert april["to_pay_gr"] == 120_04
