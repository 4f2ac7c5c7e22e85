"""A real gateway in a thread of its own, for tests of programs that wait for its answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from gateway.config import load
from gateway.service import Service
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.identity import Secret
from tests.support.admin import ADMIN_TOKEN, a_config
from tests.support.gateway import FakeMeter

WAIT_S = 20.0
T = TypeVar("T")


class RunningGateway:
    """`with RunningGateway(folder) as gateway:`; it listens on ports of its own."""

    def __init__(self, folder: Path, *meters: FakeMeter) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._config = a_config(folder, *meters)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.service: Service | None = None

    def __enter__(self) -> RunningGateway:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.run(self._end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _end_all(self) -> None:
        """Meters that were begun here, and are not heard any more."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def start(self) -> None:
        """Begin, or begin again after `stop`, on new ports."""
        service = Service(load(self._config))
        self.run(service.start())
        self.service = service

    def stop(self) -> None:
        """As SIGTERM does it."""
        if self.service is not None:
            self.run(self.service.stop())
            self.service = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """In the gateway's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """In the gateway's own loop, without waiting for its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    @property
    def url(self) -> str:
        """Of its admin interface."""
        assert self.service is not None
        return f"http://127.0.0.1:{self.service.http_port}"

    @property
    def port(self) -> int:
        """Where meters connect."""
        assert self.service is not None
        return self.service.port

    @property
    def token_file(self) -> Path:
        """One line, the token alone, of mode 0600."""
        path = self.folder / "anna.token"
        path.write_text(ADMIN_TOKEN + "\n")
        path.chmod(0o600)
        return path

    def client(self) -> GatewayClient:
        """As anna."""
        return GatewayClient(self.url, Secret(ADMIN_TOKEN.encode()))
