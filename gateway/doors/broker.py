"""The second door: meters publish to a broker, and we take their frames from there.

The broker's PUBACK to a meter promises little (mosquitto loses what it acknowledged when it is
killed), so a meter keeps its intervals until our receipt. Ours to the broker follows the commit:
what is not on our disk stays in the broker's session for us and is delivered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from gateway import lifecycle, registry
from gateway.audit import Act
from gateway.doors.broker_line import LOAD_METERS_MAX, BrokerLine
from gateway.doors.broker_link import Link, Timing, join, keep_up
from gateway.errors import BrokerLost, BrokerRefused, StoreError
from gateway.intake import Intake
from gateway.listener import Listener
from gateway.meter import Meter
from gateway.mqtt import client_packets
from gateway.mqtt.client_packets import ConnAck, Delivery, Granted, Hello, Version
from gateway.mqtt.remote import Remote
from gateway.shards.shards import SHARDS
from wire import topics
from wire.errors import UnknownMeter, WrongTopic

KEEP_ALIVE_S = 30
SESSION_S = 7 * 86_400  # how long an MQTT 5 broker keeps frames for a gateway that is away
FILTERS_AT_ONCE = 64  # in one SUBSCRIBE
HALTED_LOOK_S = 0.2
STRANGERS_MAX = 4096  # ids known to be nobody's
STRANGER_S = 10.0  # believed so long; `meters add` ends it at once
GONE_GRACE_S = 5.0  # a last will is believed when no frame followed within it

WRONG_SHARD, NOT_LOADED, LAST_WILL = "wrong_shard", "meter_not_loaded", "last_will"
SUBSCRIBED_QOS_1 = 1

assert LOAD_METERS_MAX <= STRANGERS_MAX  # what one look finds is all remembered

log = structlog.get_logger()


class Broker(Listener):
    """Keeps a session with the broker, and knows whose frame came from it."""

    def __init__(
        self,
        intake: Intake,
        remote: Remote,
        version: Version,
        client_id: str,
        shards: frozenset[str],
        receive_maximum: int,
        chance: Callable[[], float],
        timing: Timing | None = None,
        grace_s: float = GONE_GRACE_S,
    ) -> None:
        self.intake, self.shards, self.receive_maximum = intake, shards, receive_maximum
        self._remote, self.version, self._chance = remote, version, chance
        self._timing, self._grace_s = timing or Timing(), grace_s
        self._hello = Hello(
            client_id, remote.user, remote.password, KEEP_ALIVE_S, SESSION_S, receive_maximum
        )
        self.known: dict[str, Meter] = {}  # by up topic
        self.stale_wills = self.joins = 0
        self._line: BrokerLine | None = None
        self._strangers: dict[bytes, tuple[str, float]] = {}  # why, and until when
        self._leaving: dict[Meter, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        intake.doors.append(self.close_sessions)

    @property
    def connected(self) -> bool:
        """Whether frames can come in now."""
        return self._line is not None

    @property
    def held(self) -> int:
        """Publishes that came and were not given to the intake yet."""
        return self._line.held if self._line is not None else 0

    async def run(self) -> None:
        """Keep the session up until cancelled."""
        await keep_up(self._session, self._timing, self._chance)

    def close_sessions(self, why: str) -> None:
        """End the connection without acknowledging what was not committed."""
        if self._line is not None:
            self._line.close(why)

    # -- one session

    async def _session(self) -> str:
        while self.intake.halted:
            await asyncio.sleep(HALTED_LOOK_S)
        line = BrokerLine(self)
        link, answer = await join(self._remote, self.version, self._hello, line.told, self._timing)
        try:
            async with asyncio.timeout(self._timing.connect_s):
                self._enter(line, link, answer)
                await self._subscribe(line, link, answer)
            return await asyncio.shield(link.ended)
        except TimeoutError:
            raise BrokerLost(f"{self._remote!r} does not answer SUBSCRIBE") from None
        finally:
            self._line = None
            self.intake.forget(line)
            link.leave()

    def _enter(self, line: BrokerLine, link: Link, answer: ConnAck) -> None:
        log.info(
            "broker_joined",
            broker=repr(self._remote),
            client_id=self._hello.client_id,
            session_kept=answer.session_present,
        )
        if self.joins and not answer.session_present:
            log.warning("broker_forgot_us", next="nothing: meters send again what has no receipt")
        self.joins += 1
        self._line = line
        for meter in self.known.values():
            if isinstance(meter.line, BrokerLine):
                meter.line = line  # the way to it is up again
        line.start(link)

    async def _subscribe(self, line: BrokerLine, link: Link, answer: ConnAck) -> None:
        """Ours first, then away with what an earlier set of shards left in a kept session."""
        ours = filters_of(self.shards)
        for some in _chunks(ours):
            number, granted = line.expect()
            link.send(client_packets.subscribe(self.version, number, some))
            _check(some, await _either(granted, link))
        if not answer.session_present:
            return
        for some in _chunks(sorted(ALL_FILTERS.difference(ours))):
            number, granted = line.expect()
            link.send(client_packets.unsubscribe(self.version, number, some))
            await _either(granted, link)

    # -- whose publish it is (called by the line)

    def explain(self, delivery: Delivery) -> str | Meter | bytes:
        """Why it is refused, whose last will it is, or the id of the meter to load first."""
        try:
            topic = topics.parse(delivery.topic)
        except WrongTopic:
            return WrongTopic.reason
        if topic.way == "down":
            return WrongTopic.reason
        meter_id: bytes = topic.meter_id
        if topics.shard_of(meter_id) not in self.shards:
            return WRONG_SHARD
        meter = self.known.get(topics.up(meter_id))
        if meter is not None:
            return meter
        why, until = self._strangers.get(meter_id, ("", 0.0))
        return why if until > self._loop.time() else meter_id

    async def load(self, meter_ids: Iterable[bytes]) -> None:
        """Make these meters known, or known to be nobody's. Raises StoreError."""
        wanted = list(meter_ids)
        if len(self._strangers) + len(wanted) > STRANGERS_MAX:  # before, so that none is lost again
            self._strangers.clear()
        stored = await self.intake.store.run(
            lambda connection: [registry.fetch(connection, meter_id) for meter_id in wanted]
        )
        for meter_id, found in zip(wanted, stored, strict=True):
            try:
                if found is None or found.state != registry.ACTIVE:
                    self._turn_away(meter_id, UnknownMeter.reason if found is None else found.state)
                else:
                    self.known[topics.up(meter_id)] = self.intake.registry.admit(found)
            except StoreError as error:  # one damaged row stops nobody else
                log.error("meter_not_loaded", meter_id=meter_id.hex(), error=str(error))
                self._turn_away(meter_id, NOT_LOADED)

    def _turn_away(self, meter_id: bytes, why: str) -> None:
        self._strangers[meter_id] = (why, self._loop.time() + STRANGER_S)

    # -- who is here

    def arrived(self, meter: Meter, line: BrokerLine) -> None:
        """A frame of it was accepted."""
        timer = self._leaving.pop(meter, None)
        if timer is not None:
            timer.cancel()
            self.stale_wills += 1
        was, meter.line = meter.line, line
        if isinstance(was, BrokerLine):
            return
        log.info("meter_here", meter_id=meter.hex_id)
        for listener in self.intake.listeners:
            listener.here(meter)

    def is_leaving(self, meter: Meter) -> bool:
        """Whether its last will came a moment ago."""
        return meter in self._leaving

    def will_came(self, meter: Meter, delivery: Delivery) -> None:
        """A last will. Retained, or of a meter that is at another door, it says nothing."""
        elsewhere = meter.line is not None and not isinstance(meter.line, BrokerLine)
        if delivery.retained or elsewhere:
            self.stale_wills += 1
            return
        self.intake.record_will(meter, LAST_WILL, delivery.body)
        if meter not in self._leaving:
            self._leaving[meter] = self._loop.call_later(
                self._grace_s, self._part, meter, LAST_WILL, delivery.body
            )

    def _part(self, meter: Meter, why: str, will: bytes | None) -> None:
        """It is not here any more, unless it came in by another door."""
        timer = self._leaving.pop(meter, None)
        if timer is not None:
            timer.cancel()
        if meter.line is not None and not isinstance(meter.line, BrokerLine):
            self.stale_wills += will is not None
            return
        meter.line = None
        log.info("meter_gone", meter_id=meter.hex_id, why=why)
        for listener in self.intake.listeners:
            listener.gone(meter, why, will)

    # -- gateway.listener.Listener

    def acted(self, act: Act) -> None:
        """A meter was added, revoked or re-keyed: look it up again at its next frame."""
        if act.action.partition(".")[0] not in ("meter", "key"):
            return
        self._strangers.clear()
        meter = self._find(act.subject)
        if meter is None:
            return
        del self.known[meter.up_topic]
        if act.action in (lifecycle.REVOKE, lifecycle.DECOMMISSION):
            self._part(meter, act.action, None)

    def _find(self, hex_id: str) -> Meter | None:
        for meter in self.known.values():  # acts are rare
            if meter.hex_id == hex_id:
                return meter
        return None


