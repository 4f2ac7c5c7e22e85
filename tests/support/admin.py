"""For tests of the admin interface: a gateway with tokens, and a client that reads its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from gateway.admin import api
from gateway.service import Service
from tests.support.gateway import FakeMeter, a_gateway, a_home

ADMIN_TOKEN = "anna-s-token-of-thirty-two-chars"


class Answer(NamedTuple):
    """Status, media type, headers and the decoded body."""

    status: int
    media: str
    headers: dict[str, str]
    body: Any


class Admin:
    """Asks a running gateway, as anna."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.service, self._session = service, session

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = ADMIN_TOKEN,
        raw: bytes | None = None, scheme: str = "Bearer",
    ) -> Answer:  # fmt: skip
        headers = {} if token is None else {"Authorization": f"{scheme} {token}"}
        if raw is not None:
            headers["Content-Type"] = "application/json"
        kwargs = {"json": body} if body is not None else {"data": raw}
        url = f"http://127.0.0.1:{self.service.http_port}{path}"
        async with self._session.request(method, url, headers=headers, **kwargs) as answer:
            data = await answer.read()
            decoded = await answer.json(content_type=None) if data else None
            return Answer(answer.status, answer.content_type, dict(answer.headers), decoded)


def a_config(folder: Path, *meters: FakeMeter) -> Path:
    """A home with an admin interface."""
    config = a_home(folder, *meters)
    token_file = folder / "admin.tokens"
    token_file.write_text(f"anna {ADMIN_TOKEN}\n")
    token_file.chmod(0o600)
    config.write_text(config.read_text() + '[http]\nport = 0\ntoken_file = "admin.tokens"\n')
    return config


def administered(
    folder: Path,
    work: Callable[[Admin], Awaitable[Any]],
    *meters: FakeMeter,
    with_tokens: bool = True,
) -> Any:
    """What `work` finds on a running gateway."""
    config = a_config(folder, *meters)
    if not with_tokens:
        config.write_text(config.read_text().replace('token_file = "admin.tokens"', ""))

    async def run() -> Any:
        async with a_gateway(config) as service, aiohttp.ClientSession() as line:
            return await work(Admin(service, line))

    return asyncio.run(run())


def is_problem(answer: Answer) -> bool:
    """RFC 9457: a document with a type, a title, the status and a detail."""
    return (
        answer.media == "application/problem+json"
        and answer.body["type"] == api.PROBLEM_TYPE + answer.body["title"].replace(" ", "_")
        and answer.body["status"] == answer.status
        and isinstance(answer.body["detail"], str)
    )
