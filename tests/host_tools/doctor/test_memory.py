"""What doctor reads out of a meter's flash, beside what the firmware itself finds there."""

from __future__ import annotations

from typing import Any

import pytest

from firmware import storage
from firmware.journal import TORN_SLOTS_MAX, Ring, block_count
from firmware.keystore import Keystore
from firmware.load_profile import INTERVAL_BYTES
from firmware.metering import Metering
from firmware.storage import open_storage
from host_tools.checks import memory, rings
from host_tools.checks.case import Asked, Case
from host_tools.checks.checked import Checked
from host_tools.device import Device
from tests.support.a_doctored_board import DoctoredBoard, a_case
from tests.support.a_meter import NOON_S, FakePulses
from tests.support.fake_device import FakeDevice
from tests.support.fake_flash import BLOCK_BYTES, FakeFlash
from tests.support.virtual.an_image import TABLE_OFFSET, partition_table

BLOCKS = 256  # 1 MiB, as the partition has
PERIOD_S = 900
NO_RING = rings.Ring(4, 31, 0, 0, 0, 0, b"")


class Lived:
    """A meter that has counted for a while, on a flash of its own."""

    def __init__(self, quarters: int, pulses_a_minute: int = 7) -> None:
        self.flash = FakeFlash(BLOCKS)
        self.storage = open_storage(self.flash)
        self.keystore = Keystore(self.storage.keystore, 3, False)
        self.pulses = FakePulses()
        self.metering = Metering(self.storage, self.pulses, 1000, PERIOD_S)
        for minute in range(15 * quarters + 1):
            self.pulses.count(pulses_a_minute, minute % 2)
            self.metering.tick(NOON_S + 60 * minute, 60, 60 * minute)

    @property
    def end_s(self) -> int:
        """Where the newest interval ended."""
        return NOON_S + int(self.storage.journal.newest) * PERIOD_S


def scanned(board: DoctoredBoard, device: Device, flash: FakeFlash) -> rings.Rings:
    board.put_meter(bytes(flash.image))
    found = rings.scan(a_case(device))
    assert found is not None
    return found


def assert_as_the_firmware_finds_it(found: rings.Rings, flash: FakeFlash) -> None:
    again = open_storage(flash.after_power_on())
    for name, ring in zip(storage.RING_NAMES, again, strict=True):
        assert (found[name].newest, found[name].oldest) == (ring.newest, ring.oldest), name
        assert (found[name].slots, found[name].blocks) == (ring.slots_per_block, ring.blocks)
        newest = ring.read_newest()
        shown = name in rings.SHOWN and newest is not None
        assert found[name].payload == (bytes(newest) if shown and newest else b""), name
    assert sum(ring.erases for ring in found.values()) == again.erases()


# ------------------------------------------------------------ what is in flash


def test_the_rings_lie_where_the_firmware_has_them() -> None:
    made = [(name, blocks, payload) for name, (_, blocks, payload) in
            zip(storage.RING_NAMES, storage._LAYOUT, strict=False)]  # fmt: skip
    assert list(rings.LAYOUT[:-1]) == made
    assert rings.LAYOUT[-1] == (storage.RING_NAMES[-1], 0, INTERVAL_BYTES)
    assert rings.BLOCKS_MIN == storage.FLASH_BLOCKS_MIN
    assert rings.TORN_SLOTS_MAX == TORN_SLOTS_MAX


@pytest.mark.parametrize("quarters", [0, 1, 3, 200])
def test_every_ring_is_found_as_the_firmware_finds_it(
    board: DoctoredBoard, device: Device, quarters: int
) -> None:
    lived = Lived(quarters)
    found = scanned(board, device, lived.flash)
    assert_as_the_firmware_finds_it(found, lived.flash)
    assert block_count(lived.flash) == sum(ring.blocks for ring in found.values())


