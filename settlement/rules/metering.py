"""What the meters of a point say of a period: both registers checked, then summed into hours."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from settlement.rules.periods import HOUR_S, Period
from settlement.rules.validation import (
    Finding,
    Gap,
    Interval,
    check_complete,
    known_of,
    quality_counts,
)
from wire.obis import EXPORT_WH, IMPORT_WH, NAMES

IMPORT = NAMES[IMPORT_WH]
EXPORT = NAMES[EXPORT_WH]


class HourEnergy(NamedTuple):
    """Wh of one hour, all phases together; None where the hour is not wholly known."""

    import_wh: int | None
    export_wh: int | None


@dataclass(frozen=True)
class Metered:
    """Energy of a point in a period, by UTC start of the hour, and how well it is known.

    `missing` are the gaps of each register that was asked for. `quality` counts the intervals of
    all registers by description; `readings_sha256` pins exactly what was used.
    """

    period: Period
    hours: Mapping[int, HourEnergy]
    intervals: int
    quality: tuple[tuple[str, int], ...]
    readings_sha256: str
    findings: tuple[Finding, ...]
    missing: Mapping[str, tuple[Gap, ...]]


def metered(
    by_register: Mapping[str, Iterable[Interval]], period: Period, power_w_max: int | None = None
) -> Metered:
    """Hours of the period from intervals of its meters, by OBIS name of the register.

    Give the newest version of each interval, in any order; capture periods may differ. A plain
    household may give `1.8.0` alone: its export is then None throughout. `power_w_max` is the
    connection power, by which spikes are told. Raises OffGrid, Overlapping or RegisterBreak.
    """
    assert IMPORT in by_register
    assert set(by_register) <= {IMPORT, EXPORT}
    known = {
        register: known_of(by_register[register], period, power_w_max)
        for register in (IMPORT, EXPORT)
        if register in by_register
    }
    energy_wh = {register: _by_hour(each.intervals) for register, each in known.items()}
    exported = energy_wh.get(EXPORT, {})
    used = [each for of_register in known.values() for each in of_register.intervals]
    return Metered(
        period=period,
        hours={
            start_s: HourEnergy(energy_wh[IMPORT].get(start_s), exported.get(start_s))
            for start_s in range(period.start_s, period.end_s, HOUR_S)
        },
        intervals=len(used),
        quality=quality_counts(used),
        readings_sha256=_digest({name: each.intervals for name, each in known.items()}),
        findings=tuple(
            finding._replace(detail=f"{register}: {finding.detail}")
            for register, each in known.items()
            for finding in each.findings
        ),
        missing={register: each.gaps for register, each in known.items()},
    )


def check_whole(of_point: Metered) -> None:
    """Raises Incomplete with the gaps of the first register that has any."""
    for register, gaps in of_point.missing.items():
        check_complete(gaps, f"energy of register {register}")


def _by_hour(intervals: Iterable[Interval]) -> dict[int, int]:
    """Energy of the hours that intervals cover whole. Intervals never reach over an hour's end."""
    energy_wh: dict[int, int] = defaultdict(int)
    covered_s: dict[int, int] = defaultdict(int)
    for each in intervals:
        # Warsaw is a whole number of hours from UTC, so that its hours start on UTC hours.
        start_s = each.start_s - each.start_s % HOUR_S
        energy_wh[start_s] += each.energy_wh
        covered_s[start_s] += each.capture_period_s
    return {hour_s: wh for hour_s, wh in energy_wh.items() if covered_s[hour_s] == HOUR_S}


def _digest(by_register: Mapping[str, Sequence[Interval]]) -> str:
    digest = hashlib.sha256()
    for register, intervals in by_register.items():
        for each in intervals:
            fields = (register, each.meter_id, each.start_s, each.capture_period_s)
            values = (*fields, each.energy_wh, each.quality)
            digest.update((",".join(str(value) for value in values) + "\n").encode())
    return digest.hexdigest()
