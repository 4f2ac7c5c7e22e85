"""Reads market prices and price lists into the database: what is there already is left alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from settlement import laws
from settlement.rules.errors import BadTable
from settlement.rules.market import Rce, Rcem
from settlement.rules.schemes import Law
from settlement.store import Store, prices
from settlement.store.prices import StoredList
from settlement.tables.lists import PriceList, with_lists
from settlement.tables.market import read_rce, read_rcem

FILE_BYTES_MAX = 64 * 1024 * 1024
RCEM_SUFFIX = ".toml"


@dataclass(frozen=True)
class Imported:
    """What a file holds, and how many of its entries are new here."""

    kind: str
    name: str
    entries: int
    new: int


def read_text(path: Path) -> str:
    """The text of a file. Raises BadTable when it is too large or not UTF-8, and OSError."""
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise BadTable(f"{path.name} has more than {FILE_BYTES_MAX} bytes: split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadTable(f"{path.name} is not UTF-8: save it as such") from None


def parse_prices(text: str, suffix: str) -> Rce | Rcem:
    """RCEm from `.toml`, RCE from `.json` or `.csv`. Raises BadTable, naming row and fault."""
    found = read_rcem(text) if suffix == RCEM_SUFFIX else read_rce(text, suffix)
    if not (found.quarters if isinstance(found, Rce) else found.versions):
        raise BadTable("the file holds no price: ask for another day")
    return found


def read_price_list(path: Path, law: Law) -> PriceList:
    """A price list or a distributor's tariff. Raises BadTable, naming row and fault."""
    return laws.parsed(StoredList("", path.suffix, read_text(path)), law.schedules)


def check_prices(path: Path, law: Law) -> Imported:
    """What the file holds, without the database: every entry counts as new. Raises BadTable."""
    found = parse_prices(read_text(path), path.suffix)
    if isinstance(found, Rce):
        return Imported(prices.RCE, path.name, len(found.quarters), len(found.quarters))
    laws.with_published(law.rcem, found.versions)
    return Imported(prices.RCEM, path.name, len(found.versions), len(found.versions))


def check_list(path: Path, law: Law) -> Imported:
    """The same of a price list, beside the tables that come with this version. Raises BadTable."""
    listed = read_price_list(path, law)
    with_lists(law.tables, [listed])
    return Imported(prices.PRICE_LIST, listed.table, len(listed.rows), len(listed.rows))


def keep_prices(store: Store, law: Law, path: Path, now_s: int) -> Imported:
    """Stores the prices of the file that are new. Raises BadTable and StoreError."""
    text = read_text(path)
    digest = hashlib.sha256(text.encode()).digest()
    found = parse_prices(text, path.suffix)
    if isinstance(found, Rce):
        return _keep_rce(store, found, path.name, digest, now_s)
    return _keep_rcem(store, law, found, path.name, digest, now_s)


def _keep_rce(store: Store, rce: Rce, name: str, digest: bytes, now_s: int) -> Imported:
    """Another price of a quarter is a new version of it, as PSE corrects its report."""
    with store.writing() as connection:
        known = prices.rce(connection, min(rce.quarters), max(rce.quarters) + 1)
        new = {start: price for start, price in rce.quarters.items() if known.get(start) != price}
        if new:
            import_id = prices.add_import(connection, prices.RCE, name, digest, now_s)
            prices.add_rce(connection, import_id, new)
    return Imported(prices.RCE, name, len(rce.quarters), len(new))


def _keep_rcem(
    store: Store, law: Law, rcem: Rcem, name: str, digest: bytes, now_s: int
) -> Imported:
    with store.writing() as connection:
        known = laws.in_force(connection, law).rcem
        together = laws.with_published(known, rcem.versions)
        had = {(each.month, each.published_on) for each in known.versions}
        new = [each for each in together.versions if (each.month, each.published_on) not in had]
        if new:
            import_id = prices.add_import(connection, prices.RCEM, name, digest, now_s)
            prices.add_rcem(connection, import_id, new)
    return Imported(prices.RCEM, name, len(rcem.versions), len(new))


def keep_list(store: Store, law: Law, path: Path, now_s: int) -> Imported:
    """Stores a price list, which counts from now on in place of an older one of its name.

    Raises BadTable, also when it contradicts the tables that come with this version, and
    StoreError.
    """
    text = read_text(path)
    listed = read_price_list(path, law)
    stored = StoredList(listed.table, path.suffix, text)
    rows = len(listed.rows)
    with store.writing() as connection:
        if stored in prices.lists(connection):
            return Imported(prices.PRICE_LIST, listed.table, rows, 0)
        digest = hashlib.sha256(text.encode()).digest()
        import_id = prices.add_import(connection, prices.PRICE_LIST, path.name, digest, now_s)
        prices.add_list(connection, import_id, stored)
        laws.in_force(connection, law)
    return Imported(prices.PRICE_LIST, listed.table, rows, rows)
