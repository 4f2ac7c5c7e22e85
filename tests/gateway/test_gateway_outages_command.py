"""`outages`: what the command line shows and changes, and what it refuses in one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gateway import store
from gateway.__main__ import main
from gateway.cli.outages import moment
from gateway.errors import UsageError
from gateway.outages import outage_rows
from gateway.outages.outage_records import GATEWAY, UNREACHED, AreaOutage, Outage, Plan
from tests.support.gateway import NOW_S, a_home, a_meter, rows

A, B = a_meter(1), a_meter(2)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A home with one area outage of A, and one that A told afterwards."""
    config = a_home(tmp_path, A, B)
    group = AreaOutage("Wola", NOW_S, 0, told="opened")
    held = Outage(A.meter_id, "Wola", "last_gasp", NOW_S, NOW_S, 0, told="", group=group)
    group.members[A.meter_id] = held
    past = Outage(A.meter_id, "Wola", "meter", NOW_S - 900, NOW_S, 0, ended_s=NOW_S - 840,
                  said_by="meter", number=7, told="closed")  # fmt: skip
    connection = store.connect(tmp_path / "gateway.db")
    store.transact(connection, lambda c: outage_rows.save(c, [past, held, group]))
    connection.execute(
        "INSERT INTO meter_event (meter_id, number, code, vals, at_s, received_s)"
        " VALUES (?, 7, 3, '[1,190000,4]', ?, ?)",
        (A.meter_id, NOW_S, NOW_S + 1),
    )
    connection.close()
    return config


