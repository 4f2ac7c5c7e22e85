"""The audit log: what was done stays as it was written, or verify says which row is not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import audit, news, store
from gateway.audit import Act, Head
from gateway.errors import UsageError
from gateway.listener import Listener
from gateway.store import Store
from tests.gateway.test_gateway_command_line import gateway
from tests.support.gateway import a_home

ACTIONS = ("meter.add", "meter.revoke", "key.rotate", "rollout.start")


def a_log(acts: int) -> sqlite3.Connection:
    """A database in memory with so many acts."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, at_s, actor, action, subject, detail, hash)"
    )
    for number in range(acts):
        detail: dict[str, object] = {"number": number, "name": "zażółć"}
        audit.record(connection, "anna", ACTIONS[number % 4], f"{number:016x}", detail, number)
    return connection


@pytest.fixture
def log() -> Iterator[sqlite3.Connection]:
    connection = a_log(6)
    yield connection
    connection.close()


def test_an_untouched_log_is_unbroken_also_against_every_head_it_ever_had() -> None:
    connection = a_log(0)
    heads = [audit.head(connection)]
    for number in range(5):
        audit.record(connection, "anna", "meter.add", str(number), {}, number)
        heads.append(audit.head(connection))
    assert audit.verify(connection) is None
    for kept in heads:
        assert audit.verify(connection, audit.parse_head(str(kept))) is None
    connection.close()


FIELDS = st.sampled_from(["at_s", "actor", "action", "subject", "detail", "hash"])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), FIELDS, st.data())
def test_any_altered_field_is_found_at_its_row(row: int, field: str, data: st.DataObject) -> None:
    connection = a_log(6)
    was = connection.execute(f"SELECT {field} FROM audit WHERE id = ?", (row,)).fetchone()[0]
    kinds = {int: st.integers(0, 1 << 40), str: st.text(), bytes: st.binary(max_size=32)}
    value = data.draw(kinds[type(was)].filter(lambda drawn: drawn != was))
    connection.execute(f"UPDATE audit SET {field} = ? WHERE id = ?", (value, row))
    assert audit.verify(connection) == row
    connection.close()


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(1, 7)))
def test_any_other_order_of_rows_is_found(order: list[int]) -> None:
    connection = a_log(6)
    rows = connection.execute("SELECT * FROM audit ORDER BY id").fetchall()
    for place, row in enumerate(order, 1):
        values = (*rows[row - 1][1:], place)
        connection.execute(
            "UPDATE audit SET at_s=?, actor=?, action=?, subject=?, detail=?, hash=? WHERE id=?",
            values,
        )
    first_wrong = next((p for p, row in enumerate(order, 1) if p != row), None)
    assert audit.verify(connection) == first_wrong
    connection.close()


@pytest.mark.parametrize("row", [1, 2, 5])
def test_a_removed_row_is_found_unless_it_is_the_last(log: sqlite3.Connection, row: int) -> None:
    log.execute("DELETE FROM audit WHERE id = ?", (row,))
    assert audit.verify(log) == row


@pytest.mark.parametrize("row", [2, 5])
def test_a_removed_row_is_found_also_when_the_numbers_are_closed_up(
    log: sqlite3.Connection, row: int
) -> None:
    log.execute("DELETE FROM audit WHERE id = ?", (row,))
    for number in range(row + 1, 7):
        log.execute("UPDATE audit SET id = ? WHERE id = ?", (number - 1, number))
    assert audit.verify(log) == row


def test_an_inserted_row_is_found(log: sqlite3.Connection) -> None:
    log.execute("INSERT INTO audit VALUES (7, 0, 'eve', 'meter.add', '', '{}', ?)", (bytes(32),))
    assert audit.verify(log) == 7


def test_a_row_altered_together_with_its_own_hash_is_found_at_the_next(
    log: sqlite3.Connection,
) -> None:
    before = audit.Head(*log.execute("SELECT id, hash FROM audit WHERE id = 2").fetchone())
    act = audit.since(log, 2)[0]._replace(actor="eve")
    digest = audit.chain(before.hash, act)
    log.execute("UPDATE audit SET actor = 'eve', hash = ? WHERE id = 3", (digest,))
    assert audit.verify(log) == 4


def test_a_row_left_out_of_a_chain_written_anew_is_found_by_its_number(
    log: sqlite3.Connection,
) -> None:
    log.execute("DELETE FROM audit WHERE id > 4")
    act = Act(6, 0, "eve", "meter.add", "", "{}")
    digest = audit.chain(audit.head(log).hash, act)
    log.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*act, digest))
    assert audit.verify(log) == 5


def test_a_cut_end_is_found_by_a_head_that_was_kept_and_only_so(log: sqlite3.Connection) -> None:
    kept = audit.head(log)
    log.execute("DELETE FROM audit WHERE id > 3")
    assert audit.verify(log) is None
    assert audit.verify(log, kept) == 4


def test_a_log_written_anew_is_found_by_a_head_that_was_kept(log: sqlite3.Connection) -> None:
    kept = audit.head(log)
    log.execute("DELETE FROM audit")
    for number in range(8):
        audit.record(log, "eve", "meter.add", "", {}, number)
    assert audit.verify(log) is None
    assert audit.verify(log, kept) == 6
    assert audit.verify(log, Head(0, b"x" * 32)) == 0


@pytest.mark.parametrize(
    "text", ["", "7", "7:", "x:" + "00" * 32, "-1:" + "00" * 32, "7:" + "0" * 62]
)
def test_a_kept_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="audit head"):
        audit.parse_head(text)


def test_the_command_line_lists_verifies_and_names_the_broken_row(tmp_path: Path) -> None:
    config = a_home(tmp_path)
    connection = store.connect(tmp_path / "gateway.db")
    for number in range(3):
        store.transact(
            connection, lambda c, n=number: audit.record(c, "anna", "meter.add", str(n), {}, n)
        )
    head = gateway("audit", "head", "--config", config).stdout.strip()
    assert head == str(audit.head(connection))
    listed = gateway("audit", "list", "--config", config, "--json", "--limit", "2").stdout
    assert '"subject": "1"' in listed
    assert '"subject": "0"' not in listed
    assert gateway("audit", "verify", "--config", config, "--kept", head).returncode == 0
    connection.execute("UPDATE audit SET actor = 'eve' WHERE id = 2")
    connection.close()
    broken = gateway("audit", "verify", "--config", config)
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "audit row 2 " in broken.stderr
    assert broken.stderr.count("\n") == 1


# -------------------------------------------------------------- news of it


def test_news_hands_on_every_act_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Act] = []

    class Ear(Listener):
        def acted(self, act: Act) -> None:
            heard.append(act)

    async def story() -> None:
        monkeypatch.setattr(audit.since, "__defaults__", (2,))  # two at a time
        kept = Store(tmp_path / "gateway.db")
        await kept.run(lambda c: audit.record(c, "anna", "meter.add", "before", {}, 1))
        found = news.News(kept, [Ear()])
        await found.start()
        await found.look()
        assert heard == []
        for number in range(5):
            await kept.run(lambda c, n=number: audit.record(c, "anna", "meter.add", str(n), {}, n))
        for _ in range(4):
            await found.look()
        kept.close()

    asyncio.run(story())
    assert [act.subject for act in heard] == ["0", "1", "2", "3", "4"]
