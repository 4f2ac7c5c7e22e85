"""Builders for the meter's tests, on both runtimes: config, clock, pulses, flash, link, board."""

import asyncio

from firmware.board import RETAINED_BYTES_MAX, Board, NoSensors, Start
from firmware.config import parse
from firmware.metering import Metering
from firmware.storage import open_storage
from tests.support.fake_flash import FakeFlash
from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


METER_ID = b"\x00\x11\x22\x33\x44\x55\x66\x77"
METER_KEY = bytes(range(32))
NOON_S = 1634299200  # 2021-10-15T12:00:00Z, on the grid of every capture period
FLASH_BLOCKS = 32


def settings(**changes: "Any") -> "dict[str, Any]":
    """A meter's config as JSON has it."""
    found = {
        "meter_id": "0011223344556677",
        "meter_key": topics.to_hex(METER_KEY),
        "key_epoch": 0,
        "gateway_host": "127.0.0.1",
        "gateway_port": 1883,
        "password": "a-long-password",
        "imp_per_kwh": 1000,
        "capture_period_s": 900,
    }
    found.update(changes)
    return found


def refusal_of(error: "Any", call: "Any", *arguments: "Any") -> str:
    """The text of the error that the call must raise."""
    try:
        call(*arguments)
    except error as raised:
        return str(raised)
    raise AssertionError("it was not refused")


def refused(error: "Any", call: "Any") -> bool:
    """Whether the call raises this error."""
    try:
        call()
    except error:
        return True
    return False


class FakeClock:
    """Wall time, unknown when None, and ticks that wrap at 2^30 as on a 32-bit port."""

    PERIOD_MS = 1 << 30
    tick_s = 60

    def __init__(self, now_s: "int | None" = NOON_S, ticks_ms: int = 0) -> None:
        self.wall_s = now_s
        self.ms = self.begun_ms = ticks_ms
        self.settable = True

    def now_s(self) -> "int | None":
        return self.wall_s

    def set(self, unix_s: int) -> bool:
        if self.settable:
            self.wall_s = unix_s
        return self.settable

    def not_before(self, unix_s: int) -> None:
        self.least_s = unix_s

    def ticks_ms(self) -> int:
        return self.ms % self.PERIOD_MS

    def ticks_diff(self, later: int, earlier: int) -> int:
        half = self.PERIOD_MS // 2
        return (later - earlier + half) % self.PERIOD_MS - half

    def uptime_s(self) -> int:
        return (self.ms - self.begun_ms) // 1000

    def pass_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms

    async def sleep_s(self, duration_s: int) -> None:
        if self.wall_s is not None:
            self.wall_s += duration_s
        self.ms += duration_s * 1000
        await asyncio.sleep(0)

    async def pause_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms
        await asyncio.sleep(0)


class FakePulses:
    """Two counters modulo width; `total` is what really happened."""

    def __init__(
        self, width: int = 1 << 24, kept: bool = True, channels: "tuple[int, ...]" = (1, 2)
    ) -> None:
        self.width = width
        self.kept = kept
        self.channels = channels
        self.flags = 0
        self.total = [0] * len(channels)

    def read(self) -> "tuple[int, ...]":
        return tuple([total % self.width for total in self.total])

    def count(self, *pulses: int) -> None:
        for channel, more in enumerate(pulses):
            self.total[channel] += more

    def after_power_on(self) -> "FakePulses":
        """The same inputs as the next start finds them."""
        again = FakePulses(self.width, self.kept, self.channels)
        if self.kept:
            again.total = list(self.total)
        return again


class FakeRetained:
    """RTC memory: `after_reset` keeps it, a power-off is a new one."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def read(self) -> bytes:
        return self.content

    def write(self, data: "bytes | bytearray") -> None:
        assert len(data) <= RETAINED_BYTES_MAX
        self.content = bytes(data)

    def after_reset(self) -> "FakeRetained":
        return FakeRetained(self.content)


class FakeSensors(NoSensors):
    """Sensors whose sight a test sets."""

    def __init__(self) -> None:
        self.seen: Any = None
        self.lost = False
        self.opened = False

    def measured(self) -> "Any":
        return self.seen

    def supply_lost(self) -> bool:
        return self.lost

    def tampered(self) -> bool:
        return self.opened


class LinkBelow:
    """What a WifiLink or an EthernetLink opens: remembers what it was asked for."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, int, int]] = []

    def open(self, host: str, port: int, timeout_ms: int) -> "LinkBelow":
        self.opened.append((host, port, timeout_ms))
        return self

    def wait(self, stream: object, for_write: bool, timeout_ms: int) -> bool:
        return stream is self and for_write and timeout_ms == 5


class FakeWatchdog:
    """Counts how often it was fed."""

    def __init__(self) -> None:
        self.fed = 0

    def feed(self) -> None:
        self.fed += 1


class Restarted(BaseException):
    """The meter asked its board to start again."""


def restart() -> None:
    raise Restarted()


class Logged:
    """A board's log that keeps what was told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: str, **fields: "Any") -> None:
        fields["event"] = event
        self.events.append(fields)

    def of(self, event: str) -> "list[dict[str, Any]]":
        return [fields for fields in self.events if fields["event"] == event]


def a_board(
    flash: "Any" = None,
    clock: "Any" = None,
    pulses: "Any" = None,
    link: "Any" = None,
    config: "Any" = None,
    flash_lost: bool = False,
    retained: "Any" = None,
    sensors: "Any" = None,
    slots: "Any" = None,
    why: str = "power_on",
) -> Board:
    """A board of fakes."""
    return Board(
        config or parse(settings()),
        clock or FakeClock(),
        pulses or FakePulses(),
        flash or FakeFlash(FLASH_BLOCKS),
        link,
        Logged(),
        lambda limit: 0,
        Start(why, flash_lost),
        retained or FakeRetained(),
        sensors or NoSensors(),
        FakeWatchdog(),
        slots,
        restart,
    )


def a_metering(
    flash: "Any" = None,
    pulses: "Any" = None,
    imp_per_kwh: int = 1000,
    capture_period_s: int = 900,
    settled: int = 0,
) -> Metering:
    """Metering over this flash, as a start of the meter makes it."""
    storage = open_storage(flash or FakeFlash(FLASH_BLOCKS))
    return Metering(storage, pulses or FakePulses(), imp_per_kwh, capture_period_s, settled)


def a_down_frame(
    message: "Any",
    counter: int = 0,
    key_epoch: int = 0,
    key: bytes = METER_KEY,
    direction: int = DOWN,
    meter: bytes = METER_ID,
) -> "tuple[str, bytes]":
    """A frame as the gateway seals it, with its topic."""
    topic = topics.down(meter)
    data = messages.encode(message)
    return topic, frame.seal(EpochKey(key_epoch, key), direction, counter, topic, data)


def opened(
    data: bytes, meter: bytes = METER_ID, key: bytes = METER_KEY, key_epoch: int = 0
) -> "Any":
    """What a meter's frame says, as the gateway opens it."""
    sealed = frame.open(EpochKey(key_epoch, key), data, topics.up(meter))
    return messages.decode(sealed, UP)
