"""Improv via serial, the packets: how a browser or a tool hands a Wi-Fi name and password over."""

# https://www.improv-wifi.com/serial: IMPROV, version 1, type, length, data, checksum; then a line
# feed, which clients look for. The checksum is the low byte of the sum of all before it.

TYPE_STATE = 1
TYPE_ERROR = 2
TYPE_REQUEST = 3  # RPC: the only one that comes from a client
TYPE_RESULT = 4

READY = 2
PROVISIONING = 3
PROVISIONED = 4

NO_ERROR = 0
INVALID_PACKET = 1
UNKNOWN_COMMAND = 2
UNABLE_TO_CONNECT = 3
UNKNOWN_ERROR = 0xFF

SEND_WIFI = 1
GET_STATE = 2
GET_INFO = 3
GET_NETWORKS = 4

DATA_BYTES_MAX = 255
NAME_BYTES_MAX = 32  # IEEE 802.11
PASSWORD_BYTES_MAX = 64  # 8 to 63 characters, or 64 hexadecimal digits; 0 for an open network

_HEAD = b"IMPROV\x01"
_DATA_AT = 9


class Parser:
    """Finds packets in whatever comes over a serial port, byte by byte; keeps one at most."""

    def __init__(self) -> None:
        self._got = bytearray()

    def inside(self) -> bool:
        """Whether the last byte belongs to a packet that may still become whole."""
        return bool(self._got)

    def forget(self) -> None:
        """What has begun will not go on."""
        self._got = bytearray()

    def feed(self, byte: int) -> "bytes | None":
        """The data of the request that this byte makes whole; else None. Raises ValueError.

        b"" for a packet that is not a client's, such as the echo of our own. Of bytes that are no
        packet nothing is kept, and a head among them is found: no end of one begins another.
        """
        got = self._got
        got.append(byte)
        length = len(got)
        if length <= len(_HEAD) and byte != _HEAD[length - 1]:
            self._got = bytearray(_HEAD[:1] if byte == _HEAD[0] else b"")
        if length <= _DATA_AT or length <= _DATA_AT + got[8]:
            return None
        self.forget()
        if sum(got[:-1]) & 0xFF != byte:
            raise ValueError
        if got[7] != TYPE_REQUEST:
            return b""
        data = bytes(got[_DATA_AT:-1])
        if len(data) < 2 or data[1] != len(data) - 2:
            raise ValueError
        return data


def packet(kind: int, data: bytes) -> bytes:
    """A packet between two line feeds: what else is on its line makes clients overlook it."""
    found = _HEAD + bytes((kind, len(data))) + data
    return b"\n" + found + bytes((sum(found) & 0xFF, 10))


def result(command: int, texts: "tuple[str | bytes, ...]") -> bytes:
    """The packet that answers a command with texts, which must fit DATA_BYTES_MAX together."""
    listed = b""
    for text in texts:
        given = text if isinstance(text, bytes) else text.encode()
        listed += bytes((len(given),)) + given
    return packet(TYPE_RESULT, bytes((command, len(listed))) + listed)


def wifi_of(data: bytes) -> "tuple[str, ...]":
    """The name, and the password if there is one, of SEND_WIFI's data. Raises ValueError."""
    parts = []
    while data:
        end = 1 + data[0]
        if len(data) < end:
            raise ValueError
        parts.append(data[1:end])
        data = data[end:]
    name, password = parts
    if not 0 < len(name) <= NAME_BYTES_MAX or len(password) > PASSWORD_BYTES_MAX:
        raise ValueError
    names = str(name, "utf-8"), str(password, "utf-8")
    return names if password else names[:1]
