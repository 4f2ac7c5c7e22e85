"""What the meter must remember between two pulses, as one 32-byte record of the state ring."""

import struct
from collections import namedtuple

STATE_BYTES = 32
_VERSION = 1
_ODD = "<BBII"  # version, quality, open interval's start, open interval's number
_REGISTERS_AT = 10
_REGISTER_BYTES = 5
_RAW_AT = 20
_REMAINDERS_AT = 26
_SMALL_BYTES = 3

# registers_wh, remainders and raw are pairs (import, export); start_s 0: no interval is open yet
State = namedtuple("State", ("registers_wh", "remainders", "raw", "start_s", "number", "quality"))


def pack(state: State) -> bytearray:
    """The record of a state."""
    record = bytearray(STATE_BYTES)
    struct.pack_into(_ODD, record, 0, _VERSION, state.quality, state.start_s, state.number)
    put_pair(record, _REGISTERS_AT, _REGISTER_BYTES, state.registers_wh)
    put_pair(record, _RAW_AT, _SMALL_BYTES, state.raw)
    put_pair(record, _REMAINDERS_AT, _SMALL_BYTES, state.remainders)
    return record


def unpack(record) -> "State | None":
    """The state in a record; None when a newer firmware wrote it in a layout unknown here."""
    version, quality, start_s, number = struct.unpack_from(_ODD, record, 0)
    if version != _VERSION:
        return None
    return State(
        get_pair(record, _REGISTERS_AT, _REGISTER_BYTES),
        get_pair(record, _REMAINDERS_AT, _SMALL_BYTES),
        get_pair(record, _RAW_AT, _SMALL_BYTES),
        start_s,
        number,
        quality,
    )


def put_pair(record: bytearray, at: int, width: int, pair) -> None:
    """Two integers of `width` bytes, little-endian, one after the other."""
    for value in pair:
        record[at : at + width] = value.to_bytes(width, "little")
        at += width


def get_pair(record, at: int, width: int) -> "tuple[int, int]":
    """What put_pair wrote."""
    middle, end = at + width, at + 2 * width
    return (
        int.from_bytes(bytes(record[at:middle]), "little"),
        int.from_bytes(bytes(record[middle:end]), "little"),
    )
