"""Puts the HTTP side together: what is ready, what is measured, who may administer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.admin import api_routes, tokens
from gateway.admin.api import Office, Refusals
from gateway.admin.health import Check, Pulse, Readiness, check_disk, check_store
from gateway.admin.http import HttpServer, Watch, application
from gateway.admin.metrics import Metrics
from gateway.admin.reader import Reader
from gateway.config import Config, Http
from gateway.registry import Registry
from gateway.store import Store


def http_server(
    config: Config,
    http: Http,
    store: Store,
    reader: Reader,
    keeper: Registry,
    clock_s: Callable[[], int],
    pulse: Pulse,
    metrics: Metrics,
    is_halted: Callable[[], bool],
    doors: Mapping[str, Check],
) -> HttpServer:
    """The server of [http], not listening yet. Raises ConfigError."""
    readiness = Readiness({
        "store": lambda: check_store(store, is_halted),
        "disk": lambda: check_disk(store.path.parent),
        **doors,
    })  # fmt: skip
    office = None
    if http.token_file is not None:
        known = tokens.read(Path(http.token_file))
        refusals = Refusals(asyncio.get_running_loop().time)
        metrics.show_refused_requests(refusals.by_problem)
        office = Office(config, store, reader, keeper, known, clock_s, refusals)
    watch = Watch(pulse, readiness, metrics)
    return HttpServer(http, application(watch, office, api_routes.HANDLERS))
