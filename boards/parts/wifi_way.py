"""Over Wi-Fi: which keys of the config that takes, and how a meter without any network gets one."""

import network

from boards.parts.config_file import write_config
from boards.parts.wifi import WifiLink
from firmware.config import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEYS = ("wifi_name", "wifi_password")
_CHARS_MAX = 64  # IEEE 802.11: a name has 32, a pre-shared key 63 or 64 hex digits


def open_link(
    root: str,
    settings: "dict[str, Any]",
    chip: str,
    clock: "Any",
    rng: "Callable[[int], int]",
    feed: "Callable[[], None]",
) -> WifiLink:
    """The link of firmware.board.Board, still without its stream. Raises ConfigError.

    Without a Wi-Fi's name in the settings it listens for Improv until one is joined and saved,
    however long that takes: without a network a meter has nobody to tell. The pulse inputs count
    meanwhile. Then raises KeyboardInterrupt for a Ctrl-C.
    """
    link = WifiLink(network.WLAN(network.STA_IF), (), None, clock, rng)

    def save(names: "tuple[str, ...]") -> None:
        settings.pop(KEYS[1], None)
        settings.update(zip(KEYS, names))
        write_config(root, settings)

    if KEYS[0] not in settings:
        from boards.parts.improv_serial import listen  # not loaded where it is not needed
        from firmware.app import VERSION

        listen(link, save, ("OpenLicznik", VERSION, chip, "meter"), feed)
    link.names = [text(settings, key, _CHARS_MAX) for key in KEYS if key in settings]
    return link
