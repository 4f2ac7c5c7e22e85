"""An ESP32 for tests: its modules, with the faults that MicroPython and ESP-IDF document."""

# What it imitates, and where that is written:
# - PCNT counts in 16 bits and goes back to 0 at its high limit, here only while that event is
#   enabled: TRM does not say what happens otherwise. value(0) may lose a pulse: refused here.
# - Making a PCNT object clears the unit; the first one after a CPU reset resets the whole module
#   (ESP-IDF driver/pcnt.c). A soft reset pauses and clears every unit that has an object and,
#   with the newer driver, stops the module's clock (MicroPython esp32_pcnt.c).
# - A CPU reset leaves running peripherals alone (ESP-IDF esp_perip_clk_init); a system reset, as
#   the last stage of a watchdog makes it, does not. `keeps=False` is a chip that disagrees.
# - Pin.irq goes through a queue of eight; what does not fit is dropped (machine_pin.c).
# - RTC memory survives all but power-off, which leaves noise. A reset may tear a write.

import os
import sys
import time

from tests.support.fake_esp32_parts import FakePartition, FakeRtc, Nvs
from tests.support.fake_network import FakeLan, FakeWlan, name_constants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEDULER_DEPTH = 8  # MICROPY_SCHEDULER_DEPTH of the ESP32 port
UNITS = 4
BASES = {  # the last two: where the module's clock is switched on, and by which bit
    "esp32": (0x3FF57000, 0x60, 0xB0, 0x3FF000C0, 1 << 10),
    "esp32s3": (0x60017000, 0x30, 0x60, 0x600C0018, 1 << 10),
    "esp32c6": (0x60012000, 0x30, 0x60, 0x60096094, 1),
}
PWRON, HARD, WDT, DEEPSLEEP, SOFT = 1, 2, 3, 4, 5
WRAPS = 1 << 12
COUNTS_FALLING = 1 << 16


class ChipReset(BaseException):
    """machine.reset() was called: nothing of the program goes on."""


class _Unit:
    """One PCNT unit as its registers say it is."""

    def __init__(self) -> None:
        self.conf0 = 0x3C10  # as after a reset of the module
        self.limits = 0
        self.count = 0
        self.pin = -1
        self.stopped = 1  # 1: held at 0, 2: paused

    def edges(self, pulses: int) -> None:
        if self.stopped or not self.conf0 & COUNTS_FALLING:
            return
        wrap = self.limits & 0xFFFF if self.conf0 & WRAPS else 1 << 16
        self.count = (self.count + pulses) % wrap


