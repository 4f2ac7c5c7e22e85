"""Reads files of market prices: RCEm from our TOML; RCE from the JSON of PSE's API, or from CSV.

RCEm is `[[month]]` entries of month, source and versions, each with `pln_per_mwh` and
`published_on`. RCE as CSV has the heading `start_s,pln_per_mwh` (UTC second at which a quarter
starts) or `start_s,period_s,pln_per_mwh` with 900 or 3600 s. RCE as JSON is an answer of PSE's API
(`rce-pln`): `dtime_utc` is the END of the interval, `period_utc` tells its length. Its local
labels are never read: they name the repeated hour of autumn in a way of their own.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from settlement.rules.errors import BadNumber, BadPeriod, BadTable
from settlement.rules.market import QUARTER_S, RCE_GR_PER_MWH_MAX, Rce, Rcem, RcemVersion
from settlement.rules.periods import HOUR_S, Month, day_start_s
from settlement.rules.units import GR_PER_PLN, parse_number
from settlement.tables.rows import check_fields, day_of, text_of

RCEM_FILE = Path(__file__).parent / "market" / "rcem.toml"
PRICE_DECIMALS = 2
# A year of quarters is 35 136 rows of some 300 characters as JSON.
TEXT_CHARS_MAX = 16 * 1024 * 1024
# From this instant on each quarter has a price of its own (SDAC in 15-minute products).
QUARTERS_FROM_S = day_start_s(date(2025, 10, 1))
HEADINGS = ("start_s,pln_per_mwh", "start_s,period_s,pln_per_mwh")
_PERIOD = re.compile(r"(\d\d):(\d\d) - (\d\d):(\d\d)")
_CSV_ROW = re.compile(r"(\d{1,12}),(?:(\d{1,5}),)?(-?[0-9.]+)")

Quarters = Iterator[tuple[int, int]]


@cache
def load_rcem() -> Rcem:
    """The monthly prices that come with this version. Raises BadTable."""
    return read_rcem(RCEM_FILE.read_text(encoding="utf-8"))


def read_rcem(text: str) -> Rcem:
    """Monthly prices from TOML. Raises BadTable, naming entry and fault."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadTable(f"the prices (RCEm) are not TOML: {error}") from None
    months = data.get("month", [])
    if set(data) != {"month"} or not _are_tables(months):
        raise BadTable("RCEm is [[month]] entries and nothing else")
    seen: set[Month] = set()
    versions: list[RcemVersion] = []
    for place, fields in enumerate(months, start=1):
        found = _month_versions(fields, f"RCEm, entry {place}")
        if found[0].month in seen:
            raise BadTable(f"RCEm, entry {place}: {found[0].month} is there twice")
        seen.add(found[0].month)
        versions.extend(found)
    return Rcem(versions)


def _month_versions(fields: Mapping[str, Any], where: str) -> list[RcemVersion]:
    names = {"month", "source", "versions"}
    check_fields(fields, names, names, where)
    if not fields["versions"] or not _are_tables(fields["versions"]):
        raise BadTable(f"{where}: versions are pln_per_mwh and published_on, at least once")
    try:
        month = Month.parse(text_of(fields, "month", where))
    except BadPeriod:
        raise BadTable(f"{where}: month is written as 2024-07") from None
    versions = []
    for each in fields["versions"]:
        check_fields(each, {"pln_per_mwh", "published_on"}, {"pln_per_mwh", "published_on"}, where)
        price = _number(text_of(each, "pln_per_mwh", where), where)
        published_on = day_of(each, "published_on", where)
        versions.append(RcemVersion(month, price, published_on, text_of(fields, "source", where)))
    return versions


