"""What an opened frame may say: eight messages, their fields and their limits (wire.cddl)."""

from collections import namedtuple

from wire import cbor, varint
from wire.errors import Malformed, TooLarge, Unsupported
from wire.keys import DOWN, UP
from wire.quality import QUALITY_MAX

try:
    from wire.unpack import unpack_profile
except ImportError:  # a device: profiles go up only, so its bundle has nothing to read them with
    unpack_profile = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERVALS_MAX = 2000
CHANNELS_MAX = 16
REGISTER_WH_MAX = (1 << 40) - 1
DELTA_WH_MAX = (1 << 24) - 1
INTERVAL_NUMBER_MAX = (1 << 32) - 1
CAPTURE_PERIOD_S_MAX = 86400
START_S_MIN = 1577836800  # 2020-01-01T00:00:00Z: no meter of this kind is older
TIME_S_MAX = (1 << 36) - 1
AHEAD_S_MAX = 86400  # how far ahead of the gateway's clock an interval may start
TEXT_BYTES_MAX = 64
BLOB_BYTES_MAX = 900
VALUES_MAX = 16

Profile = namedtuple(
    "Profile",
    (
        "first",
        "oldest",
        "start_s",
        "capture_period_s",
        "channels",
        "registers_wh",
        "deltas_wh",
        "quality",
    ),
)
Registers = namedtuple("Registers", ("at_s", "channels", "registers_wh"))
Live = namedtuple("Live", ("at_s", "power_w", "voltage_mv", "current_ma", "frequency_mhz"))
Event = namedtuple("Event", ("at_s", "code", "values", "number"))
Status = namedtuple(
    "Status",
    ("at_s", "version", "uptime_s", "heap_free", "flash_erases", "rssi_dbm", "resets"),
)
Result = namedtuple("Result", ("command_id", "code", "detail"))
Receipt = namedtuple("Receipt", ("frame_counter", "interval", "time_s"))
Command = namedtuple("Command", ("command_id", "code", "args"))

# Codes of events, commands and results; wire.cddl says what their values and arguments are.
EVENT_OUTAGE = 1
EVENT_LAST_GASP = 2
EVENT_SAG = 3
EVENT_SWELL = 4
EVENT_TAMPER = 5
EVENT_CLOCK_SET = 6
EVENT_BOOT = 7
EVENT_CONFIG_CHANGE = 8
EVENT_COUNTER_LOSS = 9
EVENT_FLASH_DAMAGE = 10
EVENT_UPDATE = 11
EVENT_EVENTS_LOST = 12

COMMAND_READ_PROFILE = 1
COMMAND_READ_NOW = 2
COMMAND_SET_TARIFF = 3
COMMAND_SET_CAPTURE_PERIOD = 4
COMMAND_SET_CLOCK = 5
COMMAND_REKEY = 6
COMMAND_UPDATE_MANIFEST = 7
COMMAND_UPDATE_CHUNK = 8
COMMAND_RESTART = 9
COMMAND_HOME_KEY = 10

RESULT_DONE = 0
RESULT_UNSUPPORTED = 1
RESULT_REFUSED = 2
RESULT_FAILED = 3


def encode(message: "Any") -> bytes:
    """The bytes of a message. Raises Malformed or TooLarge when a field is out of its limits."""
    code, _, kinds, check = _KINDS[type(message)]
    items = [code]
    if type(message) is Profile:
        _take_channels(message.channels)
        _check_profile(message)
        items.extend(_pack_profile(message))
    else:
        check(message)
        for kind, value in zip(kinds, message):
            items.append(_put(kind, _take(kind, value)))
    return cbor.encode(items)


