"""What is known of each board: read from boards/<NAME>/, which holds its MicroPython definition.

board.json and pins.csv are as MicroPython has them for every board, so that the same files build a
firmware; profile.toml has what only our tools ask for.
"""

import csv
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from host_tools.micropython import ROOT

BOARDS = ROOT / "boards"
# What a pin may be for a meter, and how it is used there (boards/chips.toml, `uses`).
FUNCTIONS = MappingProxyType(
    {
        "import": "pulse",  # S0 or LED pulses of energy from the grid
        "export": "pulse",  # to the grid
        "supply": "level",  # mains detector: low while there is mains
        "tamper": "level",  # the cover's switch
        "current": "analogue",  # current transformer
        "voltage": "analogue",  # mains transformer and divider
    }
)
ETHERNET = ("eth_mdc", "eth_mdio", "eth_power", "eth_clk")
COUNTS_BY = ("pcnt", "irq")
FLASH_BYTES = (4 << 20, 8 << 20, 16 << 20)
PINS_MAX = 32
_GPIO = re.compile(r"GPIO(\d{1,2})$")
_NOTHING: Mapping[str, int] = MappingProxyType({})


class UnknownBoard(Exception):
    """There is no board of this name; the text lists those that are."""


class ProfileDamaged(Exception):
    """A board's files do not make sense; the text names the file and what is wrong in it."""


@dataclass(frozen=True)
class Ethernet:
    """How a board's PHY is wired, as boards/parts/ethernet.py asks for it."""

    pins: Mapping[str, int]  # of ETHERNET
    phy_addr: int
    clock_out: bool


@dataclass(frozen=True)
class BoardProfile:
    """One board. A function of FUNCTIONS that it does not have is None in `pins`."""

    name: str  # boards/<name>.py
    folder: Path
    product: str
    vendor: str
    chip: str  # as esptool and MicroPython's board.json say it: esp32, esp32s3, esp32c3, esp32c6
    flash_offset: int  # where a published firmware image begins
    flash_bytes: int
    pins: Mapping[str, int | None]
    counts_by: str  # of COUNTS_BY
    settlement: bool  # whether its counts are good enough for an invoice
    psram: bool  # whether a module sold with it may have PSRAM
    brought_out: frozenset[int]
    taken: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    wired: Ethernet | None = None

    @property
    def ethernet(self) -> bool:
        """Whether it reaches its gateway over a cable; then it has no Improv."""
        return self.wired is not None


def profile(name: str) -> BoardProfile:
    """The board of this name. Raises UnknownBoard."""
    found = profiles()
    if name not in found:
        raise UnknownBoard(f"there is no board {name!r}: name one of {', '.join(found)}")
    return found[name]


@cache
def profiles(boards: Path = BOARDS) -> Mapping[str, BoardProfile]:
    """All boards by name, in the order of their names. Raises ProfileDamaged."""
    found = [read(path.parent) for path in boards.glob("*/profile.toml")]
    return MappingProxyType({board.name: board for board in sorted(found, key=lambda b: b.name)})


def read(folder: Path) -> BoardProfile:
    """One board's files. Raises ProfileDamaged."""
    try:
        board = json.loads((folder / "board.json").read_text("utf-8"))
        own = tomllib.loads((folder / "profile.toml").read_text("utf-8"))
        gpios = read_pins(folder / "pins.csv")
        return _made(folder, board, own, gpios)
    except KeyError as error:
        raise ProfileDamaged(f"{folder.name}: {error} is missing: see docs/boards.md") from None
    except (OSError, ValueError, TypeError) as error:
        raise ProfileDamaged(f"{folder.name}: {error}") from None


def _made(
    folder: Path, board: dict[str, Any], own: dict[str, Any], gpios: dict[str, int]
) -> BoardProfile:
    known = {*FUNCTIONS, *ETHERNET}
    if unknown := sorted(set(gpios) - known):
        raise ValueError(f"pins.csv: {unknown[0].upper()} is none of {', '.join(sorted(known))}")
    if own["counts_by"] not in COUNTS_BY or own["flash_bytes"] not in FLASH_BYTES:
        raise ValueError(f"profile.toml: counts_by is of {COUNTS_BY}, flash_bytes of {FLASH_BYTES}")
    wired = None
    if "ethernet" in own:
        pins = MappingProxyType({name: gpios[name] for name in ETHERNET})
        wired = Ethernet(pins, own["ethernet"]["phy_addr"], own["ethernet"]["clock_out"])
    elif set(gpios) & set(ETHERNET):
        raise ValueError("profile.toml: pins.csv has an Ethernet PHY and [ethernet] is missing")
    return BoardProfile(
        name=own["board"],
        folder=folder,
        product=board["product"],
        vendor=board["vendor"],
        chip=board["mcu"],
        flash_offset=int(board["deploy_options"]["flash_offset"], 0),
        flash_bytes=own["flash_bytes"],
        pins=MappingProxyType({function: gpios.get(function) for function in FUNCTIONS}),
        counts_by=own["counts_by"],
        settlement=bool(own["settlement"]),
        psram=bool(own["psram"]),
        brought_out=frozenset(numbers(own["brought_out"])),
        taken=MappingProxyType({int(pin): why for pin, why in own.get("taken", {}).items()}),
        wired=wired,
    )


def read_pins(path: Path) -> dict[str, int]:
    """pins.csv as MicroPython's boardgen.py reads it: a label, and the GPIO's name. In lower case.

    Raises ValueError.
    """
    found: dict[str, int] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if not row or row[0].startswith("#"):
                continue
            match = _GPIO.match(row[1]) if len(row) == 2 else None
            if match is None or not row[0].isidentifier():
                raise ValueError(f"{path.name}: {','.join(row)!r}: write LABEL,GPIO12")
            if row[0].lower() in found:
                raise ValueError(f"{path.name}: {row[0]} is there twice")
            found[row[0].lower()] = int(match.group(1))
    if len(found) > PINS_MAX:
        raise ValueError(f"{path.name}: {len(found)} pins, a board has {PINS_MAX} at most")
    return found


def numbers(listed: list[int | str]) -> list[int]:
    """Numbers and ranges such as "6-11", both ends in. Raises ValueError."""
    found: list[int] = []
    for item in listed:
        low, _, high = str(item).partition("-")
        found += range(int(low), int(high or low) + 1)
    return found
