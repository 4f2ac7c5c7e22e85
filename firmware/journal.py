"""An append-only ring of fixed slots on NOR flash that survives a power cut after any byte."""

# Flash can only clear bits; an erase sets a whole block to 0xFF. A slot is programmed once:
#   sequence u32 | payload | CRC-32 u32
# A slot that was cut half-way fails its CRC and is stepped over. Nothing is ever rewritten in
# place, so power may go at any moment and only the record being written can be lost.

import struct
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Flash

SEQUENCE_MAX = 0xFFFFFFFE  # 0xFFFFFFFF is what erased flash reads as
SLOT_OVERHEAD_BYTES = 8
PAYLOAD_BYTES_MAX = 120
RING_BLOCKS_MIN = 2  # one to write, one to keep while the other is being erased

_IOCTL_BLOCKS = 4
_IOCTL_BLOCK_BYTES = 5
_IOCTL_ERASE = 6


class FlashWorn(Exception):
    """No slot of this ring takes a record any more: replace the board; see status.flash_erases."""


def block_count(flash: "Flash") -> int:
    """Blocks of the flash."""
    return flash.ioctl(_IOCTL_BLOCKS, 0)


class Ring:
    """Records of `payload_bytes` in `blocks` erase blocks from `first_block` on; newest wins.

    Sequence numbers start at 1, only grow and are never given to two records that both count.
    Entering a block erases the oldest records in it. What cannot be read is counted, in
    `damaged_slots` and `damaged_blocks`, for the meter's boot event and status.
    """

    def __init__(self, flash: "Flash", first_block: int, blocks: int, payload_bytes: int) -> None:
        assert blocks >= RING_BLOCKS_MIN and 0 < payload_bytes <= PAYLOAD_BYTES_MAX
        self._flash = flash
        self._first_block = first_block
        self._payload_bytes = payload_bytes
        slot_bytes = payload_bytes + SLOT_OVERHEAD_BYTES
        self.slots_per_block = flash.ioctl(_IOCTL_BLOCK_BYTES, 0) // slot_bytes
        self._slot = bytearray(slot_bytes)
        self._check = bytearray(slot_bytes)
        self._blank = b"\xff" * slot_bytes
        self._firsts = [0] * blocks  # first sequence in each block, 0 for none
        self.newest = 0  # sequence of the newest record, 0 for none
        self.damaged_slots = 0
        self.damaged_blocks = 0
        self._block = blocks - 1  # being written; the first append enters block 0
        self._at = self.slots_per_block
        self._open()

    # -------------------------------------------------------------- reading

    @property
    def oldest(self) -> int:
        """Sequence of the oldest record, 0 for none."""
        firsts = [first for first in self._firsts if first]
        return min(firsts) if firsts else 0

    @property
    def kept_min(self) -> int:
        """How many of the newest records are still there even right after an erase."""
        return (len(self._firsts) - 1) * self.slots_per_block

    def read(self, sequence: int) -> "memoryview | None":
        """The record's payload, or None. A view of one buffer: good until the next call."""
        block = -1
        for index, first in enumerate(self._firsts):
            if first and first <= sequence and (block < 0 or first > self._firsts[block]):
                block = index
        if block < 0 or sequence > self.newest:
            return None
        # Each slot before it holds at most one sequence; damage can only move it further back.
        guess = min(sequence - self._firsts[block], self.slots_per_block - 1)
        if self._load(block, guess) == sequence:
            return self._payload()
        for at in range(self.slots_per_block):
            if self._load(block, at) == sequence:
                return self._payload()
        return None

    def read_newest(self) -> "memoryview | None":
        """The newest record's payload, or None."""
        return self.read(self.newest) if self.newest else None

    # -------------------------------------------------------------- writing

    def append(self, payload: "bytes | bytearray", sequence: int = 0) -> int:
        """Write a record that is durable on return; gives its sequence.

        `sequence` may skip ahead of the next one. Raises FlashWorn when no slot takes it.
        """
        assert len(payload) == self._payload_bytes
        sequence = sequence or self.newest + 1
        assert self.newest < sequence <= SEQUENCE_MAX
        for _ in range(len(self._firsts) * self.slots_per_block):
            if self._at == self.slots_per_block:
                self._enter_next_block()
            if self._program(sequence, payload):
                if not self._firsts[self._block]:
                    self._firsts[self._block] = sequence
                self._at += 1
                self.newest = sequence
                return sequence
            self.damaged_slots += 1
            self._at += 1
        raise FlashWorn("no slot of the ring takes a record")

    def _program(self, sequence: int, payload: "bytes | bytearray") -> bool:
        """Program the slot at the head; False when it was not blank or does not read back."""
        self._read_slot(self._block, self._at)
        if self._slot != self._blank:
            return False
        slot = self._slot
        struct.pack_into("<I", slot, 0, sequence)
        slot[4:-4] = payload
        struct.pack_into("<I", slot, len(slot) - 4, crc32(memoryview(slot)[:-4]))
        self._flash.writeblocks(self._first_block + self._block, slot, self._at * len(slot))
        self._flash.readblocks(self._first_block + self._block, self._check, self._at * len(slot))
        return self._check == slot

    def _enter_next_block(self) -> None:
        """Erase the next block that erases cleanly, and put the head at its start."""
        for _ in range(len(self._firsts)):
            self._block = (self._block + 1) % len(self._firsts)
            self._at = self.slots_per_block  # stays full if power goes during the erase
            self._forget(self._block)
            self._firsts[self._block] = 0
            self._flash.ioctl(_IOCTL_ERASE, self._first_block + self._block)
            if self._is_blank(self._block):
                self._at = 0
                return
            self.damaged_blocks += 1
        raise FlashWorn("no block of the ring erases any more")

    def _forget(self, block: int) -> None:
        """What else must know that a block's records are about to go."""

    # -------------------------------------------------------------- at start

    def _open(self) -> None:
        """Find the newest record and the head behind it."""
        newest_block = -1
        for block in range(len(self._firsts)):
            first = self._first_in(block)
            self._firsts[block] = first
            if first and (newest_block < 0 or first > self._firsts[newest_block]):
                newest_block = block
        if newest_block < 0:
            return
        self._block = newest_block
        self._at = 0
        for at in range(self.slots_per_block):
            sequence = self._load(newest_block, at)
            if sequence > self.newest:
                self.newest = sequence
            elif not sequence and self._slot != self._blank:
                self.damaged_slots += 1
            if self._slot != self._blank:
                self._at = at + 1

    def _first_in(self, block: int) -> int:
        """First sequence in a block; 0 when it is blank or holds nothing that can be read."""
        used = 0
        for at in range(self.slots_per_block):
            sequence = self._load(block, at)
            if sequence:
                return sequence
            if self._slot != self._blank:
                used += 1
            elif at == 0:
                return 0  # records start at slot 0, so nothing that counts is behind it
        if used == 1:
            self.damaged_slots += 1  # the first record of a block, torn: no damage
        else:
            self.damaged_blocks += 1
        return 0

    def _is_blank(self, block: int) -> bool:
        for at in range(self.slots_per_block):
            self._read_slot(block, at)
            if self._slot != self._blank:
                return False
        return True

    # -------------------------------------------------------------- slots

    def _read_slot(self, block: int, at: int) -> None:
        self._flash.readblocks(self._first_block + block, self._slot, at * len(self._slot))

    def _load(self, block: int, at: int) -> int:
        """Read a slot into the buffer; its sequence, or 0 when it holds no whole record."""
        self._read_slot(block, at)
        slot = self._slot
        sequence, crc = _word(slot, 0), _word(slot, len(slot) - 4)
        if not 0 < sequence <= SEQUENCE_MAX or crc32(memoryview(slot)[:-4]) != crc:
            return 0
        return sequence

    def _payload(self) -> memoryview:
        return memoryview(self._slot)[4:-4]


