"""The MQTT 3.1.1 endpoint: meters connect here, and a PUBACK means committed to disk."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
from collections.abc import Callable, Coroutine

import structlog

from gateway import config, lifecycle, registry
from gateway.audit import Act
from gateway.doors import limits, tls
from gateway.doors.connection import STOPPED, STORE_FAILED, TAKEN_OVER, Connection
from gateway.doors.door import Door, slim_tls
from gateway.doors.limits import Doorman
from gateway.errors import ConfigError, PortInUse, StoreError
from gateway.intake import Intake
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.mqtt import packets
from gateway.mqtt.packets import Connect
from gateway.shards import shards
from wire.errors import UnknownMeter, WrongTopic
from wire.topics import METER_ID_BYTES

SWEEP_S = 1.0
CERTIFICATE_LOOK_S = 5  # between looks whether the files of the certificate changed
DAY_S = 86_400
BACKLOG_CONNECTIONS = 1024
ALL_SHARDS = shards.parse("00-ff")
LOOPBACK = ("127.0.0.1", "::1", "localhost")

BAD_PASSWORD, BAD_CLIENT_ID, NO_CREDENTIALS = "bad_password", "bad_client_id", "no_credentials"
WRONG_SHARD, WRONG_CERTIFICATE = "wrong_shard", tls.CLIENT_UNKNOWN

log = structlog.get_logger()


class Endpoint(Listener):
    """Listens, lets meters in, and keeps one session for each."""

    def __init__(
        self,
        intake: Intake,
        doorman: Doorman | None = None,
        certificates: tls.Certificates | None = None,
        ours: frozenset[str] = ALL_SHARDS,
        clock_s: Callable[[], int] = lambda: 0,
    ) -> None:
        self.intake = intake
        intake.doors.append(self.close_sessions)
        self.doorman = doorman or Doorman(config.Limits())
        self.sessions: dict[bytes, Connection] = {}
        self._certificates, self._ours, self._clock_s = certificates, ours, clock_s
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises PortInUse or ConfigError."""
        if self._has_tls():
            slim_tls()
        try:
            self._server = await self._loop.create_server(
                self._open_door, host, port, backlog=BACKLOG_CONNECTIONS
            )
        except OSError as error:
            raise _explain_listen(error, host, port) from None
        if host not in LOOPBACK and not self._has_tls():
            log.warning(
                "endpoint_in_clear", host=host, next="passwords can be overheard; set"
                " certificate_file and key_file, `python -m gateway certs` makes them",
            )  # fmt: skip
        self.spawn(self._sweep())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _open_door(self) -> asyncio.BaseProtocol:
        context = self._certificates.context if self._certificates is not None else None
        return Connection(self) if context is None else Door(self, context)

    def _has_tls(self) -> bool:
        return self._certificates is not None and self._certificates.context is not None

    def reload(self) -> None:
        """Read the certificate again (SIGHUP); sessions go on under the old one."""
        if self._certificates is not None:
            self._certificates.refresh(self._clock_s(), always=True)

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

    # -- who is here

    def arrive(self, address: str) -> bool:
        """Count a connection from there; False when there are too many."""
        reason = self.doorman.arrive(address)
        if reason is not None:
            self.intake.refuse(registry.UNKNOWN_METER, reason)
        return reason is None

    def depart(self, address: str) -> None:
        """A counted connection ended before it was a session's."""
        self.doorman.leave(address)

    def no_handshake(self, address: str, error: BaseException | None) -> None:
        """TLS was not agreed: say why, so that a technician sees which side to look at."""
        reason = tls.why_failed(error)
        self.intake.refuse(registry.UNKNOWN_METER, reason)
        log.debug("no_handshake", address=address, reason=reason, error=str(error))

    def let_in(self, connection: Connection) -> bool:
        if not connection.arrived and not self.arrive(connection.address):
            return False
        self._connections.add(connection)
        return True

    def let_go(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self.doorman.leave(connection.address)

    def acted(self, act: Act) -> None:
        """A meter that was revoked or decommissioned is shown out, and its keys are forgotten."""
        meter_id = _meter_id(act.subject)
        if meter_id is None or act.action not in (lifecycle.REVOKE, lifecycle.DECOMMISSION):
            return
        self.intake.registry.forget_keys(meter_id)
        session = self.sessions.get(meter_id)
        if session is not None:
            log.warning("meter_shown_out", meter_id=act.subject, why=act.action, by=act.actor)
            session.close(STOPPED)  # our doing: no last will, no outage

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

    def leave(self, connection: Connection) -> bool:
        """A session ended. Says whether its meter is out of reach now: it may have another way."""
        meter = connection.meter
        if self.sessions.get(meter.meter_id) is connection:
            del self.sessions[meter.meter_id]
        if meter.line is not connection:
            return False
        meter.line = None
        return True

    # -- who may come in

    async def judge(self, packet: Connect, who: Connection) -> tuple[int, str, Meter | None]:
        """The CONNACK code, why, and the meter when it may come in.

        The user says which meter it is; a client may call itself what it likes.
        """
        if packet.user is None or packet.password is None:
            return self._turn_away(packets.BAD_PASSWORD, NO_CREDENTIALS)
        meter_id = _meter_id(packet.user)
        if meter_id is None:
            return self._turn_away(packets.NOT_AUTHORISED, UnknownMeter.reason)
        if not shards.is_ours(self._ours, meter_id):
            return self._turn_away(packets.NOT_AUTHORISED, WRONG_SHARD)
        try:
            stored = await self.intake.store.run(
                lambda connection: registry.fetch(connection, meter_id)
            )
            known = stored or registry.NOBODY  # so that an unknown meter takes as long
            if not registry.is_password(known, packet.password) or stored is None:
                return await self._wrong_password(who, meter_id, stored)
            refused = self._look_at(packet, who, stored)
            if refused is not None:
                return refused
            meter = self.intake.registry.admit(stored)
        except StoreError as error:
            log.error("meter_not_loaded", meter_id=meter_id.hex(), error=str(error))
            return packets.UNAVAILABLE, STORE_FAILED, None
        if packet.will is not None and packet.will.topic != meter.gone_topic:
            return self._turn_away(packets.NOT_AUTHORISED, WrongTopic.reason, meter_id)
        if self.intake.halted:  # looked at last: there was an await above
            return packets.UNAVAILABLE, STORE_FAILED, None
        return packets.ACCEPTED, "", meter

    async def _wrong_password(
        self, who: Connection, meter_id: bytes, stored: registry.StoredMeter | None
    ) -> tuple[int, str, None]:
        delay_s = self.doorman.wrong(who.address, self.now())
        if stored is None:
            refused = self._turn_away(packets.NOT_AUTHORISED, UnknownMeter.reason)
        elif stored.state == registry.DECOMMISSIONED:  # it has no password any more
            refused = self._turn_away(packets.NOT_AUTHORISED, stored.state, meter_id)
        else:
            refused = self._turn_away(packets.BAD_PASSWORD, BAD_PASSWORD, meter_id)
        if delay_s:
            await asyncio.sleep(delay_s)
        return refused

    def _look_at(
        self, packet: Connect, who: Connection, stored: registry.StoredMeter
    ) -> tuple[int, str, None] | None:
        """What is wrong with a meter that gave its password; None when nothing is."""
        meter_id = stored.meter_id
        if stored.state != registry.ACTIVE:
            return self._turn_away(packets.NOT_AUTHORISED, stored.state, meter_id)
        if who.names is not None and meter_id.hex() not in who.names:
            return self._turn_away(packets.NOT_AUTHORISED, WRONG_CERTIFICATE, meter_id)
        if not packet.client_id and not packet.clean:  # MQTT-3.1.3-8
            return self._turn_away(packets.BAD_CLIENT_ID, BAD_CLIENT_ID, meter_id)
        if not self.doorman.connect(meter_id, self.now()):
            return self._turn_away(packets.UNAVAILABLE, limits.TOO_MANY_CONNECTS, meter_id)
        return None

    def _turn_away(
        self, code: int, reason: str, meter_id: bytes = registry.UNKNOWN_METER
    ) -> tuple[int, str, None]:
        self.intake.refuse(meter_id, reason)
        return code, reason, None

    # -- once a second

    async def _sweep(self) -> None:
        for second in itertools.count(1):
            await asyncio.sleep(SWEEP_S)
            now = self.now()
            for connection in list(self._connections):
                connection.check_time(now)
            if self._certificates is not None and second % CERTIFICATE_LOOK_S == 0:
                self._certificates.refresh(self._clock_s())
            if self._certificates is not None and second % DAY_S == CERTIFICATE_LOOK_S:
                self._warn_of_expiry(self._certificates)

    def _warn_of_expiry(self, certificates: tls.Certificates) -> None:
        days = certificates.days_left(self._clock_s())
        if days is not None and days <= tls.EXPIRES_SOON_DAYS:
            log.warning("certificate_expires", days=days, next="gateway certs server --renew")


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
