"""A gateway's socket as an ESP32 has it, and a meter's session over it."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

from firmware.board import BLOCKING_MS_MAX
from firmware.mqtt import LinkDown, MqttLink
from tests.support.a_meter import FakeClock, a_board, refusal_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONNACK = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"
ETIMEDOUT = 110


class WouldHang(Exception):
    """On the chip this read or write would never return."""


class FakeStream:
    """A socket with the ESP32's rules, and a gateway behind it that answers whole packets.

    Non-blocking it gives None (or raises an errno of `link.errnos`) where it would block; with a
    time-out it raises ETIMEDOUT after that time; setblocking(True) cancels the time-out.
    """

    def __init__(self, link: "Any") -> None:
        self.link = link
        self.inbound = b""
        self.closed = False  # by the gateway
        self.shut = False  # by the meter
        self.writes: list[bytes] = []
        self.packets: list[bytes] = []  # that those writes make
        self.blocking = False
        self.timeout_s: float | None = None
        self._unanswered = b""

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking
        self.timeout_s = None  # the ESP32 port's rule (ports/esp32/modsocket.c)

    def settimeout(self, timeout_s: "float | None") -> None:
        self.blocking = timeout_s != 0
        self.timeout_s = timeout_s

    def write(self, data: bytes, length: "int | None" = None) -> "Any":
        assert not self.shut
        data = bytes(data if length is None else data[:length])
        self.link.trip()
        if not self.link.writable:
            return self._would_block()
        if self.link.write_piece_max:
            data = data[: self.link.write_piece_max]
        self.writes.append(data)
        self._unanswered += data
        while True:
            length = packet_length(self._unanswered)
            if not length or length > len(self._unanswered):
                return len(data)
            packet = self._unanswered[:length]
            self._unanswered = self._unanswered[length:]
            self.packets.append(packet)
            self.link.answer(self, packet)

    def read(self, length: int) -> "Any":
        assert not self.shut
        self.link.trip()
        if not self.inbound:
            return b"" if self.closed else self._would_block()
        length = min(length, self.link.read_piece_max)
        piece, self.inbound = self.inbound[:length], self.inbound[length:]
        return piece

    def close(self) -> None:
        self.shut = True
        if self.link.close_error:
            raise OSError(self.link.close_error)

    def _would_block(self) -> "Any":
        if self.blocking and self.timeout_s is None:
            raise WouldHang()
        if self.timeout_s:
            self.link.clock.pass_ms(int(self.timeout_s * 1000))
            raise OSError(ETIMEDOUT)
        return None


class FakeLink:
    """firmware.board.Link whose waiting takes the fake clock's time."""

    def __init__(self, clock: "Any") -> None:
        self.clock = clock
        self.streams: list[FakeStream] = []
        self.reachable = True
        self.open_ms = 0  # what opening, or a TLS handshake, takes
        self.writable = True
        self.errnos: list[int] = []  # what the next reads and writes raise
        self.errno_at: tuple[int, int] | None = None  # what a later one does: (how many, errno)
        self.close_error = 0
        self.connack = CONNACK
        self.suback: bytes | None = None  # None: a right one
        self.puback: bytes | None = None  # None: a right one; bytes: that instead
        self.pubacks_from = 1  # the how manieth publish of a connection is the first answered
        self.close_after_puback = False
        self.bytes_until_end: int | None = None  # of what the gateway says, before it closes
        self.bytes_until_silence: int | None = None
        self.pong = PINGRESP
        self.write_piece_max = 0
        self.read_piece_max = 4096
        self.waited_ms_max = 0

    def open(self, host: str, port: int, timeout_ms: int) -> "FakeStream":
        assert 0 < timeout_ms <= BLOCKING_MS_MAX
        if not self.reachable:
            self.clock.pass_ms(timeout_ms)
            raise OSError(ETIMEDOUT)
        self.clock.pass_ms(self.open_ms)
        stream = FakeStream(self)
        self.streams.append(stream)
        return stream

    def wait(self, stream: "Any", for_write: bool, timeout_ms: int) -> bool:
        if (self.writable and for_write) or (not for_write and (stream.inbound or stream.closed)):
            return True
        self.waited_ms_max = max(self.waited_ms_max, timeout_ms)
        assert timeout_ms <= BLOCKING_MS_MAX, "an unbounded wait"
        self.clock.pass_ms(timeout_ms)
        return False

    def rssi_dbm(self) -> int:
        return -61

    def answer(self, stream: "Any", packet: bytes) -> None:
        """What the gateway says to a packet."""
        kind = packet[0] & 0xF0
        if kind == 0x10:
            self.say(stream, self.connack)
        elif kind == 0x80:
            self.say(stream, self.suback or b"\x90\x03" + packet[2:4] + b"\x00")
        elif kind == 0xC0:
            self.say(stream, self.pong)
        elif kind == 0x30:
            heard = len([one for one in stream.packets if one[0] & 0xF0 == 0x30])
            if heard >= self.pubacks_from:
                right = b"\x40\x02" + pid_of(packet)
                self.say(stream, right if self.puback is None else self.puback)
            stream.closed = stream.closed or self.close_after_puback

    def trip(self) -> None:
        """A read or write is about to happen: raise what is its turn."""
        if self.errnos:
            raise OSError(self.errnos.pop(0))
        if self.errno_at is not None:
            left, errno = self.errno_at
            self.errno_at = left - 1, errno
            if not left:
                raise OSError(errno)

    def say(self, stream: "Any", data: bytes) -> None:
        """Put it into the meter's socket, as far as the gateway still speaks."""
        for limit in (self.bytes_until_end, self.bytes_until_silence):
            if limit is not None:
                data = data[:limit]
        if self.bytes_until_end is not None:
            self.bytes_until_end -= len(data)
            stream.closed = stream.closed or not self.bytes_until_end
        if self.bytes_until_silence is not None:
            self.bytes_until_silence -= len(data)
        stream.inbound += data


