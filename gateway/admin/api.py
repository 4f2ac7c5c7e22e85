"""The admin interface's manners: who may ask, problems by name, bounded pages and bodies."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

import structlog
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from gateway.admin.reader import Reader
from gateway.admin.tokens import Tokens
from gateway.config import Config
from gateway.errors import (
    CommandRefused,
    GatewayError,
    MeterExists,
    StoreError,
    StoreFull,
    UsageError,
)
from gateway.registry import Registry
from gateway.store import Store
from wire.topics import METER_ID_BYTES

BODY_BYTES_MAX = 64 * 1024
PAGE_ROWS, PAGE_ROWS_MAX = 100, 1000
RETRY_AFTER_S = 5
REFUSAL_LOG_S = 60.0
EXAMPLE_METER = "00112233aabbccdd"
# Problems are RFC 9457 documents; `type` is this and the problem's name.
PROBLEM_TYPE = "urn:openlicznik:problem:"
PROBLEM_MEDIA = "application/problem+json"

log = structlog.get_logger()

AnyRequest = Request[Any, Any, Any]
Row = dict[str, object]
T = TypeVar("T")

MeterId = Annotated[
    str,
    PathParameter(
        pattern=r"^[0-9a-f]{16}$",
        description="16 hex digits",
        examples=[Example(value=EXAMPLE_METER)],
    ),
]
OfMeter = Annotated[
    str, QueryParameter(pattern=r"^([0-9a-f]{16})?$", description="only of this meter")
]
NUMBER_MAX = (1 << 63) - 1  # as SQLite numbers rows
Number = Annotated[
    int, PathParameter(ge=0, le=NUMBER_MAX, description="its number", examples=[Example(value=1)])
]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_ROWS_MAX, description="rows at most")]


class Refusals:
    """Counts refused requests by problem; says when one is to be logged, once a minute for each."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.by_problem = Counter[str]()
        self._now, self._logged = now, dict[str, float]()

    def note(self, name: str) -> bool:
        """One more; whether to log it."""
        self.by_problem[name] += 1
        now = self._now()
        if now - self._logged.get(name, -REFUSAL_LOG_S) < REFUSAL_LOG_S:
            return False
        self._logged[name] = now
        return True


class Office(NamedTuple):
    """What the handlers work with; service.py makes it, tests make their own."""

    config: Config
    store: Store
    reader: Reader
    keeper: Registry
    tokens: Tokens
    clock_s: Callable[[], int]
    refusals: Refusals

    async def act(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In one transaction on the store's thread, like everything that writes."""
        return await self.store.run(work)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """For reading: one state of the database, and no commit waits for it."""
        return await self.reader.look(work)


class Unauthorized(GatewayError):
    """No token, or none that is known: send `Authorization: Bearer <token>`."""


class NotThere(UsageError):
    """What is asked for does not exist: list what there is."""


class Problem(NamedTuple):
    """A refusal as its caller sees it."""

    status: int
    name: str


# The first that fits counts.
PROBLEMS: tuple[tuple[type[GatewayError], Problem], ...] = (
    (Unauthorized, Problem(401, "unauthorized")),
    (NotThere, Problem(404, "not_there")),
    (CommandRefused, Problem(422, "command_refused")),
    (MeterExists, Problem(409, "exists")),
    (UsageError, Problem(422, "unusable")),
    (StoreFull, Problem(507, "disk_full")),
    (StoreError, Problem(503, "store_failed")),
    (GatewayError, Problem(409, "refused")),
)
UNKNOWN = ("unknown_meter", "unknown_bundle", "unknown_schedule")  # of CommandRefused: 404
HTTP_NAMES = {
    400: "malformed", 404: "no_such_path", 405: "no_such_method", 406: "not_offered",
    413: "too_large", 415: "unsupported_media",
}  # fmt: skip


def authorized(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of every /v1 path; notes who asks. Raises Unauthorized."""
    office: Office = connection.app.state.office
    scheme, _space, given = connection.headers.get("authorization", "").partition(" ")
    name = office.tokens.name_of(given.strip())
    if scheme.lower() != "bearer" or name is None:
        raise Unauthorized("send `Authorization: Bearer <token>` with a token of [http] token_file")
    connection.state.actor = f"api:{name}"


def actor(request: AnyRequest) -> str:
    """Who asks, as the audit log writes it."""
    who: str = request.state.actor
    return who


def meter_id_of(text: str) -> bytes:
    """A meter id from 16 hex digits; the path's pattern was checked before."""
    meter_id = bytes.fromhex(text)
    assert len(meter_id) == METER_ID_BYTES
    return meter_id


def refused(request: AnyRequest, error: GatewayError) -> Response[Row]:
    """An error of ours as a problem document."""
    problem = next(problem for kind, problem in PROBLEMS if isinstance(error, kind))
    if isinstance(error, CommandRefused):  # which has a name of its own for each reason
        problem = Problem(404 if error.reason in UNKNOWN else 422, error.reason)
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status >= 500:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return _document(request, problem, str(error), headers)


def http_refused(request: AnyRequest, error: HTTPException) -> Response[Row]:
    """What litestar refused: a path, a method, a body that is not as described."""
    problem = Problem(error.status_code, HTTP_NAMES.get(error.status_code, "refused"))
    return _document(request, problem, _detail(error), dict(error.headers or {}))


def _detail(error: HTTPException) -> str:
    """Which field and why; never its value, which may be a key."""
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        wrong = [
            f"{each.get('key', 'the body')}: {each.get('message', '')}"
            for each in error.extra
            if isinstance(each, dict)
        ]
        return "; ".join(wrong) or "not as /v1/openapi.json describes it"
    return "not as /v1/openapi.json describes it" if error.status_code == 400 else error.detail


def broken(request: AnyRequest, error: Exception) -> Response[Row]:
    """A fault of ours: logged, and told apart from the caller's."""
    log.error("api_broken", path=request.url.path, exc_info=error)
    detail = "a fault of the gateway; its log has it"
    return _document(request, Problem(500, "internal_error"), detail, {})


def _document(
    request: AnyRequest, problem: Problem, detail: str, headers: dict[str, str]
) -> Response[Row]:
    office: Office | None = request.app.state.office
    if office is not None and office.refusals.note(problem.name):
        log.warning("api_refused", problem=problem.name, path=request.url.path)
    body: Row = {
        "type": PROBLEM_TYPE + problem.name,
        "title": problem.name.replace("_", " "),
        "status": problem.status,
        "detail": detail,
    }
    return Response(body, status_code=problem.status, media_type=PROBLEM_MEDIA, headers=headers)
