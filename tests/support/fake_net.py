"""The modules socket, select and ssl as an ESP32 has them, under a test's control."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes sockets importable)

import sys

from boards.parts import mqtt_link

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IN, OUT, ERR, HUP = 1, 4, 8, 16


class FakeSocket:
    """A socket that does what `net` says, once it was told not to block."""

    def __init__(self, net: "Any") -> None:
        self.net = net
        self.blocking = True
        self.shut = False
        net.sockets.append(self)

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking

    def connect(self, address: "Any") -> None:
        assert not self.blocking, "a connect that the chip would wait for"
        self.net.connected_to.append(address)
        if self.net.connect_errno:
            raise OSError(self.net.connect_errno)

    def read(self, length: int) -> "Any":
        return self.net.next_io()

    def write(self, data: bytes) -> "Any":
        return self.net.next_io()

    def close(self) -> None:
        self.shut = True


class FakeTls:
    """TLS over a socket; when it has failed it no longer closes what is below, as on the chip."""

    def __init__(self, below: "Any", server_hostname: str) -> None:
        self.below = below
        self.server_hostname = server_hostname
        self.failed = False

    def read(self, length: int) -> "Any":
        return self.below.read(length)

    def write(self, data: bytes) -> "Any":
        try:
            return self.below.write(data)
        except ValueError:
            self.failed = True
            raise

    def close(self) -> None:
        if not self.failed:
            self.below.close()


class FakeNet:
    """socket, select and ssl at once. Its poll object is itself, too."""

    POLLIN, POLLOUT, POLLERR, POLLHUP = IN, OUT, ERR, HUP
    PROTOCOL_TLS_CLIENT = 0
    CERT_REQUIRED = 2

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.connected_to: list[Any] = []
        self.lookups: list[str] = []
        self.address: Any = ("192.0.2.1", 8883)
        self.lookup_error: OSError | None = None
        self.connect_errno = 119
        self.events = OUT
        self.wrap_errno = 0
        self.wrapped: list[FakeTls] = []
        self.watched: Any = None
        self.waits: list[int] = []
        self.does: Any = None  # what the next read or write raises or gives
        self.verify_mode = 0  # as some versions of MicroPython begin
        self.trusted = b""

    def socket(self) -> FakeSocket:
        return FakeSocket(self)

    def getaddrinfo(self, host: str, port: int) -> "list[Any]":
        self.lookups.append(host)
        if self.lookup_error is not None:
            raise self.lookup_error
        return [(2, 1, 0, "", self.address)] if self.address else []

    def poll(self, *timeout_ms: int) -> "Any":
        if not timeout_ms:
            return self
        self.waits.append(timeout_ms[0])
        return [(None, self.events)] if self.events else []

    def register(self, stream: "Any", events: int) -> None:
        self.watched = stream

    def modify(self, stream: "Any", events: int) -> None:
        assert self.watched is stream, "OSError(2) on the chip: only what is registered"
        self.watched_for = events

    def next_io(self) -> "Any":
        does, self.does = self.does, None
        if isinstance(does, Exception):
            raise does
        return does

    def SSLContext(self, protocol: int) -> "FakeNet":
        assert protocol == self.PROTOCOL_TLS_CLIENT
        return self

    def load_verify_locations(self, cadata: bytes) -> None:
        if cadata == b"bad":
            raise ValueError("invalid cert")
        self.trusted = cadata

    def wrap_socket(
        self, below: FakeSocket, server_hostname: str, do_handshake_on_connect: bool
    ) -> FakeTls:
        assert not below.blocking
        assert not do_handshake_on_connect, "a handshake that the chip would wait for"
        if self.wrap_errno:
            raise OSError(self.wrap_errno)
        self.wrapped.append(FakeTls(below, server_hostname))
        return self.wrapped[-1]


def over_a_fake_net(test: "Any") -> None:
    """Run test(net) with a new FakeNet in the place of the real modules, and put those back."""
    board: Any = mqtt_link
    modules: Any = sys.modules
    real = board.socket, board.select, modules.get("ssl")
    net = FakeNet()
    board.socket = board.select = modules["ssl"] = net
    try:
        test(net)
    finally:
        board.socket, board.select = real[0], real[1]
        if real[2] is None:
            del modules["ssl"]
        else:
            modules["ssl"] = real[2]
