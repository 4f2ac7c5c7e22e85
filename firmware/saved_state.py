"""What the meter must remember between two pulses: records of state, of counts, of RTC memory."""

# Layout 2, little-endian, at most CHANNELS_MAX channels in the order of their codes, the rest 0:
#    0 version u8, compatible u8, set of channel codes u8 (bit 0: code 1), quality | zone << 6 u8
#    4 open interval: start u32 (0 none, below START_S_MIN since boot), number u32
#   12 wall time at the save u32 (0 never known), capture period of the open interval u16
#   18 registers 4 x 5      38 remainders 4 x 3      50 raw counts 4 x 3
#   62 zones T2..T4 of import and of export 6 x 5 (T1 is the rest of the register)
#   92 demand: u32, u40, u32, u32, u32, u32 (firmware.demand)     117 spare
#
# Updates go both ways, so layouts do: a later version only adds to the spare bytes, and names in
# `compatible` the oldest version that may still read it. Registers would otherwise be lost when
# an update falls back.
#
# Counts: what was counted since a state record, for the saves in between; a row of values of three
# bytes. No version of its own: a layout that differs needs a state that this version may not read.
#    0 the state record it builds on: low byte of its CRC-32, low half of its sequence
#    3 seconds from that record's wall time to this one's
#    6 pulses since that record, of its channels in their order

import struct
from binascii import crc32
from collections import namedtuple

from firmware.board import CHANNELS_MAX

STATE_BYTES = 120
VERSION = 2
COMPATIBLE = 2
CODE_MAX = 8  # the highest channel code that a set of channels can name
REGISTER_BYTES = 5
SMALL_BYTES = 3
_HEAD = "<BBBBIIIH"
# where each row of values begins, bytes of one, how many: those of State, the last three demand's
_ROWS = (
    (18, REGISTER_BYTES, CHANNELS_MAX),
    (38, SMALL_BYTES, CHANNELS_MAX),
    (50, SMALL_BYTES, CHANNELS_MAX),
    (62, REGISTER_BYTES, 6),
    (92, 4, 1),
    (96, REGISTER_BYTES, 1),
    (101, 4, 4),
)

COUNTS_ROW = (0, SMALL_BYTES, 2 + CHANNELS_MAX)
COUNTS_BYTES = 18

RETAINED_BYTES = 16 + STATE_BYTES
# CRC-32 of all behind it, length in all, sequence and CRC-32 of the flash records it builds on
_RETAINED = "<IIII"

# registers_wh, remainders and raw: one for each of channels. other_zones_wh: T2 to T4 of import,
# then of export. zone: the one counted into last. demand: firmware.demand.Demand.state().
State = namedtuple(
    "State",
    (
        "channels",
        "start_s",
        "number",
        "last_seen_s",
        "capture_period_s",
        "quality",
        "zone",
        "registers_wh",
        "remainders",
        "raw",
        "other_zones_wh",
        "demand",
    ),
)


def pack(state: State) -> bytearray:
    """The record of a state."""
    record = bytearray(STATE_BYTES)
    codes, grade = set_of(state.channels), state.quality | state.zone << 6
    struct.pack_into(_HEAD, record, 0, VERSION, COMPATIBLE, codes, grade, *state[1:5])
    demand = state.demand
    rows = state[7:11] + (demand[:1], demand[1:2], demand[2:])
    for row, values in zip(_ROWS, rows):
        put_row(record, row[0], row[1], values)
    return record


def unpack(record) -> "State | None":
    """The state in a record; None when it is of a layout that this version may not read."""
    head = struct.unpack_from(_HEAD, record, 0)
    if head[0] < VERSION or head[1] > VERSION:
        return None
    rows = [get_row(record, *row) for row in _ROWS]
    channels = channels_of(head[2])
    count = len(channels)
    fields = head[4:] + (head[3] & 63, head[3] >> 6)
    fields += (rows[0][:count], rows[1][:count], rows[2][:count], rows[3])
    fields += (rows[4] + rows[5] + rows[6],)
    return State(channels, *fields)


def retain(record: bytearray, sequence: int, base_crc: int) -> bytearray:
    """A state record for RTC memory, bound to what it builds on in flash.

    sequence: the sum of the newest of the rings of state and of counts, which grows with every
    record of either; base_crc: CRC-32 of the newest state record.
    """
    kept = bytearray(RETAINED_BYTES)
    struct.pack_into(_RETAINED, kept, 0, 0, RETAINED_BYTES, sequence, base_crc)
    kept[-STATE_BYTES:] = record
    struct.pack_into("<I", kept, 0, crc32(memoryview(kept)[4:]))
    return kept


def retained(kept, sequence: int, base_crc: int) -> "memoryview | None":
    """The record in RTC memory; None for noise, or when it does not build on these in flash."""
    if len(kept) < RETAINED_BYTES:
        return None
    crc, length, built_on, built_on_crc = struct.unpack_from(_RETAINED, kept, 0)
    if (built_on, built_on_crc) != (sequence, base_crc):
        return None
    if not RETAINED_BYTES <= length <= len(kept) or crc32(memoryview(kept)[4:length]) != crc:
        return None
    return memoryview(kept)[RETAINED_BYTES - STATE_BYTES :]


def set_of(channels) -> int:
    """Channel codes 1 to CODE_MAX as the bits of one byte."""
    codes = 0
    for code in channels:
        assert 0 < code <= CODE_MAX
        codes |= 1 << (code - 1)
    return codes


def channels_of(codes: int) -> "tuple[int, ...]":
    """What set_of made a byte of, in rising order."""
    return tuple([code for code in range(1, CODE_MAX + 1) if codes >> (code - 1) & 1])


def put_row(record: bytearray, at: int, width: int, values) -> None:
    """Integers of `width` bytes, little-endian, one after the other."""
    for value in values:
        record[at : at + width] = value.to_bytes(width, "little")
        at += width


def get_row(record, at: int, width: int, count: int) -> "tuple[int, ...]":
    """What put_row wrote."""
    row = []
    for start in range(at, at + width * count, width):
        row.append(int.from_bytes(bytes(record[start : start + width]), "little"))
    return tuple(row)
