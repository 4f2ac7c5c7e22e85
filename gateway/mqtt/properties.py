"""Reads MQTT 5 fields and properties within bounds (OASIS MQTT 5.0, sections 1.5 and 2.2.2)."""

from __future__ import annotations

from gateway.mqtt.mqtt import MALFORMED, MqttError

RECEIVE_MAXIMUM_MAX = 65_535  # also what holds when nobody says (3.1.2.11.3)
PROPERTIES_MAX = 64  # in one packet; user properties may repeat

Properties = dict[int, int | bytes]

# How each property is written (table 2-4): bytes of a number, or one of the kinds below.
_VARYING, _BINARY, _PAIR = 0, -1, -2
_KINDS = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), 1),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
    **dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _BINARY),
    0x0B: _VARYING,
    0x26: _PAIR,
}
_REPEATED = (0x0B, 0x26)  # subscription identifier, user property
_NEVER_ZERO = (0x21, 0x27, 0x0B)  # receive maximum, maximum packet size: zero is an error


def property_number(said: Properties, name: int, otherwise: int) -> int:
    """A property that is a number, or what holds when it was not said."""
    value = said.get(name, otherwise)
    assert isinstance(value, int)
    return value


class Fields:
    """Takes one field after another from a packet's body; never past its end."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body, self.at, self._end = body, at, len(body)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, self.at = self.at, self.at + count
        if self.at > self._end:
            raise MqttError(MALFORMED)
        return self._body[start : self.at]

    def byte(self) -> int:
        """A number of one byte."""
        return self.take(1)[0]

    def packet_id(self) -> int:
        """Two bytes, not zero."""
        number = int.from_bytes(self.take(2), "big")
        if not number:
            raise MqttError(MALFORMED)
        return number

    def binary(self) -> bytes:
        """Length-prefixed bytes."""
        return self.take(int.from_bytes(self.take(2), "big"))

    def varying(self) -> int:
        """A variable byte integer of at most four bytes (1.5.5)."""
        number = 0
        for index in range(4):
            byte = self.byte()
            number |= (byte & 0x7F) << (7 * index)
            if not byte & 0x80:
                return number
        raise MqttError(MALFORMED)

    def properties(self) -> Properties:
        """All properties; those of text or bytes as they came, repeated ones as the last."""
        length = self.varying()
        stop = self.at + length
        if stop > self._end:
            raise MqttError(MALFORMED)
        found: Properties = {}
        for _ in range(PROPERTIES_MAX):
            if self.at >= stop:
                break
            name = self.byte()
            if name in found and name not in _REPEATED:
                raise MqttError(MALFORMED)
            found[name] = self._value(name)
        if self.at != stop:
            raise MqttError(MALFORMED)
        return found

    def _value(self, name: int) -> int | bytes:
        kind = _KINDS.get(name)
        if kind is None:
            raise MqttError(MALFORMED)
        if kind == _BINARY:
            return self.binary()
        if kind == _PAIR:
            return self.binary() + self.binary()
        number = self.varying() if kind == _VARYING else int.from_bytes(self.take(kind), "big")
        if name in _NEVER_ZERO and not number:
            raise MqttError(MALFORMED)
        return number

    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < self._end

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._end - self.at)

    def done(self) -> None:
        """Raises MqttError when something is left."""
        if self.more():
            raise MqttError(MALFORMED)
