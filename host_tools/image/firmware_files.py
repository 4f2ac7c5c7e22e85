"""Published firmware by version and chip: found in a folder or fetched, and always proven.

firmware.toml says which file it is and its SHA-256, never where it lies: that the user gives. What
differs from its SHA-256 is refused and not kept; what is right is kept in a cache.
"""

import hashlib
import re
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from host_tools.image import published
from host_tools.image.errors import FirmwareMissing
from host_tools.image.published import CHIP_IDS, PUBLISHED_BYTES_MAX
from host_tools.micropython import ROOT
from host_tools.pairing.files import write_durably

LISTED = Path(__file__).with_name("firmware.toml")
CACHE = ROOT / ".lib" / "firmware"
PINS = "pins.toml"  # in the cache: the user's own rows, which come before ours
FETCH_TIMEOUT_S = 30
_SCHEMES = ("http://", "https://")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.bin")


class Firmware(NamedTuple):
    """One published file."""

    version: str
    chip: str
    file: str
    sha256: str  # "" when nobody has pinned it


class Listed(NamedTuple):
    """What is known of published firmware."""

    default: str
    rows: tuple[Firmware, ...]


def listed(path: Path = LISTED, cache: Path = CACHE) -> Listed:
    """Our table, with the user's pins before it. Raises FirmwareMissing for a malformed row."""
    ours = _load(path)
    mine = _load(cache / PINS).rows if (cache / PINS).is_file() else ()
    return Listed(ours.default, (*mine, *ours.rows))


def choose(table: Listed, chip: str, version: str | None = None) -> Firmware:
    """The row of this chip and version, a pinned one first. Raises FirmwareMissing."""
    wanted = version or table.default
    rows = [row for row in table.rows if (row.chip, row.version) == (chip, wanted)]
    if not rows:
        known = sorted({row.version for row in table.rows if row.chip == chip})
        raise FirmwareMissing(
            f"no firmware {wanted} for {chip} is listed: choose {' or '.join(known) or 'a .bin'}"
        )
    return next((row for row in rows if row.sha256), rows[0])


def obtain(wanted: Firmware, source: str | None, cache: Path = CACHE) -> bytes:
    """The file, proven by its SHA-256: from the cache, else from a folder or a base address.

    Raises FirmwareMissing: not pinned, not there, not right.
    """
    if not wanted.sha256:
        raise FirmwareMissing(
            f"{wanted.file} is not pinned: fetch it yourself, compare its SHA-256 with what its "
            "publisher says, then `firmware pin` it; or name it with --firmware"
        )
    kept = cache / wanted.file
    if kept.is_file() and _is(content := _read(kept), wanted.sha256):
        return content
    if source is None:
        raise FirmwareMissing(
            f"{wanted.file} is not here: name a folder that holds it, or a base address"
        )
    remote = source.startswith(_SCHEMES)
    content = _fetch(source, wanted.file) if remote else _read(Path(source) / wanted.file)
    if not _is(content, wanted.sha256):
        raise FirmwareMissing(
            f"{wanted.file} from there is not the pinned one (SHA-256 differs): "
            "it is not used; ask another source"
        )
    _store(kept, content)
    return content


def pin(path: Path, version: str, chip: str, cache: Path = CACHE) -> Firmware:
    """Take a file that its user has compared as the right one from now on, and keep it.

    Raises FirmwareMissing, FirmwareRefused: a file for another chip, or a damaged one.
    """
    content = _read(path)
    row = _checked(Firmware(version, chip, path.name, hashlib.sha256(content).hexdigest()))
    published.length_of(content, chip, "bootloader")
    rows = list(_load(cache / PINS).rows) if (cache / PINS).is_file() else []
    rows = [old for old in rows if (old.version, old.chip) != (version, chip)] + [row]
    _store(cache / row.file, content)
    _store(cache / PINS, _toml(rows).encode())
    return row


def _load(path: Path) -> Listed:
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        rows = tuple(_checked(Firmware(**row)) for row in told.get("firmware", ()))
        return Listed(str(told.get("default", "")), rows)
    except (OSError, ValueError, TypeError):
        raise FirmwareMissing(
            f"{path.name} cannot be read: each row has version, chip, file, sha256"
        ) from None


def _checked(row: Firmware) -> Firmware:
    if row.chip not in CHIP_IDS:
        raise FirmwareMissing(f"{row.file}: chip {row.chip!r} is not one of {', '.join(CHIP_IDS)}")
    if not _FILE.fullmatch(row.file):
        raise FirmwareMissing(f"{row.file!r} is no file name of a .bin: no folders, no spaces")
    if row.sha256 and not _SHA256.fullmatch(row.sha256):
        raise FirmwareMissing(f"{row.file}: a SHA-256 is 64 hex digits in lower case")
    return row


def _fetch(base: str, file: str) -> bytes:
    """The base address may hold a password: no text of ours repeats it."""
    try:
        with urllib.request.urlopen(  # noqa: S310  (http and https alone, by _SCHEMES)
            f"{base.rstrip('/')}/{file}", timeout=FETCH_TIMEOUT_S
        ) as answer:
            content: bytes = answer.read(PUBLISHED_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        raise FirmwareMissing(
            f"{file} is not there ({error.code}): check the base address"
        ) from None
    except (OSError, ValueError) as error:
        why = type(error).__name__
        raise FirmwareMissing(f"{file} could not be fetched ({why}): check the network") from None
    if len(content) > PUBLISHED_BYTES_MAX:
        raise FirmwareMissing(f"{file} is larger than {PUBLISHED_BYTES_MAX} bytes: not fetched")
    return content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(PUBLISHED_BYTES_MAX + 1)
    except OSError as error:
        raise FirmwareMissing(f"{path}: {error.strerror}; check the name") from None
    if len(content) > PUBLISHED_BYTES_MAX:
        raise FirmwareMissing(f"{path} is larger than {PUBLISHED_BYTES_MAX} bytes: not a firmware")
    return content


def _is(content: bytes, sha256: str) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256


def _store(target: Path, content: bytes) -> None:
    """Whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    write_durably(target, content, 0o644)


def _toml(rows: Iterable[Firmware]) -> str:
    lines = ["# Firmware that this computer's user has pinned; see host_tools/image/firmware.toml."]
    for row in rows:
        lines += [
            "",
            "[[firmware]]",
            *(f'{key} = "{value}"' for key, value in row._asdict().items()),
        ]
    return "\n".join(lines) + "\n"
