"""What the meter asks of a board; boards/ hands one of these over and nothing else."""

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Clock(Protocol):
        """Time. Wall time is UTC seconds since 1970 whatever the port's epoch is."""

        tick_s: int  # how long the measuring loop sleeps at most between two looks, 1..60

        def now_s(self) -> "int | None":
            """UTC seconds since 1970; None while the time is not known."""

        def set(self, unix_s: int) -> bool:
            """Take the time from a receipt. False when this board's clock is not to be set."""

        def not_before(self, unix_s: int) -> None:
            """No right time is before this: what certificates are judged by while none is known."""

        def ticks_ms(self) -> int:
            """A monotonic count of real milliseconds that may wrap; compare with ticks_diff."""

        def ticks_diff(self, later: int, earlier: int) -> int:
            """Milliseconds from earlier to later, right across a wrap."""

        def uptime_s(self) -> int:
            """Metered seconds since this start; no step of the clock changes them."""

        async def sleep_s(self, duration_s: int) -> None:
            """Let metered time pass. Only the measuring loop calls this."""

        async def pause_ms(self, duration_ms: int) -> None:
            """Let real time pass, for the network's sake."""

    class Pulses(Protocol):
        """Pulse inputs that count by themselves in hardware, one for each channel."""

        channels: "tuple[int, ...]"  # short OBIS codes, rising, 1 to CHANNELS_MAX of them
        width: int  # counts are modulo this, at most PULSE_WIDTH_MAX
        kept: bool  # True: they went on since the start before; False: they began at 0 with this
        flags: int  # wire.quality flags of what `read` gave last: ESTIMATED_VA, GAP, IMPLAUSIBLE

        def read(self) -> "tuple[int, ...]":
            """Raw counts, one for each channel. Reading never resets them."""

        # Inputs that know when pulses came have `last_ms`, ticks_ms of the newest of each channel.
        # Inputs that must be sampled have `async def run(clock)` too, which never ends.

    class Retained(Protocol):
        """Memory that soft and watchdog resets leave alone and power-off empties (RTC memory)."""

        def read(self) -> bytes:
            """What was written last; b"" or noise after a power-off."""

        def write(self, data: "bytes | bytearray") -> None:
            """Replace it with at most RETAINED_BYTES_MAX bytes."""

    class Sensors(Protocol):
        """What else the board can see of its supply. Asked once a look; must not block."""

        def measured(self) -> "Measured | None":
            """The newest window of current and voltage; None where no such sensor is."""

        def supply_lost(self) -> bool:
            """True while the mains is away and a capacitor keeps the meter alive."""

        def tampered(self) -> bool:
            """True while the cover is open."""

    class Watchdog(Protocol):
        """Resets the meter when it is not fed for WATCHDOG_MS."""

        def feed(self) -> None: ...

    class Flash(Protocol):
        """MicroPython's extended block device over a raw partition that is nobody else's."""

        def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None: ...

        def writeblocks(
            self, block: int, buffer: "bytes | bytearray", offset: "int | None" = None
        ) -> None: ...

        def ioctl(self, request: int, argument: int) -> int:
            """4: number of blocks, 5: bytes in a block, 6: erase block `argument` to 0xFF."""

    class Link(Protocol):
        """The way to the gateway."""

        def open(self, host: str, port: int, timeout_ms: int) -> "Any":
            """A connected stream with read(n), write(data), close(), set not to block.

            read gives what is there, None for nothing yet, b"" at the end; write gives how many
            bytes it took, or None. Raises OSError.
            """

        def wait(self, stream: "Any", for_write: bool, timeout_ms: int) -> bool:
            """True as soon as the stream can be read (written); False after timeout_ms."""

        def rssi_dbm(self) -> int:
            """Signal strength, 0 where there is no radio."""


PULSE_WIDTH_MAX = 1 << 24
CHANNELS_MAX = 4
RETAINED_BYTES_MAX = 512  # of the 2048 that the ESP32's RTC memory has
WATCHDOG_MS = 30_000
BLOCKING_MS_MAX = WATCHDOG_MS // 3  # the longest that any single call may keep the meter

# power_w: import positive; a voltage (mV) and a current (mA) for each phase; frequency in mHz.
# voltage_mv is () where no voltage is measured, and power_w is then an estimate in VA.
Measured = namedtuple("Measured", ("power_w", "voltage_mv", "current_ma", "frequency_mhz"))


class NoSensors:
    """A board that sees nothing but its counters."""

    def measured(self) -> "Measured | None":
        """No current or voltage here."""
        return None

    def supply_lost(self) -> bool:
        """No capacitor would keep this board alive to tell."""
        return False

    def tampered(self) -> bool:
        """No cover to open."""
        return False


Board = namedtuple(
    "Board",
    (
        "config",  # firmware.config.Config
        "clock",
        "pulses",
        "flash",
        "link",
        "log",  # log(event, **fields): never a secret
        "rng",  # rng(limit): a random integer in 0..limit - 1, for jitter only
        "start",  # Start: why and how this start came about
        "retained",
        "sensors",
        "watchdog",
        "slots",  # firmware.update.Slots, or None where no update over the air can land
        "restart",  # restart(): starts the meter again; on a chip it does not come back
    ),
)

# why: "power_on", "watchdog" or "soft"
# flash_lost: the board knows that this meter has lived before and its flash was emptied since
Start = namedtuple("Start", ("why", "flash_lost"))
