"""Locks a meter's chip for good: shown first, confirmed by its id, done step by step, read back.

Without `dry_run=False` nothing is written and nothing is burned. A run that was cut off goes on
where it was: what was done on this meter stands in its file in the keys folder. Level L1 keeps the
flash key, which a re-flash needs; at L2 it is deleted: nothing is flashed over the cable any more.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from host_tools.flash import Flashed, flash
from host_tools.flashing.chip import Chip
from host_tools.flashing.chip_errors import ChipError, WrongChip
from host_tools.flashing.kept import METER, SETTINGS
from host_tools.image.build import NVS, NVS_KEYS, Image
from host_tools.levels import L1, L2, Level, Locks, level_from
from host_tools.line.ports import DeviceError, choose
from host_tools.locking import ciphered as ciphering
from host_tools.locking.efuses import Efuses
from host_tools.locking.lock_steps import (
    BURN,
    DIGEST,
    DIGEST_0,
    KEY,
    SECURE_BOOT_FROM,
    XTS,
    Step,
    begun,
)
from host_tools.locking.lock_steps import burned as is_burned
from host_tools.locking.lock_steps import steps as steps_to
from host_tools.pairing.files import private_folder, read_input, write_durably

Confirm = Callable[[str], str]  # shows a question, gives what was typed
Report = Callable[[str], None]


class LockRefused(ChipError):
    """The chip, the image or the keys are not such that it can be locked; nothing was burned."""

    reason = "lock_refused"


class AlreadyBurned(LockRefused):
    """The chip is not as it left the factory, and not by us."""

    reason = "already_burned"


class LacksFeature(LockRefused):
    """This chip does not have what the level asks for."""

    reason = "lacks_feature"


class NotConfirmed(LockRefused):
    """The meter id was not typed; nothing was burned."""

    reason = "not_confirmed"


class LockIncomplete(ChipError):
    """Everything was burned, and the chip does not read as locked."""

    reason = "lock_incomplete"


class Locked(NamedTuple):
    """What was done, or would be."""

    before: Level
    after: Level
    steps: tuple[Step, ...]
    done: bool  # False: a dry run


def level_of(port: str) -> Level:
    """The level of the chip on this port. Raises DeviceError.

    A chip whose bootloader is shut does not answer: its level is what was recorded when it was
    locked.
    """
    return level_from(Chip.locks_of(choose(port)))


def lock_down(
    port: str,
    level: str,
    image: Image,
    *,
    meter_id: bytes,
    keys: Path,
    confirm: Confirm,
    report: Report,
    signing_key: Path | None = None,
    dry_run: bool = True,
    open_efuses: Callable[[str], Efuses] = Efuses.open,
    write: Callable[..., Flashed] = flash,
) -> Locked:
    """Bring a meter to L1 or L2. Raises DeviceError, ImageError; LockRefused burns nothing.

    image: of this level, from image.build. keys: a private folder. signing_key: for L2, the file of
    the key that all meters trust. confirm is asked once, and must give the meter id.
    """
    port, name = choose(port), meter_id.hex()
    _check_image(level, image, signing_key)
    journal = Journal(private_folder(keys), name)
    plan = steps_to(image.chip, level)
    with _opened(open_efuses, port, plan, journal) as efuses:
        before = level_from(locks_in(efuses))
        _check_chip(efuses, level, image, plan, journal)
        efuses.restart()
    for number, step in enumerate(plan, 1):
        report(f"{number}/{len(plan)} {step} (cannot be undone)")
    if dry_run:
        return Locked(before, before, plan, False)
    question = f"Nothing of this can be undone. Type the meter id {name} to lock it to {level}: "
    if confirm(question).strip().lower() != name:
        raise NotConfirmed(
            f"that is not {name}: nothing was burned, run it again to lock this meter"
        )
    if not journal.begun:  # else the flash was written and proven before anything was burned
        if not journal.flash_key.is_file():
            ciphering.new_flash_key(journal.flash_key)
        keep = (METER, SETTINGS) if level == L2 else (NVS, METER, SETTINGS)
        locked = ciphering.ciphered(image, journal.flash_key)
        write(port, locked, keep=keep, locking=True, restart=False)
    with open_efuses(port) as efuses:
        for step in plan:
            _burn(efuses, step, signing_key, journal, report)
        after = level_from(locks_in(efuses))
        efuses.restart()
    if after != Level(level, ()):
        raise LockIncomplete(
            f"the chip reads as {after.name}: keep it off the wall, and run it again"
        )
    if level == L2:
        journal.flash_key.unlink()
        report("the flash key was deleted: nobody needs it any more")
    return Locked(before, after, plan, True)


def locks_in(efuses: Efuses) -> Locks:
    """The locks that the eFuses make."""
    if efuses.chip == "esp32":
        count, boot, cable = "FLASH_CRYPT_CNT", "ABS_DONE_1", "DISABLE_DL_ENCRYPT"
    else:
        count, boot, cable = "SPI_BOOT_CRYPT_CNT", "SECURE_BOOT_EN", "DIS_DOWNLOAD_MANUAL_ENCRYPT"
    encrypted = efuses.value(count).bit_count() % 2 == 1
    return Locks(encrypted, bool(efuses.value(boot)), bool(efuses.value(cable)))


class Journal:
    """What was begun and done on one meter, and its flash key, in the keys folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.lockdown.json"
        self.flash_key = folder / f"{name}.flash.key"
        self.begun: list[str] = []
        if self._path.is_file():
            self.begun = json.loads(read_input(self._path))["begun"]

    def begin(self, step: Step) -> None:
        """Durable before the step is burned: what is found burned after a cut was us."""
        if step.name not in self.begun:
            self.begun.append(step.name)
            write_durably(self._path, json.dumps({"begun": self.begun}).encode())


