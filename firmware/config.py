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
PAIRED_S_MIN = 1_577_836_800  # 2020-01-01, as early as an interval may begin
PAIRED_S_MAX = 4_102_444_800  # 2100-01-01

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
        # These may be left out:
        "tls",  # True: reach the gateway over TLS and verify its certificate
        "server_name",  # whose name that must bear; "" for gateway_host
        "paired_s",  # UTC seconds of the pairing, which no right clock is before; 0 not known
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
_OPTIONAL = ("tls", "server_name", "paired_s")


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
        if key not in _FIELDS + _OPTIONAL + board_keys:
            raise ConfigError("config: unknown key " + repr(key) + ": remove it")
    for key in _FIELDS:
        if key not in settings:
            raise ConfigError("config: key " + repr(key) + " is missing: add it or pair again")
    period_s = whole(settings, "capture_period_s", CAPTURE_PERIOD_S_MIN, CAPTURE_PERIOD_S_MAX)
    if 3600 % period_s:
        raise _wrong("capture_period_s", "a divisor of 3600, such as 900")
    tls = settings.get("tls", False)
    if type(tls) is not bool:
        raise _wrong("tls", "true or false")
    return Config(
        _hex(settings, "meter_id", METER_ID_BYTES),
        _hex(settings, "meter_key", METER_KEY_BYTES),
        whole(settings, "key_epoch", 0, KEY_EPOCH_MAX),
        text(settings, "gateway_host", HOST_CHARS_MAX),
        whole(settings, "gateway_port", 1, 65535),
        text(settings, "password", PASSWORD_CHARS_MAX),
        whole(settings, "imp_per_kwh", IMP_PER_KWH_MIN, IMP_PER_KWH_MAX),
        period_s,
        tls,
        text(settings, "server_name", HOST_CHARS_MAX) if "server_name" in settings else "",
        whole(settings, "paired_s", PAIRED_S_MIN, PAIRED_S_MAX) if "paired_s" in settings else 0,
    )


def whole(settings: dict, key: str, low: int, high: int) -> int:
    """An integer setting within limits."""
    value = settings[key]
    if type(value) is not int or not low <= value <= high:
        raise _wrong(key, "a whole number from " + str(low) + " to " + str(high))
    return value


def text(settings: dict, key: str, chars_max: int) -> str:
    """A text setting that is not empty."""
    value = settings[key]
    if type(value) is not str or not 0 < len(value) <= chars_max:
        raise _wrong(key, "a text of 1 to " + str(chars_max))
    return value


def _hex(settings: dict, key: str, length: int) -> bytes:
    value = settings[key]
    wanted = _wrong(key, str(2 * length) + " hexadecimal digits")
    if type(value) is not str or len(value) != 2 * length:
        raise wanted
    for digit in value:
        if digit not in "0123456789abcdefABCDEF":
            raise wanted
    return unhexlify(value)


def _wrong(key: str, wanted: str) -> ConfigError:
    return ConfigError("config: " + key + " must be " + wanted)
