"""docs/firmware.md says what the firmware does: its state table and its numbers."""

from pathlib import Path

import tests.support.umqtt_here  # noqa: F401  (makes umqtt importable here)
from firmware import journal, load_profile, mqtt, saved_state, storage, uplink
from firmware.keystore import COUNTERS_RESERVED, KEYSTORE_BYTES
from firmware.metering import SAVE_S, SAVE_WH

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "firmware.md").read_text("utf-8")
MIB_BLOCKS = 256
BLOCK_BYTES = 4096


def rows(payload_bytes: int, blocks: int) -> str:
    slot = payload_bytes + journal.SLOT_OVERHEAD_BYTES
    return f"| {slot} B | {BLOCK_BYTES // slot} | {blocks} |"


def test_the_page_shows_the_state_table_of_the_uplink() -> None:
    assert uplink.table_as_text() in PAGE


def test_the_page_s_storage_numbers_are_the_firmware_s() -> None:
    journal_blocks = MIB_BLOCKS - storage.KEYSTORE_BLOCKS - storage.STATE_BLOCKS
    assert rows(KEYSTORE_BYTES, storage.KEYSTORE_BLOCKS) in PAGE
    assert rows(saved_state.STATE_BYTES, storage.STATE_BLOCKS) in PAGE
    assert rows(load_profile.INTERVAL_BYTES, journal_blocks) in PAGE
    days = (journal_blocks - 1) * (BLOCK_BYTES // 32) // 96
    assert f"{days} days" in PAGE


def test_the_flash_lasts_twenty_years_at_the_shipped_cadence() -> None:
    slots = BLOCK_BYTES // (saved_state.STATE_BYTES + journal.SLOT_OVERHEAD_BYTES)
    assert slots >= 100  # at most 0.01 erases a record
    saves_a_day = 86400 // SAVE_S
    years = 100_000 * slots * storage.STATE_BLOCKS // saves_a_day // 365
    assert years >= 20
    assert f"{years} years" in PAGE


def test_the_page_s_limits_are_the_firmware_s() -> None:
    for value, unit in (
        (mqtt.PUBLISH_TIMEOUT_MS // 1000, "s"),
        (mqtt.CONNECT_TIMEOUT_MS // 1000, "s"),
        (mqtt.INBOUND_BYTES_MAX, "B"),
        (uplink.RECEIPT_WAIT_MS // 1000, "s"),
        (uplink.RESEND_MAX_MS // 1000, "s"),
        (COUNTERS_RESERVED, "counters"),
        (load_profile.PUSH_INTERVALS_MAX, "intervals"),
        (SAVE_S, "s"),
        (SAVE_WH, "Wh"),
    ):
        assert f"| {value} {unit} |" in PAGE, (value, unit)
