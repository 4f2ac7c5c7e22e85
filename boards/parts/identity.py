"""Who the meter is, from the chip's NVS into its configuration; a config that says it all stays."""

from binascii import hexlify

import esp32

from firmware.config import PASSWORD_CHARS_MAX, ConfigError
from wire.keys import METER_KEY_BYTES
from wire.topics import METER_ID_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACE = "meter"
NOT_FOUND = -4354  # ESP_ERR_NVS_NOT_FOUND
_BLOBS = (("id", "meter_id", METER_ID_BYTES), ("key", "meter_key", METER_KEY_BYTES))


def add_identity(settings: "dict[str, Any]") -> None:
    """Put epoch, id, key and password of NVS into the settings, over what is there.

    Nothing changes where NVS has no epoch, as on a meter whose config.json says it all. Raises
    ConfigError when NVS cannot be read, or holds a part of an identity or a damaged one.
    """
    found: dict[str, Any] = {}
    blob = bytearray(PASSWORD_CHARS_MAX)
    try:
        store = esp32.NVS(NAMESPACE)
        found["key_epoch"] = store.get_i32("epoch")
        for key, name, length in _BLOBS:
            if store.get_blob(key, blob) != length:
                raise ValueError
            found[name] = str(hexlify(blob[:length]), "utf-8")
        found["password"] = str(blob[: store.get_blob("password", blob)], "utf-8")
    except (OSError, ValueError) as error:
        if found or error.args[0] != NOT_FOUND:
            raise ConfigError("NVS: the identity is damaged: pair the meter again") from None
    settings.update(found)
