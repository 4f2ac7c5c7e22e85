"""Runs one scenario folder: what is given under `when` becomes the files under `then`.

when/contract.toml says ppe, start, end, [contract] and either total_kwh or, with intervals.csv
beside it, capture_period_s. A line of intervals.csv is start_s,import_wh,export_wh[,quality].
"""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec

from settlement.errors import MalformedBody, RequestRefused
from settlement.points import ContractForm
from settlement.rules.errors import Incomplete, Refused
from settlement.rules.invoice import as_data, settle
from settlement.rules.periods import HOUR_S, Period
from settlement.rules.rates import Tables
from settlement.rules.units import WH_PER_KWH
from settlement.rules.validation import Interval, Usage, usage_of

SCENARIO_METER = "0000000000000000"
TOTAL_KWH_MAX = 1_000_000

_Count = Annotated[int, msgspec.Meta(ge=0)]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The given side of a scenario, contract.toml."""

    ppe: str
    start: date
    end: date
    contract: ContractForm
    total_kwh: Annotated[int, msgspec.Meta(ge=0, le=TOTAL_KWH_MAX)] | None = None
    capture_period_s: _Count = HOUR_S
    deposit_available_gr: _Count = 0


def run(folder: Path, tables: Tables) -> dict[str, Any]:
    """File name -> content: an invoice.json, or a refusal.json. Raises MalformedBody, OSError."""
    when = _when(folder / "when" / "contract.toml")
    try:
        period = Period(when.start, when.end)
        contract = when.contract.contract()
        usage = _usage(when, folder / "when" / "intervals.csv", period)
        deposit_gr = when.deposit_available_gr
        invoice = settle(when.ppe, contract, tables, period, usage, deposit_gr)
    except Refused as refusal:
        return {"refusal.json": refusal_data(refusal)}
    return {"invoice.json": as_data(invoice)}


def refusal_data(refusal: Refused | RequestRefused) -> dict[str, Any]:
    """A refusal as plain data: its name, its message, and the gaps when energy is missing."""
    data: dict[str, Any] = {"reason": refusal.reason, "detail": str(refusal)}
    if isinstance(refusal, Incomplete):
        data["gaps"] = [list(gap) for gap in refusal.gaps]
        data["missing_s"] = refusal.missing_s
    return data


def _when(path: Path) -> When:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), When)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise MalformedBody(f"{path}: {error}") from None


def _usage(when: When, path: Path, period: Period) -> Usage:
    if (when.total_kwh is None) != path.exists():
        raise MalformedBody(f"give total_kwh in contract.toml or {path}, one of the two")
    if when.total_kwh is not None:
        return Usage(when.total_kwh * WH_PER_KWH, intervals=0, quality=(), readings_sha256="")
    lines = path.read_text(encoding="utf-8").splitlines()
    return usage_of([_interval(line, when.capture_period_s) for line in lines], period)


def _interval(line: str, capture_period_s: int) -> Interval:
    try:
        start_s, import_wh, _, *rest = (int(field) for field in line.split(","))
        (quality,) = rest or (0,)
    except ValueError:
        raise MalformedBody(
            f"intervals.csv: {line[:60]!r} is not start_s,import_wh,export_wh[,quality]"
        ) from None
    return Interval(SCENARIO_METER, start_s, capture_period_s, import_wh, quality)
