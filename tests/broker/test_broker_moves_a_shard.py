"""Two gateways behind one mosquitto: a shard moves, and each hears its own filters only."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.behind_a_broker import KeepingMeter
from tests.support.gateway import FakeSettlement, until
from tests.support.mosquitto import PERSISTENT, Mosquitto
from tests.support.moving import meters_in
from tests.support.two_gateways import Gateway, check_settlement
from wire.topics import shard_of

INTERVAL_S = 0.05


def test_behind_one_broker_a_shard_moves_and_no_interval_is_lost_or_counted_twice(
    tmp_path: Path,
) -> None:
    moving, high = meters_in("00", "7f", 1)[0], meters_in("80", "ff", 1)[0]
    low = next(m for m in meters_in("00", "7f", 9) if m.hex_id != moving.hex_id)
    shard = shard_of(moving.meter_id)
    keepers = [KeepingMeter(meter) for meter in (moving, low, high)]

    async def progress(of: list[KeepingMeter], by: int = 10) -> None:
        reached = [one.settled + by for one in of]
        await until(
            lambda: all(one.settled >= n for one, n in zip(of, reached, strict=True)), limit_s=20
        )

    async def story(broker: Mosquitto) -> None:
        fake = FakeSettlement()
        await fake.start()
        door = f'[broker]\nurl = "{broker.url}"\n'
        a = Gateway(tmp_path / "a", "gw-a", "00-7f", fake.url, moving, low, more=door)
        b = Gateway(tmp_path / "b", "gw-b", "80-ff", fake.url, high, more=door)
        try:
            await asyncio.gather(a.start(), b.start())
            tasks = [asyncio.create_task(one.run(broker.port, INTERVAL_S)) for one in keepers]
            await progress(keepers)
            file = await a.export(shard, "gw-b")
            given_up = keepers[0].settled
            await progress(keepers[1:])  # the others go on, this one waits
            assert keepers[0].settled <= given_up + 1
            assert f"gw-a m/{shard}/+/up" in _parted(broker, "gw-a")
            await b.stop()
            b.serve(f"80-ff,{shard}")
            await b.take(file)
            await b.start()
            await progress(keepers)
            settled = {one.meter.hex_id: one.settled for one in keepers}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: _delivered(fake, settled), limit_s=20)
        finally:
            await asyncio.gather(a.stop(), b.stop())
            await fake.stop()
        check_settlement(tmp_path, fake, settled)

    with Mosquitto(tmp_path / "mosquitto", PERSISTENT + "log_type all\n") as broker:
        asyncio.run(story(broker))


def _parted(broker: Mosquitto, client_id: str) -> str:
    """The filters that a gateway unsubscribed, as mosquitto's log has them."""
    log = (broker.folder / "log").read_text()
    return log.partition(f"Received UNSUBSCRIBE from {client_id}")[2]


def _delivered(fake: FakeSettlement, settled: dict[str, int]) -> bool:
    """Whether settlement has what was receipted, in whichever order it came."""
    last: dict[str, int] = {}
    for batch in fake.taken.values():
        for profile in batch.profiles:
            end = (profile.start_s - 1_634_256_000) // 900 + len(profile.quality)
            last[profile.meter_id] = max(last.get(profile.meter_id, 0), end)
    return all(last.get(meter_id, 0) >= number for meter_id, number in settled.items())
