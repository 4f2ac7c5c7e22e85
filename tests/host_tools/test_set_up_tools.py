"""Proves the small tools of the Makefile: fetching umqtt, locking, checking, cleaning, the list."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from host_tools import check, clean, fetch_umqtt, lock, targets


def an_archive(name: str, content: bytes) -> bytes:
    """A gzipped tar with one file in it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def pin(monkeypatch: pytest.MonkeyPatch, archive: bytes, module: bytes) -> None:
    monkeypatch.setattr(fetch_umqtt, "ARCHIVE_SHA256", hashlib.sha256(archive).hexdigest())
    monkeypatch.setattr(fetch_umqtt, "MODULE_SHA256", hashlib.sha256(module).hexdigest())


def test_the_one_module_is_taken_out_of_the_pinned_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = b"class MQTTClient: pass\n"
    archive = an_archive(fetch_umqtt.MEMBER, module)
    pin(monkeypatch, archive, module)
    target = tmp_path / ".lib/umqtt/simple.py"
    assert not fetch_umqtt.is_fetched(target)
    fetch_umqtt.store(fetch_umqtt.unpack(archive), target)
    assert target.read_bytes() == module
    assert fetch_umqtt.is_fetched(target)
    assert [path.name for path in target.parent.iterdir()] == ["simple.py"]


def test_an_archive_with_one_bit_changed_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = an_archive(fetch_umqtt.MEMBER, b"x")
    pin(monkeypatch, archive, b"x")
    flipped = archive[:20] + bytes([archive[20] ^ 1]) + archive[21:]
    with pytest.raises(fetch_umqtt.FetchFailed, match="differs from its pinned SHA-256"):
        fetch_umqtt.unpack(flipped)


def test_another_module_in_the_pinned_archive_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = an_archive(fetch_umqtt.MEMBER, b"x")
    pin(monkeypatch, archive, b"y")
    with pytest.raises(fetch_umqtt.FetchFailed, match="not kept"):
        fetch_umqtt.unpack(archive)


@pytest.mark.parametrize(("extra_bytes", "kept"), [(-1, True), (0, True), (1, False)])
def test_no_more_of_a_module_is_read_than_its_limit(
    monkeypatch: pytest.MonkeyPatch, extra_bytes: int, kept: bool
) -> None:
    module = b"x" * (fetch_umqtt.MODULE_BYTES_MAX + extra_bytes)
    archive = an_archive(fetch_umqtt.MEMBER, module)
    pin(monkeypatch, archive, module)
    if kept:
        assert fetch_umqtt.unpack(archive) == module
    else:
        with pytest.raises(fetch_umqtt.FetchFailed):
            fetch_umqtt.unpack(archive)


def test_a_changed_umqtt_is_fetched_again(tmp_path: Path) -> None:
    target = tmp_path / "simple.py"
    target.write_bytes(b"changed by hand")
    assert not fetch_umqtt.is_fetched(target)


def test_an_unreachable_index_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Port 9 of loopback: nothing listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://anna:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(fetch_umqtt.FetchFailed, match="check the network") as told:
        fetch_umqtt.download()
    assert "hunter2" not in str(told.value)


def test_a_pip_setting_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert fetch_umqtt.pip_setting("index-url") == "http://127.0.0.1:9/simple"


def test_a_pip_setting_comes_from_pips_own_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = http://127.0.0.1:9/own\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert fetch_umqtt.pip_setting("index-url") == "http://127.0.0.1:9/own"
    assert fetch_umqtt.pip_setting("no-such-setting") == ""


def test_both_lock_files_come_from_one_resolution_with_hashes_and_no_index() -> None:
    dev, run = lock.commands(keep=False)
    for command in (dev, run):
        assert {"--generate-hashes", "--universal", "--no-emit-index-url", "--upgrade"} <= {
            *command
        }
    assert run[run.index("--constraint") + 1] == dev[dev.index("--output-file") + 1]
    assert "--upgrade" not in lock.commands(keep=True)[0]


def test_clean_removes_what_make_built_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "wire" / "frame.py"
    kept.parent.mkdir()
    kept.write_text("x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".lib").symlink_to(elsewhere)
    (tmp_path / "wire/__pycache__").mkdir()
    assert clean.clean(tmp_path) == [".venv", ".lib"]
    assert kept.exists()
    assert (elsewhere / "precious").exists()
    assert not (tmp_path / "wire/__pycache__").exists()
    assert clean.clean(tmp_path) == []


def test_check_runs_every_step_even_after_a_failure(tmp_path: Path) -> None:
    todo = {"lint": ["no_such_module"], "types": ["platform"], "tests": ["no_such_module_either"]}
    assert check.run_all(todo, tmp_path) == ["lint", "tests"]


def test_check_looks_at_types_in_every_room_that_exists(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    assert check.steps(tmp_path)["types"][:2] == ["mypy", "wire"]
    assert {"lint", "layout", "types", "tests, no skips"} == check.steps(tmp_path).keys()


def test_check_refuses_an_argument_it_does_not_know() -> None:
    assert check.main(["--quick"]) == 2
    assert lock.main(["--quick"]) == 2


def test_the_list_of_targets_is_read_from_the_makefile() -> None:
    makefile = ".PHONY: a\nrun: ## run it\n\t@x\nhidden:\n\t@y\ntest: ## test it\n\t@z\n"
    assert targets.targets(makefile) == {"run": "run it", "test": "test it"}
