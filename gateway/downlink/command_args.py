"""What a command may carry: names and limits, as the meter has them (pure: no clock, no store)."""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.errors import CommandRefused
from wire import frame, messages
from wire.errors import WireError
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES

READ_PROFILE_MAX = 2976  # intervals: 31 days of 15 minutes
CAPTURE_PERIOD_S_MIN = 60
HOUR_S = 3600  # a capture period divides it
TARIFF_BYTES_MAX = 120
TARIFF_VERSION = 1
TARIFF_NAME_BYTES_MAX = 8
HOME_KEY_BYTES_MIN, HOME_KEY_BYTES_MAX = 16, 32

# Of commands by their codes on the wire.
NAMES = {
    messages.COMMAND_READ_PROFILE: "read_profile",
    messages.COMMAND_READ_NOW: "read_now",
    messages.COMMAND_SET_TARIFF: "set_tariff",
    messages.COMMAND_SET_CAPTURE_PERIOD: "set_capture_period",
    messages.COMMAND_SET_CLOCK: "set_clock",
    messages.COMMAND_REKEY: "rekey",
    messages.COMMAND_UPDATE_MANIFEST: "update_manifest",
    messages.COMMAND_UPDATE_CHUNK: "update_chunk",
    messages.COMMAND_RESTART: "restart",
    messages.COMMAND_HOME_KEY: "home_key",
}
CODES = {name: code for code, name in NAMES.items()}

# Why a command is not queued.
UNKNOWN_COMMAND = "unknown_command"
ARGUMENTS = "arguments"  # one is missing, one too many, or of the wrong kind
RANGE = "range"  # one is out of its limits
TARIFF_TABLE = "tariff_table"  # not a zone table of the version that meters know
SECRET_IN_PLAIN = "secret_in_plain"  # noqa: S105  (a reason)
TOO_LARGE = "too_large"  # with these arguments it does not fit a frame


class Hidden(NamedTuple):
    """A secret argument, wrapped under the master key: `commands.hide` makes it."""

    wrapped: bytes
    secret_bytes: int  # its length

    def __repr__(self) -> str:
        return "Hidden()"


# The secret that each of these carries as its last argument: bytes, least and most.
SECRETS = {
    messages.COMMAND_REKEY: (METER_KEY_BYTES, METER_KEY_BYTES),
    messages.COMMAND_HOME_KEY: (HOME_KEY_BYTES_MIN, HOME_KEY_BYTES_MAX),
}


def check(code: int, args: tuple[Any, ...]) -> None:
    """Refuse what the meter would refuse. Raises CommandRefused with one of the reasons above.

    set_clock carries nothing here: it gets the time of each sending.
    """
    if code not in NAMES:
        raise CommandRefused(UNKNOWN_COMMAND, f"no command has the code {code}")
    plain = args
    if code in SECRETS:
        if not args or type(args[-1]) is not Hidden:
            raise CommandRefused(SECRET_IN_PLAIN, "hide the secret first: commands.hide")
        plain = args[:-1]
    _CHECKS.get(code, _nothing)(plain)
    try:
        longest = SECRETS[code][1] if code in SECRETS else 0
        message = messages.encode(messages.Command(1 << 31, code, (*plain, bytes(longest))))
    except WireError as error:
        raise CommandRefused(ARGUMENTS, str(error)) from None
    if len(message) > frame.MESSAGE_BYTES_MAX:
        raise CommandRefused(TOO_LARGE, f"it is {len(message)} bytes and does not fit a frame")


def check_secret(code: int, secret: bytes) -> None:
    """Refuse a secret of the wrong length, without telling it."""
    low, high = SECRETS[code]
    if not low <= len(secret) <= high:
        sizes = f"{low} bytes" if low == high else f"{low} to {high} bytes"
        raise CommandRefused(RANGE, f"the key of {NAMES[code]} has {sizes}")


def _nothing(args: tuple[Any, ...]) -> None:
    if args:
        raise CommandRefused(ARGUMENTS, "it takes no arguments")


def _read_profile(args: tuple[Any, ...]) -> None:
    first, count = _numbers(args, 2)
    if not 1 <= first <= messages.INTERVAL_NUMBER_MAX:
        raise CommandRefused(RANGE, "the first interval is number 1 or a later one")
    if not 1 <= count <= READ_PROFILE_MAX:
        raise CommandRefused(RANGE, f"1 to {READ_PROFILE_MAX} intervals are read at a time")


def _set_capture_period(args: tuple[Any, ...]) -> None:
    (period_s,) = _numbers(args, 1)
    if not CAPTURE_PERIOD_S_MIN <= period_s <= HOUR_S or HOUR_S % period_s:
        raise CommandRefused(
            RANGE, f"a capture period is {CAPTURE_PERIOD_S_MIN} to {HOUR_S} s and divides the hour"
        )


def _set_tariff(args: tuple[Any, ...]) -> None:
    if len(args) != 1 or type(args[0]) is not bytes:
        raise CommandRefused(ARGUMENTS, "it takes one zone table, as bytes")
    table = args[0]
    if not 1 <= len(table) <= TARIFF_BYTES_MAX:
        raise CommandRefused(RANGE, f"a zone table has 1 to {TARIFF_BYTES_MAX} bytes")
    # version u8, valid from u32, length of the name u8, name; the meter reads the rest
    name = table[6 : 6 + table[5]] if len(table) > 5 else b""
    good = table[0] == TARIFF_VERSION and 1 <= len(name) <= TARIFF_NAME_BYTES_MAX
    if not good or len(name) != table[5] or int.from_bytes(table[1:5], "big") % HOUR_S:
        raise CommandRefused(TARIFF_TABLE, "make the zone table with host_tools.tariff_table")


def _rekey(args: tuple[Any, ...]) -> None:
    (key_epoch,) = _numbers(args, 1)
    if not 1 <= key_epoch <= KEY_EPOCH_MAX:
        raise CommandRefused(RANGE, f"a next key epoch is 1 to {KEY_EPOCH_MAX}")


def _anything(args: tuple[Any, ...]) -> None:
    """The pieces of an update are checked where they are cut."""


def _numbers(args: tuple[Any, ...], count: int) -> tuple[int, ...]:
    if len(args) != count or any(type(arg) is not int for arg in args):
        raise CommandRefused(ARGUMENTS, f"it takes {count} whole number{'s' * (count > 1)}")
    return args


_CHECKS = {
    messages.COMMAND_READ_PROFILE: _read_profile,
    messages.COMMAND_SET_TARIFF: _set_tariff,
    messages.COMMAND_SET_CAPTURE_PERIOD: _set_capture_period,
    messages.COMMAND_REKEY: _rekey,
    messages.COMMAND_UPDATE_MANIFEST: _anything,
    messages.COMMAND_UPDATE_CHUNK: _anything,
}
