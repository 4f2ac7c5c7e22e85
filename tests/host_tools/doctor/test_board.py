"""What doctor says of the board itself: identity, versions, memory, clock, radio."""

import json
import struct
from binascii import crc32
from functools import partial
from operator import sub
from typing import Any

import pytest

from host_tools.checks import itself, line
from host_tools.checks.case import CONFIG_KEYS, Asked, Case, Facts, facts_of
from host_tools.device import Device, DeviceFailed
from host_tools.image import nvs
from host_tools.pairing.errors import BadInput
from tests.support.a_diagnosis import expect, expect_good
from tests.support.a_doctored_board import (
    CONFIG,
    SECRETS,
    DoctoredBoard,
    a_case,
    an_identity,
)
from tests.support.a_meter import settings
from tests.support.fake_device import FakeDevice
from tests.support.virtual import an_image

HEX_ID = an_identity().hex_id
NOW_S = 1_700_000_000


def config(device: Device, *without: str, **changes: Any) -> None:
    """Another config.json."""
    values = {**CONFIG, **changes}
    kept = {name: value for name, value in values.items() if name not in without}
    device.write_file("/config.json", json.dumps(kept).encode())


# ------------------------------------------------------------ what comes over


def test_no_secret_comes_over_the_line(board: DoctoredBoard, device: Device) -> None:
    config(device, meter_key="never-tell-key", password="never-tell-key", note="never-tell-wifi")
    before = len(board.said())
    facts = facts_of(device)
    said = board.said()[before:] + repr(facts)
    assert not [secret for secret in SECRETS if secret in said]
    assert an_identity().meter_key.reveal().hex() not in said
    assert an_identity().password.reveal().decode() not in said
    assert {"wifi_password", "meter_key", "password", "note"} == set(facts.config_others)
    assert set(facts.config) <= set(CONFIG_KEYS)


def test_a_board_that_answers_nonsense_is_refused_with_a_next_step() -> None:
    for said in ("", "{}", "[]", "no json", '{"board": 5}', "Traceback"):
        with pytest.raises(DeviceFailed, match="press reset"):
            facts_of(FakeDevice(said))


