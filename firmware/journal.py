"""An append-only ring of fixed slots on NOR flash that survives a power cut after any byte."""

# Flash can only clear bits; an erase sets a whole block to 0xFF. A slot is programmed once:
#   sequence u32 | payload | CRC-32 u32
# A slot that was cut half-way fails its CRC and is stepped over. Nothing is ever rewritten in
# place, so power may go at any moment and only the record being written can be lost.
#
# Behind its slots a block has marks, cleared while it is the newest: a bit for each block of the
# ring, "about to be erased", and a last byte, "done, the head is in there". They tell a start what
# a block is that it cannot read. Marked and not entered: its erase was cut, the head takes it. All
# else is damage, and quarantined: neither written nor erased, so that somebody can look at it.

import struct
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Flash

SEQUENCE_MAX = 0xFFFFFFFE  # 0xFFFFFFFF is what erased flash reads as
SLOT_OVERHEAD_BYTES = 8
PAYLOAD_BYTES_MAX = 400
RING_BLOCKS_MIN = 2  # one to write, one to keep while the other is being erased
TORN_SLOTS_MAX = 4  # at the start of a block: cuts of its first record; more is damage
ERASE_TRIES_MAX = 8  # by one append: an erase takes up to 400 ms (W25Q32JV, tSE), a watchdog waits

_IOCTL_BLOCKS = 4
_IOCTL_BLOCK_BYTES = 5
_IOCTL_ERASE = 6

# Shared by all rings, because heap is scarce; _MARK holds nothing from one call to the next.
_BLANK = b"\xff" * (PAYLOAD_BYTES_MAX + SLOT_OVERHEAD_BYTES)
_MARK = bytearray(1)


class FlashWorn(Exception):
    """No slot of this ring takes a record any more: replace the board; see status.flash_erases."""


def block_count(flash: "Flash") -> int:
    """Blocks of the flash."""
    return flash.ioctl(_IOCTL_BLOCKS, 0)