class Journal(Ring):
    """The intervals: a ring whose sequence is the interval number, freed only by `settle`."""

    def __init__(self, flash: "Flash", first_block: int, blocks: int, payload_bytes: int) -> None:
        self.settled = 0  # highest number that the gateway has committed
        self.lost = 0  # unsettled intervals overwritten because the journal was full
        super().__init__(flash, first_block, blocks, payload_bytes)

    @property
    def oldest_unsettled(self) -> int:
        """Lowest number still held and not settled; newest + 1 when there is none."""
        return min(max(self.settled + 1, self.oldest), self.newest + 1)

    @property
    def unsettled(self) -> int:
        """How many intervals wait for a receipt."""
        return self.newest + 1 - self.oldest_unsettled

    def settle(self, number: int) -> bool:
        """The gateway has committed everything up to `number`. False when that is no news.

        A number the meter has not reached is refused with ValueError: it is not about this journal.
        """
        if number > self.newest:
            raise ValueError("a receipt for intervals this meter has not measured")
        if number <= self.settled:
            return False
        self.settled = number
        return True

    def _forget(self, block: int) -> None:
        """Count unsettled intervals that the ring is about to overwrite."""
        first = self._firsts[block]
        if not first:
            return
        later = [other for other in self._firsts if other > first]
        after = min(later) if later else self.newest + 1
        self.lost += max(0, after - max(first, self.settled + 1))


def _word(buffer: bytearray, at: int) -> int:
    return struct.unpack_from("<I", buffer, at)[0]
