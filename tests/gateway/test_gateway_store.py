"""The database: schema by number, a full disk, a wrong key, and what is rebuilt at start."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway import intake, journal, store
from gateway.errors import (
    DamagedStore,
    NewerStore,
    StoreError,
    StoreFull,
    StoreInUse,
)
from gateway.meter import Progress
from gateway.service import Service
from tests.support.gateway import (
    Client,
    FakeMeter,
    a_gateway,
    a_home,
    a_meter,
    a_profile,
    journal_of,
    rows,
    until,
)
from wire import messages


def progress_of(folder: Path) -> dict[bytes, tuple[object, ...]]:
    connection = store.connect(folder / "gateway.db")
    try:
        return {meter: flat(progress) for meter, progress in journal.rebuild(connection).items()}
    finally:
        connection.close()


def flat(progress: Progress) -> tuple[object, ...]:
    windows = {epoch: (w.highest, w.bits) for epoch, w in progress.windows.items() if w.bits}
    return windows, progress.intervals.upto, progress.intervals.islands


@pytest.mark.parametrize("checkpoint_frames", [1, 3, 1000])
def test_progress_is_rebuilt_from_checkpoint_and_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_frames: int
) -> None:
    monkeypatch.setattr(journal, "CHECKPOINT_FRAMES", checkpoint_frames)
    fleet = [a_meter(number) for number in range(3)]
    before: dict[bytes, tuple[object, ...]] = {}

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, *fleet)) as gateway:
            for meter in fleet:
                client = await Client.join(gateway.port, meter)
                for packet_id in range(1, 9):
                    if packet_id == 4:
                        meter.counter += 2  # a gap in the frames
                        meter.next_interval += 5  # and one in the intervals
                    client.publish(meter, meter.frame(2), packet_id)
                    await client.puback()
                await client.close()
            for meter_id, known in gateway.registry.meters.items():
                before[meter_id] = flat(known.progress)
            # As after kill -9: what the file holds now, without the checkpoint of a clean stop.
            assert progress_of(tmp_path) == before
        assert progress_of(tmp_path) == before
        assert rows(tmp_path, "SELECT journal_id FROM checkpoint") == [(24,)]

    asyncio.run(story())
    assert before[fleet[0].meter_id][1] == 6


def test_a_restarted_gateway_knows_what_it_has_seen(tmp_path: Path) -> None:
    meter = a_meter()
    sealed = meter.frame()

    async def story() -> None:
        config = a_home(tmp_path, meter)
        for packet_id in (1, 2):
            async with a_gateway(config) as gateway:
                client = await Client.join(gateway.port, meter)
                client.publish(meter, sealed, packet_id)
                assert await client.puback() == packet_id
                assert (await client.receipt(meter)).frame_counter == 0
                await client.close()
        assert len(journal_of(tmp_path)) == 1

    asyncio.run(story())


def test_a_full_disk_stops_the_acknowledging_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(intake, "RETRY_S", 0.05)
    meter = a_meter()
    acked: list[int] = []

    async def story() -> None:
        async with a_gateway(a_home(tmp_path, meter)) as gateway:
            client = await Client.join(gateway.port, meter)
            unacked = await fill_the_disk(gateway, client, meter, acked)
            refused = await Client.open(gateway.port)
            assert await refused.connect(meter) == 3  # server unavailable
            assert is_halted(gateway)
            assert len(journal_of(tmp_path)) == len(acked)
            await limit_pages(gateway.store, 1 << 30)
            await until(lambda: not gateway.intake.halted)
            again = await Client.join(gateway.port, meter)
            again.publish(meter, unacked, packet_id=9)
            assert await again.puback() == 9
            assert (await again.receipt(meter)).frame_counter == len(acked)
            for line in (client, refused, again):
                await line.close()
        counters = [row.frame_counter for row in journal_of(tmp_path)]
        assert counters == list(range(len(acked) + 1))

    asyncio.run(story())
    assert "disk_full" in capsys.readouterr().out


async def fill_the_disk(
    gateway: Service, client: Client, meter: FakeMeter, acked: list[int]
) -> bytes:
    """Publish until the disk is full; returns the frame that was not acknowledged."""
    pages = gateway.store.connection.execute("PRAGMA page_count").fetchone()[0]
    await limit_pages(gateway.store, pages + 20)
    for packet_id in range(1, 5000):
        sealed = meter.seal(a_profile(meter.counter + 1, intervals=200))
        client.publish(meter, sealed, packet_id)
        try:
            acked.append(await client.puback())
        except (asyncio.IncompleteReadError, ConnectionError):
            return sealed
    raise AssertionError("the disk never filled")


def test_a_gateway_stopped_with_a_full_disk_remembers_only_what_it_acknowledged(
    tmp_path: Path,
) -> None:
    meter = a_meter()
    acked: list[int] = []

    async def story() -> None:
        config = a_home(tmp_path, meter)
        async with a_gateway(config) as gateway:
            client = await Client.join(gateway.port, meter)
            unacked = await fill_the_disk(gateway, client, meter, acked)
        async with a_gateway(config) as gateway:
            again = await Client.join(gateway.port, meter)
            again.publish(meter, unacked, packet_id=9)
            assert await again.puback() == 9
            assert (await again.receipt(meter)).frame_counter == len(acked)
            await client.close()
            await again.close()
        assert len(journal_of(tmp_path)) == len(acked) + 1

    asyncio.run(story())


def is_halted(gateway: Service) -> bool:
    return gateway.intake.halted


async def limit_pages(kept: store.Store, pages: int) -> None:
    """Give the database file a real limit: SQLite answers SQLITE_FULL beyond it."""
    loop = asyncio.get_running_loop()
    query = f"PRAGMA max_page_count = {pages}"
    await loop.run_in_executor(kept._thread, lambda: kept.connection.execute(query).fetchall())


def test_a_failed_commit_takes_every_part_of_its_group_back(tmp_path: Path) -> None:
    connection = store.connect(tmp_path / "gateway.db")
    group = journal.Group(1, rows=[(bytes(8), 0, 0, 1, b"")], refusals={(b"", "bad_tag"): 1})
    group.wills.append(journal.Will(bytes(8), 1, "line_lost", None))  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        store.transact(connection, lambda c: journal.commit(c, group))
    assert journal.last_id(connection) == 0
    assert connection.execute("SELECT count(*) FROM refusal").fetchone() == (0,)
    connection.close()


def test_frame_counters_of_64_bits_survive_the_database(tmp_path: Path) -> None:
    connection = store.connect(tmp_path / "gateway.db")
    message = messages.encode(a_profile())
    top = (1 << 64) - 1
    group = journal.Group(1, rows=[(bytes(8), 0, c, 1, message) for c in (top - 1, top)])
    store.transact(connection, lambda c: journal.commit(c, group))
    assert journal.rebuild(connection)[bytes(8)].windows[0].highest == top
    for counter in (0, (1 << 63) - 1, 1 << 63, top):
        assert journal.to_unsigned(journal.to_signed(counter)) == counter
    connection.close()


def test_a_journal_that_repeats_a_frame_is_named_damaged(tmp_path: Path) -> None:
    connection = store.connect(tmp_path / "gateway.db")
    group = journal.Group(1, rows=[(bytes(8), 0, 5, 1, messages.encode(a_profile()))] * 2)
    store.transact(connection, lambda c: journal.commit(c, group))
    with pytest.raises(DamagedStore, match="journal row 2 repeats frame 5"):
        journal.rebuild(connection)
    connection.close()


def test_a_database_from_a_newer_gateway_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    connection = store.connect(path)
    connection.execute(f"PRAGMA user_version = {len(store.schema_files()) + 1}")
    connection.close()
    with pytest.raises(NewerStore, match="install the newer gateway"):
        store.connect(path)
    with pytest.raises(NewerStore):
        store.connect_read_only(path)


@pytest.mark.parametrize("content", [b"not a database at all" * 300, None])
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gateway.db"
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (id)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(DamagedStore):
        store.connect(path)
    assert len(path.read_bytes()) == len(before)


def test_two_gateways_on_one_database_are_refused(tmp_path: Path) -> None:
    first = store.Store(tmp_path / "gateway.db")
    with pytest.raises(StoreInUse, match="stop that one first"):
        store.Store(tmp_path / "gateway.db")
    first.close()
    store.Store(tmp_path / "gateway.db").close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"check \[store\] path"):
        store.Store(tmp_path / "nowhere" / "gateway.db")


def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    store.connect(tmp_path / "gateway.db").close()
    assert (tmp_path / "gateway.db").stat().st_mode & 0o077 == 0


def test_sqlite_says_full_and_we_name_it(tmp_path: Path) -> None:
    connection = store.connect(tmp_path / "gateway.db")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError) as full:
        store.transact(connection, journal.probe)
    assert isinstance(store.explain(full.value), StoreFull)
    connection.execute("PRAGMA max_page_count = 1000000")
    store.transact(connection, journal.probe)
    connection.close()


def test_the_journal_is_flushed_to_disk_at_every_commit(tmp_path: Path) -> None:
    connection = store.connect(tmp_path / "gateway.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    connection.close()
