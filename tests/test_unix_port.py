"""Proves the collector that runs dual tests on MicroPython: it finds them, and it can fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.micropython import ROOT, MicroPythonMissing, find_micropython, micropython_env
from tests.support.unix_port import import_name, names_of_tests, with_source_lines

CONFTEST = """
from tests.support.no_skips import pytest_configure, pytest_sessionfinish, pytest_terminal_summary
from tests.support.unix_port import collect_on_unix_port

def pytest_collect_file(file_path, parent):
    if file_path.name.startswith("test_"):
        return collect_on_unix_port(file_path, parent)
"""
IS_MICROPYTHON = "import sys\nON_METER = sys.implementation.name == 'micropython'\n"


def run_pytest(folder: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Runs pytest on a folder of its own with the collector on; returns exit code and output."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    plain = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments, str(folder)],
        env={**plain, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def a_dual_file(folder: Path, source: str, name: str = "test_dual.py") -> None:
    (folder / name).write_text(source)


def test_a_dual_test_runs_on_both_pythons(tmp_path: Path) -> None:
    a_dual_file(tmp_path, IS_MICROPYTHON + "def test_x():\n    print('on meter', ON_METER)\n")
    code, output = run_pytest(tmp_path)
    assert code == 0
    assert "2 passed" in output
    assert "on meter False" in output
    assert "on meter True" in output


def test_a_failing_dual_test_fails_on_both_and_shows_the_line(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "def test_x():\n    a = 2\n    assert a > 3, 'too small'\n")
    code, output = run_pytest(tmp_path)
    assert code == 1
    assert "FAILED test_dual.py::test_x -" in output
    assert "FAILED test_dual.py::test_x[unix-port] -" in output
    meter_side = output.partition("on MicroPython (unix-port)")[2]
    assert (
        "line 3, in test_x\n    assert a > 3, 'too small'\nAssertionError: too small" in meter_side
    )


def test_a_test_that_fails_only_on_micropython_is_reported_as_that(tmp_path: Path) -> None:
    a_dual_file(tmp_path, IS_MICROPYTHON + "def test_x():\n    assert not ON_METER\n")
    code, output = run_pytest(tmp_path)
    assert code == 1
    assert "PASSED test_dual.py::test_x\n" in output
    assert "FAILED test_dual.py::test_x[unix-port]" in output


def test_one_failure_leaves_the_next_test_its_own_verdict(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "def test_a():\n    raise SystemExit\ndef test_b():\n    assert True\n")
    _, output = run_pytest(tmp_path, "-k", "unix-port")
    assert "FAILED test_dual.py::test_a[unix-port]" in output
    assert "PASSED test_dual.py::test_b[unix-port]" in output


def test_a_crash_of_micropython_fails_that_test_and_the_rest(tmp_path: Path) -> None:
    crash = "    if ON_METER:\n        os.system('kill -9 $PPID')\n"
    a_dual_file(
        tmp_path,
        f"{IS_MICROPYTHON}import os\ndef test_a():\n    assert True\ndef test_b():\n"
        f"    print('so far')\n{crash}def test_c():\n    assert True\n",
    )
    code, output = run_pytest(tmp_path)
    assert code == 1
    assert "PASSED test_dual.py::test_a[unix-port]" in output
    assert "FAILED test_dual.py::test_b[unix-port]" in output
    assert "FAILED test_dual.py::test_c[unix-port]" in output
    assert "MicroPython ended (exit code -9) before test_b did" in output
    assert "so far" in output


def test_a_hung_test_is_stopped_and_named(tmp_path: Path) -> None:
    a_dual_file(
        tmp_path,
        IS_MICROPYTHON + "def test_a():\n    while ON_METER:\n        pass\n",
    )
    limit = "\nfrom tests.support import unix_port\nunix_port.TEST_TIMEOUT_S = 1\n"
    (tmp_path / "limit.py").write_text(limit)
    _, output = run_pytest(tmp_path, "-p", "limit", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert "test_a did not end within 1 s; stopped" in output


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import pytest\ndef test_x():\n    assert 1\n", "MicroPython has no pytest"),
        ("async def test_x():\n    assert 1\n", "call asyncio.run inside"),
        ("def test_x(tmp_path):\n    assert 1\n", "takes no fixture or decorator"),
    ],
)
def test_what_micropython_cannot_run_is_refused_with_its_line(
    tmp_path: Path, source: str, why: str
) -> None:
    a_dual_file(tmp_path, source)
    code, output = run_pytest(tmp_path)
    assert code == 2
    assert "test_dual.py cannot run on MicroPython: line 1: " in output
    assert why in output


def test_a_file_micropython_cannot_import_fails_with_its_traceback(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "import dataclasses\ndef test_x():\n    assert 1\n")
    code, output = run_pytest(tmp_path)
    assert code == 1
    assert "PASSED test_dual.py::test_x\n" in output
    assert "ImportError: no module named 'dataclasses'" in output


def test_one_test_is_chosen_by_its_name_on_either_python(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "def test_a():\n    assert 1\ndef test_b():\n    assert 1\n")
    code, output = run_pytest(tmp_path, "-k", "test_b and unix-port")
    assert code == 0
    assert "1 passed, 3 deselected" in output


def test_under_xdist_a_file_keeps_to_one_worker_and_one_process(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "def test_a():\n    assert 1\ndef test_b():\n    assert 1\n")
    code, output = run_pytest(
        tmp_path,
        "-p",
        "xdist",
        "-n",
        "1",
        "--dist",
        "loadfile",
        "--deselect",
        "test_dual.py::test_a",
    )
    assert code == 0
    assert "2 passed" in output


def test_a_missing_micropython_fails_the_tests_and_says_what_to_set(tmp_path: Path) -> None:
    a_dual_file(tmp_path, "def test_a():\n    assert 1\n")
    code, output = run_pytest(tmp_path, MICROPYTHON="/nowhere/micropython")
    assert code == 1
    assert "MICROPYTHON=/nowhere/micropython is not a program" in output


@pytest.mark.parametrize("excuse", ["skip('later')", "xfail('known')"])
def test_a_skipped_test_fails_the_session(tmp_path: Path, excuse: str) -> None:
    source = f"import pytest\ndef test_a():\n    pytest.{excuse}\n"
    (tmp_path / "plain_test.py").write_text(source)
    code, output = run_pytest(tmp_path)
    assert code == 1
    assert "REFUSED: skipped or xfailed: plain_test.py::test_a" in output


def test_a_module_inside_the_repository_has_its_whole_name() -> None:
    assert import_name(ROOT / "tests/wire/test_frame.py") == ("", "tests.wire.test_frame")
    assert import_name(Path("/elsewhere/test_a.py")) == ("/elsewhere", "test_a")


def test_a_traceback_line_without_a_source_is_left_as_it_is() -> None:
    trace = '  File "frozen.py", line 3, in f\nOSError: 5'
    assert with_source_lines(trace) == trace


def test_tests_are_found_in_the_order_of_the_file() -> None:
    assert names_of_tests("def test_b(): pass\ndef helper(x): pass\ndef test_a(): pass") == [
        "test_b",
        "test_a",
    ]


def test_the_named_micropython_comes_before_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "micropython"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("MICROPYTHON", str(own))
    assert find_micropython() == own
    own.chmod(0o644)
    with pytest.raises(MicroPythonMissing, match="is not a program"):
        find_micropython()


def test_without_any_micropython_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(MicroPythonMissing, match="set MICROPYTHON=/path/to/micropython"):
        find_micropython(tmp_path)


def test_a_meter_sees_the_repository_then_lib_then_what_is_frozen(tmp_path: Path) -> None:
    assert micropython_env(tmp_path)["MICROPYPATH"] == f"{tmp_path}:{tmp_path}/.lib:.frozen"
