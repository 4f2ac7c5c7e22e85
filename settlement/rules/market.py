"""Market prices of fed-in energy: the monthly RCEm with its corrections, and the quarter-hour RCE.

Both are published by the transmission operator in PLN/MWh, net. RCEm is corrected after the fact,
so it is always asked for as it was known on a day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

from settlement.rules.errors import BadTable, NoRate
from settlement.rules.periods import HOUR_S, YEAR_MAX, YEAR_MIN, Month, day_start_s
from settlement.rules.policies import RCE_CLAMPS

QUARTER_S = 900
QUARTERS_PER_HOUR = HOUR_S // QUARTER_S
# Far beyond any price of the day-ahead market; what lies outside is in another unit.
RCEM_PLN_PER_MWH_MAX = Decimal(10_000)
RCE_GR_PER_MWH_MAX = 5_000_000
FIRST_S = day_start_s(date(YEAR_MIN, 1, 1))
END_S = day_start_s(date(YEAR_MAX + 1, 1, 1))


@dataclass(frozen=True)
class RcemVersion:
    """The price of a month as published on a day: the original, or a correction of it."""

    month: Month
    pln_per_mwh: Decimal
    published_on: date
    source: str


class Rcem:
    """Monthly prices, each with its versions in the order of their publication.

    Raises BadTable when versions of a month are not in that order or appear on the same day, when
    one is older than the end of its month, or when a price is out of limits.
    """

    def __init__(self, versions: Iterable[RcemVersion]) -> None:
        self._versions: dict[Month, list[RcemVersion]] = defaultdict(list)
        for each in versions:
            _check_version(each)
            self._versions[each.month].append(each)
        for month, published in self._versions.items():
            for before, after in pairwise(published):
                if after.published_on <= before.published_on:
                    raise BadTable(
                        f"RCEm of {month}: {after.pln_per_mwh} of {after.published_on} follows "
                        f"{before.pln_per_mwh} of {before.published_on}: give versions in the "
                        "order of their publication"
                    )

    @property
    def versions(self) -> tuple[RcemVersion, ...]:
        """Every version of every month, each month's in the order of their publication."""
        return tuple(each for published in self._versions.values() for each in published)

    def version(self, month: Month, known_on: date) -> RcemVersion:
        """The newest version published until that day, the day included. Raises NoRate."""
        published = self._versions.get(month)
        if published is None:
            raise NoRate(
                f"RCEm of {month} is not known: add it with its day of publication to "
                "settlement/tables/market/rcem.toml (it appears on the 11th of the next month)"
            )
        known = [each for each in published if each.published_on <= known_on]
        if not known:
            raise NoRate(
                f"RCEm of {month} was published on {published[0].published_on}, after {known_on}: "
                "settle with what is known on a later day"
            )
        return known[-1]


def _check_version(version: RcemVersion) -> None:
    if not 0 <= version.pln_per_mwh <= RCEM_PLN_PER_MWH_MAX:
        raise BadTable(
            f"RCEm of {version.month}: {version.pln_per_mwh} is not 0 to {RCEM_PLN_PER_MWH_MAX} "
            "PLN/MWh"
        )
    if version.published_on < version.month.plus(1).first:
        raise BadTable(
            f"RCEm of {version.month} cannot be published on {version.published_on}, before the "
            "month is over: one of the two is mistyped"
        )


class Rce:
    """Prices of quarter hours in grosz per MWh, by UTC start. They may be negative.

    Raises BadTable for a start off the grid of 900 s, for two different prices of one quarter, and
    for a price out of limits. The same price twice is no contradiction.
    """

    def __init__(self, quarters: Iterable[tuple[int, int]]) -> None:
        prices: dict[int, int] = {}
        for start_s, gr_per_mwh in quarters:
            if start_s % QUARTER_S or not FIRST_S <= start_s < END_S:
                raise BadTable(
                    f"RCE: {start_s} is not the UTC second at which a quarter hour starts, in the "
                    f"years {YEAR_MIN} to {YEAR_MAX}"
                )
            if abs(gr_per_mwh) > RCE_GR_PER_MWH_MAX:
                raise BadTable(
                    f"RCE of {_utc(start_s)}: {gr_per_mwh} gr/MWh is beyond {RCE_GR_PER_MWH_MAX}: "
                    "prices are in PLN/MWh"
                )
            if prices.setdefault(start_s, gr_per_mwh) != gr_per_mwh:
                raise BadTable(
                    f"RCE of {_utc(start_s)} has two prices, {prices[start_s]} and {gr_per_mwh} "
                    "gr/MWh: keep the one that PSE publishes now"
                )
        self.quarters: Mapping[int, int] = prices

    def hour_sum(self, start_s: int, clamp: str) -> int:
        """Four times the price of the hour, gr/MWh; policy `rce_clamp` is for negative prices.

        `quarter`: each negative quarter counts as zero; `hour`: the hour does, when its mean is
        negative; `none`: prices as they are. Raises NoRate naming a quarter without price.
        """
        assert start_s % HOUR_S == 0, "an hour starts on the grid"
        assert clamp in RCE_CLAMPS, "Policies has checked its values"
        prices = [
            self._price(start_s + place * QUARTER_S, start_s) for place in range(QUARTERS_PER_HOUR)
        ]
        if clamp == "quarter":
            return sum(max(price, 0) for price in prices)
        return max(sum(prices), 0) if clamp == "hour" else sum(prices)

    def _price(self, quarter_s: int, hour_s: int) -> int:
        if quarter_s not in self.quarters:
            raise NoRate(
                f"RCE of the hour {_utc(hour_s)} lacks the quarter {_utc(quarter_s)}: read in the "
                "prices of that day"
            )
        return self.quarters[quarter_s]


def _utc(start_s: int) -> str:
    return f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%d %H:%M} UTC"
