"""A gateway's socket as an ESP32 has it: setblocking(True) cancels every time-out."""

from firmware.mqtt import KEEPALIVE_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONNACK = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"


class WouldHang(Exception):
    """On the chip this read or write would never return."""


class FakeStream:
    """Scripted answers to whole packets. `silent` swallows, `closed` ends the stream."""

    def __init__(self, link: "Any") -> None:
        self.link = link
        self.inbound = b""
        self.closed = False  # by the gateway
        self.shut = False  # by the meter
        self.packets: list[bytes] = []  # one entry for each write
        self.blocking = False
        self.timeout_s: float | None = None

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking
        self.timeout_s = None  # the ESP32 port's rule (ports/esp32/modsocket.c)

    def settimeout(self, timeout_s: "float | None") -> None:
        self.timeout_s = timeout_s

    def write(self, data: bytes) -> int:
        assert not self.shut
        if self.link.write_piece_max:
            data = data[: self.link.write_piece_max]
        data = bytes(data)
        self.packets.append(data)
        self.link.answer(self, data)
        return len(data)

    def read(self, length: int) -> "Any":
        assert not self.shut
        if not self.inbound:
            if self.closed:
                return b""
            if self.blocking and self.timeout_s is None:
                raise WouldHang()
            return None
        length = min(length, self.link.read_piece_max)
        piece, self.inbound = self.inbound[:length], self.inbound[length:]
        return piece

    def close(self) -> None:
        self.shut = True


class FakeLink:
    """firmware.board.Link whose waiting takes the fake clock's time."""

    def __init__(self, clock: "Any") -> None:
        self.clock = clock
        self.streams: list[FakeStream] = []
        self.reachable = True
        self.writable = True
        self.connack = CONNACK
        self.suback = None  # None: a right one
        self.puback = None  # None: a right one; bytes: that instead
        self.close_after_puback = False
        self.pong = PINGRESP
        self.write_piece_max = 0
        self.read_piece_max = 4096

    def open(self, host: str, port: int, timeout_ms: int) -> "FakeStream":
        assert timeout_ms > 0
        if not self.reachable:
            self.clock.pass_ms(timeout_ms)
            raise OSError(110)
        stream = FakeStream(self)
        self.streams.append(stream)
        return stream

    def wait(self, stream: "Any", for_write: bool, timeout_ms: int) -> bool:
        if (self.writable and for_write) or (not for_write and (stream.inbound or stream.closed)):
            return True
        assert timeout_ms <= KEEPALIVE_S * 1000, "an unbounded wait"
        self.clock.pass_ms(timeout_ms)
        return False

    def rssi_dbm(self) -> int:
        return -61

    def answer(self, stream: "Any", packet: bytes) -> None:
        """What the gateway says to a packet."""
        kind = packet[0] & 0xF0
        if kind == 0x10:
            stream.inbound += self.connack
        elif kind == 0x80:
            stream.inbound += self.suback or b"\x90\x03" + packet[2:4] + b"\x00"
        elif kind == 0xC0:
            stream.inbound += self.pong
        elif kind == 0x30:
            stream.inbound += b"\x40\x02" + pid_of(packet) if self.puback is None else self.puback
            stream.closed = stream.closed or self.close_after_puback


def pid_of(packet: bytes) -> bytes:
    """The two bytes of a QoS 1 publish's packet id."""
    at = 1
    while packet[at] & 0x80:
        at += 1
    at += 1
    topic_length = packet[at] << 8 | packet[at + 1]
    return packet[at + 2 + topic_length : at + 4 + topic_length]


def publish(topic: str, data: bytes, qos: int = 0, packet_id: int = 1) -> bytes:
    """A publish from the gateway, short or long."""
    body = bytes((0, len(topic))) + topic.encode()
    if qos:
        body += bytes((packet_id >> 8, packet_id & 0xFF))
    body += data
    head = bytes((0x30 | qos << 1,))
    length = len(body)
    while length > 0x7F:
        head += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return head + bytes((length,)) + body
