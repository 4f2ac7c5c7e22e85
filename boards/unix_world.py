"""The world around the unix board's meter: a household, its time and its pulse counters."""

# World time is cooperative: it stands still while the program computes and moves by exactly n
# seconds in sleep_s(n), which takes n / speed real seconds. It is kept in world.bin, so it also
# stands still while the process is dead: a kill at any moment changes nothing that is measured.

import asyncio
import struct
import time
from array import array
from binascii import crc32

from firmware.clock import Uptime, WallClock
from firmware.config import ConfigError
from wire import obis
from wire.messages import START_S_MIN

HOUR_S = 3600
HOURS_MAX = 10_000  # more than a year
HOUR_WH_MAX = 1_000_000
PULSE_WIDTH = 1 << 24  # a battery-backed counter chip of 24 bits
TICK_SCRIPTED_S = 60
TICK_REAL_S = 5
IDLE_MS = 200
BEHIND_MAX_MS = 2_000  # after a longer stall the world does not hurry to catch up
_WH_S_PER_KWH = 1000 * HOUR_S
_U32_MAX = 0xFFFFFFFF


class Household:
    """Import and export by the hour as cumulative pulses, a pure function of time."""

    def __init__(self, imp_per_kwh: int) -> None:
        self._imp_per_kwh = imp_per_kwh
        self._starts_s = array("I")  # arrays: a year of hours fits where tuples would not
        self._import_wh = array("I")
        self._export_wh = array("I")
        self._row = 0  # where the last question was answered: time only moves on
        self._before_wh = [0, 0]

    @property
    def start_s(self) -> int:
        """Where the script begins, UTC."""
        return self._starts_s[0]

    @property
    def end_s(self) -> int:
        """Where its last hour ends."""
        return self._starts_s[-1] + HOUR_S

    def read(self, path: str) -> None:
        """Take the hours of a file of lines start_s,import_wh,export_wh. Raises ConfigError."""
        try:
            with open(path) as file:
                for number, line in enumerate(file):
                    if line.strip():
                        self._add(line, path + " line " + str(number + 1))
        except OSError:
            raise ConfigError("no household at " + path + ": put the file there") from None
        if not self._starts_s:
            raise ConfigError(path + " is empty: give it one line for each hour")

    def _add(self, line: str, where: str) -> None:
        try:
            start_s, import_wh, export_wh = [int(part) for part in line.split(",")]
        except ValueError:
            raise ConfigError(where + ": write start_s,import_wh,export_wh") from None
        starts_s = self._starts_s
        if start_s % HOUR_S or not START_S_MIN <= start_s <= _U32_MAX - HOUR_S:
            raise ConfigError(where + ": an hour starts on the hour, not before 2020")
        if starts_s and start_s <= starts_s[-1]:
            raise ConfigError(where + ": each hour must come after the one above it")
        if not 0 <= import_wh <= HOUR_WH_MAX or not 0 <= export_wh <= HOUR_WH_MAX:
            raise ConfigError(where + ": energy must be 0 to " + str(HOUR_WH_MAX) + " Wh")
        if len(starts_s) == HOURS_MAX:
            raise ConfigError(where + ": at most " + str(HOURS_MAX) + " hours fit")
        starts_s.append(start_s)
        self._import_wh.append(import_wh)
        self._export_wh.append(export_wh)

    def pulses(self, time_s: int) -> "tuple[int, int]":
        """Pulses since the beginning, at an even rate inside each hour."""
        if time_s < self._starts_s[self._row]:
            self._row, self._before_wh = 0, [0, 0]
        while self._row + 1 < len(self._starts_s) and time_s >= self._starts_s[self._row + 1]:
            self._before_wh[0] += self._import_wh[self._row]
            self._before_wh[1] += self._export_wh[self._row]
            self._row += 1
        into_s = max(0, min(time_s - self._starts_s[self._row], HOUR_S))
        return self._floor(0, self._import_wh, into_s), self._floor(1, self._export_wh, into_s)

    def _floor(self, channel: int, hours_wh: "array[int]", into_s: int) -> int:
        energy = self._before_wh[channel] * HOUR_S + hours_wh[self._row] * into_s
        return energy * self._imp_per_kwh // _WH_S_PER_KWH


