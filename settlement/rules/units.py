"""Rounding and units of the invoice: the one place where a number is ever rounded.

Half-up here means half away from zero, as on the invoices of the seller (reproduced to the
grosz in tests/scenarios). Python's own default is half-even and floats cannot hold 0.505,
so neither is used.
"""

from __future__ import annotations

import re
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


def kwh_from_wh(energy_wh: int) -> int:
    """Whole kWh as billed, per zone and period; the rest is not carried on.

    Whole quantities are what sellers print; the direction is half-up (docs/settlement.md).
    """
    assert energy_wh >= 0
    return divide_half_up(energy_wh, WH_PER_KWH)


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