class Ring:
    """Records of `payload_bytes` in `blocks` erase blocks from `first_block` on; newest wins.

    Sequence numbers start at 1, only grow and are never given to two records that both count.
    Entering a block erases the oldest records in it. What cannot be read is counted since this
    start, in `damaged_slots` and `damaged_blocks`, for the meter's boot event and status.
    """

    def __init__(self, flash: "Flash", first_block: int, blocks: int, payload_bytes: int) -> None:
        assert blocks >= RING_BLOCKS_MIN and 0 < payload_bytes <= PAYLOAD_BYTES_MAX
        self._flash = flash
        self._first_block = first_block
        self.payload_bytes = payload_bytes
        slot_bytes = payload_bytes + SLOT_OVERHEAD_BYTES
        self._entered_at = flash.ioctl(_IOCTL_BLOCK_BYTES, 0) - 1  # the last of the marks
        self._marks_at = self._entered_at - (blocks + 7) // 8
        self.slots_per_block = self._marks_at // slot_bytes
        self._slot = bytearray(slot_bytes)
        self._blank = memoryview(_BLANK)[:slot_bytes]
        self.blocks = blocks
        self._firsts = [0] * blocks  # first sequence in each block, 0 for none
        self.newest = 0  # sequence of the newest record, 0 for none
        self.newest_lost = False  # newer records may have been in a damaged block
        self.damaged_slots = 0
        self.damaged_blocks = 0
        self.quarantined: list[int] = []  # damaged blocks of this ring, left alone; oldest first
        self.reclaimed = 0  # quarantined blocks that had to be erased after all
        self._skip = 0  # sequences that records of damaged blocks may have had
        self._newest_block = -1
        self._block = blocks - 1  # being written; the first append enters block 0
        self._at = self.slots_per_block
        self._open()

    # -------------------------------------------------------------- reading

    @property
    def oldest(self) -> int:
        """Sequence of the oldest record, 0 for none."""
        firsts = [first for first in self._firsts if first]
        return min(firsts) if firsts else 0

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

        `sequence` may skip ahead of the next one. Raises FlashWorn when no slot takes it, or none
        after ERASE_TRIES_MAX blocks: the next append goes on from there.
        """
        assert len(payload) == self.payload_bytes
        sequence = sequence or self.newest + 1 + self._skip
        assert sequence > self.newest
        if sequence > SEQUENCE_MAX:
            raise FlashWorn("the ring's sequence numbers are used up")
        for _ in range(ERASE_TRIES_MAX * self.slots_per_block):
            if self._at == self.slots_per_block:
                self._enter_next_block()
            self._at += 1
            if self._program(self._at - 1, sequence, payload):
                if not self._firsts[self._block]:
                    self._firsts[self._block] = sequence
                self._newest_block = self._block
                self._skip = 0
                self.newest = sequence
                return sequence
            self.damaged_slots += 1
        raise FlashWorn("no slot of the ring takes a record")

    def _program(self, at: int, sequence: int, payload: "bytes | bytearray") -> bool:
        """Program a slot; False when it does not read back."""
        slot = self._slot
        struct.pack_into("<I", slot, 0, sequence)
        slot[4:-4] = payload
        struct.pack_into("<I", slot, len(slot) - 4, crc32(memoryview(slot)[:-4]))
        self._flash.writeblocks(self._first_block + self._block, slot, at * len(slot))
        return self._load(self._block, at) == sequence

    def _enter_next_block(self) -> None:
        """Erase the next block that erases cleanly, and put the head at its start."""
        for _ in range(ERASE_TRIES_MAX):
            block = self._block = self._next_block()  # still full if power goes from here on
            self._forget(block)
            self._firsts[block] = 0
            if self._newest_block >= 0 or self._used(block):  # the first of all is blank already
                self._mark(self._marks_at + block // 8, 1 << block % 8)
                self._flash.ioctl(_IOCTL_ERASE, self._first_block + block)
            if not self._used(block):
                self._mark(self._entered_at, 0xFF)
                if block in self.quarantined:
                    self.quarantined.remove(block)
                    self.reclaimed += 1
                self._at = 0
                return
            self._quarantine(block)
        raise FlashWorn("no block of the ring erases any more")

    def _next_block(self) -> int:
        """The block to write next: never the newest, a quarantined one only where it must be."""
        block = self._block
        for _ in range(self.blocks):
            if self.blocks - len(self.quarantined) < RING_BLOCKS_MIN:
                break
            block = (block + 1) % self.blocks
            if block == self._newest_block or block in self.quarantined:
                continue
            if self._firsts[block] or self._is_marked(block) or self._used(block) <= TORN_SLOTS_MAX:
                return block
            self._quarantine(block)
        return self.quarantined[0]

    def _quarantine(self, block: int) -> None:
        if block in self.quarantined:
            self.quarantined.remove(block)  # tried again in vain: now it is the last to be tried
        else:
            self.damaged_blocks += 1
        self.quarantined.append(block)

    def _forget(self, block: int) -> None:
        """What else must know that a block's records are about to go."""

    # -------------------------------------------------------------- at start

    def _open(self) -> None:
        """Find the newest record and the head behind it."""
        newest_block = -1
        for block in range(self.blocks):
            first = self._first_in(block)
            self._firsts[block] = first
            if first > 0 and (newest_block < 0 or first > self._firsts[newest_block]):
                newest_block = block
        if newest_block >= 0:
            self._open_newest(newest_block)
        for step in range(self.blocks):
            block = (newest_block + 1 + step) % self.blocks
            if self._firsts[block] <= 0:
                used = -self._firsts[block]
                self._firsts[block] = 0
                self._judge(block, used)

    def _open_newest(self, block: int) -> None:
        self._block = self._newest_block = block
        self._at = 0
        for at in range(self.slots_per_block):
            sequence = self._load(block, at)
            if sequence > self.newest:
                self.newest = sequence
            if self._slot != self._blank:
                self._at = at + 1
                if not sequence and self.newest:  # those before the first are counted already
                    self.damaged_slots += 1

    def _judge(self, block: int, used: int) -> None:
        """Tell what a block without a readable record is: free, cut in its erase, or damaged."""
        first_of_all = self._newest_block < 0
        ours = used > 0 if first_of_all else self._is_marked(block)
        entered = first_of_all or self._marks(self._entered_at) == 0
        if ours and not entered:
            return  # its erase was cut: the head comes here next
        if used <= TORN_SLOTS_MAX:
            self.damaged_slots += used
            if ours:
                self._block, self._at = block, used
            return
        self._quarantine(block)
        if ours:
            self.newest_lost = True
            if not first_of_all:
                self._skip += self.slots_per_block

    def _first_in(self, block: int) -> int:
        """First sequence in a block; else 0, or minus how many slots are used (the last, and those
        before it) where none of them can be read.
        """
        used = torn = 0
        for at in range(self.slots_per_block):
            sequence = self._load(block, at)
            if sequence:
                self.damaged_slots += torn
                return sequence
            if self._slot != self._blank:
                used = at + 1
                torn += 1
            elif at == 0:
                return 0  # records start at slot 0, so nothing that counts is behind it
        return -used

    # -------------------------------------------------------------- marks

    def _marks(self, at: int) -> int:
        """A byte of the newest block's marks; 0xFF before there is a record."""
        if self._newest_block < 0:
            return 0xFF
        self._flash.readblocks(self._first_block + self._newest_block, _MARK, at)
        return _MARK[0]

    def _is_marked(self, block: int) -> bool:
        return not self._marks(self._marks_at + block // 8) >> block % 8 & 1

    def _mark(self, at: int, bits: int) -> None:
        marks = self._marks(at)
        if self._newest_block >= 0 and marks & bits:
            _MARK[0] = marks & ~bits
            self._flash.writeblocks(self._first_block + self._newest_block, _MARK, at)

    # -------------------------------------------------------------- slots

    def _used(self, block: int) -> int:
        """The last slot that is not blank, and those before it."""
        for at in range(self.slots_per_block, 0, -1):
            self._load(block, at - 1)
            if self._slot != self._blank:
                return at
        return 0

    def _load(self, block: int, at: int) -> int:
        """Read a slot into the buffer; its sequence, or 0 when it holds no whole record."""
        self._flash.readblocks(self._first_block + block, self._slot, at * len(self._slot))
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