class Session:
    """A MqttLink over a FakeLink, connected unless told otherwise."""

    def __init__(self, connect: bool = True, ticks_ms: int = 0) -> None:
        self.clock = FakeClock(ticks_ms=ticks_ms)
        self.link = FakeLink(self.clock)
        self.mqtt = MqttLink(a_board(link=self.link, clock=self.clock))
        if connect:
            self.mqtt.connect()

    @property
    def stream(self) -> FakeStream:
        return self.link.streams[-1]

    def broken(self, call: "Any", *arguments: "Any") -> "tuple[str, int]":
        """Why the call broke the link, and how long that took in ms."""
        begun_ms = self.clock.ms
        why = refusal_of(LinkDown, call, *arguments)
        left_open = [stream for stream in self.link.streams if not stream.shut]
        assert not left_open
        return why, self.clock.ms - begun_ms

    def tried(self, call: "Any", *arguments: "Any") -> "tuple[str | None, int]":
        """Why the call broke the link, None if it did not, and how long that took in ms."""
        begun_ms = self.clock.ms
        try:
            call(*arguments)
        except LinkDown as down:
            return down.why, self.clock.ms - begun_ms
        return None, self.clock.ms - begun_ms


def packet_length(data: bytes) -> int:
    """How long the packet is that these bytes begin; 0 when not even that is there yet."""
    length = shift = 0
    for at in range(1, len(data)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            return at + 1 + length
    return 0


def pid_of(packet: bytes) -> bytes:
    """The two bytes of a QoS 1 publish's packet id."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    at += 1
    topic_length = packet[at] << 8 | packet[at + 1]
    return packet[at + 2 + topic_length : at + 4 + topic_length]


def publish(topic: str, data: bytes, qos: int = 0, packet_id: int = 1, dup: bool = False) -> bytes:
    """A publish from the gateway, short or long."""
    body = bytes((0, len(topic))) + topic.encode()
    if qos:
        body += bytes((packet_id >> 8, packet_id & 0xFF))
    body += data
    head = bytes((0x30 | qos << 1 | dup << 3,))
    length = len(body)
    while length > 0x7F:
        head += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return head + bytes((length,)) + body
