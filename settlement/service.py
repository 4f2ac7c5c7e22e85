"""Puts the service together and runs it: store, tables, HTTP application, listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException

from settlement import api, ingest, laws
from settlement.api import AnyRequest, Office
from settlement.config import Config
from settlement.errors import RequestRefused, StartError
from settlement.portal import pages
from settlement.rules.errors import BadPpe, Refused
from settlement.scenario import refusal_data
from settlement.store import StorageFull, Store, StoreError

RETRY_AFTER_S = 5
BACKLOG_CONNECTIONS = 128
CONNECTIONS_MAX = 200
KEEP_ALIVE_S = 75
STOP_S = 5
log = structlog.get_logger("settlement")


@get("/livez", sync_to_thread=False)
def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@get("/readyz", sync_to_thread=True)
def readyz(office: NamedDependency[Office]) -> dict[str, str]:
    """The database answers too. Raises StoreError, answered 503 or 507."""
    with office.store.reading() as connection:
        connection.execute("SELECT count(*) FROM (SELECT 1 FROM inbox LIMIT 1)").fetchone()
    return {"status": "ready"}


def application(office: Office, *, portal: bool) -> Litestar:
    """The HTTP application around an office."""
    routers: list[Any] = [livez, readyz, api.router()]
    if portal:
        routers.append(pages.router())
    return Litestar(
        routers,
        state=State({"office": office}),
        dependencies={"office": Provide(_office, sync_to_thread=False)},
        exception_handlers={
            RequestRefused: _request_refused,
            Refused: _rules_refused,
            StoreError: _store_failed,
            HTTPException: _http_refused,
            Exception: _broken,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # api.read_limited bounds every body by its own limit
    )


def _office(state: State) -> Office:
    office: Office = state.office
    return office


def _answer(status: int, data: dict[str, Any], **headers: str) -> Response[dict[str, Any]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(data, status_code=status, media_type="application/json", headers=named)


def _request_refused(request: AnyRequest, error: RequestRefused) -> Response[dict[str, Any]]:
    log.warning("refused", reason=error.reason, path=request.url.path)
    if error.status == 401:
        return _answer(401, refusal_data(error), WWW_Authenticate="Bearer")
    if error.status == 415:
        return _answer(415, refusal_data(error), Accept_Encoding=ingest.ENCODINGS)
    return _answer(error.status, refusal_data(error))


def _rules_refused(request: AnyRequest, error: Refused) -> Response[dict[str, Any]]:
    log.warning("refused", reason=error.reason, path=request.url.path)
    return _answer(404 if isinstance(error, BadPpe) else 422, refusal_data(error))


def _store_failed(_: AnyRequest, error: StoreError) -> Response[dict[str, Any]]:
    log.error(error.reason, detail=str(error))
    status = 507 if isinstance(error, StorageFull) else 503
    data = {"reason": error.reason, "detail": str(error)}
    return _answer(status, data, Retry_After=str(RETRY_AFTER_S))


def _http_refused(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    reasons = {404: "not_found", 405: "method_not_allowed"}
    reason = reasons.get(error.status_code, "bad_request")
    return _answer(error.status_code, {"reason": reason, "detail": error.detail})


def _broken(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    log.error("internal_error", path=request.url.path, exc_info=error)
    return _answer(500, {"reason": "internal_error", "detail": "a fault of the service, logged"})


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: a stop on request ends with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves SIGINT and SIGTERM to `serve`."""
        yield


def run(config: Config) -> None:
    """Runs until SIGINT or SIGTERM. Raises StartError when it cannot start."""
    set_up_log(config)
    try:
        store = Store(config.database)
    except StoreError as error:
        raise StartError(f"{config.database}: {error}") from None
    try:
        with contextlib.closing(_listening(config.host, config.port)) as listener:
            office = Office(store, laws.shipped(), config.token, lambda: int(time.time()))
            asyncio.run(serve(application(office, portal=config.portal_enabled), listener))
    finally:
        store.close()
    log.info("stopped")


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG_CONNECTIONS)
    except OSError as error:
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}: stop the other program or "
            "set another [http] port"
        ) from None
    # asyncio does so only on sockets that name their protocol; without it each answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(app: Litestar, listener: socket.socket) -> None:
    """Serves on the socket until a signal; requests under way are finished first."""
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
        )
    )

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        host, port = listener.getsockname()[:2]
        log.info("listening", host=host, port=port)
    await serving


def set_up_log(config: Config) -> None:
    """Log events to standard output, one a line."""
    level: int = getattr(logging, config.log_level.upper())
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(name)s: %(message)s")
    if config.log_format == "json":
        renderers: list[Any] = [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
