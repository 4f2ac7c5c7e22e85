"""Says which of a board's pins may serve what, and why not: `python -m host_tools pins`.

The rules are data (boards/chips.toml); here they are only asked. A wrong assignment is refused with
every reason there is against it and with the pins of that board that would do.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from host_tools.board_profiles import (
    BOARDS,
    COUNTS_BY,
    ETHERNET,
    FUNCTIONS,
    BoardProfile,
    ProfileDamaged,
    numbers,
)

CHIPS = BOARDS / "chips.toml"
USES = ("pulse", "level", "analogue")
CONDITIONS = ("psram", "ethernet")
# Reasons that are no row of chips.toml.
ABSENT, HIDDEN, TAKEN, PHY, TWICE, NO_ADC, ADC2, UNITS, NO_COUNTER, SETTLEMENT = (
    "absent",
    "hidden",
    "taken",
    "phy",
    "twice",
    "no_adc",
    "adc2",
    "pcnt_units",
    "no_counter",
    "settlement",
)


@dataclass(frozen=True)
class Rule:
    """Pins of a chip that some uses may not have."""

    name: str
    pins: frozenset[int]
    uses: frozenset[str]
    when: str  # of CONDITIONS, or ""
    reason: str


@dataclass(frozen=True)
class Chip:
    """What is fixed in the silicon."""

    name: str
    label: str
    gpios: frozenset[int]
    adc1: frozenset[int]
    adc2: frozenset[int]
    pcnt_units: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Refusal:
    """One thing that is wrong with a board's pins. `would_do` is () where no other pin helps."""

    function: str  # of FUNCTIONS, or "" for the board as a whole
    pin: int | None
    rule: str
    reason: str
    would_do: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = self.function if self.pin is None else f"{self.function} on GPIO{self.pin}"
        instead = f"; these would do: {_listed(self.would_do)}" if self.pin is not None else ""
        return f"{where or 'board'}: {self.reason}{instead}"


class PinsRefused(Exception):
    """A board's pins cannot work; the text has every refusal on a line of its own."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = tuple(refusals)


def require(board: BoardProfile) -> None:
    """Raises PinsRefused unless every pin of the board may be what it is."""
    if refusals := check(board):
        raise PinsRefused(refusals)


def check(board: BoardProfile) -> list[Refusal]:
    """Everything that is wrong with the board's pins and its counting."""
    found = []
    for function, pin in board.pins.items():
        if pin is not None:
            would_do = pins_for(board, function)
            found += [
                Refusal(function, pin, rule, reason, would_do)
                for rule, reason in reasons(board, function, pin)
            ]
    return found + list(_counting(board))


def reasons(board: BoardProfile, function: str, pin: int) -> list[tuple[str, str]]:
    """What is against this pin for this function, as (rule, reason); nothing when it may be."""
    chip = chips()[board.chip]
    if pin not in chip.gpios:
        return [(ABSENT, f"the {chip.label} has no GPIO{pin}")]
    found = [
        (rule.name, rule.reason)
        for rule in chip.rules
        if pin in rule.pins and FUNCTIONS[function] in rule.uses and _holds(rule, board)
    ]
    found += [
        (TWICE, f"{other} has this pin already")
        for other, its_pin in board.pins.items()
        if its_pin == pin and other != function
    ]
    if board.wired is not None:
        lines = [line for line, its_pin in board.wired.pins.items() if its_pin == pin]
        found += [(PHY, f"wired to the board's Ethernet PHY ({line})") for line in lines]
    if pin in board.taken:
        found.append((TAKEN, f"in use on this board: {board.taken[pin]}"))
    if pin not in board.brought_out:
        found.append((HIDDEN, f"{board.product} does not bring it out"))
    if FUNCTIONS[function] == "analogue" and pin not in chip.adc1:
        found.append(
            (ADC2, "its converter ADC2 belongs to Wi-Fi: only ADC1 works beside it")
            if pin in chip.adc2
            else (NO_ADC, "no analogue converter is connected to it")
        )
    return found


def pins_for(board: BoardProfile, function: str) -> tuple[int, ...]:
    """The pins of the board that would do for a function, its own among them, rising."""
    free = replace(board, pins=MappingProxyType({**board.pins, function: None}))
    gpios = chips()[board.chip].gpios
    return tuple(pin for pin in sorted(gpios) if not reasons(free, function, pin))


