"""TLS on the endpoint, with certificates that `gateway certs` made: who is let in, who is named."""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from boards.parts.mqtt_link import WHY_CA, WHY_DATE, WHY_HANDSHAKE, WHY_NAME
from gateway.doors import certs, door, limits, tls
from gateway.mqtt import mqtt, packets
from tests.firmware_host.test_tls import told_by_the_meter
from tests.support.gateway import (
    Client,
    a_connect,
    a_gateway,
    a_home,
    a_meter,
    refusals,
    rows,
    until,
)
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
from wire import topics


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = a_folder(tmp_path_factory.mktemp("made") / "certs")
    certs.make_client(made, METER.meter_id, now_s())
    certs.make_client(made, a_meter(2).meter_id, now_s())
    return made


# -------------------------------------------------------------- others' clients


def test_a_client_over_tls_is_acknowledged_and_receipted(tmp_path: Path, folder: Path) -> None:
    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, a_meter(), folder=folder)) as gateway:
            meter = a_meter()
            client = await a_tls_client(gateway.port, trusting(folder))
            # All in one write: what follows a CONNECT waits for its answer, inside TLS, too.
            client.send(
                packets.subscribe(packets.Subscribe(1, ((topics.down(meter.meter_id), 1),)))
            )
            await client.close()
            client = await a_tls_client(gateway.port, trusting(folder))
            assert await client.connect(meter) == packets.ACCEPTED
            for packet_id in range(1, 50):
                client.publish(meter, meter.frame(), packet_id)
            assert [await client.puback() for _ in range(1, 50)] == list(range(1, 50))
            assert client.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
            await client.close()
            await until(lambda: not gateway.endpoint.sessions)
            assert gateway.endpoint.doorman.connections == 0
        assert rows(tmp_path, "SELECT reason FROM refusal") == [("mqtt_unexpected",)]

    asyncio.run(story())


def test_paho_speaks_tls_with_the_endpoint(tmp_path: Path, folder: Path) -> None:
    meter = a_meter()
    heard: list[Any] = []
    done = threading.Event()

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe(topics.down(meter.meter_id), 1)

    def on_subscribe(client: paho.Client, *_: object) -> None:
        client.publish(topics.up(meter.meter_id), meter.frame(4), qos=1)

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        heard.append(meter.open(bytes(message.payload)))
        done.set()

    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, meter, folder=folder)) as gateway:
            client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
            client.username_pw_set(meter.hex_id, meter.password)
            client.tls_set(str(folder / "ca.pem"))
            client.on_connect, client.on_subscribe = on_connect, on_subscribe
            client.on_message = on_message
            client.connect_async("127.0.0.1", gateway.port, keepalive=30)
            client.loop_start()
            assert await asyncio.to_thread(done.wait, 10)
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    asyncio.run(story())
    assert heard[-1].interval == 4


# -------------------------------------------------------------- a real meter


def a_meter_over(tmp_path: Path, gateway_folder: Path, ca: bytes | None, **changes: Any) -> Any:
    """What a MicroPython meter said of its session with a gateway of that folder's certificate."""
    meter = a_meter()
    home = tmp_path / "gateway"
    home.mkdir()
    plain = changes.pop("plain", False)

    async def story() -> Any:
        config = a_home(home, meter) if plain else a_tls_home(home, meter, folder=gateway_folder)
        async with a_gateway(config) as gateway:
            told = await asyncio.to_thread(
                told_by_the_meter, tmp_path, gateway.port, ca, 3000, server_name=NAME,
                meter_id=meter.hex_id, meter_key=meter.meter_key.hex(), password=meter.password,
                **changes,
            )  # fmt: skip
            await asyncio.sleep(0.1)
            return told

    return asyncio.run(story()), refusals(home)


def test_a_meter_on_micropython_is_receipted_over_tls(tmp_path: Path, folder: Path) -> None:
    told, refused = a_meter_over(tmp_path, folder, (folder / "ca.der").read_bytes())
    assert (told["why"], told["step"], told["frames"]) == ("", "end", 1)
    assert refused == {}


def test_a_meter_names_a_wrong_ca_and_the_gateway_counts_it(tmp_path: Path, folder: Path) -> None:
    other = a_folder(tmp_path / "other")
    told, refused = a_meter_over(tmp_path, folder, (other / "ca.der").read_bytes())
    assert (told["why"], told["step"]) == (WHY_CA, "connect")
    assert refused == {tls.DISTRUSTED: 1}


def test_a_meter_names_a_wrong_name_and_the_gateway_counts_it(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "named", name="thief.test")
    told, refused = a_meter_over(tmp_path, folder, (folder / "ca.der").read_bytes())
    assert (told["why"], told["step"]) == (WHY_NAME, "connect")
    assert refused == {tls.DISTRUSTED: 1}


def test_a_meter_names_an_expired_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path / "old", now_s() - 400 * DAY_S)
    monkeypatch.setattr(tls, "_ends_s", lambda _: 1 << 40)  # an endpoint of a wrong clock
    told, refused = a_meter_over(tmp_path, folder, (folder / "ca.der").read_bytes())
    assert (told["why"], told["step"]) == (WHY_DATE, "connect")
    assert refused == {tls.DISTRUSTED: 1}


def test_a_meter_without_tls_on_the_tls_port_is_counted_by_name(
    tmp_path: Path, folder: Path
) -> None:
    told, refused = a_meter_over(tmp_path, folder, None)
    assert told["step"] == "connect"
    assert told["why"] != ""
    assert refused == {tls.PLAIN: 1}


def test_a_meter_with_tls_on_the_plain_port_is_counted_by_name(
    tmp_path: Path, folder: Path
) -> None:
    told, refused = a_meter_over(tmp_path, folder, (folder / "ca.der").read_bytes(), plain=True)
    assert (told["why"], told["step"]) == (WHY_HANDSHAKE, "connect")
    assert refused == {mqtt.MALFORMED: 1}


