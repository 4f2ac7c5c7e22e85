"""Builders for tests of the settlement service: name only what matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from litestar.testing import TestClient

from settlement import points, tables
from settlement.api import Office
from settlement.config import Secret
from settlement.rules.contract import Contract, check_digit
from settlement.rules.periods import Period
from settlement.rules.rates import Row
from settlement.rules.validation import Interval, Usage
from settlement.store import Store
from wire import batch

PPE = "590322400000000010"
OTHER_PPE = "590322400000000027"
METER_ID = "00112233445566aa"
OTHER_METER_ID = "00112233445566bb"
TOKEN = "a-token-of-the-tests"
NOW_S = 1_735_689_600
PROJECT = Path(__file__).parents[2]
EXPORTS = PROJECT / "tests" / "vectors" / "elicznik"
SCENARIOS = PROJECT / "tests" / "scenarios"

JULY = Period(date(2024, 7, 1), date(2024, 8, 1))
A_DAY = Period(date(2024, 10, 14), date(2024, 10, 15))


def a_ppe(body: str = "59032240000000001") -> str:
    """A metering point with a right check digit."""
    return body + str(check_digit(body))


def a_contract(**changes: Any) -> Contract:
    """A capped three-phase G11 household of TAURON, read monthly."""
    fields: dict[str, Any] = {
        "operator": "tauron",
        "tariff_group": "G11",
        "scheme": "plain",
        "phases": 3,
        "readout_months": 1,
        "annual_kwh": 2400,
        "unit_price_pln_per_kwh": Decimal("0.64900"),
        "trade_fee_pln_per_month": Decimal("0.00"),
        "cap_entitled": True,
        "partial_month": "full_month",
        "valid_from": date(2024, 1, 1),
        "valid_to": None,
    }
    return Contract(**(fields | changes))


def a_usage(energy_wh: int) -> Usage:
    """Energy whose intervals are of no interest."""
    return Usage(energy_wh, intervals=0, quality=(), readings_sha256="")


def a_row(**changes: Any) -> Row:
    """A rate of 2024."""
    fields: dict[str, Any] = {
        "table": "levies",
        "key": "renewable",
        "value": Decimal("0.00350"),
        "unit": "pln_per_kwh",
        "valid_from": date(2024, 1, 1),
        "valid_to": date(2025, 1, 1),
        "source": "a test",
    }
    return Row(**(fields | changes))


def quarters(period: Period, energy_wh: int = 100, quality: int = 0) -> list[Interval]:
    """Every 15-minute interval of the period with the same energy, registers from 0."""
    starts = range(period.start_s, period.end_s, 900)
    return [
        Interval(METER_ID, start_s, 900, energy_wh, quality, (place + 1) * energy_wh)
        for place, start_s in enumerate(starts)
    ]


def a_point(meters: Sequence[tuple[str, int, int | None]] = ((METER_ID, 0, None),)) -> bytes:
    """The JSON of a metering point with these meters."""
    return points.encode(
        points.PointForm(
            points.ContractForm(
                tariff_group="G11",
                phases=3,
                readout_months=1,
                annual_kwh=2400,
                unit_price_pln_per_kwh="0.64900",
                valid_from=date(2024, 1, 1),
            ),
            [points.MeterForm(*meter) for meter in meters],
        )
    )


def a_profile(start_s: int = A_DAY.start_s, **changes: Any) -> batch.Profile:
    """Four quarters of import and export."""
    fields: dict[str, Any] = {
        "meter_id": METER_ID,
        "key_epoch": 0,
        "frame_counter": 1,
        "received_s": NOW_S,
        "first": 1,
        "start_s": start_s,
        "capture_period_s": 900,
        "channels": ["1.8.0", "2.8.0"],
        "registers_wh": [1000, 2000],
        "deltas_wh": [[10, 20, 30, 40], [0, 1, 0, 2]],
        "quality": [0, 0, 0, 0],
    }
    return batch.Profile(**(fields | changes))


def a_day_of_profiles(period: Period = A_DAY, energy_wh: int = 100) -> list[batch.Profile]:
    """A profile for each hour of the period; registers go on from one to the next."""
    return [
        a_profile(
            start_s,
            frame_counter=place,
            first=1 + 4 * place,
            registers_wh=[4 * energy_wh * place, 0],
            deltas_wh=[[energy_wh] * 4, [0] * 4],
        )
        for place, start_s in enumerate(range(period.start_s, period.end_s, 3600))
    ]


def a_batch(profiles: Iterable[batch.Profile], first_id: int = 1) -> bytes:
    """The body of a batch."""
    listed = list(profiles)
    return batch.encode(batch.Batch("gw-1", first_id, first_id + max(len(listed) - 1, 0), listed))


def a_key(body: bytes, first_id: int = 1) -> str:
    """The key that a gateway derives for this body."""
    return batch.idempotency_key("gw-1", first_id, first_id, body)


def an_office(folder: Path) -> Office:
    """An office with an empty database and a clock that stands still."""
    return Office(Store(folder / "settlement.db"), tables.load(), Secret(TOKEN), lambda: NOW_S)


def send(client: TestClient[Any], body: bytes, **headers: str) -> Any:
    """Posts a batch under its derived key."""
    named = {"idempotency-key": a_key(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return client.post("/v1/batches", content=body, headers=named)


def refused(response: Any) -> tuple[int, str]:
    """Status and reason of a refusal."""
    return response.status_code, response.json()["reason"]


def a_settled_day(client: TestClient[Any]) -> None:
    """A point whose meter has told all of A_DAY."""
    assert client.put(f"/v1/points/{PPE}", content=a_point()).status_code == 200
    assert send(client, a_batch(a_day_of_profiles())).status_code == 200
