"""Wires the running gateway together, and takes it apart again on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import time
from pathlib import Path

import structlog

from gateway import journal
from gateway.config import Config, Log, read_token
from gateway.endpoint import Endpoint
from gateway.forwarder import Forwarder
from gateway.intake import Intake
from gateway.listener import Listener
from gateway.news import News
from gateway.registry import Registry, read_master_key
from gateway.store import Store

log = structlog.get_logger()


def clock_s() -> int:
    """UTC seconds since 1970."""
    return int(time.time())


def set_up_log(config: Log) -> None:
    """One event a line on standard output; JSON for machines, console for people."""
    last: structlog.types.Processor = structlog.processors.JSONRenderer()
    if config.format == "console":
        last = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )


class Service:
    """The gateway as one object: `start`, then `stop`. Tests use it, and `run` below."""

    def __init__(self, config: Config) -> None:
        self.config = config
        settlement = config.settlement
        self._token = read_token(Path(settlement.token_file)) if settlement else ""
        self.registry = Registry(read_master_key(Path(config.store.master_key_file)))
        self.store = Store(Path(config.store.path))
        self.port = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Rebuild, then listen. Raises GatewayError; the store is closed again then."""
        try:
            await self.store.run(self.registry.check_master_key)
            self.registry.restore(await self.store.run(journal.rebuild))
            self._make()
            await self.news.start()
            endpoint = self.config.endpoint
            self.port = await self.endpoint.start(endpoint.host, endpoint.port)
        except BaseException:
            self.store.close()
            raise
        self._intake_task = asyncio.create_task(self.intake.run())
        self._tasks.append(self._intake_task)
        self._tasks.append(asyncio.create_task(self.news.run()))
        if self.forwarder is not None:
            self._tasks.append(asyncio.create_task(self.forwarder.run()))
        else:
            log.warning("no_settlement", next="frames are kept; add [settlement] to forward them")

    def _make(self) -> None:
        self.forwarder: Forwarder | None = None
        settlement = self.config.settlement
        if settlement is not None:
            self.forwarder = Forwarder(
                self.store, self.config.gateway_id, settlement.url, self._token,
                clock_s, random.SystemRandom().random,
            )  # fmt: skip
        notify = self.forwarder.notify if self.forwarder is not None else lambda: None
        self.listeners: list[Listener] = []
        self.intake = Intake(self.store, self.registry, clock_s, notify, self.listeners)
        self.endpoint = Endpoint(self.intake)
        self.news = News(self.store, self.listeners)

    async def wait(self) -> None:
        """Return when a part of the gateway ended, which none does by itself; raises its error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled():
                task.result()

    async def stop(self) -> None:
        """Close the sessions, commit what was accepted, close the store."""
        await self.endpoint.stop()
        self.intake.stop()
        for task in self._tasks:
            if task is not self._intake_task:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()


async def run(config: Config) -> None:
    """The gateway until SIGTERM or Ctrl-C. Raises GatewayError when it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # before anybody is told that we listen
        loop.add_signal_handler(number, stop.set)
    service = Service(config)
    await service.start()
    log.info(
        "listening",
        gateway_id=config.gateway_id,
        host=config.endpoint.host,
        port=service.port,
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
