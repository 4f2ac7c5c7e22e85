"""The hourly bars of a day as numbers for an SVG: import above the axis, export below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from settlement.hours import HourReading

WIDTH = 720
HEIGHT = 300
MARGIN_LEFT = 46
MARGIN_TOP = 12
MARGIN_BOTTOM = 24
GAP = 3
# Both sides of the axis have this much room, so that a missing hour shows beside zeros too.
EDGE = 12
# A day of zeros still needs a scale.
SCALE_WH_MIN = 100


@dataclass(frozen=True)
class Bar:
    """One hour: rectangles in SVG units; a height is None where the energy is missing."""

    label: str
    x: int
    width: int
    import_y: int
    import_height: int | None
    export_height: int | None
    import_wh: int | None
    export_wh: int | None
    quality: str


@dataclass(frozen=True)
class Chart:
    """The whole drawing; `axis_y` is where both directions are zero."""

    bars: tuple[Bar, ...]
    axis_y: int
    top_y: int
    bottom_y: int
    scale_import_wh: int
    scale_export_wh: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = MARGIN_LEFT


def chart(hours: Sequence[HourReading]) -> Chart:
    """Bars for 23, 24 or 25 hours. Both directions share one scale, so that they compare."""
    top_import_wh = max((hour.import_wh or 0 for hour in hours), default=0)
    top_export_wh = max((hour.export_wh or 0 for hour in hours), default=0)
    if top_import_wh + top_export_wh < SCALE_WH_MIN:
        top_import_wh = SCALE_WH_MIN - top_export_wh
    drawn = HEIGHT - MARGIN_TOP - MARGIN_BOTTOM - 2 * EDGE
    span_wh = top_import_wh + top_export_wh
    axis_y = MARGIN_TOP + EDGE + drawn * top_import_wh // span_wh
    slot = (WIDTH - MARGIN_LEFT) // max(len(hours), 1)
    bars = []
    for place, hour in enumerate(hours):
        import_height = _height(hour.import_wh, drawn, span_wh)
        bars.append(
            Bar(
                label=hour.label,
                x=MARGIN_LEFT + place * slot,
                width=slot - GAP,
                import_y=axis_y - (import_height or 0),
                import_height=import_height,
                export_height=_height(hour.export_wh, drawn, span_wh),
                import_wh=hour.import_wh,
                export_wh=hour.export_wh,
                quality=hour.quality,
            )
        )
    bottom_y = HEIGHT - MARGIN_BOTTOM
    return Chart(tuple(bars), axis_y, MARGIN_TOP, bottom_y, top_import_wh, top_export_wh)


def _height(energy_wh: int | None, drawn: int, span_wh: int) -> int | None:
    if energy_wh is None:
        return None
    # Any energy at all is visible: one unit at least.
    return max(drawn * energy_wh // span_wh, 1 if energy_wh else 0)
