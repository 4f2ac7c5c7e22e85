"""The newest record of each ring in the meter's flash, found on the board and read here."""

# As firmware/storage.py divides the partition `meter` and firmware/journal.py writes it. Found by
# code of ours, because the application's own names are short ones that differ with its version. A
# payload comes over only of rings that hold no secret: the ring of settings has keys in it.

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping
from typing import Any, NamedTuple

from host_tools.checks.case import Case, nonsense

PARTITION = "meter"
BLOCK_BYTES = 4096
SLOT_OVERHEAD_BYTES = 8  # sequence and CRC-32
TORN_SLOTS_MAX = 4  # at the start of a block: cuts of its first record
BLOCKS_MIN = 28
JOURNAL = "journal"
# Name, blocks, bytes of a payload; the journal has the rest.
LAYOUT = (
    ("keystore", 4, 52),
    ("state", 4, 120),
    ("counts", 9, 18),
    ("settings", 3, 400),
    ("events", 4, 48),
    ("dates", 2, 16),
    (JOURNAL, 0, 40),
)
SHOWN = ("keystore", "state", "counts", JOURNAL)
SCAN_WAIT_S = 30.0  # about 400 short reads of flash

_SCAN = """
import esp32,json
from binascii import crc32
p=esp32.Partition
p=p.find(p.TYPE_DATA,label=LABEL)
p=p[0] if p else None
def w(s,i):
 return int.from_bytes(s[i:i+4],'little')
def load(b,at,s):
 p.readblocks(b,s,at*len(s))
 q=w(s,0)
 return q if 0<q<0xffffffff and crc32(memoryview(s)[:-4])==w(s,len(s)-4) else 0
out=[]
first=0
blocks_all=p.ioctl(4,0) if p else 0
for name,blocks,payload in LAYOUT:
 if blocks_all<BLOCKS_MIN:
  break
 blocks=blocks or blocks_all-first
 s=bytearray(payload+8)
 blank=b'\\xff'*len(s)
 slots=(BLOCK_BYTES-1-(blocks+7)//8)//len(s)
 best=oldest=newest=damaged=torn=0
 where=-1
 keep=b''
 for b in range(first,first+blocks):
  for at in range(TORN+1):
   q=load(b,at,s)
   if q or s==blank:
    break
  if q:
   oldest=min(oldest or q,q)
   if q>best:
    best=q
    where=b
  elif s!=blank:
   damaged+=1
 for at in range(slots if where>=0 else 0):
  q=load(where,at,s)
  if q>newest:
   newest=q
   keep=bytes(s[4:-4]) if name in SHOWN else b''
  elif not q and s!=blank:
   torn+=1
 out.append([name,blocks,slots,newest,oldest,damaged,torn,''.join(['%02x'%x for x in keep])])
 first+=blocks
print(json.dumps([bool(p),out]))
"""