def shown(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> list[dict[str, object]]:
    assert main(["outages", *words, "--json", "--config", str(config)]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> str:
    assert main(["outages", *words, "--config", str(config)]) == 2
    return capsys.readouterr().err


def test_outages_are_listed_newest_first_and_open_ones_alone(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = shown(capsys, config, "list")
    assert [(row["cause"], row["duration_s"], row["confirmed"]) for row in everything] == [
        ("last_gasp", None, True), ("meter", 60, True)
    ]  # fmt: skip
    assert [row["cause"] for row in shown(capsys, config, "list", "--open")] == ["last_gasp"]
    assert shown(capsys, config, "list", "--meter", B.hex_id) == []
    assert len(shown(capsys, config, "list", "--limit", "1")) == 1
    assert main(["outages", "list", "--config", str(config)]) == 0
    assert "last_gasp" in capsys.readouterr().out


def test_area_outages_say_how_many_meters_they_hold(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = shown(capsys, config, "areas", "--open")
    assert (row["area"], row["meters"], row["meters_back"]) == ("Wola", 1, 0)


def test_voltage_events_are_listed_by_name(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = shown(capsys, config, "events", "--code", "sag")
    assert (row["name"], row["values"], row["at_s"]) == ("sag", [1, 190000, 4], NOW_S)
    assert shown(capsys, config, "events", "--code", "swell") == []
    assert "no event is called flood; there are: outage" in refused(
        capsys, config, "events", "--code", "flood"
    )


def test_meters_are_put_into_an_area_and_out_again_and_the_act_is_logged(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = config.parent
    assert main(["outages", "area", "Wola", A.hex_id, B.hex_id, "--config", str(config)]) == 0
    assert rows(home, "SELECT DISTINCT area FROM area_meter") == [("Wola",)]
    assert main(["outages", "area", "-", A.hex_id, "--config", str(config)]) == 0
    assert rows(home, "SELECT meter_id FROM area_meter") == [(B.meter_id,)]
    table = f"meter_id,area\n{A.hex_id},Łódź Górna\n\n{B.hex_id},\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(table))
    assert main(["outages", "import", "--config", str(config)]) == 0
    assert rows(home, "SELECT meter_id, area FROM area_meter") == [(A.meter_id, "Łódź Górna")]
    acts = rows(home, "SELECT action FROM audit WHERE action LIKE 'area%'")
    assert acts == [("area.set",)] * 3


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "a/b", "a+b", "a#b", "a\nb", " a", ".a", GATEWAY, UNREACHED]
)
def test_a_name_that_would_break_a_topic_or_a_mail_names_no_area(name: str) -> None:
    with pytest.raises(UsageError, match="an area's name"):
        outage_rows.check_area(name)


@pytest.mark.parametrize("name", ["a", "a" * 64, "Łódź Górna 2", "GPZ-7.3_b"])
def test_a_good_name_names_an_area(name: str) -> None:
    outage_rows.check_area(name)  # or it raises
    assert len(name) <= 64


def test_an_unknown_meter_changes_nothing(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, config, "area", "Wola", A.hex_id, "0" * 16)
    assert "meter 0000000000000000 is not registered; nothing was changed" in said
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{A.hex_id},Wola,extra\n"))
    assert "line 1: write METER_ID,AREA" in refused(capsys, config, "import")
    assert rows(config.parent, "SELECT * FROM area_meter") == []


@pytest.mark.parametrize(("count", "good"), [(0, False), (2, True), (3, False)])
def test_the_number_of_meters_in_one_act_is_bounded(
    config: Path, monkeypatch: pytest.MonkeyPatch, count: int, good: bool
) -> None:
    monkeypatch.setattr(outage_rows, "AREA_METERS_MAX", 2)
    places = dict.fromkeys([A.meter_id, B.meter_id, bytes(8)][:count], "Wola")
    connection = store.connect(config.parent / "gateway.db")
    try:
        if good:
            outage_rows.set_areas(connection, places, actor="anna", now_s=NOW_S)
            assert outage_rows.areas(connection) == places
            return
        with pytest.raises(UsageError, match="give 1 to 2 meters"):
            outage_rows.set_areas(connection, places, actor="anna", now_s=NOW_S)
    finally:
        connection.close()


def test_a_planned_outage_is_announced_listed_and_taken_back(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["2100-12-01T08:00Z", "2100-12-01T13:00+01:00", "--text", "transformer"]
    assert main(["outages", "plan", "Wola", *words, "--config", str(config)]) == 0
    capsys.readouterr()
    (row,) = shown(capsys, config, "plans")
    assert (row["from"], row["to"]) == ("2100-12-01T08:00:00Z", "2100-12-01T12:00:00Z")
    assert main(["outages", "unplan", "1", "--config", str(config)]) == 0
    capsys.readouterr()
    assert shown(capsys, config, "plans") == []
    assert "there is no planned outage 1" in refused(capsys, config, "unplan", "1")
    acts = rows(config.parent, "SELECT action FROM audit ORDER BY id DESC LIMIT 2")
    assert acts == [("outage.unplan",), ("outage.plan",)]


@pytest.mark.parametrize(
    ("from_s", "to_s", "text", "good"),
    [
        (NOW_S, NOW_S + 1, "", True),
        (NOW_S, NOW_S, "", False),
        (NOW_S - 9, NOW_S, "", False),  # over already
        (NOW_S, NOW_S + outage_rows.PLAN_S_MAX, "", True),
        (NOW_S, NOW_S + outage_rows.PLAN_S_MAX + 1, "", False),
        (NOW_S, NOW_S + 1, "x" * outage_rows.PLAN_TEXT_CHARS_MAX, True),
        (NOW_S, NOW_S + 1, "x" * (outage_rows.PLAN_TEXT_CHARS_MAX + 1), False),
        (NOW_S, NOW_S + 1, "two\nlines", False),
    ],
)
def test_a_plan_is_bounded(config: Path, from_s: int, to_s: int, text: str, good: bool) -> None:
    connection = store.connect(config.parent / "gateway.db")
    plan = Plan("*", from_s, to_s, text)
    try:
        if good:
            assert outage_rows.add_plan(connection, plan, actor="anna", now_s=NOW_S) == 1
            return
        with pytest.raises(UsageError):
            outage_rows.add_plan(connection, plan, actor="anna", now_s=NOW_S)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-12-01", "2026-12-01T08:00", "2026-13-01T08:00Z"]
)
def test_a_moment_without_its_offset_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a moment as"):
        moment(text)


def test_notices_are_listed_with_what_became_of_them(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, config, "notices", "--state", "waiting") == []
