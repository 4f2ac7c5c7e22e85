"""Which frame counters may still be used, and how far the gateway has confirmed, kept in flash."""

# A counter is reserved in flash before it is used, in blocks, so that no reset whatever lets one
# be used twice under the same key: AES-CCM would then give the key stream away (RFC 3610, sec. 6).

import struct

from wire.frame import FRAME_COUNTER_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.journal import Ring

COUNTERS_RESERVED = 64  # at one go; a reset skips at most this many
KEYSTORE_BYTES = 24
_RECORD = "<BBHQQI"  # version, key epoch, starts, reserved, down_next, settled
_VERSION = 1
_STARTS_MAX = 65535


class KeystoreError(Exception):
    """The meter must not seal: pair it again. It keeps measuring meanwhile."""


class KeystoreLost(KeystoreError):
    """The record of used frame counters is gone from the flash: pair the meter again (new key)."""


class OldKey(KeystoreError):
    """The configured key epoch is older than one already used: pair the meter again."""


class CountersUsedUp(KeystoreError):
    """All 2^64 frame counters of this key epoch are used: pair the meter again."""


class Keystore:
    """Frame counters of one key epoch, and the settled interval number.

    `lived` tells whether the flash shows an earlier life; with it and without a record of its own
    the keystore was lost, and KeystoreLost is raised rather than a counter used twice.
    """

    def __init__(self, ring: "Ring", key_epoch: int, lived: bool) -> None:
        self._ring = ring
        self.key_epoch = key_epoch
        self.settled = 0  # highest interval number that the gateway has committed
        self.down_next = 0  # lowest frame counter that a frame from the gateway may have
        self.starts = 1  # how often the meter has started in its life, at most _STARTS_MAX
        self._next = 0
        self._reserved = 0
        record = ring.read_newest()
        if record is None:
            if lived:
                raise KeystoreLost("the used frame counters are not known: pair the meter again")
        else:
            self._restore(record)
        self._save()

    def _restore(self, record) -> None:
        version, stored_epoch, starts, reserved, down_next, settled = struct.unpack(_RECORD, record)
        if version != _VERSION:
            raise KeystoreLost("the keystore is of a newer firmware: install that one again")
        if stored_epoch > self.key_epoch:
            raise OldKey("this key epoch is older than one already used: pair the meter again")
        self.settled = settled
        self.starts = min(starts + 1, _STARTS_MAX)
        if stored_epoch == self.key_epoch:
            self.down_next = down_next
            self._next = self._reserved = reserved

    def next_counter(self) -> int:
        """A frame counter that no frame has had and none will have again."""
        if self._next >= FRAME_COUNTER_MAX - COUNTERS_RESERVED:
            raise CountersUsedUp("no frame counter is left: pair the meter again")
        if self._next == self._reserved:
            self._save(self._reserved + COUNTERS_RESERVED)
            self._reserved += COUNTERS_RESERVED  # only now: the flash may have refused
        self._next += 1
        return self._next - 1

    def is_new(self, down_counter: int) -> bool:
        """True for a frame counter from the gateway above every one heard before."""
        return down_counter >= self.down_next

    def heard(self, down_counter: int, settled: int) -> None:
        """Remember an opened frame from the gateway, and what is settled by now, durably."""
        assert self.is_new(down_counter) and settled >= self.settled
        self.down_next = down_counter + 1
        self.settled = settled
        self._save()

    def _save(self, reserved: int = -1) -> None:
        reserved = self._reserved if reserved < 0 else reserved
        assert self._next <= reserved
        head = (_VERSION, self.key_epoch, self.starts)
        record = struct.pack(_RECORD, *head, reserved, self.down_next, self.settled)
        self._ring.append(record)
