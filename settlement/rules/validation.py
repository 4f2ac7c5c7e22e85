"""Is the energy of a register known, whole and on its grid? Only then may it be billed.

A missing interval is never zero energy. What cannot be true is refused; what is odd and may still
be true is billed and flagged, never silently. Quality is counted and goes onto the invoice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from settlement.rules.errors import Incomplete, OffGrid, Overlapping, RegisterBreak
from settlement.rules.periods import HOUR_S, Period
from settlement.rules.registers import Growth, growth
from wire import quality as grades

# How many gaps a refusal lists: enough to find the fault, few enough to read.
GAPS_SHOWN_MAX = 5
CAPTURE_PERIOD_S_MIN = 60

SPIKE = "spike"  # more energy than the connection power lets through
ROLLOVER = "rollover"  # the register went round to 0

# Half-open UTC seconds without energy.
Gap = tuple[int, int]


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


class Finding(NamedTuple):
    """Something odd that is billed all the same: a person should look at this meter."""

    kind: str
    meter_id: str
    start_s: int
    detail: str


@dataclass(frozen=True)
class Known:
    """What is known of one register in a period: billable intervals in order, and the gaps."""

    intervals: tuple[Interval, ...]
    gaps: tuple[Gap, ...]
    findings: tuple[Finding, ...]


def known_of(
    intervals: Iterable[Interval], period: Period, power_w_max: int | None = None
) -> Known:
    """Checks the intervals of one register, newest versions only, in any order.

    `power_w_max` is the connection power; None leaves spikes unflagged. Raises OffGrid,
    Overlapping or RegisterBreak; gaps are returned, since an estimate may fill them.
    """
    ordered = sorted(intervals, key=lambda each: (each.start_s, each.capture_period_s))
    for each in ordered:
        _check_grid(each, period)
    _check_disjoint(ordered)
    known = [each for each in ordered if is_billable(each.quality)]
    return Known(
        intervals=tuple(known),
        gaps=_gaps(known, period),
        findings=(*_rollovers(known, power_w_max), *_spikes(known, power_w_max)),
    )


def check_complete(gaps: Sequence[Gap], register: str = "energy") -> None:
    """Raises Incomplete, listing the first gaps of the named register, when there is any."""
    if gaps:
        missing_s = sum(end_s - start_s for start_s, end_s in gaps)
        shown = tuple(gaps[:GAPS_SHOWN_MAX])
        ranges = ", ".join(f"[{start_s}, {end_s})" for start_s, end_s in shown)
        raise Incomplete(
            f"{register} is missing for {missing_s} s in {len(gaps)} gaps, first {ranges} (UTC s): "
            "ask the meter for these intervals, missing is never billed as zero",
            shown,
            missing_s,
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


def quality_counts(intervals: Iterable[Interval]) -> tuple[tuple[str, int], ...]:
    """How many intervals there are of each quality, by its description."""
    counts = Counter(grades.describe(each.quality) for each in intervals)
    return tuple(sorted(counts.items()))


def energy_max_wh(power_w: int, duration_s: int) -> int:
    """The whole Wh that the power lets through in that time."""
    return power_w * duration_s // HOUR_S


def _check_grid(each: Interval, period: Period) -> None:
    if not is_capture_period(each.capture_period_s) or each.start_s % each.capture_period_s:
        raise OffGrid(
            f"meter {each.meter_id}: the interval at {each.start_s} of {each.capture_period_s} s "
            "is not on its grid: check the meter's clock"
        )
    if is_billable(each.quality):
        if each.start_s < period.start_s or each.end_s > period.end_s:
            raise OffGrid(f"the interval at {each.start_s} reaches out of the period")
        if each.energy_wh < 0:
            raise RegisterBreak(
                f"meter {each.meter_id}: {each.energy_wh} Wh at {each.start_s}, a register never "
                "runs backwards: look for a replaced or reset meter"
            )


def _check_disjoint(ordered: Sequence[Interval]) -> None:
    for before, after in pairwise(ordered):
        if before.end_s > after.start_s:
            raise Overlapping(f"intervals at {before.start_s} and {after.start_s} overlap")


def _gaps(known: Sequence[Interval], period: Period) -> tuple[Gap, ...]:
    gaps = []
    covered_s = period.start_s
    for each in known:
        if each.start_s > covered_s:
            gaps.append((covered_s, each.start_s))
        covered_s = each.end_s
    if covered_s < period.end_s:
        gaps.append((covered_s, period.end_s))
    return tuple(gaps)


def _rollovers(known: Sequence[Interval], power_w_max: int | None) -> list[Finding]:
    """The energy of the intervals is the difference of the registers, per meter: else refused."""
    meters: dict[str, list[Interval]] = defaultdict(list)
    for each in known:
        meters[each.meter_id].append(each)
    return [found for of_meter in meters.values() for found in _chain(of_meter, power_w_max)]


def _chain(of_meter: Sequence[Interval], power_w_max: int | None) -> list[Finding]:
    findings = []
    before: Interval | None = None  # the latest interval whose register is known
    since: list[Interval] = []
    for each in of_meter:
        since.append(each)
        if each.register_end_wh is None:
            continue
        if before is not None:
            rollover_wh = _growth(before, since, power_w_max).rollover_wh
            if rollover_wh is not None:
                detail = f"the register went round at {rollover_wh} Wh"
                findings.append(Finding(ROLLOVER, each.meter_id, each.start_s, detail))
        before, since = each, []
    return findings


def _growth(before: Interval, since: Sequence[Interval], power_w_max: int | None) -> Growth:
    last = since[-1]
    assert before.register_end_wh is not None
    assert last.register_end_wh is not None
    unknown_s = last.end_s - before.end_s - sum(each.capture_period_s for each in since)
    unknown_wh: int | None = 0
    if unknown_s:
        unknown_wh = None if power_w_max is None else energy_max_wh(power_w_max, unknown_s)
    known_wh = sum(each.energy_wh for each in since)
    try:
        return growth(before.register_end_wh, last.register_end_wh, known_wh, unknown_wh)
    except RegisterBreak as refusal:
        # A reading that came in late can leave an estimate beside it that no longer fits.
        stale = any(grades.grade(each.quality) == grades.ESTIMATED for each in since)
        advice = ", or estimate this gap again" if stale else ""
        raise RegisterBreak(
            f"meter {last.meter_id} between {before.end_s} and {last.end_s}: {refusal}{advice}"
        ) from None


def _spikes(known: Sequence[Interval], power_w_max: int | None) -> list[Finding]:
    if power_w_max is None:
        return []
    findings = []
    for each in known:
        most_wh = energy_max_wh(power_w_max, each.capture_period_s)
        if each.energy_wh > most_wh:
            detail = f"{each.energy_wh} Wh, {power_w_max} W let through {most_wh} Wh"
            findings.append(Finding(SPIKE, each.meter_id, each.start_s, detail))
    return findings
