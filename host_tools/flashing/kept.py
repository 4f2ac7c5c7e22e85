"""What a re-flash leaves alone: registers and identity are read before, and proven after.

Whatever a new partition table says, the partitions `meter` and `nvs` end up with the content that
they had, or nothing is written at all. Settings are carried into the new file system.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from host_tools.flashing.chip import BLANK, SECTOR_BYTES, Chip
from host_tools.flashing.chip_errors import RegistersEndangered, RegistersLost
from host_tools.image import filesystem, nvs, partitions
from host_tools.image.build import NVS, NVS_KEYS, TABLE, VFS, Image
from host_tools.image.errors import FilesRefused, TableRefused
from host_tools.image.partitions import TABLE_BYTES, TABLE_OFFSET, Partition, Table
from host_tools.pairing.files import private_folder, read_input, write_durably

METER, SETTINGS = "meter", "settings"
PARTITIONS = (NVS, METER)
KEEP = (*PARTITIONS, SETTINGS)
SETTINGS_FILES = ("config.json", "ca.der")
SAVED = "{0}.settings.json"  # in the state folder, by MAC address
PIECE_BYTES = 0x10000
MOVED = "the new partition table has {0} elsewhere, over what must be kept: keep the chip's table"


class Piece(NamedTuple):
    """Some bytes of a partition that are not erased flash. Its repr hides them."""

    at: int  # in the partition
    content: bytes

    def __repr__(self) -> str:
        return f"Piece({self.at:#x}, {len(self.content)} bytes)"


class Kept(NamedTuple):
    """A partition whose content stays, where it was and where it will be."""

    name: str
    before: Partition
    after: Partition
    pieces: tuple[Piece, ...]

    @property
    def moves(self) -> bool:
        """Says whether it lies elsewhere in the new table."""
        return self.before.offset != self.after.offset

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Offset on the chip and right content of every piece, erased ones too."""
        used = dict(self.pieces)
        for at in range(0, self.after.size, PIECE_BYTES):
            length = min(PIECE_BYTES, self.after.size - at)
            yield self.after.offset + at, used.get(at, b"").ljust(length, BLANK)


