"""The written form of a metering point, in JSON over HTTP and in TOML in scenarios."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, TypeVar

import msgspec

from settlement.errors import MalformedBody
from settlement.rules.contract import (
    FULL_MONTH,
    Assignment,
    Contract,
    check_assignments,
    check_contract,
)
from settlement.rules.units import parse_number

METERS_PER_POINT_MAX = 100
PRICE_DECIMALS_MAX = 5
FEE_DECIMALS_MAX = 2
_TIME_S_MAX = 2**36 - 1

Form = TypeVar("Form")

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_TIME_S_MAX)]


class ContractForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A contract as written: prices are texts, because a float cannot hold 0.505."""

    tariff_group: str
    phases: int
    readout_months: int
    annual_kwh: int
    unit_price_pln_per_kwh: str
    valid_from: date
    valid_to: date | None = None
    trade_fee_pln_per_month: str = "0.00"
    cap_entitled: bool = True
    scheme: str = "plain"
    operator: str = "tauron"
    partial_month: str = FULL_MONTH

    def contract(self) -> Contract:
        """The contract, checked. Raises Refused."""
        contract = Contract(
            operator=self.operator,
            tariff_group=self.tariff_group,
            scheme=self.scheme,
            phases=self.phases,
            readout_months=self.readout_months,
            annual_kwh=self.annual_kwh,
            unit_price_pln_per_kwh=parse_number(self.unit_price_pln_per_kwh, PRICE_DECIMALS_MAX),
            trade_fee_pln_per_month=parse_number(self.trade_fee_pln_per_month, FEE_DECIMALS_MAX),
            cap_entitled=self.cap_entitled,
            partial_month=self.partial_month,
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )
        check_contract(contract)
        return contract


class MeterForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which meter measured the point in [from_s, to_s), UTC seconds."""

    meter_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    from_s: _Seconds
    to_s: _Seconds | None = None


class PointForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metering point as put over HTTP."""

    contract: ContractForm
    meters: Annotated[list[MeterForm], msgspec.Meta(max_length=METERS_PER_POINT_MAX)]

    def assignments(self) -> list[Assignment]:
        """The meters, checked against each other. Raises BadAssignment."""
        assignments = [Assignment(each.meter_id, each.from_s, each.to_s) for each in self.meters]
        check_assignments(assignments)
        return assignments


def decode(body: bytes) -> PointForm:
    """Raises MalformedBody, naming the field."""
    return decode_as(body, PointForm)


def decode_as(body: bytes, form: type[Form]) -> Form:
    """JSON of one known form. Raises MalformedBody, naming the field."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(str(error)) from None


def encode(point: PointForm) -> bytes:
    """The canonical JSON that is stored."""
    return msgspec.json.encode(point, order="deterministic")


def convert_contract(fields: dict[str, Any]) -> ContractForm:
    """A contract from TOML. Raises MalformedBody, naming the field."""
    try:
        return msgspec.convert(fields, ContractForm)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"[contract]: {error}") from None
