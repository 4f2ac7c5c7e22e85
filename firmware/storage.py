"""How the meter's raw partition is divided: seven rings, one for each thing it must not forget."""

#   ring      what                                  blocks           slot    records a block of 4096
#   keystore  reserved frame counters, receipts     0 to 3           60 B    68
#   state     registers, open interval, demand      4 to 7          128 B    31
#   counts    pulses since the newest state         8 to 16          26 B    157
#   settings  what commands have changed, keys      17 to 19        408 B    10
#   events    the event log                         20 to 23         56 B    73
#   dates     when undated intervals were           24 to 25         24 B    170
#   journal   closed intervals                      26 to the end    48 B    84

from collections import namedtuple

from firmware.dating import DATING_BYTES
from firmware.events import EVENT_BYTES
from firmware.journal import Journal, Ring, block_count
from firmware.keystore import KEYSTORE_BYTES
from firmware.load_profile import INTERVAL_BYTES
from firmware.saved_state import COUNTS_BYTES, STATE_BYTES
from firmware.settings import SETTINGS_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Flash

KEYSTORE_BLOCKS = 4
STATE_BLOCKS = 4
RING_NAMES = ("keystore", "state", "counts", "settings", "events", "dates", "journal")
_LAYOUT = (  # blocks and payload of each ring; the journal has the rest
    (Ring, KEYSTORE_BLOCKS, KEYSTORE_BYTES),
    (Ring, STATE_BLOCKS, STATE_BYTES),
    (Ring, 9, COUNTS_BYTES),  # twenty years at 3 x 63 A day and night: see bench/flash.py
    (Ring, 3, SETTINGS_BYTES),
    (Journal, 4, EVENT_BYTES),
    (Ring, 2, DATING_BYTES),
)
FLASH_BLOCKS_MIN = 28  # these, and RING_BLOCKS_MIN for the journal


class FlashTooSmall(Exception):
    """The partition cannot hold the meter's rings: give it at least FLASH_BLOCKS_MIN blocks."""


class Storage(
    namedtuple("Storage", ("keystore", "state", "counts", "settings", "events", "dates", "journal"))
):
    """The rings, opened."""

    def lived(self) -> bool:
        """True when anything on this flash shows that the meter has run before."""
        # A torn very first record is no life yet.
        return any([ring.newest or ring.damaged_blocks for ring in self])

    def damage(self) -> "tuple[int, int]":
        """Blocks and slots that could not be read or written since this start, over all rings."""
        blocks = sum([ring.damaged_blocks for ring in self])
        return blocks, sum([ring.damaged_slots for ring in self])

    def damaged(self) -> "list[tuple[str, int, int, list[int]]]":
        """Each ring with damage: its name, blocks and slots, and which of its blocks."""
        return [
            (RING_NAMES[index], ring.damaged_blocks, ring.damaged_slots, ring.quarantined)
            for index, ring in enumerate(self)
            if ring.damaged_blocks or ring.damaged_slots
        ]

    def erases(self) -> int:
        """Blocks erased since the meter was made: one for each full block of records."""
        return sum([-(-ring.newest // ring.slots_per_block) for ring in self])


def open_storage(flash: "Flash") -> Storage:
    """Find the newest record of every ring. Raises FlashTooSmall."""
    blocks = block_count(flash)
    if blocks < FLASH_BLOCKS_MIN:
        raise FlashTooSmall("the meter's flash needs " + str(FLASH_BLOCKS_MIN) + " blocks at least")
    at, rings = 0, []
    for kind, ring_blocks, payload_bytes in _LAYOUT:
        rings.append(kind(flash, at, ring_blocks, payload_bytes))
        at += ring_blocks
    rings.append(Journal(flash, at, blocks - at, INTERVAL_BYTES))
    return Storage(*rings)
