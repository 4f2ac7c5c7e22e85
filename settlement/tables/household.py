"""Figures for the household's own estimates: the energy voucher and the appliance calculator.

They lie in the folder household/ as TOML, one file each. A file that is not what its rules need is
refused with BadTable, which names file and fault.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from settlement.rules.appliances import (
    DAYS_PER_YEAR,
    MINUTES_MAX,
    WATT_MINUTES_PER_KWH,
    WATTS_MAX,
    Appliance,
    ApplianceTable,
)
from settlement.rules.errors import BadTable
from settlement.rules.units import GR_PER_PLN
from settlement.rules.voucher import Amount, VoucherTable

FOLDER = Path(__file__).parent / "household"

_Whole = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
Form = TypeVar("Form")


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Amount(_Struct, frozen=True):
    persons_from: _Whole
    amount_pln: _Whole
    heated_pln: _Whole


class _Voucher(_Struct, frozen=True):
    source: _Text
    alone_pln: _Whole
    per_person_pln: _Whole
    smallest_pln: _Whole
    heating_registered_by: date
    amount: Annotated[tuple[_Amount, ...], msgspec.Meta(min_length=1)]


class _Appliance(_Struct, frozen=True):
    code: _Text
    average_kwh: _Whole
    whole_day: bool = False
    pieces: bool = False
    reference_watts: Annotated[int, msgspec.Meta(ge=1, le=WATTS_MAX)] | None = None
    reference_minutes: Annotated[int, msgspec.Meta(ge=1, le=MINUTES_MAX)] | None = None


class _Appliances(_Struct, frozen=True):
    source: _Text
    household_kwh: _Whole
    appliance: Annotated[tuple[_Appliance, ...], msgspec.Meta(min_length=1)]


@cache
def load_voucher() -> VoucherTable:
    """The voucher of 2024. Raises BadTable."""
    return voucher_from(FOLDER / "voucher.toml")


@cache
def load_appliances() -> ApplianceTable:
    """The appliances and their yearly averages. Raises BadTable."""
    return appliances_from(FOLDER / "appliances.toml")


def voucher_from(path: Path) -> VoucherTable:
    """Reads a table of the voucher. Raises BadTable."""
    form = _read(path, _Voucher)
    if form.amount[0].persons_from != 1:
        raise BadTable(f"{path.name}: the first amount is for 1 person and more")
    for before, after in pairwise(form.amount):
        if after.persons_from <= before.persons_from:
            raise BadTable(f"{path.name}: persons_from grows from amount to amount")
    return VoucherTable(
        amounts=tuple(
            Amount(each.persons_from, GR_PER_PLN * each.amount_pln, GR_PER_PLN * each.heated_pln)
            for each in form.amount
        ),
        alone_gr=GR_PER_PLN * form.alone_pln,
        per_person_gr=GR_PER_PLN * form.per_person_pln,
        smallest_gr=GR_PER_PLN * form.smallest_pln,
        heating_registered_by=form.heating_registered_by,
        source=form.source,
    )


def appliances_from(path: Path) -> ApplianceTable:
    """Reads a table of appliances. Raises BadTable."""
    form = _read(path, _Appliances)
    appliances = {each.code: _appliance(each, path.name) for each in form.appliance}
    if len(appliances) != len(form.appliance):
        raise BadTable(f"{path.name}: an appliance stands there twice")
    return ApplianceTable(appliances, form.household_kwh, form.source)


def _appliance(form: _Appliance, name: str) -> Appliance:
    """Raises BadTable when watts and minutes of reference do not give the average."""
    watts, minutes = form.reference_watts, form.reference_minutes
    if (watts is None) != (minutes is None):
        raise BadTable(f"{name}: {form.code} needs both reference_watts and reference_minutes")
    if watts is not None and minutes is not None:
        given = watts * minutes * DAYS_PER_YEAR
        if given != form.average_kwh * WATT_MINUTES_PER_KWH:
            raise BadTable(f"{name}: the reference of {form.code} does not give its average_kwh")
    return Appliance(form.code, form.average_kwh, form.whole_day, form.pieces, watts)


def _read(path: Path, form: type[Form]) -> Form:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path.name}: {error}") from None