def filters_of(shards: frozenset[str]) -> list[str]:
    """Topic filters for these shards: explicit ones, because shared subscriptions lose frames."""
    names = ["+"] if len(shards) == SHARDS else sorted(shards)
    return [f"m/{name}/+/{way}" for name in names for way in ("up", "gone")]


ALL_FILTERS = frozenset(
    f"m/{name}/+/{way}"
    for name in ("+", *(f"{number:02x}" for number in range(SHARDS)))
    for way in ("up", "gone")
)


def _chunks(filters: list[str]) -> list[list[str]]:
    return [filters[at : at + FILTERS_AT_ONCE] for at in range(0, len(filters), FILTERS_AT_ONCE)]


async def _either(granted: asyncio.Future[Granted], link: Link) -> Granted:
    both: list[asyncio.Future[Any]] = [granted, link.ended]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not granted.done():
        raise BrokerLost(f"the broker ended the connection before its SUBACK ({link.why})")
    return granted.result()


def _check(filters: list[str], granted: Granted) -> None:
    if granted.codes != (SUBSCRIBED_QOS_1,) * len(filters):
        refused = [f for f, code in zip(filters, granted.codes, strict=False) if code != 1]
        raise BrokerRefused(
            f"the broker does not grant QoS 1 on {(refused or filters)[0]};"
            " correct its access control (docs/broker.md)"
        )
