"""What a command can change, kept in flash as one whole snapshot for every change."""

# One record holds everything, so that a change is one append: before it the old settings are in
# force, after it the new ones, whatever is cut. Layout, little-endian; the rest is spare:
#   version u8 | compatible u8 | capture period u16 (s, 0: the config's)
#   key epoch u8, has a key u8, meter key 32 | pending key epoch u8, has a key u8, key 32
#   home key: length u8, 32 bytes | 8 answered commands: id u32, result code u8 (255: none)
#   tariff table in force: length u8, 120 bytes | following tariff table: length u8, 120 bytes
# Later versions only append in the spare bytes. `compatible` is the lowest version that may read
# the record: a reader takes every record whose `compatible` is not above its own version.

import struct

from firmware.journal import FlashWorn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.journal import Ring

SETTINGS_BYTES = 400  # 387 used; with its 8 bytes of slot, 10 records fit a block of 4096
DONE_MAX = 8  # answered commands that are remembered
HOME_KEY_BYTES_MAX = 32
TARIFF_BYTES_MAX = 120
_VERSION = 1
_HEAD = "<BBH"
_KEYS_AT = 4
_HOME_KEY_AT = 72
_DONE_AT = 105
_TARIFF_AT = 145
_NO_CODE = 255


class Settings:
    """The settings in force: what the flash has, and the config's where it has nothing.

    A config with a higher key epoch than the flash was paired again: its key wins, and commands
    answered before are forgotten. `lost` is true when the flash held settings that cannot be read
    any more; the config's are then in force.
    """

    def __init__(self, ring: "Ring", config) -> None:
        self._ring = ring
        self.meter_id = config.meter_id
        self.key_epoch = config.key_epoch
        self.meter_key = config.meter_key
        self.pending: Any = None  # (key epoch, meter key) of a rekey that is under way, or None
        self.home_key = b""
        self.tariff = (b"", b"")  # tables in force and following; b"": none
        self.period_s = 0  # 0: nobody has set one
        self.done: list[tuple[int, int]] = []  # (command id, result code), newest last
        self._config_period_s = config.capture_period_s
        self._rekeyed = False
        self.lost = False
        record = ring.read_newest()
        if record is not None and record[0] and record[1] <= _VERSION:
            self._restore(bytes(record))
            self.lost = ring.newest_lost
        else:
            self.lost = ring.newest + ring.damaged_blocks > 0

    def __repr__(self) -> str:
        return "Settings(key epoch " + str(self.key_epoch) + ", secrets hidden)"

    @property
    def capture_period_s(self) -> int:
        """Length of an interval in s, as a command has set it, or as the config has it."""
        return self.period_s or self._config_period_s

    def key_of(self, key_epoch: int) -> "bytes | None":
        """The meter key of this key epoch; None when it is not in force."""
        if key_epoch == self.key_epoch:
            return self.meter_key
        if self.pending is not None and key_epoch == self.pending[0]:
            return self.pending[1]
        return None

    def result_of(self, command_id: int) -> "int | None":
        """The result code with which this command was answered; None: it was not, or long ago."""
        for known, code in self.done:
            if known == command_id:
                return code
        return None

    # -------------------------------------------------------------- changing

    def change(self, name: str, value: "Any") -> None:
        """Set one of period_s, tariff, home_key, pending; durable on return.

        Nothing is changed when it raises FlashWorn.
        """
        old = getattr(self, name)
        setattr(self, name, value)
        try:
            self._save()
        except FlashWorn:
            setattr(self, name, old)
            raise

    def remember(self, command_id: int, code: int) -> None:
        """This command is answered with this code; durable on return. Raises FlashWorn."""
        self.change("done", (self.done + [(command_id, code)])[-DONE_MAX:])

    def finish_rekey(self) -> None:
        """The pending key is the meter key from now on and the old one is gone. One append."""
        before = (self.key_epoch, self.meter_key, self.pending, self._rekeyed)
        self.key_epoch, self.meter_key = self.pending
        self.pending, self._rekeyed = None, True
        try:
            self._save()
        except FlashWorn:
            self.key_epoch, self.meter_key, self.pending, self._rekeyed = before
            raise

    # -------------------------------------------------------------- the record

    def _save(self) -> None:
        record = bytearray(SETTINGS_BYTES)
        struct.pack_into(_HEAD, record, 0, _VERSION, 1, self.period_s)
        record[_KEYS_AT] = self.key_epoch
        keys = ((self.key_epoch, self.meter_key) if self._rekeyed else None, self.pending)
        for index, key in enumerate(keys):
            if key is not None:
                at = _KEYS_AT + 34 * index
                record[at], record[at + 1] = key[0], 1
                record[at + 2 : at + 34] = key[1]
        _put(record, _HOME_KEY_AT, self.home_key)
        for index in range(DONE_MAX):
            known = self.done[index] if index < len(self.done) else (0, _NO_CODE)
            struct.pack_into("<IB", record, _DONE_AT + 5 * index, known[0], known[1])
        for index, table in enumerate(self.tariff):
            _put(record, _TARIFF_AT + (1 + TARIFF_BYTES_MAX) * index, table)
        self._ring.append(record)

    def _restore(self, record: bytes) -> None:
        self.period_s = struct.unpack_from(_HEAD, record, 0)[2]
        self.home_key = _get(record, _HOME_KEY_AT)
        following_at = _TARIFF_AT + 1 + TARIFF_BYTES_MAX
        self.tariff = (_get(record, _TARIFF_AT), _get(record, following_at))
        if self.key_epoch > record[_KEYS_AT]:
            return  # paired again: keys and command ids of then say nothing now
        active = _key(record, _KEYS_AT)
        if active is not None:
            self.key_epoch, self.meter_key = active
            self._rekeyed = True
        self.pending = _key(record, _KEYS_AT + 34)
        for index in range(DONE_MAX):
            known, code = struct.unpack_from("<IB", record, _DONE_AT + 5 * index)
            if code != _NO_CODE:
                self.done.append((known, code))


def _key(record: bytes, at: int) -> "tuple[int, bytes] | None":
    return (record[at], record[at + 2 : at + 34]) if record[at + 1] else None


def _put(record: bytearray, at: int, data: bytes) -> None:
    record[at] = len(data)
    record[at + 1 : at + 1 + len(data)] = data


def _get(record: bytes, at: int) -> bytes:
    return record[at + 1 : at + 1 + record[at]]
