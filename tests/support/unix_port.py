"""Collects a dual-runtime test file again, to run on MicroPython: 64-bit words, and 32-bit ones.

Every `test_x` of such a file becomes `test_x[unix-port]` beside the plain one, and where Node.js is
`test_x[32-bit]` too, on MicroPython's WebAssembly port, whose small integers have 31 bits as on the
chip. One MicroPython process (40 ms to start, 300 ms with 32 bits) serves all selected tests of a
file, in order, under -k, node ids and xdist's loadfile alike. A conftest uses it as

    def pytest_collect_file(file_path, parent):
        return collect_on_unix_port(file_path, parent)
"""

import ast
import fcntl
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from host_tools.micropython import ROOT, MicroPythonMissing, find_micropython, micropython_env

TEST_TIMEOUT_S = 60  # below pytest's own 120 s, so that a hung test is reported by its name
HEAP_BYTES = 16 << 20  # room for exhaustive tests; firmware's own heap budget has its own test
OUTPUT_BYTES_MAX = 1 << 20  # of one test; a test that prints more is stopped
MARK = b"\x1eunix-port "  # as in unix_port_runner.py
RUNNER = "tests.support.unix_port_runner"
WORD32 = Path(__file__).resolve().parent / "word32"
WORD32_PACKAGES = ROOT / ".lib" / "word32" / "node_modules"
FETCH_TIMEOUT_S = 120


class Runtime(NamedTuple):
    """A MicroPython that runs dual tests: its name in their ids, and how it is started."""

    label: str
    command: Callable[[], list[str]]  # without the runner's arguments


def collect_on_unix_port(file_path: Path, parent: pytest.Collector) -> "UnixPortFile":
    """Returns the collector of one dual-runtime test file for the unix port."""
    return UnixPortFile.from_parent(parent, path=file_path, runtime=UNIX_PORT)


def collect_on_word32(file_path: Path, parent: pytest.Collector) -> "UnixPortFile | None":
    """Returns its collector for 32-bit words; None where no Node.js is, outside CI."""
    if shutil.which("npm") is None and not os.environ.get("CI"):
        return None
    return UnixPortFile.from_parent(parent, path=file_path, runtime=WORD_32)


def _unix_port() -> list[str]:
    try:
        interpreter = find_micropython()
    except MicroPythonMissing as error:
        raise UnixPortFailure(str(error)) from None
    return [str(interpreter), "-X", f"heapsize={HEAP_BYTES}", "-m", RUNNER]


def _word_32() -> list[str]:
    _fetch_word32()
    program = str(WORD32 / "micropython32.mjs")
    return ["node", program, str(WORD32_PACKAGES), str(ROOT), str(HEAP_BYTES)]


def _fetch_word32() -> None:
    """Installs the pinned package into the ignored `.lib`, once, whoever of us comes first."""
    folder = WORD32_PACKAGES.parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = ("package.json", "package-lock.json")
        wanted = [(WORD32 / name).read_text("utf-8") for name in names]
        done = folder / "installed"
        if done.is_file() and done.read_text("utf-8") == "".join(wanted):
            return
        for name, text in zip(names, wanted, strict=True):
            (folder / name).write_text(text, "utf-8")
        ended = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
        if ended.returncode:
            raise UnixPortFailure(f"npm could not fetch the 32-bit MicroPython:\n{ended.stderr}")
        done.write_text("".join(wanted), "utf-8")


UNIX_PORT = Runtime("unix-port", _unix_port)
WORD_32 = Runtime("32-bit", _word_32)


def names_of_tests(source: str) -> list[str]:
    """Returns the names of the tests in a dual-runtime file, in order.

    Raises ValueError for what cannot run on MicroPython: async tests, fixtures, decorators
    and an import of pytest.
    """
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom) and "pytest" in ast.unparse(node):
            raise ValueError(f"line {node.lineno}: MicroPython has no pytest; use bare assert")
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
            raise ValueError(f"line {node.lineno}: call asyncio.run inside a plain def {node.name}")
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            if node.decorator_list or ast.unparse(node.args):
                raise ValueError(f"line {node.lineno}: {node.name} takes no fixture or decorator")
            names.append(node.name)
    return names


