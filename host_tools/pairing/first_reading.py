"""Waits until a meter is heard at its gateway: its sealed answer to a sealed question proves it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from host_tools.line.ports import DeviceError
from host_tools.pairing.errors import GatewayRefused, KeyRefused, NoReading, NotReady
from host_tools.pairing.gateway_client import READ_NOW, GatewayClient
from host_tools.pairing.on_device import DeviceLike
from wire import obis

LOOK_S = 0.25
BOOT_WAIT_S = 6.0
READING_WAIT_S, ROTATE_WAIT_S = 120.0, 180.0
FRAMES_SHOWN_MAX = 16
DONE = "done"
REGISTERS = "registers"  # the kind of a message, as the gateway shows it
_ENDED = ("refused", "failed", "unsupported", "expired", "cancelled")

# What the gateway counts against a meter, and what it means to whoever stands before it.
WHY = {
    "bad_tag": "the meter seals under another key than the gateway has: repair it by cable",
    "unknown_epoch": "the gateway does not know its key epoch: repair it by cable",
    "bad_password": "its password is not the registered one: repair it by cable",
    "no_credentials": "it gives no password: its identity is not in the NVS; repair it by cable",
    "wrong_shard": "another gateway has its shard: give that one's address and admin interface",
    "revoked": "it was revoked: `python -m gateway meters restore` lets it in",
    "decommissioned": "it was decommissioned: pair it as a new meter",
    "replayed": "it lost its frame counters: repair it by cable",
    "malformed": "its firmware writes another wire: flash the newest image",
    "unsupported": "its firmware and the gateway differ in version: update the older",
    "start_ahead": "its clock is wrong by over a day: it is set by the first receipt, wait",
    "wrong_topic": "its firmware uses another topic: flash the newest image",
    "tls_expected": "it speaks without TLS to a TLS port: set gateway.tls in pairing.toml",
    "wrong_certificate": "the gateway wants a client certificate: see docs/security.md",
    "too_many_connects": "it connects again and again: look at power and Wi-Fi",
}
_FATAL = frozenset(WHY) - {"start_ahead", "replayed", "too_many_connects"}


class Console:
    """What a restarted meter prints, heard while waiting; falls silent when it is unplugged."""

    def __init__(
        self, device: DeviceLike | None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._device, self._sleep = device, sleep
        self.last: dict[str, dict[str, Any]] = {}  # the newest event of each kind

    def wait(self, seconds: float) -> None:
        """Let time pass, and take in what is printed meanwhile."""
        if self._device is None:
            self._sleep(seconds)
            return
        try:
            for line in self._device.console(seconds):
                self._hear(line)
        except DeviceError:  # carried to its place: the gateway will hear it
            self._device = None
            self._sleep(seconds)

    def hear_boot(self, clock: Callable[[], float] = time.monotonic) -> str:
        """Why it started, or empty when it says nothing. Raises NotReady with what it complains."""
        until = clock() + BOOT_WAIT_S
        while clock() < until and self._device is not None:
            self.wait(LOOK_S)
            self.check()
            if "boot" in self.last:
                return str(self.last["boot"].get("why", "?"))
        return ""

    def check(self) -> None:
        """Raises NotReady when the firmware says that it cannot work."""
        for kind in ("board", "keystore"):
            if kind in self.last:
                said = self.last[kind]
                raise NotReady(f"the meter says {said.get('state')}: {said.get('todo')}")

    def why_not(self) -> str:
        """What it last said of its line; empty when nothing."""
        link = self.last.get("link", {})
        if link.get("state") == "down":
            return f"the meter says its line is down: {link.get('why')}"
        if "no_receipt" in self.last:
            return "the meter sends, and hears no receipt"
        return "the meter says that it is connected" if link else ""

    def _hear(self, line: str) -> None:
        if not line.startswith("{"):
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            self.last[event["event"]] = event


def await_reading(
    gateway: GatewayClient,
    hex_id: str,
    console: Console,
    before: dict[str, int],
    asked: int | None,
    remember: Callable[[int], None],
    wait_s: float = READING_WAIT_S,
    *,
    first: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Have the meter read now and wait for its sealed answer. Raises NoReading, naming why.

    `before` is what was refused of it until it started; `asked` the number of a command from an
    earlier run, `remember` is told a new one's. Of a meter that is heard there for the `first` time
    the counters of its `frames` are shown, and the first `registers` among them (see `Seen`).
    """
    number = asked if asked is not None and _is_open(gateway, asked) else None
    if number is None:
        number = gateway.command(hex_id, READ_NOW)
        remember(number)
    until = clock() + wait_s
    while True:
        state = gateway.command_state(number)
        if state["state"] == DONE:
            seen = _seen(gateway, hex_id).as_note() if first else {}
            at_s = int(state["ended_s"])
            return {"answered": _utc(at_s), "answered_s": at_s, "command": number, **seen}
        if state["state"] in _ENDED:
            raise NoReading(
                f"the meter answered {state['state']} ({state['detail']}); run it again"
            )
        console.check()
        new = _new(before, refused_of(gateway, hex_id))
        fatal = sorted(_FATAL & new.keys())
        if fatal:
            raise NoReading(f"the gateway refuses it as {fatal[0]}: {WHY[fatal[0]]}")
        if clock() >= until:
            raise NoReading(_in_vain(wait_s, new, console))
        console.wait(LOOK_S)


