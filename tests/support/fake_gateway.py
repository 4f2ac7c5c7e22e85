"""A gateway just big enough for one meter: MQTT over TCP or TLS, opens frames, sends receipts."""

import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field

from gateway.window import Window
from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Profile, Receipt

_POLL_S = 0.2
_HANDSHAKE_S = 5
_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14


@dataclass
class FakeGateway:
    """Serves one meter at a time on a free loopback port, in a thread; use as `with`."""

    meter_id: bytes
    meter_key: bytes
    password: bytes
    key_epoch: int = 0
    receipts: bool = True
    time_s: int = 1_700_000_000
    intervals: dict[int, tuple[int, tuple[int, ...], int]] = field(default_factory=dict)
    counters: list[int] = field(default_factory=list)
    repeats: int = 0  # intervals that came more than once
    conflicts: list[int] = field(default_factory=list)  # ... and said something else
    faults: list[str] = field(default_factory=list)
    statuses: int = 0
    registers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    port: int = 0
    tls: ssl.SSLContext | None = None  # serve over TLS
    handshakes_failed: int = 0

    def __enter__(self) -> "FakeGateway":
        self._key = EpochKey(self.key_epoch, self.meter_key)
        self._stop = threading.Event()
        self._down_counter = 0
        self._window = Window()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(_POLL_S)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
        self._server.close()
        assert not self._thread.is_alive()

    def wait_for(self, intervals: int, within_s: float) -> bool:
        """True once all intervals 1..intervals are here."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            if self._contiguous() >= intervals:
                return True
            time.sleep(0.02)
        return False

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            with connection:
                try:
                    self._greet(connection)
                except (ConnectionError, EOFError, ssl.SSLError):
                    continue  # the meter went away: wait for it to come back

    def _greet(self, connection: socket.socket) -> None:
        if self.tls is None:
            self._talk(connection)
            return
        connection.settimeout(_HANDSHAKE_S)
        try:
            sealed = self.tls.wrap_socket(connection, server_side=True)
        except OSError:
            self.handshakes_failed += 1
            raise EOFError from None
        with sealed:
            self._talk(sealed)

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(_POLL_S)
        while True:
            kind, body = self._packet(connection)
            if kind >> 4 == _CONNECT:
                good = body.endswith(struct.pack("!H", len(self.password)) + self.password)
                connection.sendall(bytes((0x20, 2, 0, 0 if good else 4)))
                if not good:
                    self.faults.append("bad_password")
                    return
            elif kind >> 4 == _SUBSCRIBE:
                connection.sendall(bytes((0x90, 3)) + body[:2] + b"\0")
            elif kind >> 4 == _PUBLISH:
                self._published(connection, body)
            elif kind >> 4 == _PINGREQ:
                connection.sendall(b"\xd0\0")
            elif kind >> 4 == _DISCONNECT:
                return

    def _published(self, connection: socket.socket, body: bytes) -> None:
        length = struct.unpack_from("!H", body)[0]
        topic = body[2 : 2 + length].decode()
        packet_id = body[2 + length : 4 + length]
        sealed = body[4 + length :]
        header = frame.peek(sealed)
        assert header.direction == UP
        assert topic == topics.up(self.meter_id)
        if header.frame_counter in self.counters:
            self.faults.append(f"frame counter {header.frame_counter} used twice")
        self.counters.append(header.frame_counter)
        self._window.mark(header.frame_counter)
        self._take(messages.decode(frame.open(self._key, sealed, topic, header), UP))
        connection.sendall(b"\x40\x02" + packet_id)
        if self.receipts:
            self._receipt(connection)

    def _take(self, message: object) -> None:
        if isinstance(message, messages.Status):
            self.statuses += 1
        if not isinstance(message, Profile):
            return
        for index, quality in enumerate(message.quality):
            number = message.first + index
            start_s = message.start_s + index * message.capture_period_s
            interval = (start_s, tuple(row[index] for row in message.deltas_wh), quality)
            if number in self.intervals:
                self.repeats += 1
                if self.intervals[number] != interval:
                    self.conflicts.append(number)
            self.intervals.setdefault(number, interval)
        self.registers[message.first] = message.registers_wh

    def _contiguous(self) -> int:
        number = 0
        while number + 1 in self.intervals:
            number += 1
        return number

    def _receipt(self, connection: socket.socket) -> None:
        topic = topics.down(self.meter_id)
        counter = self._window.contiguous()
        receipt = messages.encode(Receipt(counter, self._contiguous(), self.time_s))
        sealed = frame.seal(self._key, DOWN, self._down_counter, topic, receipt)
        self._down_counter += 1
        body = struct.pack("!H", len(topic)) + topic.encode() + sealed
        connection.sendall(b"\x30" + _length(len(body)) + body)

    def _packet(self, connection: socket.socket) -> tuple[int, bytes]:
        kind = self._read(connection, 1)[0]
        length = shift = 0
        while True:
            byte = self._read(connection, 1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, self._read(connection, length)

    def _read(self, connection: socket.socket, length: int) -> bytes:
        got = b""
        while len(got) < length:
            if self._stop.is_set():
                raise EOFError
            try:
                piece = connection.recv(length - len(got))
            except TimeoutError:
                continue
            if not piece:
                raise EOFError
            got += piece
        return got


def _length(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