def read_rce(text: str, suffix: str) -> Rce:
    """Prices of quarters from the text of a `.json` or `.csv` file. Raises BadTable with the row.

    An hourly price becomes four equal quarters; from 1 October 2025 on there is none.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise BadTable(f"prices (RCE) of more than {TEXT_CHARS_MAX} characters: split the file")
    readers: dict[str, Callable[[str], Quarters]] = {".json": _from_api, ".csv": _from_csv}
    if suffix not in readers:
        raise BadTable(f"{suffix[:10]!r}: prices (RCE) are read from {' or '.join(readers)}")
    return Rce(readers[suffix](text))


def _from_api(text: str) -> Quarters:
    try:
        data = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise BadTable(f"the prices (RCE) are not JSON: {error}") from None
    if not isinstance(data, dict) or not _are_tables(data.get("value")):
        raise BadTable("the prices (RCE) are not an answer of PSE's API: it has a list `value`")
    for place, fields in enumerate(data["value"], start=1):
        where = f"RCE, row {place}"
        price = fields.get("rce_pln")
        if not isinstance(price, Decimal):
            raise BadTable(f"{where}: rce_pln is a number, PLN/MWh; a missing price is not zero")
        end_s = _end_s(fields.get("dtime_utc"), where)
        period_s = _period_s(fields.get("period_utc"), where)
        yield from _as_quarters(end_s - period_s, period_s, price, where)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a price")


def _end_s(text: object, where: str) -> int:
    try:
        end = datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S")
    except ValueError:
        raise BadTable(f"{where}: dtime_utc is written as 2025-06-15 22:15:00") from None
    return int(end.replace(tzinfo=UTC).timestamp())


def _period_s(text: object, where: str) -> int:
    found = _PERIOD.fullmatch(str(text))
    if found is None:
        raise BadTable(f"{where}: period_utc is written as 22:00 - 22:15")
    from_hour, from_minute, to_hour, to_minute = map(int, found.groups())
    minutes = (to_hour * 60 + to_minute - from_hour * 60 - from_minute) % (24 * 60)
    return minutes * 60


def _from_csv(text: str) -> Quarters:
    heading, _, body = text.partition("\n")
    if heading.rstrip("\r") not in HEADINGS:
        raise BadTable(f"RCE as CSV begins with the heading {' or '.join(HEADINGS)}")
    columns = heading.count(",") + 1
    for place, line in enumerate(body.splitlines(), start=1):
        where = f"RCE, row {place}"
        found = _CSV_ROW.fullmatch(line)
        if found is None or line.count(",") + 1 != columns:
            raise BadTable(f"{where}: expected {heading.strip()}, such as 1751320800,-12.50")
        start, period, price = found.groups()
        sign = -1 if price.startswith("-") else 1
        pln_per_mwh = sign * _number(price.removeprefix("-"), where)
        yield from _as_quarters(int(start), int(period or QUARTER_S), pln_per_mwh, where)


def _as_quarters(start_s: int, period_s: int, pln_per_mwh: Decimal, where: str) -> Quarters:
    if period_s not in (QUARTER_S, HOUR_S) or start_s % period_s:
        raise BadTable(
            f"{where}: a price is of a quarter ({QUARTER_S} s) or of an hour, on its grid"
        )
    if period_s == HOUR_S and start_s >= QUARTERS_FROM_S:
        raise BadTable(f"{where}: from 1 October 2025 on each quarter has a price of its own")
    if abs(pln_per_mwh) > RCE_GR_PER_MWH_MAX // GR_PER_PLN:
        raise BadTable(f"{where}: {pln_per_mwh:.3g} PLN/MWh is out of limits")
    if pln_per_mwh != pln_per_mwh.quantize(Decimal("0.01")):
        raise BadTable(f"{where}: {pln_per_mwh} has more than {PRICE_DECIMALS} decimals (PLN/MWh)")
    for quarter_s in range(start_s, start_s + period_s, QUARTER_S):
        yield quarter_s, int(pln_per_mwh * GR_PER_PLN)


def _number(text: str, where: str) -> Decimal:
    try:
        return parse_number(text, PRICE_DECIMALS)
    except BadNumber as error:
        raise BadTable(f"{where}: {error}") from None


def _are_tables(entries: object) -> bool:
    return isinstance(entries, list) and all(isinstance(each, dict) for each in entries)
