"""How well a meter's key is protected from someone who has the meter: three honest levels."""

from typing import NamedTuple

L0, L1, L2 = "L0", "L1", "L2"
LEVELS = (L0, L1, L2)
MEANING = {
    L0: (
        "open: stock firmware. A USB cable reads the key, the Wi-Fi password and the program, and "
        "can replace the program."
    ),
    L1: (
        "flash encryption with stock firmware. MicroPython cannot be read or replaced without the "
        "key file; NVS and files are not covered and its prompt is open, so a USB cable still "
        "reads the meter key and can replace the meter's program."
    ),
    L2: (
        "locked: a build of our own with secure boot v2, flash encryption for good and encrypted "
        "NVS. Nothing is read or replaced over the cable, and no update is taken."
    ),
}


def level_named(name: str) -> str:
    """The level of this name. Raises ValueError, which lists them."""
    if name.upper() not in LEVELS:
        raise ValueError(f"a security level is one of {', '.join(LEVELS)}, not {name!r}")
    return name.upper()


class Locks(NamedTuple):
    """Which locks of a chip are closed."""

    encrypted: bool  # flash encryption is on
    signed: bool  # secure boot is on
    cable_closed: bool  # nothing plain is taken over the cable any more


class Level(NamedTuple):
    """How well a chip is locked."""

    name: str
    missing: tuple[str, ...]  # what was begun and is not whole

    @property
    def meaning(self) -> str:
        """In a sentence or two."""
        return MEANING[self.name]


def level_from(locks: Locks) -> Level:
    """The level that these locks make: that of the weakest, and what stands open beside it."""
    names = ("flash encryption", "secure boot", "a closed cable")
    missing = tuple(name for name, closed in zip(names, locks, strict=True) if not closed)
    if not missing:
        return Level(L2, ())
    begun = missing if locks.signed or locks.cable_closed else ()
    return Level(L1 if locks.encrypted else L0, begun)
