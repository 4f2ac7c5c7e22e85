"""Whether the gateway is alive, whether it is ready, and telling systemd so (sd_notify)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from gateway.errors import StoreError
from gateway.store import Store

TICK_S = 1.0
TICK_LATE_S = 5.0  # a loop that did not turn for so long is stuck
DISK_FREE_BYTES_MIN = 64 * 1024 * 1024  # below it the gateway is not ready; it still takes frames
CHECK_S = 5.0  # a part that does not answer in this time is not ready
WATCHDOG_PARTS = 3  # systemd hears of us this often in each WatchdogSec

log = structlog.get_logger()

Check = Callable[[], Awaitable[str]]  # what is not ready and what to do; empty when it is


class Pulse:
    """Ticks on the loop. Whoever looks finds out whether the loop still turns."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tick = now()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._tick = self._now()
            await asyncio.sleep(TICK_S)

    def late_s(self) -> float:
        """Seconds since the loop turned last."""
        return self._now() - self._tick

    def is_alive(self) -> bool:
        return self.late_s() < TICK_LATE_S


class Readiness:
    """Asks each part whether it is ready."""

    def __init__(self, checks: Mapping[str, Check], check_s: float = CHECK_S) -> None:
        self._checks, self._check_s = checks, check_s

    async def look(self) -> dict[str, str]:
        """What each part says; an empty text means that it is ready."""
        names = list(self._checks)
        said = await asyncio.gather(*(self._ask(name) for name in names))
        return dict(zip(names, said, strict=True))

    async def _ask(self, name: str) -> str:
        try:
            return await asyncio.wait_for(self._checks[name](), self._check_s)
        except TimeoutError:
            return f"gives no answer within {self._check_s:g} s"


async def check_store(store: Store, is_halted: Callable[[], bool]) -> str:
    """The journal takes writes: no commit failed since the last good one, and none is stuck."""
    if is_halted():
        return "takes no writes: free space on its disk, or read the event store_failed"
    try:
        await store.run(lambda connection: None)  # BEGIN IMMEDIATE and COMMIT
    except StoreError as error:
        return str(error)
    return ""


async def check_disk(folder: Path) -> str:
    """There is room for the journal to grow."""
    found = await asyncio.to_thread(os.statvfs, folder)
    return too_full(found.f_bavail * found.f_frsize, folder)


def too_full(free_bytes: int, folder: Path) -> str:
    """What is wrong with so much free space; empty when it is enough."""
    if free_bytes >= DISK_FREE_BYTES_MIN:
        return ""
    wanted = f"{free_bytes} bytes free, {DISK_FREE_BYTES_MIN} wanted"
    return f"{wanted}: free space on the disk of {folder}"


class Notifier:
    """Writes to the socket that systemd named (sd_notify(3)); says nothing when there is none."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # the abstract namespace
            self._address = "\0" + self._address[1:]
        self.watchdog_s = _watchdog_s(environ, pid) if self._address else 0.0

    def say(self, *lines: str) -> None:
        """Send e.g. READY=1. A manager that is gone is no reason to stop."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("notify_failed", error=str(error), next="check NOTIFY_SOCKET")

    async def watch(self, pulse: Pulse) -> None:
        """Tell the watchdog, until cancelled, that the loop turns; returns when nobody asks."""
        while self.watchdog_s:
            if pulse.is_alive():
                self.say("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / WATCHDOG_PARTS)


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float:
    """How long systemd waits for us, seconds; 0 when it does not (sd_watchdog_enabled(3))."""
    text = environ.get("WATCHDOG_USEC", "")
    if not (text.isascii() and text.isdigit()) or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    return int(text) / 1_000_000
