"""The command line: help with examples, one line for a mistake, exit codes, ^C, JSON, no secret."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools import __main__ as command_line
from host_tools.cli.pair import meter_of
from host_tools.pairing import label, offline
from host_tools.pairing.errors import WrongLabel
from host_tools.pairing.identity import fresh
from settlement import points
from tests.support.a_bench import a_setup_file, json_lines, run
from tests.support.gateway import a_meter
from tests.support.gateway import a_profile as a_profile_message
from tests.support.running_gateway import RunningGateway
from tests.support.virtual.virtual_board import VirtualBoard
from wire import topics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/pairing.md").read_text("utf-8")
NEW = "00112233445566bb"
NOUNS = {
    "offline": ("keygen", "list", "sync"),
    "audit": ("list", "head", "verify"),
    "firmware": ("list", "pin"),
    "order": ("list", "export", "import", "show", "done", "failed", "record", "report"),
}
ALL = [[name] for name in command_line.COMMANDS] + [
    [noun, name] for noun, names in NOUNS.items() for name in names
]


# ------------------------------------------------------------------ habits


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(
    words: list[str], bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--help") == 0
    shown = capsys.readouterr().out
    if words not in ([noun] for noun in NOUNS):
        assert re.search(rf"Examples?: .*\b{words[-1]}\b", shown), shown
        assert "--json" in shown


def test_the_nouns_of_the_test_are_those_of_the_code() -> None:
    assert set(NOUNS) == set(command_line.NOUNS)
    assert run("--help") == 0


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["pair"], 2, "there is no pairing.toml"),
        (["pair", "--offline"], 2, "--seal-for"),
        (["pair", "--technician", "x" * 65], 2, "there is no pairing.toml"),
        (["repair"], 2, "name the meter"),
        (["repair", "0011"], 2, "16 hex digits"),
        (["repair", "0011-2233-AABB-CCDD-88"], 2, "check digits"),
        (["move", "--from", "nowhere.toml"], 2, "there is no pairing.toml"),
        (["decommission", "--meter", "", "--yes"], 2, "--meter names"),
        (["fleet", "nowhere.csv", "out.csv"], 2, "there is no pairing.toml"),
        (["probe"], 1, "port_missing"),
        (["explain", "nowhere.hex"], 2, "No such file"),
        (["offline", "list", "nowhere"], 2, "no folder"),
        (["offline", "sync", "nowhere", "--private-key", "k"], 2, "there is no pairing.toml"),
        (["order", "list", "nowhere.csv"], 2, "No such file"),
        (["audit", "verify", "--kept", "x"], 2, "a kept head"),
        (["pins", "esp32_devkit", "import=34=5"], 2, "FUNCTION=GPIO"),
        (["pins", "a_board"], 2, "there is no board"),
        (["image", "a_board", "out.bin"], 2, "there is no board"),
        (["image", "esp32_devkit", "out.bin"], 1, "`firmware pin` it"),
        (
            ["firmware", "pin", "no.bin", "--version", "1.26.1", "--chip", "esp32"],
            1,
            "check the name",
        ),
        (["flash", "esp32_devkit", "--flash-key", "a.key"], 2, "--flash-key needs --settings"),
        (["lockdown", "L9", "esp32_devkit", "--meter", NEW, "--keys", "k"], 2, "security level"),
        (["nonsense"], 2, "No such command"),
        (["pair", "--nonsense"], 2, "No such option"),
        (["pair", "--wait", "0"], 2, "Invalid value"),
    ],
)
def test_a_mistake_is_one_line_with_its_reason_and_no_traceback(
    words: list[str], code: int, reason: str, bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == code
    shown = capsys.readouterr()
    assert reason in shown.err
    assert "Traceback" not in shown.err
    if "Usage:" not in shown.err:
        assert len(shown.err.splitlines()) == 1


def test_a_meter_is_named_by_its_id_its_serial_or_its_scanned_label() -> None:
    mark = label.Label(bytes.fromhex(NEW), label.new_code())
    for text in (NEW, mark.serial, mark.serial.replace("-", ""), mark.text):
        assert meter_of(text) == NEW
    with pytest.raises(WrongLabel):
        meter_of(mark.text[:-1])


def test_a_mistake_is_an_object_for_a_program(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pair", "--json") == 2
    (event,) = json_lines(capsys.readouterr().out)
    assert (event["event"], event["reason"]) == ("error", "bad_input")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "Expected"), ("[gateway]\n", "host"), ('[gateway]\nhost = ""\n', "gateway"),
        ('[gateway]\nhost = "h"\ncolour = 5\n', "colour"),
        ('[gateway]\nhost = "h"\nport = 65536\n', "65535"),
        ('[gateway]\nhost = "h"\ntls = true\n', "needs gateway.ca_file"),
        ('[gateway]\nhost = "h"\ntls = true\nca_file = "x"\n', "No such file"),
        ('[gateway]\nhost = "h"\n[meter]\ncapture_period_s = 700\n', "divisor of 3600"),
        ('[gateway]\nhost = "h"\n[meter]\ncapture_period_s = 59\n', "60"),
        ('[gateway]\nhost = "h"\n[meter]\nimp_per_kwh = 100001\n', "100000"),
        ('[gateway]\nhost = "h"\n[wifi]\nname = "n"\npassword_file = "x"\n', "No such file"),
        ('[gateway]\nhost = "h"\n[admin]\nurl = "h"\ntoken_file = "t"\n', "admin.url"),
        ('[gateway]\nhost = "h"\n', "has no [admin]"),
        ('[gateway]\nhost = "h"\n[admin]\nurl = "http://h"\ntoken_file = "t"\n', "No such file"),
    ],
)  # fmt: skip
def test_a_mistake_in_pairing_toml_is_named(
    text: str, said: str, bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bench / "pairing.toml").write_text(text)
    assert run("pair", "--port", "/dev/nowhere") == 2
    assert said in capsys.readouterr().err


def test_the_command_on_path_works_in_any_folder_and_completes(bench: Path) -> None:
    command = bench / "openlicznik-tools"
    command.symlink_to(ROOT / "host_tools/openlicznik-tools")

    def said(*words: str, **environment: str) -> str:
        return subprocess.run(
            [command, *words], env={**os.environ, **environment}, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip

    assert '"board": "esp32_devkit"' in said("boards", "--json")
    words = {"COMP_WORDS": "openlicznik-tools dec", "COMP_CWORD": "1"}
    assert said(_OPENLICZNIK_TOOLS_COMPLETE="complete_bash", **words).split() == ["decommission"]


def test_every_conflict_and_exit_code_is_on_the_page() -> None:
    source = "".join(
        (ROOT / "host_tools/pairing" / f"{name}.py").read_text()
        for name in ("registering", "offline", "exchange", "work_orders")
    )
    reasons = re.findall(r'Conflict\(\s*"(\w+)"', source)
    assert len(reasons) > 6
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []
    for state in (offline.REGISTERED, offline.ALREADY):
        assert f"`{state}`" in PAGE


def test_off_line_from_the_command_line(
    bench: Path, gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    a_setup_file(bench, gateway)
    assert run("offline", "keygen", "gateway.key") == 0
    made = fresh()
    public = offline.read_public(bench / "gateway.key.pub")
    offline.queue(bench / "queue", offline.seal(made, public, "anna", 1), made.hex_id, 0)
    capsys.readouterr()
    assert run("offline", "list", "queue", "--json") == 0
    (waiting,) = json_lines(capsys.readouterr().out)
    assert (waiting["meter_id"], waiting["technician"]) == (made.hex_id, "anna")
    sync = ["offline", "sync", "queue", "--private-key", "gateway.key"]
    assert run(*sync, "--json") == 0
    (taken,) = json_lines(capsys.readouterr().out)
    assert taken["state"] == "registered"
    other = fresh(made.meter_id, 3)
    offline.queue(bench / "queue", offline.seal(other, public, "anna", 1), other.hex_id, 3)
    assert run(*sync) == 1
    shown = capsys.readouterr()
    assert "other_key_epoch" in shown.out
    assert "1 of 1 registrations are in conflict" in shown.err


def test_an_exchange_from_the_office_to_settlements_json(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ppe, old = "590322400000000010", "00112233445566aa"
    (bench / "office.csv").write_text(
        "order,ppe,address,customer,visit_from,visit_to,technician,old_meter_id\n"
        f"WO-17,{ppe},ul. Żółwia 1,Jan Kowalski,2025-12-01 10:00,2025-12-01 12:00,Anna,{old}\n"
        f"WO-18,{ppe},ul. Żółwia 2,Ewa Nowak,2025-12-01 11:00,2025-12-01 13:00,Anna,\n"
    )
    assert run("order", "list", "office.csv") == 0
    assert "WO-17 and WO-18 are at the same time for Anna" in capsys.readouterr().err
    assert run("order", "export", "office.csv", "anna.json", "--technician", "Anna") == 0
    assert run("order", "show", "anna.json", "WO-17") == 0
    assert "2025-12-01 10:00+01:00 to 2025-12-01 12:00+01:00" in capsys.readouterr().out
    serial = label.serial_of(bytes.fromhex(NEW))
    done = ["order", "done", "anna.json", "WO-17", "--new-meter", serial, "--old-import",
            "12345,678", "--new-import", "0"]  # fmt: skip
    assert run(*done, "--at", "2025-12-01 10:17") == 0
    assert "to neither meter (1 of them)" in capsys.readouterr().err
    assert run(*done, "--at", "2025-12-01 10:15") == 1
    assert "already_done" in capsys.readouterr().err
    assert run("order", "failed", "anna.json", "WO-18", "--why", "nobody there") == 0
    assert run("order", "import", "office.csv", "anna.json", "--json") == 0
    assert json_lines(capsys.readouterr().out)[-1] == {"event": "result", "done": 1, "failed": 1}
    assert run("order", "record", "office.csv", "WO-17") == 0
    assert "PROTOKÓŁ WYMIANY LICZNIKA" in capsys.readouterr().out
    contract = {"tariff_group": "G11", "phases": 3, "readout_months": 1,
                "unit_price_pln_per_kwh": "0.6490", "valid_from": "2024-01-01"}  # fmt: skip
    point = {"contract": contract, "meters": [{"meter_id": old, "from_s": 900, "to_s": None}]}
    (bench / "point.json").write_text(json.dumps(point))
    report = ["order", "report", "office.csv", "WO-17", "--point", "point.json"]
    assert run(*report, "--out", "new.json") == 0
    form = points.decode((bench / "new.json").read_bytes())
    assert [each.meter_id for each in form.assignments()] == [old, NEW]
    assert run(*report, "--settlement", "http://127.0.0.1:9") == 2
    assert "--token-file" in capsys.readouterr().err


def test_explaining_from_a_file_and_from_standard_input(
    bench: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = a_meter()
    sealed = meter.seal(a_profile_message())
    (bench / "frame.hex").write_text(sealed.hex())
    (bench / "meter.key").write_text(meter.meter_key.hex())
    (bench / "meter.key").chmod(0o600)
    topic = topics.up(meter.meter_id)
    assert run("explain", "frame.hex", "--topic", topic, "--key", "meter.key", "--json") == 0
    (said,) = json_lines(capsys.readouterr().out)
    assert said["message"]["kind"] == "profile"
    for named in ("frame.hex", sealed.hex(), sealed.hex().upper()):
        assert run("explain", named) == 0
        assert "frame_counter" in capsys.readouterr().out
    (bench / ("0a" * 20)).write_text(sealed.hex())
    assert run("explain", "0a" * 20) == 0, "a file of this name is a file"
    assert run("explain", "0b" * 20) == 1
    done = subprocess.run(
        [sys.executable, "-m", "host_tools", "explain"], cwd=ROOT, text=True,
        input=f"{topic} {sealed.hex()[:-2]}\n", capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"^refused +malformed$", done.stdout, re.MULTILINE)
    assert re.search(r"^at_byte +26$", done.stdout, re.MULTILINE)


def test_boards_and_pins_from_the_command_line(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("boards", "--json") == 0
    assert "esp32_devkit" in {row["board"] for row in json_lines(capsys.readouterr().out)}
    assert run("pins", "esp32_devkit") == 0
    capsys.readouterr()
    assert run("pins", "esp32_devkit", "import=34", "--json") == 1
    assert json_lines(capsys.readouterr().out)[0]["refused"]


def test_probing_and_the_doctor_from_the_command_line(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with VirtualBoard(bench / "board") as board:
        assert run("probe", "--port", board.port, "--json") == 1
        assert json_lines(capsys.readouterr().out)[0]["state"] == "boot_loop"
        assert run("doctor", "--port", board.port, "--json") == 1
        assert json_lines(capsys.readouterr().out)[-1]["verdict"] == "bad"
    assert run("ports", "--json") == 0
