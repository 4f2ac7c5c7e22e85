"""An image as flash encryption has it: each part enciphered for where it lies; keys in files.

What lies in it is a key's: the same key must be burned into the chip (lockdown.py).
"""

import io
import os
import secrets
import tempfile
from dataclasses import replace
from pathlib import Path

import espsecure

from host_tools.flashing.chip import errors, quiet
from host_tools.flashing.chip_errors import ChipError
from host_tools.image import partitions, published
from host_tools.image.build import BOOTLOADER, TABLE, Image, Part
from host_tools.image.errors import FirmwareRefused
from host_tools.image.partitions import APP, ENCRYPTED, SECTOR_BYTES
from host_tools.pairing.files import write_durably

FLASH_KEY_BYTES = 32
BLOCK_BYTES = 32  # of flash encryption
CRYPT_CONFIG = 0xF  # as it is burned: every bit of an address changes the cipher
SCHEME = "rsa3072"  # which every chip of ours has


def new_flash_key(path: Path) -> None:
    """Make a key for one chip's flash, in a file of mode 0600. Raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(FLASH_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def new_signing_key(path: Path) -> None:
    """Make a signing key, in a file of mode 0600: one for all meters. Keep a copy of it.

    Raises FileExistsError: a key that meters trust is never overwritten.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already: name another file")
    with tempfile.TemporaryDirectory() as name, quiet(), errors():  # of mode 0700
        made = Path(name) / "key.pem"
        espsecure.generate_signing_key("2", SCHEME, str(made))
        write_durably(path, made.read_bytes())


def refuse_unsigned(image: Image, signing_key: Path) -> None:
    """Raises FirmwareRefused when bootloader or program is not signed with this key.

    We do not sign here: firmware that was not built for secure boot checks no program, and a
    signature would only make it look as if it did.
    """
    for name in (BOOTLOADER, partitions.app(image.table).label):
        part = image.part(name)
        content = part.content if part else b""
        if not published.is_signed(content, len(content) - SECTOR_BYTES):
            raise FirmwareRefused(
                f"the {name} is not signed: build the firmware with BOARD_VARIANT=SECURE"
            )
        try:
            with quiet(), errors(), signing_key.open("rb") as key:
                espsecure.verify_signature("2", False, None, key, io.BytesIO(content))
        except ChipError:
            raise FirmwareRefused(
                f"the {name} is signed with another key: name the key it was built with"
            ) from None


def ciphered(image: Image, flash_key: Path) -> Image:
    """Every part that flash encryption covers, enciphered under the key for where it lies."""
    table = image.table
    covered = {BOOTLOADER, TABLE} | {
        row.label for row in table if row.type == APP or row.flags & ENCRYPTED
    }
    if ota := next((row for row in table if row.label == "otadata"), None):
        covered.add(ota.label)
    parts = tuple(
        replace(part, content=_enciphered(part, image.chip, flash_key))
        if part.name in covered
        else part
        for part in image.parts
    )
    clear = image.part(TABLE)
    assert clear is not None, "an image has a table"
    return replace(image, parts=parts, clear_table=clear.content)


def deciphered(image: Image, flash_key: Path, part: Part) -> bytes:
    """What a part was before `ciphered`, with its padding."""
    return _cipher(part.content, part.offset, image.chip, flash_key, back=True)


def _enciphered(part: Part, chip: str, flash_key: Path) -> bytes:
    padded = part.content.ljust(-(-len(part.content) // BLOCK_BYTES) * BLOCK_BYTES, b"\xff")
    return _cipher(padded, part.offset, chip, flash_key, back=False)


def _cipher(content: bytes, offset: int, chip: str, flash_key: Path, back: bool) -> bytes:
    out, xts = io.BytesIO(), chip != "esp32"
    turn = espsecure.decrypt_flash_data if back else espsecure.encrypt_flash_data
    with quiet(), errors(), flash_key.open("rb") as key:
        turn(key, out, offset, CRYPT_CONFIG, xts, io.BytesIO(content))
    return out.getvalue()
