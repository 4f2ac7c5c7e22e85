"""Checks how well the meter's key is protected: which locks its chip has closed, and who knows.

What `lockdown` burns stays burned. So a level above the recorded one is its work, and is recorded
on demand; a level below it is another chip, and is never recorded from here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from host_tools.checks.case import Case
from host_tools.checks.checked import GOOD, Check, Checked
from host_tools.levels import LEVELS, Locks, level_from
from host_tools.pairing.errors import ServiceRefused, ServiceUnreachable

RECORDED = "security_level"  # of a meter, in what a gateway's admin interface shows


class Fuses(NamedTuple):
    """Where a chip shows its locks: a register and a mask each, as esptool reads them."""

    encryption: tuple[int, int]  # flash encryption is on where an odd number of bits is set
    secure_boot: tuple[int, int]
    closed_cable: tuple[int, int]  # nothing plain is taken over the cable

    def locks(self, encryption: int, secure_boot: int, closed_cable: int) -> Locks:
        """What these registers say."""
        return Locks(
            (encryption & self.encryption[1]).bit_count() % 2 == 1,
            bool(secure_boot & self.secure_boot[1]),
            bool(closed_cable & self.closed_cable[1]),
        )


FUSES = {
    "esp32": Fuses((0x3FF5A000, 0x7F00000), (0x3FF5A018, 0x30), (0x3FF5A018, 0x80)),
    "esp32s3": Fuses((0x60007034, 0x1C0000), (0x60007038, 1 << 20), (0x60007030, 1 << 20)),
    "esp32c3": Fuses((0x60008834, 0x1C0000), (0x60008838, 1 << 20), (0x60008830, 1 << 20)),
    "esp32c6": Fuses((0x600B0834, 0x1C0000), (0x600B0838, 1 << 20), (0x600B0830, 1 << 20)),
}
SECURITY = Check(
    "security",
    "the security level by the chip's eFuses: L0 open, L1 flash encryption, L2 locked",
    "it is the level that was asked for and that the gateway has, where it records one; and whole",
    {
        "no_fuses": "nothing: this is no chip that we know the locks of",
        "too_low": "lock it down (`lockdown`), which cannot be undone, or ask for a lower level",
        "half_locked": "run `lockdown` again: it goes on where it was cut off",
        "level_rose": "if it was you who locked it, run it again with --record-level",
        "other_level": "see who changed the meter; `python -m gateway meters level` corrects it",
    },
)
RECORD = Check(
    "record",
    "the level by the chip's eFuses is recorded at the gateway, once `security` is good",
    "the gateway has it",
    {
        "not_measured": "do what `repl` or `security` says, and run it again; that a meter is"
        " locked at L2 is recorded by `python -m gateway meters level`",
        "no_admin": "name a pairing.toml with an [admin] table",
        "no_meter": "pair it",
        "admin_away": "bring the gateway's admin interface up, or correct admin.url",
        "not_recorded": "do what the gateway says",
    },
)
_FUSES = """
import json,machine
print(json.dumps([machine.mem32[a] for a in REGISTERS]))
"""


def security(case: Case) -> Checked:
    """The level, as it is and as it is recorded."""
    profile = case.facts.profile
    fuses = FUSES.get(profile.chip) if profile else None
    if fuses is None:
        return SECURITY.unknown("no_fuses", f"board {case.facts.board or 'unknown'} has no eFuses")
    registers = tuple(register for register, _ in fuses)
    level = level_from(fuses.locks(*case.ask(_FUSES, (0, 0, 0), REGISTERS=registers)))
    recorded, told = _recorded(case)
    values = {"level": level.name, "missing": list(level.missing), "recorded": recorded}
    measured = f"{level.name}; {told}"
    asked = case.asked.level
    if asked and LEVELS.index(level.name) < LEVELS.index(asked):
        return SECURITY.bad("too_low", f"{measured}; {asked} was asked for", **values)
    if level.missing:
        missing = f"{measured}; without {', '.join(level.missing)}"
        return SECURITY.bad("half_locked", missing, **values)
    if recorded in LEVELS and LEVELS.index(recorded) < LEVELS.index(level.name):
        if not case.asked.record_level:
            return SECURITY.bad("level_rose", measured, **values)
    elif recorded not in (None, level.name):
        return SECURITY.bad("other_level", measured, **values)
    return SECURITY.good(measured, **values)


def record(case: Case, measured: Checked | None) -> Checked:
    """Tell the gateway what `security` has measured; None: the board did not answer.

    Bad wherever the gateway does not have it afterwards: somebody asked for it.
    """
    client, hex_id = case.gateway, case.facts.meter_id
    if measured is None or measured.verdict != GOOD:
        return RECORD.bad("not_measured", "nothing was recorded, because `security` is not good")
    if client is None:
        return RECORD.bad("no_admin", "nothing was recorded, because no gateway was named")
    if not hex_id:
        return RECORD.bad("no_meter", "nothing was recorded, because it has no meter id")
    level = str(measured.values["level"])
    try:
        client.set_security_level(hex_id, level)
    except ServiceUnreachable as error:
        return RECORD.bad("admin_away", str(error))
    except ServiceRefused as error:
        return RECORD.bad("not_recorded", str(error))
    return RECORD.good(f"{level} is recorded for meter {hex_id}", level=level)


def _recorded(case: Case) -> tuple[str | None, str]:
    """What the gateway has, and a word about it."""
    if case.gateway is None or not case.facts.meter_id:
        return None, "the gateway was not asked"
    try:
        row: dict[str, Any] | None = case.gateway.show(case.facts.meter_id)
    except (ServiceRefused, ServiceUnreachable):
        return None, "the gateway does not say"
    if row is None:
        return None, "the gateway does not know the meter"
    if RECORDED not in row:
        return None, "this gateway's admin interface records no level: it is of an older version"
    recorded = row[RECORDED]
    return (
        (None, "none at the gateway")
        if recorded is None
        else (str(recorded), f"{recorded} at the gateway")
    )
