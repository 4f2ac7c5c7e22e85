"""What every test session here does: every runtime for dual files, and no skips."""

import signal
from pathlib import Path

import pytest

from tests.support.no_skips import (  # noqa: F401  (hooks)
    pytest_configure,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from tests.support.unix_port import UnixPortFile, collect_on_unix_port, collect_on_word32
from tests.support.whole_run import WholeRun, is_whole

TESTS = Path(__file__).resolve().parent
DUAL_FOLDERS = (TESTS / "wire", TESTS / "firmware")
NEEDS_AN_OS = ("test_unix_world.py",)  # the 32-bit port has no sockets and no files of its own


def is_dual(file_path: Path) -> bool:
    """Says whether a file holds tests that every Python here runs."""
    dual = any(file_path.is_relative_to(folder) for folder in DUAL_FOLDERS)
    return dual and file_path.name.startswith("test_") and file_path.suffix == ".py"


@pytest.hookimpl(trylast=True)  # the plain tests of a file come first
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> UnixPortFile | None:
    """Collects tests/wire and tests/firmware a second time, for the MicroPython unix port."""
    return collect_on_unix_port(file_path, parent) if is_dual(file_path) else None


class Word32:
    """Collects them a third time, for 32-bit words. A plugin of its own: each is asked once."""

    @pytest.hookimpl(trylast=True)
    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> UnixPortFile | None:
        if not is_dual(file_path) or file_path.name in NEEDS_AN_OS:
            return None
        return collect_on_word32(file_path, parent)


def pytest_sessionstart(session: pytest.Session) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun behind a shell's `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests start must hear it
    session.config.pluginmanager.register(Word32())
    if is_whole(session.config):
        session.config.pluginmanager.register(WholeRun(TESTS.parent))
