"""The README is always true: its commands run, its links lead somewhere, its output is ours."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN_WAIT_S = 110  # `make run` shows a week in about one minute


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in _blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _shape(line: str) -> str:
    """A line of output without what differs from run to run: identities, ports, batching."""
    line = re.sub(r"\b[0-9a-f]{16}\b|127\.0\.0\.1:\d+", "N", line).strip()
    travels = ("frame", "accepted", "batch")
    return re.sub(r"\d+", "N", line) if line.startswith(travels) else line


def _make(command: str) -> str:
    """What a `make` line of the README would run, without running it."""
    words = shlex.split(command)
    done = subprocess.run(
        [*words, "-n"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def test_the_first_screen_has_the_two_commands() -> None:
    first = README.splitlines()[:45]
    assert any("make run" in line for line in first)
    assert any("make test" in line for line in first)


@pytest.mark.parametrize("command", _commands())
def test_every_command_exists(command: str) -> None:
    if command.startswith("make"):
        assert ".py" in _make(command) or "-m" in _make(command)
        return
    words = shlex.split(command)
    assert words[:2] == [".venv/bin/python", "-m"], f"the README shows make and -m: {command}"
    module = [word for word in words[2:] if not word.startswith(("-", "<", ">"))][:2]
    done = subprocess.run(
        [sys.executable, "-m", *_subcommand(module), "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _subcommand(module: list[str]) -> list[str]:
    """Module and, where it has them, its first subcommand."""
    has_commands = (ROOT / module[0] / "__main__.py").exists()
    return module if has_commands else module[:1]


def test_make_run_prints_what_the_readme_shows() -> None:
    shown = [line for block in _blocks("text") for line in block.splitlines()]
    assert any("The trip of interval" in line for line in shown)
    venv = Path(sys.executable).parent.parent.name == ".venv"
    command = ["make", "run", "ARGS=--once"] if venv else [
        sys.executable, "-m", "host_tools.chain", "--once"
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_WAIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = {_shape(line) for line in (done.stdout + done.stderr).splitlines()}
    missing = [line for line in shown if _shape(line) not in printed]
    assert not missing, f"the README shows what make run does not print: {missing}"


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_every_link_leads_to_a_file(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    for link in links:
        assert not link.startswith("http"), f"{page}: {link}: name it, do not link out"
        assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"