class Files(NamedTuple):
    """The files of a chip, and where their file system lies. Its repr hides them."""

    offset: int
    content: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Files({self.offset:#x}, {len(self.content)} files)"


class Found(NamedTuple):
    """What is on a chip before anything is written."""

    kept: tuple[Kept, ...]
    foreign: tuple[Partition, ...]  # to be erased: what is in them was never the meter's


def survey(chip: Chip, image: Image, keep: Sequence[str]) -> Found:
    """Read what must stay. Raises RegistersEndangered before anything is written."""
    after = image.table
    before, ours = _table_on(chip, image)
    kept, foreign = [], []
    for name in PARTITIONS:
        new = partitions.find(after, name)
        old = partitions.find(before, name) if before else new
        if name in keep and ours and old is not None:
            pieces = tuple(_pieces(chip, old))
            if not pieces or (name == NVS and _replaced(image, old, pieces)):
                continue
            if new is None:
                raise RegistersEndangered(
                    f"the new partition table has no {name}, and the chip's holds something: keep "
                    f"the meter's table, or leave {name} out of what is kept"
                )
            kept.append(Kept(name, old, new, pieces))
        elif new and image.part(name) is None and (name == METER or name not in keep):
            foreign.append(new)
    _refuse_what_does_not_fit(kept)
    return Found(tuple(kept), tuple(foreign))


def settings_for(
    image: Image, on_chip: Callable[[], Files], state: Path | None, mac: bytes
) -> dict[str, bytes]:
    """The settings that the chip has, where the image brings none of its own.

    state: a private folder in which they are also kept until the new files are written: a power cut
    in the middle takes the chip's only copy.
    """
    part = image.part(VFS)
    if part is None or image.clear_table is not None:
        return {}
    files = filesystem.read(part.content)
    if any(name in files for name in SETTINGS_FILES):
        return {}
    found = on_chip().content
    carried = {name: found[name] for name in SETTINGS_FILES if name in found}
    if state is None:
        return carried
    path = private_folder(state) / SAVED.format(mac.hex())
    if carried:
        write_durably(path, json.dumps({n: c.hex() for n, c in carried.items()}).encode())
    elif path.is_file():
        saved = json.loads(read_input(path))
        carried = {name: bytes.fromhex(saved[name]) for name in SETTINGS_FILES if name in saved}
    return carried


def forget_settings(state: Path | None, mac: bytes) -> None:
    """The chip has its settings again: the copy goes."""
    if state is not None:
        (state / SAVED.format(mac.hex())).unlink(missing_ok=True)


def with_settings(image: Image, settings: dict[str, bytes]) -> Image:
    """The image with these files in its file system."""
    part = image.part(VFS)
    if part is None or not settings:
        return image
    content = filesystem.build(filesystem.read(part.content) | settings, len(part.content))
    parts = tuple(replace(one, content=content) if one == part else one for one in image.parts)
    return replace(image, parts=parts)


def files_on(chip: Chip) -> Files:
    """The files that the chip has now; none where they cannot be read."""
    try:
        table = partitions.parse(chip.read(TABLE_OFFSET, TABLE_BYTES))
        row = partitions.files(table, chip.flash_bytes)
        content = bytearray(BLANK * row.size)
        for at, piece in _pieces(chip, row):
            content[at : at + len(piece)] = piece
        return Files(row.offset, filesystem.read(bytes(content)))
    except (TableRefused, FilesRefused):
        return Files(0, {})


def move(chip: Chip, kept: Iterable[Kept]) -> None:
    """Write what lies elsewhere in the new table to its new place; the old place stays as it is.

    What a partition gains is erased.
    """
    for one in kept:
        if one.moves:
            erase_used(chip, one.after)
            for at, content in one.pieces:
                chip.write(one.after.offset + at, content)
        elif one.after.size > one.before.size:
            gained = one.after.size - one.before.size
            erase_used(chip, one.after._replace(offset=one.before.end, size=gained))


def prove(chip: Chip, kept: Iterable[Kept]) -> list[str]:
    """Compare with what was read before; what has changed is put back, and named.

    Raises RegistersLost when that fails.
    """
    restored = []
    for one in kept:
        changed = [block for block in one.blocks() if not chip.holds(*block)]
        for offset, content in changed:
            if content.count(BLANK) == len(content):
                chip.erase(offset, len(content))
            else:
                chip.write(offset, content)
            if not chip.holds(offset, content):
                raise RegistersLost(
                    f"{one.name} changed while flashing and cannot be put back: the flash is "
                    "faulty; note the last reading that the gateway has, and replace the board"
                )
        if changed:
            restored.append(one.name)
    return restored


def erase_used(chip: Chip, row: Partition) -> bool:
    """Erase what of a partition is not erased; says whether there was anything."""
    used = list(_used(chip, row))
    for at, length in used:
        chip.erase(row.offset + at, length)
    return bool(used)


def _table_on(chip: Chip, image: Image) -> tuple[Table | None, bool]:
    """The chip's table, and whether a meter of ours lives there.

    A power cut may have taken the table alone. Then NVS tells whether there was a meter.
    """
    if image.clear_table is not None:
        part = image.part(TABLE)
        if part is not None and chip.holds(part.offset, part.content):
            return image.table, True
        if chip.locks.encrypted:
            raise RegistersEndangered(
                "the chip's partition table is under another key: name the key file of this meter"
            )
    try:
        table = partitions.parse(chip.read(TABLE_OFFSET, TABLE_BYTES))
    except TableRefused:
        row = partitions.find(image.table, NVS)
        return None, row is not None and _lived(chip.read(row.offset, row.size))
    return table, partitions.find(table, METER) is not None


def _lived(content: bytes) -> bool:
    return any(namespace == nvs.NAMESPACE for namespace, _ in nvs.read(content))


def _replaced(image: Image, row: Partition, pieces: tuple[Piece, ...]) -> bool:
    """Says whether the image's identity takes the place of what is in NVS.

    It does where there is none yet, and where NVS comes under a key from now on.
    """
    if image.part(NVS) is None or image.part(NVS_KEYS) is not None:
        return image.part(NVS) is not None
    content = bytearray(BLANK * row.size)
    for at, piece in pieces:
        content[at : at + len(piece)] = piece
    return not nvs.holds_identity(bytes(content))


def _used(chip: Chip, row: Partition) -> Iterator[tuple[int, int]]:
    for at in range(0, row.size, PIECE_BYTES):
        length = min(PIECE_BYTES, row.size - at)
        if not chip.holds(row.offset + at, BLANK * length):
            yield at, length


def _pieces(chip: Chip, row: Partition) -> Iterator[Piece]:
    for at, length in _used(chip, row):
        content = chip.read(row.offset + at, length)
        used = len(content.rstrip(BLANK))
        yield Piece(at, content[: -(-used // SECTOR_BYTES) * SECTOR_BYTES])


def _refuse_what_does_not_fit(kept: Sequence[Kept]) -> None:
    for one in kept:
        last = one.pieces[-1]
        if last.at + len(last.content) > one.after.size:
            raise RegistersEndangered(
                f"{one.name} holds more than the new partition table has room for: keep the "
                "chip's table"
            )
        for other in kept:
            if one.moves and other.before.overlaps(one.after.offset, one.after.size):
                raise RegistersEndangered(MOVED.format(one.name))
