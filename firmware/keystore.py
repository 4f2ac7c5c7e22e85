"""Which frame counters may still be used, and how far the gateway has confirmed, kept in flash."""

# A counter is reserved in flash before it is used, in blocks, so that no reset whatever lets one
# be used twice under the same key: AES-CCM would then give the key stream away (RFC 3610, sec. 6).
# While the meter changes its key two key epochs are in use, each with counters of its own.

import struct

from wire.frame import FRAME_COUNTER_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.journal import Ring

COUNTERS_RESERVED = 64  # at one go; a reset skips at most this many
RECEIVER_WINDOW = 64  # frames below the highest one that a gateway remembers (docs/firmware.md)
KEYSTORE_BYTES = 52
# version, key epoch, starts, reserved, down_next, settled; then compatible, and of another epoch
# in use its key epoch, whether there is one, reserved, down_next; events settled; 4 bytes spare.
# Later versions only append there; a reader takes what has no higher `compatible` than its own.
_OWN = "<BBHQQI"
_OTHER = "<BBHQQI"
_OTHER_AT = 24
_VERSION = 1
_STARTS_MAX = 65535

# What is known of one key epoch, as a list of these four.
_NEXT = 0  # the next frame counter
_RESERVED = 1  # lowest counter that is not reserved in flash
_DOWN_NEXT = 2  # lowest frame counter that a frame from the gateway may have
_FRESH = 3  # first counter after the last gap, 0: nothing was skipped since the start


class KeystoreError(Exception):
    """The meter must not seal: pair it again. It keeps measuring meanwhile."""


class KeystoreLost(KeystoreError):
    """The record of used frame counters is gone from the flash: pair the meter again (new key)."""


class OldKey(KeystoreError):
    """The configured key epoch is older than one already used: pair the meter again."""


class CountersUsedUp(KeystoreError):
    """All 2^64 frame counters of this key epoch are used: pair the meter again."""


