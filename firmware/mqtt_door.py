"""The door between umqtt and its socket: every read and write bounded in time, size and kind."""

# umqtt blocks for ever when a PUBACK is lost (on ESP32 setblocking(True) cancels the socket's
# time-out), writes one publish in five pieces, takes the body of a packet it does not know for the
# next packet, allocates what the peer announces, and checks by assert or not at all.

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INBOUND_BYTES_MAX = 1_100  # after the length: a frame of 1024 with its topic
OUTBOUND_BYTES_MAX = 1_200

WHY_CLOSED = "closed by the gateway"
WHY_TIMEOUT = "time-out"
WHY_OVERSIZED = "oversized packet"
WHY_PROTOCOL = "not MQTT as agreed"
WHY_UNREACHABLE = "gateway not reachable"

# "Not now" of a socket that does not block: EAGAIN, ETIMEDOUT and EINPROGRESS as MicroPython has
# them, EHOSTUNREACH and EINPROGRESS as the ESP32's C library lets them through.
BUSY_ERRORS = (11, 110, 115, 118, 119)

# MQTT 3.1.1 table 2.1: what may come beside PUBLISH, and section 3: the length each has.
CONNACK = 0x20
PUBACK = 0x40
SUBACK = 0x90
PINGRESP = 0xD0
LENGTHS = {CONNACK: 2, PUBACK: 2, SUBACK: 3, PINGRESP: 0}
PUBLISH_QOS_1 = 0x32
DUP = 0x08


