"""The energy of a scenario: totals by span, intervals, or an eLicznik export; one of them.

A number that is left out is not known, which is never zero.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from settlement import elicznik
from settlement.errors import MalformedBody
from settlement.rules.errors import BadNumber
from settlement.rules.metering import EXPORT, IMPORT
from settlement.rules.periods import Period
from settlement.rules.spans import Span
from settlement.rules.totals import VALUE_PER_GR, Totals
from settlement.rules.units import GR_PER_PLN, WH_PER_KWH, parse_number
from settlement.rules.validation import Interval
from settlement.scenarios.folder import Folder

METER = "0000000000000000"
TOTALS_HEADING = ["start", "end", "zone", "import_kwh", "export_kwh"]
TOTALS_MORE = ["positive_kwh", "negative_kwh", "export_value_pln"]
INTERVALS_HEADING = ("start_s", "import_wh", "export_wh", "quality")
PHASES_HEADING = (
    "start_s",
    *(f"import_l{phase}_wh" for phase in (1, 2, 3)),
    *(f"export_l{phase}_wh" for phase in (1, 2, 3)),
)
HEADINGS = tuple(",".join(each) for each in (INTERVALS_HEADING, INTERVALS_HEADING[:3]))
TOTALS, INTERVALS, EXPORT_FILE = "totals.csv", "intervals.csv", "elicznik.csv"


def check_one_source(folder: Folder, total_kwh: int | None) -> None:
    """Raises MalformedBody unless energy is given in exactly one way."""
    ways = [name for name in (TOTALS, INTERVALS, EXPORT_FILE) if folder.path(name) is not None]
    if len(ways) + (total_kwh is not None) != 1:
        raise MalformedBody(
            f"give one of total_kwh in contract.toml, {TOTALS}, {INTERVALS}, {EXPORT_FILE}"
        )


def given_totals(
    folder: Folder, total_kwh: int | None, spans: Sequence[Span]
) -> dict[Period, Totals] | None:
    """Totals that are given as such, None when intervals are. Raises MalformedBody."""
    if total_kwh is not None:
        if len(spans) != 1 or len(spans[0].zones) != 1:
            raise MalformedBody("total_kwh is for one span and one zone: write totals.csv instead")
        energy = {spans[0].zones[0]: total_kwh * WH_PER_KWH}
        return {spans[0].period: Totals(spans[0].period, energy, {}, energy, {})}
    text = folder.text(TOTALS)
    return None if text is None else dict(_spans_of(text, spans))


def _spans_of(text: str, spans: Sequence[Span]) -> Iterator[tuple[Period, Totals]]:
    by_span: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in _rows(text):
        by_span.setdefault((row["start"], row["end"]), []).append(row)
    needed = {(each.period.start.isoformat(), each.period.end.isoformat()): each for each in spans}
    for days in by_span:
        if days not in needed:
            known = " ".join(",".join(each) for each in needed)
            raise MalformedBody(f"{TOTALS} has {','.join(days)}, the spans are {known}")
    for days, span in needed.items():
        if days not in by_span:
            raise MalformedBody(f"{TOTALS} lacks the span {','.join(days)}")
        yield span.period, _totals(span, by_span[days])


def _rows(text: str) -> Iterator[dict[str, str]]:
    lines = csv.DictReader(text.splitlines(), restkey="")
    heading = list(lines.fieldnames or [])
    if heading[:5] != TOTALS_HEADING or not set(heading[5:]) <= set(TOTALS_MORE):
        raise MalformedBody(
            f"{TOTALS} begins with {','.join(TOTALS_HEADING)} and may go on with "
            f"{','.join(TOTALS_MORE)}"
        )
    for row in lines:
        if "" in row:
            raise MalformedBody(f"{TOTALS}, line {lines.line_num}: more fields than the heading")
        yield {name: value or "" for name, value in row.items()}


def _totals(span: Span, rows: Sequence[dict[str, str]]) -> Totals:
    by_zone: dict[str, dict[str, str]] = {}
    for row in rows:
        zone = row["zone"] or span.zones[0]
        if zone not in span.zones or zone in by_zone:
            raise MalformedBody(
                f"{TOTALS}: zone {zone!r} is unknown or there twice in {row['start']},"
                f"{row['end']}: the zones are {', '.join(span.zones)}"
            )
        by_zone[zone] = row
    if lacking := [zone for zone in span.zones if zone not in by_zone]:
        raise MalformedBody(
            f"{TOTALS} lacks zone {lacking[0]} of {span.period.start},{span.period.end}: "
            "missing is not zero"
        )
    values = [_value(row) for row in rows if row.get("export_value_pln")]
    return Totals(
        span.period,
        {zone: _wh(row, "import_kwh") for zone, row in by_zone.items()},
        {zone: _wh(row, "export_kwh") for zone, row in by_zone.items()},
        {zone: _wh(row, "positive_kwh", "import_kwh") for zone, row in by_zone.items()},
        {zone: _wh(row, "negative_kwh", "export_kwh") for zone, row in by_zone.items()},
        sum(values) if values else None,
    )


def _wh(row: dict[str, str], name: str, otherwise: str = "") -> int:
    """Energy of a column, or of the other one where it is left out."""
    text = row.get(name) or row.get(otherwise, "")
    if not text:
        raise MalformedBody(
            f"{TOTALS}: {name} of {row['start']},{row['end']} is empty: missing is not zero"
        )
    return int(_number(text, 3) * WH_PER_KWH)


def _value(row: dict[str, str]) -> int:
    return int(_number(row["export_value_pln"], 8) * GR_PER_PLN * VALUE_PER_GR)


def _number(text: str, decimals: int) -> Decimal:
    try:
        return parse_number(text, decimals)
    except BadNumber as error:
        raise MalformedBody(f"{TOTALS}: {error}") from None


class _Row(NamedTuple):
    start_s: int
    import_wh: int | None
    export_wh: int | None
    quality: int


def given_intervals(folder: Folder, capture_period_s: int) -> dict[str, list[Interval]]:
    """Intervals by register. Raises MalformedBody."""
    export = folder.path(EXPORT_FILE)
    if export is not None:
        try:
            hours = elicznik.parse(elicznik.read(export))
        except elicznik.BadExport as error:
            raise MalformedBody(f"{EXPORT_FILE}: {error}") from None
        rows = [_Row(each.start_s, each.import_wh, each.export_wh, 0) for each in hours]
    else:
        rows = list(_interval_rows(folder.text(INTERVALS) or ""))
    return {
        IMPORT: [
            Interval(METER, row.start_s, capture_period_s, row.import_wh, row.quality)
            for row in rows
            if row.import_wh is not None
        ],
        EXPORT: [
            Interval(METER, row.start_s, capture_period_s, row.export_wh, row.quality)
            for row in rows
            if row.export_wh is not None
        ],
    }


def _interval_rows(text: str) -> Iterator[_Row]:
    """Rows of intervals.csv. An empty field is not known; three phases are added up."""
    phases = text.startswith(",".join(PHASES_HEADING))
    for line in text.splitlines():
        if line in HEADINGS or line == ",".join(PHASES_HEADING):
            continue
        try:
            start_s, *numbers = (int(field) if field else None for field in line.split(","))
            if phases:
                yield _phases(start_s, numbers)
                continue
            import_wh, export_wh, *rest = numbers
            (quality,) = rest or (0,)
        except ValueError:
            raise MalformedBody(
                f"{INTERVALS}: {line[:60]!r} is not start_s,import_wh,export_wh[,quality]"
            ) from None
        if start_s is None or quality is None:
            raise MalformedBody(f"{INTERVALS}: {line[:60]!r} lacks its start_s or quality")
        yield _Row(start_s, import_wh, export_wh, quality)


def _phases(start_s: int | None, numbers: Sequence[int | None]) -> _Row:
    """One row of three phases. Raises ValueError."""
    known = [number for number in numbers if number is not None]
    if start_s is None or len(numbers) != len(PHASES_HEADING) - 1 or len(known) != len(numbers):
        raise ValueError("a phase is missing")
    return _Row(start_s, sum(known[:3]), sum(known[3:]), 0)