def _holds(rule: Rule, board: BoardProfile) -> bool:
    return not rule.when or bool(getattr(board, rule.when))


def _counting(board: BoardProfile) -> Iterator[Refusal]:
    chip = chips()[board.chip]
    inputs = [
        name for name, pin in board.pins.items() if FUNCTIONS[name] == "pulse" and pin is not None
    ]
    if board.counts_by == "pcnt" and not chip.pcnt_units:
        yield Refusal("", None, NO_COUNTER, f"the {chip.label} has no pulse counter: count by irq")
    elif board.counts_by == "pcnt" and len(inputs) > chip.pcnt_units:
        text = f"{len(inputs)} pulse inputs, and the {chip.label} counts {chip.pcnt_units}"
        yield Refusal("", None, UNITS, text)
    if board.settlement and board.counts_by != "pcnt":
        text = "counting by interrupt loses pulses: not for settlement, say settlement = false"
        yield Refusal("", None, SETTLEMENT, text)


# ------------------------------------------------------------------ the data


@cache
def chips(path: Path = CHIPS) -> Mapping[str, Chip]:
    """All chips by name. Raises ProfileDamaged."""
    try:
        rows = tomllib.loads(path.read_text("utf-8"))
        return MappingProxyType({name: _chip(name, row) for name, row in rows.items()})
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise ProfileDamaged(f"{path.name}: {error!r}") from None


def _chip(name: str, row: dict[str, Any]) -> Chip:
    gpios = frozenset(numbers(row["gpios"]))
    rules = tuple(_rule(rule_name, rule) for rule_name, rule in row["rules"].items())
    chip = Chip(
        name,
        row["label"],
        gpios,
        frozenset(numbers(row["adc1"])),
        frozenset(numbers(row["adc2"])),
        row["pcnt_units"],
        rules,
    )
    for pins in (chip.adc1, chip.adc2, *(rule.pins for rule in rules)):
        if not pins <= gpios:
            raise ValueError(f"{name}: {sorted(pins - gpios)} are no GPIOs of this chip")
    return chip


def _rule(name: str, row: dict[str, Any]) -> Rule:
    rule = Rule(
        name,
        frozenset(numbers(row["pins"])),
        frozenset(row.get("uses", USES)),
        row.get("when", ""),
        row["reason"],
    )
    if not rule.pins or not rule.uses <= set(USES) or rule.when not in ("", *CONDITIONS):
        raise ValueError(f"{name}: uses are of {USES}, when of {CONDITIONS}, pins at least one")
    return rule


# ------------------------------------------------------------------ shown


def with_pins(board: BoardProfile, assignments: Sequence[str]) -> BoardProfile:
    """The board with some of its pins elsewhere; "function=-" takes one away. Raises ValueError."""
    pins = dict(board.pins)
    for assignment in assignments:
        function, _, pin = assignment.partition("=")
        if function not in FUNCTIONS or not (pin.isdecimal() or pin == "-"):
            raise ValueError(f"{assignment!r}: write FUNCTION=GPIO, of {', '.join(FUNCTIONS)}")
        pins[function] = None if pin == "-" else int(pin)
    return replace(board, pins=MappingProxyType(pins))


def table(board: BoardProfile) -> str:
    """The board's pins as rows, and every refusal."""
    rows = [f"{board.name}: {board.product}, counts by {board.counts_by}"]
    for function, pin in board.pins.items():
        at = "-" if pin is None else f"GPIO{pin}"
        ok = "-" if pin is None else "no" if reasons(board, function, pin) else "ok"
        rows.append(f"  {function:<8} {at:<7} {ok:<3} of {_listed(pins_for(board, function))}")
    if board.wired is not None:
        rows += [f"  {line:<9} GPIO{board.wired.pins[line]}" for line in ETHERNET]
    return "\n".join(rows + [f"refused: {refusal}" for refusal in check(board)])


def markdown(board: BoardProfile) -> str:
    """The same as rows of a page."""
    rows = ["| function | pin | these would do, too |", "|---|---|---|"]
    for function, pin in board.pins.items():
        others = [other for other in pins_for(board, function) if other != pin]
        at = "none" if pin is None else f"GPIO {pin}"
        rows.append(f"| {function} | {at} | {_listed(others)} |")
    return "\n".join(rows)


def _listed(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins)) or "none"


assert set(FUNCTIONS.values()) == set(USES)
assert COUNTS_BY[0] == "pcnt"
