"""How far the work on one board is: a file that outlives ^C, and says who works on it.

A state folder (mode 0700) has for each board `<board>.json` and, while somebody works on it,
a locked `<board>.lock`. Secrets are in the file from the moment they are made until the gateway
has them, or they are sealed for it; then they are taken out. The audit log lies beside.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host_tools.pairing.errors import AnotherTechnician, BadInput
from host_tools.pairing.files import (
    INPUT_BYTES_MAX,
    private_folder,
    read_input,
    write_durably,
)
from host_tools.pairing.identity import Identity, from_dict, to_dict

BOARD_CHARS_MAX = 64
TECHNICIAN_CHARS_MAX = 64
_IDENTITY = "identity"

Note = dict[str, Any]


class Progress:
    """What was done to a board: procedure, stages with their notes, and the identity meanwhile."""

    def __init__(self, path: Path, data: dict[str, Any]) -> None:
        self.path, self._data = path, data

    def __repr__(self) -> str:
        return f"Progress({self.path.stem}, {self.procedure})"

    @property
    def procedure(self) -> str:
        """pair, move, decommission and so on; empty before the first."""
        return str(self._data.get("procedure", ""))

    @property
    def technician(self) -> str:
        """Who began it."""
        return str(self._data.get("technician", ""))

    @property
    def begun_s(self) -> int:
        """When; UTC seconds."""
        return int(self._data.get("begun_s", 0))

    @property
    def finished(self) -> bool:
        """Whether its last stage was done."""
        return bool(self._data.get("finished", False))

    @property
    def stages(self) -> dict[str, Note]:
        """The stages that were done, with their notes."""
        return dict(self._data.get("stages", {}))

    @property
    def identity(self) -> Identity | None:
        """The identity that the gateway does not have yet."""
        kept = self._data.get(_IDENTITY)
        return None if kept is None else from_dict(kept)

    def begin(self, procedure: str, technician: str, now_s: int) -> None:
        """Begin a procedure; what the one before noted goes, but for what `known` keeps."""
        known = self.known
        self._data = {
            "procedure": procedure,
            "technician": technician,
            "begun_s": now_s,
            "known": known,
        }
        self._save()

    def switch(self, procedure: str) -> None:
        """Go on as another procedure: what was done stays, the end is to come again."""
        self._data["procedure"] = procedure
        self._data["finished"] = False
        self._data["stages"] = {n: note for n, note in self.stages.items() if n != "audit"}
        self._save()

    def take_over(self, technician: str) -> None:
        """Another technician goes on with it."""
        self._data["technician"] = technician
        self._save()

    @property
    def known(self) -> Note:
        """What is known of the meter for good: its id, pairing code, gateway."""
        return dict(self._data.get("known", {}))

    def learn(self, **facts: object) -> None:
        """Keep something of the meter for good."""
        self._data["known"] = {**self.known, **facts}
        self._save()

    def keep_identity(self, identity: Identity) -> None:
        """Keep the secrets until `forget_identity`; before they are on the device."""
        self._data[_IDENTITY] = to_dict(identity)
        self._save()

    def forget_identity(self) -> None:
        """The gateway has the secrets now: take them out of the file."""
        if self._data.pop(_IDENTITY, None) is not None:
            self._save()

    def note(self, stage: str, **facts: object) -> None:
        """Keep something about a stage that is not done yet."""
        notes = self._data.setdefault("notes", {})
        notes[stage] = {**notes.get(stage, {}), **facts}
        self._save()

    def noted(self, stage: str) -> Note:
        """What was kept of a stage that is not done yet."""
        return dict(self._data.get("notes", {}).get(stage, {}))

    def done(self, stage: str, note: Note) -> None:
        """A stage is done."""
        self._data["stages"] = {**self.stages, stage: note}
        self._save()

    def finish(self) -> None:
        """All stages are done."""
        self.forget_identity()
        self._data["finished"] = True
        self._save()

    def _save(self) -> None:
        write_durably(self.path, json.dumps(self._data, indent=1).encode() + b"\n")


def file_of(state: Path, board: str) -> Path:
    """Where the progress of a board lies. Raises BadInput for a name that is no file's."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", board).strip(".-")
    if not name or len(name) > BOARD_CHARS_MAX:
        raise BadInput(f"a board's name has 1 to {BOARD_CHARS_MAX} letters and digits")
    return state / f"{name}.json"


def load(path: Path) -> Progress:
    """The progress in a file; an empty one where there is none. Raises BadInput."""
    if not path.exists():
        return Progress(path, {})
    try:
        data = json.loads(read_input(path, INPUT_BYTES_MAX))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise BadInput(f"{path} is not as we wrote it; move it away and run it again")
    return Progress(path, data)


@contextmanager
def held(state: Path, board: str, technician: str) -> Iterator[Progress]:
    """The progress of a board while nobody else works on it. Raises AnotherTechnician.

    The lock goes with the process, however that ends.
    """
    path = file_of(private_folder(state), board)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 256).decode("utf-8", "replace").strip() or "somebody"
            raise AnotherTechnician(
                f"{holder} works on this meter right now; wait until that has ended"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{technician} (process {os.getpid()})\n".encode(), 0)
        for torn in state.glob(f".{path.name}.*"):  # of a write that a power cut ended
            torn.unlink(missing_ok=True)
        yield load(path)
    finally:
        with contextlib.suppress(OSError):
            os.close(lock)
