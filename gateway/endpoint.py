"""The MQTT 3.1.1 endpoint: meters connect here, and a PUBACK means committed to disk."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Coroutine

import structlog

from gateway import packets, registry
from gateway.connection import STOPPED, STORE_FAILED, TAKEN_OVER, TOO_MANY, Connection
from gateway.errors import ConfigError, PortInUse, StoreError
from gateway.intake import Intake
from gateway.meter import Meter
from gateway.packets import Connect
from wire.errors import UnknownMeter, WrongTopic
from wire.topics import METER_ID_BYTES

CONNECTIONS_MAX = 10_000
SWEEP_S = 1.0
BACKLOG_CONNECTIONS = 1024

BAD_PASSWORD, BAD_CLIENT_ID, NO_CREDENTIALS = "bad_password", "bad_client_id", "no_credentials"

log = structlog.get_logger()


class Endpoint:
    """Listens, lets meters in, and keeps one session for each."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        intake.doors.append(self.close_sessions)
        self.sessions: dict[bytes, Connection] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises PortInUse or ConfigError."""
        try:
            self._server = await self._loop.create_server(
                lambda: Connection(self), host, port, backlog=BACKLOG_CONNECTIONS
            )
        except OSError as error:
            raise _explain_listen(error, host, port) from None
        self.spawn(self._sweep())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        self.close_sessions(STOPPED)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close_sessions(self, why: str) -> None:
        for connection in list(self._connections):
            connection.close(why)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something beside; cancelled when the endpoint stops."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def let_in(self, connection: Connection) -> bool:
        if len(self._connections) >= CONNECTIONS_MAX:
            self.intake.refuse(registry.UNKNOWN_METER, TOO_MANY)
            return False
        self._connections.add(connection)
        return True

    def let_go(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def take_over(self, connection: Connection) -> None:
        """The newest CONNECT of a meter is its session; an older one is closed (3.1.1, 3.1.4-2)."""
        older = self.sessions.get(connection.meter.meter_id)
        if older is not None:
            older.close(TAKEN_OVER)
        self.sessions[connection.meter.meter_id] = connection
        connection.meter.line = connection
        for listener in self.intake.listeners:
            listener.here(connection.meter)
        log.info("meter_here", meter_id=connection.meter.hex_id)

    def leave(self, connection: Connection) -> None:
        if self.sessions.get(connection.meter.meter_id) is connection:
            del self.sessions[connection.meter.meter_id]
            connection.meter.line = None

    async def judge(self, packet: Connect) -> tuple[int, str, Meter | None]:
        """The CONNACK code, why, and the meter when it may come in.

        The user says which meter it is; a client may call itself what it likes.
        """
        if packet.user is None or packet.password is None:
            return self._turn_away(packets.BAD_PASSWORD, NO_CREDENTIALS)
        meter_id = _meter_id(packet.user)
        if meter_id is None:
            return self._turn_away(packets.NOT_AUTHORISED, UnknownMeter.reason)
        try:
            stored = await self.intake.store.run(
                lambda connection: registry.fetch(connection, meter_id)
            )
            if stored is None:
                return self._turn_away(packets.NOT_AUTHORISED, UnknownMeter.reason)
            if not registry.is_password(stored, packet.password):
                return self._turn_away(packets.BAD_PASSWORD, BAD_PASSWORD, meter_id)
            if not packet.client_id and not packet.clean:  # MQTT-3.1.3-8
                return self._turn_away(packets.BAD_CLIENT_ID, BAD_CLIENT_ID, meter_id)
            meter = self.intake.registry.admit(stored)
        except StoreError as error:
            log.error("meter_not_loaded", meter_id=meter_id.hex(), error=str(error))
            return packets.UNAVAILABLE, STORE_FAILED, None
        if packet.will is not None and packet.will.topic != meter.gone_topic:
            return self._turn_away(packets.NOT_AUTHORISED, WrongTopic.reason, meter_id)
        if self.intake.halted:  # looked at last: there was an await above
            return packets.UNAVAILABLE, STORE_FAILED, None
        return packets.ACCEPTED, "", meter

    def _turn_away(
        self, code: int, reason: str, meter_id: bytes = registry.UNKNOWN_METER
    ) -> tuple[int, str, None]:
        self.intake.refuse(meter_id, reason)
        return code, reason, None

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self.now()
            for connection in list(self._connections):
                connection.check_time(now)


def _meter_id(user: str) -> bytes | None:
    try:
        meter_id = bytes.fromhex(user)
    except ValueError:
        return None
    return meter_id if len(meter_id) == METER_ID_BYTES and meter_id.hex() == user else None


def _explain_listen(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"port {port} on {host} is in use; stop the program there, or set [endpoint] port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(f"port {port} on {host} needs more rights; set [endpoint] port >= 1024")
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{host} is not an address of this machine; set [endpoint] host")
    return PortInUse(f"cannot listen on {host} port {port}: {error.strerror}; check [endpoint]")
