"""`run --check-config` names every mistake at once; `init` writes an example that has every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from gateway import config
from gateway.admin import checking, tokens
from gateway.admin.http_address import check_http, is_loopback
from gateway.cli.init import example
from gateway.config import Config, Http, load
from gateway.errors import ConfigError
from tests.support.gateway import a_home, a_meter

FIRST = "first-token-of-sixteen-or-more"
SECOND = "second-token-of-sixteen-or-more"


def uncommented(text: str) -> str:
    """The example with everything in it switched on."""
    return re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE)


def a_config(folder: Path, extra: str) -> Path:
    path = a_home(folder, a_meter())
    path.write_text(path.read_text() + extra)
    return path


def a_token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "admin.tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_good_home_has_no_problems(tmp_path: Path) -> None:
    assert checking.problems(a_home(tmp_path, a_meter())) == []


def test_the_example_is_a_good_configuration(tmp_path: Path) -> None:
    path = a_home(tmp_path)
    path.write_text(example())
    assert checking.problems(path) == []


def test_the_example_names_every_key_and_every_default_in_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(uncommented(example()))
    load(path)
    written = tomllib.loads(path.read_text())

    def compare(section: type[msgspec.Struct], found: dict[str, object], where: str) -> None:
        fields = {field.name for field in msgspec.structs.fields(section)}
        assert set(found) == fields, where
        for name, value in found.items():
            if isinstance(value, dict):
                inner = getattr(config, name.capitalize())
                compare(inner, value, name)

    compare(Config, written, "top")


def test_the_examples_commented_values_are_the_defaults() -> None:
    written = tomllib.loads(uncommented(example()))
    for section in ("limits", "downlink", "outages"):
        assert written[section] == msgspec.to_builtins(getattr(config, section.capitalize())())


def test_every_wrong_key_is_named_not_only_the_first(tmp_path: Path) -> None:
    path = a_home(tmp_path)
    path.write_text(
        "shard = 1\n[endpoint]\nport = 65536\nprot = 1\n[settlement]\ntoken_file = 't'\n"
        "[log]\nlevel = 'loud'\n"
    )
    found = "\n".join(checking.problems(path))
    for name in ('"gateway_id"', '"shard"', '"endpoint.port"', '"endpoint.prot"',
                 '"settlement.url"', '"log.level"'):  # fmt: skip
        assert name in found
    assert found.count("\n") == 5


def test_a_file_with_more_mistakes_than_anybody_reads_is_cut_off(tmp_path: Path) -> None:
    path = a_home(tmp_path)
    path.write_text('gateway_id = "g"\n' + "".join(f"k{n} = 1\n" for n in range(60)))
    assert len(checking.problems(path)) == checking.PROBLEMS_MAX


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('[store]\npath = "nowhere/gateway.db"\n', "may write in"),
        ('[broker]\nurl = "http://x"\n', "must be mqtt://"),
        ('[broker]\nurl = "mqtt://u:p@x"\n', "without user or password"),
        ('[broker]\nurl = "mqtt://x"\npassword_file = "none"\n', "no such file"),
        ('[publish]\nurl = "mqtt://x"\nca_file = "gateway.toml"\n', "no PEM certificates"),
        ('[broker]\nurl = "mqtt://x/path"\n', "is no broker"),
        ('[publish]\nurl = "mqtt://x"\npassword_file = "master.key"\n', "without user"),
        ('[notices]\nmqtt = true\n', "needs [publish]"),
        ('[notices]\nwebhook_url = "ftp://x"\n', "must be http://"),
        ('[notices.smtp]\nhost = "x"\nsender = "a@b"\nrecipients = []\n', "is empty"),
        ('[settlement]\nurl = "http://x"\n', "token"),
        ('[http]\nhost = "0.0.0.0"\ntoken_file = "t"\n', "needs certificate_file"),
        ('[http]\ncertificate_file = "gateway.toml"\n', "belong together"),
    ],
)  # fmt: skip
def test_what_only_shows_at_a_start_is_found_before_it(
    tmp_path: Path, extra: str, says: str
) -> None:
    found = checking.problems(a_config(tmp_path, extra))
    assert any(says in problem for problem in found), found
    assert all("\n" not in problem for problem in found)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("port = 0", 'port = 0\ncertificate_file = "gateway.toml"', "belong together"),
        ("port = 0", 'port = 0\nclient_certificates = "required"', "client_ca_file"),
        ("port = 0", 'port = 0\nclient_certificates = "optional"', "client certificates need TLS"),
        ("port = 0", "port = 0\nenabled = false", "no way in"),
        ("port = 0", "port = 8081\n[http]", "choose another"),
        ("[endpoint]", 'shards = "7f-00"\n[endpoint]', '"shards"'),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = a_home(tmp_path, a_meter())
    path.write_text(path.read_text().replace(old, new))
    found = checking.problems(path)
    assert any(says in problem for problem in found), found


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "server.key").write_text("no key")
    (tmp_path / "server.key").chmod(0o600)
    path = a_home(tmp_path, a_meter())
    pair = 'port = 0\ncertificate_file = "gateway.toml"\nkey_file = "server.key"'
    path.write_text(path.read_text().replace("port = 0", pair))
    assert any("not a PEM certificate" in problem for problem in checking.problems(path))
    (tmp_path / "server.key").chmod(0o644)
    assert any("chmod 600" in problem for problem in checking.problems(path))


def test_a_master_key_of_another_database_is_found_without_starting(tmp_path: Path) -> None:
    path = a_home(tmp_path, a_meter())
    (tmp_path / "master.key").write_text("00" * 32)
    assert any("not the one this database" in problem for problem in checking.problems(path))


def test_checking_changes_nothing(tmp_path: Path) -> None:
    path = a_home(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())
    checking.problems(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("gateway.example", False)],
)  # fmt: skip
def test_an_admin_token_travels_in_clear_on_this_machine_only(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here
    check_http(Http(host=host))  # metrics and health alone are no secret
    check_http(Http(host=host, token_file="t", certificate_file="c", key_file="k"))
    if is_here:
        check_http(Http(host=host, token_file="t"))
    else:
        with pytest.raises(ConfigError, match="certificate_file"):
            check_http(Http(host=host, token_file="t"))


def test_each_administrator_has_a_token_and_a_name(tmp_path: Path) -> None:
    known = tokens.read(a_token_file(tmp_path, f"anna {FIRST}\n\nbartek {SECOND}\n"))
    assert (known.name_of(FIRST), known.name_of(SECOND)) == ("anna", "bartek")
    assert known.name_of(FIRST[:-1]) is None
    assert known.name_of("") is None
    assert known.name_of("ł") is None
    assert FIRST not in repr(known)


def test_a_token_alone_is_the_admins(tmp_path: Path) -> None:
    assert tokens.read(a_token_file(tmp_path, FIRST + "\n")).name_of(FIRST) == "admin"


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("", False),
        ("a " + "t" * 15, False),
        ("a " + "t" * 16, True),
        ("a " + "t" * 512, True),
        ("a " + "t" * 513, False),
        ("a" * 32 + " " + FIRST, True),
        ("a" * 33 + " " + FIRST, False),
        (f"a {FIRST}\na {SECOND}", False),
        (f"Anna! {FIRST}", False),
        (f"two words {FIRST}", False),
        ("a " + "ł" * 16, False),
        ("\n".join(f"a{n} {FIRST}{n}" for n in range(32)), True),
        ("\n".join(f"a{n} {FIRST}{n}" for n in range(33)), False),
    ],
)
def test_a_token_file_has_named_lines_of_bounded_length(
    tmp_path: Path, text: str, is_good: bool
) -> None:
    path = a_token_file(tmp_path, text)
    if is_good:
        assert tokens.read(path)
        return
    with pytest.raises(ConfigError) as refused:
        tokens.read(path)
    assert FIRST not in str(refused.value)


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chmod 600"):
        tokens.read(a_token_file(tmp_path, f"a {FIRST}", mode=0o640))
