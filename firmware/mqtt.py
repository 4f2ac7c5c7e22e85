"""umqtt.simple made robust: time-outs that hold, bounded input, one error for all that fails."""

# Works over umqtt.simple 1.3.4 and 1.8.0 alike. umqtt keeps MQTT's encoding; what it reads and
# writes goes through a door (mqtt_door.py). Its own TLS (`import ussl`, which is no more) is never
# asked: the board's link opens a stream that is sealed already.

import umqtt.simple

from firmware.mqtt_door import CONNACK, PUBACK, SUBACK, WHY_PROTOCOL, Door
from firmware.mqtt_door import INBOUND_BYTES_MAX as INBOUND_BYTES_MAX
from firmware.mqtt_door import LinkDown as LinkDown
from wire import topics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Each is the longest that one call keeps the meter. All leave room up to board.BLOCKING_MS_MAX for
# one step of a TLS handshake, inside which no deadline can be looked at.
CONNECT_TIMEOUT_MS = 8_000  # open, TLS, CONNECT and SUBSCRIBE together
PUBLISH_TIMEOUT_MS = 5_000
POLL_TIMEOUT_MS = 2_000  # for the rest of packets whose first byte is there, and a ping
PING_TIMEOUT_MS = 10_000  # not waited for: looked at by poll
KEEPALIVE_S = 60
PING_AFTER_MS = KEEPALIVE_S * 500
INBOX_MAX = 8
PACKET_ID_MAX = 65_535  # MQTT 3.1.1 section 2.3.1; 0 is not allowed

WHY_REFUSED = "refused"
WHY_PING = "no answer to ping"
WHY_MEMORY = "out of memory"
_CONNACK_WHY = {4: "wrong password", 5: "not authorised"}  # MQTT 3.1.1 table 3.1


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
        """Connect, with a last will, and subscribe to the down topic; all under one deadline."""
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
        self._within(CONNECT_TIMEOUT_MS, self._greet)
        self._heard_now()

    def publish(self, topic: str, frame: bytes) -> None:
        """Publish at QoS 1; returns once the gateway has acknowledged it."""
        assert self._client is not None
        self._within(PUBLISH_TIMEOUT_MS, self._publish, topic.encode(), frame)

    def poll(self) -> "list[tuple[str, bytes]]":
        """Frames that came, as (topic, frame), without waiting; keeps the link alive.

        At most INBOX_MAX at a time; what else came stays in the socket until the next poll.
        """
        assert self._client is not None
        self._within(POLL_TIMEOUT_MS, self._look)
        inbox, self._inbox = self._inbox, []
        return inbox

    def close(self) -> None:
        """Drop the link. The gateway then publishes the last will."""
        self._client = None
        self._inbox = []
        self._door.close()

    # -------------------------------------------------------------- under a deadline

    def _greet(self) -> None:
        self._door.expect(CONNACK, 0)
        self._client.connect()
        self._expect(SUBACK)
        self._client.subscribe(self._down_topic, 1)

    def _publish(self, topic: bytes, frame: bytes) -> None:
        self._expect(PUBACK)
        self._client.publish(topic, frame, False, 1)

    def _look(self) -> None:
        """Take the packets that are there, while half of the time is left for one of them."""
        door = self._door
        before = -1
        while door.heard != before and len(self._inbox) < INBOX_MAX:
            if door.left_ms() <= POLL_TIMEOUT_MS // 2:
                break
            before = door.heard
            self._client.check_msg()
            door.flush()  # the PUBACK of a frame that came at QoS 1
        self._keep_alive()

    def _expect(self, answer: int) -> None:
        """Take the next packet id, 1 to PACKET_ID_MAX: umqtt adds 1 first, and never wraps."""
        self._client.pid = self._packet_id % PACKET_ID_MAX
        self._packet_id = self._client.pid + 1
        self._door.expect(answer, self._packet_id)

    def _keep_alive(self) -> None:
        """Ping after half the keep-alive in silence; without an answer the link is half open."""
        if self._door.heard != self._heard:
            self._heard_now()
            return
        silent_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._heard_ms)
        if silent_ms >= PING_AFTER_MS + PING_TIMEOUT_MS:
            raise LinkDown(WHY_PING)
        if silent_ms >= PING_AFTER_MS and not self._pinged:
            self._pinged = True
            self._client.ping()
            self._door.flush()

    def _heard_now(self) -> None:
        self._heard = self._door.heard
        self._heard_ms = self._clock.ticks_ms()
        self._pinged = False

    def _take(self, topic: bytes, frame: bytes) -> None:
        """umqtt's callback. Kept short: it runs inside a publish that waits for its PUBACK."""
        if len(self._inbox) >= INBOX_MAX:
            self.dropped += 1
            return
        self._inbox.append((topic.decode(), bytes(frame)))

    def _within(self, bound_ms: int, operation: "Any", *arguments: "Any") -> None:
        """Run an operation under a deadline; every way in which it fails becomes LinkDown."""
        self._door.begin(bound_ms)
        try:
            operation(*arguments)
            return
        except LinkDown as down:
            why = down.why
        except umqtt.simple.MQTTException as refusal:
            code = refusal.args[0] if refusal.args else -1
            why = _CONNACK_WHY.get(code, WHY_REFUSED + " " + str(code))
        except MemoryError:
            why = WHY_MEMORY
        except (AssertionError, IndexError, TypeError, ValueError, OSError):
            why = WHY_PROTOCOL
        self.close()
        raise LinkDown(why)
