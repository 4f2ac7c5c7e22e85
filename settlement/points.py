"""The written form of a metering point, in JSON over HTTP and in TOML in scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from settlement.errors import MalformedBody
from settlement.rules.book import Opening, check_opening
from settlement.rules.contract import (
    ANNUAL_KWH_MAX,
    CAP_LIMITS,
    ENTITLED,
    FULL_MONTH,
    PLAIN,
    Assignment,
    Contract,
    check_assignments,
    check_contracts,
)
from settlement.rules.errors import BadContract
from settlement.rules.periods import Month
from settlement.rules.policies import policies_of
from settlement.rules.units import WH_PER_KWH, parse_number
from settlement.rules.zones import ALL_DAY

METERS_PER_POINT_MAX = 100
CONTRACTS_PER_POINT_MAX = 100
LOTS_PER_POINT_MAX = 200  # 13 months in each of 12 zones are 156
LOT_WH_MAX = 10**9
AMOUNT_GR_MAX = 10**10
PRICE_DECIMALS_MAX = 5
FEE_DECIMALS_MAX = 2
_TIME_S_MAX = 2**36 - 1

Form = TypeVar("Form")

_Prices = Annotated[dict[str, str], msgspec.Meta(max_length=24)]
_Grosz = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_GR_MAX)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_TIME_S_MAX)]


class ContractForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A contract as written: prices are texts, because a float cannot hold 0.505.

    `unit_price_pln_per_kwh` is for groups with one zone, `unit_prices_pln_per_kwh` by zone.
    """

    tariff_group: str
    phases: int
    readout_months: int
    valid_from: date
    valid_to: date | None = None
    annual_kwh: int | None = None
    unit_price_pln_per_kwh: str | None = None
    unit_prices_pln_per_kwh: _Prices = {}
    price_list: str | None = None
    frozen_prices_pln_per_kwh: _Prices = {}
    trade_fee_pln_per_month: str | None = None
    customer: str = "household"
    cap_entitled: bool | None = None
    cap_limit: str = CAP_LIMITS[0]
    scheme: str = PLAIN
    operator: str = "tauron"
    seller: str = "tauron"
    partial_month: str = FULL_MONTH
    installed_power_w: int | None = None
    prosumer_since: date | None = None
    rce_from: str | None = None
    night_reference_kwh: int | None = None
    connection_power_w: int | None = None
    payout_bank_number: str | None = None
    policies: dict[str, str] = {}

    def contract(self) -> Contract:
        """The contract, for check_contracts to check. Raises BadContract, BadNumber, BadPeriod."""
        entitled = self.customer in ENTITLED if self.cap_entitled is None else self.cap_entitled
        fee = self.trade_fee_pln_per_month
        return Contract(
            operator=self.operator,
            seller=self.seller,
            tariff_group=self.tariff_group,
            scheme=self.scheme,
            phases=self.phases,
            readout_months=self.readout_months,
            annual_kwh=self.annual_kwh,
            unit_prices_pln_per_kwh=self._unit_prices(),
            price_list=self.price_list,
            frozen_prices_pln_per_kwh=_prices(self.frozen_prices_pln_per_kwh),
            trade_fee_pln_per_month=None if fee is None else parse_number(fee, FEE_DECIMALS_MAX),
            customer=self.customer,
            cap_entitled=entitled,
            cap_limit=self.cap_limit,
            partial_month=self.partial_month,
            installed_power_w=self.installed_power_w,
            prosumer_since=self.prosumer_since,
            rce_from=None if self.rce_from is None else Month.parse(self.rce_from),
            night_reference_kwh=self.night_reference_kwh,
            connection_power_w=self.connection_power_w,
            payout_bank_number=self.payout_bank_number,
            policies=policies_of(self.policies),
            valid_from=self.valid_from,
            valid_to=self.valid_to,
        )

    def _unit_prices(self) -> dict[str, Decimal]:
        if self.unit_price_pln_per_kwh is None:
            return _prices(self.unit_prices_pln_per_kwh)
        if self.unit_prices_pln_per_kwh:
            raise BadContract("give unit_price_pln_per_kwh or unit_prices_pln_per_kwh, not both")
        return _prices({ALL_DAY: self.unit_price_pln_per_kwh})


def _prices(written: Mapping[str, str]) -> dict[str, Decimal]:
    return {zone: parse_number(text, PRICE_DECIMALS_MAX) for zone, text in written.items()}


class MeterForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which meter measured the point in [from_s, to_s), UTC seconds."""

    meter_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    from_s: _Seconds
    to_s: _Seconds | None = None


class StoredLotForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Energy in the virtual storage, fed in in that month. `zone` only under per_zone."""

    month: str
    energy_wh: Annotated[int, msgspec.Meta(ge=1, le=LOT_WH_MAX)]
    zone: str = ""


class DepositLotForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deposit from that month's export: its whole value, and what is left of it."""

    month: str
    value_gr: _Grosz
    open_gr: _Grosz


class OpeningForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a point brings along from an earlier settlement elsewhere."""

    storage: Annotated[list[StoredLotForm], msgspec.Meta(max_length=LOTS_PER_POINT_MAX)] = []
    deposit: Annotated[list[DepositLotForm], msgspec.Meta(max_length=LOTS_PER_POINT_MAX)] = []
    limit_used_kwh: Annotated[int, msgspec.Meta(ge=0, le=ANNUAL_KWH_MAX)] = 0

    def opening(self) -> Opening:
        """The opening, checked. Raises Refused."""
        opening = Opening(
            tuple((each.zone, Month.parse(each.month), each.energy_wh) for each in self.storage),
            tuple((Month.parse(each.month), each.value_gr, each.open_gr) for each in self.deposit),
            self.limit_used_kwh * WH_PER_KWH,
        )
        check_opening(opening)
        return opening


class PointForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metering point as put over HTTP: one contract, or all of them in `contracts`."""

    meters: Annotated[list[MeterForm], msgspec.Meta(max_length=METERS_PER_POINT_MAX)]
    contract: ContractForm | None = None
    contracts: Annotated[list[ContractForm], msgspec.Meta(max_length=CONTRACTS_PER_POINT_MAX)] = []
    opening: OpeningForm = OpeningForm()
    rebate_gr: _Grosz = 0

    def checked_contracts(self) -> tuple[Contract, ...]:
        """The contracts in order of time, checked against each other. Raises Refused."""
        return contracts_of(self.contract, self.contracts)

    def assignments(self) -> list[Assignment]:
        """The meters, checked against each other. Raises BadAssignment."""
        assignments = [Assignment(each.meter_id, each.from_s, each.to_s) for each in self.meters]
        check_assignments(assignments)
        return assignments


def contracts_of(one: ContractForm | None, several: Sequence[ContractForm]) -> tuple[Contract, ...]:
    """The contracts of a point, given as one or as a list. Raises Refused."""
    if (one is None) == (not several):
        raise BadContract("give `contract`, or several in `contracts`, one of the two")
    forms = several if one is None else [one]
    return check_contracts([form.contract() for form in forms])


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
