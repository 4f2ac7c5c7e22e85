"""The whole chain: what the household used is what the invoice bills, whatever is killed."""

import csv
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from host_tools.household import RECORDED_WEEK
from tests.support.chain import RunningChain, fetch

SPEED = "1000000"  # as fast as this computer goes


def _recorded_import_wh(export: Path = RECORDED_WEEK) -> list[int]:
    """The file's hours of import, read here without the project's importer."""
    with export.open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter=";") if row[2:3] == ["pobór"]]
    return [int(Decimal(row[1].replace(",", ".")) * 1000) for row in rows]


def _billed(invoice: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in every run: all but who measured, the number and the instant."""
    usage = {key: value for key, value in invoice["usage"].items() if key != "readings_sha256"}
    return {"lines": invoice["lines"], "summary": invoice["summary"], "usage": usage}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The invoice of a run in which nothing happens."""
    with RunningChain(tmp_path_factory.mktemp("run"), "--once", "--speed", SPEED) as chain:
        result = chain.result()
        assert chain.wait() == 0, chain.said()
    invoice: dict[str, Any] = result["invoice"]
    return invoice


def test_the_invoice_bills_the_energy_of_the_file(undisturbed: dict[str, Any]) -> None:
    hours = _recorded_import_wh()
    assert len(hours) == 168
    assert undisturbed["usage"]["import_wh"] == sum(hours) == 51509
    assert undisturbed["usage"]["billed_kwh"] == "52"
    assert undisturbed["usage"]["intervals"] == 672
    energy = next(line for line in undisturbed["lines"] if line["code"] == "active_energy")
    assert energy["quantity"] == "52"
    assert energy["unit_price_pln"] == "0.50500"  # the price cap, not the list price of 0.6490
    assert (energy["net_gr"], energy["vat_gr"], energy["gross_gr"]) == (2626, 604, 3230)


def test_another_household_is_billed_over_the_day_of_25_hours(tmp_path: Path) -> None:
    export = RECORDED_WEEK.with_name("elicznik-2022-10-30-25h.csv")
    day = ("--household", str(export), "--first-day", "2024-10-27")
    with RunningChain(tmp_path, "--once", "--speed", SPEED, *day) as chain:
        invoice = chain.result()["invoice"]
        assert chain.wait() == 0, chain.said()
    assert invoice["usage"]["import_wh"] == sum(_recorded_import_wh(export)) == 3791
    assert (invoice["usage"]["intervals"], invoice["usage"]["billed_kwh"]) == (100, "4")
    assert (invoice["start"], invoice["end"]) == ("2024-10-27", "2024-10-28")


def test_a_household_that_does_not_fit_the_day_is_refused_in_one_line(tmp_path: Path) -> None:
    export = RECORDED_WEEK.with_name("elicznik-2022-10-30-25h.csv")
    with RunningChain(tmp_path, "--once", "--household", str(export)) as chain:
        assert chain.wait() == 1
    assert chain.lines == [
        "error: settlement: 2022-10-30 has 25 hours and 2024-10-18 has 24: move to another day"
    ]


def test_a_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunningChain(tmp_path, "--once", "--speed", SPEED) as chain:
        chain.until(lambda: len(chain.children()) == 3, "three programs run")
        programs = list(chain.children().values())
        chain.result()
        assert chain.wait() == 0, chain.said()
    assert not any(program.is_running() for program in programs)
    assert list(tmp_path.iterdir()) == []


def test_the_chain_stays_up_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with RunningChain(tmp_path, "--speed", SPEED) as chain:
        result = chain.result()
        page = fetch(result["page"])
        programs = list(chain.children().values())
        assert len(programs) == 3
        assert chain.stop() == 0
    assert not any(program.is_running() for program in programs)
    assert list(tmp_path.iterdir()) == []
    assert "Mój Licznik" in page
    assert "32,30" in page


@pytest.mark.parametrize("victim", ["meter", "gateway", "settlement"])
def test_killing_one_program_midway_changes_nothing_on_the_invoice(
    victim: str, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with RunningChain(tmp_path, "--once", "--speed", "60000") as chain:
        for closed in (96, 384):
            chain.until(lambda at=closed: chain.intervals_closed() >= at, "the week goes by")  # type: ignore[misc]
            chain.kill(victim)
        result = chain.result()
        assert chain.wait() == 0, chain.said()
    assert result["restarts"][victim] == 2
    assert _billed(result["invoice"]) == _billed(undisturbed)


def test_programs_that_are_stopped_in_good_order_start_again_too(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with RunningChain(tmp_path, "--once", "--speed", "60000") as chain:
        chain.until(lambda: chain.intervals_closed() >= 192, "the week goes by")
        for victim in ("gateway", "settlement"):
            chain.kill(victim, signal.SIGTERM)
        result = chain.result()
        assert chain.wait() == 0, chain.said()
    assert result["restarts"] == {"meter": 0, "gateway": 1, "settlement": 1}
    assert _billed(result["invoice"]) == _billed(undisturbed)


def test_killing_all_three_again_and_again_changes_nothing_on_the_invoice(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with RunningChain(tmp_path, "--once", "--speed", "60000") as chain:
        for round_number in range(4):
            closed = 96 + 144 * round_number
            chain.until(lambda at=closed: chain.intervals_closed() >= at, "the week goes by")  # type: ignore[misc]
            for victim in ("gateway", "meter", "settlement"):
                chain.kill(victim)
        result = chain.result()
        assert chain.wait() == 0, chain.said()
    assert result["restarts"] == {"meter": 4, "gateway": 4, "settlement": 4}
    assert _billed(result["invoice"]) == _billed(undisturbed)
