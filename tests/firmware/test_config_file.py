"""The meter's config.json: nothing, something, or garbage; and replaced whole whatever is cut."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

from boards.parts.config_file import read_config, write_config
from firmware.config import ConfigError
from tests.support.a_meter import refusal_of, settings
from tests.support.fake_files import FakeFiles, PowerCut

OLD = {"wifi_name": "old"}


def a_root(content=None):
    files = FakeFiles()
    if content is not None:
        files.files["/config.json"] = content
    return files


def test_what_was_written_is_read():
    Chip()
    with a_root() as files:
        assert read_config("") == {}
        write_config("", settings())
        assert read_config("") == settings()
        assert list(files.files) == ["/config.json"]


def test_a_file_that_is_no_json_object_is_refused():
    for content in (b"", b"{", b"[]", b"null", b'"text"', b"{\x00"):
        with a_root(content):
            assert "is not a JSON object: pair" in refusal_of(ConfigError, read_config, "")


def test_a_root_of_another_name_has_its_own():
    with a_root() as files:
        files.folders.add("/flash")
        write_config("/flash", OLD)
        assert read_config("/flash") == OLD
        assert read_config("") == {}


def test_power_cut_anywhere_leaves_the_old_config_or_the_new_one():
    seen = set()
    for torn in range(5):
        for cut_at in range(4):
            with a_root() as files:
                write_config("", OLD)
                files.operations, files.cut_at, files.torn = 0, cut_at, torn
                try:
                    write_config("", settings())
                    done = True
                except PowerCut:
                    done = False
                files.power_on()
                found = read_config("")
                assert found == (settings() if done else OLD)
                seen.add(done)
                write_config("", settings())  # what a cut has left is in nobody's way
                assert read_config("") == settings()
    assert seen == {True, False}


def test_a_disk_that_is_full_keeps_what_was_there():
    with a_root() as files:
        write_config("", OLD)
        files.full = True
        refusal_of(OSError, write_config, "", settings())
        assert read_config("") == OLD
