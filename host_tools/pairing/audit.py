"""The technician's audit log: a file that is only appended to, each line chained to the one before.

The chain shows an altered, removed or inserted line. It cannot show that the newest lines were cut
off, or that all of it was written anew: for that keep the head (`audit head`) somewhere else.
The chain is that of the gateway's audit log; only the place differs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from host_tools.pairing.errors import BadInput, DamagedAudit

FILE_NAME = "audit.log"
LINE_BYTES_MAX = 4096
HASH_BYTES = 32
_FIELDS = ("id", "at_s", "actor", "action", "subject", "detail")


class Act(NamedTuple):
    """Who did what to which meter, when. Never a secret."""

    act_id: int
    at_s: int
    actor: str
    action: str  # noun.verb, such as meter.pair
    subject: str  # a meter id in hex, or what else was acted on
    detail: str  # JSON


class Head(NamedTuple):
    """The newest act and its hash: stands for the whole file up to there."""

    act_id: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.act_id}:{self.hash.hex()}"


EMPTY = Head(0, bytes(HASH_BYTES))


def append(
    folder: Path, actor: str, action: str, subject: str, detail: dict[str, object], now_s: int
) -> Head:
    """Add a line durably; the new head. One process at a time. Raises DamagedAudit, BadInput.

    A line that a power cut left half-written was never reported as done: it is taken off.
    """
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    with _open(folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        last, end = _tail(file)
        act = Act(last.act_id + 1, now_s, actor, action, subject, text)
        head = Head(act.act_id, chain(last.hash, act))
        line = _line(act, head.hash)
        if len(line) > LINE_BYTES_MAX:
            raise BadInput(f"an audit line has at most {LINE_BYTES_MAX} bytes; say less in it")
        file.truncate(end)
        file.seek(end)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return head


def read(folder: Path) -> Iterator[tuple[Act, bytes]]:
    """Every act with its hash, oldest first. Raises DamagedAudit at what is not a line."""
    path = folder / FILE_NAME
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # half-written: the next append takes it off
            yield _parse(line, number)


def verify(folder: Path, kept: Head | None = None) -> int | None:
    """The first act that is not as it was written (or missing); None when all of them are.

    With a head that was kept elsewhere also what was cut off or written anew is found.
    """
    last = EMPTY
    try:
        for act, digest in read(folder):
            if act.act_id != last.act_id + 1 or digest != chain(last.hash, act):
                return last.act_id + 1
            last = Head(act.act_id, digest)
            if kept is not None and kept.act_id == act.act_id and kept.hash != digest:
                return act.act_id
    except DamagedAudit:
        return last.act_id + 1
    if kept is not None and kept.act_id > last.act_id:
        return last.act_id + 1
    return None


def head(folder: Path) -> Head:
    """Where the file stands now. Raises DamagedAudit."""
    if not (folder / FILE_NAME).exists():
        return EMPTY
    with _open(folder) as file:
        return _tail(file)[0]


def parse_head(text: str) -> Head:
    """What `audit head` printed. Raises BadInput."""
    number, _, digest = text.strip().partition(":")
    try:
        kept = Head(int(number), bytes.fromhex(digest))
    except ValueError:
        kept = Head(-1, b"")
    if kept.act_id < 0 or len(kept.hash) != HASH_BYTES:
        raise BadInput("a kept head is NUMBER:64 hex digits, as `audit head` printed it")
    return kept


def chain(last_hash: bytes, act: Act) -> bytes:
    """The hash of a line: SHA-256 over the hash before it and its own fields as a JSON array."""
    fields = json.dumps(list(act), separators=(",", ":")).encode()
    return hashlib.sha256(last_hash + fields).digest()


def _open(folder: Path) -> BinaryIO:
    path = folder / FILE_NAME
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; name another state folder") from None


def _tail(file: BinaryIO) -> tuple[Head, int]:
    """The newest whole line's head, and where it ends."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 2 * LINE_BYTES_MAX)
    file.seek(start)
    data = file.read()
    end = data.rfind(b"\n") + 1
    if not end:
        if start:
            raise DamagedAudit(f"{FILE_NAME} ends in no line; keep the file, begin another folder")
        return EMPTY, 0
    line = data[data.rfind(b"\n", 0, end - 1) + 1 : end]
    act, digest = _parse(line, 0)
    return Head(act.act_id, digest), start + end


def _line(act: Act, digest: bytes) -> bytes:
    fields = {**dict(zip(_FIELDS, act, strict=True)), "hash": digest.hex()}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes, number: int) -> tuple[Act, bytes]:
    where = f"line {number}" if number else "the last line"
    try:
        fields = json.loads(line)
        act = Act(*(fields[name] for name in _FIELDS))
        digest = bytes.fromhex(fields["hash"])
        if type(act.act_id) is not int:
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise DamagedAudit(
            f"{where} of {FILE_NAME} is not as it was written; keep the file and find out who"
            " changed it, then begin another state folder"
        ) from None
    return act, digest
