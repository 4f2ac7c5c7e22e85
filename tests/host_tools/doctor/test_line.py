"""The way to the gateway, from this computer and from the meter: what is wrong has its name."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from host_tools.checks import reach
from host_tools.checks.case import Case
from host_tools.checks.checked import Checked
from host_tools.device import Device
from tests.support.a_doctored_board import (
    CONFIG,
    a_case,
)
from tests.support.certificates import Signer, a_ca, a_context, a_gateway
from tests.support.fake_device import FakeDevice

NAME = "gateway.test"
CA = a_ca()


@contextmanager
def a_listener(context: ssl.SSLContext | None = None, answers: bool = True) -> Iterator[int]:
    """A port that takes connections; with a context it speaks TLS, else it says nothing useful."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends = threading.Event()

        def serve() -> None:
            server.settimeout(0.05)
            held = []
            while not ends.is_set():
                with suppress(OSError):
                    line, _ = server.accept()
                    line.settimeout(2)
                    held.append(line)
                    if context is not None:
                        held.append(context.wrap_socket(line, server_side=True))
                    elif answers:
                        line.sendall(b"this is no TLS\r\n" * 8)
            for line in held:
                line.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ends.set()
            thread.join()


def a_closed_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def looked(device: Device, port: int, ca: bytes | None = None, **changes: Any) -> tuple[
    Checked, Checked
]:  # fmt: skip
    """Both ends' checks of a meter that is set to this port."""
    told = {**CONFIG, "gateway_port": port, **changes}
    device.write_file("/config.json", json.dumps(told).encode())
    if ca is not None:
        device.write_file("/ca.der", ca)
    case: Case = a_case(device)
    return reach.gateway(case), reach.uplink(case)


def expect(found: tuple[Checked, Checked], verdict: str, here: str, there: str = "") -> None:
    """The same verdict from both ends."""
    assert [one.verdict for one in found] == [verdict, verdict], found
    assert (found[0].cause, found[1].cause) == (here, there or here), found
    assert all(bool(one.next_step) == (verdict != "good") for one in found)


def test_a_gateway_without_tls_is_reached_from_both_ends(device: Device) -> None:
    with a_listener() as port:
        found = looked(device, port)
    expect(found, "good", "")
    assert f"127.0.0.1:{port}, without TLS" in found[0].measured
    assert found[1].measured == f"the meter reaches 127.0.0.1:{port}"


def test_a_gateway_with_tls_is_trusted_from_both_ends(device: Device, tmp_path: Path) -> None:
    with a_listener(a_context(a_gateway(CA, NAME), tmp_path)) as port:
        found = looked(device, port, CA.der(), tls=True, server_name=NAME)
    expect(found, "good", "")
    assert "TLSv1." in found[0].measured
    assert isinstance(found[0].values["took_ms"], int)


def test_nobody_listens(device: Device) -> None:
    expect(looked(device, a_closed_port()), "bad", "refused")


def test_a_name_that_nobody_knows(device: Device) -> None:
    found = looked(device, 1883, gateway_host="no-such-gateway.invalid")
    expect(found, "bad", "unknown_name")


def test_a_meter_without_a_gateway(device: Device) -> None:
    for wrong in ({"gateway_host": 5}, {"gateway_port": "1883"}):
        expect(looked(device, 1883, **wrong), "bad", "no_address")
    device.remove("/config.json")
    case = a_case(device)
    expect((reach.gateway(case), reach.uplink(case)), "bad", "no_address")


@pytest.mark.parametrize(
    ("gateway", "cause"),
    [
        (a_gateway(a_ca(), NAME), "not_our_ca"),
        (a_gateway(None, NAME), "not_our_ca"),
        (a_gateway(CA, "another.test"), "other_name"),
        (a_gateway(CA, NAME, begins=-9, ends=-2), "out_of_date"),
        (a_gateway(CA, NAME, begins=2), "out_of_date"),
    ],
)
def test_a_certificate_that_is_refused_has_the_same_cause_at_both_ends(
    device: Device, tmp_path: Path, gateway: Signer, cause: str
) -> None:
    with a_listener(a_context(gateway, tmp_path)) as port:
        found = looked(device, port, CA.der(), tls=True, server_name=NAME)
    expect(found, "bad", cause)


def test_a_port_without_tls_where_tls_is_wanted(device: Device) -> None:
    with a_listener() as port:
        found = looked(device, port, CA.der(), tls=True, server_name=NAME)
    expect(found, "bad", "no_tls")


def test_a_ca_that_is_not_there_or_is_damaged(device: Device, tmp_path: Path) -> None:
    with a_listener(a_context(a_gateway(CA, NAME), tmp_path)) as port:
        expect(looked(device, port, tls=True, server_name=NAME), "bad", "ca_missing")
        damaged = looked(device, port, b"no certificate", tls=True, server_name=NAME)
        expect(damaged, "bad", "ca_damaged")


@pytest.mark.parametrize("tls", [False, True])
def test_a_gateway_that_is_silent_ends_in_time(
    device: Device, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(reach, "CONNECT_WAIT_S", 1.0)
    with a_listener(answers=False) as port:
        here, there = looked(device, port, CA.der(), tls=tls)
    assert here.cause == ("unreachable" if tls else "")
    assert there.cause == ("no_tls" if tls else "")


def test_a_network_that_has_no_way_there(device: Device) -> None:
    def nowhere(host: str, port: int, timeout_s: float) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    def silent(host: str, port: int, timeout_s: float) -> socket.socket:
        raise TimeoutError

    for dial, words in ((nowhere, "Network is unreachable"), (silent, "it does not answer")):
        found = reach.gateway(a_case(device, dial=dial))
        assert (found.cause, words in found.measured) == ("unreachable", True)


def test_a_meter_whose_program_did_not_run_is_not_asked(device: Device) -> None:
    found = reach.uplink(a_case(device, ran=False))
    assert (found.verdict, found.cause) == ("unknown", "not_started")


def test_every_word_of_the_meter_has_its_next_step(device: Device) -> None:
    case = a_case(device)
    for cause in ("memory", "certificate", *(word for _, word in reach._WORDS)):
        answered = Case(FakeDevice(json.dumps(cause)), case.facts, case.asked, ran=True)
        found = reach.uplink(answered)
        assert found.cause == cause
        assert found.next_step == reach.UPLINK.steps[cause]
        assert found.verdict == ("unknown" if cause == "memory" else "bad")
