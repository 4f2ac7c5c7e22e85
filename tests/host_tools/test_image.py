"""Whole images: what is where in them, what is read back, what a meter finds, what is refused."""

import json
import subprocess
from pathlib import Path

import pytest
from esptool import cmds

from host_tools import bundle
from host_tools.board_profiles import BoardProfile, profiles
from host_tools.image import build as building
from host_tools.image import filesystem, nvs, partitions, published
from host_tools.image.build import Image, Part, Settings, build, merged
from host_tools.image.errors import (
    FirmwareRefused,
    ImageDamaged,
    PartsOverlap,
    SettingsRefused,
    TableRefused,
    WrongFirmware,
)
from host_tools.levels import L0, L1, L2
from host_tools.micropython import find_micropython, micropython_env
from tests.support.a_firmware import OFFSETS, OTA, WITH_VFS, WITHOUT_VFS, a_firmware, a_program
from tests.support.an_image import (
    SETTINGS,
    a_board,
    a_small_application,
    an_application,
    an_identity,
    an_image,
)

MIB = 1 << 20

DEVICE = """
import os, sys

class Blocks:
    def __init__(self, path, start, blocks):
        self.file, self.start, self.blocks = open(path, "r+b"), start, blocks
    def readblocks(self, block, buffer, offset=0):
        self.file.seek(self.start + block * 4096 + offset)
        self.file.readinto(buffer)
    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(self.start + block * 4096 + offset)
        self.file.write(buffer)
    def ioctl(self, operation, argument):
        return {4: self.blocks, 5: 4096}.get(operation, 0)

flash, start, blocks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.mount(os.VfsLfs2(Blocks(flash, start, blocks)), "/m")
os.chdir("/m")
sys.path[:] = ["/m", "/m/a", ".frozen"] + sys.argv[4:]
import start as loader
sys.modules["boards.start"] = loader  # as start.boot does
board = open("/m/board.txt").read().strip()
module = __import__(board, None, None, ("main",))
from firmware import app
print(loader.__file__, module.__file__, app.__file__, open("/m/a/WHOLE").read())
"""


def placed(image: Image) -> dict[str, tuple[int, int]]:
    return {part.name: (part.offset, len(part.content)) for part in image.parts}


def content_of(image: Image, name: str) -> bytes:
    part = image.part(name)
    assert part is not None, name
    return part.content


def test_every_part_is_where_the_table_has_a_place_for_it() -> None:
    image = an_image()
    where = placed(image)
    assert list(where) == ["bootloader", "partition_table", "nvs", "factory", "vfs"]
    assert where["bootloader"][0] == 0x1000
    assert where["partition_table"] == (0x8000, 0xC00)
    assert where["nvs"] == (0x9000, 0x6000)
    assert where["factory"][0] == 0x10000
    assert where["vfs"] == (0x300000, 0x100000)
    assert image.table == partitions.ours(4 * MIB)
    assert "meter" not in where, "registers are never part of an image"


