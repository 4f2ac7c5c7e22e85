"""Pulse inputs that the ESP32 counts in hardware (PCNT), also while its CPU is reset."""

# esp32.PCNT and not machine.Counter: Counter widens the count in an overflow handler, which is one
# more thing to lose, and begins at 0 with each start. The unit itself goes back to 0 at PCNT_WIDTH,
# so what it reads is the count modulo PCNT_WIDTH and nothing has to happen when it wraps.
#
# MicroPython clears the units in every soft reset (esp32_pcnt_deinit_all), but only those it has
# objects for. So the driver sets them up once after power-on; every later start finds them counting
# and takes them over by reading their registers, making no object. A reset of the CPU (watchdog,
# machine.reset) leaves PCNT alone: ESP-IDF esp_restart_noos and esp_perip_clk_init. Nothing of this
# was tried on a chip here: each start proves it from the registers, and else `kept` is False.

import struct
from binascii import crc32

import esp32
import machine

from firmware.board import CHANNELS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boards.parts.irq_input import IrqInput

PCNT_WIDTH = 32_000  # 16-bit counters; MicroPython's own machine.Counter wraps there, too
FILTER_TICKS = 1023  # of 80 MHz: 12.8 us, the most there is. Keeps spikes out, not reed bounce
PULSES_PER_S_MAX = 500  # PCNT_WIDTH must not pass within a watchdog reset and the start after it
RECORD_BYTES = 22

# base, offset of U0_CNT, offset of CTRL, clock gates and the bit in them. ESP-IDF
# soc/<chip>/.../pcnt_reg.h, dport_reg.h (ESP32), system_reg.h (S3), pcr_reg.h (C6). A chip that is
# not here keeps nothing over a reset.
_REGISTERS = {
    "esp32": (0x3FF57000, 0x60, 0xB0, 0x3FF000C0, 1 << 10),
    "esp32s3": (0x60017000, 0x30, 0x60, 0x600C0018, 1 << 10),
    "esp32c6": (0x60012000, 0x30, 0x60, 0x60096094, 1),
}
_UNIT_BYTES = 12  # CONF0, CONF1, CONF2
_WRAPS = 1 << 12  # CONF0: thr_h_lim_en
_RECORD = "<BB4s4HI"  # magic, stage, pins, counts at 0, set-up; then a CRC-32
_MAGIC = 0xA6
# How far the meter has come since the counts began at 0. One look might be in flash, or not:
_NEW = 0  # none taken: whoever starts next may begin at the same 0
_LOOKED = 1  # one taken: whoever starts next cannot tell, and begins at a new 0
_KEPT = 2  # two: the first is remembered, and the counts are its continuation


