"""Writes a tariff group's zone table for the meter from a readable TOML file.

    python -m host_tools.tariff_table g12w.toml        the table in hex, for the command set_tariff

The file says, in Polish civil time:

    name = "G12w"                        # the tariff group's code, at most 8 ASCII characters
    valid_from = 2026-01-01T00:00:00     # on an hour; a date alone is its midnight
    source = "where the zones come from" # for the reader; the meter does not get it

    seasons = "summer_time"              # or leave it out: one season, called "year"
    [seasons]                            # or their first days, month-day
    summer = "04-01"
    winter = "10-01"

    [[plan]]                             # one for each kind of day
    seasons = ["winter"]                 # left out: all
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"]    # left out: all
    rest = "T2"                          # the zone of all hours that are not named below
    T1 = ["06-13", "15-22"]              # from the hour, up to the hour; 22-06 runs over midnight

With seasons = "summer_time" they are called "winter" and "summer". A holiday is a kind of day of
its own, whatever its weekday. Each kind of day of each season needs exactly one plan.
The bytes are explained in firmware/tariff.py.
"""

import argparse
import re
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from wire.messages import START_S_MIN

VERSION = 1
TABLE_BYTES_MAX = 120
NAME_BYTES_MAX = 8
NAME = re.compile(f"[!-~]{{1,{NAME_BYTES_MAX}}}")
SEASONS_MAX = 4
BY_SUMMER_TIME = 255
VALID_FROM_S_MAX = 0xFFFFFFFF
HOURS = 24
HOUR_S = 3600
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday")
ZONES = ("T1", "T2", "T3", "T4")
POLAND = ZoneInfo("Europe/Warsaw")
A_YEAR = 2021  # without a leap day: no season may begin on one
FIELDS = {"name", "valid_from", "source", "seasons", "plan"}
PLAN_FIELDS = {"seasons", "days", "rest", *ZONES}

Toml = dict[str, object]


class BadTariff(ValueError):
    """The tariff file cannot become a zone table; the text says what to change in it."""


def encode(tariff: Toml) -> bytes:
    """The bytes of a zone table from the content of a tariff file. Raises BadTariff."""
    _refuse_unknown(tariff, FIELDS, "the file")
    names, cuts = _seasons(tariff.get("seasons"))
    plans = tariff.get("plan")
    if not isinstance(plans, list) or not plans:
        raise BadTariff("there is no [[plan]]: write one for each kind of day")
    name = _name(tariff.get("name"))
    parts = [bytes([VERSION]), _valid_from_s(tariff.get("valid_from")).to_bytes(4, "big")]
    parts += [bytes([len(name)]), name, cuts]
    covered: dict[tuple[str, str], int] = {}
    for number, plan in enumerate(plans, 1):
        parts.append(_plan(plan, names, number, covered))
    for season in names:
        for day in DAYS:
            if (season, day) not in covered:
                raise BadTariff(f"no plan is for {day} in {season}: each kind of day needs one")
    table = b"".join(parts)
    if len(table) > TABLE_BYTES_MAX:
        raise BadTariff(f"{len(table)} bytes, over {TABLE_BYTES_MAX}: join plans that are alike")
    return table


def _refuse_unknown(found: Toml, known: set[str], where: str) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise BadTariff(f"{where} has {unknown[0]!r}, which means nothing here")


def _name(name: object) -> bytes:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadTariff(f"name must be 1 to {NAME_BYTES_MAX} ASCII characters without a space")
    return name.encode("ascii")


def _valid_from_s(valid_from: object) -> int:
    """UTC second of a civil time, or of one with its own offset."""
    if isinstance(valid_from, date) and not isinstance(valid_from, datetime):
        valid_from = datetime(valid_from.year, valid_from.month, valid_from.day)
    if not isinstance(valid_from, datetime):
        raise BadTariff("valid_from must be a time: write it as 2026-01-01T00:00:00")
    if valid_from.tzinfo is None:
        valid_from = _in_poland(valid_from)
    found_s = valid_from.timestamp()
    if found_s % HOUR_S or not START_S_MIN <= found_s <= VALID_FROM_S_MAX:
        raise BadTariff("valid_from must be on an hour, from 2020 on")
    return int(found_s)


def _in_poland(civil: datetime) -> datetime:
    """The instant of a civil time that comes exactly once."""
    first = civil.replace(tzinfo=POLAND)
    again = first.astimezone(UTC).astimezone(POLAND).replace(tzinfo=None)
    if again != civil or first.utcoffset() != first.replace(fold=1).utcoffset():
        raise BadTariff("valid_from is in the hour of a clock change: write it with its offset")
    return first


