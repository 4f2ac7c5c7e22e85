"""May this technician do this to this board now? Decided from what the board and the file say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from host_tools.pairing.errors import AlreadyPaired, AnotherTechnician, NotPaired, NotReady
from host_tools.pairing.on_device import Facts
from host_tools.pairing.progress import Note, Progress

PAIR, PAIR_OFFLINE = "pair", "pair off-line"
REPAIR_BY_CABLE, DECOMMISSION = "repair by cable", "decommission"
_SAME = frozenset({PAIR, PAIR_OFFLINE})  # one goes on where the other stopped


class JobLike(Protocol):
    """What of a job decides."""

    @property
    def technician(self) -> str: ...
    @property
    def meter_id(self) -> str: ...
    @property
    def take_over(self) -> bool: ...
    @property
    def new_identity(self) -> bool: ...


def refuse_others(marker: dict[str, Any], technician: str, *, take_over: bool) -> None:
    """The word left on the device. Raises AnotherTechnician."""
    other = str(marker.get("technician", ""))[:64]
    if other and other != technician and not take_over:
        raise AnotherTechnician(
            f"{other} has been at this meter since {_when(marker.get('begun_s'))} and has not"
            " finished; ask them, or take over with --take-over"
        )


def refuse_bare(procedure: str, facts: Facts) -> None:
    """A board without an application can only be erased. Raises NotReady."""
    if procedure != DECOMMISSION and not (facts.board_name and facts.application):
        raise NotReady("there is MicroPython on the board and no meter's application; flash it")


def join(progress: Progress, procedure: str, facts: Facts, job: JobLike, now_s: int) -> Note:
    """Begin a procedure, or go on with it. Raises AnotherTechnician, AlreadyPaired, NotPaired."""
    under_way = bool(progress.procedure) and not progress.finished
    if under_way and progress.technician != job.technician:
        refuse_others(
            {"technician": progress.technician, "begun_s": progress.begun_s},
            job.technician, take_over=job.take_over,
        )  # fmt: skip
        progress.take_over(job.technician)
    if procedure in _SAME:
        return _join_pairing(progress, procedure, facts, job, now_s, under_way=under_way)
    return _join_later(progress, procedure, facts, job, now_s, under_way=under_way)


def _join_pairing(
    progress: Progress, procedure: str, facts: Facts, job: JobLike, now_s: int, *, under_way: bool
) -> Note:
    known = str(progress.known.get("meter_id", ""))
    if under_way and progress.procedure not in _SAME:
        raise AlreadyPaired(_unfinished(progress))
    if under_way:
        if progress.procedure != procedure:
            progress.switch(procedure)
        return {"goes_on": True}
    if facts.meter_id and facts.meter_id == known and not job.new_identity:
        if progress.procedure in _SAME and progress.procedure != procedure:
            progress.switch(procedure)
        elif progress.procedure != procedure:
            raise AlreadyPaired(f"the board is meter {known}: repair, move or decommission it")
        return {"paired_before": True}
    if facts.meter_id and not job.new_identity:
        raise AlreadyPaired(
            f"the board is meter {facts.meter_id}, paired elsewhere: repair it by cable, move or"
            " decommission it, or pair it as a new meter with --new-identity"
        )
    left = facts.meter_id or (known if progress.procedure != DECOMMISSION else "")
    progress.begin(procedure, job.technician, now_s)
    return {"left_behind": left} if left else {}


def _join_later(
    progress: Progress, procedure: str, facts: Facts, job: JobLike, now_s: int, *, under_way: bool
) -> Note:
    known = str(progress.known.get("meter_id", ""))
    if under_way and progress.procedure != procedure:
        raise AlreadyPaired(_unfinished(progress))
    if not facts.meter_id and not (under_way and procedure == DECOMMISSION):
        raise NotPaired("there is no meter on this board: pair it first")
    on_board = facts.meter_id or known
    if job.meter_id and job.meter_id != on_board:
        raise NotPaired(f"the board is meter {on_board}, not {job.meter_id}; is it the right port?")
    if procedure == REPAIR_BY_CABLE and facts.emptied:
        raise NotPaired(
            f"the flash of meter {on_board} was emptied, so its interval numbers begin anew: give"
            " it a new id with pair --new-identity, and decommission the old one at the gateway"
        )
    if under_way:
        return {"goes_on": True, "meter_id": on_board}
    progress.begin(procedure, job.technician, now_s)
    progress.learn(meter_id=on_board, key_epoch=facts.key_epoch)
    return {"meter_id": on_board}


def _unfinished(progress: Progress) -> str:
    return (
        f"{progress.procedure} of this board has been under way since {_when(progress.begun_s)};"
        " run that to its end first"
    )


def _when(second: object) -> str:
    if not isinstance(second, int) or not 0 < second < 1 << 36:
        return "an unknown time"
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M UTC")
