"""A meter's talk with a model gateway, in memory, on both runtimes: frames, receipts, commands."""

from firmware.config import parse
from firmware.events import EventLog
from firmware.journal import Journal, Ring
from firmware.keystore import KEYSTORE_BYTES, Keystore
from firmware.load_profile import INTERVAL_BYTES, Interval
from firmware.settings import SETTINGS_BYTES, Settings
from firmware.uplink import RECEIPT_WAIT_MS, Uplink
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, FakeClock, settings
from wire import frame, messages, topics
from wire.errors import WireError
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Command, Profile, Receipt, Registers, Result, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW_FRAMES = 64  # as gateway/window.py has it
UPTIME_S = 5
EVENT_RECORD_BYTES = 48
BLOCKS = 16  # keystore 4, settings 3, events 4, journal 5


class ModelGateway:
    """Judges frames and seals receipts as design and gateway do, for one meter.

    Once it has accepted a frame of a newer key epoch it refuses the older one.
    """

    def __init__(self, key: bytes = METER_KEY, key_epoch: int = 0) -> None:
        self.keys = {key_epoch: key}
        self.key_epoch = key_epoch  # of the newest frame accepted
        self.seen: dict[int, tuple[int, ...]] = {}
        self.down: dict[int, int] = {}
        self.upto = 0  # intervals committed, none missing below
        self.messages: list[Any] = []
        self.refused: list[str] = []
        self._made: dict[int, EpochKey] = {}

    def snapshot(self) -> "tuple[Any, ...]":
        """All that it knows, as values that do not change any more."""
        maps = (dict(self.keys), dict(self.seen), dict(self.down))
        return maps, self.key_epoch, self.upto, list(self.messages)

    def restore(self, kept: "tuple[Any, ...]") -> "ModelGateway":
        """Be as a snapshot was."""
        self.keys, self.seen, self.down = [dict(one) for one in kept[0]]
        self.key_epoch, self.upto = kept[1:3]
        self.messages = list(kept[3])
        return self

    def take(self, data: bytes) -> "tuple[str, bytes] | None":
        """A frame came up: the receipt that goes down for it; None when it was refused."""
        header = frame.peek(data)
        key = self._key(header.key_epoch) if header.key_epoch >= self.key_epoch else None
        if key is None:
            self.refused.append("unknown_epoch")
            return None
        try:
            opened = frame.open(key, data, topics.up(METER_ID), header)
        except WireError as error:
            self.refused.append(error.reason)
            return None
        seen = self.seen.get(header.key_epoch, ())
        assert header.frame_counter not in seen, "a frame counter was used twice"
        seen += (header.frame_counter,)
        self.seen[header.key_epoch] = seen[-WINDOW_FRAMES:]
        self.key_epoch = header.key_epoch
        message = messages.decode(opened, UP)
        self.messages.append(message)
        if type(message) is Profile and message.first <= self.upto + 1:
            self.upto = max(self.upto, message.first + len(message.quality) - 1)
        return self.seal(self.receipt())

    def receipt(self) -> Receipt:
        """What a receipt says now."""
        return Receipt(self.contiguous(), self.upto, NOON_S)

    def contiguous(self) -> int:
        """Highest counter with none missing below it in the window, -1 for none."""
        seen = self.seen.get(self.key_epoch, ())
        highest = max(seen) if seen else -1
        for counter in range(max(0, highest - WINDOW_FRAMES + 1), highest):
            if counter not in seen:
                return counter - 1
        return highest

    def seal(self, message: "Any", key_epoch: "int | None" = None) -> "tuple[str, bytes]":
        """A message to the meter, with its topic."""
        key_epoch = self.key_epoch if key_epoch is None else key_epoch
        counter = self.down.get(key_epoch, 0)
        self.down[key_epoch] = counter + 1
        topic = topics.down(METER_ID)
        data = messages.encode(message)
        return topic, frame.seal(self._key(key_epoch), DOWN, counter, topic, data)

    def of(self, kind: "Any") -> "list[Any]":
        """The messages of one kind, oldest first."""
        return [message for message in self.messages if type(message) is kind]

    def _key(self, key_epoch: int) -> "Any":
        if key_epoch not in self.keys:
            return None
        if key_epoch not in self._made:
            self._made[key_epoch] = EpochKey(key_epoch, self.keys[key_epoch])
        return self._made[key_epoch]


