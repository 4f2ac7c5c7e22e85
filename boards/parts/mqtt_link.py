"""A TCP or TLS stream to the gateway, on ESP32 and on the unix port; see firmware.board.Link."""

import select
import socket

from firmware.config import ConfigError
from firmware.mqtt_door import LinkDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WHY_CA = "certificate: not from our CA"
WHY_NAME = "certificate: of another name"
WHY_DATE = "certificate: out of date, or our clock is"
WHY_CERTIFICATE = "certificate: refused"
WHY_HANDSHAKE = "TLS handshake failed"  # as with a gateway that speaks plain MQTT there

LOOKUP_AFTER = 4  # tries in a row that failed before the gateway's name is looked up again
IN_PROGRESS = (11, 115, 119)  # EAGAIN; EINPROGRESS as MicroPython and as the ESP32 has it
ENOMEM = 12
CA_BYTES_MAX = 2048  # one certificate in DER
# Words of mbedtls_x509_crt_verify_info; a chip that is built without them gives VERIFY_FAILED.
WORDS = (
    ("trusted CA", WHY_CA),
    ("(CN)", WHY_NAME),
    ("validity", WHY_DATE),
)
VERIFY_FAILED = -0x2700  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED


class SocketLink:
    """One stream at a time, which it is itself once `open` has returned. Nothing here blocks.

    Except one thing: looking up a name takes the port's own time, on ESP32 up to 7 s for each DNS
    server (lwIP: four tries, 1 + 1 + 2 + 3 s). So the address that was found is kept, and looked up
    again only after LOOKUP_AFTER failed tries; when that fails, it is kept still.

    With a CA the stream is TLS, and the gateway's certificate must be signed by that CA, be valid
    now and be of server_name (else of the host). The handshake goes on inside read and write, so
    that the caller's deadline holds for it. lift_clock is called before each handshake: a chip that
    lost its time must set its RTC to the newest time it knows to be past, or nothing is valid yet.
    """

    def __init__(
        self, ca: "bytes | None" = None, server_name: str = "", lift_clock: "Any" = None
    ) -> None:
        self._tls: Any = _context(ca) if ca else None
        self._server_name = server_name
        self._lift_clock = lift_clock
        self._socket: Any = None
        self._stream: Any = None  # the socket, or TLS over it
        self._poll: Any = None
        self._address: Any = None
        self._failures = 0  # tries since a gateway last said something
        self._shaking = False  # a TLS handshake is not yet known to be over

    def open(self, host: str, port: int, timeout_ms: int) -> "SocketLink":
        """Connect within timeout_ms, the look-up not counted. Raises OSError."""
        self.close()
        try:
            self._connect(self._find(host, port), timeout_ms)
            if self._tls:
                self._shaking = True
                if self._lift_clock:
                    self._lift_clock()
                self._watch(
                    self._tls.wrap_socket(
                        self._socket,
                        server_hostname=self._server_name or host,
                        do_handshake_on_connect=False,
                    )
                )
        except OSError as error:
            self.close()
            if error.args[0] == ENOMEM:
                raise MemoryError
            raise
        return self

    def wait(self, stream: "SocketLink", for_write: bool, timeout_ms: int) -> bool:
        """True as soon as the stream can be read (written), or has failed.

        A TLS stream answers for what it holds decrypted, and during the handshake waits for what
        that needs, whatever was asked.
        """
        self._poll.modify(self._stream, select.POLLOUT if for_write else select.POLLIN)
        return bool(self._poll.poll(timeout_ms))

    def read(self, length: int) -> "bytes | None":
        """At most length bytes that are there; None for nothing yet, b"" at the end."""
        piece = self._do(self._stream.read, length)
        if piece:
            self._failures = 0
        return piece

    def write(self, data: "bytes | memoryview") -> "int | None":
        """How many bytes were taken; None for none now."""
        taken = self._do(self._stream.write, data)
        if taken:
            self._shaking = False
        return taken

    def close(self) -> None:
        """Close the stream. TLS that has failed no longer knows its socket: that is closed too."""
        for closing in (self._stream, self._socket):
            if closing is not None:
                closing.close()
        self._stream = self._socket = None
        self._shaking = False

    def rssi_dbm(self) -> int:
        """No radio known here; a board that has one tells its strength."""
        return 0

    def _find(self, host: str, port: int) -> "Any":
        if self._address is None or self._failures >= LOOKUP_AFTER:
            self._failures = 0
            try:
                self._address = socket.getaddrinfo(host, port)[0][-1]
            except (OSError, IndexError):
                if self._address is None:
                    raise OSError(113)  # EHOSTUNREACH
        self._failures += 1
        return self._address

    def _connect(self, address: "Any", timeout_ms: int) -> None:
        self._socket = socket.socket()
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except OSError as error:
            if error.args[0] not in IN_PROGRESS:
                raise
        self._watch(self._socket)
        ready = self._poll.poll(timeout_ms)
        if not ready or ready[0][1] & (select.POLLERR | select.POLLHUP):
            raise OSError(110)  # ETIMEDOUT, or refused

    def _watch(self, stream: "Any") -> None:
        self._stream = stream
        self._poll = select.poll()
        self._poll.register(stream, select.POLLOUT)

    def _do(self, call: "Any", argument: "Any") -> "Any":
        """A read or write of the stream. What TLS refuses has its own reason."""
        try:
            return call(argument)
        except ValueError as error:  # what mbedtls has against the certificate, in words
            raise LinkDown(_why_refused(str(error)))
        except OSError as error:
            if error.args[0] == ENOMEM:
                raise MemoryError
            if error.args[0] == VERIFY_FAILED:
                raise LinkDown(WHY_CERTIFICATE)
            if self._shaking:
                raise LinkDown(WHY_HANDSHAKE)
            raise


def read_ca(config: "Any", path: str) -> "bytes | None":
    """The CA's certificate in the file at path, None without TLS. Raises ConfigError."""
    if not config.tls:
        return None
    try:
        with open(path, "rb") as file:
            ca = file.read(CA_BYTES_MAX + 1)
    except OSError:
        ca = b""
    if not 0 < len(ca) <= CA_BYTES_MAX:
        raise ConfigError("config has tls: copy the gateway's CA, in DER, to " + path)
    return ca


def _why_refused(text: str) -> str:
    for words, why in WORDS:
        if words in text:
            return why
    return WHY_CERTIFICATE


def _context(ca: bytes) -> "Any":
    """A TLS context that trusts this CA (in DER) and nothing else. Raises ConfigError."""
    import ssl  # here: a meter without TLS has its memory for other things

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED  # some versions of MicroPython begin with CERT_NONE
    try:
        context.load_verify_locations(cadata=ca)
    except (OSError, ValueError):
        raise ConfigError("the CA is no certificate in DER: copy the gateway's again")
    return context
