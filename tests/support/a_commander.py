"""For tests of commands: a meter at the gateway's door that obeys, or does not, and remembers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway import registry, store
from gateway.config import Config, Downlink, load
from gateway.downlink import commands, rekeying
from tests.support.gateway import NOW_S, Client, FakeMeter, rows
from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Command, Registers, Result

STATUS = messages.Status(NOW_S, "0.1.0", 5, 1000, 3, 0, 1)


def a_config(home: Path, **changes: Any) -> Config:
    """The configuration there, with another [downlink]."""
    return msgspec.structs.replace(load(home), downlink=Downlink(**changes))


class Obeying:
    """A meter that answers each command id once it is known with the same result again."""

    def __init__(self, meter: FakeMeter) -> None:
        self.meter = meter
        self.keys = {0: EpochKey(0, meter.meter_key)}
        self.epoch = 0
        self.counters: dict[int, int] = {}
        self.heard: list[Command] = []
        self.acts: list[Command] = []  # what was carried out: once for each id
        self.epochs_heard: list[int] = []  # of every frame from the gateway
        self.down_used: set[tuple[int, int]] = set()
        self.known: dict[int, Result] = {}
        self.answer: Callable[[Command], Result | None] = lambda command: Result(
            command.command_id, messages.RESULT_DONE, b""
        )
        self.client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._packet_id = 0

    async def join(self, port: int) -> None:
        self.client = await Client.join(port, self.meter)
        self._task = asyncio.create_task(self._listen(self.client))

    async def leave(self) -> None:
        """The line breaks."""
        assert self.client is not None
        assert self._task is not None
        self._task.cancel()
        await self.client.close()

    def say(self, message: Any) -> None:
        """One frame up, under the epoch the meter seals with."""
        assert self.client is not None
        counter = self.counters.get(self.epoch, 0)
        self.counters[self.epoch] = counter + 1
        topic = topics.up(self.meter.meter_id)
        sealed = frame.seal(self.keys[self.epoch], UP, counter, topic, messages.encode(message))
        self._packet_id = self._packet_id % 65_535 + 1
        self.client.publish(self.meter, sealed, self._packet_id)

    async def _listen(self, client: Client) -> None:
        try:
            while True:
                self._take(await client.expect(0x30))
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return

    def _take(self, body: bytes) -> None:
        topic = topics.down(self.meter.meter_id)
        sealed = body[2 + len(topic) :]
        header = frame.peek(sealed)
        message = messages.decode(frame.open(self.keys[header.key_epoch], sealed, topic), DOWN)
        use = (header.key_epoch, header.frame_counter)
        assert use not in self.down_used, "a down counter was used twice"
        self.down_used.add(use)
        self.epochs_heard.append(header.key_epoch)
        if isinstance(message, Command):
            self._obey(message)

    def _obey(self, command: Command) -> None:
        self.heard.append(command)
        if command.command_id not in self.known:
            result = self.answer(command)
            if result is None:
                return
            self.known[command.command_id] = result
            self.acts.append(command)
            if command.code == messages.COMMAND_READ_NOW:
                self.say(Registers(NOW_S, (1, 2), (5, 6)))
        self.say(self.known[command.command_id])


def queue(folder: Path, meter: FakeMeter, code: int, *args: Any, **changes: Any) -> int:
    """As the command line does it: another connection, an audit row."""
    said: dict[str, Any] = {"actor": "anna", "now_s": int(time.time())} | changes
    row_id: int = act(
        folder, lambda connection: commands.queue(connection, meter.meter_id, code, args, **said)
    )
    return row_id


def act(folder: Path, work: Callable[[sqlite3.Connection], Any]) -> Any:
    """One transaction from outside the gateway."""
    connection = store.connect(folder / "gateway.db")
    try:
        return store.transact(connection, work)
    finally:
        connection.close()


def keeper(folder: Path) -> registry.Registry:
    """The keys of a gateway's folder."""
    return registry.Registry(registry.read_master_key(folder / "master.key"))


def states(folder: Path) -> list[str]:
    """Of every command, in the order they were queued."""
    found = act(folder, lambda connection: commands.rows(connection))
    return [row["state"] for row in reversed(found)]


def rotate(folder: Path, meter_id: bytes, **changes: Any) -> int:
    """As `keys rotate` does it."""
    row_id: int = act(
        folder,
        lambda connection: rekeying.queue(
            connection, keeper(folder), meter_id, "anna", int(time.time()), **changes
        ),
    )
    return row_id


def epochs(folder: Path) -> list[int]:
    return [row[0] for row in rows(folder, "SELECT key_epoch FROM meter_key ORDER BY key_epoch")]
