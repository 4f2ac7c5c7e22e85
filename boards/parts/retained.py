"""The ESP32's RTC memory: what soft and watchdog resets leave alone and a power-off empties."""

import machine

from firmware.board import RETAINED_BYTES_MAX

RECORD_BYTES_MAX = 32  # for the pulse input, which has its own CRC
_DATA_AT = 2  # behind the data's length, u16 little-endian
_RECORD_AT = _DATA_AT + RETAINED_BYTES_MAX
_BYTES = _RECORD_AT + RECORD_BYTES_MAX


class RtcMemory:
    """firmware.board.Retained, and beside it the pulse input's record.

    MicroPython keeps 2048 bytes (RTC_NOINIT): machine.mem_backup() from 1.29 on, RTC().memory()
    before. There is no CRC in it: a power-off, a reset in the middle of a write leave anything.
    """

    def __init__(self) -> None:
        self._rtc = None
        if hasattr(machine, "mem_backup"):
            self._memory = machine.mem_backup()
            return
        self._rtc = machine.RTC()
        self._memory = bytearray(_BYTES)
        found = self._rtc.memory()[:_BYTES]
        self._memory[: len(found)] = found

    def read(self) -> bytes:
        """What was written last; noise or b"" after a power-off."""
        length = self._memory[0] | self._memory[1] << 8
        return bytes(self._memory[_DATA_AT : _DATA_AT + min(length, RETAINED_BYTES_MAX)])

    def write(self, data: "bytes | bytearray") -> None:
        """Replace it with at most RETAINED_BYTES_MAX bytes."""
        assert len(data) <= RETAINED_BYTES_MAX
        self._memory[0] = len(data) & 0xFF
        self._memory[1] = len(data) >> 8
        self._put(_DATA_AT, data)

    def read_record(self, length: int) -> bytes:
        """The first `length` bytes of the pulse input's record, or noise."""
        return bytes(self._memory[_RECORD_AT : _RECORD_AT + length])

    def write_record(self, record: bytes) -> None:
        """Replace it with at most RECORD_BYTES_MAX bytes."""
        assert len(record) <= RECORD_BYTES_MAX
        self._put(_RECORD_AT, record)

    def _put(self, at: int, data: "bytes | bytearray") -> None:
        self._memory[at : at + len(data)] = data
        if self._rtc is not None:
            self._rtc.memory(self._memory)
