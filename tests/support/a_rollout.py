"""For roll-outs: meters that run the real firmware/update.py, and a gateway's database."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware.update import Update
from gateway import store
from gateway.downlink import commands
from gateway.listener import Said
from gateway.meter import Meter, Progress
from gateway.rollout import rollout_answers, rollout_book, rollout_choice, rollout_steps
from gateway.rollout import updates as gateway_updates
from gateway.rollout.rollout_book import Plan
from host_tools import bundle as host_bundle
from host_tools.bundle import Bundle, BundleFile
from wire import cbor, messages
from wire.messages import Event, Result, Status

OLD, NEW = "0.2.0", "0.3.0"
NOW_S = 1_760_000_000
TRIES = 3


def a_bundle(version: str = NEW, sizes: Sequence[int] = (1700, 300)) -> Bundle:
    """A small application; its content follows from version and sizes."""
    files = [
        BundleFile(f"firmware/part{number}.mpy", _filler(f"{version} {number}", size))
        for number, size in enumerate(sizes)
    ]
    return Bundle(version, files)


def a_folder(folder: Path, bundle: Bundle) -> Path:
    """The bundle as host_tools.bundle writes it."""
    host_bundle.write_slot(bundle, folder)
    (folder / "manifest.json").write_text(json.dumps(host_bundle.manifest_json(bundle)))
    return folder


def _filler(seed: str, size: int) -> bytes:
    out = b""
    while len(out) < size:
        out += hashlib.sha256(f"{seed} {len(out)}".encode()).digest()
    return out[:size]


class MemorySlots:
    """The other slot of a meter, and the loader's record, in memory (firmware.update.Slots)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.armed = self.on_trial = self.fell_back = False
        self.version = b""
        self.broken = 0  # so many further writes fail as a worn flash does
        self.bent = 0  # so many further chunks are stored wrongly

    def state(self) -> tuple[bool, bool, bool]:
        return self.on_trial, self.armed, self.fell_back

    def size(self, path: str) -> int:
        return len(self.files.get(path, b""))

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self.files[path][offset : offset + length]

    def write(self, path: str, offset: int, data: bytes) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError(5)
        if self.bent and data and path != "MANIFEST":
            self.bent -= 1
            data = bytes(len(data))
        self.files[path] = (self.files.get(path, b"") if offset else b"") + data

    def digest(self, path: str, length: int) -> bytes:
        return hashlib.sha256(self.files[path][:length]).digest()

    def erase(self) -> None:
        self.armed = False
        self.files.clear()

    def arm(self, version: bytes) -> None:
        self.armed, self.version = True, version

    def confirm(self) -> None:
        self.on_trial = self.fell_back = False


@dataclass
class ModelMeter:
    """A meter's side of an update: answers commands, restarts, tells of its trial."""

    meter_id: bytes
    version: str = OLD
    good: bool = True  # whether a new application runs here
    mute: bool = False  # answers nothing
    confirms: bool = True  # False: nothing is heard of it after its restart
    here: bool = True
    slots: MemorySlots = field(default_factory=MemorySlots)
    events: int = 0
    seen: list[str] = field(default_factory=list)  # answers, in order
    restarts: int = 0

    def __post_init__(self) -> None:
        self.update = Update(self.slots)

    def obey(self, command: messages.Command) -> tuple[Result, bool]:
        """Its result, and whether it restarts once that is receipted (firmware/commands.py)."""
        if command.code == messages.COMMAND_RESTART:
            return Result(command.command_id, messages.RESULT_DONE, b""), True
        is_chunk = command.code == messages.COMMAND_UPDATE_CHUNK
        take = self.update.chunk if is_chunk else self.update.manifest
        code, detail = take(command.args)
        self.seen.append(detail.decode())
        return Result(command.command_id, code, detail), is_chunk and detail == b"restart"

    def restart(self) -> list[Any]:
        """What it says after it, a receipt of its greeting included."""
        self.restarts += 1
        slots = self.slots
        said: list[Any] = []
        if not slots.armed:
            said = [self.greeting()]
        elif self.good:
            old, self.version = self.version, slots.version.decode()
            slots.files, slots.armed, slots.on_trial = {"old": old.encode()}, False, True
            if self.confirms:
                said = [self.greeting(), self.event(1), self.event(2)]
                slots.confirm()
        else:
            slots.armed, slots.fell_back = False, True
            said = [self.greeting(), self.event(3)]
        self.update = Update(slots)
        return said

    def greeting(self) -> Status:
        return Status(NOW_S, self.version, 1, 90_000, 0, -60, self.restarts)

    def event(self, value: int) -> Event:
        self.events += 1
        return Event(NOW_S, messages.EVENT_UPDATE, (value,), self.events)


