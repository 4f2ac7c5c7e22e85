"""umqtt.simple made robust: time-outs that hold, one write per packet, bounded input, one error."""

# Works over umqtt.simple 1.3.4 and 1.8.0 alike. Both block for ever when a PUBACK is lost (on ESP32
# setblocking(True) cancels the socket's time-out), count packet ids past 65535, write one publish
# in five pieces, allocate what the peer announces and report protocol faults as AssertionError,
# IndexError or TypeError. umqtt keeps the encoding; what it reads and writes goes through a door.

import umqtt.simple

from wire import topics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONNECT_TIMEOUT_MS = 5_000
PUBLISH_TIMEOUT_MS = 5_000  # the longest that one publish may keep the meter from measuring
POLL_TIMEOUT_MS = 2_000  # for the rest of a packet whose first byte is there
PING_TIMEOUT_MS = 10_000
KEEPALIVE_S = 60
PING_AFTER_MS = KEEPALIVE_S * 500
INBOUND_BYTES_MAX = 1_100  # a frame of 1024 with its topic
OUTBOUND_BYTES_MAX = 1_200
INBOX_MAX = 8
PACKET_ID_MAX = 65_535  # MQTT 3.1.1 section 2.3.1; 0 is not allowed

WHY_CLOSED = "closed by the gateway"
WHY_TIMEOUT = "time-out"
WHY_OVERSIZED = "oversized packet"
WHY_PROTOCOL = "not MQTT as agreed"
WHY_REFUSED = "refused"
WHY_UNREACHABLE = "gateway not reachable"
WHY_PING = "no answer to ping"
_CONNACK_WHY = {4: "wrong password", 5: "not authorised"}


class LinkDown(Exception):
    """The link to the gateway is gone; `why` says how. Connect again after a pause."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Door:
    """What umqtt believes is its socket, and the socket module: bounded in time and size.

    Every operation has one deadline, set by `begin`; reads and writes poll towards it whatever
    mode the socket is in. Writes are gathered until the next read, so a packet is one write.
    """

    def __init__(self, link: "Any", clock: "Any") -> None:
        self._link = link
        self._clock = clock
        self._stream: Any = None
        self._out = bytearray()
        self._begun_ms = 0
        self._bound_ms = 0
        self._only_if_there = False
        self.heard = 0  # pieces read so far: when it grows, the gateway is alive

    # -------------------------------------------------------------- for MqttLink

    def begin(self, bound_ms: int) -> None:
        """Start an operation that ends, one way or the other, within bound_ms."""
        self._begun_ms = self._clock.ticks_ms()
        self._bound_ms = bound_ms
        self._only_if_there = False

    def flush(self) -> None:
        """Put out what umqtt has written since the last read, in one write where it fits."""
        view = memoryview(self._out)
        while len(view):
            self._wait(True)
            taken = self._stream.write(view)
            view = view[taken or 0 :]
        self._out = bytearray()

    # -------------------------------------------------------------- for umqtt: module and socket

    def socket(self) -> "Door":
        """The socket module's socket()."""
        self.close()
        return self

    def getaddrinfo(self, host: str, port: int) -> "list[tuple]":
        """Not resolved here: the link does that, within its time-out."""
        return [(0, 0, 0, "", (host, port))]

    def connect(self, address: "tuple[str, int]") -> None:
        """Open the stream."""
        try:
            self._stream = self._link.open(address[0], address[1], self._left_ms())
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
        """Exactly length bytes; None when there is nothing and nothing need be; LinkDown."""
        self.flush()
        if length > INBOUND_BYTES_MAX:
            raise LinkDown(WHY_OVERSIZED)
        if length < 0:
            raise LinkDown(WHY_PROTOCOL)
        if self._only_if_there and not self._link.wait(self._stream, False, 0):
            return None
        got = b""
        while len(got) < length:
            self._wait(False)
            piece = self._stream.read(length - len(got))
            if piece is None:
                continue
            if not piece:
                raise LinkDown(WHY_CLOSED)
            got += piece
            self.heard += 1
        return got

    def close(self) -> None:
        """Close the stream, if any, and forget what was not sent."""
        stream, self._stream = self._stream, None
        self._out = bytearray()
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass  # it was broken already, which is why we close it

    def _left_ms(self) -> int:
        spent_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._begun_ms)
        return max(0, self._bound_ms - spent_ms)

    def _wait(self, for_write: bool) -> None:
        if self._stream is None:
            raise LinkDown(WHY_CLOSED)
        left_ms = self._left_ms()
        if not left_ms or not self._link.wait(self._stream, for_write, left_ms):
            raise LinkDown(WHY_TIMEOUT)


