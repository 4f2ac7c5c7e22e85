"""The first registers of a new meter: out of what its gateway shows; missing is never zero."""

from __future__ import annotations

from typing import Any

import pytest

from host_tools.cli.pair import said
from host_tools.pairing.first_reading import (
    FRAMES_SHOWN_MAX,
    Console,
    await_reading,
    registers_in,
)

HEX_ID = "00112233aabbccdd"
AT_S = 1_772_366_400
AT = "2026-03-01 12:00:00 UTC"
STATUS = {"kind": "status"}
PROFILE = {"kind": "profile", "end_s": AT_S, "registers_wh": {"1.8.0": 1}}


def a_message(**changes: Any) -> dict[str, Any]:
    """As the admin interface shows registers."""
    energies = {"1.8.0": 12_345, "2.8.0": 0}
    return {"kind": "registers", "at_s": AT_S, "registers_wh": energies, **changes}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (a_message(), {"at": AT, "import_wh": 12_345, "export_wh": 0}),
        (a_message(registers_wh={"1.8.0": 0}), {"at": AT, "import_wh": 0, "export_wh": None}),
        (a_message(registers_wh={"1.8.0": 7, "2.8.0": None}),
         {"at": AT, "import_wh": 7, "export_wh": None}),
        (a_message(at_s=None), {"at": None, "import_wh": 12_345, "export_wh": 0}),
        (a_message(registers_wh={"2.8.0": 5}), None),
        (a_message(registers_wh={"1.8.0": None, "2.8.0": 5}), None),
        (a_message(registers_wh={}), None),
        ({"kind": "registers", "at_s": AT_S, "registers_varh": {"3.8.0": 1}}, None),
        (STATUS, None),
        (PROFILE, None),
        (None, None),
        ("registers", None),
    ],
)  # fmt: skip
def test_registers_are_read_out_of_a_shown_message(message: Any, shown: Any) -> None:
    assert registers_in(message) == shown


class Gateway:
    """Accepted frames that said these, and a command that was done."""

    def __init__(self, *messages: Any) -> None:
        self.messages = messages

    def command(self, hex_id: str, name: str) -> int:
        return 1

    def command_state(self, number: int) -> dict[str, Any]:
        return {"state": "done", "ended_s": AT_S + 1}

    def frame(self, hex_id: str, frame_counter: int) -> dict[str, Any] | None:
        if frame_counter >= len(self.messages):
            return None
        message = self.messages[frame_counter]
        return {"journal_id": 5} if message is ... else {"journal_id": 5, "message": message}


def noted(*messages: Any, first: bool = True) -> dict[str, Any]:
    gateway: Any = Gateway(*messages)
    console, before = Console(None), dict[str, int]()
    return await_reading(gateway, HEX_ID, console, before, None, lambda _: None, first=first)


def test_the_first_registers_among_the_frames_are_noted() -> None:
    later = a_message(registers_wh={"1.8.0": 99, "2.8.0": 99})
    note = noted(STATUS, PROFILE, a_message(), later)
    assert note["frames"] == [0, 1, 2, 3]
    assert note["registers"] == {"at": AT, "import_wh": 12_345, "export_wh": 0}
    assert note["answered"] == "2026-03-01 12:00:01 UTC"


@pytest.mark.parametrize("messages", [(), (STATUS, PROFILE), (..., ...)], ids=str)
def test_without_registers_none_are_noted(messages: tuple[Any, ...]) -> None:
    note = noted(*messages)  # the last is a gateway that does not show messages yet
    assert "registers" not in note
    assert note["frames"] == list(range(len(messages)))


@pytest.mark.parametrize(("before", "seen"), [(15, True), (16, False)])
def test_registers_are_looked_for_among_so_many_frames(before: int, seen: bool) -> None:
    note = noted(*[STATUS] * before, a_message())
    assert len(note["frames"]) == FRAMES_SHOWN_MAX
    assert ("registers" in note) is seen


def test_of_a_meter_that_was_heard_before_no_old_reading_is_shown() -> None:
    assert noted(a_message(), first=False).keys() == {"answered", "answered_s", "command"}


@pytest.mark.parametrize(
    ("registers", "text"),
    [
        ({"at": AT, "import_wh": 12_345, "export_wh": 7},
         f"import 12.345 kWh, export 0.007 kWh at {AT}"),
        ({"at": AT, "import_wh": 0, "export_wh": None}, f"import 0.000 kWh at {AT}"),
        ({"at": None, "import_wh": 1_000_000, "export_wh": None},
         "import 1000.000 kWh, read before the meter knew the time"),
    ],
)  # fmt: skip
def test_a_reading_is_a_sentence(registers: dict[str, Any], text: str) -> None:
    assert said(registers) == text