def decode(data: bytes, direction: int) -> "Any":
    """The message in data, which travelled in direction UP or DOWN.

    Unknown fields after the known ones are ignored, so that old and new versions talk.
    Raises Malformed, TooLarge, or Unsupported (an unknown kind, or one that goes the other way).
    """
    items = cbor.decode(data)
    if type(items) is not list or not items or type(items[0]) is not int:
        raise Malformed("a message is an array that starts with its kind")
    kind = _BY_CODE.get(items[0])
    if kind is None or _KINDS[kind][1] != direction:
        raise Unsupported("no message of kind " + str(items[0]) + " goes this way")
    _, _, kinds, check = _KINDS[kind]
    if len(items) < 1 + len(kinds):
        raise Malformed("the message lacks a field")
    if kind is Profile:
        fields = items[1 : 1 + len(kinds)]
        profile = Profile(*unpack_profile(fields, _take_channels, INTERVALS_MAX))
        _check_profile(profile)
        return profile
    values = [_take(field, value) for field, value in zip(kinds, items[1:])]
    message = kind(*values)
    check(message)
    return message


def profile_intervals(profile: Profile) -> int:
    """How many intervals a profile holds."""
    return len(profile.quality)


# ------------------------------------------------------------------ fields, one kind each

_TIME = ("int", 0, TIME_S_MAX)
_U32 = ("int", 0, (1 << 32) - 1)
_CODE = ("int", 0, 255)
_TEXT = ("text", TEXT_BYTES_MAX, 0)
_BLOB = ("blob", BLOB_BYTES_MAX, 0)
_CHANNELS = ("channels", CHANNELS_MAX, 0)
_REGISTERS = ("ints", 0, REGISTER_WH_MAX)
_PHASES = ("ints", 0, (1 << 32) - 1)
_VALUES = ("ints", -(1 << 63), (1 << 63) - 1)
_ARGS = ("args", BLOB_BYTES_MAX, 0)


def _take(kind: "tuple[str, int, int]", value: "Any") -> "Any":
    """The field's value, checked against its limits; arrays become tuples."""
    name, low, high = kind
    if name == "int":
        if type(value) is not int or not low <= value <= high:
            raise Malformed("a number is out of its limits")
        return value
    if name == "text":
        if type(value) is not str or len(value.encode()) > low:
            raise Malformed("a text is missing or too long")
        return value
    if name == "blob":
        if type(value) not in (bytes, bytearray) or len(value) > low:
            raise Malformed("a byte string is missing or too long")
        return bytes(value)
    if name == "channels":
        return _take_channels(value)
    if type(value) not in (list, tuple):
        raise Malformed("an array is missing")
    if len(value) > VALUES_MAX:
        raise TooLarge("an array has at most " + str(VALUES_MAX) + " values")
    if name == "args":
        return tuple([_take_arg(item) for item in value])
    return tuple([_take(("int", low, high), item) for item in value])


def _take_arg(value: "Any") -> "Any":
    if type(value) is int:
        return _take(_VALUES_INT, value)
    return _take(_BLOB, value)


_VALUES_INT = ("int", -(1 << 63), (1 << 63) - 1)


def _take_channels(value: "Any") -> "Any":
    """Channels travel as a byte string of short OBIS codes, each higher than the one before."""
    if type(value) not in (bytes, bytearray, tuple):
        raise Malformed("the channels are missing")
    channels = tuple(value)
    if not 0 < len(channels) <= CHANNELS_MAX:
        raise Malformed("a message has one to sixteen channels")
    last = 0
    for code in channels:
        if type(code) is not int or not last < code <= 255:
            raise Malformed("channels are OBIS codes in rising order")
        last = code
    return channels


def _put(kind: "tuple[str, int, int]", value: "Any") -> "Any":
    """The field as CBOR has it: channels are bytes, other tuples are arrays."""
    if kind is _CHANNELS:
        return bytes(value)
    return list(value) if type(value) is tuple else value


# ------------------------------------------------------------------ the profile


