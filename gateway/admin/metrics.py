"""What Prometheus reads: counts, ages and sizes, gathered when it asks. No meter is a label."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from gateway import journal
from gateway.admin.reader import Reader
from gateway.errors import StoreError
from gateway.intake import GroupDone, Intake
from gateway.outages import notices
from gateway.store import schema_files
from wire import errors as wire_errors

VERSION = "0.1.0"  # as in pyproject.toml
CONTENT_TYPE = CONTENT_TYPE_LATEST
LOOK_S = 5.0  # how long a scrape waits for the database; then it gives what it knew before
# Words of other gateways' dashboards for our refusals; the rest go under their own names.
RESULTS = {
    wire_errors.Replayed.reason: "replay",
    wire_errors.BadTag.reason: "auth_failed",
    wire_errors.UnknownMeter.reason: "unknown_device",
}
COMMIT_EDGES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
GROUP_EDGES_FRAMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)

log = structlog.get_logger()


class Kept(NamedTuple):
    """What the database says."""

    undelivered: int  # frames in the journal that settlement does not have
    oldest_s: int | None  # when the oldest of them came, UTC seconds
    commands: dict[str, int]  # by state
    notices: Mapping[str, int]  # that wait, by channel
    parked: int


class Heard(NamedTuple):
    """What the running parts say; each is asked at a scrape, so a frame costs nothing."""

    connections: Callable[[], int]
    meters: Callable[[], int]
    silent: Callable[[int], int]  # given the time
    requests: Callable[[], Mapping[str, int]]  # to settlement, by status or by what went wrong
    outages: Callable[[], tuple[int, int]]  # of meters and of areas, that last
    certificate_days: Callable[[], int | None]  # until the endpoint's expires


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(
        self, reader: Reader, intake: Intake, heard: Heard, clock_s: Callable[[], int]
    ) -> None:
        self._reader, self._clock_s = reader, clock_s
        self.registry = CollectorRegistry(auto_describe=False)
        self._shown = _Shown(reader.path, intake, heard, clock_s)
        self.registry.register(self._shown)
        self._commit = Histogram(
            "gw_commit_seconds", "One group commit, fsync included.",
            registry=self.registry, buckets=COMMIT_EDGES_S,
        )  # fmt: skip
        self._frames = Histogram(
            "gw_commit_batch_frames", "Frames in one group commit.",
            registry=self.registry, buckets=GROUP_EDGES_FRAMES,
        )  # fmt: skip
        self._wait = Histogram(
            "gw_ack_latency_seconds", "Receive to PUBACK, of the oldest frame of each group.",
            registry=self.registry, buckets=COMMIT_EDGES_S,
        )  # fmt: skip
        intake.on_group = self.note

    @property
    def refused_requests(self) -> Mapping[str, int]:
        """Of the admin interface, by problem."""
        return self._shown.refused_requests

    def show_refused_requests(self, counts: Mapping[str, int]) -> None:
        """The admin interface counts them in here, by problem."""
        self._shown.refused_requests = counts

    def note(self, done: GroupDone) -> None:
        """A group is durable."""
        self._commit.observe(done.commit_s)
        self._frames.observe(done.frames)
        self._wait.observe(done.oldest_wait_s)

    async def text(self) -> bytes:
        """The exposition. A database that is busy or full never makes the scrape fail."""
        try:
            self._shown.kept = await asyncio.wait_for(self._reader.look(look), LOOK_S)
        except (StoreError, TimeoutError) as error:
            log.warning("metrics_from_memory", error=str(error) or "the database is busy")
        return generate_latest(self.registry)  # on the loop, where the counts are


def look(connection: sqlite3.Connection) -> Kept:
    """Count what the database keeps; beside the store's own thread."""
    delivered = connection.execute(
        "SELECT coalesce((SELECT min(first_id) - 1 FROM batch WHERE state = 'frozen'),"
        " (SELECT max(last_id) FROM batch), 0)"
    ).fetchone()[0]
    oldest = journal.read_rows(connection, delivered, 1)
    return Kept(
        journal.last_id(connection) - delivered,
        oldest[0].received_s if oldest else None,
        dict(connection.execute("SELECT state, count(*) FROM command GROUP BY state").fetchall()),
        notices.waiting_by_channel(connection),
        _count(connection, "SELECT count(*) FROM parked WHERE state <> 'delivered'"),
    )


def _count(connection: sqlite3.Connection, query: str) -> int:
    found: int = connection.execute(query).fetchone()[0]
    return found


class _Shown(Collector):
    """Reads the counts when Prometheus asks."""

    def __init__(
        self, path: Path, intake: Intake, heard: Heard, clock_s: Callable[[], int]
    ) -> None:
        self._path, self._intake, self._heard, self._clock_s = path, intake, heard, clock_s
        self.kept = Kept(0, None, {}, {}, 0)
        self.refused_requests: Mapping[str, int] = {}

    def collect(self) -> Iterable[Metric]:
        """Every metric but the histograms."""
        now_s, kept, heard = self._clock_s(), self.kept, self._heard
        age_s = 0 if kept.oldest_s is None else max(0, now_s - kept.oldest_s)
        yield _by("gw_frames", "Frames and sessions judged.", "result", self._results())
        yield _by("gw_forward_requests", "Requests to settlement.", "code", heard.requests())
        refused = dict(self.refused_requests)
        yield _by("gw_api_refused", "Requests the admin interface refused.", "problem", refused)
        yield _gauge("gw_outbox_depth_frames", "Frames that settlement lacks.", kept.undelivered)
        yield _gauge("gw_outbox_oldest_age_seconds", "Age of the oldest of them.", age_s)
        yield _gauge("gw_parked_frames", "Profiles settlement did not take.", kept.parked)
        yield _gauge("gw_meters", "Meters that were heard once.", heard.meters())
        yield _gauge("gw_devices_silent", "Meters not heard for silence_s.", heard.silent(now_s))
        yield _gauge("gw_connections", "Connections to the endpoint.", heard.connections())
        slowed = CounterMetricFamily("gw_slowed", "Times a meter over its rate was not read.")
        slowed.add_metric([], self._intake.slowed)
        yield slowed
        meters_out, areas_out = heard.outages()
        yield _gauge("gw_outages_open", "Meters whose outage is not over.", meters_out)
        yield _gauge("gw_area_outages_open", "Areas whose outage is not over.", areas_out)
        yield _by_gauge("gw_notices_waiting", "Notices not sent yet.", "channel", kept.notices)
        days = heard.certificate_days()
        if days is not None:
            yield _gauge("gw_certificate_days", "Until the endpoint's certificate expires.", days)
        yield _by_gauge("gw_commands", "Commands to meters.", "state", kept.commands)
        yield _gauge("gw_journal_bytes", "The database with its log.", _size_bytes(self._path))
        yield _gauge("gw_halted", "1 while the store takes no writes.", int(self._intake.halted))
        yield InfoMetricFamily(
            "gw_build", "What runs.",
            {
                "version": VERSION,
                "schema": str(len(schema_files())),
                "python": platform.python_version(),
            },
        )  # fmt: skip

    def _results(self) -> dict[str, int]:
        intake = self._intake
        results = {"accepted": intake.accepted, "duplicate": intake.duplicates}
        for reason, count in list(intake.refused_by.items()):
            result = RESULTS.get(reason, reason)
            results[result] = results.get(result, 0) + count
        return results


def _by(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _by_gauge(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _size_bytes(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
