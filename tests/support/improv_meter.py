"""Runs inside MicroPython: an ESP32 board on a fake chip that listens for Improv on its stdin.

Usage: micropython -m tests.support.improv_meter ROOT, where ROOT may hold config.json. Two networks
are around, of which "home" lets in who knows its password. Prints a line of JSON at its end.
"""

import tests.support.umqtt_here  # noqa: F401, I001  (first)
from tests.support.fake_esp32 import Chip  # isort: skip  (first)

import json
import sys

from boards import esp32c3_supermini
from boards.parts import wifi, wifi_way
from boards.parts.esp32_board import make_board, start_counting
from boards.parts.retained import RtcMemory
from firmware.config import ConfigError
from firmware.storage import FLASH_BLOCKS_MIN
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_flash import FakeFlash

PASSWORD = "a-long-password"
CONNECT_MS = 300  # an access point that never answers is given up sooner here


def main(root: str) -> None:
    board = esp32c3_supermini
    chip = Chip(pcnt=False, partitions=(FakePartition("meter", FakeFlash(FLASH_BLOCKS_MIN)),))
    chip.wlan.known = {"home": PASSWORD, "café": ""}
    chip.wlan.networks = [
        (b"home", b"123456", 1, -61, 3, False),
        ("café".encode(), b"123457", 6, -88, 0, False),
    ]
    wifi.CONNECT_MS = CONNECT_MS
    memory = RtcMemory()
    pulses, why = start_counting(board.PINS, board.CHIP, memory)
    try:
        made = make_board(board.PINS, board.CHIP, wifi_way, root, pulses, why, memory)
    except ConfigError as error:
        print(json.dumps({"event": "board", "todo": str(error)}))
        return
    print(json.dumps({"event": "made", "wifi": made.link.names[0], "link": made.link.step()}))


if __name__ == "__main__":
    main(sys.argv[1])
