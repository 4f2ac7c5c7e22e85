"""The energy voucher (bon energetyczny) of 2024: an estimate of what a household may expect.

Act of 23 May 2024 (Dz.U. 2024 poz. 859). The voucher is whole up to a threshold of income and
shrinks by a zloty for every zloty above it. The municipality decides; the seller has no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from settlement.rules.errors import BadHousehold

PERSONS_MAX = 50
INCOME_GR_MAX = 100_000_000
NOTE = (
    "To tylko szacunek. Wniosek o bon energetyczny składa się do wójta, burmistrza lub prezydenta "
    "miasta właściwego ze względu na miejsce zamieszkania. TAURON nie obsługuje tych wniosków."
)


@dataclass(frozen=True)
class Amount:
    """What households of `persons_from` and more persons get, grosz; more with electric heating."""

    persons_from: int
    amount_gr: int
    heated_gr: int


@dataclass(frozen=True)
class VoucherTable:
    """The figures of the act (settlement/tables/household/voucher.toml), amounts by persons."""

    amounts: Sequence[Amount]
    alone_gr: int
    per_person_gr: int
    smallest_gr: int
    heating_registered_by: date
    source: str


@dataclass(frozen=True)
class HeatingEntry:
    """The entry of the CEEB register that says the main heating is electric.

    `first`: the building had no entry before this one.
    """

    registered_on: date
    first: bool


@dataclass(frozen=True)
class Household:
    """Persons, their mean monthly income of 2023 in grosz PER PERSON, and electric main heating."""

    persons: int
    monthly_income_per_person_gr: int
    electric_heating: HeatingEntry | None = None


@dataclass(frozen=True)
class Voucher:
    """An estimate in grosz: amount = full - excess, or 0 where that is less than is ever paid."""

    full_gr: int
    excess_gr: int
    amount_gr: int
    note: str = NOTE


def voucher_of(household: Household, table: VoucherTable) -> Voucher:
    """The voucher that the household may expect. Raises BadHousehold.

    A family's excess is what one person has above the threshold, and is taken once from the voucher
    of the whole household: four persons with 2050 PLN each get 500 - 350 = 150 PLN.
    """
    _check(household)
    full = _full_gr(household, table)
    threshold = table.alone_gr if household.persons == 1 else table.per_person_gr
    excess = max(household.monthly_income_per_person_gr - threshold, 0)
    rest = full - excess
    return Voucher(full, excess, rest if rest >= table.smallest_gr else 0)


def _full_gr(household: Household, table: VoucherTable) -> int:
    amount = max(
        (each for each in table.amounts if each.persons_from <= household.persons),
        key=lambda each: each.persons_from,
    )
    entry = household.electric_heating
    heated = entry is not None and (
        entry.registered_on <= table.heating_registered_by or entry.first
    )
    return amount.heated_gr if heated else amount.amount_gr


def _check(household: Household) -> None:
    if not 1 <= household.persons <= PERSONS_MAX:
        raise BadHousehold(f"persons is 1 to {PERSONS_MAX}: count who lives in the household")
    if not 0 <= household.monthly_income_per_person_gr <= INCOME_GR_MAX:
        raise BadHousehold(
            f"monthly_income_per_person_gr is 0 to {INCOME_GR_MAX} grosz: "
            "the income of 2023 divided by 12 and by the persons"
        )
