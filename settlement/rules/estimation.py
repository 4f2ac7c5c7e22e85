"""Proposes substitutes for missing intervals: explicit, versioned, marked as estimated.

Nothing here puts a number into an invoice by itself. A substitute is proposed, kept with its
method and version, and gives way to the measured value as soon as that comes in (`resolve`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import lcm

from settlement.rules.errors import CannotEstimate, OffGrid
from settlement.rules.periods import HOUR_S, day_of, local_hour
from settlement.rules.registers import growth
from settlement.rules.units import divide_half_up, split
from settlement.rules.validation import (
    Interval,
    energy_max_wh,
    is_billable,
    is_capture_period,
)
from settlement.rules.zones import day_kind
from wire import quality as grades

# How far back comparable days are looked for.
COMPARABLE_DAYS_BACK = 28

# What the register grew by over the gap, shared out as the same hours of comparable days were.
REGISTER_BY_PROFILE = "register_by_profile"
# The same, shared out evenly, because not every missing hour has comparable days.
REGISTER_EVENLY = "register_evenly"
# No register says how much is missing: the mean of the same hours of comparable days.
MEAN_OF_COMPARABLE_DAYS = "mean_of_comparable_days"

# Energy of one register by UTC start of the hour, Wh; None where not wholly known.
History = Mapping[int, int | None]


@dataclass(frozen=True)
class MeterGap:
    """Intervals in a row, [start_s, end_s), that one register of one meter has not told.

    `before_wh` and `after_wh` are the register at start and end, None where not known. Raises
    OffGrid when the gap is not whole intervals of the capture period.
    """

    meter_id: str
    obis: str
    start_s: int
    end_s: int
    capture_period_s: int
    before_wh: int | None = None
    after_wh: int | None = None

    def __post_init__(self) -> None:
        step_s = self.capture_period_s
        on_grid = is_capture_period(step_s) and not (self.start_s % step_s or self.end_s % step_s)
        if not on_grid or self.end_s <= self.start_s:
            raise OffGrid(
                f"the gap [{self.start_s}, {self.end_s}) is not whole intervals of {step_s} s: "
                "estimate with the capture period of its meter"
            )

    @property
    def starts(self) -> range:
        """UTC starts of the missing intervals."""
        return range(self.start_s, self.end_s, self.capture_period_s)


@dataclass(frozen=True)
class Substitute:
    """An estimate in the place of one missing interval. A higher version replaces a lower one."""

    meter_id: str
    obis: str
    start_s: int
    capture_period_s: int
    energy_wh: int
    quality: int
    method: str
    version: int

    @property
    def interval(self) -> Interval:
        """The interval that it stands for; the register is not known."""
        return Interval(
            self.meter_id, self.start_s, self.capture_period_s, self.energy_wh, self.quality
        )


def meter_gaps(
    meter_id: str,
    obis: str,
    intervals: Iterable[Interval],
    start_s: int,
    end_s: int,
    capture_period_s: int,
) -> tuple[MeterGap, ...]:
    """What the meter has not told of [start_s, end_s), with the registers at both sides.

    `intervals` are the newest versions of one register of this meter; those just outside of the
    range give the registers at its ends. Raises OffGrid.
    """
    known = sorted(
        (each for each in intervals if is_billable(each.quality)), key=lambda each: each.start_s
    )
    gaps: list[tuple[int, int, int | None, int | None]] = []
    covered_s = start_s
    before_wh: int | None = None
    for each in known:
        if each.start_s > covered_s and covered_s < end_s:
            until_s = min(each.start_s, end_s)
            after_wh = _register_start_wh(each) if until_s == each.start_s else None
            gaps.append((covered_s, until_s, before_wh, after_wh))
        if each.end_s >= covered_s:
            covered_s, before_wh = each.end_s, each.register_end_wh
    if covered_s < end_s:
        gaps.append((covered_s, end_s, before_wh, None))
    return tuple(
        MeterGap(meter_id, obis, from_s, to_s, capture_period_s, before, after)
        for from_s, to_s, before, after in gaps
    )


def _register_start_wh(each: Interval) -> int | None:
    # A register that goes round inside of the interval says nothing of its start.
    if each.register_end_wh is None or each.register_end_wh < each.energy_wh:
        return None
    return each.register_end_wh - each.energy_wh


def propose(
    gap: MeterGap, history: History, version: int, power_w_max: int | None = None
) -> tuple[Substitute, ...]:
    """Substitutes for every interval of the gap, by the best method that its facts allow.

    `history` is the same register by hour, for 28 days before each missing hour as far as known.
    `power_w_max` is the connection power, by which a rollover inside of the gap is recognised.
    Raises RegisterBreak when the register ran backwards, and CannotEstimate when there are neither
    registers on both sides nor comparable days for every missing hour.
    """
    means = _means(gap, history)
    if gap.before_wh is not None and gap.after_wh is not None:
        most_wh = (
            None if power_w_max is None else energy_max_wh(power_w_max, gap.end_s - gap.start_s)
        )
        grown_wh = growth(gap.before_wh, gap.after_wh, 0, most_wh).energy_wh
        return _by_register(gap, grown_wh, means, version)
    return _by_means(gap, means, version)


def _by_register(
    gap: MeterGap, grown_wh: int, means: Mapping[int, Fraction | None], version: int
) -> tuple[Substitute, ...]:
    weights = [means[_hour(start_s)] for start_s in gap.starts]
    known = [weight for weight in weights if weight is not None]
    if len(known) == len(weights) and sum(known) > 0:
        energies = _shared(grown_wh, known)
        return _substitutes(gap, energies, REGISTER_BY_PROFILE, version)
    energies = split(grown_wh, [1] * len(weights))
    return _substitutes(gap, energies, REGISTER_EVENLY, version)


def _by_means(
    gap: MeterGap, means: Mapping[int, Fraction | None], version: int
) -> tuple[Substitute, ...]:
    energies: list[int] = []
    for start_s, count in Counter(_hour(start_s) for start_s in gap.starts).items():
        mean = means[start_s]
        if mean is None:
            raise CannotEstimate(
                f"meter {gap.meter_id}, register {gap.obis}: nothing is known of the hour at "
                f"{start_s} (UTC s), no register on both sides of the gap and no comparable day in "
                f"the {COMPARABLE_DAYS_BACK} days before: read the register by hand"
            )
        missing = mean * count * gap.capture_period_s / HOUR_S
        missing_wh = divide_half_up(missing.numerator, missing.denominator)
        energies.extend(split(missing_wh, [1] * count))
    return _substitutes(gap, energies, MEAN_OF_COMPARABLE_DAYS, version)


def _substitutes(
    gap: MeterGap, energies_wh: Sequence[int], method: str, version: int
) -> tuple[Substitute, ...]:
    return tuple(
        Substitute(
            gap.meter_id,
            gap.obis,
            start_s,
            gap.capture_period_s,
            energy_wh,
            grades.ESTIMATED,
            method,
            version,
        )
        for start_s, energy_wh in zip(gap.starts, energies_wh, strict=True)
    )


def _shared(whole_wh: int, weights: Sequence[Fraction]) -> list[int]:
    """Whole Wh in proportion to the weights, which add up to the whole."""
    common = lcm(*(weight.denominator for weight in weights))
    return split(whole_wh, [int(weight * common) for weight in weights])


def _hour(start_s: int) -> int:
    return start_s - start_s % HOUR_S


def _means(gap: MeterGap, history: History) -> dict[int, Fraction | None]:
    """For each hour of the gap the mean of comparable hours; None where there are none."""
    by_clock: dict[tuple[date, int], list[int]] = defaultdict(list)
    for start_s, energy_wh in history.items():
        if energy_wh is not None:
            by_clock[day_of(start_s), local_hour(start_s)].append(energy_wh)
    return {hour_s: _mean_wh(hour_s, by_clock) for hour_s in {_hour(each) for each in gap.starts}}


def _mean_wh(hour_s: int, by_clock: Mapping[tuple[date, int], list[int]]) -> Fraction | None:
    """Mean of the same local hour on those of the 28 days before that are of the same kind."""
    day, clock = day_of(hour_s), local_hour(hour_s)
    found: list[int] = []
    for back in range(1, COMPARABLE_DAYS_BACK + 1):
        other = day - timedelta(days=back)
        if day_kind(other) == day_kind(day):
            # Two hours of the autumn day have the clock at 2, none of the spring day has.
            found.extend(by_clock.get((other, clock), []))
    return Fraction(sum(found), len(found)) if found else None


def resolve(measured: Iterable[Interval], substitutes: Iterable[Substitute]) -> list[Interval]:
    """What counts of one register: measured intervals, and substitutes only where none is.

    `measured` are the newest versions from the meters. One that may be billed wins over every
    substitute that it touches; among substitutes that touch, the highest version wins. A
    substitute that is measured in part is left out whole: the rest is missing again. A measured
    interval that may not be billed stays where no substitute takes its place.
    """
    listed = list(measured)
    known = [each for each in listed if is_billable(each.quality)]
    useless = [each for each in listed if not is_billable(each.quality)]
    taken = _ByHour(known)
    filled = _ByHour([])
    for substitute in sorted(substitutes, key=lambda each: -each.version):
        interval = substitute.interval
        if not taken.touches(interval) and not filled.touches(interval):
            filled.add(interval)
    kept = [each for each in useless if not filled.touches(each)]
    return sorted([*known, *filled.intervals, *kept], key=lambda each: each.start_s)


class _ByHour:
    """Intervals that are found by the hour they lie in: none reaches over the end of an hour."""

    def __init__(self, intervals: Iterable[Interval]) -> None:
        self.intervals: list[Interval] = []
        self._hours: dict[int, list[Interval]] = defaultdict(list)
        for each in intervals:
            self.add(each)

    def add(self, interval: Interval) -> None:
        self.intervals.append(interval)
        self._hours[_hour(interval.start_s)].append(interval)

    def touches(self, interval: Interval) -> bool:
        return any(
            interval.start_s < other.end_s and other.start_s < interval.end_s
            for other in self._hours[_hour(interval.start_s)]
        )
