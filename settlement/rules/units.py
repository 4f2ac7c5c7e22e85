"""Rounding and units of the invoice: the one place where a number is ever rounded.

Half-up here means half away from zero, as on the invoices of the seller (reproduced to the
grosz in tests/scenarios). Python's own default is half-even and floats cannot hold 0.505,
so neither is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from settlement.rules.errors import BadNumber

WH_PER_KWH = 1000
GR_PER_PLN = 100
NUMBER_DIGITS_MAX = 12
_PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")


def divide_half_up(numerator: int, denominator: int) -> int:
    """numerator / denominator to the nearest integer, halves away from zero."""
    assert denominator > 0
    if numerator < 0:
        return -divide_half_up(-numerator, denominator)
    return (2 * numerator + denominator) // (2 * denominator)


def whole_kwh(energy_wh: int) -> int:
    """Whole kWh, half-up: what sellers print (docs/settlement.md)."""
    return divide_half_up(energy_wh, WH_PER_KWH)


def billed_wh(energy_wh: int, remainder_wh: int, rounding: str) -> tuple[int, int]:
    """Energy as billed, in Wh, and what is left over, under policy `kwh_rounding`.

    `half_up` and `carry` round to whole kWh (half-up), `down` cuts them off, `exact` bills Wh. The
    remainder of the span before is counted in, so that the parts of an invoice sum to the whole.
    """
    if rounding == "exact":
        return energy_wh, 0
    whole_wh = energy_wh + remainder_wh
    half_wh = 0 if rounding == "down" else WH_PER_KWH // 2
    billed = (whole_wh + half_wh) // WH_PER_KWH * WH_PER_KWH
    return billed, whole_wh - billed


def kwh(energy_wh: int) -> Decimal:
    """Wh as kWh, exactly: 1226 for whole ones, else with three decimals."""
    whole, rest = divmod(energy_wh, WH_PER_KWH)
    return Decimal(energy_wh).scaleb(-3) if rest else Decimal(whole)


def amount_gr(quantity: Decimal, unit_price_pln: Decimal) -> int:
    """Net amount of one line in grosz: quantity x price, rounded once."""
    quantity_n, quantity_d = quantity.as_integer_ratio()
    price_n, price_d = unit_price_pln.as_integer_ratio()
    return divide_half_up(GR_PER_PLN * quantity_n * price_n, quantity_d * price_d)


def vat_gr(net_gr: int, vat_percent: Decimal) -> int:
    """VAT of one line in grosz: from the rounded net amount, rounded once."""
    rate_n, rate_d = vat_percent.as_integer_ratio()
    return divide_half_up(net_gr * rate_n, 100 * rate_d)


def ratio(numerator: int, denominator: int, decimals: int) -> Decimal:
    """numerator / denominator with `decimals` places, half-up."""
    scaled = divide_half_up(numerator * 10**decimals, denominator)
    return Decimal(scaled).scaleb(-decimals)


def split(whole: int, weights: Sequence[int]) -> list[int]:
    """`whole` in proportion to the weights, by largest remainder: the parts sum to the whole.

    Equal remainders favour the earlier part; without any weight every part is 0.
    """
    assert whole >= 0
    assert all(weight >= 0 for weight in weights)
    of_all = sum(weights)
    if of_all == 0:
        return [0] * len(weights)
    parts = [whole * weight // of_all for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: -(whole * weights[at] % of_all))
    for at in by_remainder[: whole - sum(parts)]:
        parts[at] += 1
    return parts


def parse_number(text: str, decimals_max: int) -> Decimal:
    """A plain non-negative decimal such as `0.64900`.

    Raises BadNumber for signs, exponents, commas and for more than `decimals_max` places.
    """
    if not _PLAIN.fullmatch(text):
        raise BadNumber(f"{text[:20]!r} is not a plain decimal number such as 0.64900")
    whole, _, places = text.partition(".")
    if len(whole) > NUMBER_DIGITS_MAX or len(places) > decimals_max:
        raise BadNumber(
            f"{text[:40]!r} has more than {NUMBER_DIGITS_MAX} digits or {decimals_max} decimals"
        )
    return Decimal(text)


def price_text(price_pln: Decimal) -> str:
    """A unit price as invoices print it: five decimals."""
    return f"{price_pln:.5f}"
