"""The event log: what happened to the meter, numbered for life, kept until the gateway has it."""

import struct

from firmware.journal import FlashWorn
from wire.messages import EVENT_EVENTS_LOST, Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.journal import Journal

EVENT_VALUES_MAX = 4
RAM_EVENTS_MAX = 4  # kept in memory where the flash takes no record
_VERSION = 1
_HEAD = "<BBBBIQ"  # lowest version that may read it, code, count of values, spare, uptime, time
_VALUES_AT = 16
EVENT_BYTES = _VALUES_AT + 8 * EVENT_VALUES_MAX


class EventLog:
    """Events in a ring, freed only by `settle`; their sequence is their number.

    `settled` is the highest number whose receipt has come, from the keystore. An event that
    happened before the time was known is dated when it is taken out, if that is in the same start.
    """

    def __init__(self, ring: "Journal", settled: int = 0) -> None:
        self._ring = ring
        ring.settled = settled
        self._earlier = ring.newest  # newest event of an earlier start: its uptime says nothing now
        self._in_memory: list[bytearray] = []
        self._given = False  # `next` gave the first of those
        self.dropped = 0  # neither flash nor memory had room for these

    @property
    def settled(self) -> int:
        """Highest number that needs not be sent again."""
        return self._ring.settled

    @property
    def lost(self) -> int:
        """How many unsettled events were overwritten and are not yet settled as lost."""
        return max(0, self._ring.oldest_unsettled - 1 - self._ring.settled)

    def add(self, code: int, values: "tuple[int, ...]", at_s: "int | None", uptime_s: int) -> int:
        """Keep an event; gives its number. at_s is None or 0 where the time is not known.

        Durable on return. 0: the flash did not take it; it is in memory only, or dropped.
        """
        assert len(values) <= EVENT_VALUES_MAX
        record = bytearray(EVENT_BYTES)
        struct.pack_into(_HEAD, record, 0, _VERSION, code, len(values), 0, uptime_s, at_s or 0)
        struct.pack_into("<" + "q" * len(values), record, _VALUES_AT, *values)
        try:
            return self._ring.append(record)
        except FlashWorn:
            if len(self._in_memory) < RAM_EVENTS_MAX:
                self._in_memory.append(record)
            else:
                self.dropped += 1
            return 0

    def next(self, now_s: "int | None", uptime_s: int) -> "Event | None":
        """The oldest event not yet settled, dated if that can be; None when there is none.

        Where the oldest ones were overwritten or damaged it is EVENT_EVENTS_LOST with how many,
        under the number of the last of them: settling that settles them all.
        """
        ring = self._ring
        self._given = False
        number = ring.oldest_unsettled
        while number <= ring.newest:
            event = self._read(number, now_s, uptime_s)
            if event is not None:
                break
            number += 1
        gone = number - 1 - ring.settled
        if gone > 0:
            return Event(now_s or 0, EVENT_EVENTS_LOST, (gone,), number - 1)
        if number <= ring.newest:
            return event
        if not self._in_memory:
            return None
        self._given = True
        return self._event(self._in_memory[0], 0, now_s, uptime_s)

    def settle(self, number: int) -> None:
        """The gateway has every event up to `number`; 0: it has the unnumbered one given last.

        Raises ValueError for a number that no event has had.
        """
        if number:
            self._ring.settle(number)
        elif self._given:
            self._given = False
            self._in_memory.pop(0)

    def recent(self, count: int) -> "list[Event]":
        """At most `count` events, newest first, as they were stored."""
        ring = self._ring
        found: list[Event] = []
        number = ring.newest
        while len(found) < count and number >= ring.oldest > 0:
            event = self._read(number, None, 0)
            if event is not None:
                found.append(event)
            number -= 1
        return found

    def _read(self, number: int, now_s: "int | None", uptime_s: int) -> "Event | None":
        record = self._ring.read(number)
        return None if record is None else self._event(record, number, now_s, uptime_s)

    def _event(self, record, number: int, now_s: "int | None", uptime_s: int) -> "Event | None":
        """The event in a record; None when a newer firmware wrote it in a layout unknown here."""
        version, code, count, _, then_s, at_s = struct.unpack_from(_HEAD, record, 0)
        if version > _VERSION or count > EVENT_VALUES_MAX:
            return None
        if not at_s and now_s is not None and not 0 < number <= self._earlier:
            at_s = now_s - (uptime_s - then_s)
        values = struct.unpack_from("<" + "q" * count, record, _VALUES_AT)
        return Event(at_s, code, values, number)
