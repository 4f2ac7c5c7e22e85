"""What each stage does to one board; pair.py puts the stages in order."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from host_tools.pairing import audit, identity, offline, on_device
from host_tools.pairing import label as labels
from host_tools.pairing import progress as progress_file
from host_tools.pairing.claiming import (
    DECOMMISSION,
    REPAIR_BY_CABLE,
    join,
    refuse_bare,
    refuse_others,
)
from host_tools.pairing.errors import NotPaired, NotReady, NotRegistered
from host_tools.pairing.first_reading import READING_WAIT_S, Console, await_reading, refused_of
from host_tools.pairing.gateway_client import ACTIVE, GatewayClient
from host_tools.pairing.identity import Identity, Random
from host_tools.pairing.on_device import DeviceLike, Facts
from host_tools.pairing.progress import Note, Progress
from host_tools.pairing.registering import bury_once, check_same, register_once
from host_tools.pairing.setup import Setup

_OF_BOARD = ("board", "board_name", "application", "machine", "release")
READY = ("friendly_repl", "raw_repl", "our_firmware")  # states of a port that can be paired


class ProbedLike(Protocol):
    """What host_tools.line.probe.probe gives."""

    @property
    def state(self) -> str: ...
    @property
    def evidence(self) -> str: ...
    @property
    def next_step(self) -> str: ...


@dataclass(frozen=True)
class Tools:
    """The world, so that tests can hand in theirs."""

    probe: Callable[[str], ProbedLike]
    open: Callable[[str], AbstractContextManager[DeviceLike]]
    now_s: Callable[[], int] = lambda: int(time.time())
    sleep: Callable[[float], None] = time.sleep
    random: Random = secrets.token_bytes


@dataclass(frozen=True)
class Job:
    """What is to be done to which board, by whom."""

    port: str
    technician: str
    state: Path  # the folder of progress and audit log
    labels: Path
    setup: Setup | None = None  # not needed to decommission
    gateway: GatewayClient | None = None
    old_gateway: GatewayClient | None = None  # of a move
    public_key: bytes | None = None  # off-line: whom the identity is sealed for
    queue: Path | None = None
    title: str = "OpenLicznik"
    ppe: str = ""  # the metering point it is meant for: into the audit log
    meter_id: str = ""  # the meter that must be on the board; empty: whichever
    take_over: bool = False
    new_identity: bool = False
    without_last_reading: bool = False
    reading_wait_s: float = READING_WAIT_S


@dataclass
class Work:
    """One run on one board. Close it: it holds the port, opened once, and the board's lock."""

    procedure: str
    job: Job
    tools: Tools
    facts: Facts | None = None
    progress: Progress | None = None
    _console: Console = field(default_factory=lambda: Console(None))
    _refused: dict[str, int] = field(default_factory=dict)  # by the gateway, before it restarted
    _held: ExitStack = field(default_factory=ExitStack)
    _line: DeviceLike | None = None

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    # -------------------------------------------------------------- which board

    def probe(self) -> Note:
        """Name what is on the port."""
        probed = self.tools.probe(self.job.port)
        if probed.state not in READY:
            raise NotReady(
                f"{self.job.port} is {probed.state} ({probed.evidence}); {probed.next_step}"
            )
        return {"port": self.job.port, "found": probed.state}

    def claim(self) -> Note:
        """Read which board it is, find or begin its progress, mark it."""
        job = self.job
        device = self._device
        facts = self.facts = on_device.facts_of(device)
        board = facts.board or "port-" + job.port.strip("/").replace("/", "-")
        refuse_bare(self.procedure, facts)
        refuse_others(facts.marker, job.technician, take_over=job.take_over)
        progress = self._held.enter_context(progress_file.held(job.state, board, job.technician))
        note = join(progress, self.procedure, facts, job, self.tools.now_s())
        self.progress = progress
        on_device.mark(device, job.technician, progress.begun_s)
        progress.learn(**({"ppe": job.ppe} if job.ppe else {}))
        told = {name: getattr(facts, name) for name in _OF_BOARD}
        return {**told, "board": board, **note}

    # -------------------------------------------------------------- its identity

    def new_identity(self) -> Note:
        """A new meter."""
        made = self._kept.identity or identity.fresh(random=self.tools.random)
        return self._keep(made, code=labels.new_code(self.tools.random))

    def next_identity(self) -> Note:
        """New secrets for the same meter, under a key epoch that no gateway has seen of it."""
        kept, facts = self._kept, self._facts
        epochs = [facts.key_epoch]
        for gateway in (self.job.gateway, self.job.old_gateway):
            if gateway is not None and gateway.show(self.hex_id) is not None:
                epochs.append(gateway.highest_epoch(self.hex_id))
        if len(epochs) == 1:
            raise NotRegistered(
                f"no gateway named here knows meter {self.hex_id}; pair it with --new-identity"
            )
        made = kept.identity or identity.fresh(
            bytes.fromhex(self.hex_id), max(epochs) + 1, self.tools.random
        )
        return self._keep(made)

    def settings(self) -> Note:
        """Identity, gateway, CA and Wi-Fi onto the device, read back.

        An identity that is no more in the file is on the device, and at the gateway or sealed.
        """
        made, setup = self._kept.identity, self.job.setup
        assert setup is not None
        told = {**setup.told(), "paired_s": self.tools.now_s()}
        if made is not None:
            on_device.write_identity(self._device, made)
        on_device.write_settings(self._device, told, setup.wifi_password(), setup.ca())
        return {"gateway": f"{setup.gateway.host}:{setup.gateway.port}", "tls": setup.gateway.tls}

    # -------------------------------------------------------------- the gateway

    def register(self) -> Note:
        """At the gateway; from then on its secrets are in no file here."""
        kept, gateway = self._kept, self._gateway
        made = kept.identity
        if made is not None:
            register_once(gateway, made, again=self.procedure != "pair")
            kept.forget_identity()
        else:
            known = gateway.show(self.hex_id)
            if known is None:
                raise NotRegistered(
                    f"the gateway does not know meter {self.hex_id} yet: take the queue to it, run"
                    " `offline sync` there, then run this again"
                )
            check_same(known, self.hex_id, int(kept.known["key_epoch"]))
        kept.learn(gateway=gateway.url)
        return {"gateway": gateway.url, "meter_id": self.hex_id}

    def queue(self) -> Note:
        """Sealed for the gateway, into the folder."""
        kept, job = self._kept, self.job
        made = kept.identity
        assert made is not None
        assert job.public_key is not None
        assert job.queue is not None
        data = offline.seal(made, job.public_key, job.technician, self.tools.now_s())
        path = offline.queue(job.queue, data, made.hex_id, made.key_epoch)
        kept.forget_identity()
        return {"queued": str(path), "meter_id": self.hex_id}

    def bury(self) -> Note:
        """A tombstone at the gateway that the meter leaves."""
        gateway = self.job.old_gateway or self._gateway
        return {"tombstone": gateway.url, "new": bury_once(gateway, self.hex_id)}

    # -------------------------------------------------------------- the meter runs

    def restart(self) -> Note:
        """Into its firmware; from now on its console is heard."""
        device, gateway = self._device, self.job.gateway
        self._refused = {} if gateway is None else refused_of(gateway, self.hex_id)
        on_device.unmark(device)
        device.restart()
        self._console = Console(device, self.tools.sleep)
        boot = self._console.hear_boot()
        return {"boot": boot or "not heard"}

    def reading(self) -> Note:
        """The first reading that authenticates."""
        kept = self._kept
        note = await_reading(
            self._gateway, self.hex_id, self._console, self._refused,
            kept.noted("reading").get("command"),
            lambda number: kept.note("reading", command=number), self.job.reading_wait_s,
            first=self.procedure not in (REPAIR_BY_CABLE, DECOMMISSION),
        )  # fmt: skip
        return {"meter_id": self.hex_id, **note}

    def last_reading(self) -> Note:
        """The registers once more, before it goes."""
        if self.job.without_last_reading:
            return {"skipped": True}
        known = self._gateway.show(self.hex_id)
        state = "unknown" if known is None else known["state"]
        return self.reading() if state == ACTIVE else {"skipped": True, "gateway_state": state}

    # -------------------------------------------------------------- the end

    def label(self) -> Note:
        """SVG and PNG, never with a key."""
        paths = labels.write(self.label_of(), self.job.labels)
        return {"label": [str(path) for path in paths]}

    def erase(self) -> Note:
        """Everything of the meter off the device, read back."""
        blocks = on_device.erase(self._device)
        self._device.restart()
        return {"erased_blocks": blocks, "read_back": "all 0xFF"}

    def audit(self) -> Note:
        """Who did what to which meter."""
        kept, job = self._kept, self.job
        action = "meter." + self.procedure.replace(" ", "_").replace("-", "")
        known = {name: kept.known.get(name) for name in ("gateway", "key_epoch", "ppe")}
        told = ("reading", "last_reading", "erase")
        stages = {name: note for name, note in kept.stages.items() if name in told}
        board = {name: getattr(self._facts, name) for name in _OF_BOARD}
        detail = {**board, **known, **stages}
        head = audit.append(
            job.state, job.technician, action, self.hex_id, detail, self.tools.now_s()
        )
        return {"audit": head.act_id}

    # -------------------------------------------------------------- what is known

    @property
    def hex_id(self) -> str:
        """The meter on the board."""
        return str(self._kept.known["meter_id"])

    def label_of(self) -> labels.Label:
        """Its label."""
        known = self._kept.known
        if "code" not in known:
            raise NotPaired("this state folder has no pairing code of the meter: pair it anew")
        return labels.Label(bytes.fromhex(self.hex_id), str(known["code"]), self.job.title)

    def _keep(self, made: Identity, **facts: object) -> Note:
        """Durable before it is on the device, so that an end in between loses nothing."""
        kept = self._kept
        kept.keep_identity(made)
        kept.learn(meter_id=made.hex_id, key_epoch=made.key_epoch, **facts)
        return {"meter_id": made.hex_id, "key_epoch": made.key_epoch}

    @property
    def _device(self) -> DeviceLike:
        if self._line is None:
            self._line = self._held.enter_context(self.tools.open(self.job.port))
        return self._line

    @property
    def _kept(self) -> Progress:
        assert self.progress is not None, "the board is claimed first"
        return self.progress

    @property
    def _facts(self) -> Facts:
        assert self.facts is not None, "the board is claimed first"
        return self.facts

    @property
    def _gateway(self) -> GatewayClient:
        assert self.job.gateway is not None, "the command line makes sure of it"
        return self.job.gateway
