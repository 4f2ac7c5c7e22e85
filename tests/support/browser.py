"""A real Chromium, driven over its DevTools protocol: opens a page, measures it, clicks in it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

WAIT_S = 40.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
T = TypeVar("T")


def find_chromium() -> str | None:
    """The browser of this computer: CHROMIUM=/path, else the one on the path."""
    named = os.environ.get("CHROMIUM", "")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    return next((found for name in names if (found := shutil.which(name))), None)


class Page:
    """One tab. Everything the page writes to the console as an error is kept in `errors`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.errors: list[str] = []
        self._socket = socket
        self._last = 0
        self._loaded = False

    async def open(self, url: str, width: int, height: int = 900) -> None:
        """Load a page in a window of this width (CSS pixels)."""
        for domain in ("Page", "Runtime", "Log"):
            await self._ask(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self._ask("Emulation.setDeviceMetricsOverride", **size)
        await self.going(self._ask("Page.navigate", url=url))

    async def going(self, step: Awaitable[object]) -> None:
        """Do something that leads to another page, and wait until that is there."""
        self._loaded = False
        await step
        while not self._loaded:
            self._hear(await self._socket.receive_json(timeout=WAIT_S))

    async def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=WAIT_S)
            if message.get("id") == self._last:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url')}")
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))


def browse(visit: Callable[[Page], Awaitable[T]]) -> T:
    """Start the browser, give its first tab to `visit`, and stop it again."""
    return asyncio.run(_browse(visit))


async def _browse(visit: Callable[[Page], Awaitable[T]]) -> T:
    program = find_chromium()
    assert program, "no Chromium here: install it, or set CHROMIUM=/path"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
                async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"]) as socket:
                    return await visit(Page(socket))
        finally:
            process.kill()
            await process.wait()


async def _port(file: Path) -> int:
    """Chromium writes the port it listens on into its profile."""
    for _ in range(int(WAIT_S / 0.1)):
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")
