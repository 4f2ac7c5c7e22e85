"""What is not locked down, and why: each refusal by name, before anything is burned."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from host_tools.flashing.chip_errors import ChipSilent, WrongChip
from host_tools.image import nvs
from host_tools.image.build import build
from host_tools.image.errors import FirmwareRefused
from host_tools.levels import L0, L1, L2, Locks
from host_tools.locking import ciphered as ciphering
from host_tools.locking import lockdown
from host_tools.locking.efuses import Efuses
from host_tools.locking.lockdown import (
    AlreadyBurned,
    LacksFeature,
    LockIncomplete,
    LockRefused,
    NotConfirmed,
)
from host_tools.pairing.errors import ExposedSecret
from tests.support.a_firmware import a_firmware
from tests.support.an_image import SETTINGS, a_board, a_small_application, an_identity
from tests.support.lock_bench import METER_ID, Bench, an_image

pytestmark = pytest.mark.usefixtures("definitions_read_once")


@pytest.fixture
def bench(tmp_path: Path, signing_key: Path) -> Bench:
    return Bench(tmp_path, signing_key)


@pytest.mark.parametrize("typed", ["", "yes", "BURN", METER_ID.hex()[:-1], "0" * 16])
def test_only_the_meter_id_confirms(bench: Bench, typed: str) -> None:
    with pytest.raises(NotConfirmed, match="nothing was burned"):
        bench.lock(L1, confirm=lambda question: typed)
    assert not bench.burned()
    assert bench.flashed == []


def test_a_failure_of_the_flash_burns_nothing(bench: Bench) -> None:
    def fails(*_: Any, **__: Any) -> NoReturn:
        raise ChipSilent("nothing answers")

    with pytest.raises(ChipSilent):
        bench.lock(L1, write=fails)
    assert not bench.burned()
    assert bench.lock(L1).done


@pytest.mark.parametrize(
    "values",
    [
        {"FLASH_CRYPT_CNT": 1}, {"ABS_DONE_1": 1}, {"JTAG_DISABLE": 1}, {"DISABLE_DL_CACHE": 1},
        {"FLASH_CRYPT_CONFIG": 3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("level", [L1, L2])
def test_a_chip_that_somebody_burned_is_refused_by_name(
    bench: Bench, values: dict[str, int], level: str
) -> None:
    bench.efuses().burn(values)
    with pytest.raises(AlreadyBurned, match="burned already, and not by us"):
        bench.lock(level)
    assert not bench.burned()
    assert bench.flashed == []


def test_a_chip_with_a_key_of_somebody_else_is_refused(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "theirs.key"
    ciphering.new_flash_key(key)
    bench.efuses().burn_key("flash_encryption", key, None)
    with pytest.raises(AlreadyBurned, match="not by us: key"):
        bench.lock(L1)


def test_another_meter_s_journal_is_no_excuse(bench: Bench) -> None:
    bench.lock(L1)
    (bench.keys / f"{METER_ID.hex()}.lockdown.json").rename(bench.keys / "other.lockdown.json")
    with pytest.raises(AlreadyBurned, match="key, cipher, flash encryption"):
        bench.lock(L1)


def test_a_flash_key_that_is_gone_is_told_before_anything_else_is_burned(bench: Bench) -> None:
    bench.lock(L1)
    (bench.keys / f"{METER_ID.hex()}.flash.key").unlink()
    with pytest.raises(LockRefused, match="only a backup of it makes this chip start again"):
        bench.lock(L1)


def test_secure_boot_needs_a_chip_that_has_it(tmp_path: Path, signing_key: Path) -> None:
    for chip, (below, least) in {"esp32": (103, 300), "esp32c3": (2, 3)}.items():
        for revision in (below, least):
            folder = tmp_path / f"{chip}-{revision}"
            folder.mkdir()
            bench = Bench(folder, signing_key, chip, revision)
            assert bench.lock(L1, dry_run=True).steps, "flash encryption it has"
            if revision == least:
                assert bench.lock(L2, dry_run=True).steps
                continue
            with pytest.raises(LacksFeature, match="secure boot v2 needs revision"):
                bench.lock(L2)


def test_a_chip_that_can_hide_no_key_any_more_is_refused(bench: Bench) -> None:
    bench.efuses().protect("RD_DIS")
    with pytest.raises(LockRefused, match=r"read protection|no key can be made unreadable"):
        bench.lock(L1)


def test_an_esp32_with_short_keys_is_refused(bench: Bench) -> None:
    bench.efuses().burn({"CODING_SCHEME": 1})
    with pytest.raises(LacksFeature, match="192 bits"):
        bench.lock(L1)


def test_a_chip_without_a_free_key_block_is_refused(tmp_path: Path, signing_key: Path) -> None:
    bench = Bench(tmp_path, signing_key, "esp32c3")
    for number in range(5):
        key = tmp_path / f"{number}.key"
        ciphering.new_flash_key(key)
        bench.efuses().burn_key(f"BLOCK_KEY{number}", key, "HMAC_UP")
    with pytest.raises(LacksFeature, match="all key blocks"):
        bench.lock(L1)


def test_the_image_must_be_for_this_chip_this_level_and_this_key(
    bench: Bench, tmp_path: Path
) -> None:
    with pytest.raises(WrongChip, match="the chip is an esp32, the image is for an esp32s3"):
        bench.lock(L1, an_image("esp32s3", L1, bench.signing_key))
    with pytest.raises(LockRefused, match="the image is of level L0: build one of L1"):
        bench.lock(L1, an_image("esp32", L0, bench.signing_key))
    with pytest.raises(LockRefused, match="locked to L1 or L2, not to L0"):
        bench.lock(L0, an_image("esp32", L0, bench.signing_key))
    with pytest.raises(LockRefused, match="needs the signing key"):
        bench.lock(L2, signing_key=None)
    other = tmp_path / "other.pem"
    ciphering.new_signing_key(other)
    with pytest.raises(FirmwareRefused, match="the bootloader is signed with another key"):
        bench.lock(L2, signing_key=other)
    unsigned = replace(an_image("esp32", L1, bench.signing_key), level=L2)
    with pytest.raises(LockRefused, match="needs the meter's identity"):
        bench.lock(L2, unsigned)
    stock = build(
        a_board(), a_firmware(), a_small_application(), SETTINGS, an_identity(),
        level=L2, nvs_key=nvs.new_key(),
    )  # fmt: skip
    with pytest.raises(FirmwareRefused, match="build the firmware with BOARD_VARIANT=SECURE"):
        bench.lock(L2, stock)
    assert not bench.burned()


def test_a_bootloader_that_was_shut_is_told_as_such(bench: Bench) -> None:
    image = an_image("esp32", L2, bench.signing_key)
    bench.lock(L2, image)

    def silent(port: str) -> Efuses:
        raise ChipSilent("nothing answers")

    with pytest.raises(AlreadyBurned, match="this meter is locked"):
        bench.lock(L2, image, open_efuses=silent)
    with pytest.raises(ChipSilent):
        bench.lock(L1, open_efuses=silent)


def test_a_chip_that_does_not_read_as_locked_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockdown, "locks_in", lambda efuses: Locks(False, False, False))
    with pytest.raises(LockIncomplete, match="the chip reads as L0"):
        bench.lock(L1)


def test_a_keys_folder_that_others_may_enter_is_refused(bench: Bench) -> None:
    bench.keys.mkdir(mode=0o755)
    with pytest.raises(ExposedSecret):
        bench.lock(L1)
