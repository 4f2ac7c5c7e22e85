"""Pulses through a fake ESP32 into a real meter, over stalls, resets and power cuts."""

# The model: the hardware counts while it has power, whatever the program does. A reset may come
# between two looks, in the middle of any flash operation and of any write to RTC memory, also while
# the meter starts; pulses keep coming while it starts, and between a look's count and its writing
# to flash. A power cut stops the pulses too.

from tests.support.fake_esp32 import HARD, PWRON, Chip  # isort: skip  (before what imports machine)

from boards.parts.irq_input import IrqInput
from boards.parts.pulse_input import PcntInput
from boards.parts.retained import RtcMemory
from firmware.metering import Metering
from firmware.storage import FLASH_BLOCKS_MIN, open_storage
from tests.support.a_meter import NOON_S
from tests.support.fake_esp32_parts import MemoryTorn
from tests.support.fake_flash import CUT_SHAPES, FakeFlash, PowerCut
from wire import obis, quality

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PINS = (25, 26)
CHANNELS = (obis.IMPORT_WH, obis.EXPORT_WH)
LOOK_S = 5
PULSES_A_S = (12, 4)  # at most, import and export
STALL_S = 2
MILLI = 1000  # counted in thousandths of a pulse: what is left of a Wh is no whole pulse