class FakeControls:
    """What commands do to a meter, noted."""

    def __init__(self) -> None:
        self.update: Any = None
        self.changes: list[tuple[int, int]] = []
        self.clock_set_s: list[int] = []
        self.known_s: int | None = NOON_S

    def now_s(self) -> "int | None":
        return self.known_s

    def read_now(self) -> "tuple[Any, ...]":
        return (Registers(NOON_S, (1, 2), (5, 6)),)

    def set_clock(self, time_s: int) -> None:
        self.clock_set_s.append(time_s)

    def changed(self, code: int, value: int) -> None:
        self.changes.append((code, value))


class TalkingMeter:
    """The talking half of a meter over a flash, as each start makes it; `used`: all counters."""

    def __init__(self, flash: "Any", config: "Any" = None, now_s: "int | None" = NOON_S) -> None:
        self.flash = flash
        self.settings = Settings(Ring(flash, 4, 3, SETTINGS_BYTES), config or parse(settings()))
        self.keystore = Keystore(Ring(flash, 0, 4, KEYSTORE_BYTES), self.settings.key_epoch, False)
        ring = Journal(flash, 7, 4, EVENT_RECORD_BYTES)
        self.events = EventLog(ring, self.keystore.events_settled)
        self.journal = Journal(flash, 11, 5, INTERVAL_BYTES)
        self.clock = FakeClock(now_s)
        self.controls = FakeControls()
        self.used: list[tuple[int, int]] = []
        self.limits: list[int] = []  # what chance was asked for
        self.uplink = Uplink(
            self.settings,
            self.keystore,
            self.journal,
            self.clock,
            self.chance,
            lambda: Status(NOON_S, "0.1.0", UPTIME_S, 1000, 3, 0, 1),
            self.events,
            lambda: UPTIME_S,
            self.controls,
        )

    def chance(self, limit: int) -> int:
        """No jitter."""
        self.limits.append(limit)
        return 0

    def measure(self, count: int = 1) -> None:
        """Close intervals."""
        for _ in range(count):
            number = self.journal.newest + 1
            at_s = NOON_S + 900 * number
            interval = Interval(number, at_s, 900, 0, (11 * number, 0), (11, 0), (1, 2))
            self.journal.append(interval.pack(), number)

    def send(self) -> "Any":
        """Send the next frame; gives it, or None when there is none to be sent."""
        outgoing = self.uplink.next_frame()
        if outgoing is not None:
            header = frame.peek(outgoing.frame)
            self.used.append((header.key_epoch, header.frame_counter))
            self.uplink.sent(outgoing)
        return outgoing

    def exchange(self, gateway: ModelGateway, frames: int = 1, receipts: bool = True) -> int:
        """At most so many frames up, each with its receipt; gives how many went.

        Time passes as far as needed while none goes, over one wait and one pause.
        """
        went = 0
        for _ in range(frames):
            outgoing = self.send() or self.later() or self.later()
            if outgoing is None:
                break
            went += 1
            receipt = gateway.take(outgoing.frame)
            if receipts and receipt is not None:
                self.uplink.receive(*receipt)
        return went

    def later(self) -> "Any":
        """What goes after one more wait or pause."""
        self.clock.pass_ms(max(RECEIPT_WAIT_MS, self.uplink._wait_ms))
        return self.send()

    def command(
        self, gateway: ModelGateway, code: int, *args: "Any", command_id: int = 7
    ) -> "list[Result]":
        """A command comes down; gives the results that went up for it."""
        before = len(gateway.of(Result))
        self.uplink.receive(*gateway.seal(Command(command_id, code, args)))
        self.exchange(gateway, 8)
        return gateway.of(Result)[before:]
