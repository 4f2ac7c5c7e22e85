"""The gateway's admin interface from outside: asked again while away, refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from host_tools.pairing import json_client
from host_tools.pairing.errors import (
    BadInput,
    Conflict,
    ExposedSecret,
    GatewayRefused,
    GatewayUnreachable,
    InsecureAddress,
    ServiceUnreachable,
)
from host_tools.pairing.gateway_client import GatewayClient
from host_tools.pairing.identity import Secret, fresh
from host_tools.pairing.registering import bury_once, register_once
from host_tools.pairing.setup import Admin
from tests.support.admin import ADMIN_TOKEN
from tests.support.answers import Answers, a_server
from tests.support.certificates import a_ca, a_context, a_gateway
from tests.support.running_gateway import RunningGateway

NOBODY = "00112233aabbccdd"


def a_client(port: int, **changes: Any) -> tuple[GatewayClient, list[float]]:
    slept: list[float] = []
    url = changes.pop("url", f"http://127.0.0.1:{port}")
    token = Secret(ADMIN_TOKEN.encode())
    return GatewayClient(url, token, sleep=slept.append, **changes), slept


def test_a_meter_is_registered_shown_and_let_go(gateway: RunningGateway) -> None:
    client, made = gateway.client(), fresh()
    assert client.show(made.hex_id) is None
    assert client.register(made)["state"] == "active"
    assert client.highest_epoch(made.hex_id) == 0
    shown = client.show(made.hex_id)
    assert shown is not None
    assert shown["key_epochs"] == [0]
    assert client.frame(made.hex_id, 0) is None
    assert client.decommission(made.hex_id)["state"] == "decommissioned"


def test_a_meter_s_security_level_is_recorded_or_refused_by_name(gateway: RunningGateway) -> None:
    client, made = gateway.client(), fresh()
    assert client.register(made)["security_level"] is None
    for _ in range(2):  # a lost answer, and the same again
        assert client.set_security_level(made.hex_id, "L1")["security_level"] == "L1"
    shown = client.show(made.hex_id)
    assert shown is not None
    assert shown["security_level"] == "L1"
    client.decommission(made.hex_id)
    for hex_id, level, problem in (
        (made.hex_id, "L9", "unusable"), (made.hex_id, "L2", "unusable"),
        (NOBODY, "L1", "not_there"),
    ):  # fmt: skip
        with pytest.raises(GatewayRefused) as refused:
            client.set_security_level(hex_id, level)
        assert refused.value.problem == problem


def test_a_registration_that_is_tried_again_is_the_same(gateway: RunningGateway) -> None:
    client, made = gateway.client(), fresh()
    assert register_once(client, made) is True
    assert register_once(client, made) is False


def test_a_lost_answer_and_a_second_try_are_the_same(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, made = gateway.client(), fresh()
    once = client._once
    lost: list[str] = []

    def lose_the_first(method: str, path: str, body: object) -> Any:
        answer = once(method, path, body)
        if method == "POST" and not lost:
            lost.append(path)
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(client, "_once", lose_the_first)
    monkeypatch.setattr(client, "_sleep", lambda _: None)
    assert register_once(client, made) is False
    assert lost == ["/v1/meters"]


def test_conflicts_are_told_by_name(gateway: RunningGateway) -> None:
    client, made = gateway.client(), fresh()
    client.register(made)
    with pytest.raises(Conflict) as other:
        register_once(client, fresh(made.meter_id, 1))
    assert other.value.reason == "other_key_epoch"
    client.ask("POST", f"/v1/meters/{made.hex_id}/revoke")
    with pytest.raises(Conflict) as revoked:
        register_once(client, made)
    assert revoked.value.reason == "revoked"
    assert bury_once(client, made.hex_id) is True
    assert bury_once(client, made.hex_id) is False
    assert bury_once(client, NOBODY) is False
    with pytest.raises(Conflict) as gone:
        register_once(client, made)
    assert gone.value.reason == "decommissioned"
    assert register_once(client, fresh(made.meter_id, 1), again=True) is True


def test_a_wrong_token_is_a_named_refusal(gateway: RunningGateway) -> None:
    client = GatewayClient(gateway.url, Secret(b"another-token-altogether"))
    with pytest.raises(GatewayRefused, match=r"says unauthorized.*token file") as refused:
        client.show(NOBODY)
    assert (refused.value.status, refused.value.problem) == (401, "unauthorized")
    assert "another-token" not in str(refused.value) + repr(client)


def test_the_token_comes_from_a_file_of_its_own(gateway: RunningGateway, tmp_path: Path) -> None:
    client = GatewayClient.of(Admin(gateway.url, str(gateway.token_file)))
    assert client.show(NOBODY) is None
    exposed = tmp_path / "token"
    exposed.write_text(ADMIN_TOKEN)
    exposed.chmod(0o644)
    with pytest.raises(ExposedSecret, match="chmod 600"):
        GatewayClient.of(Admin(gateway.url, str(exposed)))
    exposed.chmod(0o600)
    for content in ("", "two\nlines", "\n"):
        exposed.write_text(content)
        with pytest.raises(BadInput, match="one line"):
            GatewayClient.of(Admin(gateway.url, str(exposed)))
    exposed.write_text("żółw")
    with pytest.raises(BadInput, match="ASCII") as refused:
        GatewayClient.of(Admin(gateway.url, str(exposed)))
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "error"),
    [("http://gateway.example:8081", InsecureAddress), ("http://192.0.2.1", InsecureAddress),
     ("ftp://127.0.0.1", BadInput), ("127.0.0.1:8081", BadInput), ("", BadInput)],
)  # fmt: skip
def test_an_address_that_would_show_the_token_or_is_none_is_refused(
    url: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        a_client(0, url=url)
    for good in ("http://localhost:1", "http://[::1]:1", "https://gateway.example:8081/"):
        assert a_client(0, url=good)[0].url == good.rstrip("/")


def test_a_gateway_that_is_away_is_asked_again_for_a_while() -> None:
    with a_server((0, b"", {}), (0, b"", {}), (200, b'{"state": "active"}', {})) as port:
        client, slept = a_client(port)
        assert client.show(NOBODY) == {"state": "active"}
    assert slept == [json_client.PAUSE_S, 2 * json_client.PAUSE_S]


def test_it_is_not_asked_for_ever() -> None:
    with a_server((0, b"", {})) as port:
        client, slept = a_client(port)
        with pytest.raises(GatewayUnreachable, match="check the address"):
            client.show(NOBODY)
        assert len(Answers.seen) == json_client.TRIES_MAX == len(slept) + 1
    with pytest.raises(GatewayUnreachable, match="does not answer"):
        a_client(port)[0].show(NOBODY)


def test_a_full_disk_is_waited_for_as_long_as_it_says_within_limits() -> None:
    full = b'{"type": "urn:openlicznik:problem:disk_full", "detail": "no space"}'
    busy = [(507, full, {"Retry-After": after}) for after in ("5", "3600", "soon")]
    with a_server(*busy, (507, full, {})) as port:
        client, slept = a_client(port)
        with pytest.raises(GatewayRefused, match="disk_full: no space"):
            client.show(NOBODY)
    assert slept == [5.0, json_client.PAUSE_S_MAX, 2.0]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[5]", b'"text"', b"\xff", b'{"detail": "x"}', b"null"]
)
@pytest.mark.parametrize("status", [200, 404])
def test_what_is_no_admin_interface_is_named(status: int, body: bytes) -> None:
    with a_server((status, body, {})) as port:
        client, _ = a_client(port)
        for ask in (lambda: client.command(NOBODY, "read_now"), lambda: client.keys(NOBODY)):
            with pytest.raises((ServiceUnreachable, GatewayRefused), match="right address"):
                ask()


def test_tls_is_verified_against_the_ca_that_was_given(tmp_path: Path) -> None:
    ca = a_ca()
    (tmp_path / "ca.pem").write_bytes(ca.pem())
    (tmp_path / "other.pem").write_bytes(a_ca("another").pem())
    context = a_context(a_gateway(ca, "localhost"), tmp_path)
    with a_server((200, b'{"state": "active"}', {}), context=context) as port:
        url = f"https://localhost:{port}"
        good, _ = a_client(0, url=url, ca_file=str(tmp_path / "ca.pem"))
        assert good.show(NOBODY) == {"state": "active"}
        for wrong in (str(tmp_path / "other.pem"), None):
            client, slept = a_client(0, url=url, ca_file=wrong)
            with pytest.raises(GatewayUnreachable, match=r"not trusted.*CA"):
                client.show(NOBODY)
            assert slept == [], "a certificate does not become another one by waiting"


def test_http_where_tls_was_expected_is_named(tmp_path: Path) -> None:
    with a_server((200, b"{}", {})) as port:
        client, _ = a_client(0, url=f"https://127.0.0.1:{port}")
        with pytest.raises(GatewayUnreachable, match="speaks no TLS"):
            client.show(NOBODY)
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(BadInput, match="right file"):
        a_client(0, url="https://127.0.0.1:1", ca_file=str(tmp_path / "ca.pem"))


def test_the_key_travels_in_the_body_and_nowhere_else() -> None:
    made = fresh()
    with a_server((201, b"{}", {})) as port:
        a_client(port)[0].register(made, again=True)
    ((method, path, body),) = Answers.seen
    assert (method, path) == ("POST", "/v1/meters?again=true")
    assert json.loads(body)["meter_key"] == made.meter_key.reveal().hex()
