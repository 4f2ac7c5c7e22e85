"""The commands: what they print, JSON for programs, exit codes, and one line for a mistake."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement import __main__ as program
from settlement import tables
from settlement.rules.periods import Month, day_of
from settlement.store import Store
from tests.support.settled import issued, month, put, told
from tests.support.settlement import (
    OTHER_METER_ID,
    OTHER_PPE,
    PPE,
    TOKEN,
    a_point_form,
    a_ppe,
    a_prosumer,
)

SELLER = tables.FOLDER / "examples" / "seller.csv"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN, encoding="ascii")
    (tmp_path / "token").chmod(0o600)
    path = tmp_path / "settlement.toml"
    path.write_text('[store]\npath = "settlement.db"\n[auth]\ntoken_file = "token"\n')
    return path


@pytest.fixture
def story(config: Path) -> Iterator[Store]:
    """A household and a prosumer that have told February and March of 2024."""
    store = Store(config.parent / "settlement.db")
    put(store, a_point_form(a_prosumer(cap_entitled=False)))
    told(store, month("2024-02"), 100, 700)
    told(store, month("2024-03"), 300, 0, counter=1000)
    other = a_point_form(a_prosumer(scheme="plain"), meters=[(OTHER_METER_ID, 0, None)])
    put(store, other, OTHER_PPE)
    told(
        store,
        month("2024-03"),
        meter_id=OTHER_METER_ID,
        skip=lambda day: day.day == 9,
    )
    yield store
    store.close()


Ran = tuple[int, str, str]


@pytest.fixture
def run(config: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(*words: str) -> Ran:
        code = program.main([*words, "--config", str(config)])
        return (code, *capsys.readouterr())

    return ran


def complaint(ran: Ran, code: int) -> str:
    """The one line that a mistake is worth."""
    assert (ran[0], ran[1]) == (code, "")
    assert ran[2].startswith("settlement: ")
    assert ran[2].count("\n") == 1
    return ran[2]


def test_a_month_is_closed_and_the_refused_points_are_named(story: Store, run: Any) -> None:
    code, out, err = run("close", "--month", "2024-02")
    assert (code, out) == (3, out)
    assert out.splitlines()[0] == "close 2024-02: 1 billed, 1 refused"
    assert out.splitlines()[1] == "refused, incomplete: 1"
    assert out.splitlines()[2].startswith(f"  {OTHER_PPE}: ")
    assert "100%" in err
    code, out, _ = run("close", "--month", "2024-02", "--ppe", PPE)
    assert (code, out) == (0, "close 2024-02: 1 billed before\n")


def test_a_close_is_told_to_programs_as_json(story: Store, run: Any) -> None:
    code, out, _ = run("close", "--month", "2024-02", "--json")
    told_summary = json.loads(out)
    assert code == 3
    assert told_summary["points"] == {"issued": 1, "refused": 1}
    (refused,) = told_summary["refused"]
    assert (refused["ppe"], refused["reason"]) == (OTHER_PPE, "incomplete")
    code, out, _ = run("close", "--month", "2024-02", "--ppe", PPE, "--json")
    assert (code, json.loads(out)["refused"]) == (0, [])


def test_only_the_first_refused_points_of_a_reason_are_printed(
    story: Store, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.cli.closing.SHOWN_MAX", 1)
    for number, body in enumerate(("59032240000000003", "59032240000000004")):
        put(story, a_point_form(meters=[(f"ffeeddccbbaa000{number}", 0, None)]), a_ppe(body))
    _, out, _ = run("close", "--month", "2024-02")
    assert "refused, incomplete: 3" in out
    assert "  and 2 more: --json lists all" in out
    assert out.count("ask the meter") == 1


def test_a_month_that_is_not_over_is_not_closed(story: Store, run: Any) -> None:
    this_month = Month.of(day_of(int(time.time())))
    assert "is not over" in complaint(run("close", "--month", str(this_month)), 2)
    assert "write it as 2024-07" in complaint(run("close", "--month", "7/2024"), 2)


def test_corrections_are_a_round_of_their_own(story: Store, run: Any) -> None:
    assert run("correct")[:2] == (0, "correct: 2 unchanged\n")
    issued(story, "2024-02", "2024-03-01")
    told(story, month("2024-02"), 100, 500, counter=5000)
    assert run("correct")[:2] == (0, "correct: 1 corrected, 1 unchanged\n")
    assert run("correct", "--ppe", "1")[0] == 3


def test_a_document_is_explained_to_people_and_to_programs(story: Store, run: Any) -> None:
    issued(story, "2024-02", "2024-03-01")
    number = issued(story, "2024-03", "2024-04-12").number
    code, out, _ = run("explain", number)
    assert code == 0
    for text in (
        f"{number}, point {PPE}, 2024-03-01 to 2024-04-01 (exclusive)",
        "issued 2024-04-12 07:00:00 UTC",
        "quantity 223 kwh, from import_wh 222900",
        "net 223 x 0.64900 = 144.72700 -> 144.73",
        "distribution_tauron g11.fixed.3_phase = 10.34 from 2024-01-01",
        "deposit lot 2024-02 used 135.54 PLN",
        "settled again from the same inputs: identical, byte by byte",
    ):
        assert text in out
    code, out, _ = run("explain", number, "--json")
    assert (code, json.loads(out)["replay"]["identical"]) == (0, True)


def test_a_correction_is_explained_with_its_cause(story: Store, run: Any) -> None:
    issued(story, "2024-02", "2024-03-01")
    told(story, month("2024-02"), 800, 500, counter=5000)
    run("correct")
    code, out, _ = run("explain", "FK-2024-02-000001")
    assert code == 0
    assert "corrects FV-2024-02-000001: readings (zmiana danych pomiarowych)" in out
    assert "the invoice as it should have been:" in out
    assert "corrected by FK-2024-02-000001" in run("explain", "FV-2024-02-000001")[1]


def test_a_ledger_is_printed_as_known_on_a_day(story: Store, run: Any) -> None:
    issued(story, "2024-02", "2024-03-01")
    issued(story, "2024-03", "2024-04-12")
    code, out, _ = run("ledger", PPE)
    assert code == 0
    assert "deposit: 0.00 PLN open" in out
    assert "2024-04-12 07:00:00 UTC 2024-03 deposit lot 2024-02 booked 135.54 PLN" in out
    assert run("ledger", PPE, "--as-of", "2024-04-11")[1] == f"point {PPE}, as of 2024-04-11\n"
    told_ledger = json.loads(run("ledger", PPE, "--json")[1])
    assert [each["kind"] for each in told_ledger["entries"]] == ["booked", "used"]


def test_the_open_lots_of_a_storage_are_printed_in_kwh(config: Path, run: Any) -> None:
    store = Store(config.parent / "settlement.db")
    put(store, a_point_form(a_prosumer(scheme="net_metering", cap_entitled=False)))
    told(store, month("2024-02"), 100, 700)
    issued(store, "2024-02", "2024-03-01")
    store.close()
    out = run("ledger", PPE)[1]
    assert "storage: 334.080 kWh open\n  2024-02: 334.080 kWh\n" in out


def test_a_price_list_is_checked_then_read_in_then_known(config: Path, run: Any) -> None:
    assert run("tariff", str(SELLER), "--check") == (
        0,
        "price_list seller_example: 5 entries, fine, nothing stored\n",
        "",
    )
    assert not (config.parent / "settlement.db").exists()
    assert run("tariff", str(SELLER))[1] == "price_list seller_example: 5 entries, 5 new\n"
    assert run("tariff", str(SELLER))[1] == "price_list seller_example: 5 entries, 0 new\n"
    told_list = json.loads(run("tariff", str(SELLER), "--json")[1])
    assert told_list == {
        "kind": "price_list",
        "name": "seller_example",
        "entries": 5,
        "new": 0,
    }


def test_market_prices_are_checked_then_read_in(config: Path, run: Any, tmp_path: Path) -> None:
    path = tmp_path / "rce.csv"
    path.write_text("start_s,pln_per_mwh\n1751320800,-12.50\n")
    assert (
        run("prices", str(path), "--check")[1] == "rce rce.csv: 1 entries, fine, nothing stored\n"
    )
    assert run("prices", str(path))[1] == "rce rce.csv: 1 entries, 1 new\n"
    path.write_text("start_s,pln_per_mwh\nnow,-12.50\n")
    assert "RCE, row 1" in complaint(run("prices", str(path)), 1)


def test_missing_intervals_are_estimated_only_when_told_to(story: Store, run: Any) -> None:
    words = ("estimate", OTHER_PPE, "--month", "2024-03")
    code, out, _ = run(*words)
    assert (code, out.splitlines()[-1]) == (0, "proposed; --apply keeps them")
    assert f"meter {OTHER_METER_ID} register 1.8.0: 24 intervals from 2024-03-08 23:00:00" in out
    assert "9600 Wh by register_by_profile, version 1" in out
    assert run(*words, "--apply")[1].splitlines()[-1].startswith("kept")
    assert "estimated already" in complaint(run(*words, "--apply"), 2)


def test_an_estimate_is_told_to_programs_interval_by_interval(story: Store, run: Any) -> None:
    out = run("estimate", OTHER_PPE, "--month", "2024-03", "--json")[1]
    (gap,) = json.loads(out)["gaps"]
    assert (gap["intervals"], gap["energy_wh"], len(gap["substitutes"])) == (24, 9600, 24)


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        (("explain", "FV-1"), 2, "there is no document 'FV-1'"),
        (("ledger", "123"), 2, "a ppe is 18 digits"),
        (("ledger", a_point := "590322400000000034"), 2, f"point {a_point} is not known"),
        (("ledger", PPE, "--as-of", "soon"), 2, "'soon' is not a day"),
        (("estimate", PPE, "--month", "2023-01"), 3, "read the register by hand"),
        (("tariff", "nowhere.csv"), 1, "nowhere.csv: No such file"),
        (("prices", "nowhere.csv", "--check"), 1, "nowhere.csv: No such file"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    story: Store, run: Any, words: tuple[str, ...], code: int, fault: str
) -> None:
    assert fault in complaint(run(*words), code)


@pytest.mark.parametrize(
    "words",
    [
        ("close", "--month", "2024-02"),
        ("correct",),
        ("explain", "FV-2024-02-000001"),
        ("ledger", PPE),
        ("estimate", PPE, "--month", "2024-02"),
    ],
)
def test_a_database_that_is_not_there_is_not_made(
    config: Path, run: Any, words: tuple[str, ...]
) -> None:
    assert "is not there" in complaint(run(*words), 2)
    assert not (config.parent / "settlement.db").exists()


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "check-config",
        "elicznik",
        "scenario",
        "close",
        "correct",
        "explain",
        "ledger",
        "prices",
        "tariff",
        "estimate",
    ],
)
def test_every_command_explains_itself_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([name, "--help"]) == 0
    assert "Example" in capsys.readouterr().out


def test_wrong_use_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["close"]) == 2
    assert program.main(["close", "--month", "2024-02", "--force"]) == 2
    assert "Traceback" not in capsys.readouterr().err
