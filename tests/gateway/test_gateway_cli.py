"""The command line as a whole: every noun is mounted, helps itself, and starts fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from gateway import __main__ as command_line
from gateway.cli import common
from gateway.errors import UsageError
from tests.support.gateway import a_home, a_meter

ROOT = Path(__file__).resolve().parents[2]
FILES = {path.stem for path in (ROOT / "gateway/cli").glob("*.py")} - {"__init__", "common"}


def gateway(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "COLUMNS": "200"} | environ,
    )  # fmt: skip


def test_every_file_of_the_command_line_is_mounted() -> None:
    assert {*command_line.COMMANDS, *command_line.NOUNS} == FILES


def test_every_command_helps_itself_and_gives_an_example() -> None:
    for name in (*command_line.COMMANDS, *command_line.NOUNS, "run"):
        command_line._mount(name)
    pending = [("gateway", get_command(command_line.app))]
    seen = 0
    while pending:
        name, command = pending.pop()
        inner = getattr(command, "commands", None)
        if inner:
            pending += [(f"{name} {word}", each) for word, each in inner.items()]
            continue
        seen += 1
        assert command.help, name
        assert "Example" in (command.epilog or ""), name
    assert seen > 30


def test_every_listing_speaks_json() -> None:
    for name in command_line.NOUNS:
        command_line._mount(name)
    groups = getattr(get_command(command_line.app), "commands", {})
    listings = [
        (noun, group.commands["list"])
        for noun, group in groups.items()
        if "list" in getattr(group, "commands", {})
    ]
    assert len(listings) >= 6
    for noun, listing in listings:
        names = {option for parameter in listing.params for option in parameter.opts}
        assert {"--json", "--config"} <= names, noun


def test_the_first_screen_names_every_noun() -> None:
    shown = gateway("--help")
    assert shown.returncode == 0
    for name in (*command_line.COMMANDS, *command_line.NOUNS, "run"):
        assert f" {name} " in shown.stdout


def test_the_shell_completes_nouns_and_their_commands() -> None:
    name = command_line.NAME
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    script = gateway("--show-completion", "bash")
    nouns = gateway(**{variable: "complete_bash", "COMP_WORDS": f"{name} me", "COMP_CWORD": "1"})
    inner = gateway(
        **{variable: "complete_bash", "COMP_WORDS": f"{name} meters rev", "COMP_CWORD": "2"}
    )
    assert nouns.stdout.split() == ["meters"]
    assert inner.stdout.split() == ["revoke"]
    assert "Traceback" not in script.stderr + nouns.stderr


@pytest.mark.parametrize(
    "module", ["litestar", "uvicorn", "gateway.cli.meters", "gateway.admin.checking", "jinja2"]
)
def test_running_loads_only_what_runs(module: str) -> None:
    probe = (
        "import sys\n"
        "from gateway import __main__, service\n"
        "__main__._mount('run')\n"
        f"assert {module!r} not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_variable_names_the_configuration(tmp_path: Path) -> None:
    config = a_home(tmp_path, a_meter())
    listed = gateway("meters", "list", "--json", OPENLICZNIK_GATEWAY_CONFIG=str(config))
    assert json.loads(listed.stdout)[0]["meter_id"] == a_meter().hex_id
    checked = gateway("run", "--check-config", OPENLICZNIK_GATEWAY_CONFIG=str(config))
    assert checked.stdout == f"{config}: good\n"


def test_every_problem_of_a_configuration_is_one_line_and_the_exit_code_is_2(
    tmp_path: Path,
) -> None:
    config = a_home(tmp_path)
    config.write_text('gateway_id = "g"\nwrong = 1\n[endpoint]\nport = "x"\n')
    refused = gateway("run", "--check-config", "--config", str(config))
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 2
    assert '"wrong"' in refused.stderr
    assert '"endpoint.port"' in refused.stderr


def test_a_mistake_in_any_noun_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    config = str(a_home(tmp_path, a_meter()))
    for words in (
        ["meters", "revoke", "nothex"],
        ["meters", "revoke", "00" * 8],
        ["command", "cancel", "77"],
        ["schedule", "remove", "77"],
        ["update", "status", "77"],
        ["outages", "unplan", "77"],
        ["parked", "show", "77"],
        ["audit", "verify", "--kept", "x"],
    ):
        refused = gateway(*words, "--config", config)
        assert refused.returncode == 2, (words, refused.stderr)
        assert refused.stderr.count("\n") == 1, words
        assert refused.stderr.startswith("gateway: "), words


@pytest.mark.parametrize(
    ("environ", "who"),
    [
        ({"LOGNAME": "anna"}, "anna"),
        ({"LOGNAME": "root", "SUDO_USER": "anna"}, "anna as root"),
        ({"LOGNAME": "anna", "SUDO_USER": "anna"}, "anna"),
    ],
)
def test_the_audit_log_names_who_called(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], who: str
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert common.actor() == who


def test_a_user_without_a_name_acts_under_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(common.getpass, "getuser", nameless)
    assert common.actor() == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    ("text", "is_good"),
    [("00" * 8, True), ("00" * 7, False), ("00" * 9, False), ("0" * 15 + "g", False), ("", False)],
)
def test_a_meter_id_has_sixteen_hex_digits(text: str, is_good: bool) -> None:
    if is_good:
        assert common.meter_id_of(text) == bytes(8)
    else:
        with pytest.raises(UsageError, match="16 hex digits"):
            common.meter_id_of(text)