class Ring(NamedTuple):
    """One ring of records of one size, as its newest record and what cannot be read tell of it."""

    blocks: int
    slots: int  # in a block
    newest: int  # its sequence; 0: there is none
    oldest: int
    damaged_blocks: int  # no record in it can be read, and it is not blank
    torn_slots: int  # in the newest block
    payload: bytes  # of the newest record, where it holds no secret

    @property
    def erases(self) -> int:
        """Of all its blocks since the meter was made: one for each full block of records."""
        return -(-self.newest // self.slots)


Rings = Mapping[str, Ring]


def scan(case: Case) -> Rings | None:
    """All rings; empty where the partition is too small, None where there is none.

    Raises DeviceError.
    """
    there, rows = case.ask(
        _SCAN, (False, [("", 0, 0, 0, 0, 0, 0, "")]), SCAN_WAIT_S, LABEL=PARTITION, LAYOUT=LAYOUT,
        SHOWN=SHOWN, BLOCKS_MIN=BLOCKS_MIN, BLOCK_BYTES=BLOCK_BYTES, TORN=TORN_SLOTS_MAX,
    )  # fmt: skip
    if not there:
        return None
    return {row[0]: _ring(row, bytes_) for row, (_, _, bytes_) in zip(rows, LAYOUT, strict=False)}


def _ring(row: list[Any], payload_bytes: int) -> Ring:
    name, *numbers, payload = row
    try:
        content = bytes.fromhex(payload)
    except ValueError:
        raise nonsense() from None
    if len(content) != (payload_bytes if name in SHOWN and numbers[2] else 0):
        raise nonsense()
    return Ring._make((*numbers, content))


# ------------------------------------------------------------------ what the records say

_KEYSTORE = struct.Struct("<BBHQQI")  # version, key epoch, starts, reserved, down_next, settled
_STATE = struct.Struct("<BBBBIIIH")
_STATE_VERSION = 2
_INTERVAL = struct.Struct("<IHBB")  # start, capture period, quality, set of channels
_CHANNELS_MAX = 4
_REGISTER_BYTES, _SMALL_BYTES = 5, 3
_REGISTERS_AT, _REMAINDERS_AT = 18, 38  # in a state
_INTERVAL_REGISTERS_AT = 8
_WH_PER_KWH = 1000


class Keystore(NamedTuple):
    """Which frame counters may have been used."""

    key_epoch: int
    starts: int  # how often the meter has started
    reserved: int  # the lowest frame counter that was surely not used
    down_next: int
    settled: int  # the highest interval that the gateway has committed


class Interval(NamedTuple):
    """The newest closed one. start_s below 2020 is no date: seconds since a start."""

    number: int
    start_s: int
    capture_period_s: int
    quality: int
    registers_wh: Mapping[int, int]  # at its end, by channel


def keystore(ring: Ring) -> Keystore | None:
    """The newest record of used frame counters; None where there is none."""
    if not ring.payload:
        return None
    _, epoch, starts, reserved, down_next, settled = _KEYSTORE.unpack_from(ring.payload)
    return Keystore(epoch, starts, reserved, down_next, settled)


def newest_interval(ring: Ring) -> Interval | None:
    """The newest of the journal; None where no interval was closed yet."""
    if not ring.payload:
        return None
    start_s, period_s, quality, codes = _INTERVAL.unpack_from(ring.payload)
    channels = _channels(codes)
    values = _row(ring.payload, _INTERVAL_REGISTERS_AT, _REGISTER_BYTES, len(channels))
    registers = dict(zip(channels, values, strict=True))
    return Interval(ring.newest, start_s, period_s, quality, registers)


def registers_wh(rings: Rings, imp_per_kwh: int | None) -> Mapping[int, int]:
    """Registers at the last save, by channel: the newest state, the pulses counted since, and
    never less than the newest interval. Empty where nothing was saved.

    What came after the last save is still in the chip's counters and in RTC memory.
    """
    found: dict[int, int] = {}
    state, counts = rings["state"], rings["counts"]
    if state.payload and state.payload[0] >= _STATE_VERSION:
        channels = _channels(_STATE.unpack_from(state.payload)[2])
        wh = _row(state.payload, _REGISTERS_AT, _REGISTER_BYTES, len(channels))
        remainders = _row(state.payload, _REMAINDERS_AT, _SMALL_BYTES, len(channels))
        pulses = [0] * len(channels)
        base = (state.newest & 0xFFFF) << 8 | crc32(state.payload) & 0xFF
        if counts.payload and imp_per_kwh:
            added = _row(counts.payload, 0, _SMALL_BYTES, 2 + _CHANNELS_MAX)
            pulses = added[2:] if added[0] == base else pulses
        for at, channel in enumerate(channels):
            energy = pulses[at] * _WH_PER_KWH + remainders[at]
            found[channel] = wh[at] + (energy // imp_per_kwh if imp_per_kwh else 0)
    last = newest_interval(rings[JOURNAL])
    for channel, wh_then in (last.registers_wh if last else {}).items():
        found[channel] = max(found.get(channel, 0), wh_then)
    return found


def _channels(codes: int) -> list[int]:
    return [code for code in range(1, 9) if codes >> (code - 1) & 1][:_CHANNELS_MAX]


def _row(record: bytes, at: int, width: int, count: int) -> list[int]:
    ends = range(at + width, at + width * count + 1, width)
    return [int.from_bytes(record[end - width : end], "little") for end in ends]
