"""What Prometheus reads: its own parser takes it, the numbers are those of the gateway."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.admin import metrics
from gateway.downlink import commands
from gateway.intake import GroupDone
from gateway.registry import UNKNOWN_METER
from gateway.service import Service
from tests.support.gateway import Client, FakeSettlement, a_gateway, a_home, a_meter, rows, until
from wire.messages import COMMAND_READ_NOW

ROOT = Path(__file__).resolve().parents[2]
# reference names: what dashboards of such gateways ask for.
NAMES = {
    "gw_frames_total", "gw_commit_seconds_count", "gw_commit_batch_frames_count",
    "gw_ack_latency_seconds_count", "gw_outbox_depth_frames", "gw_outbox_oldest_age_seconds",
    "gw_forward_requests_total", "gw_devices_silent", "gw_journal_bytes", "gw_build_info",
    "gw_connections", "gw_commands", "gw_outages_open", "gw_slowed_total", "gw_area_outages_open",
    "gw_parked_frames", "gw_halted",
}  # fmt: skip
Samples = dict[str, dict[tuple[str, ...], float]]


def parsed(text: str) -> Samples:
    """Samples by name, then by the values of their labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def scraped(running: Service) -> Samples:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{running.http_port}/metrics"
        async with session.get(url) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/plain"
            return parsed(await answer.text())


def watched(folder: Path, work: Callable[[Service], Awaitable[None]], url: str | None = None
            ) -> Samples:  # fmt: skip
    """The metrics of a gateway after some work."""
    config = a_home(folder, a_meter(), settlement_url=url)
    config.write_text(config.read_text() + "[http]\nport = 0\n")

    async def look() -> Samples:
        async with a_gateway(config) as running:
            await work(running)
            return await scraped(running)

    return asyncio.run(look())


CLIENTS: list[Client] = []  # they stay connected


async def deliver(running: Service, frames: int = 3) -> None:
    """Frames, one of them twice, one that is none."""
    meter = a_meter()
    client = await Client.join(running.port, meter)
    CLIENTS.append(client)
    sealed = [meter.frame() for _ in range(frames)]
    for packet_id, each in enumerate([*sealed, sealed[-1], b"no frame"], start=1):
        client.publish(meter, each, packet_id)
        await client.puback()


def test_every_name_is_there_and_frames_are_counted_by_their_verdict(tmp_path: Path) -> None:
    found = watched(tmp_path, deliver)
    found_names = set(found) | ({"gw_commands", "gw_forward_requests_total"})  # no row, no sample
    assert found_names >= NAMES
    frames = found["gw_frames_total"]
    assert frames == {("accepted",): 3, ("duplicate",): 1, ("malformed",): 1}
    assert found["gw_connections"][()] == 1
    assert 3 <= found["gw_commit_batch_frames_sum"][()] <= 5
    assert found["gw_commit_seconds_count"][()] == found["gw_ack_latency_seconds_count"][()] > 0
    assert found["gw_journal_bytes"][()] > 4096
    assert found["gw_halted"][()] == 0


def test_frames_that_wait_for_settlement_have_a_depth_and_an_age(tmp_path: Path) -> None:
    found = watched(tmp_path, deliver)
    assert found["gw_outbox_depth_frames"][()] == 3
    assert 0 <= found["gw_outbox_oldest_age_seconds"][()] < 60


def test_after_delivery_the_outbox_is_empty(tmp_path: Path) -> None:
    settlement = FakeSettlement()

    async def work(running: Service) -> None:
        await settlement.start()
        running.forwarder._url = f"{settlement.url}/v1/batches"  # type: ignore[union-attr]
        await deliver(running)
        done = "SELECT max(last_id) FROM batch WHERE state = 'delivered'"
        await until(lambda: rows(tmp_path, done) == [(3,)])
        await settlement.stop()

    found = watched(tmp_path, work, "http://127.0.0.1:1")
    assert found["gw_forward_requests_total"][("200",)] >= 1
    assert found["gw_outbox_depth_frames"][()] == 0
    assert found["gw_outbox_oldest_age_seconds"][()] == 0


def test_refusals_have_the_names_that_dashboards_know() -> None:
    assert metrics.RESULTS == {
        "replayed": "replay", "bad_tag": "auth_failed", "unknown_meter": "unknown_device",
    }  # fmt: skip


def test_no_meter_is_a_label(tmp_path: Path) -> None:
    async def work(running: Service) -> None:
        await deliver(running)
        running.intake.refuse(a_meter().meter_id, "bad_tag")
        running.intake.refuse(UNKNOWN_METER, "unknown_meter")

    found = watched(tmp_path, work)
    labels = {value for samples in found.values() for values in samples for value in values}
    assert not any(a_meter().hex_id in value for value in labels)
    assert found["gw_frames_total"][("auth_failed",)] == 1
    assert found["gw_frames_total"][("unknown_device",)] == 1


def test_a_meter_is_silent_when_it_was_not_heard_for_so_long(tmp_path: Path) -> None:
    async def work(running: Service) -> None:
        await deliver(running)
        silent = running._heard().silent
        (meter,) = running.registry.meters.values()
        silence_s = running.config.outages.silence_s
        assert silent(meter.heard_s + silence_s - 1) == 0
        assert silent(meter.heard_s + silence_s) == 0
        assert silent(meter.heard_s + silence_s + 10) == 1

    assert watched(tmp_path, work)["gw_devices_silent"][()] == 0


def test_the_histograms_are_fed_by_groups_not_by_frames(tmp_path: Path) -> None:
    async def work(running: Service) -> None:
        running.metrics.note(GroupDone(1000, 0.004, 0.02))

    found = watched(tmp_path, work)
    assert found["gw_commit_batch_frames_sum"][()] == 1000
    assert found["gw_commit_batch_frames_count"][()] == 1
    assert found["gw_ack_latency_seconds_sum"][()] == 0.02


def test_a_database_that_cannot_be_read_never_makes_the_scrape_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: sqlite3.Connection) -> metrics.Kept:
        raise sqlite3.OperationalError("disk I/O error")

    async def work(running: Service) -> None:
        await deliver(running)
        await running.metrics.text()
        monkeypatch.setattr(metrics, "look", fails)

    assert watched(tmp_path, work)["gw_outbox_depth_frames"][()] == 3


def test_commands_are_counted_by_their_state(tmp_path: Path) -> None:
    async def work(running: Service) -> None:
        def queue(connection: sqlite3.Connection) -> None:
            for _ in range(3):
                row_id = commands.queue(
                    connection, a_meter().meter_id, COMMAND_READ_NOW, (), actor="t",
                    now_s=int(time.time()),
                )  # fmt: skip
            commands.cancel(connection, row_id, "t", int(time.time()))

        await running.store.run(queue)

    assert watched(tmp_path, work)["gw_commands"] == {("queued",): 2, ("cancelled",): 1}


def test_the_build_is_the_projects_version(tmp_path: Path) -> None:
    async def nothing(_: Service) -> None:
        return

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == metrics.VERSION
    (labels,) = watched(tmp_path, nothing)["gw_build_info"]
    assert project["version"] in labels
