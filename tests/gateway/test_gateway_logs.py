"""The log's two forms, its priorities for the systemd journal, and the secrets it never shows."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gateway import logs
from gateway.config import Log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a test sets up is taken back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


def written(config: Log, **fields: object) -> str:
    stream = io.StringIO()
    logs.set_up(config, {}, stream)
    structlog.get_logger().warning("refused", **fields)
    return stream.getvalue()


def test_json_is_one_object_a_line_with_time_and_level() -> None:
    (line,) = written(Log(format="json"), reason="bad_tag").splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["reason"]) == ("refused", "warning", "bad_tag")
    assert event["timestamp"].endswith("Z")


def test_the_console_is_for_people() -> None:
    line = written(Log(), reason="bad_tag")
    assert "refused" in line
    assert "reason=bad_tag" in line
    assert "\x1b" not in line  # no colours where nobody sees them


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "name", ["meter_key", "master_key", "password", "http_token", "Authorization", "psk"]
)
def test_a_field_named_like_a_secret_is_not_shown(form: str, name: str) -> None:
    line = written(Log(format=form), **{name: "hush-hush"})  # type: ignore[arg-type]
    assert "hush-hush" not in line
    assert name in line


@pytest.mark.parametrize("name", ["idempotency_key", "key_epoch", "reason"])
def test_a_field_that_is_no_secret_is_shown(name: str) -> None:
    assert "in the open" in written(Log(format="json"), **{name: "in the open"})


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", 2), ("info", 2), ("warning", 1), ("error", 0)]
)
def test_what_is_below_the_level_is_left_out(level: str, shown: int) -> None:
    stream = io.StringIO()
    logs.set_up(Log(level=level), {}, stream)  # type: ignore[arg-type]
    structlog.get_logger().info("one")
    structlog.get_logger().warning("two")
    assert len(stream.getvalue().splitlines()) == shown


def test_a_librarys_warning_has_the_same_form() -> None:
    stream = io.StringIO()
    logs.set_up(Log(format="json"), {}, stream)
    logging.getLogger("asyncio").warning("slow callback")
    event = json.loads(stream.getvalue())
    assert (event["event"], event["logger"]) == ("slow callback", "asyncio")


def test_an_exception_is_written_in_the_line_of_its_event() -> None:
    stream = io.StringIO()
    logs.set_up(Log(format="json"), {}, stream)
    try:
        raise ValueError("wrong")
    except ValueError as error:
        structlog.get_logger().error("api_broken", exc_info=error)
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_value"] == "wrong"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variable(form: str) -> None:
    stream = io.StringIO()
    logs.set_up(Log(format=form), {}, stream)  # type: ignore[arg-type]

    def fails(meter_key: str) -> None:
        raise ValueError("wrong")

    try:
        fails("hush-" + "hush")
    except ValueError as error:
        structlog.get_logger().error("api_broken", exc_info=error)
    assert "ValueError" in stream.getvalue()
    assert "hush-hush" not in stream.getvalue()


def test_the_systemd_journal_gets_the_priority_of_each_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        logs.set_up(Log(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}, stream)
        structlog.get_logger().info("one")
        structlog.get_logger().error("two")
    first, second = path.read_text().splitlines()
    assert first.startswith("<6>")
    assert second.startswith("<3>")


def test_a_file_that_is_not_the_journal_has_no_priorities(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w") as stream:
        logs.set_up(Log(), {"JOURNAL_STREAM": "1:2"}, stream)
        structlog.get_logger().info("one")
    assert not path.read_text().startswith("<")
    assert not logs.is_journal({"JOURNAL_STREAM": "1:2"}, io.StringIO())
