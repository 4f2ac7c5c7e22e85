"""Builds a meter's flash image: published firmware, partitions, identity, application, settings.

The same input gives the same image. Every part is read back out of the merged result before the
image is handed over: what is not found there again is never flashed.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from host_tools import bundle
from host_tools.bundle import Bundle
from host_tools.image import filesystem, nvs, partitions, published
from host_tools.image.errors import (
    FirmwareRefused,
    ImageDamaged,
    PartsOverlap,
    SettingsRefused,
    TableRefused,
)
from host_tools.image.partitions import TABLE_OFFSET, Table
from host_tools.levels import L0, L2
from host_tools.pairing.identity import Identity

BOOTLOADER, TABLE, NVS, NVS_KEYS, OTADATA, VFS = (
    "bootloader",
    "partition_table",
    "nvs",
    "nvs_keys",
    "otadata",
    "vfs",
)
CONFIG_BYTES_MAX = 4096
CA_BYTES_MAX = 2048  # as boards/parts/mqtt_link.py reads
IDENTITY_KEYS = ("meter_id", "meter_key", "key_epoch", "password")
SLOT = "a"
OTADATA_KIND = (partitions.DATA, partitions.OTADATA)


class Board(Protocol):
    """What an image needs of a board profile."""

    @property
    def name(self) -> str: ...
    @property
    def chip(self) -> str: ...
    @property
    def flash_offset(self) -> int: ...
    @property
    def flash_bytes(self) -> int: ...
    @property
    def ethernet(self) -> bool: ...


@dataclass(frozen=True)
class Settings:
    """What stands in /config.json, without who the meter is, and the CA's certificate in DER."""

    values: Mapping[str, Any]
    ca: bytes | None = None

    def __post_init__(self) -> None:
        if misplaced := [key for key in IDENTITY_KEYS if key in self.values]:
            raise SettingsRefused(
                f"{', '.join(misplaced)}: an identity is kept in NVS, take it out of the settings"
            )
        if len(self.config) > CONFIG_BYTES_MAX:
            raise SettingsRefused(f"config.json may have {CONFIG_BYTES_MAX} bytes: shorten it")
        if self.values.get("tls") and not self.ca:
            raise SettingsRefused("tls is on and there is no CA certificate: name the ca.der")
        if self.ca is not None and not 0 < len(self.ca) <= CA_BYTES_MAX:
            raise SettingsRefused(
                f"the CA certificate has {len(self.ca)} bytes, a meter takes {CA_BYTES_MAX}: "
                "give one certificate, in DER"
            )

    def __repr__(self) -> str:
        return f"Settings({', '.join(sorted(self.values))}, values hidden)"

    @property
    def config(self) -> bytes:
        """The text of /config.json. Raises SettingsRefused."""
        try:
            return json.dumps(dict(self.values), sort_keys=True).encode() + b"\n"
        except (TypeError, ValueError):
            raise SettingsRefused("the settings hold what JSON cannot say: see a value") from None


@dataclass(frozen=True)
class Part:
    """Some bytes and where they go. Its repr hides them: they may hold a key."""

    name: str
    offset: int
    content: bytes

    def __repr__(self) -> str:
        return f"Part({self.name}, {self.offset:#x}, {len(self.content)} bytes)"