def _check_profile(p: Profile) -> None:
    """Malformed or TooLarge unless every part of the profile fits every other."""
    count = len(p.quality)
    if count > INTERVALS_MAX:
        raise TooLarge("a profile has at most 2000 intervals")
    if not count or not 0 < p.oldest <= p.first <= INTERVAL_NUMBER_MAX + 1 - count:
        raise Malformed("the numbers of the intervals do not fit")
    if not START_S_MIN <= p.start_s <= TIME_S_MAX:
        raise Malformed("the profile starts outside its limits")
    if not 0 < p.capture_period_s <= CAPTURE_PERIOD_S_MAX:
        raise Malformed("the capture period is out of its limits")
    if len(p.registers_wh) != len(p.channels) or len(p.deltas_wh) != len(p.channels):
        raise Malformed("one register and one row of energies for each channel")
    if min(p.registers_wh) < 0 or max(p.registers_wh) > REGISTER_WH_MAX:
        raise Malformed("a register is out of its limits")
    for row in p.deltas_wh:
        if len(row) != count or min(row) < 0 or max(row) > DELTA_WH_MAX:
            raise Malformed("one energy within limits for each interval")
    if min(p.quality) < 0 or max(p.quality) > QUALITY_MAX:
        raise Malformed("an unknown quality")


def _pack_profile(profile: Profile) -> "list[Any]":
    """The wire's fields: energies as one byte string of varints, quality as runs."""
    p = profile
    energies = bytearray()
    append = energies.append
    for register, row in zip(p.registers_wh, p.deltas_wh):
        varint.append(energies, register)
        for delta in row:
            if delta < 0x80:  # of one byte or two, as nearly all are: without a call
                append(delta)
            elif delta < 0x4000:
                append(delta & 0x7F | 0x80)
                append(delta >> 7)
            else:
                varint.append(energies, delta)
    return [
        p.first,
        p.first - p.oldest,
        p.start_s,
        p.capture_period_s,
        bytes(p.channels),
        bytes(energies),
        _pack_runs(p.quality),
    ]


def _pack_runs(quality: "tuple[int, ...]") -> bytes:
    """Run-length quality: pairs of (count, quality), both as varints."""
    packed = bytearray()
    count = 0
    if quality.count(quality[0]) == len(quality):  # one run: nearly every profile
        varint.append(packed, len(quality))
        varint.append(packed, quality[0])
        return bytes(packed)
    for index, value in enumerate(quality):
        count += 1
        if index + 1 == len(quality) or quality[index + 1] != value:
            varint.append(packed, count)
            varint.append(packed, value)
            count = 0
    return bytes(packed)


# ------------------------------------------------------------------ the table of messages


def _any(message: "Any") -> None:
    """No rule beyond those of the fields."""


def _check_registers(message: Registers) -> None:
    if len(message.registers_wh) != len(message.channels):
        raise Malformed("one register for each channel")


_PROFILE_FIELDS = (_U32, _U32, _TIME, _U32, _CHANNELS, _BLOB, _BLOB)
_LIVE_FIELDS = (_TIME, ("int", -(1 << 31), (1 << 31) - 1), _PHASES, _PHASES, _U32)
_STATUS_FIELDS = (_TIME, _TEXT, _U32, _U32, _U32, ("int", -200, 100), _U32)
_RECEIPT_FIELDS = (("int", -1, (1 << 64) - 1), ("int", 0, INTERVAL_NUMBER_MAX), _TIME)

# kind of message -> (code on the wire, direction, fields, rule over the whole message)
_KINDS = {
    Profile: (1, UP, _PROFILE_FIELDS, _any),
    Registers: (2, UP, (_TIME, _CHANNELS, _REGISTERS), _check_registers),
    Live: (3, UP, _LIVE_FIELDS, _any),
    Event: (4, UP, (_TIME, _CODE, _VALUES, _U32), _any),
    Status: (5, UP, _STATUS_FIELDS, _any),
    Result: (6, UP, (_U32, _CODE, _BLOB), _any),
    Receipt: (7, DOWN, _RECEIPT_FIELDS, _any),
    Command: (8, DOWN, (_U32, _CODE, _ARGS), _any),
}
_BY_CODE = {kind[0]: message for message, kind in _KINDS.items()}
