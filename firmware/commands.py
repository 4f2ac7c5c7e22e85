"""Commands from the gateway: checks, what each one does, and the result that answers it."""

# A command that changes something is carried out first, then remembered in flash, and only then
# answered. Whatever is cut, it is carried out again when it comes again, which all of them bear;
# once remembered it gets the same answer and nothing more happens. Reading is not remembered, and
# neither are the pieces of an update: they say of themselves where they belong, and there are many.

from collections import namedtuple

from firmware import tariff
from firmware.config import CAPTURE_PERIOD_S_MAX, CAPTURE_PERIOD_S_MIN
from firmware.journal import FlashWorn
from firmware.settings import HOME_KEY_BYTES_MAX
from wire import messages
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES
from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_UNSUPPORTED, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from wire.messages import Command

    class Controls(Protocol):
        """What a command may do to the meter beyond its settings."""

        update: "Any"  # firmware.update.Update, or None where no update can land

        def now_s(self) -> "int | None":
            """UTC seconds since 1970; None while not known."""

        def read_now(self) -> "tuple[Any, ...]":
            """At most READ_NOW_MESSAGES_MAX messages (Registers, Live) that say how things are."""

        def set_clock(self, time_s: int) -> None:
            """Set the clock, whatever it showed."""

        def changed(self, code: int, value: int) -> None:
            """The settings have changed, durably: use them, and note it as an event."""


READ_PROFILE_MAX = 2976  # intervals: 31 days of 15 minutes
READ_NOW_MESSAGES_MAX = 3
HOME_KEY_BYTES_MIN = 16
RESTART_DETAIL = b"restart"  # with this detail an update's last piece asks for a restart

# What is to happen once the gateway has receipted a result.
RESTART = "restart"
SWITCH_KEY = "switch_key"

# settings: firmware.settings.Settings; keystore: its counters; meter: Controls;
# read_profile(first, count): queue intervals to be sent again, gives how many are still held
Context = namedtuple("Context", ("settings", "keystore", "meter", "read_profile"))


class Refused(Exception):
    """A command's arguments are not to be carried out; the text is the result's detail.

    arguments: one is missing or of the wrong kind. range: one is out of its limits.
    key_epoch: not above every one used. Reasons of tariff tables: firmware.tariff.TariffError.
    """


def answer(command: "Command", context: Context) -> "tuple[list[Any], str]":
    """Carry a command out: the messages that answer it, its Result last, and what follows then."""
    code = context.settings.result_of(command.command_id)
    if code is not None:
        follows = SWITCH_KEY if command.code == messages.COMMAND_REKEY else ""
        return [Result(command.command_id, code, b"")], follows
    answers: list[Any] = []
    follows = ""
    try:
        code, detail = _carry_out(command, context)
        if code == RESULT_DONE:
            follows = _follows(command.code, detail)
            if command.code == messages.COMMAND_READ_NOW:
                answers.extend(context.meter.read_now()[:READ_NOW_MESSAGES_MAX])
    except Refused as refusal:
        code, detail = RESULT_REFUSED, str(refusal).encode()
    except FlashWorn:
        code, detail = RESULT_FAILED, b"flash_worn"
    answers.append(Result(command.command_id, code, detail))
    return answers, follows


def _carry_out(command: "Command", context: Context) -> "tuple[int, bytes]":
    """Do it, and remember that it is done where it must not be done again."""
    if command.code not in _FUNCTIONS or context.meter is None:
        return RESULT_UNSUPPORTED, b""
    function, once = _FUNCTIONS[command.code]
    code, detail = function(command.args, context)
    if once and code == RESULT_DONE:
        context.settings.remember(command.command_id, code)
    return code, detail


def _follows(code: int, detail: bytes) -> str:
    if code == messages.COMMAND_REKEY:
        return SWITCH_KEY
    if code == messages.COMMAND_RESTART:
        return RESTART
    return RESTART if code == messages.COMMAND_UPDATE_CHUNK and detail == RESTART_DETAIL else ""


# ------------------------------------------------------------------ one function each