def await_new_key(
    gateway: GatewayClient,
    hex_id: str,
    asked: int | None,
    remember: Callable[[int], None],
    wait_s: float = ROTATE_WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Give a meter its next key and wait until a frame under it was accepted. Raises KeyRefused.

    Until then both keys are good, so nothing is lost by giving up: it stays queued.
    """
    number = asked
    if number is None:
        try:
            number = gateway.rotate(hex_id)
        except GatewayRefused as refusal:
            if refusal.problem != "rekey_open":
                raise
        else:
            remember(number)
    until = clock() + wait_s
    while True:
        rows = gateway.keys(hex_id)
        epochs = [int(row["key_epoch"]) for row in rows if row["key_epoch"] is not None]
        if len(epochs) == 1 and epochs[0] == max(int(row["highest_epoch"]) for row in rows):
            return {"key_epoch": epochs[0]}
        if number is not None:
            state = gateway.command_state(number)
            if state["state"] in _ENDED:
                raise KeyRefused(
                    f"the meter's answer to its new key was {state['state']} ({state['detail']});"
                    " the old one is still good; repair it by cable if it does not take another"
                )
        if clock() >= until:
            raise KeyRefused(
                f"the meter did not use its new key within {wait_s:g} s; it stays queued, and"
                " both keys are good: bring the meter on-line and run it again"
            )
        sleep(LOOK_S)


def _is_open(gateway: GatewayClient, number: int) -> bool:
    """Whether a command of an earlier run may still bring what is waited for."""
    try:
        return gateway.command_state(number)["state"] not in _ENDED
    except GatewayRefused:  # the database is another one now
        return False


def refused_of(gateway: GatewayClient, hex_id: str) -> dict[str, int]:
    """How many of its frames and sessions were refused, by reason."""
    shown = gateway.show(hex_id)
    return {} if shown is None else dict(shown["refused"])


def _new(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {why: count for why, count in now.items() if count > before.get(why, 0)}


class Seen(NamedTuple):
    """What a new meter sent first, as far as its gateway shows it."""

    frames: list[int]  # counters, which begin at 0 in a new key epoch
    registers: dict[str, Any] | None  # of the first message that has any: see `registers_in`

    def as_note(self) -> dict[str, Any]:
        """Without what was not among them."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def _seen(gateway: GatewayClient, hex_id: str) -> Seen:
    frames: list[int] = []
    registers: dict[str, Any] | None = None
    while len(frames) < FRAMES_SHOWN_MAX:
        shown = gateway.frame(hex_id, len(frames))
        if shown is None:
            break
        frames.append(len(frames))
        registers = registers or registers_in(shown.get("message"))
    return Seen(frames, registers)


def registers_in(message: object) -> dict[str, Any] | None:
    """The registers of a message, as the gateway's admin interface shows it.

    {"at": when the meter read them, or None if it did not know the time, "import_wh": int,
    "export_wh": int, or None without that register}. None for any other message, for one without
    the import register, and from a gateway that does not show messages yet.
    """
    if not isinstance(message, dict) or message.get("kind") != REGISTERS:
        return None
    found, at_s = message.get("registers_wh"), message.get("at_s")
    imported, exported = (
        found.get(obis.NAMES[code]) if isinstance(found, dict) else None
        for code in (obis.IMPORT_WH, obis.EXPORT_WH)
    )
    if type(imported) is not int:
        return None
    return {
        "at": _utc(at_s) if type(at_s) is int else None,
        "import_wh": imported,
        "export_wh": exported if type(exported) is int else None,
    }


def _utc(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _in_vain(wait_s: float, new: dict[str, int], console: Console) -> str:
    """What is known when nothing came."""
    said = console.why_not()
    counted = ", ".join(f"{why}: {WHY.get(why, 'see docs/gateway.md')}" for why in sorted(new))
    if counted:
        return f"no reading within {wait_s:g} s; the gateway refused it as {counted}"
    heard = f" ({said})" if said else ""
    return (
        f"the gateway heard nothing within {wait_s:g} s{heard}; check Wi-Fi name and password,"
        " the gateway's address and port, and its CA, in pairing.toml; then run it again"
    )