@pytest.mark.parametrize(
    "wrong",
    [{"pulses": -1}, {"pulses": 1001}, {"pulses_s": 0.0}, {"pulses_s": 300.1}, {"level": "L3"}],
)
def test_what_is_asked_for_has_its_limits(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Asked(**wrong)
    assert Asked(pulses=1000, pulses_s=300.0, level="L2").pulses == 1000


# ------------------------------------------------------------ identity


def test_a_paired_board_tells_its_meter_id(device: Device) -> None:
    found = itself.identity(a_case(device))
    expect_good(found, HEX_ID, "key epoch 3", "NVS")
    assert found.values == {"meter_id": HEX_ID, "key_epoch": 3}


def test_a_config_that_says_it_all_is_an_identity(board: DoctoredBoard, device: Device) -> None:
    board.put_identity(None)
    config(device, **settings())
    expect_good(itself.identity(a_case(device)), "0011223344556677", "config.json")


def test_a_board_without_an_identity_is_to_be_paired(board: DoctoredBoard, device: Device) -> None:
    board.put_identity(None)
    expect(itself.identity(a_case(device)), "bad", "not_paired")
    device.remove("/config.json")
    expect(itself.identity(a_case(device)), "bad", "not_paired")


@pytest.mark.parametrize("missing", nvs.IDENTITY_NAMES)
def test_a_part_of_an_identity_is_none(board: DoctoredBoard, device: Device, missing: str) -> None:
    entries = [each for each in nvs.identity_entries(an_identity()) if each.key != missing]
    board.flash.write(an_image.NVS[0], nvs.generate(tuple(entries), an_image.NVS[1]))
    expect(itself.identity(a_case(device)), "bad", "half")


@pytest.mark.parametrize("missing", ["meter_id", "meter_key", "password", "key_epoch"])
def test_a_part_of_an_identity_in_the_config_is_none(
    board: DoctoredBoard, device: Device, missing: str
) -> None:
    board.put_identity(None)
    config(device, missing, **settings())
    expect(itself.identity(a_case(device)), "bad", "half")


def test_an_identity_without_a_config_is_half(device: Device) -> None:
    device.remove("/config.json")
    expect(itself.identity(a_case(device)), "bad", "half", "no config.json")


@pytest.mark.parametrize("content", [b"{not json", b"", b"5", b"\xff\xfe"])
def test_a_damaged_config_is_named(device: Device, content: bytes) -> None:
    device.write_file("/config.json", content)
    expect(itself.identity(a_case(device)), "bad", "config_damaged")


# ------------------------------------------------------------ versions


def a_record(turn: int, confirmed: str, trial: str, tries: int, fell_back: int) -> bytes:
    """As boards/start.py writes it."""
    record = struct.pack(">2sIssBB", b"S1", turn, confirmed.encode(), trial.encode(), tries,
                         fell_back)  # fmt: skip
    return record + crc32(record).to_bytes(4, "big")


def test_versions_that_are_new_enough(device: Device) -> None:
    found = itself.versions(a_case(device))
    expect_good(found, "MicroPython 1.26.1", "0.2.0 in slot a", "esp32_devkit")


def test_an_empty_slot_is_no_application(device: Device) -> None:
    device.remove("/a/WHOLE")
    expect(itself.versions(a_case(device)), "bad", "no_application")
    device.write_file("/b/WHOLE", b"0.3.0")
    expect_good(itself.versions(a_case(device)), "0.3.0 in slot b")


@pytest.mark.parametrize(
    ("release", "board_name", "cause"),
    [
        ([1, 22, 2], "esp32c3_supermini", "old_micropython"),
        ([1, 23, 0], "esp32c3_supermini", ""),
        ([1, 25, 0], "esp32_devkit", "no_pcnt"),
        ([1, 26, 0], "esp32_devkit", ""),
        ([2, 0, 0], "esp32_devkit", ""),
        ([1, 23, 0], "a_board_of_ones_own", ""),
    ],
)
def test_which_micropython_is_too_old(
    board: DoctoredBoard, device: Device, release: list[int], board_name: str, cause: str
) -> None:
    board.set(release=release)
    device.write_file("/board.txt", f"boards.{board_name}\n".encode())
    assert itself.versions(a_case(device)).cause == cause


def test_an_update_on_trial_and_one_that_fell_back(device: Device) -> None:
    device.write_file("/b/WHOLE", b"0.3.0")
    device.write_file("/slot.1", a_record(1, "a", "b", 2, 0))
    expect(itself.versions(a_case(device)), "unknown", "on_trial", "0.3.0 in slot b")
    device.write_file("/slot.0", a_record(2, "a", "-", 0, 1))
    expect(itself.versions(a_case(device)), "bad", "fell_back", "0.2.0 in slot a")
    device.write_file("/slot.1", a_record(3, "b", "-", 0, 0))
    expect_good(itself.versions(a_case(device)), "0.3.0 in slot b")
    device.write_file("/slot.1", a_record(3, "b", "-", 0, 0)[:-1])
    expect(itself.versions(a_case(device)), "bad", "fell_back")


# ------------------------------------------------------------ memory


@pytest.mark.parametrize(
    ("free", "idf_free", "verdict"),
    [
        (24 * 1024, 24 * 1024, "good"),
        (24 * 1024 - 1, 24 * 1024, "bad"),
        (24 * 1024, 24 * 1024 - 1, "bad"),
        (24 * 1024, -1, "good"),
    ],
)
def test_memory_at_its_limits(device: Device, free: int, idf_free: int, verdict: str) -> None:
    facts = facts_of(device)._replace(heap_free=free, idf_free=idf_free)
    assert itself.heap(Case(device, facts, Asked())).verdict == verdict


def test_memory_is_what_the_board_says(board: DoctoredBoard, device: Device) -> None:
    board.set(idf_free=4096 * 5)
    expect(itself.heap(a_case(device)), "bad", "short", "20 KiB in one piece")
    board.set(idf_free=98_304)
    expect_good(itself.heap(a_case(device)), "96 KiB in one piece")


# ------------------------------------------------------------ clock


@pytest.mark.parametrize(
    ("wrong_s", "verdict", "cause"),
    [
        (0, "good", ""),
        (4, "good", ""),
        (-3, "good", ""),
        (8, "unknown", "slewed"),
        (-600, "unknown", "slewed"),
        (640, "bad", "wrong"),
        (-640, "bad", "wrong"),
        (None, "bad", "not_set"),
    ],
)
def test_the_clock_of_a_chip_that_counts_from_2000(
    board: DoctoredBoard, device: Device, wrong_s: int | None, verdict: str, cause: str
) -> None:
    board.set(clock_s=wrong_s)
    case = a_case(device)
    assert case.facts.epoch_year == 2000
    found = itself.clock(case)
    assert (found.verdict, found.cause) == (verdict, cause), found
    offset_s = found.values["offset_s"]
    assert offset_s is None if wrong_s is None else abs(int(str(offset_s)) - wrong_s) <= 1


def test_the_clock_of_a_port_that_counts_from_1970(device: Device) -> None:
    facts = facts_of(device)._replace(epoch_year=1970)
    for at_s, verdict in ((5.0, "good"), (6.0, "unknown"), (630.0, "unknown"), (631.0, "bad")):
        case = Case(FakeDevice("1700000000\n"), facts, Asked(), now_s=partial(sub, NOW_S, at_s))
        assert itself.clock(case).verdict == verdict


# ------------------------------------------------------------ radio


@pytest.mark.parametrize(
    ("radio", "ran", "verdict", "cause"),
    [
        ([True, True, -75], True, "good", ""),
        ([True, True, -76], True, "bad", "weak"),
        ([True, False, 0], True, "bad", "not_joined"),
        ([False, False, 0], True, "unknown", "not_started"),
        ([True, False, 0], False, "unknown", "not_started"),
    ],
)
def test_the_radio(
    board: DoctoredBoard, device: Device, radio: list[Any], ran: bool, verdict: str, cause: str
) -> None:
    board.set(radio=radio)
    found = line.rssi(a_case(device, ran=ran))
    assert (found.verdict, found.cause) == (verdict, cause), found


def test_a_meter_without_a_wifi_and_one_on_a_cable(board: DoctoredBoard, device: Device) -> None:
    config(device, "wifi_name")
    expect(line.rssi(a_case(device)), "bad", "no_name")
    device.write_file("/board.txt", b"boards.wt32_eth01\n")
    deaf = FakeDevice("")
    expect(line.rssi(Case(deaf, facts_of(device), Asked())), "unknown", "wired")
    assert not deaf.asked, "network.WLAN is not made on a board with Ethernet"
    device.write_file("/board.txt", b"boards.unix\n")
    board.set(radio=[False, False, 0])
    expect(line.rssi(a_case(device)), "unknown", "no_radio")


def test_facts_of_every_board_have_a_profile_or_none(device: Device) -> None:
    facts: Facts = facts_of(device)
    assert facts.profile is not None
    assert facts._replace(board="none_of_ours").profile is None
