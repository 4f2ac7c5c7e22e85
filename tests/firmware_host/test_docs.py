"""docs/firmware.md says what the firmware does: its state table and its numbers."""

from pathlib import Path

import tests.support.umqtt_here  # noqa: F401  (makes umqtt importable here)
from firmware import commands, load_profile, mqtt, mqtt_door, uplink
from firmware.board import BLOCKING_MS_MAX
from firmware.journal import RING_BLOCKS_MIN
from firmware.keystore import COUNTERS_RESERVED
from firmware.metering import SAVE_S, SAVE_WH
from firmware.storage import FLASH_BLOCKS_MIN, RING_NAMES, open_storage
from tests.support.fake_flash import FakeFlash
from tests.support.uplink_table import table_as_text

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "firmware.md").read_text("utf-8")
MIB_BLOCKS = 256
CHANNELS_DAY = 96


def test_the_page_shows_the_state_table_of_the_uplink() -> None:
    assert table_as_text() in PAGE


def test_the_page_shows_every_ring_as_it_lies_in_a_partition_of_1_mib() -> None:
    at = 0
    for name, ring in zip(RING_NAMES, open_storage(FakeFlash(MIB_BLOCKS)), strict=True):
        last = at + ring.blocks - 1
        slot_bytes = ring.payload_bytes + 8
        row = f"| {at} to {last} | {slot_bytes} B | {ring.slots_per_block} |"
        assert f"| {name} |" in PAGE
        assert row in PAGE, row
        at = last + 1
    assert at == MIB_BLOCKS
    days = (ring.blocks - 1) * ring.slots_per_block // CHANNELS_DAY
    assert f"{days} days" in PAGE
    assert f"{FLASH_BLOCKS_MIN} blocks" in PAGE
    assert RING_BLOCKS_MIN == 2  # "fewer than two sound blocks"


def test_the_page_s_limits_are_the_firmware_s() -> None:
    for value, unit in (
        (mqtt.PUBLISH_TIMEOUT_MS // 1000, "s"),
        (mqtt.CONNECT_TIMEOUT_MS // 1000, "s"),
        (BLOCKING_MS_MAX // 1000, "s"),
        (mqtt_door.INBOUND_BYTES_MAX, "B"),
        (uplink.RECEIPT_WAIT_MS // 1000, "s"),
        (uplink.RESEND_MAX_MS // 1000, "s"),
        (COUNTERS_RESERVED, "counters"),
        (load_profile.PUSH_INTERVALS_MAX, "intervals"),
        (SAVE_S, "s"),
        (SAVE_WH, "Wh"),
    ):
        assert f"| {value} {unit} |" in PAGE, (value, unit)
    assert f"{load_profile.PACKET_BYTES_MAX} B on the air" in PAGE
    assert f"count 1 to {commands.READ_PROFILE_MAX}" in PAGE
