"""What commands do to the running meter; see firmware.commands.Controls."""

from firmware.journal import FlashWorn
from firmware.pulse_power import PulsePower
from firmware.registers import ZONED
from firmware.tariff import TariffPlan
from wire import obis, quality
from wire.messages import COMMAND_SET_CAPTURE_PERIOD, COMMAND_SET_TARIFF, Live, Registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ZONE_CODES = (obis.IMPORT_ZONES_WH, obis.EXPORT_ZONES_WH)


class Controls:
    """The running meter as a command sees it: its clock, tariff, registers and power.

    `metering` is set once it is there; `zone` may be asked before.
    """

    def __init__(self, board, settings, clock, watch, update) -> None:
        self._clock = clock
        self._settings = settings
        self._watch = watch
        self._board = board
        self._plan = TariffPlan(settings.tariff[0], settings.tariff[1])
        self._powers: list[PulsePower] = []
        self._raw: list[int] = []
        self.metering: Any = None
        self.update = update

    def use(self, metering) -> None:
        """From now on this is the metering that commands are about."""
        self.metering = metering
        self._raw = list(metering.registers.raw)
        imp_per_kwh = self._board.config.imp_per_kwh
        for _ in ZONED:
            self._powers.append(PulsePower(imp_per_kwh, self._clock.ticks_diff))

    def zone(self, at_s: int) -> int:
        """The tariff zone of a moment, 0..3."""
        return self._plan.zone(at_s)

    def looked(self, now_s: "int | None") -> None:
        """The registers were just brought up to date: see how fast the pulses come."""
        kept = None if now_s is None else self._plan.settle(now_s)
        if kept is not None:  # the following table is in force: the one before may go
            try:
                self._settings.change("tariff", (kept, b""))
            except FlashWorn:
                pass  # it is in force all the same, and will be after the next start
            self._watch.config_changed(COMMAND_SET_TARIFF, now_s)
        pulses_in, registers = self._board.pulses, self.metering.registers
        seen_ms = self._clock.ticks_ms()
        last_ms = pulses_in.last_ms if hasattr(pulses_in, "last_ms") else ()
        for channel, code in enumerate(registers.channels):
            if code in ZONED:
                raw = registers.raw[channel]
                pulses = (raw - self._raw[channel]) % pulses_in.width
                at_ms = last_ms[channel] if last_ms else seen_ms
                self._powers[ZONED.index(code)].seen(pulses, at_ms)
                self._raw[channel] = raw

    def power_w(self) -> int:
        """Import minus export now: measured where the board can, else from the pulses."""
        if self._watch.measured is not None:
            return self._watch.measured.power_w
        ticks_ms = self._clock.ticks_ms()
        return self._powers[0].power_w(ticks_ms) - self._powers[1].power_w(ticks_ms)

    # -------------------------------------------------------------- for commands

    def now_s(self) -> "int | None":
        """UTC seconds since 1970; None while not known."""
        return self._clock.now_s()

    def read_now(self) -> "tuple[Any, ...]":
        """Every register with its zones and the month's demand, and what is measured now."""
        at_s = self._clock.now_s() or 0
        codes, values = self._registers()
        measured = self._watch.measured
        voltage_mv = measured.voltage_mv if measured else ()
        current_ma = measured.current_ma if measured else ()
        frequency_mhz = measured.frequency_mhz if measured else 0
        live = Live(at_s, self.power_w(), voltage_mv, current_ma, frequency_mhz)
        return Registers(at_s, codes, values), live

    def set_clock(self, time_s: int) -> None:
        """Set the clock, whatever it showed; the next receipt judges it."""
        done = self._clock.set_command(time_s)
        if done is not None:
            self.clock_set(done)

    def clock_set(self, done: "tuple[int | None, int]") -> None:
        """The clock was set from old (None: unknown) to new: note it, and mark the interval."""
        old_s, new_s = done
        if old_s is not None:
            self.metering.demand.cut()
            self.metering.flag(quality.CLOCK_UNSYNCED)
        self._watch.clock_set(old_s, new_s)

    def changed(self, code: int, value: int) -> None:
        """A command has changed the settings, durably: use them, and note it."""
        if code == COMMAND_SET_TARIFF:
            self._plan = TariffPlan(self._settings.tariff[0], self._settings.tariff[1])
        elif code == COMMAND_SET_CAPTURE_PERIOD:
            self.metering.set_capture_period(value)
        self._watch.config_changed(code, value)

    def _registers(self) -> "tuple[tuple[int, ...], tuple[int, ...]]":
        """Codes in rising order, and their values: channels (below 9), zones, demand."""
        registers, demand = self.metering.registers, self.metering.demand
        rows = list(zip(registers.channels, registers.wh))
        for index, code in enumerate(ZONED):
            if code in registers.channels:
                rows.extend(zip(_ZONE_CODES[index], registers.zones_wh[index]))
        if demand.at_s:
            rows.append((obis.DEMAND_W, demand.highest_w))
        return tuple([row[0] for row in rows]), tuple([row[1] for row in rows])
