"""Rounding is half away from zero, happens once, and never touches a float."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.errors import BadNumber
from settlement.rules.policies import KWH_ROUNDINGS
from settlement.rules.units import (
    NUMBER_DIGITS_MAX,
    amount_gr,
    billed_wh,
    divide_half_up,
    kwh,
    parse_number,
    price_text,
    ratio,
    split,
    vat_gr,
    whole_kwh,
)


@pytest.mark.parametrize(
    ("halves", "rounded"), [(-3, -2), (-1, -1), (0, 0), (1, 1), (3, 2), (5, 3), (7, 4)]
)
def test_a_half_goes_away_from_zero(halves: int, rounded: int) -> None:
    assert divide_half_up(halves, 2) == rounded


@pytest.mark.parametrize(("energy_wh", "whole"), [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2)])
def test_whole_kwh_are_rounded_half_up(energy_wh: int, whole: int) -> None:
    assert whole_kwh(energy_wh) == whole


@pytest.mark.parametrize(
    ("energy_wh", "remainder_wh", "rounding", "billed"),
    [
        (1499, 0, "half_up", (1000, 499)),
        (1500, 0, "half_up", (2000, -500)),
        (1499, 1, "half_up", (2000, -500)),
        (1500, -1, "half_up", (1000, 499)),
        (0, -500, "half_up", (0, -500)),
        (0, 499, "half_up", (0, 499)),
        (1, 499, "half_up", (1000, -500)),
        (1499, 1, "carry", (2000, -500)),
        (1500, -1, "carry", (1000, 499)),
        (1999, 0, "down", (1000, 999)),
        (1999, 1, "down", (2000, 0)),
        (2000, 999, "down", (2000, 999)),
        (1999, 0, "exact", (1999, 0)),
    ],
)
def test_billed_energy_follows_its_policy_and_counts_what_was_left_over(
    energy_wh: int, remainder_wh: int, rounding: str, billed: tuple[int, int]
) -> None:
    assert billed_wh(energy_wh, remainder_wh, rounding) == billed


@given(st.lists(st.integers(0, 10**7), max_size=30), st.sampled_from(KWH_ROUNDINGS))
def test_the_billed_parts_and_the_last_remainder_are_all_the_energy(
    energies_wh: list[int], rounding: str
) -> None:
    billed_together, rest_wh = 0, 0
    for energy_wh in energies_wh:
        billed, rest_wh = billed_wh(energy_wh, rest_wh, rounding)
        assert billed >= 0
        assert rounding == "exact" or billed % 1000 == 0
        billed_together += billed
    assert billed_together + rest_wh == sum(energies_wh)
    assert (
        rest_wh
        in {
            "half_up": range(-500, 500),
            "carry": range(-500, 500),
            "down": range(1000),
            "exact": range(1),
        }[rounding]
    )


@pytest.mark.parametrize(
    ("energy_wh", "written"),
    [(0, "0"), (1000, "1"), (1226_000, "1226"), (1, "0.001"), (50, "0.050")],
)
def test_energy_is_written_as_whole_kwh_or_with_three_decimals(
    energy_wh: int, written: str
) -> None:
    assert str(kwh(energy_wh)) == written


@pytest.mark.parametrize(
    ("whole", "weights", "parts"),
    [
        (10, [1, 1], [5, 5]),
        (3, [1, 1], [2, 1]),
        (2, [1, 1, 1], [1, 1, 0]),
        (100, [1, 2, 4], [14, 29, 57]),
        (7, [0, 3, 0], [0, 7, 0]),
        (0, [1, 2], [0, 0]),
        (5, [0, 0], [0, 0]),
        (5, [], []),
        (1, [1, 9], [0, 1]),
    ],
)
def test_a_whole_is_split_by_largest_remainder_and_earlier_parts_win_ties(
    whole: int, weights: list[int], parts: list[int]
) -> None:
    assert split(whole, weights) == parts


@given(
    st.integers(0, 10**9),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(lambda each: sum(each) > 0),
)
def test_the_parts_of_a_split_sum_to_the_whole_and_are_less_than_one_off(
    whole: int, weights: list[int]
) -> None:
    parts = split(whole, weights)
    assert sum(parts) == whole
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - whole * weight) < sum(weights)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12), st.data())
def test_no_part_of_a_split_is_more_than_its_weight_when_the_whole_is_not(
    weights: list[int], data: st.DataObject
) -> None:
    whole = data.draw(st.integers(0, sum(weights)))
    assert all(part <= weight for part, weight in zip(split(whole, weights), weights, strict=True))


def test_a_split_of_less_than_nothing_is_a_fault_of_the_program() -> None:
    for whole, weights in ((-1, [1]), (1, [2, -1])):
        with pytest.raises(AssertionError):
            split(whole, weights)


def test_the_amount_of_a_line_is_rounded_once() -> None:
    # 231 x 0.50500 = 116.655 exactly, a half.
    assert amount_gr(Decimal(231), Decimal("0.50500")) == 11666
    # 105 x 0.00500 = 0.525: half-even would give 0.52.
    assert amount_gr(Decimal(105), Decimal("0.00500")) == 53


def test_vat_is_taken_from_the_rounded_net_amount() -> None:
    assert vat_gr(50500, Decimal(23)) == 11615
    assert vat_gr(50, Decimal(23)) == 12  # 11.5
    assert vat_gr(-50, Decimal(23)) == -12
    assert vat_gr(10, Decimal("5.5")) == 1  # 0.55


@given(st.integers(0, 10**9), st.integers(0, 10**7))
def test_the_amount_agrees_with_decimal_arithmetic(quantity: int, price_e5: int) -> None:
    price = Decimal(price_e5).scaleb(-5)
    exact = Decimal(quantity) * price
    expected = int(exact.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)
    assert amount_gr(Decimal(quantity), price) == expected


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_is_never_more_than_half_a_unit_off(numerator: int, denominator: int) -> None:
    rounded = divide_half_up(numerator, denominator)
    assert abs(2 * (rounded * denominator - numerator)) <= denominator


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_negative_number_is_rounded_like_its_mirror_image(
    numerator: int, denominator: int
) -> None:
    assert divide_half_up(-numerator, denominator) == -divide_half_up(numerator, denominator)


def test_a_ratio_keeps_the_places_asked_for() -> None:
    assert ratio(7, 31, 4) == Decimal("0.2258")
    assert ratio(1, 8, 2) == Decimal("0.13")
    assert str(ratio(1, 2, 4)) == "0.5000"


def test_a_price_is_printed_with_five_decimals() -> None:
    assert price_text(Decimal("0.505")) == "0.50500"


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1,5", "1e3", "NaN", " 1", "01", ".5", "1.", "٣", "0.5 ", "1\n"]
)
def test_a_number_that_is_not_plain_is_refused(text: str) -> None:
    with pytest.raises(BadNumber):
        parse_number(text, 5)


def test_a_number_within_its_limits_is_read_and_one_above_is_refused() -> None:
    assert parse_number("9" * NUMBER_DIGITS_MAX, 5) == 10**NUMBER_DIGITS_MAX - 1
    assert parse_number("0.12345", 5) == Decimal("0.12345")
    with pytest.raises(BadNumber):
        parse_number("9" * (NUMBER_DIGITS_MAX + 1), 5)
    with pytest.raises(BadNumber):
        parse_number("0.123456", 5)
