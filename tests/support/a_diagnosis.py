"""A diagnosis that is checked to say what it told, in time; and one check of it."""

from __future__ import annotations

import json
import time
from typing import Any

from host_tools.checks.case import Asked
from host_tools.checks.checked import Checked
from host_tools.doctor import Diagnosis, Tools, doctor
from host_tools.line.probe import NEXT_STEPS

FIRST_S_MAX = 5.0


class Told(list[dict[str, Any]]):
    """Every event, and how long the first one took."""

    def __init__(self) -> None:
        super().__init__()
        self.began_s = time.monotonic()
        self.first_s = -1.0

    def tell(self, event: dict[str, Any]) -> None:
        if self.first_s < 0:
            self.first_s = time.monotonic() - self.began_s
        self.append(event)


def looked(port: str, asked: Asked | None = None, tools: Tools | None = None) -> Diagnosis:
    """A diagnosis that says what it told, in time."""
    told = Told()
    found = doctor(port, asked, tools, told.tell)
    assert told.first_s <= FIRST_S_MAX
    assert found.first_s <= told.first_s
    assert told[0]["event"] == "state"
    assert told[0]["state"] == found.state
    assert found.next_step == NEXT_STEPS[found.state]
    checks = [event for event in told if event["event"] == "check"]
    assert [event["name"] for event in checks] == [checked.name for checked in found.checks]
    assert json.loads(json.dumps(found.as_data()))["checks"] == [
        {name: value for name, value in event.items() if name != "event"}
        for event in json.loads(json.dumps(checks))
    ]
    return found


def expect_good(found: Checked, *words: str) -> None:
    assert (found.verdict, found.cause, found.next_step) == ("good", "", ""), found
    assert all(word in found.measured for word in words), found


def expect(found: Checked, verdict: str, cause: str, *words: str) -> None:
    assert (found.verdict, found.cause) == (verdict, cause), found
    assert found.next_step
    assert all(word in found.measured for word in words), found