# -------------------------------------------------------------- clients' certificates


@pytest.mark.parametrize(
    ("how", "shown", "outcome"),
    [
        ("required", METER.hex_id, packets.ACCEPTED),
        ("required", a_meter(2).hex_id, packets.NOT_AUTHORISED),
        ("required", "", None),
        ("optional", METER.hex_id, packets.ACCEPTED),
        ("optional", a_meter(2).hex_id, packets.NOT_AUTHORISED),
        ("optional", "", packets.ACCEPTED),
        ("off", a_meter(2).hex_id, packets.ACCEPTED),
    ],
)
def test_a_client_certificate_speaks_for_one_meter_only(
    tmp_path: Path, folder: Path, how: str, shown: str, outcome: int | None
) -> None:
    ca = str(folder / "ca.pem")

    async def story() -> None:
        config = a_tls_home(
            tmp_path, a_meter(), folder=folder, client_certificates=how, client_ca_file=ca
        )
        async with a_gateway(config) as gateway:
            try:
                client = await a_tls_client(gateway.port, trusting(folder, shown))
                code: int | None = await client.connect(a_meter())
                await client.close()
            except (OSError, asyncio.IncompleteReadError):
                code = None  # a TLS 1.3 client learns after its own part of the handshake
            assert code == outcome
            await until(lambda: gateway.endpoint.doorman.connections == 0)
        assert refusals(tmp_path) == ({} if outcome == 0 else {"wrong_certificate": 1})

    asyncio.run(story())


def test_a_certificate_of_another_ca_is_no_certificate(tmp_path: Path, folder: Path) -> None:
    other = a_folder(tmp_path / "other")
    certs.make_client(other, METER.meter_id, now_s())

    async def story() -> None:
        config = a_tls_home(
            tmp_path, a_meter(), folder=folder, client_certificates="optional",
            client_ca_file=str(folder / "ca.pem"),
        )  # fmt: skip
        async with a_gateway(config) as gateway:
            context = trusting(folder)
            context.load_cert_chain(other / f"{METER.hex_id}.pem", other / f"{METER.hex_id}.key")
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                client = await a_tls_client(gateway.port, context)
                await client.connect(a_meter())
            await until(lambda: gateway.endpoint.doorman.connections == 0)
        assert refusals(tmp_path) == {"wrong_certificate": 1}

    asyncio.run(story())


# -------------------------------------------------------------- handshakes that do not end


def test_a_handshake_that_does_not_end_is_cut_off_and_counted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "HANDSHAKE_TIMEOUT_S", 0.2)

    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, folder=folder)) as gateway:
            silent = await Client.open(gateway.port)
            await until(lambda: gateway.endpoint.doorman.connections == 1)
            assert await silent.is_closed()
            gone = await Client.open(gateway.port)
            await gone.close()
            await until(lambda: gateway.endpoint.doorman.connections == 0)
            await silent.close()
        assert refusals(tmp_path).get(tls.TIMEOUT) == 1

    asyncio.run(story())


def test_a_connect_in_one_segment_with_the_end_of_the_handshake_is_heard(
    tmp_path: Path, folder: Path
) -> None:
    """As a meter on TLS 1.3 may send it: nothing of it may get lost while the session is made."""
    meter = a_meter()

    async def story() -> None:
        async with a_gateway(a_tls_home(tmp_path, meter, folder=folder)) as gateway:
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            sealed = trusting(folder).wrap_bio(incoming, outgoing, server_hostname=NAME)
            while True:
                try:
                    sealed.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    incoming.write(await asyncio.wait_for(reader.read(65_536), 5))
            assert sealed.version() == "TLSv1.3"
            sealed.write(packets.connect(a_connect(meter)))
            for packet_id in range(1, 40):
                up = topics.up(meter.meter_id)
                sealed.write(packets.publish(up, meter.frame(), packet_id))
            writer.write(outgoing.read())  # Finished, CONNECT and frames at once
            heard = b""
            while len(heard) < 4 + 39 * 4:
                incoming.write(await asyncio.wait_for(reader.read(65_536), 5))
                while True:
                    try:
                        heard += sealed.read(65_536)
                    except ssl.SSLWantReadError:
                        break
            assert heard.startswith(packets.connack(packets.ACCEPTED))
            assert heard[4:] == b"".join(packets.puback(number) for number in range(1, 40))
            writer.close()

    asyncio.run(story())


def test_handshakes_count_as_connections(tmp_path: Path, folder: Path) -> None:
    async def story() -> None:
        config = a_tls_home(tmp_path, folder=folder)
        config.write_text(config.read_text() + "[limits]\nconnections_per_address = 2\n")
        async with a_gateway(config) as gateway:
            lines = [await Client.open(gateway.port) for _ in range(2)]
            await until(lambda: gateway.endpoint.doorman.connections == 2)
            third = await Client.open(gateway.port)
            assert await third.is_closed()
            for line in (*lines, third):
                await line.close()
            await until(lambda: gateway.endpoint.doorman.connections == 0)
        assert refusals(tmp_path)[limits.TOO_MANY_FROM] == 1

    asyncio.run(story())


def test_bytes_that_came_with_the_handshake_reach_either_kind_of_protocol() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.heard, self._buffer = b"", bytearray(3)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self._buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.heard += bytes(self._buffer[:nbytes])

    class Plain(asyncio.Protocol):
        heard = b""

        def data_received(self, data: bytes) -> None:
            self.heard += data

    for protocol in (Buffered(), Plain()):
        door.feed(protocol, b"0123456789")
        assert protocol.heard == b"0123456789"
