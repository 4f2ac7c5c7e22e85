"""The endpoint's certificate files: renewed while it runs, refused by name, TLS-PSK beside them."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Endpoint
from gateway.doors import certs, door, tls
from gateway.errors import ConfigError
from gateway.mqtt import packets
from tests.support.gateway import Client, a_gateway, a_home, a_meter, refusals, until
from tests.support.gateway_tls import (
    DAY_S,
    METER,
    NAME,
    a_folder,
    a_tls_client,
    a_tls_home,
    now_s,
    trusting,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_folder(tmp_path_factory.mktemp("made") / "certs")


def test_a_renewed_certificate_is_taken_without_losing_a_meter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path / "certs")
    meter = a_meter()

    def serial(client: Client) -> str:
        return str(client.writer.get_extra_info("peercert")["serialNumber"])

    async def story() -> None:
        monkeypatch.setattr("gateway.doors.endpoint.CERTIFICATE_LOOK_S", 1)
        monkeypatch.setattr("gateway.doors.endpoint.SWEEP_S", 0.05)
        async with a_gateway(a_tls_home(tmp_path, meter, folder=folder)) as gateway:
            client = await a_tls_client(gateway.port, trusting(folder))
            assert await client.connect(meter) == packets.ACCEPTED
            before = serial(client)
            (folder / "server.pem").write_text("not a certificate")
            await asyncio.sleep(0.2)
            fresh = await a_tls_client(gateway.port, trusting(folder))
            assert serial(fresh) == before, "a damaged file changes nothing"
            await fresh.close()
            (folder / "server.pem").unlink()
            (folder / "server.key").unlink()
            certs.make_server(folder, [NAME], now_s())
            await asyncio.sleep(0.2)
            fresh = await a_tls_client(gateway.port, trusting(folder))
            assert serial(fresh) != before
            client.publish(meter, meter.frame(), 1)
            assert await client.puback() == 1, "the session goes on"
            gateway.reload()
            await fresh.close()
            await client.close()

    asyncio.run(story())


def test_an_idle_connection_holds_one_record_s_buffer(tmp_path: Path, folder: Path) -> None:
    """asyncio's own 256 KiB for each would be most of the memory of a gateway with TLS."""
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, meter, folder=folder)) as gateway:
            client = await a_tls_client(gateway.port, trusting(folder))
            assert await client.connect(meter) == packets.ACCEPTED
            session: Any = gateway.endpoint.sessions[meter.meter_id]
            assert len(session._transport._ssl_protocol._ssl_buffer) == door.TLS_READ_BYTES
            for packet_id in range(1, 501):  # several records at once all the same
                client.publish(meter, meter.frame(), packet_id)
            assert [await client.puback() for _ in range(500)] == list(range(1, 501))
            await client.close()

    asyncio.run(story())


def test_the_log_warns_of_passwords_in_clear_and_of_a_certificate_that_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.doors.endpoint.LOOPBACK", ())
    monkeypatch.setattr("gateway.doors.endpoint.CERTIFICATE_LOOK_S", 1)
    monkeypatch.setattr("gateway.doors.endpoint.SWEEP_S", 0.02)
    folder = a_folder(tmp_path / "certs", now_s() - 380 * DAY_S + 3600)

    async def story(config: Path) -> None:
        async with a_gateway(config):
            await asyncio.sleep(0.1)

    (tmp_path / "plain").mkdir()
    (tmp_path / "sealed").mkdir()
    asyncio.run(story(a_home(tmp_path / "plain")))
    assert "endpoint_in_clear" in capsys.readouterr().out
    asyncio.run(story(a_tls_home(tmp_path / "sealed", folder=folder)))
    told = capsys.readouterr().out
    assert "endpoint_in_clear" not in told
    assert "certificate_expires" in told
    assert "days=17" in told


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (b"", {tls.FAILED, tls.TIMEOUT}),
        (b"\x16\x03\x01\x00\x05hello", {tls.FAILED}),
        (b"\x16\x03\x01\xff\xff" + bytes(70_000), {tls.FAILED, tls.PLAIN}),
        (b"GET / HTTP/1.1\r\n\r\n", {tls.PLAIN}),
        (bytes(range(256)) * 20, {tls.FAILED, tls.PLAIN}),
    ],
)
def test_garbage_on_the_tls_port_is_counted_by_name_and_leaves_nothing_behind(
    tmp_path: Path, folder: Path, data: bytes, reasons: set[str]
) -> None:
    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, folder=folder)) as gateway:
            client = await Client.open(gateway.port)
            client.send(data)
            await asyncio.sleep(0.05)
            await client.close()
            await until(lambda: gateway.endpoint.doorman.connections == 0)
        (reason,) = refusals(tmp_path).items()
        assert reason[0] in reasons
        assert reason[1] == 1

    asyncio.run(story())


