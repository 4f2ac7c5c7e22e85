"""Is the period's energy known, whole and on its grid? Only then may it be billed.

A missing interval is never zero energy. Quality is counted and goes onto the invoice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from settlement.rules.errors import Incomplete, OffGrid, Overlapping, RegisterBreak
from settlement.rules.periods import HOUR_S, Period
from wire import quality as grades

# How many gaps a refusal lists: enough to find the fault, few enough to read.
GAPS_SHOWN_MAX = 5
CAPTURE_PERIOD_S_MIN = 60


@dataclass(frozen=True)
class Interval:
    """Energy of one register in [start_s, start_s + capture_period_s), UTC seconds.

    `register_end_wh` is the register at the end, None when only the energy is known.
    """

    meter_id: str
    start_s: int
    capture_period_s: int
    energy_wh: int
    quality: int
    register_end_wh: int | None = None

    @property
    def end_s(self) -> int:
        """The first second after the interval."""
        return self.start_s + self.capture_period_s


@dataclass(frozen=True)
class Usage:
    """Complete energy of a period. `readings_sha256` pins exactly what was billed."""

    energy_wh: int
    intervals: int
    quality: tuple[tuple[str, int], ...]
    readings_sha256: str


def usage_of(intervals: Iterable[Interval], period: Period) -> Usage:
    """The energy of the period from intervals of its meters, in any order.

    Raises OffGrid, Overlapping, Incomplete or RegisterBreak.
    """
    ordered = sorted(intervals, key=lambda each: (each.start_s, each.capture_period_s))
    for each in ordered:
        _check_grid(each)
    _check_disjoint(ordered)
    known = [each for each in ordered if is_billable(each.quality)]
    _check_complete(known, period)
    _check_registers(known)
    counts = Counter(grades.describe(each.quality) for each in known)
    return Usage(
        energy_wh=sum(each.energy_wh for each in known),
        intervals=len(known),
        quality=tuple(sorted(counts.items())),
        readings_sha256=_digest(known),
    )


def is_billable(quality: int) -> bool:
    """Whether an interval may count: not missing, and not guessed from a current clamp alone.

    Without a voltage channel a clamp shows apparent power: 9 % too low to 85 % too high for mains
    of 230 V +-10 % and a power factor of 1 to 0.6. It knows no direction: export is invisible.
    """
    return grades.grade(quality) != grades.MISSING and not quality & grades.ESTIMATED_VA


def is_capture_period(capture_period_s: int) -> bool:
    """Whether intervals of this length tile an hour (and are not absurdly short)."""
    return CAPTURE_PERIOD_S_MIN <= capture_period_s <= HOUR_S and HOUR_S % capture_period_s == 0


def _check_grid(each: Interval) -> None:
    if not is_capture_period(each.capture_period_s) or each.start_s % each.capture_period_s:
        raise OffGrid(
            f"meter {each.meter_id}: the interval at {each.start_s} of {each.capture_period_s} s "
            "is not on its grid: check the meter's clock"
        )


def _check_disjoint(ordered: Sequence[Interval]) -> None:
    for before, after in pairwise(ordered):
        if before.end_s > after.start_s:
            raise Overlapping(f"intervals at {before.start_s} and {after.start_s} overlap")


def _check_complete(known: Sequence[Interval], period: Period) -> None:
    gaps = []
    covered_s = period.start_s
    for each in known:
        if each.start_s < period.start_s or each.end_s > period.end_s:
            raise OffGrid(f"the interval at {each.start_s} reaches out of the period")
        if each.start_s > covered_s:
            gaps.append((covered_s, each.start_s))
        covered_s = each.end_s
    if covered_s < period.end_s:
        gaps.append((covered_s, period.end_s))
    if gaps:
        missing_s = sum(end_s - start_s for start_s, end_s in gaps)
        shown = tuple(gaps[:GAPS_SHOWN_MAX])
        ranges = ", ".join(f"[{start_s}, {end_s})" for start_s, end_s in shown)
        raise Incomplete(
            f"energy is missing for {missing_s} s in {len(gaps)} gaps, first {ranges} (UTC s): "
            "ask the meter for these intervals, missing is never billed as zero",
            shown,
            missing_s,
        )


def _check_registers(known: Sequence[Interval]) -> None:
    """The sum of the intervals is the difference of the registers, per meter."""
    for meter_id, group in groupby(known, key=lambda each: each.meter_id):
        of_meter = list(group)
        first, last = of_meter[0], of_meter[-1]
        if first.register_end_wh is None or last.register_end_wh is None:
            continue
        by_register_wh = last.register_end_wh - (first.register_end_wh - first.energy_wh)
        by_intervals_wh = sum(each.energy_wh for each in of_meter)
        if by_register_wh != by_intervals_wh:
            raise RegisterBreak(
                f"meter {meter_id}: the register grew by {by_register_wh} Wh, its intervals hold "
                f"{by_intervals_wh} Wh: look for a replaced or reset meter"
            )


def _digest(known: Sequence[Interval]) -> str:
    digest = hashlib.sha256()
    for each in known:
        fields = (each.meter_id, each.start_s, each.capture_period_s, each.energy_wh, each.quality)
        digest.update((",".join(str(field) for field in fields) + "\n").encode())
    return digest.hexdigest()