class World:
    """World time and raw counters, kept in a file of two records that are written in turn."""

    _RECORD = "<IIII"  # turn, time, raw import, raw export; then a CRC-32
    _RECORD_BYTES = 20

    def __init__(self, path: str, household: "Household | None", log) -> None:
        self.household = household
        self.torn = False
        self.time_s = household.start_s if household else 0
        self._turn = 0
        try:
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115  (for good)
        except OSError:
            self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
            self.move(0)
        else:
            self._restore(log)

    def raw(self) -> "tuple[int, int]":
        """What the two counters read now."""
        if self.household is None:
            return 0, 0
        pulses = self.household.pulses(self.time_s)
        return pulses[0] % PULSE_WIDTH, pulses[1] % PULSE_WIDTH

    def move(self, duration_s: int) -> None:
        """Let time pass, and remember it."""
        self.time_s += duration_s
        self._turn += 1
        record = struct.pack(self._RECORD, self._turn, self.time_s, *self.raw())
        self._file.seek(self._turn % 2 * self._RECORD_BYTES)
        self._file.write(record + struct.pack("<I", crc32(record)))

    def _restore(self, log) -> None:
        found = False
        for at in (0, self._RECORD_BYTES):
            self._file.seek(at)
            data = self._file.read(self._RECORD_BYTES)
            if len(data) < self._RECORD_BYTES:
                continue
            if struct.unpack_from("<I", data, 16)[0] != crc32(data[:16]):
                continue
            turn, time_s, _, _ = struct.unpack(self._RECORD, data[:16])
            if turn > self._turn:
                self._turn, self.time_s = turn, max(time_s, self.time_s)
                found = True
        if not found:
            self.torn = True
            log("world", state="torn", todo="the counters start again from 0")
            self.move(0)


class WorldPulses:
    """firmware.board.Pulses over the world's counters."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.channels = (obis.IMPORT_WH, obis.EXPORT_WH)
        self.flags = 0
        self.width = PULSE_WIDTH
        self.kept = not world.torn

    def read(self) -> "tuple[int, int]":
        """Raw counts of import and export."""
        return self._world.raw()


class _Ticks:
    """The real time that passes, for the network."""

    def ticks_ms(self) -> int:
        """Milliseconds, wrapping."""
        return time.ticks_ms()

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Milliseconds from earlier to later."""
        return time.ticks_diff(later, earlier)

    def not_before(self, unix_s: int) -> None:
        """This computer's clock is right."""

    async def pause_ms(self, duration_ms: int) -> None:
        """Let real time pass."""
        await asyncio.sleep_ms(duration_ms)


class WorldClock(_Ticks):
    """firmware.board.Clock in world time, `speed` times as fast as real time."""

    tick_s = TICK_SCRIPTED_S

    def __init__(self, world: World, speed: int, log) -> None:
        assert world.household is not None
        self._world = world
        self._end_s = world.household.end_s
        self._speed = speed
        self._log = log
        self._begun_s = world.time_s
        self._due_us = 0  # how much real time should have passed since _from_ms
        self._from_ms = time.ticks_ms()
        self._told_end = False

    def now_s(self) -> "int | None":
        """World time, UTC seconds since 1970."""
        return self._world.time_s

    def set(self, unix_s: int) -> bool:
        """The script rules this world's time."""
        return False

    def uptime_s(self) -> int:
        """World seconds since this start."""
        return self._world.time_s - self._begun_s

    async def sleep_s(self, duration_s: int) -> None:
        """Move the world on, at the pace of `speed`; at the script's end it stands still."""
        left_s = self._end_s - self._world.time_s
        if left_s <= 0:
            await self._idle()
            return
        duration_s = min(duration_s, left_s)
        self._due_us += duration_s * 1_000_000 // self._speed
        ahead_ms = self._due_us // 1000 - time.ticks_diff(time.ticks_ms(), self._from_ms)
        if ahead_ms < -BEHIND_MAX_MS or self._due_us > 1_000_000_000:
            self._from_ms, self._due_us = time.ticks_ms(), 0
        await asyncio.sleep_ms(max(0, ahead_ms))
        self._world.move(duration_s)

    async def _idle(self) -> None:
        if not self._told_end:
            self._told_end = True
            self._log("script_end", intervals=self._log.intervals)
        await asyncio.sleep_ms(IDLE_MS)


class RealClock(_Ticks):
    """firmware.board.Clock in this computer's own time."""

    tick_s = TICK_REAL_S

    def __init__(self) -> None:
        self._wall = WallClock(time.time, time.gmtime(0)[0])
        self._uptime = Uptime(self)

    def now_s(self) -> "int | None":
        """UTC seconds since 1970."""
        return self._wall.now_s()

    def set(self, unix_s: int) -> bool:
        """Follow the gateway's clock from now on, inside this process."""
        return self._wall.set(unix_s)

    def uptime_s(self) -> int:
        """Seconds since this start."""
        return self._uptime.s()

    async def sleep_s(self, duration_s: int) -> None:
        """Let real time pass."""
        await asyncio.sleep_ms(duration_s * 1000)
