"""Numbers as a clerk does them: Decimal, half-up, months as (year, month), shares by remainder."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

Month = tuple[int, int]

UNIT = Decimal("1")
CENT = Decimal("0.01")
PRICE_STEP = Decimal("0.00001")
THOUSAND = Decimal("1000")
HUNDRED = Decimal("100")


def half_up(value: Decimal, step: Decimal = UNIT) -> Decimal:
    """Rounds to a step; halves go away from zero."""
    return value.quantize(step, rounding=ROUND_HALF_UP)


def grosz(pln: Decimal) -> int:
    """PLN, rounded half-up, in whole grosz."""
    return int(half_up(pln, CENT) * 100)


def month_of(text: str) -> Month:
    """(2024, 7) of "2024-07" or of "2024-07-15"."""
    return int(text[:4]), int(text[5:7])


def plus(month: Month, count: int) -> Month:
    """The month `count` months later."""
    year, rest = divmod(month[0] * 12 + month[1] - 1 + count, 12)
    return year, rest + 1


def text_of(month: Month) -> str:
    """The month as "2024-07"."""
    return f"{month[0]}-{month[1]:02}"


def spread(amount: int, weights: list[int]) -> list[int]:
    """Splits an amount in proportion; what is left over goes to the largest remainders.

    Equal remainders: the earlier one gets it. Nothing to weigh by: nobody gets anything.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    shares = [amount * weight // whole for weight in weights]
    remainders = [amount * weight % whole for weight in weights]
    while sum(shares) < amount:
        largest = remainders.index(max(remainders))
        shares[largest] += 1
        remainders[largest] = -1
    return shares
