"""boot.py of a virtual board with hardware that a test sets: pins, radio, converter, clock, eFuses.

It is what /world/hardware.json says, at every look. Runs inside MicroPython only, in the same
namespace as what is typed at the prompt: hence the names with a _.
"""

import json as _json
import sys as _sys
import time as _time
from math import radians, sin

import esp32
import machine
import network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EPOCH_2000_S = 946684800
HARDWARE = "/world/hardware.json"


def hardware() -> "Any":
    with open(HARDWARE) as file:
        return _json.load(file)


class Memory:
    """machine.mem32: registers by address; one that is not set reads 0."""

    def __getitem__(self, address: int) -> "Any":
        return hardware()["registers"].get(str(address), 0)


class Pin:
    """An input. Edges that the test has made since the last look reach its handler."""

    IN, PULL_UP, IRQ_FALLING = 1, 2, 4
    listening: "list[Pin]" = []

    def __init__(self, number: int, mode: int = -1, pull: int = -1) -> None:
        self.number = number
        self.handler: Any = None
        self.seen = 0

    def value(self) -> "Any":
        return hardware()["levels"].get(str(self.number), 1)

    def irq(self, handler: "Any", trigger: int = 0) -> None:
        self.handler = handler
        self.seen = self._edges()
        Pin.listening.append(self)

    def deliver(self) -> None:
        edges = self._edges()
        while self.seen < edges and self.handler:
            self.seen += 1
            self.handler(self)

    def _edges(self) -> "Any":
        return hardware()["edges"].get(str(self.number), 0)


class ADC:
    """A converter that sees a sine of the mains: [mean, amplitude, degrees] by pin.

    Forty reads are a cycle, however long they take.
    """

    ATTN_11DB = 3

    def __init__(self, pin: Pin, atten: int = 0) -> None:
        self.mean, self.amplitude, self.degrees = hardware()["waves"].get(
            str(pin.number), (0, 0, 0)
        )
        self.reads = 0

    def read_u16(self) -> int:
        self.reads += 1
        angle = radians(9 * self.reads + self.degrees)
        sample = int(self.mean + self.amplitude * sin(angle))
        return min(max(sample, 0), 4095) << 4


class WLAN:
    """A radio: [switched on, joined, dBm]."""

    def __init__(self, interface: int = 0) -> None:
        self.state = hardware()["radio"]

    def active(self) -> "Any":
        return self.state[0]

    def isconnected(self) -> "Any":
        return self.state[1]

    def status(self, what: "str | None" = None) -> "Any":
        return self.state[2]


class Time:
    """time, as a chip counts it: from 2000 on, and as wrong as the test wants it."""

    def __getattr__(self, name: str) -> "Any":
        return getattr(_time, name)

    def time(self) -> int:
        wrong_s = hardware()["clock_s"]
        return 12 if wrong_s is None else int(_time.time()) - EPOCH_2000_S + int(wrong_s)

    def gmtime(self, at_s: "int | None" = None) -> "Any":
        return _time.gmtime((self.time() if at_s is None else at_s) + EPOCH_2000_S)


class Json:
    """json, in whose calls waiting edges are delivered: here the program looks up."""

    def __getattr__(self, name: str) -> "Any":
        return getattr(_json, name)

    def dumps(self, value: "Any") -> str:
        for pin in Pin.listening:
            pin.deliver()
        return _json.dumps(value)


class Sys:
    """sys, whose MicroPython is as old as the test wants it."""

    def __getattr__(self, name: str) -> "Any":
        return getattr(_sys, name)

    @property
    def implementation(self) -> "Sys":
        return self

    @property
    def version(self) -> "tuple[int, ...]":
        return tuple(hardware()["release"])

    _machine = "Generic ESP32 module with ESP32"


def idf_heap_info(kind: int) -> "list[tuple[int, ...]]":
    largest = hardware()["idf_free"]
    return [(110_592, largest, largest, largest), (15_072, 4096, 4096, 4096)]


machine.mem32, machine.Pin, machine.ADC = Memory(), Pin, ADC
network.WLAN = WLAN
esp32.HEAP_DATA, esp32.idf_heap_info = 4, idf_heap_info
_modules: "Any" = _sys.modules
_modules.update({"time": Time(), "json": Json(), "sys": Sys()})