class Chip:
    """The hardware, over all its starts. Install it, then let the parts under test be made."""

    def __init__(
        self,
        name: str = "esp32",
        keeps: bool = True,
        pcnt: bool = True,
        newer: bool = False,
        backup: bool = False,
        partitions: "tuple[Any, ...]" = (),
    ) -> None:
        self.name = name
        self.keeps = keeps
        self.newer = newer  # the driver of MicroPython 1.29: units from a pool, limits rebuild
        self.partitions = partitions
        self.nvs: dict[str, Any] = {}
        self.nvs_damage: dict[str, str] = {}  # see Nvs
        self.vanished = 0  # edges that found the queue full
        self.fed = 0
        self.levels: dict[int, int] = {}
        self.outputs: list[int] = []
        self.wlan = FakeWlan()
        self.lan = FakeLan()
        self.rtc_memory = bytearray(2048)
        self.module_used = False  # since the program began anew
        self.tear_at = -1  # the RTC memory write that a reset tears, counted from 0,
        self.tear_bytes = 0  # after so many bytes
        self._has_pcnt = pcnt
        self._has_backup = backup
        self.power_on()

    # -------------------------------------------------------------- resets

    def power_on(self, noise: int = 0xA5) -> None:
        """The supply went away and came back."""
        for index in range(len(self.rtc_memory)):
            self.rtc_memory[index] = (index * 31 + noise) & 0xFF
        self._reset_modules()
        self._start(PWRON)

    def cpu_reset(self, cause: int = WDT) -> None:
        """A watchdog's panic, or machine.reset() (cause HARD)."""
        if not self.keeps:
            self._reset_modules()
        self._start(cause)

    def restart(self) -> None:
        """machine.reset() has its effect."""
        self.cpu_reset(HARD)

    def system_reset(self) -> None:
        """The last stage of a watchdog: everything but the RTC begins anew."""
        self._reset_modules()
        self._start(WDT)

    def soft_reset(self) -> None:
        """Ctrl-D, machine.soft_reset(): MicroPython begins anew, after undoing its objects."""
        for unit in self.objects:
            unit.deinit()
        if self.newer and self.objects:
            self.clock_on = False
        used = self.module_used
        self._start(SOFT)
        self.module_used = used

    def _reset_modules(self) -> None:
        self.units = [_Unit() for _ in range(UNITS)]
        self.clock_on = False

    def _start(self, cause: int) -> None:
        self.cause = cause
        self.objects: list[Any] = []
        self.module_used = False
        self.stalled = False
        self.handlers: dict[int, Any] = {}
        self.queue: list[Any] = []
        self.install()

    # -------------------------------------------------------------- the world

    def pulse(self, pin: int, pulses: int = 1) -> None:
        """Pulses on a pin: that many falling edges."""
        if self.clock_on:
            for unit in self.units:
                if unit.pin == pin:
                    unit.edges(pulses)
        if pin in self.handlers:
            for _ in range(pulses):
                if len(self.queue) < SCHEDULER_DEPTH:
                    self.queue.append((self.handlers[pin], pin))
                else:
                    self.vanished += 1
                self.run()

    def run(self) -> None:
        """Let the program take what waits in its queue, unless it is busy."""
        while self.queue and not self.stalled:
            handler, pin = self.queue.pop(0)
            handler(pin)

    def register(self, address: int) -> int:
        """What machine.mem32 reads there."""
        base, counts, control, clock, clock_bit = BASES[self.name]
        if address == clock:
            return clock_bit if self.clock_on else 0
        at = address - base
        if at == control:
            stopped = [unit.stopped << 2 * index for index, unit in enumerate(self.units)]
            return sum(stopped) | 0xFF00
        if 0 <= at - counts < 4 * UNITS:
            return self.units[(at - counts) // 4].count
        unit = self.units[at // 12]
        assert 0 <= at < 12 * UNITS
        assert at % 12 in (0, 8), "a register that nobody has looked up"
        return unit.limits if at % 12 else unit.conf0

    # -------------------------------------------------------------- its modules

    @staticmethod
    def has_pcnt() -> bool:
        """Whether the chip that is installed counts in hardware."""
        return hasattr(_esp32, "PCNT")

    def install(self) -> None:
        """Make `import machine` and the like find this chip."""
        modules: Any = sys.modules
        for module in (_machine, _esp32, _network):
            module.chip = self
        modules["machine"], modules["esp32"], modules["network"] = _machine, _esp32, _network
        _network.WLAN = lambda mode: self.wlan
        _network.LAN = self.lan.made
        _esp32.NVS = lambda namespace: Nvs(self.nvs, self.nvs_damage)
        _machine.RTC = lambda: FakeRtc(self)
        for name, there, what in (
            ("PCNT", self._has_pcnt, Pcnt),
            ("mem_backup", self._has_backup, _mem_backup),
        ):
            module = _esp32 if name == "PCNT" else _machine
            if there:
                setattr(module, name, what)
            elif hasattr(module, name):
                delattr(module, name)


class Pcnt:
    """esp32.PCNT, of both drivers."""

    IGNORE = 0
    INCREMENT = 1
    IRQ_MAX = 16

    def __init__(self, index: int, **how: int) -> None:
        chip = self._chip = _machine.chip
        assert 0 <= index < UNITS
        if not chip.module_used:
            chip.module_used = True
            chip.units = [_Unit() for _ in range(UNITS)]
        chip.clock_on = True
        taken = [other.unit for other in chip.objects]
        self.index = index if not chip.newer else self._lowest_free(taken)
        chip.objects.append(self)
        self._flags = 0
        self._limits = (-32768, 32767) if chip.newer else (0, 0)
        self.deinit()
        self.unit.conf0 = 0
        self.init(**how)

    def _lowest_free(self, taken: "list[Any]") -> int:
        chip = self._chip
        return next(index for index in range(UNITS) if chip.units[index] not in taken)

    @property
    def unit(self) -> _Unit:
        unit: _Unit = self._chip.units[self.index]
        return unit

    def init(self, **how: "Any") -> None:
        low, high = how.get("min", self._limits[0]), how.get("max", self._limits[1])
        assert -32768 <= low <= 0 <= high <= 32767
        assert low < 0 < high or not self._chip.newer
        if (low, high) != self._limits and self._chip.newer:
            self.unit.conf0 &= ~0x7FF  # the unit is built anew: without the filter it had
        self._limits = (low, high)
        self.unit.limits = (low & 0xFFFF) << 16 | high
        if "pin" in how:
            self.unit.pin = how["pin"].number
            self.unit.conf0 |= how["rising"] << 18 | how["falling"] << 16
        if how.get("filter"):
            assert how["filter"] <= 1023
            self.unit.conf0 |= 1 << 10 | how["filter"]
        self.unit.count = 0

    def irq(self, handler: "Any" = None, trigger: int = 0) -> "Pcnt":
        if handler is not None:
            assert trigger == self.IRQ_MAX
            self.unit.conf0 |= WRAPS
        return self

    def flags(self) -> int:
        return 0

    def start(self) -> None:
        self.unit.stopped = 0

    def value(self, value: "int | None" = None) -> int:
        assert value is None, "reading and resetting loses pulses: MicroPython's own documentation"
        return self.unit.count

    def deinit(self) -> None:
        unit = self.unit
        unit.conf0, unit.limits, unit.count, unit.pin, unit.stopped = 0, 0, 0, -1, 2


class Pin:
    """machine.Pin as an input. `chip.levels` has what it sees; 1 (pulled up) by default.

    Without a mode it is left as it is: for the driver that it is handed to.
    """

    IN = 1
    OUT = 3
    PULL_UP = 2
    IRQ_FALLING = 2

    def __init__(self, number: int, mode: "int | None" = None, pull: "int | None" = None) -> None:
        self.number = number
        if mode is not None:
            assert mode == self.IN
            assert pull == self.PULL_UP
            assert not 34 <= number <= 39 or _machine.chip.name != "esp32", "nothing pulls it up"

    def value(self) -> int:
        levels: dict[int, int] = _machine.chip.levels
        return levels.get(self.number, 1)

    def irq(self, handler: "Any", trigger: int) -> None:
        assert trigger == self.IRQ_FALLING
        _machine.chip.handlers[self.number] = handler


class _Mem32:
    def __getitem__(self, address: int) -> int:
        value: int = _machine.chip.register(address)
        return value


class _Wdt:
    def __init__(self, timeout: int) -> None:
        self.timeout = timeout

    def feed(self) -> None:
        _machine.chip.fed += 1


class _Module:
    """What stands in sys.modules."""

    chip: "Any" = None


def _mem_backup() -> memoryview:
    return memoryview(_machine.chip.rtc_memory)


def _reset() -> None:
    raise ChipReset()


_machine: "Any" = _Module()
_machine.Pin, _machine.WDT, _machine.mem32 = Pin, _Wdt, _Mem32()
_machine.reset = _reset
_machine.reset_cause = lambda: _machine.chip.cause
_machine.PWRON_RESET, _machine.HARD_RESET, _machine.WDT_RESET = PWRON, HARD, WDT
_machine.DEEPSLEEP_RESET, _machine.SOFT_RESET = DEEPSLEEP, SOFT
_esp32: "Any" = _Module()
_esp32.Partition = FakePartition
_network: "Any" = _Module()
name_constants(_network)
Chip()  # so that the parts can be imported
if not hasattr(time, "ticks_us"):  # CPython
    _time: "Any" = time
    _time.ticks_us = lambda: time.monotonic_ns() // 1000 % (1 << 30)
    _time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000 % (1 << 30)
    _time.ticks_diff = lambda later, earlier: later - earlier
if not hasattr(os, "urandom"):
    os.urandom = bytes
for _name in ("socket", "select", "micropython"):
    try:
        __import__(_name)
    except ImportError:  # a port without a network: what is imported there is not called
        sys.modules[_name] = _network
