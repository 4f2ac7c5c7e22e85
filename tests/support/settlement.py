"""Builders for tests of the settlement service: name only what matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from litestar.testing import TestClient

from settlement import laws, points
from settlement.api import Office
from settlement.config import Secret
from settlement.rules.contract import Contract, check_digit
from settlement.rules.periods import Period
from settlement.rules.policies import DEFAULTS
from settlement.rules.rates import Row
from settlement.rules.validation import Interval
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
        "seller": "tauron",
        "tariff_group": "G11",
        "scheme": "plain",
        "phases": 3,
        "readout_months": 1,
        "annual_kwh": 2400,
        "unit_prices_pln_per_kwh": {"all_day": Decimal("0.64900")},
        "price_list": None,
        "frozen_prices_pln_per_kwh": {},
        "trade_fee_pln_per_month": Decimal("0.00"),
        "customer": "household",
        "cap_entitled": True,
        "cap_limit": "standard",
        "partial_month": "full_month",
        "connection_power_w": None,
        "installed_power_w": None,
        "prosumer_since": None,
        "rce_from": None,
        "night_reference_kwh": None,
        "payout_bank_number": None,
        "policies": DEFAULTS,
        "valid_from": date(2024, 1, 1),
        "valid_to": None,
    }
    return Contract(**(fields | changes))


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


Meters = Sequence[tuple[str, int, int | None]]


def a_form(**changes: Any) -> points.ContractForm:
    """The written form of a contract like `a_contract`, open since 2024."""
    fields: dict[str, Any] = {
        "tariff_group": "G11",
        "phases": 3,
        "readout_months": 1,
        "annual_kwh": 2400,
        "unit_price_pln_per_kwh": "0.64900",
        "valid_from": date(2024, 1, 1),
    }
    return points.ContractForm(**(fields | changes))


def a_prosumer(**changes: Any) -> points.ContractForm:
    """A prosumer of net-billing since before July 2024, who keeps RCEm."""
    fields: dict[str, Any] = {
        "scheme": "net_billing",
        "installed_power_w": 5000,
        "prosumer_since": date(2023, 1, 1),
    }
    return a_form(**(fields | changes))


def a_point_form(
    *contracts: points.ContractForm, meters: Meters = ((METER_ID, 0, None),), **changes: Any
) -> points.PointForm:
    """A metering point with these contracts (one plain household without any) and meters."""
    return points.PointForm(
        meters=[points.MeterForm(*meter) for meter in meters],
        contracts=list(contracts) or [a_form()],
        **changes,
    )


def a_point(meters: Meters = ((METER_ID, 0, None),)) -> bytes:
    """The JSON of a plain household's point with these meters."""
    form = points.PointForm([points.MeterForm(*meter) for meter in meters], contract=a_form())
    return points.encode(form)


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
    return Office(Store(folder / "settlement.db"), laws.shipped(), Secret(TOKEN), lambda: NOW_S)


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
