"""docs/doctor.md says of every state and every check what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from host_tools import doctor
from host_tools.checks import current, itself, line, memory, pulses, reach, rings
from host_tools.checks.case import PULSES_MAX, PULSES_S, PULSES_S_MAX
from host_tools.checks.checked import ANY_STEPS
from host_tools.line.probe import NEXT_STEPS
from host_tools.micropython import ROOT

PAGE = (ROOT / "docs/doctor.md").read_text("utf-8")
EVERY = "every check that asks the board"


def rows_of_checks() -> Iterator[str]:
    for check in doctor.CHECKS:
        yield f"| `{check.name}` | {check.means} | {check.good_when} |"


def rows_of_causes() -> Iterator[str]:
    """What several checks have in common is one row."""
    found: dict[tuple[str, str], list[str]] = {}
    for check in doctor.CHECKS:
        for cause, step in check.steps.items():
            found.setdefault((cause, step), []).append(f"`{check.name}`")
    for (cause, step), names in found.items():
        yield f"| {', '.join(names)} | `{cause}` | {step} |"
    for cause, step in ANY_STEPS.items():
        yield f"| {EVERY} | `{cause}` | {step} |"


def test_every_state_stands_there_with_its_next_step() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]{10,} \| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert {state: rows.get(state) for state in NEXT_STEPS} == NEXT_STEPS


def test_every_check_and_every_cause_stands_there_as_the_code_has_it() -> None:
    wanted = [*rows_of_checks(), *rows_of_causes()]
    missing = [row for row in wanted if row not in PAGE.splitlines()]
    assert not missing, "\n".join(["", *missing])


def test_nothing_stands_there_that_the_code_does_not_have() -> None:
    tables = re.findall(r"^\| (?:`\w+`(?:, )?)+ \| .* \|$", PAGE, re.MULTILINE)
    states = [f"| `{state}` |" for state in NEXT_STEPS]
    known = {*rows_of_checks(), *rows_of_causes()}
    left = [row for row in tables if row not in known and not row.startswith(tuple(states))]
    assert not left, "\n".join(["", *left])
    assert len(tables) > len(states)


def test_every_limit_stands_there() -> None:
    for limit in (
        f"{doctor.PROBE_S:g} s",
        f"{PULSES_S:g} s, at most {PULSES_S_MAX:g} s",
        f"{PULSES_MAX} pulses",
        f"{line.RSSI_DBM_MIN} dBm",
        f"{itself.CLOCK_GOOD_S} s; {itself.CLOCK_SLEWED_S_MAX} s",
        f"{itself.HEAP_BYTES_MIN // 1024} KiB; {itself.IDF_BYTES_MIN // 1024} KiB",
        f"{memory.UNSETTLED_MAX} intervals",
        f"{memory.UNREADABLE_BLOCKS_MAX} block",
        f"{memory.WORN_PERCENT_MAX} %",
        f"{reach.CONNECT_WAIT_S:g} s",
        f"{rings.SCAN_WAIT_S:g} s",
        f"{pulses.QUIET_S:g} s",
        f"{current.ZERO_COUNTS_MAX} counts",
        f"{current.NOISE_COUNTS:g} counts",
        f"{current.FACTOR_MIN}",
    ):
        assert re.search(rf"^\| [^|]+ \| {re.escape(limit)}[ |,;]", PAGE, re.MULTILINE), limit
