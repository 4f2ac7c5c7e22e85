"""What to send a meter next on the way of an update, read from its last answer; pure.

The answers are those of firmware/update.py. A meter names what it wants, so that any break is
resumed; only a bundle's last chunk restarts it by itself, a whole bundle found otherwise needs
command 9. Nothing goes on for ever: a hash refused twice, a flash that failed twice, a trial that
does not end, or many more pieces than the bundle has fail the meter, with the reason kept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED

PIECE_BYTES_MAX = 800  # of a manifest's part, and of a chunk: firmware.update
HASHES_MAX = 2  # refusals of a file's hash by one meter: at this many it fails
FLASHES_MAX = 2  # failures of its flash
TRIALS_MAX = 10  # times that it is still on trial of another update
WAIT_S = 60  # before a piece goes again to a meter on trial, or whose flash failed
TIMES_MAX = 4  # pieces sent, in multiples of what the bundle needs
PIECES_MORE = 16  # ... and for small bundles so many more

PART, FILE, RESTART = "part", "file", "restart"
FIRST = "part 0"

_WORDS = re.compile(rb"(part|file|gap|order|hash) (\d{1,9})(?: (\d{1,9}))?\Z")
_FINAL = (b"malformed", b"too_large", b"path")  # refusals that sending again does not change


class Outline(NamedTuple):
    """The shape of a bundle."""

    update_id: int
    parts: int  # of its manifest
    sizes: tuple[int, ...]  # bytes of each file, in the manifest's order

    @property
    def pieces(self) -> int:
        """How many commands carry it when nothing goes wrong."""
        return self.parts + sum(-(-size // PIECE_BYTES_MAX) for size in self.sizes)

    @property
    def pieces_max(self) -> int:
        """How many a meter is sent before it counts as failed."""
        return TIMES_MAX * self.pieces + PIECES_MORE


class Way(NamedTuple):
    """How far a meter is: what is wanted next, and what went wrong so far."""

    wanted: str = FIRST
    pieces: int = 0  # sent
    hashes: int = 0
    flashes: int = 0
    trials: int = 0


class Send(NamedTuple):
    """The piece that `way.wanted` names goes next, not before so many seconds have passed."""

    way: Way
    after_s: int = 0


class Restarting(NamedTuple):
    """The meter has it all and restarts."""


class Failed(NamedTuple):
    """The meter does not take it, for this reason."""

    reason: str


Step = Send | Restarting | Failed


def next_step(outline: Outline, way: Way, code: int, detail: bytes) -> Step:
    """What follows from a meter's result to the piece `way.wanted`."""
    if way.wanted == RESTART:
        return Restarting() if code == RESULT_DONE else Failed("restart")
    if code == RESULT_DONE:
        step = _done(outline, way, detail)
    elif code == RESULT_REFUSED:
        step = _refused(outline, way, detail)
    elif code == RESULT_FAILED:
        step = _flash(way)
    else:
        step = Failed("unsupported")
    if isinstance(step, Send) and way.pieces >= outline.pieces_max:
        return Failed("no_progress")
    return step


def wanted_of(text: str) -> tuple[str, int, int]:
    """Kind, index and offset of a piece named by `wanted`, such as `file 3 1600`."""
    kind, *numbers = text.split(" ")
    index, offset = [*map(int, numbers), 0, 0][:2]
    return kind, index, offset


def _done(outline: Outline, way: Way, detail: bytes) -> Step:
    if detail == b"restart":
        # firmware/commands.py: only a chunk's answer is followed by a restart.
        chunk = way.wanted.startswith(FILE)
        return Restarting() if chunk else Send(way._replace(wanted=RESTART))
    words = _WORDS.match(detail)
    if words is None or words[1] not in (b"part", b"file"):
        return Failed("answer")
    return _send(outline, way, words[1] == b"part", int(words[2]), words[3])


def _refused(outline: Outline, way: Way, detail: bytes) -> Step:
    if detail in _FINAL:
        return Failed(detail.decode())
    if detail == b"unknown":  # it holds no manifest of this update
        return Send(way._replace(wanted=FIRST))
    if detail == b"on_trial":
        trials = way.trials + 1
        if trials >= TRIALS_MAX:
            return Failed("on_trial")
        return Send(way._replace(trials=trials), WAIT_S)
    words = _WORDS.match(detail)
    if words is None or words[1] in (b"part", b"file"):
        return Failed("answer")
    if words[1] == b"hash":
        hashes, file = way.hashes + 1, int(words[2])
        if hashes >= HASHES_MAX:
            return Failed(f"hash {file}")
        return _send(outline, way._replace(hashes=hashes), False, file, b"0")
    return _send(outline, way, words[1] == b"order", int(words[2]), words[3])


def _send(outline: Outline, way: Way, part: bool, index: int, offset: bytes | None) -> Step:
    """The piece that the meter named, if the bundle has it."""
    if part:
        good = index < outline.parts and offset is None
        return Send(way._replace(wanted=f"{PART} {index}")) if good else Failed("answer")
    if offset is None or index >= len(outline.sizes) or int(offset) > outline.sizes[index]:
        return Failed("answer")
    if int(offset) == outline.sizes[index]:  # a whole file: any part asks what is wanted else
        return Send(way._replace(wanted=FIRST))
    return Send(way._replace(wanted=f"{FILE} {index} {int(offset)}"))


def _flash(way: Way) -> Step:
    flashes = way.flashes + 1
    if flashes >= FLASHES_MAX:
        return Failed("flash")
    return Send(way._replace(wanted=FIRST, flashes=flashes), WAIT_S)
