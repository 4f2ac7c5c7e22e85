"""Writes an image to a chip: checked first, only what differs, registers proven, files last.

Run again after a broken cable or a power cut it goes on with what still differs. The superblock of
the file system is erased before and written after all else: a chip that starts in between finds no
file system and makes an empty one, instead of telling for ever that it is corrupted.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from host_tools.flashing import kept as keeping
from host_tools.flashing.chip import BLANK, FAST_BAUD, SECTOR_BYTES, Chip
from host_tools.flashing.chip_errors import ChipLocked, FlashTooSmall, NotLocked, WrongChip
from host_tools.flashing.kept import KEEP, PIECE_BYTES, SETTINGS, Files, Found
from host_tools.image import filesystem
from host_tools.image.build import NVS, NVS_KEYS, OTADATA, TABLE, VFS, Image, Part
from host_tools.image.filesystem import SUPERBLOCKS
from host_tools.line.ports import DeviceError, choose

HEAD_BYTES = SUPERBLOCKS * SECTOR_BYTES
FIRST = (NVS, NVS_KEYS, TABLE, OTADATA)  # before all others; from then on the table is ours

Report = Callable[[str, int, int], None]  # name of the part, bytes done, bytes to do
Run = tuple[int, bytes]  # offset, content


class Flashed(NamedTuple):
    """What was done."""

    chip: str
    mac: bytes
    written: list[str]  # parts that differed
    skipped: list[str]  # parts that were there already
    kept: list[str]  # partitions that were left alone, and are proven unchanged
    restored: list[str]  # of these, changed while flashing and put back
    erased: list[str]  # partitions with something in them that was not a meter's


def flash(
    port: str,
    image: Image,
    *,
    keep: Sequence[str] = KEEP,
    progress: Report | None = None,
    baud: int = FAST_BAUD,
    state: Path | None = None,
    locking: bool = False,
    restart: bool = True,
) -> Flashed:
    """Make the chip on this port (or "auto") hold the image. Raises DeviceError, TableRefused.

    keep: which of `nvs`, `meter` and `settings` stay when a meter lives on the chip; without
    `meter` its registers are erased. Settings stay where the image brings none of its own.
    state: a private folder that holds such settings until they are on the chip again.
    locking: the chip is about to be locked, so an image under flash encryption is right for it.
    """
    if unknown := set(keep) - set(KEEP):
        raise ValueError(f"{', '.join(sorted(unknown))} cannot be kept: name of {', '.join(KEEP)}")
    with Chip.open(choose(port), baud) as chip:
        try:
            done = _flash(chip, image, keep, progress or _nobody, state, locking)
        except DeviceError:
            if restart:  # a meter that was running goes on
                with suppress(DeviceError):
                    chip.restart()
            raise
        if restart:
            chip.restart()
        return done


def _flash(
    chip: Chip, image: Image, keep: Sequence[str], report: Report, state: Path | None, locking: bool
) -> Flashed:
    check(chip, image, locking)
    on_chip = cache(lambda: keeping.files_on(chip))
    found = keeping.survey(chip, image, keep)
    if SETTINGS in keep:
        image = keeping.with_settings(image, keeping.settings_for(image, on_chip, state, chip.mac))
    keeping.move(chip, found.kept)
    erased = [row.label for row in found.foreign if keeping.erase_used(chip, row)]
    written, skipped = _write_all(chip, image, found, on_chip, report)
    restored = keeping.prove(chip, found.kept)
    keeping.forget_settings(state, chip.mac)
    names = [one.name for one in found.kept]
    return Flashed(chip.name, chip.mac, written, skipped, names, restored, erased)


def check(chip: Chip, image: Image, locking: bool = False) -> None:
    """Raises WrongChip, FlashTooSmall, ChipLocked or NotLocked before anything is written."""
    if chip.name != image.chip:
        raise WrongChip(
            f"the chip is an {chip.name}, the image is for {image.board} with an {image.chip}: "
            "choose the board that is on the table"
        )
    if chip.flash_bytes < image.flash_bytes:
        raise FlashTooSmall(
            f"the chip has {chip.flash_bytes >> 20} MB of flash, {image.board} needs "
            f"{image.flash_bytes >> 20} MB: see what module is on the board"
        )
    ciphered, locks = image.clear_table is not None, chip.locks
    if (locks.encrypted or locks.signed) and not ciphered:
        raise ChipLocked(
            "flash encryption or secure boot is on, and the image is plain: it would not start; "
            "build it with this meter's key file, or update over the air"
        )
    if ciphered and not locks.encrypted and not locking:
        raise NotLocked(
            "the image is for a chip with flash encryption, and this one has it off: build a plain "
            "image, or lock the chip"
        )


def differing(chip: Chip, part: Part) -> list[Run]:
    """What of a part is not on the chip, in runs of whole pieces."""
    if chip.holds(part.offset, part.content):
        return []
    runs: list[Run] = []
    for at in range(0, len(part.content), PIECE_BYTES):
        piece = part.content[at : at + PIECE_BYTES]
        offset = part.offset + at
        if chip.holds(offset, piece):
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == offset:
            runs[-1] = (runs[-1][0], runs[-1][1] + piece)
        else:
            runs.append((offset, piece))
    return runs


def _write_all(
    chip: Chip, image: Image, found: Found, on_chip: Callable[[], Files], report: Report
) -> tuple[list[str], list[str]]:
    written: list[str] = []
    skipped: list[str] = []
    left_alone = {one.name for one in found.kept}
    for part in _in_order(image):
        if part.name in left_alone:
            continue
        if part.name != VFS:
            runs = differing(chip, part)
        else:
            runs = _vfs_runs(chip, part, on_chip if image.clear_table is None else None)
        (written if runs else skipped).append(part.name)
        _write(chip, part.name, runs, report)
    return written, skipped


def _in_order(image: Image) -> list[Part]:
    def rank(part: Part) -> tuple[int, int]:
        if part.name == VFS:
            return len(FIRST) + 1, 0
        return (FIRST.index(part.name), 0) if part.name in FIRST else (len(FIRST), part.offset)

    return sorted(image.parts, key=rank)


def _vfs_runs(chip: Chip, part: Part, on_chip: Callable[[], Files] | None) -> list[Run]:
    """Erased superblocks, everything behind them, then block 1, then block 0.

    Nothing where the same files are there: a meter that wrote to its file system has moved them.
    """
    head, tail = part.content[:HEAD_BYTES], part.content[HEAD_BYTES:]
    runs = differing(chip, Part(part.name, part.offset + HEAD_BYTES, tail))
    if not runs and chip.holds(part.offset, head):
        return []
    if on_chip and on_chip() == Files(part.offset, filesystem.read(part.content)):
        return []
    if runs:
        runs.insert(0, (part.offset, BLANK * HEAD_BYTES))
    for block in reversed(range(SUPERBLOCKS)):
        at = block * SECTOR_BYTES
        runs.append((part.offset + at, head[at : at + SECTOR_BYTES]))
    return runs


def _write(chip: Chip, name: str, runs: list[Run], report: Report) -> None:
    whole, done = sum(len(content) for _, content in runs), 0
    for offset, content in runs:
        size, before = len(content), done

        def told(at: int, of: int, size: int = size, before: int = before) -> None:
            report(name, before + size * at // max(1, of), whole)

        if size % SECTOR_BYTES == 0 and content.count(BLANK) == size:
            chip.erase(offset, size)
        else:
            chip.write(offset, content, told)
        done += size
        report(name, done, whole)


def _nobody(name: str, done: int, whole: int) -> None:
    """Nobody looks."""