def spoil_key(folder: Path) -> None:
    (folder / "server.key").unlink()
    (folder / "server.pem").rename(folder / "kept.pem")
    certs.make_server(folder, ["other.test"], now_s())
    (folder / "kept.pem").rename(folder / "server.pem")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "server.pem").unlink(), "no such file"),
        (lambda folder: (folder / "server.key").unlink(), "no such file"),
        (lambda folder: (folder / "server.key").chmod(0o640), "chmod 600"),
        (lambda folder: (folder / "server.pem").write_bytes(b"x"), "not a certificate in PEM"),
        (lambda folder: (folder / "server.key").write_bytes(b"x"), "not a private key in PEM"),
        (spoil_key, "is not the key of"),
    ],
)
def test_a_certificate_that_does_not_do_is_refused_with_the_next_step(
    tmp_path: Path, spoil: Any, says: str
) -> None:
    folder = a_folder(tmp_path / "certs")
    endpoint = an_endpoint(folder)
    assert tls.context_of(endpoint, now_s()) is not None
    spoil(folder)
    with pytest.raises(ConfigError, match=says):
        tls.context_of(endpoint, now_s())


def an_endpoint(folder: Path, **settings: Any) -> Endpoint:
    files = {
        "certificate_file": str(folder / "server.pem"),
        "key_file": str(folder / "server.key"),
    }
    return Endpoint(**{**files, **settings})


def test_an_expired_certificate_is_refused_from_its_last_second_on(folder: Path) -> None:
    endpoint = an_endpoint(folder)
    ends_s = tls._ends_s(folder / "server.pem")
    assert tls.context_of(endpoint, ends_s - 1) is not None
    for at_s in (ends_s, ends_s + 1):
        with pytest.raises(ConfigError, match="certs server --renew"):
            tls.context_of(endpoint, at_s)
    found = tls.Certificates(endpoint, now_s())
    assert found.days_left(ends_s - 30 * DAY_S) == 30


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"key_file": None}, "belong together"),
        ({"certificate_file": None}, "belong together"),
        ({"client_certificates": "required"}, "needs certificate_file"),
        ({"psk_file": "psk"}, "without certificates"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    folder: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        tls.context_of(an_endpoint(folder, **settings), now_s())


def test_a_client_ca_without_a_certificate_in_it_is_refused(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    settings = {"client_certificates": "optional", "client_ca_file": str(empty)}
    with pytest.raises(ConfigError, match="no CA certificate"):
        tls.context_of(an_endpoint(folder, **settings), now_s())


def test_tls_below_1_2_is_not_spoken(tmp_path: Path, folder: Path) -> None:
    context = tls.context_of(an_endpoint(folder), now_s())
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher
        assert "ECDHE" in cipher["description"] or "TLSv1.3" in cipher["description"]


# -------------------------------------------------------------- TLS-PSK


class FakePskContext:
    """As ssl.SSLContext is from Python 3.13 on, as far as a pre-shared key goes."""

    maximum_version: Any = None
    ciphers = ""

    def set_ciphers(self, ciphers: str) -> None:
        self.ciphers = ciphers

    def set_psk_server_callback(self, ask: Any, hint: str) -> None:
        self.ask, self.hint = ask, hint


def a_psk_file(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_pre_shared_key_is_found_by_the_meter_s_id_alone(tmp_path: Path) -> None:
    path = a_psk_file(tmp_path / "psk", f"# meters\n{METER.hex_id}:{'ab' * 32}\n")
    context = FakePskContext()
    tls._load_psk(context, tls.read_psk(path))
    assert context.ask(METER.hex_id) == b"\xab" * 32
    for stranger in (a_meter(2).hex_id, None, "", METER.hex_id.upper()):
        assert context.ask(stranger) == b"", "an empty key ends the handshake"
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("digits", "is_good"), [(30, False), (32, True), (128, True), (130, False)]
)
def test_a_pre_shared_key_has_16_to_64_bytes(tmp_path: Path, digits: int, is_good: bool) -> None:
    path = a_psk_file(tmp_path / "psk", f"{METER.hex_id}:{'a' * digits}\n")
    if is_good:
        assert len(tls.read_psk(path)[METER.hex_id]) == digits // 2
    else:
        with pytest.raises(ConfigError, match="line 1") as refused:
            tls.read_psk(path)
        assert "a" * digits not in str(refused.value)


def test_a_psk_file_that_others_may_read_or_that_repeats_a_meter_is_refused(tmp_path: Path) -> None:
    line = f"{METER.hex_id}:{'ab' * 16}\n"
    with pytest.raises(ConfigError, match="line 2"):
        tls.read_psk(a_psk_file(tmp_path / "twice", line * 2))
    open_to_all = a_psk_file(tmp_path / "open", line)
    os.chmod(open_to_all, 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        tls.read_psk(open_to_all)


def test_a_python_without_tls_psk_says_which_has_it() -> None:
    with pytest.raises(ConfigError, match=r"Python 3\.13"):
        tls._load_psk(object(), {})
