"""A meter without Wi-Fi is provisioned over a serial line by a client that is not ours to bend."""

import json
import os
import pty
import subprocess
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_tools.micropython import ROOT, find_micropython, micropython_env
from tests.support.a_meter import settings
from tests.support.improv_client import ImprovClient, Packet
from tests.support.improv_meter import PASSWORD

SEND_WIFI, GET_STATE, GET_INFO, GET_NETWORKS = 1, 2, 3, 4
STATE, ERROR, RESULT = 1, 2, 4
READY, PROVISIONING, PROVISIONED = b"\x02", b"\x03", b"\x04"
FINE, NO_CONNECTION = b"\x00", b"\x03"
WITHIN_S = 60


class Line:
    """A meter's process behind a pseudo-terminal that passes bytes on as a serial line does."""

    def __init__(self, root: Path) -> None:
        near, far = pty.openpty()
        tty.setraw(far, termios.TCSANOW)
        self.near = near
        self.process = subprocess.Popen(
            [str(find_micropython()), "-m", "tests.support.improv_meter", str(root)],
            env=micropython_env(),
            cwd=ROOT,
            stdin=far,
            stdout=far,
            stderr=far,
            close_fds=True,
        )
        os.close(far)
        self.client = ImprovClient(near)

    def said_at_the_end(self) -> str:
        """What the meter prints once it has a network, or is stopped."""
        self.process.wait(WITHIN_S)
        assert list(self.client.packets(1.0)) == []
        return self.client.skipped.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.near)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A paired meter whose config names no Wi-Fi."""
    (tmp_path / "config.json").write_text(json.dumps(settings()))
    made = Line(tmp_path)
    yield made
    made.close()


def kinds(packets: list[Packet]) -> list[tuple[int, bytes]]:
    return [(packet.kind, packet.data) for packet in packets if packet.kind != RESULT]


def test_a_browser_provisions_the_meter(line: Line, tmp_path: Path) -> None:
    client = line.client
    asked = client.until(STATE, GET_STATE)
    assert kinds(asked)[-2:] == [(ERROR, FINE), (STATE, READY)]

    told = client.until(RESULT, GET_INFO)[-1].texts
    assert (told[0], told[2:]) == ("OpenLicznik", ["esp32c3", "meter"])

    client.request(GET_NETWORKS)
    found = [packet.texts for packet in client.packets(1.0) if packet.kind == RESULT]
    assert found == [["home", "-61", "YES"], ["café", "-88", "NO"], []]

    client.request(SEND_WIFI, b"home", b"a-wrong-password")
    assert kinds(list(client.packets(2.0))) == [
        (ERROR, FINE),
        (STATE, PROVISIONING),
        (ERROR, NO_CONNECTION),
        (STATE, READY),
    ]
    assert json.loads((tmp_path / "config.json").read_text()) == settings()

    done = client.until(RESULT, SEND_WIFI, b"home", PASSWORD.encode())
    assert kinds(done) == [(ERROR, FINE), (STATE, PROVISIONING), (STATE, PROVISIONED)]
    assert done[-1].texts == []
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept == settings(wifi_name="home", wifi_password=PASSWORD)

    said = line.said_at_the_end()
    assert json.loads(said.strip().splitlines()[-1]) == {
        "event": "made",
        "wifi": "home",
        "link": "up",
    }
    assert PASSWORD not in said
    assert line.process.returncode == 0


def test_a_meter_that_was_never_paired_takes_wifi_too_and_then_says_what_it_lacks(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path)
    try:
        line.client.until(RESULT, SEND_WIFI, "café".encode(), b"")
        assert json.loads((tmp_path / "config.json").read_text()) == {"wifi_name": "café"}
        assert "pair again" in line.said_at_the_end()
    finally:
        line.close()


def test_noise_before_and_between_packets_is_no_trouble(line: Line) -> None:
    line.client.until(STATE, GET_STATE)
    for noise in (b"\x00\xff" * 50, b"IMPRO", b"IMPROV\x01\x03\xff", b"help()\r\n"):
        line.client.send(noise)
        assert line.client.until(STATE, GET_STATE)[-1].data == READY


def test_mpremote_s_ctrl_c_stops_the_program_as_ever(line: Line) -> None:
    line.client.until(STATE, GET_STATE)
    line.client.send(b"\r\x03")
    assert "KeyboardInterrupt" in line.said_at_the_end()
