"""Files that survive a power cut and, where they hold secrets, belong to one user."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from host_tools.pairing.errors import BadInput, ExposedSecret
from host_tools.pairing.identity import Secret

SECRET_BYTES_MAX = 4096
INPUT_BYTES_MAX = 4 * 1024 * 1024
_OTHERS = 0o077


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step: after a power cut it is the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(folder: Path) -> Path:
    """A folder of mode 0700, made when it is missing. Raises ExposedSecret, BadInput."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(folder.stat().st_mode)
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}; name another folder") from None
    if mode & _OTHERS:
        raise ExposedSecret(f"{folder} may be entered by others; run: chmod 700 {folder}")
    return folder


def read_input(path: Path, bytes_max: int = INPUT_BYTES_MAX) -> bytes:
    """A file that somebody named. Raises BadInput."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the name") from None
    if len(data) > bytes_max:
        raise BadInput(f"{path} has over {bytes_max} bytes; is it the right file?")
    return data


def read_secret(path: Path) -> Secret:
    """The one line of a file of mode 0600. Raises BadInput, ExposedSecret; never shows it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the name") from None
    if mode & _OTHERS:
        raise ExposedSecret(f"{path} can be read by others; run: chmod 600 {path}")
    text = read_input(path, SECRET_BYTES_MAX).strip()
    if not text or b"\n" in text:
        raise BadInput(f"{path} must have one line, the secret")
    return Secret(text)
