"""A real gateway process rolls an update out to a real meter process on the unix port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host_tools import bundle
from host_tools.bundle import Bundle, BundleFile, compile_bundle
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_meter import NOON_S, settings
from tests.support.a_rollout import NEW, OLD, a_folder
from tests.support.gateway import FakeMeter, a_home, a_meter, journal_of, rows, until
from wire import messages
from wire.keys import UP

RESTART_CODE = 75
HOURS = 6
KILLS = 2
WITHIN_S = 70.0


@pytest.fixture(scope="module")
def new() -> Bundle:
    return compile_bundle("unix", NEW)


class Home:
    """A folder with a gateway on a fixed port and as many unix-port meters as asked for."""

    def __init__(self, folder: Path, meters: int = 1) -> None:
        self.folder = folder
        self.fakes = [a_meter(number) for number in range(meters)]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = a_home(folder, *self.fakes)
        text = self.config.read_text().replace("port = 0", f"port = {self.port}")
        self.config.write_text(text + "[downlink]\nretry_s = 1\n")
        self.roots = [self._a_root(fake) for fake in self.fakes]

    def _a_root(self, fake: FakeMeter) -> Path:
        """A meter as flashed: the loader, the old application in slot a, its household."""
        root = self.folder / fake.hex_id
        bundle.write_root("unix", root)
        bundle.write_slot(compile_bundle("unix", OLD), root / "a")
        config = settings(
            gateway_port=self.port, household="household.csv", speed=6000,
            meter_id=fake.hex_id, meter_key=fake.meter_key.hex(), password=fake.password,
        )  # fmt: skip
        (root / "config.json").write_text(json.dumps(config))
        hours = [f"{NOON_S + 3600 * hour},{100 + hour},0\n" for hour in range(HOURS)]
        (root / "household.csv").write_text("".join(hours))
        return root

    def cli(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments, "--config", str(self.config)],
            capture_output=True, text=True, timeout=30, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, application: Bundle, *options: str) -> None:
        """`update add` and `update start`, as an administrator does it."""
        folder = a_folder(self.folder / "bundle", application)
        assert "added: version" in self.cli("update", "add", str(folder))
        said = self.cli("update", "start", str(application.update_id), *options)
        assert "roll-out 1 begun" in said

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cli("update", "status", "1", "--json"))[0]
        return found

    def state(self) -> str:
        return str(rows(self.folder, "SELECT state FROM rollout")[0][0])

    def of_meters(self, what: str) -> list[Any]:
        query = f"SELECT {what} FROM rollout_meter ORDER BY wave, meter_id"
        return [row[0] for row in rows(self.folder, query)]

    def intervals(self, fake: FakeMeter) -> dict[int, int]:
        """Import in Wh of each interval that the journal holds."""
        found: dict[int, int] = {}
        for row in journal_of(self.folder):
            message = messages.decode(row.message, UP)
            if row.meter_id == fake.meter_id and isinstance(message, messages.Profile):
                for at, wh in enumerate(message.deltas_wh[0]):
                    number = message.first + at
                    assert found.setdefault(number, wh) == wh
        return found

    @contextlib.contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "log.jsonl").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self.config)],
                stdout=out, stderr=out, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)

    @contextlib.asynccontextmanager
    async def meters(self) -> AsyncIterator[None]:
        """Every meter runs, and is started again whenever it asks for that."""
        running = [asyncio.create_task(self._a_process(root)) for root in self.roots]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _a_process(self, root: Path) -> None:
        environment = {**os.environ, "MICROPYPATH": f"{root}:{ROOT / '.lib'}:.frozen"}
        while True:
            with (root / "log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    str(find_micropython()), str(root / "main.py"),
                    env=environment, stdout=log, stderr=log,
                )  # fmt: skip
            try:
                code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if code != RESTART_CODE:
                return

    async def wait_for_pieces(self, least: int) -> None:
        await self.wait(lambda: self.of_meters("pieces")[0] >= least)

    async def wait_for_intervals(self) -> None:
        """Until the gateway has all that every meter measured."""
        await self.wait(lambda: all(len(self.intervals(one)) >= 4 * HOURS for one in self.fakes))

    async def wait(self, condition: Callable[[], Any]) -> None:
        try:
            await until(condition, WITHIN_S)
        except TimeoutError:
            said = (self.folder / "log.jsonl").read_text()[-1500:]
            logs = [(root / "log").read_text()[-1500:] for root in self.roots]
            raise AssertionError("\n".join([json.dumps(self.status()), said, *logs])) from None


def broken(application: Bundle) -> Bundle:
    """An application that does not start."""
    files = [
        BundleFile(file.path, b"not bytecode") if file.path == "firmware/app.mpy" else file
        for file in application.files
    ]
    return Bundle(application.version, files)


def test_a_real_meter_takes_an_update_from_a_real_gateway_and_no_watt_hour_is_lost(
    tmp_path: Path, new: Bundle
) -> None:
    home = Home(tmp_path)
    (fake,) = home.fakes

    async def story() -> None:
        with home.gateway():
            async with home.meters():
                await home.wait(lambda: rows(tmp_path, "SELECT version FROM application"))
                home.begin(new, "--waves", "1", "--soak", "0s", "--running", OLD)
                await home.wait(lambda: home.state() == "done")
                await home.wait_for_intervals()

    asyncio.run(story())
    assert home.of_meters("state") == ["confirmed"]
    assert rows(tmp_path, "SELECT version FROM application") == [(NEW,)]
    assert sorted(home.intervals(fake)) == list(range(1, 4 * HOURS + 1))
    assert sum(home.intervals(fake).values()) == 600 + 15
    assert home.status()["waves"][0]["states"] == {"confirmed": 1}


def test_a_gateway_killed_amid_the_pieces_goes_on_where_it_was(tmp_path: Path, new: Bundle) -> None:
    home = Home(tmp_path)
    (fake,) = home.fakes
    seen: list[int] = []

    async def story() -> None:
        home_begun = False
        async with home.meters():
            for _ in range(KILLS):
                with home.gateway() as process:
                    if not home_begun:
                        await home.wait(lambda: rows(tmp_path, "SELECT 1 FROM application"))
                        home.begin(new, "--waves", "1", "--soak", "0s")
                        home_begun = True
                    await home.wait_for_pieces(10 + (seen[-1] if seen else 0))
                    process.send_signal(signal.SIGKILL)
                    process.wait(timeout=10)
                    seen.append(home.of_meters("pieces")[0])
            with home.gateway():
                await home.wait(lambda: home.state() == "done")
                await home.wait_for_intervals()

    asyncio.run(story())
    assert home.of_meters("state") == ["confirmed"]
    assert 0 < seen[0] < seen[1] < home.of_meters("pieces")[0]
    needed = len(bundle.manifest_parts(new)) + sum(
        -(-len(file.content) // bundle.PIECE_BYTES_MAX) for file in new.files
    )
    assert home.of_meters("pieces")[0] <= needed + 3  # nothing begins anew
    assert sum(home.intervals(fake).values()) == 600 + 15


def test_a_crashing_application_is_taken_back_and_the_second_wave_never_begins(
    tmp_path: Path, new: Bundle
) -> None:
    home = Home(tmp_path, meters=2)

    async def story() -> None:
        with home.gateway():
            async with home.meters():
                await home.wait(
                    lambda: rows(tmp_path, "SELECT count(*) FROM application") == [(2,)]
                )
                home.begin(broken(new), "--waves", "1,100%", "--soak", "0s")
                await home.wait(lambda: home.state() == "stopped")
                await home.wait_for_intervals()

    asyncio.run(story())
    assert home.of_meters("reason") == ["fell_back", ""]
    found = home.status()
    assert found["reason"] == "too_many_failures"
    assert [wave["states"] for wave in found["waves"]] == [{"failed": 1}, {"stopped": 1}]
    assert home.of_meters("pieces")[1] == 0
    assert rows(tmp_path, "SELECT DISTINCT version FROM application") == [(OLD,)]
    for fake in home.fakes:
        assert sum(home.intervals(fake).values()) == 600 + 15
