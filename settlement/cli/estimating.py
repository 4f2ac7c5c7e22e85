"""`estimate`: propose substitutes for what is missing of a point's month, and keep them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from settlement import estimating
from settlement.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    PpeArgument,
    database,
    now_s,
    parse_month,
    print_json,
    utc,
)
from settlement.estimating import Estimate

app = typer.Typer()


@app.command(
    epilog="Examples: estimate 590322400000000010 --month 2024-07, then the same with --apply."
    " Exit code 2 when nothing is missing, 3 when nothing is known to estimate from."
)
def estimate(
    ppe: PpeArgument,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="the month with missing intervals")],
    apply: Annotated[
        bool, typer.Option("--apply", help="keep them: they count from now on")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Propose energy for every missing interval, by the registers around it or comparable days.

    What is kept is marked as estimated and gives way to the measured value when that comes in.
    """
    wanted = parse_month(month)
    with database(config) as store:
        if apply:
            with store.writing() as connection:
                found = estimating.estimates_of(connection, ppe, wanted)
                estimating.keep(connection, found, now_s())
        else:
            with store.reading() as connection:
                found = estimating.estimates_of(connection, ppe, wanted)
    rows = [_row(each) for each in found]
    if as_json:
        print_json({"ppe": ppe, "month": str(wanted), "applied": apply, "gaps": rows})
        return
    for row in rows:
        print(
            f"meter {row['meter_id']} register {row['register']}: {row['intervals']} intervals "
            f"from {utc(row['start_s'])} to {utc(row['end_s'])}, {row['energy_wh']} Wh by "
            f"{row['method']}, version {row['version']}"
        )
    print("kept: they count where nothing is measured" if apply else "proposed; --apply keeps them")


def _row(each: Estimate) -> dict[str, Any]:
    gap, substitutes = each.gap, each.substitutes
    ((method, _),) = Counter(substitute.method for substitute in substitutes).items()
    return {
        "meter_id": gap.meter_id,
        "register": gap.obis,
        "start_s": gap.start_s,
        "end_s": gap.end_s,
        "intervals": len(substitutes),
        "energy_wh": sum(substitute.energy_wh for substitute in substitutes),
        "method": method,
        "version": substitutes[0].version,
        "substitutes": [[each.start_s, each.energy_wh] for each in substitutes],
    }
