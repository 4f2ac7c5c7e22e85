"""Pulse inputs by interrupt, for chips that cannot count in hardware (ESP32-C3, ESP32-C2)."""

import machine

from firmware.board import CHANNELS_MAX, PULSE_WIDTH_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class IrqInput:
    """firmware.board.Pulses by interrupt, for a chip without PCNT such as the ESP32-C3.

    Not for settlement: MicroPython queues edges for the program, eight at most, and drops the rest
    without a word (machine_pin.c ignores what mp_sched_schedule says). Nothing is lost only while
    fewer than eight pulses come in the longest time that the program is busy. Begins at 0 with each
    start. ticks_ms: time.ticks_ms; `last_ms` has when the newest pulse of each channel was seen.
    """

    def __init__(
        self, pins: "tuple[int, ...]", channels: "tuple[int, ...]", ticks_ms: "Callable[[], int]"
    ) -> None:
        assert 0 < len(pins) == len(channels) <= CHANNELS_MAX
        self.channels = channels
        self.width = PULSE_WIDTH_MAX
        self.flags = 0
        self.kept = False
        self.wants_restart = False
        self.restarted = False
        self._edges = [_Edges(pin, ticks_ms) for pin in pins]

    def read(self) -> "tuple[int, ...]":
        """Raw counts, one for each channel."""
        return tuple([edges.count for edges in self._edges])

    @property
    def last_ms(self) -> "tuple[int, ...]":
        """ticks_ms of the newest pulse, one for each channel; 0 before the first."""
        return tuple([edges.last_ms for edges in self._edges])


class _Edges:
    def __init__(self, pin: int, ticks_ms: "Callable[[], int]") -> None:
        self.count = 0
        self.last_ms = 0
        self._ticks_ms = ticks_ms
        self._pin = machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP)
        self._pin.irq(self._seen, machine.Pin.IRQ_FALLING)

    def _seen(self, _pin: "Any") -> None:
        self.count = (self.count + 1) % PULSE_WIDTH_MAX
        self.last_ms = self._ticks_ms()
