"""Integer energy of one metering point in one span: all that settling knows of its intervals.

The first half of settling ends here: intervals become these totals, by integers alone, so that
another engine can do the same over billions of rows with equal results. The second half begins
here: totals become ledgers and lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from settlement.rules.periods import Period

# Market value is counted in Wh x (quarters of a grosz per MWh): an hour's price is the mean of
# four quarter prices, so four times the mean is their plain sum and stays an integer.
VALUE_PER_GR = 4_000_000


@dataclass(frozen=True)
class Totals:
    """Energy of one span, Wh by zone. Zones without energy may be left out.

    `import_wh`, `export_wh`: as metered, all phases together. `positive_wh`, `negative_wh`: sums of
    the positive and of the negative hourly balances (both counted upwards, in the zone of the
    hour). `value`: sum over hours of negative balance x price, in 1/VALUE_PER_GR grosz; None when
    no market price was asked for. `quality` counts intervals by description;
    `findings` are what is odd and billed all the same.
    """

    span: Period
    import_wh: Mapping[str, int]
    export_wh: Mapping[str, int]
    positive_wh: Mapping[str, int]
    negative_wh: Mapping[str, int]
    value: int | None = None
    intervals: int = 0
    quality: tuple[tuple[str, int], ...] = ()
    readings_sha256: str = ""
    findings: tuple[str, ...] = ()
