"""What others read of a journal row: every documented field, and nothing that was not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import __main__
from gateway.config import Publish
from gateway.errors import DamagedStore
from gateway.forwarding import readings
from gateway.forwarding.publisher import publishes
from gateway.segments import Row
from tests.support.gateway import NOW_S, START_S, a_home, a_meter, a_profile
from wire import messages, obis, quality
from wire.messages import Event, Live, Registers, Result, Status

DOCS = Path(__file__).resolve().parents[2] / "docs" / "forwarding.md"
METER = a_meter()
UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def a_row(message: Any) -> Row:
    return Row(7, METER.meter_id, 3, 41, NOW_S, messages.encode(message))


def published(message: Any, *formats: Any, **changes: Any) -> list[tuple[str, Any]]:
    config = Publish(url="mqtt://h", topic="base", formats=formats or ("json",), **changes)
    return [(topic, json.loads(data)) for topic, data in publishes(a_row(message), config)]


def test_an_interval_is_published_with_every_documented_field() -> None:
    flags = quality.ESTIMATED | quality.GAP | quality.CLOCK_UNSYNCED
    found = published(a_profile(5, 2, quality=(flags, 0)))
    assert [topic for topic, _ in found] == [f"base/{METER.hex_id}/reading"] * 2
    assert found[0][1] == {
        "meter_id": METER.hex_id,
        "interval": 5,
        "start": "2021-10-15T01:00:00Z",
        "end": "2021-10-15T01:15:00Z",
        "start_s": START_S + 3600,
        "end_s": START_S + 4500,
        "capture_period_s": 900,
        "quality": "estimated",
        "flags": ["clock_unsynced", "gap"],
        "energy_wh": {"1.8.0": 250, "2.8.0": 0},
        "registers_wh": {"1.8.0": 2250, "2.8.0": 0},
        "key_epoch": 3,
        "frame_counter": 41,
        "received": "2025-10-09T08:53:20Z",
        "received_s": NOW_S,
    }
    assert found[1][1]["registers_wh"]["1.8.0"] == 2500
    assert found[1][1]["flags"] == []


def test_a_missing_interval_is_null_and_never_zero() -> None:
    missing = quality.MISSING | quality.GAP
    (_, before), (_, reading), (_, after) = published(
        a_profile(1, 3, quality=(0, missing, 0), deltas_wh=((10, 0, 30), (0, 0, 0)))
    )
    assert reading["quality"] == "missing"
    assert reading["energy_wh"] == reading["registers_wh"] == {"1.8.0": None, "2.8.0": None}
    assert before["energy_wh"]["1.8.0"] == 10
    assert after["registers_wh"]["1.8.0"] == 1040


def test_every_register_is_under_its_own_unit() -> None:
    codes = (obis.IMPORT_WH, obis.IMPORT_VARH, 11, obis.DEMAND_W)
    profile = a_profile(
        channels=codes, registers_wh=(1, 2, 3, 4), deltas_wh=((5,), (6,), (7,), (8,))
    )
    ((_, reading),) = published(profile)
    assert reading["energy_wh"] == {"1.8.0": 5, "1.8.1": 7}
    assert reading["energy_varh"] == {"3.8.0": 6}
    assert reading["registers_w"] == {"1.6.0": 12}
    assert "energy_w" not in reading


@pytest.mark.parametrize(
    ("message", "topic", "fields"),
    [
        (
            Registers(START_S, (1, 31), (7_000_000, 4200)),
            "registers",
            {"at": "2021-10-15T00:00:00Z", "at_s": START_S,
             "registers_wh": {"1.8.0": 7_000_000}, "registers_w": {"1.6.0": 4200}},
        ),
        (
            Live(START_S, -350, (230_100, 229_900), (1520, 0), 49_998),
            "live",
            {"at": "2021-10-15T00:00:00Z", "at_s": START_S, "power_w": -350,
             "voltage_mv": [230_100, 229_900], "current_ma": [1520, 0], "frequency_mhz": 49_998},
        ),
        (
            Event(START_S, messages.EVENT_SAG, (2, 180_000, 4), 9),
            "event",
            {"at": "2021-10-15T00:00:00Z", "at_s": START_S, "event": "sag", "code": 3, "number": 9,
             "values": {"phase": 2, "extreme_mv": 180_000, "duration_s": 4}},
        ),
        (
            Event(0, 200, (5,), 0),
            "event",
            {"at": None, "at_s": None, "event": "unknown", "code": 200, "number": 0,
             "values": {"value_1": 5}},
        ),
    ],
)  # fmt: skip
def test_registers_live_values_and_events_have_their_topics(
    message: Any, topic: str, fields: dict[str, Any]
) -> None:
    ((to, said),) = published(message)
    frame = {"key_epoch": 3, "frame_counter": 41, "received": "2025-10-09T08:53:20Z"}
    assert to == f"base/{METER.hex_id}/{topic}"
    assert said == {"meter_id": METER.hex_id, **fields, **frame, "received_s": NOW_S}


@pytest.mark.parametrize(
    "message", [Status(0, "0.1.0", 1, 1, 1, -50, 1), Result(1, 0, b"secret of the meter")]
)
def test_a_status_or_a_result_is_nobodys_business(message: Any) -> None:
    assert published(message, "json", "senml") == []


def test_every_event_of_the_wire_has_a_name() -> None:
    codes = {value for name, value in vars(messages).items() if name.startswith("EVENT_")}
    assert codes == set(readings.EVENTS)


def test_a_profile_as_senml_says_energy_in_joules_at_the_end_of_each_interval() -> None:
    ((topic, pack),) = published(a_profile(1, 2, quality=(0, quality.MISSING)), "senml")
    assert topic == f"base/{METER.hex_id}/senml"
    assert pack == [
        {"bn": f"urn:dev:os:32473-{METER.hex_id}_", "bt": START_S + 900,
         "n": "1.8.0_energy", "u": "J", "v": 900_000},
        {"n": "2.8.0_energy", "u": "J", "v": 0},
        {"n": "1.8.0", "u": "J", "v": 4_500_000},
        {"n": "2.8.0", "u": "J", "v": 0},
        {"n": "quality", "vs": "measured"},
        {"n": "quality", "vs": "missing", "t": 900},
    ]  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn) -> messages.Profile:
    codes = tuple(
        sorted(draw(st.sets(st.sampled_from(sorted(obis.NAMES)), min_size=1, max_size=6)))
    )
    count = draw(st.integers(1, 30))  # any energies of so many fit a message
    delta = st.integers(0, messages.DELTA_WH_MAX)
    return a_profile(
        draw(st.integers(1, 1000)),
        count,
        channels=codes,
        registers_wh=tuple(draw(st.integers(0, 1 << 39)) for _ in codes),
        deltas_wh=tuple(
            tuple(draw(st.lists(delta, min_size=count, max_size=count))) for _ in codes
        ),
        quality=tuple(draw(st.lists(st.integers(0, 63), min_size=count, max_size=count))),
    )


@given(profiles())
def test_a_senml_pack_resolves_as_rfc_8428_says(profile: messages.Profile) -> None:
    row = Row(1, METER.meter_id, 0, 0, NOW_S, b"")
    resolved = [each for pack in readings.senml(row, profile, 4711) for each in resolve(pack)]
    assert all(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9\-:./_]*", name) for name, *_ in resolved)
    assert {unit for _, _, unit, _ in resolved} <= {"J", "vars", "W", None}
    numbers = [value for *_, value in resolved if not isinstance(value, str)]
    assert all(type(value) is int and value < 1 << 53 for value in numbers), "exact in any reader"
    energies = {(name, at): value for name, at, _, value in resolved if name.endswith("_energy")}
    for reading in readings.readings(row, profile):
        for unit in ("wh", "varh"):
            for code, energy in reading.get(f"energy_{unit}", {}).items():
                name = f"urn:dev:os:4711-{METER.hex_id}_{code}_energy"
                found = energies.pop((name, reading["end_s"]), None)
                assert found == (None if energy is None else energy * 3600)
    assert not energies


def resolve(pack: list[dict[str, Any]]) -> list[tuple[str, int, str | None, Any]]:
    """RFC 8428 section 4.6: base fields hold until the next; times are relative to the base."""
    base_name, base_s, out = "", 0, []
    for record in pack:
        assert set(record) <= {"bn", "bt", "n", "t", "u", "v", "vs"}
        assert ("v" in record) != ("vs" in record)
        base_name, base_s = record.get("bn", base_name), record.get("bt", base_s)
        value = record.get("v", record.get("vs"))
        out.append((base_name + record["n"], base_s + record.get("t", 0), record.get("u"), value))
    return out


@given(profiles())
def test_no_publish_of_a_profile_is_longer_than_a_broker_takes(profile: messages.Profile) -> None:
    for topic, data in [
        (topic, json.dumps(said))
        for topic, said in published(profile, "json", "senml", enterprise=(1 << 32) - 1)
    ]:
        assert len(data) <= 65_536
        assert not set(topic) & set("+#")


def test_times_are_rfc_3339_in_utc() -> None:
    assert readings.utc(0) is None
    assert re.fullmatch(UTC, readings.utc(messages.TIME_S_MAX) or "")


def test_a_row_that_cannot_be_read_is_named() -> None:
    row = Row(7, METER.meter_id, 0, 0, NOW_S, b"\xff")
    with pytest.raises(DamagedStore, match="journal row 7 cannot be read; restore a backup"):
        list(publishes(row, Publish(url="mqtt://h")))


def examples(heading: str) -> Any:
    """The JSON below a heading of docs/forwarding.md."""
    section = DOCS.read_text().split(f"### `<base>/<meter_id>/{heading}`")[1].split("\n##")[0]
    indented = [line for line in section.splitlines() if line.startswith("    ")]
    return json.loads("".join(indented))


def test_the_examples_in_the_documentation_are_what_is_published() -> None:
    ((_, reading),) = published(a_profile(5))
    assert examples("reading") == reading
    single = a_profile(channels=(1,), registers_wh=(1000,), deltas_wh=((250,),))
    ((_, pack),) = published(single, "senml")
    assert examples("senml") == pack
    sag = Event(START_S, messages.EVENT_SAG, (1, 180_000, 2), 1)
    assert examples("event") == readings.event(Row(1, METER.meter_id, 0, 1, NOW_S, b""), sag)


def test_the_commands_in_the_documentation_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(a_home(tmp_path, a_meter()))
    commands = re.findall(r"^    python -m gateway ([^#>\n]*)", DOCS.read_text(), re.MULTILINE)
    assert len(commands) == 7
    for words in commands:
        code = __main__.main([*words.replace("JOURNAL_ID", "1").split(), "--config", config])
        said = capsys.readouterr()
        assert code == 0 or "journal row 1 is not parked" in said.err
