"""The admin interface as its own description says: every route, its example, its refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.admin import api
from tests.support.admin import ADMIN_TOKEN, Admin, administered, is_problem
from tests.support.gateway import a_meter, rows

METER = api.EXAMPLE_METER
SEED = 20_261_122
# The examples, in an order in which each finds what it needs; None: 404 is right on a new gateway.
LIFE: list[tuple[str, str, int]] = [
    ("post", "/v1/meters", 201),
    ("get", "/v1/meters", 200),
    ("get", "/v1/meters/{meter_id}", 200),
    ("put", "/v1/meters/{meter_id}/password", 200),
    ("put", "/v1/meters/{meter_id}/security-level", 200),
    ("get", "/v1/meters/{meter_id}/keys", 200),
    ("get", "/v1/meters/{meter_id}/quality", 200),
    ("get", "/v1/frames/{meter_id}/{frame_counter}", 404),
    ("post", "/v1/commands", 201),
    ("get", "/v1/commands", 200),
    ("get", "/v1/commands/{number}", 200),
    ("post", "/v1/commands/{number}/cancel", 200),
    ("post", "/v1/bundles", 201),
    ("get", "/v1/bundles", 200),
    ("post", "/v1/bundles/{number}/retry", 422),  # nothing of it failed
    ("post", "/v1/schedules", 201),
    ("get", "/v1/schedules", 200),
    ("delete", "/v1/schedules/{number}", 204),
    ("post", "/v1/meters/{meter_id}/rotate", 201),
    ("get", "/v1/updates", 200),
    ("delete", "/v1/updates/{number}", 404),  # there is none
    ("post", "/v1/rollouts", 404),
    ("get", "/v1/rollouts", 200),
    ("get", "/v1/rollouts/{number}", 404),
    ("get", "/v1/rollouts/{number}/meters", 404),
    ("post", "/v1/rollouts/{number}/pause", 404),
    ("post", "/v1/rollouts/{number}/resume", 404),
    ("post", "/v1/rollouts/{number}/stop", 404),
    ("put", "/v1/areas", 200),
    ("get", "/v1/areas", 200),
    ("get", "/v1/outages", 200),
    ("get", "/v1/outages/areas", 200),
    ("post", "/v1/outages/plans", 201),
    ("get", "/v1/outages/plans", 200),
    ("delete", "/v1/outages/plans/{number}", 204),
    ("get", "/v1/notices", 200),
    ("get", "/v1/events", 200),
    ("get", "/v1/quality", 200),
    ("get", "/v1/audit", 200),
    ("get", "/v1/audit/head", 200),
    ("get", "/v1/parked", 200),
    ("post", "/v1/parked/{number}/retry", 404),
    ("post", "/v1/meters/{meter_id}/revoke", 200),
    ("post", "/v1/meters/{meter_id}/restore", 200),
    ("post", "/v1/meters/{meter_id}/decommission", 200),
]


async def described(admin: Admin) -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation of the description, by method and path."""
    answer = await admin.ask("GET", "/v1/openapi.json")
    assert answer.status == 200
    assert answer.body["openapi"].startswith("3.")
    return {
        (method, path): operation
        for path, item in answer.body["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "delete", "patch")
    }


def example_path(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            examples = parameter.get("examples") or parameter["schema"]["examples"]
            first = next(iter(examples.values())) if isinstance(examples, dict) else examples[0]
            value = first["value"] if isinstance(first, dict) else first
            path = path.replace("{" + parameter["name"] + "}", str(value))
    return path


def example_body(operation: dict[str, Any]) -> Any:
    if "requestBody" not in operation:
        return None
    media = operation["requestBody"]["content"]["application/json"]
    examples = media.get("examples") or media["schema"]["examples"]
    first = next(iter(examples.values())) if isinstance(examples, dict) else examples[0]
    return first["value"] if isinstance(first, dict) and "value" in first else first


def test_every_route_does_what_its_example_says(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        operations = await described(admin)
        assert {(method, path) for method, path, _ in LIFE} == set(operations)
        for method, path, status in LIFE:
            operation = operations[method, path]
            answer = await admin.ask(
                method.upper(), example_path(path, operation), example_body(operation)
            )
            assert answer.status == status, (method, path, answer.body)
            assert status < 400 or is_problem(answer)
            assert status >= 400 or str(status) in operation["responses"]

    administered(tmp_path, work)


def test_every_act_writes_its_audit_row_and_no_question_does(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        operations = await described(admin)
        for method, path, status in LIFE:
            operation = operations[method, path]
            before = rows(tmp_path, "SELECT count(*) FROM audit")[0][0]
            await admin.ask(method.upper(), example_path(path, operation), example_body(operation))
            written = rows(tmp_path, "SELECT count(*) FROM audit")[0][0] - before
            acted = method != "get" and status < 400
            assert (written >= 1) is acted, (method, path)

    administered(tmp_path, work)
    actors = rows(tmp_path, "SELECT DISTINCT actor FROM audit")
    assert actors == [("api:anna",)]


def test_every_route_is_closed_without_a_token(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        operations = await described(admin)
        closed = [*operations, ("get", "/v1/openapi.json")]
        for method, path in closed:
            target = path.replace("{meter_id}", METER).replace("{number}", "1")
            target = target.replace("{frame_counter}", "1")
            wrong = [None, "", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", "ł", "x" * 4096]
            for token in wrong:
                answer = await admin.ask(method.upper(), target, token=token)
                assert answer.status == 401, (method, path, token)
                assert is_problem(answer)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        answer = await admin.ask("GET", "/v1/meters", scheme="Basic")
        assert answer.status == 401

    administered(tmp_path, work)
    assert rows(tmp_path, "SELECT count(*) FROM audit") == [(0,)]


def nonsense(chance: random.Random) -> Any:
    """A JSON value that nobody meant."""
    return chance.choice([
        None, True, -1, 0, 1 << 70, 1e300, "", "x" * 5000, "\u0000", "ł", "0" * 16, "g" * 16, [],
        [[[[]]]], {}, {"meter_id": METER}, {"": ""}, [METER] * 3,
    ])  # fmt: skip


def test_nonsense_is_refused_by_name_and_never_breaks_the_gateway(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)

    async def work(admin: Admin) -> None:
        for (method, path), operation in (await described(admin)).items():
            good = example_body(operation)
            for _ in range(12):
                words = ["nothex", "-1", "0" * 17, str(1 << 64), "%00", "G" * 16, METER, "7"]
                target = path
                for name in ("{meter_id}", "{number}", "{frame_counter}"):
                    target = target.replace(name, chance.choice(words))
                raw = chance.choice([b"", b"{", b"\xff\xfe", b"[]", b"null", b"1" * 1000])
                body = nonsense(chance)
                if isinstance(good, dict) and chance.random() < 0.6:
                    body = good | {chance.choice([*good, "extra"]): nonsense(chance)}
                if chance.random() < 0.3:
                    answer = await admin.ask(method.upper(), target, raw=raw)
                else:
                    answer = await admin.ask(method.upper(), target, body)
                assert answer.status < 500, (method, target, body, raw, answer.body)
                assert answer.status < 400 or is_problem(answer), (method, target, answer)
        ready = await admin.ask("GET", "/readyz", token=None)
        assert ready.status == 200

    administered(tmp_path, work, a_meter())


def test_what_is_refused_is_named_and_its_secrets_are_not_repeated(tmp_path: Path) -> None:
    secret = "f" * 63  # one digit short

    async def work(admin: Admin) -> list[Any]:
        meter = {"meter_id": METER, "meter_key": secret, "key_epoch": 0, "password": "p" * 22}
        wrong_password = meter | {"meter_key": "0" * 64, "password": "ł" * 22}
        command = {"meter_id": METER, "command": "home_key", "args": [secret + "zz"]}
        return [
            await admin.ask("POST", "/v1/meters", meter),
            await admin.ask("POST", "/v1/meters", wrong_password),
            await admin.ask("PUT", f"/v1/meters/{METER}/password", {"password": "short"}),
            await admin.ask("POST", "/v1/commands", command),
        ]

    for answer in administered(tmp_path, work):
        assert 400 <= answer.status < 500
        assert is_problem(answer)
        text = json.dumps(answer.body)
        assert secret not in text
        assert "pppp" not in text
        assert "short" not in text


def test_who_did_it_is_in_the_audit_log(tmp_path: Path) -> None:
    meter = a_meter()

    async def work(admin: Admin) -> list[Any]:
        await admin.ask("POST", f"/v1/meters/{meter.hex_id}/revoke")
        answer = await admin.ask("GET", "/v1/audit")
        return [(act["actor"], act["action"], act["subject"]) for act in answer.body]

    acts = administered(tmp_path, work, meter)
    assert acts[-1] == ("api:anna", "meter.revoke", meter.hex_id)


def test_a_command_of_the_interface_is_the_one_of_the_command_line(tmp_path: Path) -> None:
    meter = a_meter()

    async def work(admin: Admin) -> Any:
        body = {"meter_id": meter.hex_id, "command": "set_capture_period", "args": [900]}
        queued = (await admin.ask("POST", "/v1/commands", body)).body
        assert (queued["state"], queued["actor"]) == ("queued", "api:anna")
        return queued["id"]

    number = administered(tmp_path, work, meter)
    found = rows(tmp_path, "SELECT code, state FROM command WHERE id = ?", number)
    assert found == [(4, "queued")]


def test_a_page_is_bounded(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        for limit, status in ((0, 400), (1, 200), (1000, 200), (1001, 400)):
            answer = await admin.ask("GET", f"/v1/meters?limit={limit}")
            assert answer.status == status, limit
            assert status == 200 or is_problem(answer)

    administered(tmp_path, work, a_meter())


def test_pages_follow_each_other_without_gap_or_repeat(tmp_path: Path) -> None:
    meters = [a_meter(number) for number in range(5)]

    async def work(admin: Admin) -> list[str]:
        found: list[str] = []
        while True:
            after = f"&after={found[-1]}" if found else ""
            answer = await admin.ask("GET", f"/v1/meters?limit=2{after}")
            if not answer.body:
                return found
            found += [meter["meter_id"] for meter in answer.body]

    assert administered(tmp_path, work, *meters) == sorted(meter.hex_id for meter in meters)


def test_a_body_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    async def work(admin: Admin) -> None:
        for over_bytes, status in ((-1, 400), (0, 400), (1, 413)):
            raw = b" " * (api.BODY_BYTES_MAX + over_bytes)
            answer = await admin.ask("POST", "/v1/commands", raw=raw)
            assert answer.status == status, over_bytes
            assert is_problem(answer)

    administered(tmp_path, work)


def test_what_is_not_there_is_said_so(tmp_path: Path) -> None:
    cases = [
        ("GET", "/v1/nothing", 404, "no_such_path"),
        ("PATCH", "/v1/meters", 405, "no_such_method"),
        ("GET", "/schema", 404, "no_such_path"),
        ("GET", f"/v1/meters/{METER}", 404, "not_there"),
        ("POST", f"/v1/meters/{METER}/revoke", 404, "not_there"),
        ("GET", f"/v1/frames/{METER}/0", 404, "not_there"),
        ("DELETE", "/v1/schedules/7", 404, "unknown_schedule"),
    ]

    async def work(admin: Admin) -> None:
        for method, path, status, name in cases:
            answer = await admin.ask(method, path)
            found = (answer.status, answer.body["type"])
            assert found == (status, api.PROBLEM_TYPE + name), (method, path)

    administered(tmp_path, work)
