"""The law in force: the tables that come with this version, and what was read in beside them."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable
from datetime import date
from functools import cache, lru_cache
from itertools import chain

from settlement import tables
from settlement.rules import RULES_VERSION
from settlement.rules.errors import NoRate
from settlement.rules.market import Rce, Rcem, RcemVersion
from settlement.rules.periods import YEAR_MAX
from settlement.rules.schemes import Law
from settlement.rules.zones import Schedules
from settlement.store import prices
from settlement.store.prices import StoredList
from settlement.tables.lists import PriceList, read_list, with_lists
from settlement.tables.zones import load_schedules

# How many sets of imports stay parsed: the one in force, and those of what is explained.
LAWS_KEPT = 8
MONTHS_KEPT = 24
LAST_DAY = date(YEAR_MAX, 12, 31)
# What the name of the rules shows of the tables' digest.
DIGEST_CHARS = 16


@cache
def shipped() -> Law:
    """The law that comes with this version. Raises BadTable."""
    return Law(tables.load(), tables.load_rcem(), load_schedules())


def in_force(connection: sqlite3.Connection, law: Law, up_to: int | None = None) -> Law:
    """The law with all that was read in, or with what was up to that import.

    Raises BadTable when the two contradict each other, which an update of the tables can cause.
    """
    listed = prices.lists(connection, up_to)
    published = prices.rcem(connection, up_to)
    return _together(law, listed, published) if listed or published else law


@lru_cache(maxsize=LAWS_KEPT)
def _together(law: Law, listed: tuple[StoredList, ...], published: tuple[RcemVersion, ...]) -> Law:
    return Law(
        with_lists(law.tables, [parsed(each, law.schedules) for each in listed]),
        with_published(law.rcem, published),
        law.schedules,
    )


def parsed(stored: StoredList, schedules: Schedules) -> PriceList:
    """The price list in the text that was kept. Raises BadTable."""
    return read_list(stored.text, stored.suffix, zones_by_group(schedules))


def with_published(rcem: Rcem, published: Iterable[RcemVersion]) -> Rcem:
    """The prices of both, those that are in both once.

    Raises BadTable when two prices of a month were published on the same day.
    """
    known = {(each.month, each.published_on, each.pln_per_mwh) for each in rcem.versions}
    new = (
        each for each in published if (each.month, each.published_on, each.pln_per_mwh) not in known
    )
    return Rcem(sorted(chain(rcem.versions, new), key=lambda each: (each.month, each.published_on)))


def zones_by_group(schedules: Schedules) -> dict[str, tuple[str, ...]]:
    """The zones of every tariff group whose zone table is still in force."""
    found = {}
    for group in schedules.groups:
        with contextlib.suppress(NoRate):
            found[group] = schedules.zones(group, LAST_DAY)
    return found


def rce_of(
    connection: sqlite3.Connection, start_s: int, end_s: int, up_to: int | None = None
) -> Rce:
    """The hourly prices that were read in for [start_s, end_s). Raises BadTable."""
    return _rce(tuple(prices.rce(connection, start_s, end_s, up_to).items()))


@lru_cache(maxsize=MONTHS_KEPT)
def _rce(quarters: tuple[tuple[int, int], ...]) -> Rce:
    return Rce(quarters)


@cache
def rules_name() -> str:
    """The rules and the tables that come with this version, as a settling records them."""
    digest = hashlib.sha256()
    for path in sorted(tables.FOLDER.rglob("*.toml")):
        digest.update(f"{path.relative_to(tables.FOLDER).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return f"{RULES_VERSION}+{digest.hexdigest()[:DIGEST_CHARS]}"
