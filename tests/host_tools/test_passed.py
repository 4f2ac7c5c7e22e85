"""Tests that passed are not run twice on the same files, and always on any others."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from host_tools import check, passed
from tests.support.whole_run import WholeRun, is_whole

MARGIN_S = 60  # a slow machine may take this long between two lines


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with a tracked file, a new one, and one that git ignores."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/ignored\n/.pytest_cache/\n/.venv/\n")
    (tmp_path / "tracked.py").write_text("1\n")
    subprocess.run(["git", "-C", tmp_path, "add", "."], check=True)
    (tmp_path / "new.py").write_text("2\n")
    (tmp_path / ".venv").mkdir()
    passed.note(tmp_path, passed.tree_digest(tmp_path))
    return tmp_path


def test_what_passed_holds_while_no_file_differs(tree: Path) -> None:
    (tree / "ignored").write_text("no matter")
    assert passed.holds(tree)
    (tree / passed.STAMP).unlink()
    assert not passed.holds(tree)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "tracked.py").write_text("11\n"),
        lambda tree: (tree / "new.py").write_text("22\n"),
        lambda tree: (tree / "another.py").write_text(""),
        lambda tree: (tree / "tracked.py").unlink(),
        lambda tree: (tree / "new.py").rename(tree / "newer.py"),
        lambda tree: (tree / passed.PACKAGES).write_text("{}"),
    ],
    ids=["tracked", "untracked", "added", "removed", "renamed", "packages"],
)
def test_any_other_file_is_another_tree(tree: Path, change: Callable[[Path], object]) -> None:
    before = passed.tree_digest(tree)
    change(tree)
    assert not passed.holds(tree)
    passed.note(tree, before)
    assert not passed.holds(tree), "it changed while its tests ran"


@pytest.mark.parametrize(
    ("age_s", "holds"),
    [(passed.AGE_S_MAX - MARGIN_S, True), (passed.AGE_S_MAX + 1, False), (-MARGIN_S, False)],
)
def test_it_holds_for_three_hours(tree: Path, age_s: int, holds: bool) -> None:
    os.utime(tree / passed.STAMP, (time.time() - age_s,) * 2)
    assert passed.holds(tree) is holds


def test_outside_of_git_nothing_is_known(tmp_path: Path) -> None:
    assert passed.tree_digest(tmp_path) is None
    passed.note(tmp_path, None)
    assert not passed.holds(tmp_path)


def test_only_a_whole_session_without_a_failure_is_noted(tree: Path) -> None:
    def config(*args: str, **more: object) -> Any:
        return SimpleNamespace(invocation_params=SimpleNamespace(args=args), **more)

    assert is_whole(config())
    assert not is_whole(config("tests/wire"))
    assert not is_whole(config(workerinput={}))
    (tree / passed.STAMP).unlink()
    ended: Any = SimpleNamespace(exitstatus=pytest.ExitCode.TESTS_FAILED)
    WholeRun(tree).pytest_sessionfinish(ended)
    assert not passed.holds(tree)
    ended.exitstatus = pytest.ExitCode.OK
    WholeRun(tree).pytest_sessionfinish(ended)
    assert passed.holds(tree)


def test_the_check_leaves_out_tests_that_passed_and_nothing_else(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[list[str]] = []

    def run_all(todo: dict[str, list[str]], _root: Path) -> list[str]:
        done.append(list(todo))
        return []

    monkeypatch.setattr(check, "ROOT", tree)
    monkeypatch.setattr(check, "run_all", run_all)
    assert check.main([]) == 0
    (tree / "tracked.py").write_text("other\n")
    assert check.main([]) == 0
    rest = ["lint", "layout", "types"]
    assert done == [rest, [*rest, check.TESTS]]