def _seasons(seasons: object) -> tuple[list[str], bytes]:
    """The names of the seasons in the table's order, and the bytes that cut the year."""
    if seasons is None:
        return ["year"], bytes([0])
    if seasons == "summer_time":
        return ["winter", "summer"], bytes([BY_SUMMER_TIME])
    if not isinstance(seasons, dict) or not 2 <= len(seasons) <= SEASONS_MAX:
        raise BadTariff(f"seasons must be 2 to {SEASONS_MAX} names with their first days")
    starts = sorted((_month_day(name, text), name) for name, text in seasons.items())
    if len({start for start, _ in starts}) < len(starts):
        raise BadTariff("two seasons begin on the same day")
    names = [name for _, name in starts]
    return names, bytes([len(starts)]) + b"".join(bytes(start) for start, _ in starts)


def _month_day(name: str, text: object) -> tuple[int, int]:
    try:
        first = datetime.strptime(f"{A_YEAR}-{text}", "%Y-%m-%d")
    except ValueError:
        raise BadTariff(f"season {name} must begin on a month-day such as 04-01") from None
    return first.month, first.day


def _plan(
    plan: object, seasons: list[str], number: int, covered: dict[tuple[str, str], int]
) -> bytes:
    """The eight bytes of a day plan; notes in `covered` which plan each kind of day has."""
    where = f"plan {number}"
    if not isinstance(plan, dict):
        raise BadTariff(f"{where} is not a table: write [[plan]]")
    _refuse_unknown(plan, PLAN_FIELDS, where)
    its_seasons = _chosen(plan.get("seasons"), seasons, f"{where}: seasons")
    its_days = _chosen(plan.get("days"), list(DAYS), f"{where}: days")
    for season in its_seasons:
        for day in its_days:
            other = covered.setdefault((season, day), number)
            if other != number:
                raise BadTariff(f"plans {other} and {number} are both for {day} in {season}")
    bits = 0
    for zone in _zones(plan, where):
        bits = bits << 2 | zone
    return bytes([_mask(its_seasons, seasons), _mask(its_days, list(DAYS))]) + bits.to_bytes(
        6, "big"
    )


def _chosen(names: object, known: list[str], where: str) -> list[str]:
    if names is None:
        return known
    if not isinstance(names, list) or not names or not all(name in known for name in names):
        raise BadTariff(f"{where} must be some of " + ", ".join(known))
    return names


def _mask(names: list[str], known: list[str]) -> int:
    return sum(1 << known.index(name) for name in set(names))


def _zones(plan: Toml, where: str) -> list[int]:
    """The zone of each of the 24 hours."""
    found: list[int | None] = [None] * HOURS
    for zone, name in enumerate(ZONES):
        spans = plan.get(name, [])
        if not isinstance(spans, list):
            raise BadTariff(f"{where}: {name} must be a list of hours such as 06-13")
        for hour in [hour for span in spans for hour in _hours(span, f"{where}: {name}")]:
            if found[hour] is not None:
                raise BadTariff(f"{where}: hour {hour:02}-{hour + 1:02} is named twice")
            found[hour] = zone
    rest = plan.get("rest")
    if rest is not None and rest not in ZONES:
        raise BadTariff(f"{where}: rest must be one of " + ", ".join(ZONES))
    if rest is None and None in found:
        hour = found.index(None)
        raise BadTariff(f"{where}: hour {hour:02}-{hour + 1:02} has no zone, and rest has none")
    others = ZONES.index(str(rest)) if rest is not None else 0
    return [others if zone is None else zone for zone in found]


def _hours(span: object, where: str) -> list[int]:
    parts = re.fullmatch(r"(\d\d)-(\d\d)", span) if isinstance(span, str) else None
    first, end = (int(part) for part in parts.groups()) if parts else (0, 0)
    if first == end or first >= HOURS or end > HOURS:
        raise BadTariff(f"{where}: write hours as 06-13, from 00 up to 24")
    return [hour % HOURS for hour in range(first, end if end > first else end + HOURS)]


def main(arguments: list[str] | None = None) -> int:
    """Print the table of the file that the command line names. 2 when it cannot be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="the tariff, as TOML")
    path: Path = parser.parse_args(arguments).file
    try:
        print(encode(tomllib.loads(path.read_text("utf-8"))).hex())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, BadTariff) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
