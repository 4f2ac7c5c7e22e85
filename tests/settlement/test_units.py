"""Rounding is half away from zero, happens once, and never touches a float."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.rules.errors import BadNumber
from settlement.rules.units import (
    NUMBER_DIGITS_MAX,
    amount_gr,
    divide_half_up,
    kwh_from_wh,
    parse_number,
    price_text,
    ratio,
    vat_gr,
)


@pytest.mark.parametrize(
    ("halves", "rounded"), [(-3, -2), (-1, -1), (0, 0), (1, 1), (3, 2), (5, 3), (7, 4)]
)
def test_a_half_goes_away_from_zero(halves: int, rounded: int) -> None:
    assert divide_half_up(halves, 2) == rounded


@pytest.mark.parametrize(("energy_wh", "kwh"), [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2)])
def test_whole_kwh_are_rounded_half_up(energy_wh: int, kwh: int) -> None:
    assert kwh_from_wh(energy_wh) == kwh


def test_the_amount_of_a_line_is_rounded_once() -> None:
    # 231 x 0.50500 = 116.655 exactly, a half.
    assert amount_gr(Decimal(231), Decimal("0.50500")) == 11666
    # 105 x 0.00500 = 0.525: half-even would give 0.52.
    assert amount_gr(Decimal(105), Decimal("0.00500")) == 53


def test_vat_is_taken_from_the_rounded_net_amount() -> None:
    assert vat_gr(50500, Decimal(23)) == 11615
    assert vat_gr(50, Decimal(23)) == 12  # 11.5
    assert vat_gr(-50, Decimal(23)) == -12


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


@given(st.lists(st.integers(0, 10**6), max_size=50))
def test_billing_whole_kwh_moves_at_most_half_a_kwh(energies_wh: list[int]) -> None:
    total_wh = sum(energies_wh)
    assert abs(kwh_from_wh(total_wh) * 1000 - total_wh) <= 500


def test_a_ratio_keeps_the_places_asked_for() -> None:
    assert ratio(7, 31, 4) == Decimal("0.2258")
    assert ratio(1, 8, 2) == Decimal("0.13")


def test_a_price_is_printed_with_five_decimals() -> None:
    assert price_text(Decimal("0.505")) == "0.50500"


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1,5", "1e3", "NaN", " 1", "01", ".5", "1.", "٣", "0.5 "]
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
