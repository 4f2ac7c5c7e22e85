"""The stages of every procedure, each with its exit code, carried out so that ^C costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from host_tools.line.ports import DeviceError
from host_tools.pairing.errors import PairingError
from host_tools.pairing.progress import Note, Progress

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

Event = dict[str, Any]
Tell = Callable[[Event], None]
FILE_REASON = "file_not_written"


class Stage(NamedTuple):
    """One thing that can fail by itself. `repeats`: it is done in every run, and noted in none."""

    name: str
    exit_code: int
    does: str
    next_step: str
    repeats: bool = False


PROBE = Stage(
    "probe", 10, "names what is on the port",
    "do what the line says: usually flash the board, or free the port", repeats=True,
)  # fmt: skip
CLAIM = Stage(
    "claim", 11, "reads which board it is, and marks it as being worked on",
    "somebody else is at this meter, or it is paired already: the line says who, and what fits",
    repeats=True,
)  # fmt: skip
IDENTITY = Stage(
    "identity", 12, "makes meter id, meter key, password and pairing code",
    "look at the state folder: it must be writable and yours alone",
)  # fmt: skip
SETTINGS = Stage(
    "settings", 13, "writes identity, gateway, CA and Wi-Fi to the device, reads them back",
    "check the cable; if it differs again, the board's flash is worn: take another board",
)  # fmt: skip
REGISTER = Stage(
    "register", 14, "registers the meter at the gateway; then its key is in no file here any more",
    "bring the gateway up, or give the right address or token",
)  # fmt: skip
QUEUE = Stage(
    "queue", 15, "seals the identity for the gateway, into the folder of queued registrations",
    "give the gateway's public key and a folder that can be written",
)  # fmt: skip
RESTART = Stage(
    "restart", 16, "restarts the meter into its firmware and hears it boot",
    "the line has what the meter says; without one press its reset button and run it again",
    repeats=True,
)  # fmt: skip
READING = Stage(
    "reading", 17, "waits for the first reading that authenticates at the gateway",
    "the line says what the gateway saw: Wi-Fi, address, CA, password or key",
)  # fmt: skip
LABEL = Stage(
    "label", 18, "writes the label as SVG and PNG",
    "give a folder that can be written",
)  # fmt: skip
AUDIT = Stage(
    "audit", 19, "adds a line to the audit log",
    "keep the damaged audit log, begin another state folder, ask who changed it",
)  # fmt: skip
ROTATE = Stage(
    "rotate", 20, "gives the meter its next key under seal, waits until it uses it",
    "bring the meter on-line; if it lost its key, repair it by cable",
)  # fmt: skip
LAST_READING = Stage(
    "last_reading", 21, "has the meter send its registers a last time",
    "bring the meter on-line; --without-last-reading if it never will be again",
)  # fmt: skip
TOMBSTONE = Stage(
    "tombstone", 22, "has the gateway destroy the meter's keys; its id is never given again",
    "bring the gateway up, or give the right address or token",
)  # fmt: skip
ERASE = Stage(
    "erase", 23, "erases identity, settings and journal on the device, reads back that they are",
    "run it again; if it still reads back, destroy the board",
)  # fmt: skip

STAGES = (
    PROBE, CLAIM, IDENTITY, SETTINGS, REGISTER, QUEUE, RESTART, READING, LABEL, AUDIT, ROTATE,
    LAST_READING, TOMBSTONE, ERASE,
)  # fmt: skip

# What is done in which order. The diagram in docs/pairing.md is printed from this table.
PROCEDURES: dict[str, tuple[Stage, ...]] = {
    "pair": (PROBE, CLAIM, IDENTITY, SETTINGS, REGISTER, RESTART, READING, LABEL, AUDIT),
    "pair off-line": (PROBE, CLAIM, IDENTITY, SETTINGS, QUEUE, RESTART, LABEL, AUDIT),
    "repair": (ROTATE, AUDIT),
    "repair by cable": (
        PROBE, CLAIM, IDENTITY, SETTINGS, TOMBSTONE, REGISTER, RESTART, READING, AUDIT,
    ),
    "move": (PROBE, CLAIM, IDENTITY, SETTINGS, REGISTER, RESTART, READING, TOMBSTONE, AUDIT),
    "decommission": (PROBE, CLAIM, RESTART, LAST_READING, TOMBSTONE, ERASE, AUDIT),
}  # fmt: skip


class StageFailed(Exception):
    """A stage did not succeed; everything before it stands, and running again goes on from here."""

    def __init__(self, stage: Stage, reason: str, text: str) -> None:
        super().__init__(f"{stage.name}: {reason}: {text}")
        self.stage, self.reason, self.text = stage, reason, text
        self.exit_code = stage.exit_code


class Stopped(Exception):
    """^C, or the end of a batch: running the same command again goes on from here."""

    exit_code = EXIT_INTERRUPTED


class Step(NamedTuple):
    """A stage with what does it; its note goes into the progress and holds no secret."""

    stage: Stage
    do: Callable[[], Note]


def carry_out(
    progress: Callable[[], Progress | None],
    steps: Sequence[Step],
    tell: Tell,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Do the steps that are not done yet, in order. Raises StageFailed, Stopped.

    `progress` gives None until the stage that claims the board has found it.
    """
    for stage, do in steps:
        kept = progress()
        if kept is not None and is_done(stage, kept):
            tell(_said(stage, "done_before"))
            continue
        tell(_said(stage, "begun"))
        began = clock()
        try:
            if stop():
                raise KeyboardInterrupt
            note = do()
            kept = progress()
            if kept is not None and not stage.repeats:
                kept.done(stage.name, note)
        except KeyboardInterrupt:
            tell(_said(stage, "interrupted"))
            raise Stopped(f"stopped in stage {stage.name}; run it again to go on") from None
        except (PairingError, DeviceError) as error:
            tell(_said(stage, "failed", reason=error.reason, detail=str(error)))
            raise StageFailed(stage, error.reason, str(error)) from None
        except OSError as error:
            text = f"{error.filename or 'a file'}: {error.strerror}; make it writable"
            tell(_said(stage, "failed", reason=FILE_REASON, detail=text))
            raise StageFailed(stage, FILE_REASON, text) from None
        tell(_said(stage, "done", took_s=round(clock() - began, 3), **note))


def is_done(stage: Stage, kept: Progress) -> bool:
    """Settings are told anew until the meter was heard: that is how a wrong Wi-Fi is corrected."""
    if stage is SETTINGS and not kept.finished and READING.name not in kept.stages:
        return False
    return not stage.repeats and stage.name in kept.stages


def _said(stage: Stage, state: str, **more: object) -> Event:
    return {"event": "stage", "stage": stage.name, "state": state, **more}