class PcntInput:
    """firmware.board.Pulses on PCNT units 0, 1, ...: counts falling edges, one pin a channel.

    pins: GPIO numbers. memory: boards.parts.retained.RtcMemory, chip: a key of _REGISTERS; without
    either, each start begins at 0. After a power-on `wants_restart` is True: one machine.reset()
    makes the counts survive soft resets as well, because the next start needs no driver object.
    `restarted` is True in that next start.
    """

    def __init__(
        self,
        pins: "tuple[int, ...]",
        channels: "tuple[int, ...]",
        memory: "Any" = None,
        chip: str = "",
    ) -> None:
        assert 0 < len(pins) == len(channels) <= CHANNELS_MAX
        self.channels = channels
        self.width = PCNT_WIDTH
        self.flags = 0
        self.kept = False
        self.wants_restart = False
        self.restarted = False
        self._pins = bytes(pins) + bytes(CHANNELS_MAX - len(pins))
        self._memory = memory if chip in _REGISTERS else None
        self._chip = chip
        self._stage = _NEW
        self._starts = [0] * CHANNELS_MAX
        self._setup = 0
        self._units: list[Any] = []  # the driver's objects; none when the units were taken over
        if not self._take_over():
            self._begin(pins)

    def read(self) -> "tuple[int, ...]":
        """Raw counts modulo PCNT_WIDTH, one for each channel. Reading never resets them."""
        if self._stage != _KEPT:
            self._stage += 1
            self._remember()  # before anyone sees the counts
        return tuple(
            [
                (self._count(index) - self._starts[index]) % PCNT_WIDTH
                for index in range(len(self.channels))
            ]
        )

    def _count(self, index: int) -> int:
        if self._units:
            return self._units[index].value()
        base, counts = _REGISTERS[self._chip][:2]
        return machine.mem32[base + counts + 4 * index] & 0xFFFF

    def _take_over(self) -> bool:
        """Go on with units that were counting before this start. False when they were not."""
        if self._memory is None:
            return False
        record = self._memory.read_record(RECORD_BYTES)
        self._setup = _setup_of(self._chip, len(self.channels))
        if not self._setup or struct.unpack_from("<I", record, 18)[0] != crc32(record[:18]):
            return False
        magic, stage, pins, a, b, c, d, setup = struct.unpack_from(_RECORD, record, 0)
        if magic != _MAGIC or pins != self._pins or setup != self._setup:
            return False
        self._starts = [a, b, c, d]
        if stage == _LOOKED:
            self._starts = [self._count(index) for index in range(CHANNELS_MAX)]
        self.kept = stage == _KEPT
        self.restarted = stage == _NEW
        self._stage = _KEPT if self.kept else _NEW
        self._remember()
        return True

    def _begin(self, pins: "tuple[int, ...]") -> None:
        """Set the units up, counting from 0."""
        for index, pin in enumerate(pins):
            unit = esp32.PCNT(index, min=_low_limit(index), max=PCNT_WIDTH)
            unit.init(
                channel=0,
                pin=machine.Pin(pin, machine.Pin.IN, machine.Pin.PULL_UP),
                rising=esp32.PCNT.IGNORE,
                falling=esp32.PCNT.INCREMENT,
                filter=FILTER_TICKS,
                value=0,
            )
            unit.irq(_wrapped, esp32.PCNT.IRQ_MAX)  # enables the limit; the event itself is no news
            unit.start()
            self._units.append(unit)
        if self._memory is not None:
            self._setup = _setup_of(self._chip, len(pins))
            self.wants_restart = self._setup != 0
            self._remember()

    def _remember(self) -> None:
        if self._memory is None:
            return
        a, b, c, d = self._starts
        record = struct.pack(_RECORD, _MAGIC, self._stage, self._pins, a, b, c, d, self._setup)
        self._memory.write_record(record + struct.pack("<I", crc32(record)))


def _wrapped(unit: "Any") -> None:
    unit.irq().flags()  # taking the flags is what lets value() return


def _low_limit(index: int) -> int:
    """Never reached, as nothing counts down: it marks whose unit this is."""
    return -1 - index


def _setup_of(chip: str, units: int) -> int:
    """CRC-32 of how the units are set up; 0 unless all of them are ours and counting now."""
    base, _, control, clock, clock_on = _REGISTERS[chip]
    if not machine.mem32[clock] & clock_on:
        return 0
    stopped = machine.mem32[base + control]  # two bits a unit: held at 0, paused
    setup = b""
    for index in range(units):
        conf0 = machine.mem32[base + _UNIT_BYTES * index]
        limits = machine.mem32[base + _UNIT_BYTES * index + 8]
        if (stopped >> 2 * index) & 3 or not conf0 & _WRAPS:
            return 0
        if limits != (_low_limit(index) & 0xFFFF) << 16 | PCNT_WIDTH:
            return 0
        setup += struct.pack("<I", conf0)
    return crc32(setup)


def open_pulse_input(
    pins: "tuple[int, ...]",
    channels: "tuple[int, ...]",
    ticks_ms: "Callable[[], int]",
    memory: "Any" = None,
    chip: str = "",
) -> "PcntInput | IrqInput":
    """PCNT where this chip and firmware have it (MicroPython 1.26), interrupts where not."""
    if hasattr(esp32, "PCNT"):
        return PcntInput(pins, channels, memory, chip)
    from boards.parts.irq_input import IrqInput  # not loaded where it is not needed

    return IrqInput(pins, channels, ticks_ms)
