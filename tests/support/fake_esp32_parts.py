"""The fake ESP32's radio, partitions and memories."""

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


class Nvs:
    """esp32.NVS: what was set, once it is committed."""

    def __init__(self, kept: "dict[str, int]") -> None:
        self._kept = kept
        self._new: dict[str, int] = {}

    def get_i32(self, key: str) -> int:
        if key not in self._kept:
            raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
        return self._kept[key]

    def set_i32(self, key: str, value: int) -> None:
        assert -(1 << 31) <= value < 1 << 31
        self._new[key] = value

    def commit(self) -> None:
        self._kept.update(self._new)


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


class FakeWlan:
    """network.WLAN: comes up `polls` looks after connect, or never (-1)."""

    def __init__(self) -> None:
        self.polls = 2
        self.refuses = 0  # so many calls of connect fail inside the driver
        self.calls: list[str] = []
        self.reconnects = -1  # as the driver begins: it tries for ever by itself
        self._left = -1
        self._on = False
        self.up = False

    def active(self, on: bool) -> None:
        self.calls.append("on" if on else "off")
        self._on = on
        if not on:
            self.up, self._left = False, -1

    def config(self, reconnects: int) -> None:
        self.reconnects = reconnects

    def connect(self, name: str, password: str = "") -> None:
        self.calls.append("connect " + name)
        if not self._on or self._left >= 0 or self.refuses:
            self.refuses = max(0, self.refuses - 1)
            raise OSError("Wifi Internal Error")
        self._left = 1 << 20 if self.polls < 0 else self.polls

    def disconnect(self) -> None:
        self.calls.append("disconnect")
        self.up, self._left = False, -1

    def drop(self) -> None:
        """The access point went away."""
        self.up, self._left = False, -1

    def isconnected(self) -> bool:
        if self._left > 0:
            self._left -= 1
        if self._left == 0:
            self.up, self._left = True, -1
        return self.up

    def status(self, what: str) -> int:
        assert what == "rssi"
        if not self.up:
            raise OSError("Wifi Not Connected")
        return -61