class Fleet:
    """Model meters and a gateway's database, with a clock that stands until it is moved."""

    def __init__(self, folder: Path, meters: int, bundle: Bundle | None = None) -> None:
        self.connection = store.connect(folder / "gateway.db")
        self.connection.execute("PRAGMA synchronous = OFF")  # no test here cuts the power
        self.now_s = NOW_S
        self.meters: dict[bytes, ModelMeter] = {}
        self.after: dict[int, bytes] = {}
        self.stopped: list[tuple[int, str]] = []
        self.most_at_once = 0
        self.bundle = bundle or a_bundle()
        for number in range(meters):
            meter_id = hashlib.sha256(b"model %d" % number).digest()[:8]
            self.meters[meter_id] = ModelMeter(meter_id)
            self.connection.execute(
                "INSERT INTO meter (meter_id, password_hash, added_s) VALUES (?, ?, ?)",
                (meter_id, bytes(32), NOW_S),
            )
        self.add(self.bundle)

    def add(self, bundle: Bundle) -> None:
        """Store a bundle, as if read from its folder."""
        json_bytes = json.dumps(host_bundle.manifest_json(bundle)).encode()
        manifest = gateway_updates.parse(json_bytes, "manifest.json")
        checked = gateway_updates.Bundle(
            manifest, host_bundle.manifest_parts(bundle), [file.content for file in bundle.files]
        )
        self.do(lambda connection: gateway_updates.add(connection, checked, "anna", self.now_s))

    def do(self, work: Any) -> Any:
        return store.transact(self.connection, work)

    def say(self, meter: ModelMeter, *said: Any) -> rollout_answers.Heard:
        """These messages become durable in one transaction."""
        of = Meter(meter.meter_id, Progress())

        def write(connection: sqlite3.Connection) -> rollout_answers.Heard:
            for message in said:
                if isinstance(message, Result):
                    commands.note_result(connection, meter.meter_id, message, self.now_s)
            heard = [Said(of, 0, 0, self.now_s, message) for message in said]
            return rollout_answers.hear(connection, heard, self.now_s)

        heard: rollout_answers.Heard = self.do(write)
        return heard

    def greet(self) -> None:
        for meter in self.meters.values():
            self.say(meter, meter.greeting())

    def start(self, update_id: int | None = None, meters: Sequence[bytes] | None = None,
              **plan: Any) -> int:  # fmt: skip
        update_id = self.bundle.update_id if update_id is None else update_id
        choice = rollout_choice.Choice(list(meters) if meters is not None else None)
        chosen = rollout_choice.choose(self.connection, update_id, choice)
        return rollout_book.start_in_pieces(
            self.do, update_id, chosen, Plan(**plan), "anna", self.now_s
        )

    def look(self) -> None:
        """What gateway.rollout.Rollout does every few seconds."""
        waiting = self.do(lambda connection: rollout_steps.candidates(connection, self.after))
        here: dict[int, list[bytes]] = {}
        for rollout_id, meter_id in waiting:
            if self.meters[meter_id].here:
                here.setdefault(rollout_id, []).append(meter_id)
        step = self.do(lambda connection: rollout_steps.look(connection, here, [], self.now_s))
        self.stopped += step.stopped
        self.most_at_once = max(self.most_at_once, len(self.open_commands()))

    def open_commands(self) -> list[tuple[Any, ...]]:
        """(row, meter id, command id, code, args) of each command without a result."""
        return self.connection.execute(
            "SELECT id, meter_id, command_id, code, args FROM command"
            " WHERE state IN ('queued', 'sent') AND not_before_s <= ? ORDER BY id",
            (self.now_s,),
        ).fetchall()

    def carry(self) -> int:
        """Carry each open command to its meter, and its answer back; how many were answered."""
        answered = 0
        for row_id, meter_id, command_id, code, args in self.open_commands():
            meter = self.meters[meter_id]
            if not meter.here:
                continue
            self.do(lambda connection, row=row_id: commands.note_sent(connection, row, self.now_s))
            if meter.mute:
                continue
            command = messages.Command(command_id, code, tuple(cbor.decode(args)))
            result, restarts = meter.obey(command)
            self.say(meter, result)
            answered += 1
            if restarts:
                self.say(meter, *meter.restart())
        return answered

    def settle(self, rounds_max: int = 400) -> None:
        """Look and carry until nothing moves at this time."""
        idle = 0
        for _ in range(rounds_max):
            self.look()
            idle = 0 if self.carry() else idle + 1
            if idle == 2:  # the look in between may have begun a wave
                return
        raise AssertionError("it moves for ever")

    def pass_s(self, seconds: int) -> None:
        self.now_s += seconds
        self.do(lambda connection: commands.expire(connection, self.now_s, 10_000))

    def states(self, rollout_id: int) -> dict[str, int]:
        (row,) = rollout_book.rows(self.connection, rollout_id)
        counts: Counter[str] = Counter()
        for wave in row["waves"]:
            counts.update(wave["states"])
        return dict(counts)

    def of(self, rollout_id: int) -> rollout_book.Ongoing:
        found = rollout_book.ongoing(self.connection, rollout_id)
        assert found is not None
        return found

    def reasons(self, rollout_id: int) -> set[str]:
        return {
            row[0]
            for row in self.connection.execute(
                "SELECT reason FROM rollout_meter WHERE rollout_id = ? AND state IN"
                " ('failed', 'absent')",
                (rollout_id,),
            )
        }

    def with_new(self) -> int:
        """How many meters run the new version."""
        return sum(meter.version == self.bundle.version for meter in self.meters.values())
