"""What every test session here does: both runtimes for dual files, and no skips."""

from pathlib import Path

import pytest

from tests.support.no_skips import (  # noqa: F401  (hooks)
    pytest_configure,
    pytest_sessionfinish,
    pytest_terminal_summary,
)
from tests.support.unix_port import UnixPortFile, collect_on_unix_port

TESTS = Path(__file__).resolve().parent
DUAL_FOLDERS = (TESTS / "wire", TESTS / "firmware")


@pytest.hookimpl(trylast=True)  # the plain tests of a file come first
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> UnixPortFile | None:
    """Collects tests/wire and tests/firmware a second time, for the MicroPython unix port."""
    dual = any(file_path.is_relative_to(folder) for folder in DUAL_FOLDERS)
    if dual and file_path.name.startswith("test_") and file_path.suffix == ".py":
        return collect_on_unix_port(file_path, parent)
    return None
