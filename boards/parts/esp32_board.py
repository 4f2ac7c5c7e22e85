"""What all ESP32 boards have in common: a board's pins become a firmware.board.Board."""

import json
import os
import time
from collections import namedtuple

import machine

from boards.parts.config_file import read_config
from boards.parts.identity import add_identity
from boards.parts.mqtt_link import SocketLink, read_ca
from boards.parts.partition import FlashMissing, Life, open_partition
from boards.parts.pulse_input import open_pulse_input
from boards.parts.real_clock import RealClock
from boards.parts.retained import RtcMemory
from boards.parts.supply import SupplyPins
from boards.parts.watchdog import start_watchdog, why_started
from firmware.board import Board, Start
from firmware.config import ConfigError, parse
from wire import obis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CA_PATH = "/ca.der"
_CHANNELS = (obis.IMPORT_WH, obis.EXPORT_WH)

# pulses: one GPIO a channel, import first; supply, tamper: see parts.supply, -1 for none
Pins = namedtuple("Pins", ("pulses", "supply", "tamper"))


def run(
    pins: Pins, chip: str, way: "Any", arguments: "list[str]", keep_across_reset: bool = True
) -> int:
    """The whole meter on these pins, until something resets it; gives 2 for what its user can mend.

    arguments: the folder of config.json and of the slots, as boards.start gives it; without one it
    is the root, and then no update over the air can land. chip as parts.pulse_input has it; way:
    parts.wifi_way or a parts.ethernet.Lan; keep_across_reset: believe what is proven there.
    """
    import asyncio

    from firmware import app

    root, slots = "", None
    if arguments:
        from boards.parts.slots import Slots

        root = arguments[0]
        slots = Slots(root)
    memory = RtcMemory()
    try:
        pulses, why = start_counting(pins, chip, memory if keep_across_reset else None)
        board = make_board(pins, chip, way, root, pulses, why, memory, slots)
    except (ConfigError, FlashMissing) as error:
        Log()("board", state=type(error).__name__, todo=str(error))
        return 2
    asyncio.run(app.main(board))
    return 1


def start_counting(pins: Pins, chip: str, memory: "RtcMemory | None") -> "tuple[Any, str]":
    """The pulse input, before anything else is done, and why the meter started.

    Right after a power-on it resets the CPU once, so that no driver object stands in the way of
    counting through soft resets (parts.pulse_input); power-on is not the cause of the next start,
    so this cannot repeat.
    """
    channels = _CHANNELS[: len(pins.pulses)]
    pulses = open_pulse_input(pins.pulses, channels, time.ticks_ms, memory, chip)
    why = why_started()
    if pulses.wants_restart and why == "power_on":
        machine.reset()
    return pulses, "power_on" if pulses.restarted else why


def make_board(
    pins: Pins,
    chip: str,
    way: "Any",
    root: str,
    pulses: "Any",
    why: str,
    memory: RtcMemory,
    slots: "Any" = None,
) -> Board:
    """The board. Raises ConfigError or FlashMissing, whose texts say what to do."""
    clock = RealClock()
    watchdog = start_watchdog()
    settings = read_config(root)
    link = way.open_link(root, settings, chip, clock, random_below, watchdog.feed)
    add_identity(settings)
    config = parse(settings, way.KEYS)
    partition = open_partition()
    life = Life(config.meter_key)
    link.stream = SocketLink(read_ca(config, root + CA_PATH), config.server_name, clock.lift)
    return Board(
        config,
        clock,
        pulses,
        partition,
        link,
        Log(life),
        random_below,
        Start(why, life.flash_lost(partition)),
        memory,
        SupplyPins(pins.supply, pins.tamper),
        watchdog,
        slots,
        machine.reset,
    )


class Log:
    """One JSON object a line on the serial port. The event `boot` begins the meter's life."""

    def __init__(self, life: "Life | None" = None) -> None:
        self._life = life

    def __call__(self, event: str, **fields: "Any") -> None:
        if event == "boot" and self._life is not None:
            self._life.begin()
        fields["event"] = event
        print(json.dumps(fields))


def random_below(limit: int) -> int:
    """A random integer in 0..limit - 1; for jitter, not for keys."""
    return int.from_bytes(os.urandom(3), "little") % max(1, limit)
