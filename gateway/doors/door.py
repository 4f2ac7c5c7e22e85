"""What stands before a session with TLS: the handshake, before any MQTT is read.

Every TCP connection is counted before its handshake, which costs more than all that follows.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from typing import TYPE_CHECKING

from gateway.doors.connection import Connection, address_of

if TYPE_CHECKING:
    from gateway.doors.endpoint import Endpoint

HANDSHAKE_TIMEOUT_S = 10.0
GOODBYE_TIMEOUT_S = 3.0  # for the other side's close_notify
EARLY_BYTES_MAX = 65_536  # what may come with the last of a handshake
TLS_READ_BYTES = 16_384 + 256 + 5  # one record, RFC 8446 section 5.2


class Door(asyncio.Protocol):
    """A TCP connection until TLS is agreed; then a Connection takes it over."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        self._endpoint, self._context = endpoint, context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        address = address_of(transport)
        if self._endpoint.arrive(address):
            transport.pause_reading()  # until the handshake reads
            self._endpoint.spawn(self._agree(transport, address))
        else:
            transport.abort()

    async def _agree(self, transport: asyncio.Transport, address: str) -> None:
        early, error = Early(), None
        sealed: asyncio.Transport | None = None
        try:
            sealed = await asyncio.get_running_loop().start_tls(
                transport, early, self._context, server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=GOODBYE_TIMEOUT_S,
            )  # fmt: skip
        except OSError as failed:  # SSLError, a lost line, the time-out
            error = failed
        finally:
            if sealed is None or early.lost:
                transport.abort()
                self._endpoint.depart(address)
        if sealed is None or early.lost:
            self._endpoint.no_handshake(address, error)
        else:
            early.hand_over(sealed, Connection(self._endpoint, arrived=True))


class Early(asyncio.Protocol):
    """Holds what a client sent together with the end of its handshake."""

    def __init__(self) -> None:
        self.lost = False
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        self.lost = self.lost or len(self._data) > EARLY_BYTES_MAX

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True

    def hand_over(self, transport: asyncio.Transport, connection: Connection) -> None:
        """From now on the connection hears the transport; first what is held."""
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._data and not transport.is_closing():
            feed(connection, bytes(self._data))


def slim_tls() -> None:
    """asyncio keeps a buffer of 256 KiB for each TLS connection; one record's is enough for us.

    Measured on CPython 3.11: 282 KiB a connection before. It counts for the whole process.
    """
    sslproto.SSLProtocol.max_size = TLS_READ_BYTES


def feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Give bytes to a protocol as a transport would, whichever kind it is."""
    if isinstance(protocol, asyncio.BufferedProtocol):
        while data:
            buffer = memoryview(protocol.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]
    else:
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(data)
