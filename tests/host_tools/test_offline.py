"""Registrations without a network: sealed, queued, taken in once, conflicts by name."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from host_tools.pairing import offline, pair
from host_tools.pairing.errors import (
    BadIdentity,
    BadInput,
    ExposedSecret,
    PairingError,
    SealedForAnother,
)
from host_tools.pairing.identity import Identity, Secret, fresh, to_dict
from host_tools.pairing.offline import Taken
from host_tools.pairing.stages import StageFailed, Stopped
from tests.support.a_pairing import NOW_S, Told, a_job, an_offline_job, texts_in, tools_for
from tests.support.fake_board import FakeBoard
from tests.support.running_gateway import RunningGateway


@pytest.fixture
def keys(tmp_path: Path) -> tuple[bytes, Secret]:
    public = offline.make_keys(tmp_path / "queue.key")
    return offline.read_public(public), offline.read_private(tmp_path / "queue.key")


def a_file(made: Identity, public: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(offline.seal(made, public, "anna", NOW_S))
    return fields


def put(folder: Path, made: Identity, public: bytes) -> Path:
    data = offline.seal(made, public, "anna", NOW_S)
    return offline.queue(folder, data, made.hex_id, made.key_epoch)


def ignore(_: Taken) -> None:
    """Nobody looks."""


# ------------------------------------------------------------------ one file


def test_what_is_sealed_for_the_gateway_opens_there(keys: tuple[bytes, Secret]) -> None:
    made = fresh(key_epoch=2)
    fields = a_file(made, keys[0])
    assert offline.open_sealed(fields, keys[1]) == made
    assert (fields["meter_id"], fields["technician"]) == (made.hex_id, "anna")


def test_the_file_has_no_secret_in_it(keys: tuple[bytes, Secret]) -> None:
    made = fresh()
    text = json.dumps(a_file(made, keys[0]))
    for secret in (made.meter_key.reveal().hex(), made.password.reveal().decode()):
        assert secret not in text
        assert secret.encode().hex() not in text
    again = json.dumps(a_file(made, keys[0]))
    assert json.loads(again)["sealed"] != json.loads(text)["sealed"], "a key of its own each time"


@pytest.mark.parametrize("field", ["meter_id", "key_epoch", "technician", "sealed_s", "sender",
                                   "sealed"])  # fmt: skip
def test_every_altered_field_is_found(keys: tuple[bytes, Secret], field: str) -> None:
    fields = a_file(fresh(), keys[0])
    value = fields[field]
    if isinstance(value, int):
        fields[field] = value + 1
    else:
        last = "0" if value[-1] != "0" else "1"
        fields[field] = value[:-1] + last
    with pytest.raises(SealedForAnother, match="another gateway, or altered"):
        offline.open_sealed(fields, keys[1])


def test_every_flipped_byte_of_what_is_sealed_is_found(keys: tuple[bytes, Secret]) -> None:
    fields = a_file(fresh(), keys[0])
    sealed = bytes.fromhex(fields["sealed"])
    for at in range(len(sealed)):
        broken = bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]])
        with pytest.raises(SealedForAnother):
            offline.open_sealed({**fields, "sealed": broken.hex()}, keys[1])


@pytest.mark.parametrize("value", ["", "zz", "00", "00" * 32])
def test_a_sender_or_a_seal_that_is_nonsense_is_refused(
    keys: tuple[bytes, Secret], value: str
) -> None:
    fields = a_file(fresh(), keys[0])
    for name in ("sender", "sealed"):
        with pytest.raises(SealedForAnother):
            offline.open_sealed({**fields, name: value}, keys[1])


def test_another_gateways_key_opens_nothing(keys: tuple[bytes, Secret], tmp_path: Path) -> None:
    offline.make_keys(tmp_path / "other.key")
    with pytest.raises(SealedForAnother) as refused:
        offline.open_sealed(a_file(fresh(), keys[0]), offline.read_private(tmp_path / "other.key"))
    assert refused.value.__cause__ is None


# ------------------------------------------------------------------ the pair of keys


def test_the_private_key_is_its_owners_alone_and_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "queue.key"
    public = offline.make_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public.name == "queue.key.pub"
    for there in (path, public):
        with pytest.raises(BadInput, match="there already"):
            offline.make_keys(path)
        there.unlink()
    offline.make_keys(path)
    path.chmod(0o640)
    with pytest.raises(ExposedSecret):
        offline.read_private(path)


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "a key"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    for read in (offline.read_public, offline.read_private):
        with pytest.raises(BadInput) as refused:
            read(path)
        assert not text or text not in str(refused.value).replace("no key", "")


# ------------------------------------------------------------------ the queue


def test_a_queue_is_taken_in_once(
    tmp_path: Path, gateway: RunningGateway, keys: tuple[bytes, Secret]
) -> None:
    folder, made = tmp_path / "queue", [fresh() for _ in range(3)]
    for each in made:
        put(folder, each, keys[0])
    told: list[Taken] = []
    taken = offline.sync(folder, keys[1], gateway.client(), told.append)
    assert [one.state for one in taken] == ["registered"] * 3
    assert told == taken
    assert offline.sync(folder, keys[1], gateway.client(), ignore) == []
    done = sorted((folder / "done").iterdir())
    assert [path.name[:16] for path in done] == sorted(each.hex_id for each in made)
    assert 'sealed"' not in texts_in(folder), "what was sealed is gone with its use"
    for each in made:
        shown = gateway.client().show(each.hex_id)
        assert shown is not None
        assert shown["state"] == "active"


def test_a_copy_that_comes_again_changes_nothing(
    tmp_path: Path, gateway: RunningGateway, keys: tuple[bytes, Secret]
) -> None:
    path = put(tmp_path / "queue", fresh(), keys[0])
    shutil.copy(path, tmp_path / "copy")
    offline.sync(tmp_path / "queue", keys[1], gateway.client(), ignore)
    shutil.copy(tmp_path / "copy", path)
    (taken,) = offline.sync(tmp_path / "queue", keys[1], gateway.client(), ignore)
    assert taken.state == "already_registered"
    assert taken.good


def test_conflicts_are_told_by_name_and_stop_nobody(
    tmp_path: Path, gateway: RunningGateway, keys: tuple[bytes, Secret]
) -> None:
    client, folder = gateway.client(), tmp_path / "queue"
    revoked, gone, newer, foreign, twice, good = (fresh() for _ in range(6))
    for each in (revoked, gone, newer):
        client.register(each)
    client.ask("POST", f"/v1/meters/{revoked.hex_id}/revoke")
    client.decommission(gone.hex_id)
    for each in (revoked, gone, good):
        put(folder, each, keys[0])
    put(folder, fresh(newer.meter_id, 4), keys[0])
    offline.make_keys(tmp_path / "other.key")
    put(folder, foreign, offline.read_public(tmp_path / "other.key.pub"))
    put(folder, twice, keys[0])
    put(folder, fresh(twice.meter_id, 1), keys[0])
    taken = offline.sync(folder, keys[1], client, ignore)
    by_meter = {one.meter_id: one.state for one in taken}
    assert by_meter == {
        revoked.hex_id: "revoked",
        gone.hex_id: "decommissioned",
        newer.hex_id: "other_key_epoch",
        foreign.hex_id: "sealed_for_another",
        twice.hex_id: "queued_twice",
        good.hex_id: "registered",
    }
    assert len(list(folder.glob("*.registration"))) == 6, "conflicts stay where they are"
    with pytest.raises(PairingError, match="6 of 7 registrations are in conflict"):
        offline.check_all_good(taken)
    offline.check_all_good([one for one in taken if one.good])


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 1}', "nonsense", '{"version": "1"}', "x" * 9000]
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.registration").write_text(content)
    with pytest.raises(BadInput, match=r"a\.registration"):
        list(offline.queued(tmp_path))


def test_a_newer_version_is_not_guessed_at(tmp_path: Path, keys: tuple[bytes, Secret]) -> None:
    fields = a_file(fresh(), keys[0]) | {"version": 2}
    (tmp_path / "a.registration").write_text(json.dumps(fields))
    with pytest.raises(BadInput, match="version 2 is newer"):
        list(offline.queued(tmp_path))


def test_a_queue_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        list(offline.queued(tmp_path / "nowhere"))


def test_a_queue_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "FILES_MAX", 2)
    for number in range(3):
        (tmp_path / f"{number}.registration").write_text("{}")
    with pytest.raises(BadInput, match="over 2 registrations"):
        list(offline.queued(tmp_path))


def test_an_inside_that_lies_about_its_meter_is_refused(
    keys: tuple[bytes, Secret], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = fresh(), fresh()
    inside = to_dict(other)
    monkeypatch.setattr(offline, "to_dict", lambda _: inside)
    fields = a_file(good, keys[0])
    with pytest.raises(SealedForAnother, match="inside another"):
        offline.open_sealed(fields, keys[1])
    monkeypatch.setattr(offline, "to_dict", lambda _: {"meter_id": "x"})
    with pytest.raises(BadIdentity):
        offline.open_sealed(a_file(good, keys[0]), keys[1])


# ------------------------------------------------------------------ with a board


def test_a_meter_paired_off_line_is_heard_after_its_queue_was_taken_in(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    job = an_offline_job(tmp_path, gateway)
    result = pair.pair_offline(job, tools_for(board), told.tell)
    assert result["state"] == "queued"
    assert "reading" not in told.states()
    assert board.nvs["key"] not in texts_in(tmp_path / "state") + texts_in(tmp_path / "queue")
    online = a_job(tmp_path, gateway)
    with pytest.raises(StageFailed, match=r"run `offline sync` there") as failed:
        pair.pair(online, tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (14, "not_registered")
    private = offline.read_private(tmp_path / "queue.key")
    offline.sync(tmp_path / "queue", private, gateway.client(), ignore)
    told = Told()
    paired = pair.pair(online, tools_for(board), told.tell)
    assert (paired["state"], paired["meter_id"]) == ("paired", result["meter_id"])
    assert paired["code"] == result["code"]
    assert told.states()["settings"] == "done", "nobody heard it yet, so it is told anew"
    assert told.states()["label"] == "done_before"


def test_a_pairing_whose_gateway_is_away_goes_on_off_line(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    board, told = FakeBoard(gateway), Told()
    online = a_job(tmp_path, gateway)
    with pytest.raises(Stopped):
        pair.pair(online, tools_for(board), told.tell, lambda: told[-1]["stage"] == "register")
    made = board.nvs["id"]
    result = pair.pair_offline(an_offline_job(tmp_path, gateway), tools_for(board), Told().tell)
    assert (result["state"], result["meter_id"]) == ("queued", made)


def test_a_queue_that_cannot_be_written_fails_in_its_stage(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    (tmp_path / "queue").write_text("a file")
    board = FakeBoard(gateway)
    job = an_offline_job(tmp_path, gateway)
    with pytest.raises(StageFailed) as failed:
        pair.pair_offline(job, tools_for(board), Told().tell)
    assert (failed.value.exit_code, failed.value.reason) == (15, "file_not_written")
    (tmp_path / "queue").unlink()
    assert pair.pair_offline(job, tools_for(board), Told().tell)["meter_id"] == board.nvs["id"]
