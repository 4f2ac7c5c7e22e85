"""Notes a test session that ran everything and in which everything passed: host_tools/passed.py."""

from pathlib import Path

import pytest

from host_tools import passed


class WholeRun:
    """A plugin of the session that hands the tests out; of a run of some tests it notes nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._digest = passed.tree_digest(root)

    @pytest.hookimpl(trylast=True)  # no_skips may have made a failure of it
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK:
            passed.note(self._root, self._digest)


def is_whole(config: pytest.Config) -> bool:
    """Whether this is the session that hands out, and it was asked for nothing in particular."""
    return not config.invocation_params.args and not hasattr(config, "workerinput")
