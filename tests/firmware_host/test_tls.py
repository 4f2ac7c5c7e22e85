"""TLS to the gateway by a real MicroPython process: it verifies, it ends in time, it says why."""

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import tests.support.umqtt_here  # noqa: F401  (makes umqtt importable here)
from boards.parts.mqtt_link import CA_BYTES_MAX, WHY_CA, WHY_DATE, WHY_HANDSHAKE, WHY_NAME, read_ca
from firmware.config import ConfigError, parse
from firmware.mqtt_door import WHY_CLOSED, WHY_TIMEOUT, WHY_UNREACHABLE
from host_tools.micropython import ROOT, find_micropython, micropython_env
from tests.support.a_meter import METER_ID, METER_KEY, settings
from tests.support.certificates import Signer, a_ca, a_context, a_gateway
from tests.support.fake_gateway import FakeGateway

NAME = "gateway.test"
BOUND_MS = 1_500
SLACK_MS = 400  # of a busy test computer
HEAP = "heapsize=256k"
Talk = Callable[[socket.socket], None]


def told_by_the_meter(
    folder: Path, port: int, ca: bytes | None, bound_ms: int = BOUND_MS, **changes: Any
) -> dict[str, Any]:
    """What a meter's one session said, that trusts this CA."""
    config = {"tls": ca is not None, "server_name": NAME, **changes}
    (folder / "config.json").write_text(json.dumps(settings(gateway_port=port, **config)))
    if ca:
        (folder / "ca.der").write_bytes(ca)
    probe = ["-X", HEAP, "-m", "tests.firmware.mqtt_probe", str(folder), str(bound_ms)]
    done = subprocess.run(
        [str(find_micropython()), *probe],
        env=micropython_env(),
        cwd=ROOT,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout, "the process died"
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def the_gateway(tls: ssl.SSLContext | None) -> FakeGateway:
    return FakeGateway(METER_ID, METER_KEY, settings()["password"].encode(), tls=tls)


@contextmanager
def a_server(talk: Talk) -> Iterator[int]:
    """A server that does `talk` with its one connection; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(10)
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def ca() -> Signer:
    return a_ca()


@pytest.fixture
def good(ca: Signer, tmp_path: Path) -> ssl.SSLContext:
    return a_context(a_gateway(ca, NAME), tmp_path)


# -------------------------------------------------------------- who is let through


def test_a_gateway_of_our_ca_gets_the_meter_s_frame_and_answers(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    with the_gateway(good) as gateway:
        told = told_by_the_meter(tmp_path, gateway.port, ca.der())
    assert (told["why"], told["step"], told["frames"]) == ("", "end", 1)
    assert told["lifted"] == 1, "the board's clock is asked for before the handshake"
    assert gateway.counters == [1]
    assert gateway.handshakes_failed == 0


def test_without_tls_the_same_link_speaks_plain_tcp(tmp_path: Path) -> None:
    with the_gateway(None) as gateway:
        told = told_by_the_meter(tmp_path, gateway.port, None)
    assert (told["why"], told["step"], told["frames"]) == ("", "end", 1)
    assert told["lifted"] == 0


def test_the_certificate_must_be_of_the_host_where_no_other_name_is_given(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    with the_gateway(good) as gateway:
        told = told_by_the_meter(tmp_path, gateway.port, ca.der(), server_name="127.0.0.1")
        assert told["why"] == WHY_NAME
        config = settings(gateway_port=gateway.port, tls=True, gateway_host="localhost")
        named = a_context(a_gateway(ca, "localhost"), tmp_path)
        gateway.tls = named
        (tmp_path / "config.json").write_text(json.dumps(config))
        told = told_by_the_meter(
            tmp_path, gateway.port, ca.der(), gateway_host="localhost", server_name="localhost"
        )
    assert told["why"] == ""


BAD: dict[str, tuple[Callable[[Signer], Signer], str]] = {
    "of another CA with our CA's name": (lambda ca: a_gateway(a_ca(), NAME), WHY_CA),
    "signed by itself": (lambda ca: a_gateway(None, NAME), WHY_CA),
    "of another name": (lambda ca: a_gateway(ca, "thief.test"), WHY_NAME),
    "expired": (lambda ca: a_gateway(ca, NAME, begins=-9, ends=-0.01), WHY_DATE),
    "of tomorrow": (lambda ca: a_gateway(ca, NAME, begins=1, ends=9), WHY_DATE),
}


@pytest.mark.parametrize("case", BAD)
def test_a_certificate_is_refused_by_name_and_the_gateway_learns_no_password(
    tmp_path: Path, ca: Signer, case: str
) -> None:
    make, why = BAD[case]
    with the_gateway(a_context(make(ca), tmp_path)) as gateway:
        told = told_by_the_meter(tmp_path, gateway.port, ca.der())
        time.sleep(0.05)
    assert (told["why"], told["step"]) == (why, "connect")
    assert told["took_ms"] < BOUND_MS
    assert gateway.handshakes_failed == 1
    assert gateway.counters == []
    assert gateway.faults == []


@pytest.mark.parametrize("answer", [b"", b"\x20\x02\x00\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_gateway_without_tls_is_named(tmp_path: Path, ca: Signer, answer: bytes) -> None:
    def plain(connection: socket.socket) -> None:
        hello = connection.recv(4096)
        assert settings()["password"].encode() not in hello
        connection.sendall(answer)

    with a_server(plain) as port:
        told = told_by_the_meter(tmp_path, port, ca.der())
    assert (told["why"], told["step"]) == (WHY_HANDSHAKE, "connect")
    assert told["took_ms"] < BOUND_MS


def test_a_gateway_that_is_not_there_is_named_at_once(tmp_path: Path, ca: Signer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = told_by_the_meter(tmp_path, port, ca.der())
    assert told["why"] == WHY_UNREACHABLE
    assert told["took_ms"] < BOUND_MS


def test_a_missing_or_damaged_ca_is_told_before_any_connection(tmp_path: Path, ca: Signer) -> None:
    told = told_by_the_meter(tmp_path, 1, None, tls=True)
    assert told["step"] == "config"
    assert "ca.der" in told["why"]
    for damaged in (b"hello", ca.der()[:-1], ca.pem()):
        told = told_by_the_meter(tmp_path, 1, damaged)
        assert told["step"] == "config", damaged
        assert "no certificate in DER" in told["why"]


def test_a_ca_file_is_read_up_to_its_limit_and_refused_beyond(tmp_path: Path) -> None:
    path = tmp_path / "ca.der"
    config = parse(settings(tls=True))
    for size in (1, CA_BYTES_MAX - 1, CA_BYTES_MAX):
        path.write_bytes(bytes(size))
        assert read_ca(config, str(path)) == bytes(size)
    for size in (0, CA_BYTES_MAX + 1):
        path.write_bytes(bytes(size))
        with pytest.raises(ConfigError, match="in DER"):
            read_ca(config, str(path))
    assert read_ca(parse(settings()), str(path)) is None


# -------------------------------------------------------------- handshakes that do not end


def flight(context: ssl.SSLContext, connection: socket.socket) -> bytes:
    """The server's first answer to the ClientHello on this connection."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    while not outgoing.pending:
        incoming.write(connection.recv(4096))
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return outgoing.read()


def until_the_meter_gives_up(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_a_handshake_that_stops_anywhere_ends_with_the_connection_s_time_out(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext, part: float
) -> None:
    def stop(connection: socket.socket) -> None:
        answer = flight(good, connection)
        connection.sendall(answer[: int(part * len(answer))])
        until_the_meter_gives_up(connection)

    with a_server(stop) as port:
        told = told_by_the_meter(tmp_path, port, ca.der())
    assert (told["why"], told["step"]) == (WHY_TIMEOUT, "connect")
    assert BOUND_MS <= told["took_ms"] <= BOUND_MS + SLACK_MS


def test_a_handshake_that_drips_does_not_prolong_the_time_out(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    def drip(connection: socket.socket) -> None:
        answer = flight(good, connection)
        try:
            for at in range(len(answer)):
                connection.sendall(answer[at : at + 1])
                time.sleep(0.02)
        except ConnectionError:
            return
        raise AssertionError("the meter waited for all of it")

    with a_server(drip) as port:
        told = told_by_the_meter(tmp_path, port, ca.der())
    assert told["why"] == WHY_TIMEOUT
    assert BOUND_MS <= told["took_ms"] <= BOUND_MS + SLACK_MS


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_a_handshake_that_the_gateway_breaks_off_ends_at_once(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext, part: float, how: str
) -> None:
    def break_off(connection: socket.socket) -> None:
        answer = flight(good, connection)
        connection.sendall(answer[: int(part * len(answer))])
        if how == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with a_server(break_off) as port:
        told = told_by_the_meter(tmp_path, port, ca.der())
    assert (told["why"], told["step"]) == (WHY_HANDSHAKE, "connect")
    assert told["took_ms"] < BOUND_MS


# -------------------------------------------------------------- MQTT inside TLS


def mqtt_over(context: ssl.SSLContext, answers: list[bytes], then: Talk) -> Talk:
    """A TLS server that gives these answers, one record for each of the meter's packets."""

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as sealed:
            for answer in answers:
                sealed.recv(4096)
                sealed.sendall(answer)
            then(sealed)

    return talk


CONNACK = b"\x20\x02\x00\x00"
SUBACK = b"\x90\x03\x00\x01\x00"
PUBACK = b"\x40\x02\x00\x02"
MESSAGE = b"\x30\x05\x00\x01tab"


def silent(sealed: socket.socket) -> None:
    try:
        until_the_meter_gives_up(sealed)
    except (ConnectionError, ssl.SSLError):
        return


def say_goodbye(sealed: Any) -> None:
    with suppress(OSError):  # the meter's frame crosses it
        sealed.unwrap()


def test_a_gateway_that_falls_silent_inside_tls_is_a_time_out(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    for answers, step in (([], "connect"), ([CONNACK], "connect"), ([CONNACK, SUBACK], "publish")):
        with a_server(mqtt_over(good, answers, silent)) as port:
            told = told_by_the_meter(tmp_path, port, ca.der())
        assert (told["why"], told["step"]) == (WHY_TIMEOUT, step)
        assert told["took_ms"] <= BOUND_MS * (2 if step == "publish" else 1) + SLACK_MS


def test_what_came_in_one_record_with_the_puback_is_not_left_in_the_tls_layer(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    answers = [CONNACK, SUBACK, PUBACK + MESSAGE]
    with a_server(mqtt_over(good, answers, silent)) as port:
        told = told_by_the_meter(tmp_path, port, ca.der())
    assert (told["why"], told["frames"]) == ("", 1)
    assert told["took_ms"] < 1_000


def test_a_gateway_that_ends_tls_is_a_closed_link(
    tmp_path: Path, ca: Signer, good: ssl.SSLContext
) -> None:
    for then in (lambda sealed: None, say_goodbye):
        with a_server(mqtt_over(good, [CONNACK, SUBACK], then)) as port:
            told = told_by_the_meter(tmp_path, port, ca.der())
        assert (told["why"], told["step"]) == (WHY_CLOSED, "publish")
