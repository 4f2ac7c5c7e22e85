"""Procedures on one meter: pair, repair, move, decommission; each resumable and idempotent."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from host_tools.pairing import audit, stages
from host_tools.pairing import progress as progress_file
from host_tools.pairing.claiming import DECOMMISSION, PAIR, PAIR_OFFLINE, REPAIR_BY_CABLE
from host_tools.pairing.errors import AnotherTechnician
from host_tools.pairing.first_reading import ROTATE_WAIT_S, await_new_key
from host_tools.pairing.progress import Note, Progress
from host_tools.pairing.stages import PROCEDURES, Stage, Step, Tell, carry_out
from host_tools.pairing.work import Job, Tools, Work

MOVE, REPAIR = "move", "repair"
Result = dict[str, Any]
Stop = Callable[[], bool]


def never() -> bool:
    """Nothing stops it."""
    return False


def pair(job: Job, tools: Tools, tell: Tell, stop: Stop = never) -> Result:
    """A flashed board becomes a meter that its gateway hears. Raises StageFailed, Stopped."""
    with Work(PAIR, job, tools) as work:
        _carry_out(work, tell, stop, identity=work.new_identity)
        return _paired(work, "paired")


def pair_offline(job: Job, tools: Tools, tell: Tell, stop: Stop = never) -> Result:
    """The same without a network: the identity is sealed for the gateway, and queued."""
    with Work(PAIR_OFFLINE, job, tools) as work:
        _carry_out(work, tell, stop, identity=work.new_identity)
        return _paired(work, "queued")


def repair_by_cable(job: Job, tools: Tools, tell: Tell, stop: Stop = never) -> Result:
    """New secrets for a meter that lost its own, under its next key epoch.

    The gateway lets a meter back in only as a tombstone with a newer key epoch, so its old key ends
    when the new one is registered; a meter that still talks is better given it by `repair`.
    """
    with Work(REPAIR_BY_CABLE, job, tools) as work:
        _carry_out(work, tell, stop, identity=work.next_identity)
        return _result(work, "repaired")


def move(job: Job, tools: Tools, tell: Tell, stop: Stop = never) -> Result:
    """To another gateway; the old one has its tombstone once the new one has heard the meter."""
    assert job.old_gateway is not None
    with Work(MOVE, job, tools) as work:
        _carry_out(work, tell, stop, identity=work.next_identity)
        return _result(work, "moved")


def decommission(job: Job, tools: Tools, tell: Tell, stop: Stop = never) -> Result:
    """Off the device, proven by reading back; its id is never given again."""
    with Work(DECOMMISSION, job, tools) as work:
        _carry_out(work, tell, stop, identity=work.new_identity)
        return _result(work, "decommissioned")


def repair(
    job: Job,
    tools: Tools,
    tell: Tell,
    stop: Stop = never,
    wait_s: float = ROTATE_WAIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """The next key for a meter that talks, under seal and without a cable.

    The old key stays good until the first frame under the new one was accepted.
    """
    gateway, hex_id = job.gateway, job.meter_id
    assert gateway is not None
    assert hex_id
    with ExitStack() as stack:
        held = progress_file.held(job.state, f"meter-{hex_id}", job.technician)
        kept: list[Progress] = []

        def rotate() -> Note:
            if not kept:
                kept.append(stack.enter_context(held))
                _begin_repair(kept[0], job, tools.now_s())
            note = await_new_key(
                gateway, hex_id, kept[0].noted("rotate").get("command"),
                lambda number: kept[0].note("rotate", command=number), wait_s,
                sleep=tools.sleep, clock=clock,
            )  # fmt: skip
            kept[0].learn(**note)
            return {"meter_id": hex_id, **note}

        def tell_audit() -> Note:
            detail = {"gateway": gateway.url, "key_epoch": kept[0].known["key_epoch"]}
            head = audit.append(
                job.state, job.technician, "meter.repair", hex_id, detail, tools.now_s()
            )
            return {"audit": head.act_id}

        steps = [Step(stages.ROTATE, rotate), Step(stages.AUDIT, tell_audit)]
        carry_out(lambda: kept[0] if kept else None, steps, tell, stop)
        kept[0].finish()
        return {"state": "repaired", "meter_id": hex_id, "key_epoch": kept[0].known["key_epoch"]}


def _begin_repair(kept: Progress, job: Job, now_s: int) -> None:
    if not kept.procedure or kept.finished:
        kept.begin(REPAIR, job.technician, now_s)
        kept.learn(meter_id=job.meter_id)
    elif kept.technician != job.technician and not job.take_over:
        raise AnotherTechnician(
            f"{kept.technician} is repairing meter {job.meter_id}; ask them, or take over with"
            " --take-over"
        )


def _carry_out(work: Work, tell: Tell, stop: Stop, identity: Callable[[], Note]) -> None:
    """The stages of the procedure, each with what does it."""
    doing: dict[Stage, Callable[[], Note]] = {
        stages.PROBE: work.probe,
        stages.CLAIM: work.claim,
        stages.IDENTITY: identity,
        stages.SETTINGS: work.settings,
        stages.REGISTER: work.register,
        stages.QUEUE: work.queue,
        stages.RESTART: work.restart,
        stages.READING: work.reading,
        stages.LABEL: work.label,
        stages.AUDIT: work.audit,
        stages.LAST_READING: work.last_reading,
        stages.TOMBSTONE: work.bury,
        stages.ERASE: work.erase,
    }
    steps = [Step(stage, doing[stage]) for stage in PROCEDURES[work.procedure]]
    carry_out(lambda: work.progress, steps, tell, stop)
    assert work.progress is not None
    work.progress.finish()


def _paired(work: Work, state: str) -> Result:
    label = work.label_of()
    known = {"state": state, "serial": label.serial, "code": label.code}
    return {**known, **_result(work, state)}


def _result(work: Work, state: str) -> Result:
    """What came of it; never a secret."""
    assert work.progress is not None
    known, done = work.progress.known, work.progress.stages
    result: Result = {
        "state": state,
        "port": work.job.port,
        "board": work.facts.board if work.facts else "",
        "board_name": work.facts.board_name if work.facts else "",
        "ppe": known.get("ppe", ""),
        "meter_id": work.hex_id,
        "key_epoch": known.get("key_epoch"),
        "gateway": known.get("gateway", ""),
    }
    for stage in ("label", "queue", "erase", "last_reading", "reading"):
        if stage in done:
            result[stage] = done[stage]
    return result