class MqttLink:
    """One MQTT session. Every method returns within its time-out or raises LinkDown."""

    def __init__(self, board: "Any") -> None:
        self._config = board.config
        self._clock = board.clock
        self._door = Door(board.link, board.clock)
        meter_id = board.config.meter_id
        self._meter_id = topics.to_hex(meter_id).encode()  # client id and user name
        self._down_topic = topics.down(meter_id).encode()
        self._gone_topic = topics.gone(meter_id).encode()
        self._client: Any = None
        self._packet_id = 0
        self._heard = 0  # the door's count when it last grew, and when that was
        self._heard_ms = 0
        self._pinged = False
        self._inbox: list[tuple[str, bytes]] = []
        self.dropped = 0  # frames that came while the inbox was full

    def connect(self) -> None:
        """Connect, with a last will, and subscribe to the down topic."""
        self.close()
        config = self._config
        client = umqtt.simple.MQTTClient(
            self._meter_id,
            config.gateway_host,
            config.gateway_port,
            self._meter_id,
            config.password.encode(),
            KEEPALIVE_S,
        )
        client.set_callback(self._take)
        client.set_last_will(self._gone_topic, b"", False, 1)
        umqtt.simple.socket = self._door
        self._client = client
        self._within(CONNECT_TIMEOUT_MS, client.connect)
        self._next_packet_id()
        self._within(CONNECT_TIMEOUT_MS, client.subscribe, self._down_topic, 1)
        self._packet_id = client.pid
        self._heard_now()

    def publish(self, topic: str, frame: bytes) -> None:
        """Publish at QoS 1; returns once the gateway has acknowledged it."""
        assert self._client is not None
        self._next_packet_id()
        self._within(PUBLISH_TIMEOUT_MS, self._client.publish, topic.encode(), frame, False, 1)
        self._packet_id = self._client.pid

    def poll(self) -> "list[tuple[str, bytes]]":
        """Frames that came, as (topic, frame), without waiting; keeps the link alive."""
        assert self._client is not None
        for _ in range(INBOX_MAX):
            if not self._within(POLL_TIMEOUT_MS, self._check):
                break
        self._keep_alive()
        inbox, self._inbox = self._inbox, []
        return inbox

    def close(self) -> None:
        """Drop the link. The gateway then publishes the last will."""
        self._client = None
        self._inbox = []
        self._door.close()

    def _next_packet_id(self) -> None:
        """umqtt adds 1 before it uses pid, and never wraps: it reaches 65535, and then 1 again."""
        self._client.pid = 0 if self._packet_id >= PACKET_ID_MAX else self._packet_id

    def _check(self) -> bool:
        """Take one packet if one is there; True when something came."""
        before = self._door.heard
        kind = self._client.check_msg()
        self._door.flush()  # the PUBACK of a frame that came at QoS 1
        if kind is not None and kind & 0xF0 != 0x30:
            raise LinkDown(WHY_PROTOCOL)  # nothing was asked that this could answer
        return self._door.heard != before

    def _keep_alive(self) -> None:
        """Ping after half the keep-alive in silence; without an answer the link is half open."""
        if self._door.heard != self._heard:
            self._heard_now()
            return
        silent_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._heard_ms)
        if silent_ms >= PING_AFTER_MS + PING_TIMEOUT_MS:
            self.close()
            raise LinkDown(WHY_PING)
        if silent_ms >= PING_AFTER_MS and not self._pinged:
            self._pinged = True
            self._within(POLL_TIMEOUT_MS, self._ping)

    def _heard_now(self) -> None:
        self._heard = self._door.heard
        self._heard_ms = self._clock.ticks_ms()
        self._pinged = False

    def _ping(self) -> None:
        self._client.ping()
        self._door.flush()

    def _take(self, topic: bytes, frame: bytes) -> None:
        """umqtt's callback. Kept short: it runs inside a publish that waits for its PUBACK."""
        if len(self._inbox) >= INBOX_MAX:
            self.dropped += 1
            return
        try:
            self._inbox.append((topic.decode(), bytes(frame)))
        except (UnicodeError, ValueError):
            raise LinkDown(WHY_PROTOCOL) from None

    def _within(self, bound_ms: int, operation: "Any", *arguments: "Any") -> "Any":
        """Run a umqtt call under a deadline; every way in which it fails becomes LinkDown."""
        self._door.begin(bound_ms)
        try:
            return operation(*arguments)
        except LinkDown:
            self.close()
            raise
        except umqtt.simple.MQTTException as refusal:
            self.close()
            code = refusal.args[0] if refusal.args else -1
            raise LinkDown(_CONNACK_WHY.get(code, WHY_REFUSED + " " + str(code))) from None
        except OSError:
            self.close()
            raise LinkDown(WHY_CLOSED) from None
        except (AssertionError, IndexError, TypeError, ValueError):
            self.close()
            raise LinkDown(WHY_PROTOCOL) from None
