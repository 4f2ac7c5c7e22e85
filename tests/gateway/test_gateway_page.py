"""docs/gateway.md names every key, metric, refusal, problem and noun that the gateway has."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from gateway import __main__ as command_line
from gateway import acceptance
from gateway import config as config_file
from gateway.admin import api
from gateway.config import Config
from gateway.doors import connection, endpoint, limits, tls
from gateway.mqtt import mqtt
from gateway.registry import DECOMMISSIONED, REVOKED
from gateway.service import Service
from tests.support.gateway import a_gateway, a_home
from wire import errors as wire_errors

PAGE = (Path(__file__).resolve().parents[2] / "docs/gateway.md").read_text("utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))


def keys_of(section: type[msgspec.Struct], before: str = "") -> list[tuple[str, object]]:
    """Every key with its default, the sections' own left out."""
    found: list[tuple[str, object]] = []
    for field in msgspec.structs.fields(section):
        inner = getattr(config_file, field.name.capitalize(), None)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found += keys_of(inner, f"{before}{field.name}.")
        else:
            found.append((before + field.name, field.default))
    return found


def row_of(key: str) -> str:
    """The line of the configuration table that has this key."""
    return next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{key}`" in line)


def test_every_key_is_on_the_page() -> None:
    keys = [key for key, _ in keys_of(Config)]
    assert len(keys) > 50
    assert [key for key in keys if key not in NAMED] == []


def test_the_defaults_on_the_page_are_those_of_the_code() -> None:
    wrong = []
    for key, default in keys_of(Config):
        if isinstance(default, bool) or not isinstance(default, int | str):
            continue
        shown = row_of(key).split("|")[2].replace(",", " ").replace("`", "").split()
        joined = row_of(key).split("|")[2].replace(",", "")
        if str(default) not in shown and str(default) not in joined.replace("`", "").split():
            wrong.append((key, default))
    assert wrong == []


def test_every_metric_is_on_the_page(tmp_path: Path) -> None:
    async def names() -> set[str]:
        async with a_gateway(a_home(tmp_path)) as running:
            return _metrics(running)

    found = asyncio.run(names())
    assert len(found) > 15
    shown = {name.partition("{")[0] for name in NAMED if re.match(r"gw_\w+({|$)", name)}
    shown = {name.removesuffix("_total").removesuffix("_info") for name in shown}
    assert found - shown == set()
    assert shown - found == {"gw_certificate_days"}  # only with a certificate


def _metrics(running: Service) -> set[str]:
    return {family.name for family in running.metrics.registry.collect()}


REASONS = [
    *(kind.reason for kind in wire_errors.WireError.__subclasses__()),
    acceptance.WRONG_DIRECTION, acceptance.START_AHEAD,
    endpoint.BAD_PASSWORD, endpoint.BAD_CLIENT_ID, endpoint.NO_CREDENTIALS, endpoint.WRONG_SHARD,
    connection.UNEXPECTED,
    limits.TOO_MANY, limits.TOO_MANY_FROM, limits.TOO_MANY_CONNECTS,
    tls.PLAIN, tls.DISTRUSTED, tls.CLIENT_UNKNOWN, tls.FAILED, tls.TIMEOUT,
    mqtt.MALFORMED, mqtt.TOO_LARGE, mqtt.UNSUPPORTED, mqtt.PROTOCOL_LEVEL,
    REVOKED, DECOMMISSIONED,
]  # fmt: skip


@pytest.mark.parametrize("reason", sorted(set(REASONS)))
def test_every_refusal_is_on_the_page(reason: str) -> None:
    assert reason in NAMED


def test_every_problem_of_the_admin_interface_is_on_the_page() -> None:
    names = {problem.name for _, problem in api.PROBLEMS} - {"refused", "command_refused"}
    names |= set(api.HTTP_NAMES.values()) - {"not_offered"}
    assert names - NAMED == set()


def test_every_noun_is_on_the_page() -> None:
    nouns = {*command_line.COMMANDS, *command_line.NOUNS, "run"}
    first_words = {name.split()[0] for name in NAMED}
    assert nouns - first_words == set()
