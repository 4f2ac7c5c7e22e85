"""Locking a chip down: nothing by default, every step told, virtual eFuses read back."""

import json
from pathlib import Path
from typing import Any

import pytest

from host_tools.flash import Flashed
from host_tools.image import partitions
from host_tools.image.build import Image
from host_tools.image.errors import TableRefused
from host_tools.levels import L1, L2, Level, level_from
from host_tools.locking import ciphered as ciphering
from host_tools.locking import lockdown
from host_tools.locking.lock_steps import steps
from host_tools.locking.lockdown import lock_down
from tests.support.a_firmware import OFFSETS
from tests.support.lock_bench import METER_ID, OPEN, Bench, an_image
from tests.support.virtual.virtual_board import VirtualBoard

pytestmark = pytest.mark.usefixtures("definitions_read_once")


@pytest.fixture
def bench(tmp_path: Path, signing_key: Path) -> Bench:
    return Bench(tmp_path, signing_key)


@pytest.mark.parametrize("level", [L1, L2])
@pytest.mark.parametrize("chip", OFFSETS)
def test_every_chip_is_locked_to_each_level_and_reads_back_as_locked(
    tmp_path: Path, signing_key: Path, chip: str, level: str
) -> None:
    bench = Bench(tmp_path, signing_key, chip)
    done = bench.lock(level)
    assert (done.before, done.after, done.done) == (OPEN, Level(level, ()), True)
    with bench.efuses() as efuses:
        assert level_from(lockdown.locks_in(efuses)) == Level(level, ())
        block = "BLOCK1" if chip == "esp32" else "BLOCK_KEY0"
        assert efuses.is_used(block)
        assert not efuses.is_readable(block), "nobody reads the flash key"
        assert not efuses.is_writeable(block)
        shut = efuses.value("UART_DOWNLOAD_DIS" if chip == "esp32" else "DIS_DOWNLOAD_MODE")
        assert bool(shut) == (level == L2)
        assert efuses.is_writeable("RD_DIS") == (level == L1)
    key = bench.keys / f"{METER_ID.hex()}.flash.key"
    assert key.is_file() == (level == L1), "a re-flash at L1 needs it, nobody does at L2"


def test_by_default_nothing_is_burned_written_or_asked(bench: Bench) -> None:
    done = lock_down(
        "a port", L2, an_image("esp32", L2, bench.signing_key),
        meter_id=METER_ID, keys=bench.keys, confirm=bench.confirm, report=bench.told.append,
        signing_key=bench.signing_key, open_efuses=bench.efuses, write=bench.write,
    )  # fmt: skip
    assert not done.done
    assert done.before == done.after == OPEN
    assert not bench.flashed
    assert not bench.asked
    assert not bench.burned()
    assert list(bench.keys.iterdir()) == []


@pytest.mark.parametrize("level", [L1, L2])
@pytest.mark.parametrize("chip", OFFSETS)
def test_each_step_is_told_with_its_meaning_and_that_it_stays(
    tmp_path: Path, signing_key: Path, chip: str, level: str
) -> None:
    bench = Bench(tmp_path, signing_key, chip)
    plan = bench.lock(level, dry_run=True).steps
    assert plan == steps(chip, level)
    assert len(bench.told) == len(plan)
    for number, (line, step) in enumerate(zip(bench.told, plan, strict=True), 1):
        assert line == f"{number}/{len(plan)} {step} (cannot be undone)"
        assert len(step.meaning) > 15
    names = [step.name for step in plan]
    assert len(set(names)) == len(names)
    assert names[0] == "key"
    if level == L2:
        assert names.index("flash encryption") < names.index("secure boot"), "else no key can hide"
        assert names[-1] == "bootloader"


def test_the_question_names_meter_and_level_and_blanks_do_not_matter(bench: Bench) -> None:
    def answer(question: str) -> str:
        bench.asked.append(question)
        return f"  {METER_ID.hex().upper()}\n"

    assert bench.lock(L1, confirm=answer).done
    (question,) = bench.asked
    assert METER_ID.hex() in question
    assert "lock it to L1" in question


def test_the_flash_is_written_enciphered_before_anything_is_burned(bench: Bench) -> None:
    def write(port: str, image: Image, **options: Any) -> Flashed:
        assert not bench.burned()
        return bench.write(port, image, **options)

    plain = an_image("esp32", L1, bench.signing_key)
    bench.lock(L1, plain, write=write)
    ((image, options),) = bench.flashed
    assert options == {"keep": ("nvs", "meter", "settings"), "locking": True, "restart": False}
    assert image.table == plain.table
    key = bench.keys / f"{METER_ID.hex()}.flash.key"
    for part, clear in zip(image.parts, plain.parts, strict=True):
        if part.name in ("nvs", "vfs"):
            assert part == clear, "stock firmware cannot read these enciphered"
        else:
            assert part.content != clear.content
            found = ciphering.deciphered(image, key, part)
            assert found.startswith(clear.content)
            assert set(found[len(clear.content) :]) <= {0xFF}


