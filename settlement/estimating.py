"""Estimates the missing intervals of a point's month: proposed, and kept only when told to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from settlement import history, inputs
from settlement.errors import NothingToEstimate
from settlement.rules.contract import PROSUMERS, Assignment, Contract
from settlement.rules.estimation import (
    COMPARABLE_DAYS_BACK,
    MeterGap,
    Substitute,
    meter_gaps,
    propose,
)
from settlement.rules.metering import EXPORT, IMPORT
from settlement.rules.periods import HOUR_S, Month, Period
from settlement.rules.validation import Interval, is_billable
from settlement.store import readings, substitutes

DAY_S = 24 * HOUR_S
# What a meter is taken to record by when none of its intervals is known.
CAPTURE_PERIOD_S = 900


@dataclass(frozen=True)
class Estimate:
    """A gap of one register and the substitutes proposed for it."""

    gap: MeterGap
    substitutes: tuple[Substitute, ...]


def estimates_of(connection: Connection, ppe: str, month: Month) -> tuple[Estimate, ...]:
    """Substitutes for all that no meter has told of the month, where they say something new.

    Each is a version above those there are. Raises UnknownPoint, NothingToEstimate, CannotEstimate
    and RegisterBreak.
    """
    form, _ = history.form_of(connection, ppe)
    period, meters = month.period, form.assignments()
    contracts = [each for each in form.checked_contracts() if _holds_in(each, month)]
    found: list[Estimate] = []
    for register in _registers(contracts):
        comparable = _history(connection, meters, register, period)
        for part in inputs.parts(meters, period.start_s, period.end_s):
            found += _of_meter(connection, register, part, comparable, _power_w(contracts))
    if not found:
        raise NothingToEstimate(
            f"nothing is missing of {month} that a meter of {ppe} could have told, or it is "
            "estimated already"
        )
    return tuple(found)


def keep(connection: Connection, estimates: Iterable[Estimate], now_s: int) -> None:
    """Stores the substitutes: from now on they count where nothing is measured."""
    substitutes.add(connection, (each for one in estimates for each in one.substitutes), now_s)


def _holds_in(contract: Contract, month: Month) -> bool:
    begun = contract.valid_from < month.plus(1).first
    return begun and (contract.valid_to is None or contract.valid_to > month.first)


def _registers(contracts: Sequence[Contract]) -> tuple[str, ...]:
    return (IMPORT, EXPORT) if any(each.scheme in PROSUMERS for each in contracts) else (IMPORT,)


def _power_w(contracts: Sequence[Contract]) -> int | None:
    """The largest connection power of the month; None when a contract does not say it."""
    powers_w = [each.connection_power_w for each in contracts]
    known_w = [each for each in powers_w if each is not None]
    return max(known_w) if known_w and len(known_w) == len(powers_w) else None


def _history(
    connection: Connection, meters: Sequence[Assignment], register: str, period: Period
) -> dict[int, int | None]:
    """Measured Wh of the point by hour, whichever meter told them, for the days before a gap."""
    start_s = period.start_s - COMPARABLE_DAYS_BACK * DAY_S
    return _by_hour(
        each
        for meter_id, from_s, to_s in inputs.parts(meters, start_s, period.end_s)
        for each in _known(connection, meter_id, register, from_s, to_s)
    )


def _known(
    connection: Connection, meter_id: str, register: str, from_s: int, to_s: int
) -> list[Interval]:
    told = readings.intervals(connection, meter_id, register, from_s, to_s)
    return [each for each in told if is_billable(each.quality)]


def _of_meter(
    connection: Connection,
    register: str,
    part: tuple[str, int, int],
    comparable: dict[int, int | None],
    power_w_max: int | None,
) -> list[Estimate]:
    """Estimates of one register of one meter in its part of the month."""
    meter_id, from_s, to_s = part
    # The intervals beside a gap tell the register at its ends.
    known = _known(connection, meter_id, register, from_s - DAY_S, to_s + DAY_S)
    step_s = _capture_period_s(known)
    # An interval in which the meter was changed is nobody's, so that the ends are rounded inwards.
    start_s, end_s = -(-from_s // step_s) * step_s, to_s // step_s * step_s
    estimates = []
    for gap in meter_gaps(meter_id, register, known, start_s, end_s, step_s):
        span = (meter_id, register, gap.start_s, gap.end_s)
        version = substitutes.last_version(connection, *span) + 1
        proposed = propose(gap, comparable, version, power_w_max)
        if _told(proposed) != _told(_newest(substitutes.within(connection, *span))):
            estimates.append(Estimate(gap, proposed))
    return estimates


def _capture_period_s(known: Sequence[Interval]) -> int:
    counted = Counter(each.capture_period_s for each in known)
    return counted.most_common(1)[0][0] if counted else CAPTURE_PERIOD_S


def _by_hour(known: Iterable[Interval]) -> dict[int, int | None]:
    """Wh of each hour by UTC start; None where a part of it is not known."""
    energy_wh: dict[int, int] = defaultdict(int)
    covered_s: dict[int, int] = defaultdict(int)
    for each in known:
        hour_s = each.start_s - each.start_s % HOUR_S
        energy_wh[hour_s] += each.energy_wh
        covered_s[hour_s] += each.capture_period_s
    return {hour_s: wh if covered_s[hour_s] == HOUR_S else None for hour_s, wh in energy_wh.items()}


def _newest(versions: Iterable[Substitute]) -> list[Substitute]:
    """The highest version of each interval; versions of one come in order."""
    return list({each.start_s: each for each in versions}.values())


def _told(listed: Iterable[Substitute]) -> list[tuple[int, int, int, str]]:
    """What substitutes say, whatever their version."""
    return [(each.start_s, each.capture_period_s, each.energy_wh, each.method) for each in listed]