@pytest.mark.parametrize("chip", OFFSETS)
def test_a_merged_flash_boots_as_esptool_sees_it(
    chip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = an_image(chip)
    flash = merged(image)
    assert len(flash) == 4 * MIB
    for part in image.parts:
        assert flash[part.offset : part.offset + len(part.content)] == part.content
    cmds.image_info(flash[OFFSETS[chip] : 0x8000])
    cmds.image_info(flash[0x10000:])
    told = capsys.readouterr().out
    assert told.count("(valid)") == 4, "checksum and hash of the bootloader and of the program"


def test_esptool_merges_the_same_parts_to_the_same_flash() -> None:
    image = an_image()
    parts = [(part.offset, part.content) for part in image.parts]
    assert cmds.merge_bin(parts, "esp32", pad_to_size="4MB") == merged(image)


def test_everything_is_read_back_out_of_the_merged_flash() -> None:
    identity = an_identity()
    flash = merged(an_image())
    assert partitions.parse(flash[0x8000:]) == partitions.ours(4 * MIB)
    values = nvs.read(flash[0x9000:0xF000])
    assert values["meter", "id"] == identity.meter_id
    assert values["meter", "key"] == identity.meter_key.reveal()
    files = filesystem.read(flash[0x300000:])
    assert files["board.txt"] == b"boards.unix\n"
    assert files["main.py"] == b"import start\n\nstart.boot()\n"
    assert json.loads(files["config.json"]) == SETTINGS.values
    assert {file.path for file in an_application().files} == {
        path.removeprefix("a/") for path in files if path.startswith("a/") and path != "a/WHOLE"
    }


def test_the_same_input_makes_the_same_image_and_another_identity_another() -> None:
    def once(seed: int) -> Image:
        return build(a_board(), a_firmware(), an_application(), SETTINGS, an_identity(seed))

    assert once(1) == once(1)
    assert once(1).digest == once(1).digest != once(2).digest


def test_a_meter_mounts_it_and_imports_loader_board_and_application(tmp_path: Path) -> None:
    flash, script = tmp_path / "flash.bin", tmp_path / "device.py"
    image = build(a_board(), a_firmware(), an_application("unix", "7.8.9"), SETTINGS, None)
    flash.write_bytes(merged(image))
    script.write_text(DEVICE)
    environment = micropython_env()
    library = environment.pop("MICROPYPATH").split(":")[1]
    told = subprocess.run(
        [find_micropython(), script, flash, str(0x300000), "256", library],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert told.stderr == ""
    assert told.stdout.split() == [
        "/m/start.mpy", "/m/a/boards/unix.mpy", "/m/a/firmware/app.mpy", "7.8.9",
    ]  # fmt: skip


def test_a_larger_flash_is_told_to_the_bootloader_and_given_to_the_files() -> None:
    board = a_board(flash_bytes=16 * MIB)
    image = build(board, a_firmware(), an_application(), SETTINGS, None)
    assert placed(image)["vfs"] == (0x300000, 13 * MIB)
    assert content_of(image, "bootloader")[3] >> 4 == published.FLASH_SIZES[16]


@pytest.mark.parametrize("board", profiles().values(), ids=lambda board: board.name)
def test_every_board_of_ours_gets_an_image(board: BoardProfile) -> None:
    image = build(board, a_firmware(board.chip), a_small_application(), SETTINGS, an_identity())
    assert image.parts[0].offset == board.flash_offset
    assert image.table == partitions.ours(board.flash_bytes)
    assert len(merged(image)) == board.flash_bytes
    files = filesystem.read(content_of(image, "vfs"))
    assert files["board.txt"] == f"boards.{board.name}\n".encode()


@pytest.mark.parametrize("table", [WITH_VFS, WITHOUT_VFS])
def test_the_published_table_is_kept_when_asked(table: partitions.Table) -> None:
    firmware = a_firmware(table=table)
    image = build(a_board(), firmware, an_application(), SETTINGS, None, keep_table=True)
    assert image.table == table
    assert placed(image)["vfs"] == (0x200000, 0x200000)


def test_with_ota_the_first_slot_is_started_whatever_was_there() -> None:
    firmware = a_firmware(table=OTA)
    image = build(a_board(), firmware, an_application(), SETTINGS, an_identity(), keep_table=True)
    where = placed(image)
    assert where["otadata"] == (0xD000, 0x2000)
    assert set(content_of(image, "otadata")) == {0xFF}
    assert where["ota_0"][0] == 0x10000
    assert where["nvs"] == (0x9000, 0x4000)
    assert where["vfs"] == (0x310000, 0xF0000)
    ours = build(a_board(), firmware, an_application(), SETTINGS, None)
    assert ours.table == partitions.ours(4 * MIB)
    assert "otadata" not in placed(ours)


def test_a_program_that_does_not_fit_is_refused_with_both_sizes() -> None:
    larger = (*WITH_VFS[:2], WITH_VFS[2]._replace(size=0x210000))
    room = 0x1F0000
    for size in (room - 96, room - 80):
        build(a_board(), a_firmware(program_bytes=size), an_application(), SETTINGS, None)
    firmware = a_firmware(table=larger, program_bytes=room)
    with pytest.raises(FirmwareRefused, match=r"`factory` holds 2031616.*keep the published table"):
        build(a_board(), firmware, an_application(), SETTINGS, None)
    kept = build(a_board(), firmware, an_application(), SETTINGS, None, keep_table=True)
    assert placed(kept)["vfs"] == (0x220000, 0x1E0000)


def test_firmware_of_another_chip_and_a_flash_too_small_are_refused() -> None:
    with pytest.raises(WrongFirmware, match="for esp32s3, the board has an esp32"):
        build(a_board(), a_firmware("esp32s3"), an_application(), SETTINGS, None)
    with pytest.raises(TableRefused, match="use a module with 4 MB"):
        build(a_board(flash_bytes=2 * MIB), a_firmware(), an_application(), SETTINGS, None)
    with pytest.raises(TableRefused, match="beyond the flash"):
        build(
            a_board(flash_bytes=2 * MIB), a_firmware(), an_application(), SETTINGS, None,
            keep_table=True,
        )  # fmt: skip


def test_overlapping_parts_are_refused_by_both_names_where_esptool_misplaces_them() -> None:
    """merge_bin says nothing and puts the second one behind the first."""
    whole, other = Part("firmware", 0x1000, a_firmware()), Part("nvs", 0x9000, b"N" * 0x6000)
    flash = cmds.merge_bin([(whole.offset, whole.content), (0x9000, other.content)], "esp32")
    assert flash[0x9000:0xF000] != other.content
    image = Image("unix", "esp32", 4 * MIB, (whole, other))
    with pytest.raises(PartsOverlap, match=r"firmware \(0x1000 to 0x\w+\) overlaps nvs at 0x9000"):
        merged(image)
    touching = Image("unix", "esp32", 4 * MIB, (Part("a", 0, b"A" * 16), Part("b", 16, b"B")))
    assert merged(touching)[15:17] == b"AB"
    with pytest.raises(PartsOverlap, match=r"a .* overlaps b"):
        merged(Image("unix", "esp32", 4 * MIB, (Part("a", 0, b"A" * 17), Part("b", 16, b"B"))))


def test_a_part_beyond_the_flash_is_refused_by_name() -> None:
    last = 4 * MIB - 4
    assert merged(Image("unix", "esp32", 4 * MIB, (Part("end", last, b"1234"),)))[-4:] == b"1234"
    with pytest.raises(PartsOverlap, match="end goes beyond the flash"):
        merged(Image("unix", "esp32", 4 * MIB, (Part("end", last, b"12345"),)))


@pytest.mark.parametrize("name", ["bootloader", "nvs", "factory", "vfs"])
def test_a_part_that_is_lost_while_merging_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def careless(image: Image) -> bytes:
        flash = bytearray(merged(image))
        part = image.part(name)
        assert part is not None
        flash[part.offset + 40] ^= 1
        return bytes(flash)

    monkeypatch.setattr(building, "merged", careless)
    with pytest.raises((ImageDamaged, FirmwareRefused), match=f"{name}|damaged"):
        build(a_board(), a_firmware(), an_application(), SETTINGS, an_identity())


def test_settings_hold_no_identity_and_their_repr_shows_no_value() -> None:
    for key in ("meter_id", "meter_key", "key_epoch", "password"):
        with pytest.raises(SettingsRefused, match=f"{key}: an identity is kept in NVS"):
            Settings({key: "5e" * 16})
    assert "correct horse" not in repr(SETTINGS)
    assert "wifi_password" in repr(SETTINGS)


def test_settings_have_up_to_4096_bytes_and_are_json() -> None:
    empty = len(Settings({"a": ""}).config)
    for length in (4095, 4096):
        assert len(Settings({"a": "x" * (length - empty)}).config) == length
    with pytest.raises(SettingsRefused, match="may have 4096 bytes"):
        Settings({"a": "x" * (4097 - empty)})
    with pytest.raises(SettingsRefused, match="what JSON cannot say"):
        Settings({"a": b"bytes"})


def test_tls_needs_a_ca_of_1_to_2048_bytes() -> None:
    with pytest.raises(SettingsRefused, match=r"name the ca\.der"):
        Settings({"tls": True})
    for length in (1, 2047, 2048):
        assert Settings({"tls": True}, b"c" * length).ca
    for ca in (b"", b"c" * 2049):
        with pytest.raises(SettingsRefused, match="CA certificate"):
            Settings({}, ca)
    image = build(a_board(), a_firmware(), an_application(), Settings({"tls": True}, b"DER"), None)
    files = filesystem.read(content_of(image, "vfs"))
    assert files["ca.der"] == b"DER"


def test_a_meter_to_be_paired_later_has_neither_identity_nor_settings() -> None:
    image = build(a_board(), a_firmware(), an_application(), Settings({}), None)
    assert image.part("nvs") is None
    files = filesystem.read(content_of(image, "vfs"))
    assert "config.json" not in files
    assert "ca.der" not in files


@pytest.mark.parametrize("level", [L0, L1])
def test_below_l2_nvs_is_in_clear(level: str) -> None:
    image = build(a_board(), a_firmware(), an_application(), SETTINGS, an_identity(), level=level)
    assert nvs.holds_identity(content_of(image, "nvs"))
    assert image.part("nvs_keys") is None
    assert image.level == level


def test_at_l2_nvs_is_under_a_key_that_lies_in_a_partition_of_its_own() -> None:
    key, identity = nvs.new_key(), an_identity()
    image = build(
        a_board(), a_firmware(), an_application(), SETTINGS, identity, level=L2, nvs_key=key
    )
    content = content_of(image, "nvs")
    assert nvs.read(content) == {}
    assert nvs.read(content, key)["meter", "key"] == identity.meter_key.reveal()
    assert content_of(image, "nvs_keys") == nvs.key_partition(key)
    assert image.table == partitions.ours(4 * MIB, locked=True)
    with pytest.raises(SettingsRefused, match="level L2 keeps NVS under a key"):
        build(a_board(), a_firmware(), an_application(), SETTINGS, identity, level=L2)


def test_a_table_without_a_place_for_the_identity_is_refused() -> None:
    bare = (WITH_VFS[2], WITH_VFS[3])
    with pytest.raises(TableRefused, match="no partition `nvs`"):
        build(
            a_board(), a_firmware(table=bare), an_application(), SETTINGS, an_identity(),
            keep_table=True,
        )  # fmt: skip
    with pytest.raises(TableRefused, match="no partition `nvs_keys`"):
        build(
            a_board(), a_firmware(), an_application(), SETTINGS, an_identity(),
            keep_table=True, level=L2, nvs_key=nvs.new_key(),
        )  # fmt: skip


def test_an_image_shows_no_secret() -> None:
    shown = repr(an_image()) + repr(an_image().parts)
    assert an_identity().meter_key.reveal().hex() not in shown
    assert "correct horse" not in shown
    assert len(shown) < 2000


def test_the_application_leaves_room_for_an_update_on_4_mib() -> None:
    files = filesystem.read(content_of(an_image(), "vfs"))
    assert sum(map(len, files.values())) < bundle.BUNDLE_BYTES_MAX + 16 * 1024


def test_an_image_without_a_table_says_so() -> None:
    with pytest.raises(TableRefused, match="no partition table"):
        _ = Image("unix", "esp32", 4 * MIB, (Part("x", 0, a_program()),)).table
