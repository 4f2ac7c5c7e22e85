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

        def ticks_ms(self) -> int:
            """A monotonic count of real milliseconds that may wrap; compare with ticks_diff."""

        def ticks_diff(self, later: int, earlier: int) -> int:
            """Milliseconds from earlier to later, right across a wrap."""

        async def sleep_s(self, duration_s: int) -> None:
            """Let metered time pass. Only the measuring loop calls this."""

        async def pause_ms(self, duration_ms: int) -> None:
            """Let real time pass, for the network's sake."""

    class Pulses(Protocol):
        """Two pulse inputs, import and export, that count by themselves in hardware."""

        width: int  # counts are modulo this, at most PULSE_WIDTH_MAX
        survives_power_off: bool  # False: they start from 0 at every start of the meter

        def read(self) -> "tuple[int, int]":
            """Raw counts of import and export. Reading never resets them."""

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
CHANNELS = 2  # import, export: the order of every pair in the firmware

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
    ),
)

# why: "power_on", "watchdog" or "soft"
# flash_lost: the board knows that this meter has lived before and its flash was emptied since
Start = namedtuple("Start", ("why", "flash_lost"))
