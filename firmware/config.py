"""What a meter is told at pairing: who it is, where its gateway is, what its pulses mean."""

from binascii import unhexlify
from collections import namedtuple

from firmware.registers import IMP_PER_KWH_MAX, IMP_PER_KWH_MIN
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES
from wire.topics import METER_ID_BYTES

CAPTURE_PERIOD_S_MIN = 60
CAPTURE_PERIOD_S_MAX = 3600
PASSWORD_CHARS_MAX = 128
HOST_CHARS_MAX = 253  # RFC 1035 section 2.3.4

_Config = namedtuple(
    "_Config",
    (
        "meter_id",  # 8 bytes
        "meter_key",  # 32 bytes
        "key_epoch",
        "gateway_host",
        "gateway_port",
        "password",
        "imp_per_kwh",
        "capture_period_s",
    ),
)
_FIELDS = (  # once more: MicroPython's namedtuple does not tell its fields
    "meter_id",
    "meter_key",
    "key_epoch",
    "gateway_host",
    "gateway_port",
    "password",
    "imp_per_kwh",
    "capture_period_s",
)


class ConfigError(Exception):
    """The meter's config is not usable; the text names the key and what to do. Never a secret."""


class Config(_Config):
    """A checked config. Its repr hides what must not be seen."""

    def __repr__(self) -> str:
        return "Config(meter_id of " + str(METER_ID_BYTES) + " bytes, secrets hidden)"


def parse(settings: object, board_keys: "tuple[str, ...]" = ()) -> Config:
    """Check the settings. board_keys are further keys that the board itself reads.

    Raises ConfigError, which names the first key that is missing, unknown or out of range.
    """
    if not isinstance(settings, dict):
        raise ConfigError("the config must be a JSON object: pair the meter again")
    for key in sorted(settings):
        if key not in _FIELDS and key not in board_keys:
            raise ConfigError("config: unknown key " + repr(key) + ": remove it")
    for key in _FIELDS:
        if key not in settings:
            raise ConfigError("config: key " + repr(key) + " is missing: add it or pair again")
    period_s = whole(settings, "capture_period_s", CAPTURE_PERIOD_S_MIN, CAPTURE_PERIOD_S_MAX)
    if 3600 % period_s:
        raise ConfigError("config: capture_period_s must divide an hour, such as 900")
    return Config(
        _hex(settings, "meter_id", METER_ID_BYTES),
        _hex(settings, "meter_key", METER_KEY_BYTES),
        whole(settings, "key_epoch", 0, KEY_EPOCH_MAX),
        text(settings, "gateway_host", HOST_CHARS_MAX),
        whole(settings, "gateway_port", 1, 65535),
        text(settings, "password", PASSWORD_CHARS_MAX),
        whole(settings, "imp_per_kwh", IMP_PER_KWH_MIN, IMP_PER_KWH_MAX),
        period_s,
    )


def whole(settings: dict, key: str, low: int, high: int) -> int:
    """An integer setting within limits."""
    value = settings[key]
    if type(value) is not int or not low <= value <= high:
        limits = str(low) + " to " + str(high)
        raise ConfigError("config: " + key + " must be a whole number from " + limits)
    return value


def text(settings: dict, key: str, chars_max: int) -> str:
    """A text setting that is not empty."""
    value = settings[key]
    if type(value) is not str or not 0 < len(value) <= chars_max:
        raise ConfigError("config: " + key + " must be a text of 1 to " + str(chars_max))
    return value


def _hex(settings: dict, key: str, length: int) -> bytes:
    value = settings[key]
    wanted = ConfigError("config: " + key + " must be " + str(2 * length) + " hexadecimal digits")
    if type(value) is not str or len(value) != 2 * length:
        raise wanted
    for digit in value:
        if digit not in "0123456789abcdefABCDEF":
            raise wanted
    return unhexlify(value)