class LinkDown(Exception):
    """The link to the gateway is gone; `why` says how. Connect again after a pause."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Door:
    """What umqtt believes is its socket, and the socket module.

    Every operation has one deadline, set by `begin`; reads and writes poll towards it whatever
    mode the socket is in. Writes are gathered until the next read, so a packet is one write.
    A packet is read whole, and shown to umqtt only when it may come now.

    A publish whose PUBACK is late is sent once more, with DUP and its packet id, after half of its
    time. MQTT asks for that only on a new connection of a kept session (3.1.1 section 4.4). Ours
    are clean: after a reconnect the uplink seals what has no receipt into a new frame. On the same
    connection the repeat does no harm, as the gateway knows its frame counter, and it saves a
    reconnect where a gateway lost one packet between its socket and its disk.
    """

    def __init__(self, link: "Any", clock: "Any") -> None:
        self._link = link
        self._clock = clock
        self._stream: Any = None
        self._out = bytearray()
        self._again = bytearray()  # the publish to send once more
        self._packet = b""  # the one that umqtt is reading, from _at on
        self._at = 0
        self._begun_ms = 0
        self._bound_ms = 0
        self._only_if_there = False
        self._answer = 0  # the packet type that may come now, and its packet id
        self._answer_id = b""
        self.heard = 0  # pieces read so far: when it grows, the gateway is alive

    # -------------------------------------------------------------- for MqttLink

    def begin(self, bound_ms: int) -> None:
        """Start an operation that ends, one way or the other, within bound_ms."""
        self._begun_ms = self._clock.ticks_ms()
        self._bound_ms = bound_ms
        self._only_if_there = False
        self._again = bytearray()
        self.expect(0, 0)

    def expect(self, answer: int, packet_id: int) -> None:
        """Say which packet type may answer what is written next; 0 for none."""
        self._answer = answer
        self._answer_id = packet_id.to_bytes(2, "big")

    def left_ms(self) -> int:
        """How much of the operation's time is left."""
        spent_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._begun_ms)
        return max(0, self._bound_ms - spent_ms)

    def flush(self) -> None:
        """Put out what umqtt has written since the last read, in one write where it fits."""
        out, self._out = self._out, bytearray()
        self._put(out)
        if out and out[0] == PUBLISH_QOS_1:
            out[0] |= DUP
            self._again = out

    # -------------------------------------------------------------- for umqtt: module and socket

    def socket(self) -> "Door":
        """The socket module's socket()."""
        self.close()
        return self

    def getaddrinfo(self, host: str, port: int) -> "list[tuple]":
        """Not resolved here: the link does that."""
        return [(0, 0, 0, "", (host, port))]

    def connect(self, address: "tuple[str, int]") -> None:
        """Open the stream."""
        try:
            self._stream = self._link.open(address[0], address[1], self.left_ms())
        except OSError:
            raise LinkDown(WHY_UNREACHABLE) from None

    def setblocking(self, blocking: bool) -> None:
        """check_msg asks for what is there; after its first byte the deadline holds again."""
        self._only_if_there = not blocking

    def settimeout(self, timeout: "float | None") -> None:
        """umqtt 1.8.0 sets one; the deadline of `begin` is what holds."""

    def write(self, data: "bytes | bytearray", length: "int | None" = None) -> int:
        """Gather for the next flush."""
        piece = memoryview(data)[: len(data) if length is None else length]
        if len(self._out) + len(piece) > OUTBOUND_BYTES_MAX:
            raise LinkDown(WHY_OVERSIZED)
        self._out.extend(piece)
        return len(piece)

    def read(self, length: int) -> "bytes | None":
        """Exactly length bytes of one packet; None when none is there and none need be.

        What reaches over its packet's end is no MQTT: a topic longer than its packet, say.
        """
        if length and self._at == len(self._packet):
            self.flush()
            if not self._fetch():
                return None
        end = self._at + length
        if not self._at <= end <= len(self._packet):
            raise LinkDown(WHY_PROTOCOL)
        piece = self._packet[self._at : end]
        self._at = end
        return piece

    def close(self) -> None:
        """Close the stream, if any, and forget what was not sent or not read."""
        stream, self._stream = self._stream, None
        self._out = bytearray()
        self._packet = b""
        self._at = 0
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass  # it was broken already, which is why we close it

    # -------------------------------------------------------------- packets

    def _fetch(self) -> bool:
        """Take in the next whole packet that umqtt is to see; False when none is there."""
        while True:
            head = self._exactly(1, self._only_if_there)
            if not head:
                return False
            length = shift = 0
            more = 0x80
            while more & 0x80:
                if shift > 21:  # MQTT 3.1.1 section 2.2.3: four bytes at most
                    raise LinkDown(WHY_PROTOCOL)
                more = self._exactly(1)[0]
                head += bytes((more,))
                length |= (more & 0x7F) << shift
                shift += 7
            if length > INBOUND_BYTES_MAX:
                raise LinkDown(WHY_OVERSIZED)
            body = self._exactly(length)
            if self._is_for_umqtt(head[0], body):
                self._packet = head + body
                self._at = 0
                return True

    def _is_for_umqtt(self, kind: int, body: bytes) -> bool:
        """Refuse what must not come now; let go by what tells nothing.

        That is a PINGRESP, and the PUBACK of another publish: the second one after a repeat.
        """
        if kind & 0xF4 == 0x30 and self._answer != CONNACK:  # PUBLISH at QoS 0 or 1
            return True
        if LENGTHS.get(kind) != len(body):
            raise LinkDown(WHY_PROTOCOL)
        if kind == PINGRESP or (kind == PUBACK and body != self._answer_id):
            return False
        bad = kind == SUBACK and (body[:2] != self._answer_id or body[2] & 0x7E)
        if bad or kind != self._answer:
            raise LinkDown(WHY_PROTOCOL)
        return True

    # -------------------------------------------------------------- bytes

    def _exactly(self, length: int, may_lack: bool = False) -> bytes:
        """That many bytes; with may_lack b"" when not one is there.

        Reads before it waits: bytes that a TLS layer holds already would be waited for in vain.
        """
        got = b""
        while len(got) < length:
            if not self.left_ms():
                raise LinkDown(WHY_TIMEOUT)
            piece = self._try(self._stream.read, length - len(got))
            if piece:
                got = got + piece if got else piece
                self.heard += 1
            elif piece is not None:
                raise LinkDown(WHY_CLOSED)
            elif may_lack:
                break
            else:
                self._wait(False)
        return got

    def _put(self, data: bytearray) -> None:
        view = memoryview(data)
        while len(view):
            taken = self._try(self._stream.write, view)
            if taken:
                view = view[taken:]
            else:
                self._wait(True)

    def _try(self, call: "Any", argument: "Any") -> "Any":
        """What a read or write gives; None while the socket is busy."""
        try:
            return call(argument)
        except OSError as error:
            if error.args and error.args[0] in BUSY_ERRORS:
                return None
            raise LinkDown(WHY_CLOSED) from None

    def _wait(self, for_write: bool) -> None:
        """Wait until the stream is ready, the repeat is due, or the time is over: LinkDown."""
        left_ms = self.left_ms()
        if self._again and not for_write:
            half_ms = left_ms - self._bound_ms // 2
            if half_ms > 0:
                self._link.wait(self._stream, False, half_ms)
                return
            again, self._again = self._again, bytearray()
            if self._link.wait(self._stream, True, 0):
                self._put(again)
        elif not left_ms or not self._link.wait(self._stream, for_write, left_ms):
            raise LinkDown(WHY_TIMEOUT)
