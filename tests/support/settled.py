"""Points whose meters have told whole months: what month closes and corrections begin with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from settlement import close, ingest, laws, points
from settlement.rules.periods import Month, Period, hours_of
from settlement.store import Store, corrections
from settlement.store.corrections import StoredCorrection
from settlement.store.invoices import StoredInvoice
from tests.support.settlement import METER_ID, PPE, a_batch, a_key, a_profile
from wire import batch

HOUR_S = 3600


def at(day: str, hour: int = 9) -> int:
    """The UTC second of an hour of a civil day."""
    local = datetime.fromisoformat(day).replace(hour=hour, tzinfo=ZoneInfo("Europe/Warsaw"))
    return int(local.timestamp())


def month(text: str) -> Period:
    """The days of a month written as 2024-07."""
    return Month.parse(text).period


def days_of(period: Period) -> list[date]:
    """Its days in order."""
    return [
        period.start + timedelta(days=number) for number in range((period.end - period.start).days)
    ]


def told(
    store: Store,
    period: Period,
    import_wh: int = 400,
    export_wh: int = 0,
    *,
    meter_id: str = METER_ID,
    counter: int = 0,
    quality: int = 0,
    skip: Callable[[date], bool] = lambda _: False,
) -> None:
    """Stores an hour's energies for every hour of the period; a later `counter` is a correction.

    Days to `skip` are not told, while the registers go on.
    """
    registers = [1000, 2000]
    profiles: list[batch.Profile] = []
    for place, day in enumerate(days_of(period)):
        hours = len(hours_of(day))
        profiles.append(
            a_profile(
                hours_of(day)[0].start_s,
                meter_id=meter_id,
                frame_counter=counter + place,
                first=1 + 25 * place,
                capture_period_s=HOUR_S,
                registers_wh=list(registers),
                deltas_wh=[[import_wh] * hours, [export_wh] * hours],
                quality=[quality] * hours,
            )
        )
        if skip(day):
            profiles.pop()
        registers[0] += import_wh * hours
        registers[1] += export_wh * hours
    body = a_batch(profiles, first_id=1 + counter)
    ingest.take(store, a_key(body, 1 + counter) + meter_id, body, at(period.start.isoformat()))


def put(store: Store, form: points.PointForm, ppe: str = PPE, day: str = "2024-01-01") -> None:
    """Puts a point."""
    close.put_point(store, laws.shipped(), ppe, form, at(day))


def issued(store: Store, text: str, on: str, ppe: str = PPE) -> StoredInvoice:
    """The invoice of a month, issued on that day."""
    return close.issue(store, laws.shipped(), ppe, month(text), at(on))[0]


def corrected(store: Store, on: str, ppe: str = PPE) -> list[str]:
    """The reasons of the corrections that are issued on that day."""
    numbers = close.correct(store, laws.shipped(), ppe, at(on))
    return [each.reason for each in all_corrections(store, ppe) if each.number in numbers]


def all_corrections(store: Store, ppe: str = PPE) -> list[StoredCorrection]:
    """Every correction of the point, oldest first."""
    with store.reading() as connection:
        return corrections.all_of(connection, ppe)


def body_of(stored: StoredInvoice | StoredCorrection) -> dict[str, Any]:
    """A document as plain data."""
    body: dict[str, Any] = msgspec.json.decode(stored.body)
    return body


def to_pay_gr(stored: StoredInvoice) -> int:
    """What an invoice asks for."""
    amount: int = body_of(stored)["summary"]["8_to_pay_gr"]
    return amount