def _read_profile(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[first, count]: send these intervals again. Detail: how many are still held, 4 bytes."""
    first = _whole(args, 0, 1, messages.INTERVAL_NUMBER_MAX)
    count = _whole(args, 1, 1, READ_PROFILE_MAX)
    return RESULT_DONE, context.read_profile(first, count).to_bytes(4, "big")


def _read_now(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[]: the registers and what is measured now go before the result."""
    return RESULT_DONE, b""


def _set_tariff(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[table]: a zone table; it follows the one in force at its own valid-from."""
    data = _data(args, 0, 1, messages.BLOB_BYTES_MAX)
    try:
        table = tariff.parse(data)
    except tariff.TariffError as error:
        raise Refused(error.reason)
    current, following = context.settings.tariff
    now_s = context.meter.now_s()
    if following and following != data and now_s is not None:
        current = tariff.TariffPlan(current, following).settle(now_s) or current
    context.settings.change("tariff", (current, data))
    context.meter.changed(messages.COMMAND_SET_TARIFF, table.valid_from_s)
    return RESULT_DONE, b""


def _set_capture_period(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[seconds]: a divisor of the hour, from the next interval on."""
    period_s = _whole(args, 0, CAPTURE_PERIOD_S_MIN, CAPTURE_PERIOD_S_MAX)
    if 3600 % period_s:
        raise Refused("range")
    context.settings.change("period_s", period_s)
    context.meter.changed(messages.COMMAND_SET_CAPTURE_PERIOD, period_s)
    return RESULT_DONE, b""


def _set_clock(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[UTC seconds since 1970]. Every later receipt sets the clock, too."""
    context.meter.set_clock(_whole(args, 0, messages.START_S_MIN, messages.TIME_S_MAX))
    return RESULT_DONE, b""


def _rekey(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[key epoch, meter key]: the next key, above every epoch used; stored as pending."""
    settings = context.settings
    key_epoch = _whole(args, 0, 0, KEY_EPOCH_MAX)
    meter_key = _data(args, 1, METER_KEY_BYTES, METER_KEY_BYTES)
    if settings.key_of(key_epoch) == meter_key:
        return RESULT_DONE, b""  # it came before
    known = settings.key_epoch if settings.pending is None else settings.pending[0]
    if key_epoch <= known or not context.keystore.may_use(key_epoch):
        raise Refused("key_epoch")
    settings.change("pending", (key_epoch, meter_key))
    context.meter.changed(messages.COMMAND_REKEY, key_epoch)
    return RESULT_DONE, b""


def _update_manifest(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """See firmware.update."""
    update = context.meter.update
    return (RESULT_UNSUPPORTED, b"") if update is None else update.manifest(args)


def _update_chunk(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """See firmware.update."""
    update = context.meter.update
    return (RESULT_UNSUPPORTED, b"") if update is None else update.chunk(args)


def _restart(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[]: start again, once this answer is receipted."""
    return RESULT_DONE, b""


def _home_key(args: "tuple[Any, ...]", context: Context) -> "tuple[int, bytes]":
    """[key]: what the household's own readers get their readings sealed under."""
    context.settings.change("home_key", _data(args, 0, HOME_KEY_BYTES_MIN, HOME_KEY_BYTES_MAX))
    context.meter.changed(messages.COMMAND_HOME_KEY, 0)
    return RESULT_DONE, b""


def _whole(args: "tuple[Any, ...]", at: int, low: int, high: int) -> int:
    if len(args) <= at or type(args[at]) is not int:
        raise Refused("arguments")
    if not low <= args[at] <= high:
        raise Refused("range")
    value: int = args[at]
    return value


def _data(args: "tuple[Any, ...]", at: int, low: int, high: int) -> bytes:
    if len(args) <= at or type(args[at]) is not bytes:
        raise Refused("arguments")
    if not low <= len(args[at]) <= high:
        raise Refused("range")
    data: bytes = args[at]
    return data


# code of a command -> (what it does, whether it is remembered so as not to be done again)
_FUNCTIONS = {
    messages.COMMAND_READ_PROFILE: (_read_profile, False),
    messages.COMMAND_READ_NOW: (_read_now, False),
    messages.COMMAND_SET_TARIFF: (_set_tariff, True),
    messages.COMMAND_SET_CAPTURE_PERIOD: (_set_capture_period, True),
    messages.COMMAND_SET_CLOCK: (_set_clock, True),
    messages.COMMAND_REKEY: (_rekey, True),
    messages.COMMAND_UPDATE_MANIFEST: (_update_manifest, False),
    messages.COMMAND_UPDATE_CHUNK: (_update_chunk, False),
    messages.COMMAND_RESTART: (_restart, True),
    messages.COMMAND_HOME_KEY: (_home_key, True),
}
