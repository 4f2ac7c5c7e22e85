"""A gateway just big enough for one meter: MQTT over TCP or TLS, opens frames, sends receipts."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.window import Window
from wire import frame, messages, topics
from wire.keys import DOWN, UP, EpochKey
from wire.messages import Command, Profile, Receipt, Result

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
    # Given each result (None at first), names the next command as (code, args), or None.
    commander: Callable[[Result | None], tuple[int, tuple[object, ...]] | None] | None = None
    events: list[messages.Event] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)  # of every greeting

    def __enter__(self) -> "FakeGateway":
        self._key = EpochKey(self.key_epoch, self.meter_key)
        self._stop = threading.Event()
        self._down_counter = 0
        self._window = Window()
        self._command: bytes | None = None
        self._command_id = 0
        self._next_command(None)
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
        message = messages.decode(frame.open(self._key, sealed, topic, header), UP)
        self._take(message)
        connection.sendall(b"\x40\x02" + packet_id)
        if self.receipts:
            self._receipt(connection)
        if isinstance(message, Result) and message.command_id == self._command_id:
            self._next_command(message)
            self._send_command(connection)
        elif isinstance(message, messages.Status):
            self._send_command(connection)  # again, if the meter restarted before it answered

    def _take(self, message: object) -> None:
        if isinstance(message, messages.Status):
            self.statuses += 1
            self.versions.append(message.version)
        if isinstance(message, messages.Event) and message not in self.events:
            self.events.append(message)
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
        self._send(connection, topic, receipt)

    def _next_command(self, result: Result | None) -> None:
        wanted = self.commander(result) if self.commander else None
        self._command = None
        if wanted is not None:
            self._command_id += 1
            self._command = messages.encode(Command(self._command_id, *wanted))

    def _send_command(self, connection: socket.socket) -> None:
        if self._command is not None:
            self._send(connection, topics.down(self.meter_id), self._command)

    def _send(self, connection: socket.socket, topic: str, message: bytes) -> None:
        sealed = frame.seal(self._key, DOWN, self._down_counter, topic, message)
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