def _opened(
    open_efuses: Callable[[str], Efuses], port: str, plan: tuple[Step, ...], journal: Journal
) -> Efuses:
    try:
        return open_efuses(port)
    except DeviceError:
        if plan[-1].kind == BURN and plan[-1].name == "bootloader" in journal.begun:
            raise AlreadyBurned(
                "the chip does not answer, and its bootloader was to be shut: this meter is locked"
            ) from None
        raise


def _check_image(level: str, image: Image, signing_key: Path | None) -> None:
    if level not in (L1, L2):
        raise LockRefused(f"a meter is locked to {L1} or {L2}, not to {level}")
    if image.level != level or image.clear_table is not None:
        raise LockRefused(f"the image is of level {image.level}: build one of {level}")
    if level == L1:
        return
    if not (image.part(NVS) and image.part(NVS_KEYS)):
        raise LockRefused("level L2 needs the meter's identity in the image: build it with one")
    if signing_key is None or not signing_key.is_file():
        raise LockRefused("level L2 needs the signing key: name its file")
    ciphering.refuse_unsigned(image, signing_key)


def _check_chip(
    efuses: Efuses, level: str, image: Image, plan: tuple[Step, ...], journal: Journal
) -> None:
    if efuses.chip != image.chip:
        raise WrongChip(f"the chip is an {efuses.chip}, the image is for an {image.chip}")
    strange = [step.name for step in plan if begun(efuses, step) and step.name not in journal.begun]
    other = [step for step in steps_to(image.chip, L2) if step not in plan and begun(efuses, step)]
    strange += [step.name for step in other if step.name not in {one.name for one in plan}]
    if strange:
        raise AlreadyBurned(
            f"burned already, and not by us: {', '.join(strange)}; take a board from the factory"
        )
    if efuses.has_short_keys:
        raise LacksFeature("this ESP32 has keys of 192 bits (3/4 coding): take another module")
    if level == L2 and efuses.revision < SECURE_BOOT_FROM[efuses.chip]:
        need = SECURE_BOOT_FROM[efuses.chip]
        raise LacksFeature(
            f"secure boot v2 needs revision {need // 100}.{need % 100} of the {efuses.chip}, this "
            f"is {efuses.revision // 100}.{efuses.revision % 100}: take another module, or {L1}"
        )
    if KEY not in {one.kind for one in plan if one.name in journal.begun} and not (
        efuses.is_writeable("RD_DIS")
    ):
        raise LacksFeature(
            "no key can be made unreadable on this chip any more: take another board"
        )
    if efuses.chip != "esp32" and efuses.free_block() is None and not journal.begun:
        raise LacksFeature("all key blocks of this chip are used: take another board")
    if "key" in journal.begun and not journal.flash_key.is_file():
        raise LockRefused(
            f"{journal.flash_key.name} is gone, and its key is in the chip: only a backup of it "
            "makes this chip start again"
        )


def _burn(
    efuses: Efuses, step: Step, signing_key: Path | None, journal: Journal, report: Report
) -> None:
    if is_burned(efuses, step):
        report(f"{step.name}: done before")
        return
    journal.begin(step)
    classic = efuses.chip == "esp32"
    if step.kind == KEY:
        block = "flash_encryption" if classic else efuses.free_block()
        assert block is not None, "checked before anything was burned"
        efuses.burn_key(block, journal.flash_key, None if classic else XTS)
    elif step.kind == DIGEST:
        assert signing_key is not None, "checked before anything was burned"
        free = None if classic else efuses.free_block()
        efuses.burn_digest(signing_key, free, None if classic else DIGEST_0)
    elif step.kind == BURN:
        efuses.burn(step.values)
    else:
        efuses.protect(step.field)
    report(f"{step.name}: done")
