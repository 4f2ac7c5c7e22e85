"""The configuration: unknown keys are refused by name, secrets never show."""

from __future__ import annotations

from pathlib import Path

import pytest

from settlement import config
from settlement.errors import ConfigError
from tests.support.settlement import TOKEN

GOOD = """
[http]
host = "127.0.0.1"
port = 0
[store]
path = "settlement.db"
[auth]
token_file = "token"
[log]
format = "json"
level = "info"
"""


def written(folder: Path, text: str = GOOD, token: str = TOKEN) -> Path:
    (folder / "token").write_text(token + "\n", encoding="utf-8")
    (folder / "token").chmod(0o600)
    (folder / "settlement.toml").write_text(text, encoding="utf-8")
    return folder / "settlement.toml"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path))
    assert loaded.database == tmp_path / "settlement.db"
    assert (loaded.host, loaded.port, loaded.log_format) == ("127.0.0.1", 0, "json")
    assert loaded.token.reveal_bytes() == TOKEN.encode()


def test_sections_with_defaults_may_be_left_out(tmp_path: Path) -> None:
    short = '[store]\npath = "s.db"\n[auth]\ntoken_file = "token"\n'
    loaded = config.load(written(tmp_path, short))
    assert (loaded.host, loaded.portal_enabled, loaded.log_level) == ("127.0.0.1", True, "info")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "[portall]\n", "unknown key portall"),
        (GOOD.replace("port =", "prot ="), r"unknown key http\.prot"),
        (GOOD.replace('path = "settlement.db"', ""), r"key store\.path is missing"),
        (GOOD.replace("[auth]", "[portal]"), "key auth is missing|unknown key portal.token_file"),
        (GOOD.replace("port = 0", "port = 65536"), r"key http\.port"),
        (GOOD.replace("port = 0", "port = -1"), r"key http\.port"),
        (GOOD.replace("port = 0", 'port = "80"'), r"key http\.port"),
        (GOOD.replace('"json"', '"xml"'), r"key log\.format"),
        (GOOD.replace("settlement.db", "nowhere/settlement.db"), "make the folder"),
        (GOOD.replace('"token"', '"tokem"'), "token_file .*tokem"),
        ("[http", "not TOML"),
    ],
)
def test_a_wrong_configuration_names_the_key(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        config.load(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"other\.toml"):
        config.load(tmp_path / "other.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "meter.example"])
def test_the_page_without_login_is_never_served_to_other_computers(
    tmp_path: Path, host: str
) -> None:
    open_host = GOOD.replace("127.0.0.1", host)
    with pytest.raises(ConfigError, match=r"enabled = false under \[portal\]"):
        config.load(written(tmp_path, open_host))
    loaded = config.load(written(tmp_path, open_host + "[portal]\nenabled = false\n"))
    assert (loaded.host, loaded.portal_enabled) == (host, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_names_are_known(host: str) -> None:
    assert config.is_loopback(host)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        config.load(path)


def test_a_token_is_neither_too_short_nor_too_long(tmp_path: Path) -> None:
    low, high = config.TOKEN_CHARS_MIN, config.TOKEN_CHARS_MAX
    for length in (low, low + 1, high):
        loaded = config.load(written(tmp_path, token="t" * length))
        assert len(loaded.token.reveal_bytes()) == length
    for length in (0, low - 1, high + 1, high * 9):
        with pytest.raises(ConfigError, match="characters"):
            config.load(written(tmp_path, token="t" * length))


def test_a_token_that_is_not_ascii_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ASCII"):
        config.load(written(tmp_path, token="żółw" * 9))


def test_the_token_never_shows_in_a_repr(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path))
    assert TOKEN not in repr(loaded)
    assert TOKEN not in str(loaded.token)