def test_at_l2_files_and_the_key_of_nvs_are_enciphered_and_the_old_nvs_is_not_kept(
    tmp_path: Path, signing_key: Path
) -> None:
    bench = Bench(tmp_path, signing_key, "esp32s3")
    plain = an_image("esp32s3", L2, signing_key)
    bench.lock(L2, plain)
    ((image, options),) = bench.flashed
    assert "nvs" not in options["keep"]
    assert "meter" in options["keep"]
    changed = {
        part.name for part, clear in zip(image.parts, plain.parts, strict=True) if part != clear
    }
    assert changed == {"bootloader", "partition_table", "nvs_keys", "factory", "vfs"}


@pytest.mark.parametrize(("chip", "level"), [("esp32", L2), ("esp32c3", L1)])
def test_cut_off_after_any_step_the_next_run_goes_on(
    tmp_path: Path, signing_key: Path, chip: str, level: str
) -> None:
    bench = Bench(tmp_path, signing_key, chip)
    image = an_image(chip, level, signing_key)
    for stop_at in range(len(steps(chip, level)) - 1):
        done: list[str] = []

        def report(line: str, done: list[str] = done, stop_at: int = stop_at) -> None:
            if line.endswith((": done", ": done before")):
                done.append(line)
                if len(done) > stop_at:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.lock(level, image, report=report)
    assert bench.lock(level, image).after == Level(level, ())
    assert len(bench.flashed) == 1, "what was proven before the first step is not written again"


def test_a_level_reached_before_is_not_burned_again(bench: Bench) -> None:
    image = an_image("esp32", L1, bench.signing_key)
    bench.lock(L1, image)
    bench.told.clear()
    again = bench.lock(L1, image)
    assert again.before == again.after == Level(L1, ())
    done = [line for line in bench.told if not line.endswith("(cannot be undone)")]
    assert done == [f"{step.name}: done before" for step in again.steps]


def test_keys_lie_in_files_of_one_user_and_in_no_text(
    bench: Bench, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bench.lock(L1)
    key = bench.keys / f"{METER_ID.hex()}.flash.key"
    assert bench.keys.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in bench.keys.iterdir()} == {0o600}
    assert bench.signing_key.stat().st_mode & 0o777 == 0o600
    content = key.read_bytes()
    assert len(content) == 32
    printed = capfd.readouterr()
    everything = "\n".join([*bench.told, *bench.asked, printed.out, printed.err, caplog.text])
    for secret in (content, content[::-1]):
        assert secret.hex() not in everything
        assert secret.hex(" ") not in everything
    assert printed.out == printed.err == ""
    journal = json.loads((bench.keys / f"{METER_ID.hex()}.lockdown.json").read_text())
    assert journal == {"begun": ["key", "cipher", "flash encryption"]}


def test_two_chips_get_two_keys_and_no_key_is_overwritten(tmp_path: Path) -> None:
    one, two = tmp_path / "1.key", tmp_path / "2.key"
    ciphering.new_flash_key(one)
    ciphering.new_flash_key(two)
    assert one.read_bytes() != two.read_bytes()
    with pytest.raises(FileExistsError):
        ciphering.new_flash_key(one)
    signing = tmp_path / "s.pem"
    ciphering.new_signing_key(signing)
    before = signing.read_bytes()
    with pytest.raises(FileExistsError, match="name another file"):
        ciphering.new_signing_key(signing)
    assert signing.read_bytes() == before


def test_a_meter_is_locked_over_a_real_port_up_to_its_efuses(
    bench: Bench, board: VirtualBoard
) -> None:
    """The flash is a virtual board's, the eFuses lie in a file: both are what the tools see."""
    from host_tools.flash import flash

    plain = an_image("esp32", L1, bench.signing_key)
    done = lock_down(
        board.port, L1, plain,
        meter_id=METER_ID, keys=bench.keys, confirm=bench.confirm, report=bench.told.append,
        dry_run=False, open_efuses=bench.efuses, write=flash,
    )  # fmt: skip
    assert done.after == Level(L1, ())
    image = ciphering.ciphered(plain, bench.keys / f"{METER_ID.hex()}.flash.key")
    content = board.flash.read(0, board.flash.size_bytes)
    for part in image.parts:
        assert content[part.offset : part.offset + len(part.content)] == part.content
    with pytest.raises(TableRefused):
        partitions.parse(content[0x8000:])
