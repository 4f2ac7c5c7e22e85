"""`explain` and `ledger`: where a document's figures come from, and what is open in which lot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from settlement import laws
from settlement.balances import ledger_of
from settlement.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PpeArgument,
    database,
    print_json,
    utc,
)
from settlement.explain import explained, pln
from settlement.rules.periods import parse_day
from settlement.rules.units import kwh

app = typer.Typer()


@app.command(
    epilog="Examples: explain FV-2024-07-000001; explain FK-2024-07-000003 --json."
    " Exit code 2 when there is no such document."
)
def explain(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="FV-... or FK-...")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say line by line where quantity, price and amounts of an invoice or correction come from.

    It is settled again from its stored inputs; the last line says whether it comes out the same.
    """
    with database(config) as store, store.reading() as connection:
        told = explained(connection, laws.shipped(), number)
    if as_json:
        print_json(told)
    else:
        print("\n".join(_document(told)))


@app.command(
    epilog="Examples: ledger 590322400000000010; ledger 590322400000000010 --as-of 2025-03-01."
)
def ledger(
    ppe: PpeArgument,
    as_of: Annotated[
        str, typer.Option("--as-of", metavar="YYYY-MM-DD", help="as known at the end of that day")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print the open lots of storage, deposit and rebate, and every entry that led there."""
    day = parse_day(as_of) if as_of else None
    with database(config) as store, store.reading() as connection:
        told = ledger_of(connection, ppe, day)
    if as_json:
        print_json(told)
    else:
        print("\n".join(_ledger(told)))


def _document(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{told['number']}, point {told['ppe']}, {told['start']} to {told['end']} (exclusive)"
    yield f"issued {utc(told['issued_s'])}"
    if "corrects" in told:
        yield f"corrects {told['corrects']}: {told['reason']} ({told['reason_text']})"
        for name, amount_gr in told["difference"].items():
            yield f"  {name.removesuffix('_gr')} {pln(amount_gr)} PLN"
        if told["issued_with"]:
            yield f"issued with {', '.join(told['issued_with'])}, which shows the lots"
        yield "the invoice as it should have been:"
    for line in told["lines"]:
        yield ""
        yield from _line(line)
    yield ""
    for name in ("storage", "deposit"):
        for field, amount in (told.get(name) or {}).items():
            yield f"{name} {field}: {amount}"
    for entry in told["entries"]:
        yield _entry(entry)
    yield f"to pay {pln(told['summary']['8_to_pay_gr'])} PLN"
    if told.get("corrected_by"):
        yield f"corrected by {', '.join(told['corrected_by'])}"
    yield from _replay(told)


def _line(line: Mapping[str, Any]) -> Iterator[str]:
    if "amounts" not in line:
        yield f"{line['code']} {line['zone']}: {line['quantity']} x {line['unit_price_pln']}"
        return
    yield f"{line['code']} {line['zone']} {line['start']} to {line['end']}"
    from_what = ", ".join(f"{name} {value}" for name, value in line["quantity_from"].items())
    yield f"  quantity {line['quantity']} {line['unit']}, from {from_what}"
    yield f"  price {line['unit_price_pln']} PLN from {line['price_from']}"
    for row in line["price_rows"]:
        yield f"    {row['table']} {row['key']} = {row['value']} from {row['valid_from']}"
        yield f"    source: {row['source']}"
    for name, text in line["amounts"].items():
        yield f"  {name} {text}"
    yield f"    VAT rate: {line['vat_row']['source']}"


def _replay(told: Mapping[str, Any]) -> Iterator[str]:
    replay, settling = told["replay"], told["settling"]
    if replay is None:
        yield "issued by schema 1: what it was settled from is not kept"
        return
    known = f"batch {settling['batch_id']}, substitute {settling['substitute_id']}"
    yield (
        f"settled {utc(settling['settled_s'])} from version {settling['point_version']} of the "
        f"point and all up to {known}, import {settling['import_id']}, by rules {settling['rules']}"
    )
    if replay["identical"]:
        yield "settled again from the same inputs: identical, byte by byte"
        return
    yield f"settled again from the same inputs by rules {replay['rules_now']}:"
    for difference in replay["differences"]:
        yield f"  {difference}"


def _ledger(told: Mapping[str, Any]) -> Iterator[str]:
    yield f"point {told['ppe']}, as of {told['as_of'] or 'now'}"
    for name, account in told["accounts"].items():
        yield f"{name}: {_amount(account['open'], account['unit'])} open"
        for lot in account["lots"]:
            zone = f" {lot['zone']}" if lot["zone"] else ""
            yield f"  {lot['lot']}{zone}: {_amount(lot['open'], account['unit'])}"
    for entry in told["entries"]:
        yield f"{utc(entry['recorded_s'])} {_entry(entry)}"


def _entry(entry: Mapping[str, Any]) -> str:
    zone = f" {entry['zone']}" if entry["zone"] else ""
    text = (
        f"{entry['month']} {entry['account']} lot {entry['lot']}{zone} {entry['kind']} "
        f"{_amount(entry['amount'], entry['unit'])}"
    )
    return " ".join(filter(None, (text, entry["document"], entry["note"])))


def _amount(amount: int, unit: str) -> str:
    return f"{kwh(amount)} kWh" if unit == "wh" else f"{pln(amount)} PLN"
