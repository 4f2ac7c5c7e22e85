"""How the meter's raw partition is divided: keystore, state and journal, each one ring."""

from collections import namedtuple

from firmware.journal import Journal, Ring, block_count
from firmware.keystore import KEYSTORE_BYTES
from firmware.load_profile import INTERVAL_BYTES
from firmware.saved_state import STATE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Flash

KEYSTORE_BLOCKS = 4
STATE_BLOCKS = 8
FLASH_BLOCKS_MIN = KEYSTORE_BLOCKS + STATE_BLOCKS + 2


class FlashTooSmall(Exception):
    """The partition cannot hold the meter's rings: give it at least FLASH_BLOCKS_MIN blocks."""


class Storage(namedtuple("Storage", ("keystore", "state", "journal"))):
    """The three rings, opened."""

    def lived(self) -> bool:
        """True when anything on this flash shows that the meter has run before."""
        for ring in self:
            if ring.newest or ring.damaged_blocks:  # a torn very first record is no life yet
                return True
        return False

    def damage(self) -> "tuple[int, int]":
        """Blocks and slots that could not be read or written, over all rings."""
        blocks = sum([ring.damaged_blocks for ring in self])
        return blocks, sum([ring.damaged_slots for ring in self])

    def erases(self) -> int:
        """Blocks erased since the meter was made: one for each full block of records."""
        return sum([-(-ring.newest // ring.slots_per_block) for ring in self])


def open_storage(flash: "Flash") -> Storage:
    """Find the newest record of every ring. Raises FlashTooSmall."""
    blocks = block_count(flash)
    if blocks < FLASH_BLOCKS_MIN:
        raise FlashTooSmall("the meter's flash needs " + str(FLASH_BLOCKS_MIN) + " blocks at least")
    journal_at = KEYSTORE_BLOCKS + STATE_BLOCKS
    return Storage(
        Ring(flash, 0, KEYSTORE_BLOCKS, KEYSTORE_BYTES),
        Ring(flash, KEYSTORE_BLOCKS, STATE_BLOCKS, STATE_BYTES),
        Journal(flash, journal_at, blocks - journal_at, INTERVAL_BYTES),
    )
