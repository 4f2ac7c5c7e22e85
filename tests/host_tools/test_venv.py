"""Proves the set-up: when a .venv is stale, that two makes wait, and what a person is told."""

import ast
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools import venv

SCRIPT = Path(venv.__file__)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A clone with small lock files."""
    for name in venv.LOCK_FILES.values():
        (tmp_path / name).write_text(f"{name[:3]}==1 --hash=sha256:00\n")
    return tmp_path


def a_built_venv(root: Path, kind: str) -> None:
    """What a finished set-up of `kind` leaves behind."""
    (root / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    wanted = venv.wanted_stamp(root)
    venv.write_stamp(root, {**wanted, "locks": {kind: wanted["locks"][kind]}})


def is_fresh(root: Path, kind: str) -> bool:
    return venv.serves(venv.read_stamp(root), venv.wanted_stamp(root), kind)


def test_a_clone_without_a_venv_is_not_fresh(root: Path) -> None:
    assert not is_fresh(root, "run")


@pytest.mark.parametrize(
    ("built", "asked", "fresh"),
    [("run", "run", True), ("dev", "dev", True), ("dev", "run", True), ("run", "dev", False)],
)
def test_a_venv_for_dev_serves_run_but_not_the_other_way(
    root: Path, built: str, asked: str, fresh: bool
) -> None:
    a_built_venv(root, built)
    assert is_fresh(root, asked) == fresh


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_a_changed_lock_file_makes_the_venv_stale(root: Path, kind: str) -> None:
    a_built_venv(root, kind)
    (root / venv.LOCK_FILES[kind]).write_text("other==2 --hash=sha256:00\n")
    assert not is_fresh(root, kind)


def test_a_moved_clone_is_stale_because_its_scripts_name_the_folder(root: Path) -> None:
    a_built_venv(root, "run")
    stamp = json.loads((root / ".venv" / venv.STAMP).read_text())
    venv.write_stamp(root, {**stamp, "root": "/elsewhere"})
    assert not is_fresh(root, "run")


def test_another_python_makes_the_venv_stale(root: Path) -> None:
    a_built_venv(root, "run")
    stamp = json.loads((root / ".venv" / venv.STAMP).read_text())
    venv.write_stamp(root, {**stamp, "python": "3.10.0"})
    assert not is_fresh(root, "run")


def test_a_venv_whose_python_is_gone_is_stale(root: Path) -> None:
    a_built_venv(root, "run")
    (root / ".venv/bin/python").unlink()
    assert not is_fresh(root, "run")


@pytest.mark.parametrize("torn", ["", "{", "[]", "null"])
def test_a_torn_stamp_is_a_stale_venv(root: Path, torn: str) -> None:
    a_built_venv(root, "run")
    (root / ".venv" / venv.STAMP).write_text(torn)
    assert not is_fresh(root, "run")


def test_a_half_built_venv_has_no_stamp(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_built_venv(root, "run")
    (root / venv.LOCK_FILES["run"]).write_text("other==2 --hash=sha256:00\n")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(venv, "run_child", lambda *_: 0)
    monkeypatch.setattr(venv, "install", stopped)
    with pytest.raises(KeyboardInterrupt):
        venv.ensure(root, "run")
    assert venv.read_stamp(root) is None


def test_growing_from_run_to_dev_keeps_the_venv_that_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    a_built_venv(root, "run")
    monkeypatch.setattr(venv, "create", lambda _: done.append("created"))
    monkeypatch.setattr(venv, "install", lambda _, kind: done.append(kind))
    monkeypatch.setattr(venv, "check_micropython", lambda _: None)
    monkeypatch.setattr(venv, "fetch_umqtt", lambda _: None)
    venv.ensure(root, "dev")
    venv.ensure(root, "dev")
    assert done == ["dev"], "installed on top, once, and not created anew"
    assert is_fresh(root, "run")
    assert is_fresh(root, "dev")


def test_a_missing_lock_file_is_named(root: Path) -> None:
    (root / "requirements.lock").unlink()
    with pytest.raises(venv.SetUpFailed, match=r"requirements\.lock is missing"):
        venv.wanted_stamp(root)


def test_a_second_make_waits_for_the_first(root: Path) -> None:
    with venv.one_at_a_time(root):
        folder = os.open(root, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(folder)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "differs from its hash"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for a==1",
            "no route to a package index",
        ),
        ("ERROR: No matching distribution found for a==1", "no wheel for this system"),
        ("ERROR: something new", "pip failed: ERROR: something new"),
    ],
)
def test_what_stopped_pip_is_told_in_one_line(log: str, said: str) -> None:
    told = venv.explain(log, Path("pip.log"))
    assert said in told
    assert "\n" not in told
    assert "pip.log" in told


def test_a_program_that_is_interrupted_leaves_no_child_behind(root: Path) -> None:
    seen: list[int] = []

    def stop_at_first_line(lines: object) -> None:
        seen.append(int(next(iter(lines))))  # type: ignore[call-overload]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        venv.run_child(["sh", "-c", "echo $$; sleep 60"], root, stop_at_first_line)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_no_wheel_of_micropython_is_said_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MICROPYTHON", raising=False)
    with pytest.raises(venv.SetUpFailed, match=r"no MicroPython wheel .*MICROPYTHON=/path") as told:
        venv.check_micropython(root)
    assert "\n" not in str(told.value)


def test_a_micropython_of_your_own_is_taken_or_refused_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROPYTHON", sys.executable)
    assert venv.check_micropython(root) is None  # type: ignore[func-returns-value]
    monkeypatch.setenv("MICROPYTHON", str(root / "nothing"))
    with pytest.raises(venv.SetUpFailed, match="nothing is not a program"):
        venv.check_micropython(root)


def test_a_wrong_word_gets_the_usage_and_exit_code_2() -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "everything"], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage:")


def test_a_python_too_old_can_read_the_script_far_enough_to_be_told() -> None:
    tree = ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 7))
    before_the_check = [ast.unparse(node) for node in tree.body[1:3]]
    assert before_the_check[0] == "import sys"
    assert before_the_check[1].startswith("if sys.version_info < (3, 11)")
    assert not [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.NamedExpr) or (isinstance(node, ast.With) and len(node.items) > 1)
    ], "these would be a syntax error there"
