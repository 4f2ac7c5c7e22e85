"""The fake ESP32's partitions and memories."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class MemoryTorn(BaseException):
    """A reset came while RTC memory was being written."""


class FakeRtc:
    """machine.RTC: its 2048 bytes, written whole, and its date."""

    def __init__(self, chip: "Any") -> None:
        self._chip = chip
        self._length = len(chip.rtc_memory)

    def memory(self, data: "Any" = None) -> bytes:
        memory = self._chip.rtc_memory
        if data is None:
            return bytes(memory)
        whole = len(data)
        self._chip.tear_at -= 1
        if self._chip.tear_at == -1:
            whole = min(whole, self._chip.tear_bytes)
        memory[:whole] = data[:whole]
        if whole < len(data):
            raise MemoryTorn()
        return b""

    def datetime(self, date: "tuple[int, ...]") -> None:
        self._chip.date = date


NVS_ERRORS = {  # ESP-IDF nvs.h, as OSError has them
    "not_found": (-4354, "ESP_ERR_NVS_NOT_FOUND"),
    "invalid_length": (-4364, "ESP_ERR_NVS_INVALID_LENGTH"),
    "not_initialized": (-4353, "ESP_ERR_NVS_NOT_INITIALIZED"),
}


class Nvs:
    """esp32.NVS: what was set, once it is committed.

    A key with an error's name (of NVS_ERRORS) as `damage` fails with it, the namespace itself as
    "". Damaged entries are not found, as ESP-IDF drops what fails its CRC.
    """

    def __init__(self, kept: "dict[str, Any]", damage: "dict[str, str] | None" = None) -> None:
        self._kept = kept
        self._damage = damage or {}
        self._new: dict[str, Any] = {}
        self._fail("")

    def get_i32(self, key: str) -> int:
        return int(self._get(key, int))

    def set_i32(self, key: str, value: int) -> None:
        assert -(1 << 31) <= value < 1 << 31
        self._new[key] = value

    def get_blob(self, key: str, buffer: bytearray) -> int:
        blob = bytes(self._get(key, bytes))
        if len(blob) > len(buffer):
            raise OSError(*NVS_ERRORS["invalid_length"])
        buffer[: len(blob)] = blob
        return len(blob)

    def set_blob(self, key: str, value: bytes) -> None:
        self._new[key] = bytes(value)

    def erase_key(self, key: str) -> None:
        self._get(key, type(self._kept.get(key)))
        del self._kept[key]

    def commit(self) -> None:
        self._kept.update(self._new)

    def _get(self, key: str, kind: "Any") -> "Any":
        self._fail(key)
        if type(self._kept.get(key)) is not kind:  # another type is another entry
            raise OSError(*NVS_ERRORS["not_found"])
        return self._kept[key]

    def _fail(self, key: str) -> None:
        if key in self._damage:
            raise OSError(*NVS_ERRORS[self._damage[key]])


class FakePartition:
    """esp32.Partition over a flash of fake_flash: writeblocks without an offset erases first."""

    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, label: str, flash: "Any", kind: int = TYPE_DATA) -> None:
        self.label = label
        self.kind = kind
        self._flash = flash
        self.readblocks = flash.readblocks
        self.ioctl = flash.ioctl

    @staticmethod
    def find(kind: int, subtype: int = 0xFF, label: "str | None" = None) -> "list[FakePartition]":
        partitions = sys.modules["esp32"].chip.partitions
        return [one for one in partitions if one.kind == kind and one.label == label]

    def writeblocks(self, block: int, data: "Any", offset: "int | None" = None) -> None:
        if offset is None:
            for index in range(-(-len(data) // self._flash.block_bytes)):
                self._flash.ioctl(6, block + index)
            offset = 0
        self._flash.writeblocks(block, data, offset)