@dataclass(frozen=True)
class Image:
    """What a chip's flash shall hold. Parts do not overlap and stand in the order of offsets.

    clear_table: the partition table, where the parts themselves are as flash encryption has them.
    """

    board: str
    chip: str
    flash_bytes: int
    parts: tuple[Part, ...]
    level: str = L0
    clear_table: bytes | None = None
    ethernet: bool = False  # it has a socket for a cable and asks nobody for a Wi-Fi

    def part(self, name: str) -> Part | None:
        """The part of this name, or None."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def table(self) -> Table:
        """Its partition table. Raises TableRefused."""
        part = self.part(TABLE)
        return partitions.parse(self.clear_table or (part.content if part else b""))

    @property
    def digest(self) -> str:
        """SHA-256 over every part and its place, in hex: the same for the same image."""
        whole = hashlib.sha256()
        for part in self.parts:
            whole.update(f"{part.name} {part.offset} {len(part.content)}\n".encode())
            whole.update(part.content)
        return whole.hexdigest()


def build(
    profile: Board,
    firmware: bytes,
    application: Bundle,
    settings: Settings,
    identity: Identity | None,
    *,
    level: str = L0,
    nvs_key: bytes | None = None,
    keep_table: bool = False,
) -> Image:
    """The image of one meter. Raises ImageError, whose text says what to do.

    identity None: the meter is paired later, and NVS is no part of the image. nvs_key: at level L2,
    from nvs.new_key. keep_table: the published partition table instead of ours; a meter then has no
    place for its registers, unless that table has a partition `meter`.
    """
    stock = published.split(firmware, profile.chip, profile.flash_offset)
    size, locked = profile.flash_bytes, level == L2
    if locked and identity is not None and nvs_key is None:
        raise SettingsRefused(f"level {L2} keeps NVS under a key of its own: make one")
    table = stock.table if keep_table else partitions.ours(size, locked)
    partitions.check(table, size)
    place, files_place = partitions.app(table), partitions.files(table, size)
    if len(stock.program) > place.size:
        raise FirmwareRefused(
            f"the program has {len(stock.program)} bytes, `{place.label}` holds {place.size}: "
            "use an older version, or keep the published table"
        )
    files = files_of(profile.name, application, settings)
    parts = [
        Part(BOOTLOADER, profile.flash_offset, published.sized(stock.bootloader, size)),
        Part(TABLE, TABLE_OFFSET, partitions.encode(table)),
        Part(place.label, place.offset, stock.program),
        Part(VFS, files_place.offset, filesystem.build(files, files_place.size)),
    ]
    if ota := next((row for row in table if (row.type, row.subtype) == OTADATA_KIND), None):
        parts.append(Part(OTADATA, ota.offset, b"\xff" * ota.size))  # start the first slot
    if identity is not None:
        parts += _identity_parts(table, identity, nvs_key if locked else None)
    image = Image(
        profile.name, profile.chip, size, _sorted(parts), level, ethernet=profile.ethernet
    )
    _prove(image, files, identity, nvs_key if locked else None)
    return image


def merged(image: Image) -> bytes:
    """The whole flash as one file, for offset 0. Raises PartsOverlap, which names both."""
    _sorted(image.parts)
    flash = bytearray(b"\xff" * image.flash_bytes)
    for part in image.parts:
        if part.offset + len(part.content) > image.flash_bytes:
            raise PartsOverlap(f"{part.name} goes beyond the flash of {image.flash_bytes:#x} bytes")
        flash[part.offset : part.offset + len(part.content)] = part.content
    return bytes(flash)


def files_of(board: str, application: Bundle, settings: Settings) -> dict[str, bytes]:
    """Every file of a new meter: the loader, the application in slot a, the settings."""
    with tempfile.TemporaryDirectory() as name:  # nothing in it is secret
        folder = Path(name)
        bundle.write_root(board, folder)
        bundle.write_slot(application, folder / SLOT)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    if settings.values:
        files["config.json"] = settings.config
    if settings.ca is not None:
        files["ca.der"] = settings.ca
    return files


def _identity_parts(table: Table, identity: Identity, key: bytes | None) -> list[Part]:
    place = partitions.find(table, NVS)
    if place is None:
        raise TableRefused("the table has no partition `nvs` for the identity: use ours")
    content = nvs.generate(nvs.identity_entries(identity), place.size, key)
    parts = [Part(NVS, place.offset, content)]
    if key is not None:
        keys = partitions.find(table, NVS_KEYS)
        if keys is None:
            raise TableRefused("the table has no partition `nvs_keys`: use ours")
        parts.append(Part(NVS_KEYS, keys.offset, nvs.key_partition(key)))
    return parts


def _sorted(parts: list[Part] | tuple[Part, ...]) -> tuple[Part, ...]:
    """In the order of their offsets. Raises PartsOverlap, which names two that share a byte."""
    try:
        partitions.refuse_overlaps([(part.name, part.offset, len(part.content)) for part in parts])
    except TableRefused as error:
        raise PartsOverlap(str(error)) from None
    return tuple(sorted(parts, key=lambda part: part.offset))


def _prove(
    image: Image, files: Mapping[str, bytes], identity: Identity | None, key: bytes | None
) -> None:
    """Reads everything back out of the merged flash, as a chip would find it. Raises ImageError."""
    flash = merged(image)
    table = partitions.parse(flash[TABLE_OFFSET:])
    place, files_place = partitions.app(table), partitions.files(table, image.flash_bytes)
    lost = [
        part.name
        for part in image.parts
        if flash[part.offset : part.offset + len(part.content)] != part.content
    ]
    for name in (BOOTLOADER, place.label):
        part = image.part(name)
        at = part.offset if part else 0
        if not part or published.extent(flash[at:], image.chip, name) != len(part.content):
            lost.append(name)
    if filesystem.read(flash[files_place.offset : files_place.end]) != files:
        lost.append("files")
    if identity is not None and (row := partitions.find(table, NVS)):
        values = nvs.read(flash[row.offset : row.end], key)
        entries = nvs.identity_entries(identity)
        if any(values.get((nvs.NAMESPACE, name)) != value for name, value in entries):
            lost.append("identity")
    if lost:
        raise ImageDamaged(f"not found again in the image: {', '.join(lost)}; report this")