class Keystore:
    """Frame counters of the key epochs in use, and the numbers settled.

    `lived` tells whether the flash shows an earlier life; with it and without a record of its own
    the keystore was lost, and KeystoreLost is raised rather than a counter used twice.
    """

    def __init__(self, ring: "Ring", key_epoch: int, lived: bool) -> None:
        self._ring = ring
        self.key_epoch = key_epoch  # the one to seal with
        self.settled = 0  # highest interval number that the gateway has committed
        self.events_settled = 0  # highest event number that it has committed
        self.starts = 1  # how often the meter has started in its life, at most _STARTS_MAX
        self._epochs: dict[int, list[int]] = {}  # at most two
        record = ring.read_newest()
        if record is None:
            if lived:
                raise KeystoreLost("the used frame counters are not known: pair the meter again")
        else:
            self._restore(bytes(record))
            if ring.newest_lost and key_epoch <= max(self._epochs):
                raise KeystoreLost("a newer record of used counters is gone: pair the meter again")
        self.switch(key_epoch)
        self.retire()
        self._save()

    def _restore(self, record: bytes) -> None:
        version, first, starts, reserved, down_next, settled = struct.unpack_from(_OWN, record)
        compatible, second, used, other, other_down_next, events = struct.unpack_from(
            _OTHER, record, _OTHER_AT
        )
        if not version or not 0 < compatible <= _VERSION:
            raise KeystoreLost("the keystore is of a newer firmware: install that one again")
        self._epochs[first] = [reserved, reserved, down_next, 0]
        if used:
            self._epochs[second] = [other, other, other_down_next, 0]
        self.settled = settled
        self.events_settled = events
        self.starts = min(starts + 1, _STARTS_MAX)

    # -------------------------------------------------------------- key epochs

    def may_use(self, key_epoch: int) -> bool:
        """True for an epoch whose used counters are known: a newer one has none."""
        return key_epoch in self._epochs or not self._epochs or key_epoch > max(self._epochs)

    def switch(self, key_epoch: int) -> None:
        """Seal under this key epoch from now on. Raises OldKey where its counters are not known.

        Of two epochs in use the higher gives way to a third one that is higher still.
        """
        if not self.may_use(key_epoch):
            raise OldKey("this key epoch is older than one already used: pair the meter again")
        if key_epoch not in self._epochs:
            if len(self._epochs) == 2:
                del self._epochs[max(self._epochs)]
            self._epochs[key_epoch] = [0, 0, 0, 0]
        self.key_epoch = key_epoch

    def retire(self) -> None:
        """Forget every key epoch below the one in use; durable with the next frame heard."""
        for key_epoch in list(self._epochs):
            if key_epoch < self.key_epoch:
                del self._epochs[key_epoch]

    # -------------------------------------------------------------- up

    def next_counter(self) -> int:
        """A frame counter that no frame has had and none will have again."""
        epoch = self._epochs[self.key_epoch]
        if epoch[_NEXT] >= FRAME_COUNTER_MAX - COUNTERS_RESERVED:
            raise CountersUsedUp("no frame counter is left: pair the meter again")
        if epoch[_NEXT] == epoch[_RESERVED]:
            self._save(COUNTERS_RESERVED)
            epoch[_RESERVED] += COUNTERS_RESERVED  # only now: the flash may have refused
        epoch[_NEXT] += 1
        return epoch[_NEXT] - 1

    def leave_gap(self) -> None:
        """Leave out a whole window of counters, because frames before may not have arrived.

        A receipt names the highest counter with nothing missing below it, and a missing one would
        hold it back for RECEIVER_WINDOW frames. Behind a gap as wide as the window the gateway
        gives up what it misses with each frame: `covers` reads that.
        """
        epoch = self._epochs[self.key_epoch]
        if epoch[_NEXT]:
            highest = FRAME_COUNTER_MAX - COUNTERS_RESERVED
            epoch[_NEXT] = min(epoch[_NEXT] + RECEIVER_WINDOW, highest)
            epoch[_RESERVED] = max(epoch[_RESERVED], epoch[_NEXT])
            epoch[_FRESH] = epoch[_NEXT]

    def covers(self, receipted: int, frame_counter: int) -> bool:
        """True when a receipt for counter `receipted` says that the newest frame is committed.

        While the gap of the last gap is in the gateway's window, the lowest counter missing there
        is the window's lowest: `receipted` is then exactly RECEIVER_WINDOW below the highest seen.
        """
        if receipted >= frame_counter:
            return True
        fresh = self._epochs[self.key_epoch][_FRESH]
        return receipted < fresh and 0 < fresh <= frame_counter <= receipted + RECEIVER_WINDOW

    # -------------------------------------------------------------- down

    def is_new(self, down_counter: int, key_epoch: "int | None" = None) -> bool:
        """True for a frame counter from the gateway above every one heard before."""
        epoch = self._epochs.get(self.key_epoch if key_epoch is None else key_epoch)
        return epoch is None or down_counter >= epoch[_DOWN_NEXT]

    def heard(
        self,
        down_counter: int,
        settled: int,
        events_settled: int = 0,
        key_epoch: "int | None" = None,
    ) -> None:
        """Remember an opened frame from the gateway, and what is settled by now, durably."""
        assert self.is_new(down_counter, key_epoch) and settled >= self.settled
        epoch = self._epochs[self.key_epoch if key_epoch is None else key_epoch]
        epoch[_DOWN_NEXT] = down_counter + 1
        self.settled = settled
        self.events_settled = max(self.events_settled, events_settled)
        self._save()

    def _save(self, more: int = 0) -> None:
        """Append the record, with `more` counters reserved for the epoch in use."""
        own = self._epochs[self.key_epoch]
        assert own[_NEXT] <= own[_RESERVED] + more
        second, other = 0, (0, 0, 0)
        for key_epoch, epoch in self._epochs.items():
            if key_epoch != self.key_epoch:
                second, other = key_epoch, (1, epoch[_RESERVED], epoch[_DOWN_NEXT])
        record = bytearray(KEYSTORE_BYTES)
        head = (_VERSION, self.key_epoch, self.starts)
        struct.pack_into(
            _OWN, record, 0, *head, own[_RESERVED] + more, own[_DOWN_NEXT], self.settled
        )
        tail = (other[0], other[1], other[2], self.events_settled)
        struct.pack_into(_OTHER, record, _OTHER_AT, _VERSION, second, *tail)
        self._ring.append(record)
