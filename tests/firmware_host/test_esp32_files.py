"""What an ESP32 board reads from its root, and how it says that something there is wrong."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)
from tests.support.fake_esp32 import HARD, Chip, ChipReset  # isort: skip  (first)

import json
from pathlib import Path
from typing import Any

import pytest

from boards import esp32_devkit
from firmware.storage import FLASH_BLOCKS_MIN
from tests.support.a_meter import METER_ID, METER_KEY, settings
from tests.support.fake_esp32_parts import FakePartition
from tests.support.fake_flash import FakeFlash

IDENTITY = ("meter_id", "meter_key", "key_epoch", "password")


@pytest.fixture
def chip() -> Chip:
    """A chip after the restart at power-on."""
    found = Chip(partitions=(FakePartition("meter", FakeFlash(FLASH_BLOCKS_MIN)),))
    with pytest.raises(ChipReset):
        esp32_devkit.main([])
    found.cpu_reset(HARD)
    return found


def config(root: Path, **changes: Any) -> None:
    (root / "config.json").write_text(json.dumps(settings(**changes)))


def todo(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the board tells its user to do before it ends with 2."""
    assert esp32_devkit.main([str(root)]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["event"] == "board"
    return str(said["todo"])


@pytest.mark.usefixtures("chip")
def test_a_meter_that_was_never_paired_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"wifi_name": "home"}))
    assert "pair again" in todo(tmp_path, capsys)


@pytest.mark.usefixtures("chip")
@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_a_config_that_is_no_json_object_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    assert "is not a JSON object" in todo(tmp_path, capsys)


def test_an_identity_in_nvs_is_enough_beside_a_config_without_one(
    chip: Chip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = settings(wifi_name="home")
    public = {key: whole[key] for key in whole if key not in IDENTITY}
    (tmp_path / "config.json").write_text(json.dumps(public))
    chip.nvs.update(epoch=0, id=METER_ID, key=METER_KEY[:-1], password=b"a-long-password")
    assert "NVS: the identity is damaged" in todo(tmp_path, capsys)
    chip.nvs["key"] = METER_KEY
    chip.partitions = ()
    assert "partition table" in todo(tmp_path, capsys), "it came past the config"


@pytest.mark.usefixtures("chip")
def test_tls_needs_the_certificate_of_its_authority_beside_the_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config(tmp_path, wifi_name="home", tls=True)
    assert "ca.der" in todo(tmp_path, capsys)


def test_a_board_without_the_meter_s_partition_says_so(
    chip: Chip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config(tmp_path, wifi_name="home")
    chip.partitions = ()
    assert "partition table" in todo(tmp_path, capsys)


def test_a_board_with_all_it_needs_hands_itself_to_the_meter(
    chip: Chip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    async def main(board: Any) -> None:
        made.append(board)

    monkeypatch.setattr("firmware.app.main", main)
    config(tmp_path, wifi_name="home", wifi_password="a-long-password")
    esp32_devkit.main([str(tmp_path)])
    (board,) = made
    assert board.start.why == "power_on"
    chip.pulse(esp32_devkit.PINS.pulses[0], 2)
    assert board.pulses.read() == (2, 0)
    assert board.slots is not None
