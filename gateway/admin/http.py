"""The gateway's HTTP server: health, metrics, and the admin interface under /v1."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import structlog
import uvicorn
from litestar import Litestar, Response, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from gateway.admin import api, metrics
from gateway.admin.api import BODY_BYTES_MAX, AnyRequest, Office, authorized
from gateway.admin.health import Pulse, Readiness
from gateway.admin.http_address import check_http
from gateway.admin.metrics import Metrics
from gateway.config import Http
from gateway.errors import ConfigError, GatewayError, PortInUse

CONNECTIONS_MAX = 100
BACKLOG_CONNECTIONS = 64
KEEP_ALIVE_S = 30
STOP_S = 3
HEADER_BYTES_MAX = 16 * 1024
START_S = 0.01  # between looks whether the server is up

log = structlog.get_logger()


class Watch(NamedTuple):
    """What health and metrics read."""

    pulse: Pulse
    readiness: Readiness
    metrics: Metrics


@get("/livez", sync_to_thread=False, include_in_schema=False)
def livez(watch: NamedDependency[Watch]) -> Response[dict[str, Any]]:
    """The loop turns."""
    late_s = round(watch.pulse.late_s(), 3)
    alive = watch.pulse.is_alive()
    body = {"status": "live" if alive else "stuck", "tick_age_s": late_s}
    return Response(body, status_code=200 if alive else 503)


@get("/readyz", include_in_schema=False)
async def readyz(watch: NamedDependency[Watch]) -> Response[dict[str, Any]]:
    """Each part is ready, or says why not."""
    parts = await watch.readiness.look()
    ready = not any(parts.values())
    said = {name: text or "ready" for name, text in parts.items()}
    body = {"status": "ready" if ready else "not ready", "parts": said}
    return Response(body, status_code=200 if ready else 503)


@get("/metrics", include_in_schema=False)
async def show_metrics(watch: NamedDependency[Watch]) -> Response[bytes]:
    """Prometheus' text format."""
    return Response(await watch.metrics.text(), media_type=metrics.CONTENT_TYPE)


@get("/v1/openapi.json", include_in_schema=False, guards=[authorized])
async def openapi(request: AnyRequest) -> dict[str, Any]:
    """The description of everything under /v1; made when somebody asks for it first."""
    state = request.app.state
    if state.description is None:
        state.description = await asyncio.to_thread(_describe, state.handlers)
    description: dict[str, Any] = state.description
    return description


def application(
    watch: Watch, office: Office | None = None, handlers: Sequence[Any] = ()
) -> Litestar:
    """The application; without an office there is no admin interface."""
    routes: list[Any] = [livez, readyz, show_metrics]
    if office is not None:
        routes += [openapi, Router("/v1", guards=[authorized], route_handlers=handlers)]
    return Litestar(
        routes,
        state=State({"office": office, "watch": watch, "handlers": handlers, "description": None}),
        dependencies={
            "office": Provide(_office, sync_to_thread=False),
            "watch": Provide(_watch, sync_to_thread=False),
        },
        exception_handlers={
            GatewayError: api.refused,
            HTTPException: api.http_refused,
            Exception: api.broken,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )


def _describe(handlers: Sequence[Any]) -> dict[str, Any]:
    """OpenAPI 3.1, from an application that is never served."""
    config = OpenAPIConfig(
        title="OpenLicznik gateway: administration",
        version=metrics.VERSION,
        description="Every act writes a row in the audit log, with the name of the token.",
        security=[{"bearer": []}],
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}
        ),
    )
    app = Litestar(
        [Router("/v1", route_handlers=handlers)],
        dependencies={"office": Provide(_office, sync_to_thread=False)},
        openapi_config=config,
        logging_config=None,
    )
    return app.openapi_schema.to_schema()


def _office(state: State) -> Office:
    office: Office = state.office
    return office


def _watch(state: State) -> Watch:
    watch: Watch = state.watch
    return watch


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the service."""
        yield


class HttpServer:
    """Serves an application on one address, until it is stopped."""

    def __init__(self, config: Http, app: Litestar) -> None:
        check_http(config)
        self._config = config
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                ws="none",
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                ssl_certfile=config.certificate_file,
                ssl_keyfile=config.key_file,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; returns the port. Raises PortInUse, ConfigError."""
        listener = _listen(self._config.host, self._config.port)
        port: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise PortInUse(f"the HTTP server on port {port} ended; check [http]")
            await asyncio.sleep(START_S)
        return port

    async def run(self) -> None:
        """Until it ends, which it does not by itself."""
        assert self._serving is not None, "start it first"
        await asyncio.shield(self._serving)

    async def stop(self) -> None:
        """Finish the requests under way, for some seconds at most."""
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use; stop the program there, or set [http] port"
            ) from None
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; correct [http]"
        ) from None
    # Connections inherit it. asyncio sets it only on sockets that name their protocol; without it
    # an answer's body waits 40 ms for the other side's delayed acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