def test_a_ring_that_has_wrapped_many_times(board: DoctoredBoard, device: Device) -> None:
    flash = FakeFlash(BLOCKS)
    for ring in open_storage(flash):
        for number in range(7 * ring.slots_per_block + 3 if ring.blocks < 10 else 5):
            ring.append(number.to_bytes(2, "big") * (ring.payload_bytes // 2))
    assert_as_the_firmware_finds_it(scanned(board, device, flash), flash)


@pytest.mark.parametrize("minutes", range(5))
def test_registers_are_those_of_the_last_save(
    board: DoctoredBoard, device: Device, minutes: int
) -> None:
    lived = Lived(2)
    for minute in range(31, 31 + minutes):  # saved as counts, beside the state
        lived.pulses.count(11, 2)
        lived.metering.tick(NOON_S + 60 * minute, 60, 60 * minute)
    found = scanned(board, device, lived.flash)
    assert list(rings.registers_wh(found, 1000).values()) == lived.metering.registers.wh
    assert lived.storage.counts.newest >= minutes
    last = rings.newest_interval(found["journal"])
    assert last is not None
    assert (last.number, last.start_s + PERIOD_S) == (2, lived.end_s)


def test_counts_of_an_older_state_are_not_added_twice(board: DoctoredBoard, device: Device) -> None:
    lived = Lived(2)
    lived.pulses.count(5, 0)
    lived.metering.tick(NOON_S + 31 * 60, 60, 31 * 60)
    lived.metering.keep()
    found = scanned(board, device, lived.flash)
    assert list(rings.registers_wh(found, 1000).values()) == lived.metering.registers.wh


def test_registers_are_never_below_the_newest_interval(
    board: DoctoredBoard, device: Device
) -> None:
    lived = Lived(3)
    found = dict(scanned(board, device, lived.flash))
    assert rings.registers_wh({**found, "state": NO_RING}, 1000) == {1: 322, 2: 23}
    assert rings.registers_wh({**found, "state": NO_RING, "journal": NO_RING}, 1000) == {}
    assert rings.registers_wh(found, None)[1] >= 322


def test_frame_counters_are_those_reserved(board: DoctoredBoard, device: Device) -> None:
    lived = Lived(1)
    for _ in range(70):
        lived.keystore.next_counter()
    lived.keystore.heard(4, 1)
    kept = rings.keystore(scanned(board, device, lived.flash)["keystore"])
    assert kept == rings.Keystore(key_epoch=3, starts=1, reserved=128, down_next=5, settled=1)


def test_no_key_in_the_ring_of_settings_comes_over(board: DoctoredBoard, device: Device) -> None:
    lived = Lived(1)
    ring: Ring = lived.storage.settings
    ring.append(b"never-tell-a-key".ljust(ring.payload_bytes))
    before = len(board.said())
    found = scanned(board, device, lived.flash)
    assert found["settings"].newest == 1
    assert b"never-tell-a-key".hex() not in board.said()[before:]
    assert "never-tell" not in board.said()[before:]


def test_noise_and_a_torn_record_are_passed_over(board: DoctoredBoard, device: Device) -> None:
    lived = Lived(3)
    ring = lived.storage.journal
    at = 26 * BLOCK_BYTES + ring.newest * (ring.payload_bytes + 8)
    lived.flash.image[at : at + 20] = b"\x00" * 20  # cut in the middle of the next one
    found = scanned(board, device, lived.flash)
    assert (found["journal"].newest, found["journal"].torn_slots) == (3, 1)
    lived.flash.image[4 * BLOCK_BYTES : 6 * BLOCK_BYTES] = bytes(2 * BLOCK_BYTES)
    found = scanned(board, device, lived.flash)
    assert found["state"].damaged_blocks == 2
    case = a_case(device, now_s=lambda: float(lived.end_s))
    told = memory.journal(case, found)
    assert (told.verdict, told.cause) == ("bad", "damaged")
    assert "damaged: state" in told.measured


# ------------------------------------------------------------ verdicts


def a_look(now_s: float = NOON_S) -> Case:
    facts: Any = type("Facts", (), {"config": {"imp_per_kwh": 1000}})
    return Case(FakeDevice(""), facts, Asked(), now_s=lambda: now_s)


def of(found: Checked) -> tuple[str, str]:
    return found.verdict, found.cause


def healthy(**changes: rings.Ring) -> dict[str, rings.Ring]:
    """Rings of a meter that has lived for three quarters of an hour."""
    lived = Lived(3)
    made = {}
    for name, ring in zip(storage.RING_NAMES, lived.storage, strict=True):
        payload = bytes(ring.read_newest() or b"") if name in rings.SHOWN else b""
        made[name] = rings.Ring(
            ring.blocks, ring.slots_per_block, ring.newest, ring.oldest, 0, 0, payload
        )
    return {**made, **changes}


@pytest.mark.parametrize(
    ("since_s", "expected"),
    [
        (0, ("good", "")),
        (2 * PERIOD_S, ("good", "")),
        (2 * PERIOD_S + 1, ("unknown", "stale")),
        (-86_400, ("good", "")),
        (-86_401, ("bad", "ahead")),
    ],
)
def test_the_journal_by_the_age_of_its_newest_interval(
    since_s: int, expected: tuple[str, str]
) -> None:
    found = memory.journal(a_look(NOON_S + 3 * PERIOD_S + since_s), healthy())
    assert of(found) == expected
    assert found.values["registers_wh"] == {"1.8.0": 322, "2.8.0": 23}
    assert "1.8.0 0.322 kWh" in found.measured
    assert "newest interval 3 from 2021-10-15 12:30 UTC" in found.measured


def test_the_journal_of_a_meter_that_never_knew_the_time() -> None:
    made = healthy()
    undated = (1).to_bytes(4, "little") + made["journal"].payload[4:]
    found = memory.journal(a_look(), {**made, "journal": made["journal"]._replace(payload=undated)})
    assert of(found) == ("good", "")
    assert "not dated yet" in found.measured


def test_the_journal_that_is_empty_or_has_lost_its_state() -> None:
    look = a_look()
    assert of(memory.journal(look, healthy(journal=NO_RING))) == ("unknown", "empty")
    assert of(memory.journal(look, healthy(state=NO_RING))) == ("bad", "state_lost")
    one, two = (healthy()["dates"]._replace(damaged_blocks=count) for count in (1, 2))
    now = a_look(NOON_S + 3 * PERIOD_S)
    assert of(memory.journal(now, healthy(dates=one))) == ("good", "")
    assert of(memory.journal(now, healthy(dates=two))) == ("bad", "damaged")


@pytest.mark.parametrize(
    ("newest", "oldest", "settled", "expected", "numbers"),
    [
        (192, 1, 0, ("good", ""), (192, 0)),
        (193, 1, 0, ("bad", "waiting"), (193, 0)),
        (193, 1, 1, ("good", ""), (192, 0)),
        (20_000, 800, 20_000, ("good", ""), (0, 0)),
        (20_000, 800, 799, ("bad", "waiting"), (19_201, 0)),
        (20_000, 800, 798, ("bad", "overwritten"), (19_201, 1)),
    ],
)
def test_receipts_by_what_waits_for_one(
    newest: int, oldest: int, settled: int, expected: tuple[str, str], numbers: tuple[int, int]
) -> None:
    made = healthy()
    payload = bytearray(made["keystore"].payload)
    payload[20:24] = settled.to_bytes(4, "little")
    kept = made["keystore"]._replace(payload=bytes(payload))
    journal = made["journal"]._replace(newest=newest, oldest=oldest)
    found = memory.receipts(a_look(), {**made, "keystore": kept, "journal": journal})
    assert of(found) == expected
    assert (found.values["waiting"], found.values["lost"]) == numbers


def test_receipts_of_a_meter_without_an_interval() -> None:
    assert of(memory.receipts(a_look(), healthy(journal=NO_RING))) == ("unknown", "empty")


def test_a_lost_record_of_counters_is_told_from_a_new_meter() -> None:
    look = a_look()
    found = memory.counters(look, healthy())
    assert of(found) == ("good", "")
    assert found.values == {"key_epoch": 3, "reserved": 0, "starts": 1}
    assert of(memory.counters(look, healthy(keystore=NO_RING))) == ("bad", "lost")
    new = dict.fromkeys(storage.RING_NAMES, NO_RING)
    assert of(memory.counters(look, new)) == ("unknown", "empty")


@pytest.mark.parametrize(("left", "cause"), [(1 << 32, ""), ((1 << 32) - 1, "used_up")])
def test_counters_that_are_nearly_used_up(left: int, cause: str) -> None:
    made = healthy()
    payload = bytearray(made["keystore"].payload)
    payload[4:12] = (memory.FRAME_COUNTER_MAX - left).to_bytes(8, "little")
    kept = made["keystore"]._replace(payload=bytes(payload))
    assert memory.counters(a_look(), healthy(keystore=kept)).cause == cause


@pytest.mark.parametrize(("share", "cause"), [(79_999, ""), (80_000, "worn"), (100_001, "worn")])
def test_wear_by_the_most_used_ring(share: int, cause: str) -> None:
    counts = healthy()["counts"]
    worn = counts._replace(newest=share * counts.blocks * counts.slots)
    found = memory.wear(a_look(), healthy(counts=worn))
    assert found.cause == cause
    assert (found.values["ring"], found.values["block_erases"]) == ("counts", share)


def test_a_chip_without_the_partition_and_one_with_a_small_one(
    board: DoctoredBoard, device: Device
) -> None:
    table = board.flash.read(TABLE_OFFSET, 0xC00)
    try:
        board.flash.write(TABLE_OFFSET, table.replace(b"meter", b"other"))
        nothing = rings.scan(a_case(device))
        assert nothing is None
        at = table.index(b"meter") - 4  # the size stands in front of the label
        small = (27 * BLOCK_BYTES).to_bytes(4, "little")
        board.flash.write(TABLE_OFFSET, table[:at] + small + table[at + 4 :])
        too_small = rings.scan(a_case(device))
        assert too_small == {}
        for check, _ in memory.OF_RINGS:
            missing, short = memory.without(check, nothing), memory.without(check, too_small)
            assert missing is not None
            assert short is not None
            assert (missing.cause, short.cause) == ("no_partition", "too_small")
    finally:
        board.flash.write(TABLE_OFFSET, partition_table())
    assert memory.without(memory.WEAR, healthy()) is None
