"""The meter's raw data partition on an ESP32, as firmware.board.Flash."""

import hashlib

import esp32

from firmware.storage import KEYSTORE_BLOCKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PARTITION_LABEL = "meter"
_MARK_KEY = "life"


class FlashMissing(Exception):
    """The chip has no partition for the meter; the text says what to do."""


def open_partition(label: str = PARTITION_LABEL) -> "Any":
    """The partition itself: esp32.Partition is firmware.board.Flash already.

    ioctl 4, 5 and 6 as they are asked; writeblocks with an offset programs and does not erase
    (ports/esp32/esp32_partition.c). Never the file system's partition. Raises FlashMissing.
    """
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
    if not found or label == "vfs":
        raise FlashMissing(
            "no data partition " + repr(label) + ": flash an image with the meter's partition table"
        )
    return found[0]


class Life:
    """Whether a meter with this key has lived here: a mark in NVS, which is another partition.

    A new pairing brings a new key and so a new life. Of the key only 30 bits of a hash are kept.
    """

    def __init__(self, meter_key: bytes) -> None:
        digest = hashlib.sha256(meter_key).digest()
        self._mark = int.from_bytes(digest[:4], "little") & 0x3FFFFFFF
        self._store = esp32.NVS(PARTITION_LABEL)
        try:
            self.begun = self._store.get_i32(_MARK_KEY) == self._mark
        except OSError:  # ESP_ERR_NVS_NOT_FOUND
            self.begun = False

    def begin(self) -> None:
        """Mark it, once the keystore has written and before the first frame is sent."""
        if not self.begun:
            self._store.set_i32(_MARK_KEY, self._mark)
            self._store.commit()
            self.begun = True

    def flash_lost(self, partition: "Any") -> bool:
        """True when this life has begun and its partition is empty now: it was emptied since."""
        return self.begun and _blank(partition)


def _blank(partition: "Any") -> bool:
    first = bytearray(16)
    for block in range(KEYSTORE_BLOCKS):  # the first ring, whose loss would matter
        partition.readblocks(block, first, 0)
        if first != b"\xff" * len(first):
            return False
    return True
