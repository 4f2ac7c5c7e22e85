"""Says what is wrong with what is on a port: its state first, then each check, with one step each.

The state is named within PROBE_S, whatever is there. Where a REPL can be had, the board is stopped
for the checks that follow; what was stopped runs again at the end, also after a failure or ^C.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from host_tools.checks import current, itself, line, memory, pulses, reach, rings, security
from host_tools.checks.case import (
    Asked,
    Case,
    DeviceLike,
    GatewayLike,
    Tell,
    dial,
    facts_of,
    nobody,
)
from host_tools.checks.checked import BAD, LINK_LOST, UNANSWERED, Check, Checked, worst
from host_tools.device import Device, DeviceError, LinkLost, NoRepl, PortMissing
from host_tools.line import ports
from host_tools.line.heard import FRIENDLY_REPL, OUR_FIRMWARE, RAW_REPL
from host_tools.line.probe import NEXT_STEPS, PORT_MISSING, Probed, probe

PROBE_S = 4.5  # and a tenth: the first verdict comes within five seconds
USABLE = (FRIENDLY_REPL, RAW_REPL, OUR_FIRMWARE)  # states with a REPL behind them
EXIT_OK, EXIT_BAD = 0, 1

REPL = Check(
    "repl",
    "the board can be stopped at MicroPython's prompt, and says what it is",
    "the prompt comes within 10 s",
    {
        "no_repl": "press reset (EN) and run it again at once; a meter locked at L2 has no prompt:"
        " look at it at the gateway",
        "port": "run it again; close other programs that use the port",
    },
)
RESTART = Check(
    "restart",
    "the meter's program, which was stopped for the look, runs again",
    "the board says that it restarts",
    {"unheard": "press reset (EN)"},
)
CHECKS = (
    REPL, itself.IDENTITY, itself.VERSIONS, itself.HEAP, itself.CLOCK, line.RSSI, reach.GATEWAY,
    reach.UPLINK, line.REGISTERED, memory.JOURNAL_CHECK, memory.RECEIPTS, memory.COUNTERS,
    memory.WEAR, security.SECURITY, security.RECORD, pulses.PULSES, current.CT_ZERO,
    current.CT_PHASE, RESTART,
)  # fmt: skip
_OF_THE_BOARD: tuple[tuple[Check, Callable[[Case], Checked]], ...] = (
    (itself.IDENTITY, itself.identity),
    (itself.VERSIONS, itself.versions),
    (itself.HEAP, itself.heap),
    (itself.CLOCK, itself.clock),
    (line.RSSI, line.rssi),
    (reach.GATEWAY, reach.gateway),
    (reach.UPLINK, reach.uplink),
    (line.REGISTERED, line.registered),
)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Tools:
    """The world, so that tests can hand in theirs."""

    probe: Callable[[str, float], Probed] = probe
    open: Callable[[str], DeviceLike] = Device.open
    gateway: GatewayLike | None = None  # as pairing.toml's [admin] has it
    dial: Callable[[str, int, float], socket.socket] = dial
    now_s: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Diagnosis:
    """All that was found. Never holds a secret."""

    port: str
    state: str
    evidence: str
    next_step: str  # of the state
    first_s: float  # after which the state was named
    checks: tuple[Checked, ...] = ()

    @property
    def verdict(self) -> str:
        """Bad where no REPL can be had or any check is bad; good where at least one is good."""
        if self.state not in USABLE:
            return BAD
        return worst(list(self.checks))

    @property
    def todo(self) -> str:
        """The one next step: of the state, or of the first check that is bad; empty for none."""
        if self.state not in USABLE:
            return self.next_step
        return next((one.next_step for one in self.checks if one.verdict == BAD), "")

    @property
    def exit_code(self) -> int:
        """Of the command: 1 where something is bad."""
        return EXIT_BAD if self.verdict == BAD else EXIT_OK

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "port": self.port,
            "verdict": self.verdict,
            "state": self.state,
            "evidence": self.evidence,
            "next_step": self.next_step,
            "todo": self.todo,
            "first_s": round(self.first_s, 2),
            "checks": [checked.as_data() for checked in self.checks],
        }


def doctor(
    port: str, asked: Asked | None = None, tools: Tools | None = None, tell: Tell = nobody
) -> Diagnosis:
    """Look at what is on this port, or on "auto". Raises SeveralPorts; KeyboardInterrupt for ^C.

    tell: each of these as soon as it is known: {"event": "state", ...} as in Diagnosis,
    {"event": "check", ...} as Checked.as_data, {"event": "pulses", "counted", "wanted", "left_s"}.
    """
    asked, tools = asked or Asked(), tools or Tools()
    began_s = tools.clock()
    path, probed = _state(port, tools)
    first_s = tools.clock() - began_s
    tell({"event": "state", "port": path, "first_s": round(first_s, 2), **probed._asdict()})
    found: list[Checked] = []

    def add(checked: Checked) -> None:
        found.append(checked)
        tell({"event": "check", **checked.as_data()})

    if probed.state in USABLE:
        _examine(path, probed.state, asked, tools, tell, add)
        if asked.record_level and not any(one.name == security.RECORD.name for one in found):
            add(security.RECORD.bad("not_measured", "nothing was recorded: no check came so far"))
    return Diagnosis(path, *probed, first_s, tuple(found))


def said(event: dict[str, Any]) -> str:
    """One line of text for an event that `doctor` tells."""
    if event["event"] == "state":
        step = "" if event["state"] in USABLE else f"; {event['next_step']}"  # the checks follow
        return f"{event['port']}: {event['state']} ({event['evidence']}){step}"
    if event["event"] == "pulses":
        counted = ", ".join(f"{name} {count}" for name, count in event["counted"].items())
        return f"pulses: {counted} of {event['wanted']}; {event['left_s']:.0f} s left"
    step = f"; {event['next_step']}" if event["next_step"] else ""
    return f"{event['verdict']:<7}  {event['name']:<10}  {event['measured']}{step}"


def _state(port: str, tools: Tools) -> tuple[str, Probed]:
    try:
        path = ports.choose(port)
    except PortMissing as error:
        return port, Probed(PORT_MISSING, str(error).partition(";")[0], NEXT_STEPS[PORT_MISSING])
    return path, tools.probe(path, PROBE_S)


def _examine(
    path: str,
    state: str,
    asked: Asked,
    tools: Tools,
    tell: Tell,
    add: Callable[[Checked], None],
) -> None:
    """Every check that can be made, and the program started again."""
    try:
        device = tools.open(path)
    except DeviceError as error:
        cause = "no_repl" if isinstance(error, NoRepl) else "port"
        add(REPL.unknown(cause, _text(error)))
        return
    with device:
        try:
            _look(device, state, asked, tools, tell, add)
        finally:
            if device.interrupted:
                add(_restarted(device))


def _look(
    device: DeviceLike,
    state: str,
    asked: Asked,
    tools: Tools,
    tell: Tell,
    add: Callable[[Checked], None],
) -> None:
    try:
        facts = facts_of(device)
    except DeviceError as error:
        add(REPL.unknown(_why(error), _text(error)))
        return
    add(REPL.good(facts.machine or "MicroPython"))
    case = Case(
        device, facts, asked, tools.gateway, tell, tools.dial, tools.now_s, tools.clock,
        tools.sleep, ran=state == OUR_FIRMWARE or device.interrupted,
    )  # fmt: skip
    for check, look in _looks(case):
        try:
            add(look())
        except DeviceError as error:
            add(check.unknown(_why(error), _text(error)))
            if isinstance(error, LinkLost):
                return


def _looks(case: Case) -> Iterator[tuple[Check, Callable[[], Checked]]]:
    """What is to be done, in order; what several checks need is asked for once."""
    for check, look in _OF_THE_BOARD:
        yield check, partial(look, case)
    level = _once(lambda: security.security(case))
    yield security.SECURITY, level
    if case.asked.record_level:
        yield security.RECORD, lambda: security.record(case, _or_none(level))
    scan = _once(lambda: rings.scan(case))
    for check, judge in memory.OF_RINGS:

        def of_rings(check: Check = check, judge: memory.Judge = judge) -> Checked:
            found = scan()
            return memory.without(check, found) or judge(case, found or {})

        yield check, of_rings
    if case.asked.pulses:
        yield pulses.PULSES, lambda: pulses.pulses(case)
    if case.asked.current:
        sample = _once(lambda: current.sample(case))
        yield current.CT_ZERO, lambda: current.ct_zero(*sample())
        yield current.CT_PHASE, lambda: current.ct_phase(*sample())


def _once(ask: Callable[[], Answer]) -> Callable[[], Answer]:
    """The same answer, or the same error, each time."""
    kept: list[Answer | DeviceError] = []

    def get() -> Answer:
        if not kept:
            try:
                kept.append(ask())
            except DeviceError as error:
                kept.append(error)
        if isinstance(kept[0], DeviceError):
            raise kept[0]
        return kept[0]

    return get


def _or_none(get: Callable[[], Answer]) -> Answer | None:
    try:
        return get()
    except DeviceError:  # which the check itself has told
        return None


def _restarted(device: DeviceLike) -> Checked:
    try:
        device.restart()
    except DeviceError as error:
        return RESTART.bad("unheard", _text(error))
    return RESTART.good("it was stopped for the look, and runs again")


def _why(error: DeviceError) -> str:
    return LINK_LOST if isinstance(error, LinkLost) else UNANSWERED


def _text(error: DeviceError) -> str:
    """An error's text without its next step: the check has its own."""
    return str(error).partition(";")[0]