class Dice:
    """Random numbers that both Pythons draw alike from a seed, within 30 bits."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        self._state = (self._state * 9301 + 49297) % 233280  # Numerical Recipes, section 7.1
        return self._state * limit // 233280


class History:
    """One meter's life. `lost` and `invented` are thousandths of a pulse, over both channels.

    lost_at_once_max: the most that was found missing in one look. invented: the most that one
    look had too much. flagged: starts that had lost counts and said so.
    """

    def __init__(self, seed: int, imp_per_kwh: int = 1000, **how: "Any") -> None:
        self.dice = Dice(seed)
        self.imp_per_kwh = imp_per_kwh
        self.chip = Chip(**how)
        self.flash = FakeFlash(FLASH_BLOCKS_MIN)
        self.pulses = [0, 0]
        self.lost = 0
        self.invented = 0
        self.lost_at_once_max = 0
        self.stalls = self.resets = self.torn = self.power_cuts = self.flagged = 0
        self._now_s = NOON_S
        self._uptime_s = 0
        self._closed_wh = (0, 0)  # at the end of the last interval: what the gateway may know
        self._meanwhile = [0, 0]  # pulses since the counts of this look were taken
        self._cold = False  # the chip has lost its counts, and the meter has not yet said so
        self.meter: Any = None
        self._after(None)

    # -------------------------------------------------------------- what happens

    def run(self, pulses: int, resets: bool = True, power_cuts: bool = False) -> "History":
        """Go on until so many pulses more have come. One look in sixteen comes 2 s late."""
        end = sum(self.pulses) + pulses
        while sum(self.pulses) < end:
            fate = self.dice.below(1000)
            if resets and fate < 40:
                self._reset(("watchdog", "restart", "soft")[self.dice.below(3)])
            elif power_cuts and 40 <= fate < 50:
                self._reset("power")
            else:
                self._pass(LOOK_S, busy=False)
                if self.dice.below(16) == 0:
                    self.stalls += 1
                    self._pass(STALL_S, busy=True)
                self._look()
        self._look()
        return self

    def _pass(self, duration_s: int, busy: bool) -> None:
        """Time in which pulses come, evenly; a busy program takes no interrupt meanwhile."""
        self._now_s += duration_s
        self._uptime_s += duration_s
        self.chip.stalled = busy
        for channel, most in enumerate(PULSES_A_S):
            arrived = self.dice.below(duration_s * most + 1)
            self.pulses[channel] += arrived
            self.chip.pulse(PINS[channel], arrived)
        self.chip.stalled = False
        self.chip.run()

    def _reset(self, kind: str) -> None:
        """A reset at a random point: between two looks, or inside of one."""
        if self.dice.below(2):
            self._arm()
            try:
                self._pass(self.dice.below(LOOK_S), busy=False)
                self._look()
            except (PowerCut, MemoryTorn):
                self.torn += 1
        self._after(kind)

    def _arm(self) -> None:
        """The next flash operations or RTC writes end in the middle."""
        dice = self.dice
        if dice.below(2):
            self.flash.cut_at = self.flash.operations + dice.below(3)
            self.flash.cut_shape = CUT_SHAPES[dice.below(len(CUT_SHAPES))]
        else:
            self.chip.tear_at, self.chip.tear_bytes = dice.below(2), dice.below(560)

    def _after(self, kind: "str | None") -> None:
        """The chip starts again, and again if a second reset comes while it starts."""
        if kind is not None:
            self._happen(kind)
        while True:
            if kind is not None and self.dice.below(8) == 0:
                self._arm()
            try:
                self._start()
                self.flash.cut_at = self.chip.tear_at = -1
                return
            except (PowerCut, MemoryTorn):
                self.torn += 1
                self._happen("watchdog")

    def _happen(self, kind: str) -> None:
        chip = self.chip
        if kind == "power":
            self.power_cuts += 1
            chip.power_on(self.dice.below(256))
        else:
            self.resets += 1
            if kind == "soft":
                chip.soft_reset()
            else:
                chip.cpu_reset(HARD) if kind == "restart" else chip.cpu_reset()
        self._calm()
        if kind != "power":
            self._pass(self.dice.below(3), busy=False)  # it takes seconds to be back

    def _calm(self) -> None:
        self._settle()
        self.flash = self.flash.after_power_on()
        self.chip.tear_at = -1
        self._uptime_s = 0

    # -------------------------------------------------------------- the meter

    def _start(self) -> None:
        """As a board starts: the input first, once more after a power-on, then the meter."""
        memory = RtcMemory()
        if not self.chip.has_pcnt():
            counted: Any = IrqInput(PINS, CHANNELS, lambda: 0)
        else:
            counted = PcntInput(PINS, CHANNELS, memory, self.chip.name)
            if counted.wants_restart and self.chip.cause == PWRON:
                self._pass(1, busy=False)
                self.chip.cpu_reset(HARD)
                memory = RtcMemory()
                counted = PcntInput(PINS, CHANNELS, memory, self.chip.name)
        self._cold = self._cold or (not counted.kept and self.meter is not None)
        self.flash.before_operation = self._writing
        storage = open_storage(self.flash)
        meter = Metering(storage, counted, self.imp_per_kwh, 900, 0, memory)
        for channel, least_wh in enumerate(self._closed_wh):
            assert meter.registers.wh[channel] >= least_wh, "a register ran backwards"
        if self._cold:
            assert meter.counts_lost
            assert meter.profile.quality & quality.GAP
        self.meter = meter
        self._look()
        self.flagged += self._cold
        self._cold = False

    def _look(self) -> None:
        """One look; afterwards every pulse is accounted for."""
        self._settle()
        closed = self.meter.tick(self._now_s, LOOK_S, self._uptime_s)
        if closed is not None:
            self._closed_wh = closed.registers_wh
        self._balance()

    def _writing(self, operation: int, after: "Any") -> None:
        """A flash operation takes time, too."""
        channel = self.dice.below(8)
        if channel < len(PINS):
            self.chip.pulse(PINS[channel])
            self._meanwhile[channel] += 1

    def _settle(self) -> None:
        """What came meanwhile is for the next look."""
        for channel, pulses in enumerate(self._meanwhile):
            self.pulses[channel] += pulses
        self._meanwhile = [0, 0]

    def _balance(self) -> None:
        """What came, less what the registers have, is what was lost so far and no more."""
        registers = self.meter.registers
        counted = 0
        for channel in range(len(PINS)):
            counted += registers.wh[channel] * self.imp_per_kwh + registers.remainders[channel]
        missing = sum(self.pulses) * MILLI - counted - self.lost
        self.lost += missing
        self.invented = max(self.invented, -missing)
        self.lost_at_once_max = max(self.lost_at_once_max, missing)
