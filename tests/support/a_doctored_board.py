"""A virtual board that is an ESP32 meter in all that `doctor` looks at, and can be ill."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from host_tools.checks.case import Asked, Case, facts_of
from host_tools.checks.pulses import PCNT, PCNT_WIDTH
from host_tools.device import Device
from host_tools.image import nvs
from host_tools.micropython import ROOT
from host_tools.pairing.identity import Identity, fresh
from tests.support.virtual import an_image
from tests.support.virtual.virtual_board import VirtualBoard

BOOT = (ROOT / "tests/support/doctored_boot.py").read_bytes()
# As our firmware is heard and found (start in sys.modules), without being it.
MAIN = b"""
import start
import time
while True:
    print('{"event": "interval"}')
    time.sleep(0.05)
"""
CONFIG = {
    "gateway_host": "127.0.0.1", "gateway_port": 9, "tls": False, "imp_per_kwh": 1000,
    "capture_period_s": 900, "paired_s": 1_700_000_000, "wifi_name": "the-wifi",
    "wifi_password": "never-tell-wifi",
}  # fmt: skip
SECRETS = ("never-tell-wifi", "never-tell-key")
UNITS_BASE, COUNTS_AT, GATE, GATE_ON = PCNT["esp32"]
IMPORT_PIN, EXPORT_PIN, CURRENT_PIN, VOLTAGE_PIN = 25, 26, 32, 33  # of esp32_devkit


def an_identity(key_epoch: int = 3) -> Identity:
    return fresh(key_epoch=key_epoch, random=random.Random(7).randbytes)


def healthy() -> dict[str, Any]:
    """Hardware with nothing wrong: the meter's PCNT units count, the radio hears well."""
    registers = {GATE: GATE_ON}
    for unit in range(2):
        registers[UNITS_BASE + 12 * unit + 8] = ((-1 - unit) & 0xFFFF) << 16 | PCNT_WIDTH
    return {
        "registers": {str(address): value for address, value in registers.items()},
        "levels": {}, "edges": {}, "waves": {}, "radio": [True, True, -61], "clock_s": 0,
        "release": [1, 26, 1], "idf_free": 98_304,
    }  # fmt: skip


class DoctoredBoard(VirtualBoard):
    """Change `hardware`, then `set()`: the board sees it at its next look."""

    hardware: dict[str, Any]

    def set(self, **changes: Any) -> None:
        """Healthy hardware but for these."""
        self.hardware = {**healthy(), **changes}
        self._write()

    def count(self, unit: int, pulses: int) -> None:
        """Pulses at a PCNT unit's pin."""
        address = str(UNITS_BASE + COUNTS_AT + 4 * unit)
        registers = self.hardware["registers"]
        registers[address] = (registers.get(address, 0) + pulses) % PCNT_WIDTH
        self._write()

    def pulse(self, pin: int, pulses: int) -> None:
        """Edges at a pin without a counter."""
        self.hardware["edges"][str(pin)] = self.hardware["edges"].get(str(pin), 0) + pulses
        self._write()

    def put_identity(self, identity: Identity | None) -> None:
        """Into NVS."""
        offset, size = an_image.NVS
        entries = () if identity is None else nvs.identity_entries(identity)
        self.flash.write(offset, nvs.generate(entries, size) if entries else b"\xff" * size)

    def put_meter(self, content: bytes) -> None:
        """Into the meter's partition, of which the rest is erased."""
        offset, size = an_image.METER
        self.flash.write(offset, content.ljust(size, b"\xff"))

    def _write(self) -> None:
        """In one step: the board may look at any moment."""
        path = self.world / "hardware.json"
        path.with_suffix(".new").write_text(json.dumps(self.hardware))
        os.replace(path.with_suffix(".new"), path)


@contextmanager
def a_doctored_board(folder: Path, **files: bytes) -> Iterator[DoctoredBoard]:
    """On and running. files: by name with _ for the dot, over a healthy meter's."""
    board = DoctoredBoard(folder)
    root = {
        "boot.py": BOOT,
        "main.py": MAIN,
        "start.py": b"",
        "board.txt": b"boards.esp32_devkit\n",
        "a/WHOLE": b"0.2.0",
        "config.json": json.dumps(CONFIG).encode(),
        **{name.replace("_", "."): content for name, content in files.items()},
    }
    an_image.flash(board, root)
    board.put_identity(an_identity())
    board.set()
    with board:
        yield board


def a_case(device: Device, **changes: Any) -> Case:
    """What the checks get, of what the board is now. Asked for with nobody's hand."""
    asked = changes.pop("asked", Asked())
    changes.setdefault("ran", True)
    return Case(device, facts_of(device), asked, **changes)


def restore(board: DoctoredBoard, device: Device) -> None:
    """As it was when it was switched on, but for its meter's partition."""
    board.set()
    board.put_identity(an_identity())
    wanted = {"/config.json": json.dumps(CONFIG).encode(), "/board.txt": b"boards.esp32_devkit\n",
              "/a/WHOLE": b"0.2.0"}  # fmt: skip
    for path, content in wanted.items():
        if device.hash_file(path) != sha256(content).digest():
            device.write_file(path, content)
    for path in ("/b/WHOLE", "/slot.0", "/slot.1", "/ca.der"):
        device.remove(path)