class UnixPortFile(pytest.File):
    """One dual-runtime file as MicroPython sees it; owns the process while its tests run."""

    process: "UnixPortProcess | None" = None

    def __init__(self, *, runtime: Runtime, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.runtime = runtime

    def collect(self) -> "list[UnixPortItem]":
        try:
            names = names_of_tests(self.path.read_text("utf-8"))
        except SyntaxError:
            return []  # the plain collection of this file reports it, with its line
        except ValueError as error:
            raise self.CollectError(
                f"{self.path.name} cannot run on MicroPython: {error}"
            ) from error
        return [
            UnixPortItem.from_parent(self, name=f"{name}[{self.runtime.label}]", test=name)
            for name in names
        ]

    def setup(self) -> None:
        selected = [
            item.test
            for item in self.session.items
            if isinstance(item, UnixPortItem) and item.parent is self
        ]
        self.process = UnixPortProcess(self.runtime, self.path, list(dict.fromkeys(selected)))

    def teardown(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None


class UnixPortItem(pytest.Item):
    """One test of a dual-runtime file on MicroPython."""

    def __init__(self, *, test: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.test = test

    def runtest(self) -> None:
        process = self.parent.process if isinstance(self.parent, UnixPortFile) else None
        assert process is not None, "the file's MicroPython process starts in its setup"
        output = process.run(self.test)
        if output.strip():
            self.add_report_section("call", "unix-port output", output)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, UnixPortFailure):
            label = self.parent.runtime.label if isinstance(self.parent, UnixPortFile) else ""
            return f"on MicroPython ({label}):\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class UnixPortFailure(Exception):
    """A test failed on MicroPython, or MicroPython itself did; the text says which."""


class UnixPortProcess:
    """A MicroPython process that runs the named tests of one file, one after another."""

    def __init__(self, runtime: Runtime, path: Path, names: list[str]) -> None:
        folder, module = import_name(path)
        self._process = subprocess.Popen(
            [*runtime.command(), folder, module, *names],
            env=micropython_env(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._unread = b""
        self._ended = ""  # why the process is gone, with what it had printed

    def run(self, name: str) -> str:
        """Waits for the result of test `name`; returns what the test printed.

        Raises UnixPortFailure with MicroPython's traceback, or with the process's output when it
        crashed or was stopped; every later test of the file then fails the same way.
        """
        if self._ended:
            raise UnixPortFailure(self._ended)
        printed = b""
        deadline_s = time.monotonic() + TEST_TIMEOUT_S
        while True:
            line = self._read_line(deadline_s, name, printed)
            if not line.startswith(MARK):
                printed += line
                continue
            result = json.loads(line[len(MARK) :])
            if "import_failed" in result:
                self._end(f"the file could not be imported\n{result['import_failed']}", b"")
            if result["test"] == name:
                return self._judge(result, printed.decode("utf-8", "replace"))
            printed = b""  # the result of a deselected test; not ours to report

    def stop(self) -> None:
        """Ends the process if it still runs, and reaps it."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _judge(self, result: dict[str, Any], printed: str) -> str:
        if result["ok"]:
            return printed
        raise UnixPortFailure(f"{with_source_lines(result['trace'])}{shown(printed)}")

    def _read_line(self, deadline_s: float, name: str, printed: bytes) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    self._end(f"{name} did not end within {TEST_TIMEOUT_S} s; stopped", printed)
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    code = self._process.wait()
                    self._end(f"MicroPython ended (exit code {code}) before {name} did", printed)
                self._unread += chunk
                if len(printed) + len(self._unread) > OUTPUT_BYTES_MAX:
                    self._end(f"{name} printed over {OUTPUT_BYTES_MAX} bytes; stopped", b"")
        line, _, self._unread = self._unread.partition(b"\n")
        return line + b"\n"

    def _end(self, why: str, printed: bytes) -> None:
        self._process.kill()
        self._ended = why + shown((printed + self._unread).decode("utf-8", "replace"))
        raise UnixPortFailure(self._ended)


def import_name(path: Path) -> tuple[str, str]:
    """Returns (folder to add to the import path or "", module name) of a test file."""
    if path.is_relative_to(ROOT):
        return "", ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return str(path.parent), path.stem


def with_source_lines(trace: str) -> str:
    """Returns MicroPython's traceback with the source line under each `File` line."""
    shown_lines = []
    for line in trace.splitlines():
        shown_lines.append(line)
        parts = line.split('"')
        if line.startswith("  File ") and len(parts) == 3 and Path(parts[1]).is_file():
            number = int(parts[2].split(",")[1].removeprefix(" line "))
            source = Path(parts[1]).read_text("utf-8").splitlines()
            if 0 < number <= len(source):
                shown_lines.append(f"    {source[number - 1].strip()}")
    return "\n".join(shown_lines)


def shown(printed: str) -> str:
    """Returns the output of a failed test, labelled; empty when there is none."""
    return f"\n--- it printed ---\n{printed.strip()}" if printed.strip() else ""
