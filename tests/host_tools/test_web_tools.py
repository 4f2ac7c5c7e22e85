"""The folder for ESP Web Tools: the same parts at the same offsets, and nothing secret in it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.image import web_tools
from host_tools.image.build import Image, Part, Settings, build
from host_tools.image.errors import HoldsSecrets, ImageError
from host_tools.levels import L1
from tests.support.a_firmware import OFFSETS, a_firmware
from tests.support.an_image import SETTINGS, a_board, a_small_application, an_identity


def an_open_image(chip: str = "esp32", settings: Settings | None = None) -> Image:
    """One that holds nothing secret."""
    return build(
        a_board(chip, name=f"board_{chip}"),
        a_firmware(chip),
        a_small_application(),
        settings or Settings({"gateway_host": "192.0.2.1"}),
        None,
    )


def test_a_browser_writes_the_same_bytes_to_the_same_places(tmp_path: Path) -> None:
    image = an_open_image()
    path = web_tools.write([image], "OpenLicznik", "1.2.3", tmp_path / "web")
    told = json.loads(path.read_text())
    (build_of,) = told["builds"]
    assert build_of["chipFamily"] == "ESP32"
    written = {
        part["offset"]: (path.parent / part["path"]).read_bytes() for part in build_of["parts"]
    }
    assert written == {part.offset: part.content for part in image.parts}
    assert {file.name for file in path.parent.iterdir()} == {
        "manifest.json", *(part["path"] for part in build_of["parts"]),
    }  # fmt: skip


def test_the_manifest_says_what_esp_web_tools_asks_for(tmp_path: Path) -> None:
    told = web_tools.manifest([an_open_image()], "OpenLicznik", "1.2.3")
    assert (told["name"], told["version"]) == ("OpenLicznik", "1.2.3")
    assert told["new_install_prompt_erase"] is True, "else registers are erased unasked"
    assert told["new_install_improv_wait_time"] == web_tools.IMPROV_WAIT_S
    assert told["builds"][0]["improv"] is True


def test_a_board_with_a_cable_is_not_asked_for_a_wifi() -> None:
    wired = replace(an_open_image(), ethernet=True)
    (told,) = web_tools.manifest([wired], "OpenLicznik", "1.2.3")["builds"]
    assert told["improv"] is False
    board = replace(a_board(), ethernet=True)
    built = build(board, a_firmware("esp32"), a_small_application(), Settings({}), None)
    assert built.ethernet


def test_one_folder_serves_every_chip() -> None:
    told = web_tools.manifest([an_open_image(chip) for chip in OFFSETS], "meter", "1")
    assert [made["chipFamily"] for made in told["builds"]] == [
        "ESP32", "ESP32-S3", "ESP32-C3", "ESP32-C6",
    ]  # fmt: skip
    paths = [part["path"] for made in told["builds"] for part in made["parts"]]
    assert len(set(paths)) == len(paths)
    assert [made["parts"][0]["offset"] for made in told["builds"]] == [0x1000, 0, 0, 0]


def test_two_boards_with_the_same_chip_are_not_mixed() -> None:
    with pytest.raises(ImageError, match="a browser sees only the chip"):
        web_tools.manifest([an_open_image(), an_open_image()], "meter", "1")


def test_an_image_with_an_identity_is_never_published(tmp_path: Path) -> None:
    image = build(a_board(), a_firmware(), a_small_application(), Settings({}), an_identity())
    with pytest.raises(HoldsSecrets, match="holds a meter's identity"):
        web_tools.write([image], "meter", "1", tmp_path / "web")
    assert not (tmp_path / "web").exists(), "nothing is written before all is looked at"


def test_settings_with_a_wi_fi_password_are_never_published(tmp_path: Path) -> None:
    with pytest.raises(HoldsSecrets, match="the settings hold wifi_password") as told:
        web_tools.write([an_open_image(settings=SETTINGS)], "meter", "1", tmp_path / "web")
    assert "correct horse" not in str(told.value)


def test_an_old_configuration_with_a_key_is_never_published() -> None:
    image = an_open_image()
    vfs = image.part("vfs")
    assert vfs is not None
    from host_tools.image import filesystem

    for key in web_tools.SECRET_SETTINGS:
        content = filesystem.build({"config.json": json.dumps({key: "x"}).encode()}, 0x100000)
        parts = tuple(
            Part("vfs", vfs.offset, content) if part == vfs else part for part in image.parts
        )
        with pytest.raises(HoldsSecrets, match=key):
            web_tools.manifest(
                [Image(image.board, image.chip, image.flash_bytes, parts)], "meter", "1"
            )


def test_an_image_for_one_locked_meter_is_never_published() -> None:
    image = an_open_image()
    locked = Image(image.board, image.chip, image.flash_bytes, image.parts, level=L1)
    with pytest.raises(HoldsSecrets, match="an image of level L1 is for one meter"):
        web_tools.manifest([locked], "meter", "1")
