"""Wires the running gateway together, and takes it apart again on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from gateway import journal, logs
from gateway.admin.health import Check, Notifier, Pulse
from gateway.admin.metrics import Heard, Metrics
from gateway.admin.reader import Reader
from gateway.config import Config, Http, read_token
from gateway.doors.broker import Broker
from gateway.doors.endpoint import Endpoint
from gateway.doors.limits import Doorman
from gateway.doors.pace import Pace
from gateway.doors.tls import Certificates
from gateway.downlink.backfill import Backfill
from gateway.downlink.downlink import Downlink
from gateway.downlink.schedules import Schedules
from gateway.forwarding import publisher
from gateway.forwarding.availability import Availability
from gateway.forwarding.forwarder import Forwarder
from gateway.forwarding.pruner import Pruner
from gateway.forwarding.publisher import Publisher
from gateway.intake import Intake
from gateway.listener import Listener
from gateway.master_key import master_keys
from gateway.mqtt.mqtt_client import MqttClient
from gateway.mqtt.packets import Will
from gateway.mqtt.remote import remote_for
from gateway.news import News
from gateway.outages import notice_channels
from gateway.outages.notices import Notices
from gateway.outages.outage_book import OutageBook
from gateway.outages.outage_records import Rules
from gateway.outages.quality_book import QualityBook
from gateway.process import calm_collections, raise_file_limit
from gateway.registry import Registry, down_floor
from gateway.rollout.rollout import Rollout
from gateway.shards import shards
from gateway.shards.mover import Mover, Served
from gateway.store import Store

if TYPE_CHECKING:
    from gateway.admin.http import HttpServer

log = structlog.get_logger()


def clock_s() -> int:
    """UTC seconds since 1970."""
    return int(time.time())


class Service:
    """The gateway as one object: `start`, then `stop`. Tests use it, and `run` below."""

    def __init__(self, config: Config, environ: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.notifier = Notifier(environ or {}, os.getpid())
        settlement = config.settlement
        self._token = read_token(Path(settlement.token_file)) if settlement else ""
        self._remote = remote_for(config.broker)
        self._publish_remote = remote_for(config.publish)
        self.registry = Registry(*master_keys(config.store))
        self.registry.down_floor = down_floor(clock_s())
        self.certificates = Certificates(config.endpoint, clock_s())
        self.store = Store(Path(config.store.path))
        self.reader = Reader(self.store.path)
        self.port = self.http_port = 0
        self.http: HttpServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._intake_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Rebuild, then listen. Raises GatewayError; everything is closed again then."""
        try:
            await self.store.run(self.registry.check_master_key)
            self.registry.restore(await self.store.run(journal.rebuild))
            raise_file_limit()
            calm_collections()
            self._make()
            await self.news.start()
            await self.mover.start()
            await self.downlink.start()
            await self.outages.start(self._heard_once())
            if self.publisher is not None:
                await self.publisher.start()
            if self.config.http is not None:
                self.http = self._make_http(self.config.http)
                self.http_port = await self.http.start()
            endpoint = self.config.endpoint
            if endpoint.enabled:
                self.port = await self.endpoint.start(endpoint.host, endpoint.port)
        except BaseException:
            if self.http is not None:
                await self.http.stop()
            self.store.close()
            raise
        self._intake_task = self._beside(self.intake.run())
        self._beside(self.news.run())
        self._beside(self.mover.run())
        if self.broker is not None:
            self._beside(self.broker.run())
        self._beside(self.downlink.run())
        self._beside(self.rollout.run())
        self._beside(self.schedules.run())
        self._beside(self.backfill.run())
        self._beside(self.pruner.run())
        self._beside(self.outages.run())
        self._beside(self.quality.run())
        if self.notices.channels:
            self._beside(self.notices.run())
        if self.publisher is not None and self.publish_client is not None:
            self._beside(self.publish_client.run())
            self._beside(self.publisher.run())
        self._beside(self.pulse.run())
        if self.http is not None:
            self._beside(self.http.run())
        if self.notifier.watchdog_s:
            self._beside(self.notifier.watch(self.pulse))
        if self.forwarder is not None:
            self._beside(self.forwarder.run())
        else:
            log.warning("no_settlement", next="frames are kept; add [settlement] to forward them")
        self.notifier.say("READY=1", f"STATUS=port {self.port}")

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a part until `stop`; the gateway ends when one ends by itself."""
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    def _make(self) -> None:
        self.forwarder: Forwarder | None = None
        settlement = self.config.settlement
        if settlement is not None:
            self.forwarder = Forwarder(
                self.store, self.config.gateway_id, settlement.url, self._token,
                clock_s, random.SystemRandom().random,
            )  # fmt: skip
        notify = self.forwarder.notify if self.forwarder is not None else lambda: None
        retry_s = self.config.downlink.retry_s
        self.downlink = Downlink(self.store, self.registry, clock_s, retry_s)
        self.backfill = Backfill(self.store, self.downlink.wake, clock_s)
        self.schedules = Schedules(
            self.store, self.registry, self.downlink.wake, clock_s, random.SystemRandom().random
        )
        self.served = Served(shards.parse(self.config.shards))
        self.mover = Mover(self.store, self.registry, self.served, clock_s)
        self.listeners: list[Listener] = [self.downlink]  # first: others see commands marked
        self.listeners.append(self.mover)
        if self.config.downlink.backfill:
            self.listeners.append(self.backfill)
        self.rollout = Rollout(self.store, self.registry, clock_s, self.downlink.wake)
        self.listeners.append(self.rollout)
        self.intake = Intake(self.store, self.registry, clock_s, notify, self.listeners)
        limits = self.config.limits
        self.intake.pace = Pace(limits.frames_per_second, limits.frames_burst)
        self.endpoint = Endpoint(
            self.intake, Doorman(self.config.limits), self.certificates,
            self.served, clock_s,
        )  # fmt: skip
        self.listeners.append(self.endpoint)
        if self.forwarder is not None:
            self.listeners.append(self.forwarder)
        self._make_publisher()
        self._make_outages()
        self.pruner = Pruner(
            self.store, self.config.store.keep_days, clock_s,
            is_publishing=self.publisher is not None,
        )  # fmt: skip
        self.broker = self._make_broker()
        self.mover.attach(self.listeners, self.endpoint, self.broker)
        self.news = News(self.store, self.listeners)
        self.pulse = Pulse(asyncio.get_running_loop().time)
        self.metrics = Metrics(self.reader, self.intake, self._heard(), clock_s)

    def _make_publisher(self) -> None:
        """Accepted readings for backends that read MQTT."""
        config, remote = self.config.publish, self._publish_remote
        self.publish_client: MqttClient | None = None
        self.publisher: Publisher | None = None
        if config is None or remote is None:
            return
        state = publisher.state_topic(config.topic)
        self.publish_client = MqttClient(
            remote, f"{self.config.gateway_id}-publish",
            will=Will(state, b"offline"), retain_will=True, birth=(state, b"online"),
        )  # fmt: skip
        availability = Availability(self.store)
        self.publisher = Publisher(self.store, self.publish_client, config, availability)
        self.listeners += [availability, self.publisher]

    def _make_outages(self) -> None:
        """Who is without supply, whom to tell, and how well meters communicate."""
        config, steady_s = self.config, asyncio.get_running_loop().time
        topic = config.publish.topic if config.publish is not None else ""
        channels = notice_channels.channels_of(
            config.notices, self.publish_client, topic, clock_s
        )  # fmt: skip
        self.notices = Notices(self.store, channels, clock_s, random.SystemRandom().random)
        numbers = config.outages
        rules = Rules(
            numbers.silence_s, numbers.grace_s, numbers.area_meters, numbers.area_window_s
        )  # fmt: skip
        self.outages = OutageBook(
            self.store, config.gateway_id, rules, self.notices, clock_s, steady_s,
            config.store.keep_days, self._is_deaf,
        )  # fmt: skip
        self.listeners.append(self.outages)
        self.quality = QualityBook(self.store, clock_s, steady_s)

    def _is_deaf(self) -> bool:
        """Without its broker the gateway hears nobody there: no fault of the meters."""
        return self.broker is not None and not self.broker.connected

    def _heard_once(self) -> set[bytes]:
        """The meters of ours that ever sent a frame: whose silence means something."""
        return {
            meter.meter_id
            for meter in self.registry.meters.values()
            if meter.progress.windows and shards.is_ours(self.served, meter.meter_id)
        }

    def _make_broker(self) -> Broker | None:
        """The second door; both may be open at once."""
        config, remote = self.config, self._remote
        if config.broker is None or remote is None:
            return None
        broker = Broker(
            self.intake, remote, config.broker.version, config.gateway_id,
            self.served, config.broker.receive_maximum,
            random.SystemRandom().random,
        )  # fmt: skip
        self.listeners.append(broker)
        return broker

    # -- health, metrics and administration

    def _heard(self) -> Heard:
        started_s, silence_s = clock_s(), self.config.outages.silence_s
        meters = self.registry.meters

        def silent(now_s: int) -> int:
            latest_s = now_s - silence_s
            return sum(max(meter.heard_s, started_s) < latest_s for meter in meters.values())

        return Heard(
            connections=lambda: len(self.endpoint.sessions),
            meters=lambda: len(meters),
            silent=silent,
            requests=lambda: self.forwarder.requests if self.forwarder else {},
            outages=lambda: (self.outages.figures.out, self.outages.figures.areas_out),
            certificate_days=lambda: self.certificates.days_left(clock_s()),
        )

    def _make_http(self, config: Http) -> HttpServer:
        from gateway.admin import front

        doors: dict[str, Check] = {}
        if self.config.endpoint.enabled:
            doors["endpoint"] = self._check_endpoint
        if self.broker is not None:
            doors["broker"] = self._check_broker
        return front.http_server(
            self.config, config, self.store, self.reader, self.registry, clock_s, self.pulse,
            self.metrics, lambda: self.intake.halted, doors,
        )  # fmt: skip

    async def _check_endpoint(self) -> str:
        return "" if self.port else "does not listen yet: wait, or read the log"

    async def _check_broker(self) -> str:
        connected = self.broker is not None and self.broker.connected
        return "" if connected else "not connected: see [broker] and the log"

    # -- until it ends

    async def wait(self) -> None:
        """Return when a part of the gateway ended, which none does by itself; raises its error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()

    def reload(self) -> None:
        """SIGHUP: read the certificates again; sessions stay."""
        self.notifier.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self.endpoint.reload()
        log.info("reloaded")
        self.notifier.say("READY=1")

    async def stop(self) -> None:
        """Close the sessions, commit what was accepted, close the store."""
        self.notifier.say("STOPPING=1")
        if self.http is not None:
            await self.http.stop()
        await self.endpoint.stop()
        self.intake.stop()
        for task in self._tasks:
            if task is not self._intake_task:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()


async def run(config: Config, environ: Mapping[str, str]) -> None:
    """The gateway until SIGTERM or Ctrl-C. Raises GatewayError when it cannot start."""
    logs.set_up(config.log, environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anybody is told that we listen
        loop.add_signal_handler(number, stop.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    service = Service(config, environ)
    await service.start()
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    log.info(
        "listening",
        gateway_id=config.gateway_id,
        host=config.endpoint.host,
        port=service.port,
        http_port=service.http_port or None,
        meters=len(service.registry.meters),
    )
    ended = asyncio.create_task(service.wait())
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    finally:
        ended.cancel()
        asked.cancel()
        await service.stop()
    log.info("stopped", accepted=service.intake.accepted, refused=service.intake.refused)
