"""A broker that a test bends: it answers as told, says what it likes, and can fail at any byte."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Literal

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = (
    0x10, 0x30, 0x40, 0x82, 0xA2, 0xC0, 0xE0,
)  # fmt: skip


class FakeBroker:
    """Speaks to one client at a time; what it heard is in `heard`, as (first byte, body)."""

    def __init__(self, version: Literal["3.1.1", "5"] = "3.1.1") -> None:
        self.five = version == "5"
        self.port = 0
        self.heard: list[tuple[int, bytes]] = []
        self.connects = 0
        self.connack_code = 0
        self.connack_properties = b""
        self.session_present = False
        self.suback_code = 1
        self.puback_code: int | None = 0  # None: no PUBACK
        self.answers_pings = True
        self.says_connack = True
        self.greeting = b""  # sent right behind the CONNACK
        self.raw_answer: bytes | None = None  # instead of a CONNACK
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def drop(self) -> None:
        """Reset the connection."""
        if self._writer is not None:
            self._writer.transport.abort()

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    def deliver(
        self, topic: str, body: bytes, packet_id: int = 0, *, retained: bool = False
    ) -> None:
        self.send(self.publish(topic, body, packet_id, retained=retained))

    def publish(
        self, topic: str, body: bytes, packet_id: int = 0, *, retained: bool = False
    ) -> bytes:
        """A PUBLISH as bytes."""
        head = struct.pack(">H", len(topic)) + topic.encode()
        head += struct.pack(">H", packet_id) if packet_id else b""
        head += b"\0" if self.five else b""
        return packet(0x30 | (2 if packet_id else 0) | int(retained), head + body)

    def bodies(self, kind: int) -> list[bytes]:
        """Bodies of the packets heard of this kind."""
        return [body for first, body in self.heard if first & 0xF0 == kind & 0xF0]

    def pubacks(self) -> list[int]:
        return [int.from_bytes(body[:2], "big") for body in self.bodies(PUBACK)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connects += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, body = await _read(reader)
                self.heard.append((first, body))
                self._answer(first, body)

    def _answer(self, first: int, body: bytes) -> None:
        properties = b"\0" if self.five else b""
        if first == CONNECT:
            if self.raw_answer is not None:
                self.send(self.raw_answer)
            elif self.says_connack:
                said = bytes((len(self.connack_properties),)) + self.connack_properties
                head = bytes((int(self.session_present), self.connack_code))
                self.send(packet(0x20, head + (said if self.five else b"")) + self.greeting)
        elif first == SUBSCRIBE:
            codes = bytes((self.suback_code,)) * _count_filters(body, self.five)
            self.send(packet(0x90, body[:2] + properties + codes))
        elif first == UNSUBSCRIBE:
            self.send(packet(0xB0, body[:2] + properties))
        elif first & 0xF6 == 0x32 and self.puback_code is not None:
            at = 2 + int.from_bytes(body[:2], "big")
            tail = bytes((self.puback_code,)) if self.five and self.puback_code else b""
            self.send(packet(0x40, body[at : at + 2] + tail))
        elif first == PINGREQ and self.answers_pings:
            self.send(b"\xd0\x00")


@contextlib.asynccontextmanager
async def a_broker(version: Literal["3.1.1", "5"] = "3.1.1") -> AsyncIterator[FakeBroker]:
    broker = FakeBroker(version)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


def packet(first: int, body: bytes) -> bytes:
    """Any packet."""
    length, size = len(body), bytearray((first,))
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes(size) + body


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first, await reader.readexactly(length)


def _count_filters(body: bytes, five: bool) -> int:
    at, count = 3 if five else 2, 0
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        count += 1
    return count
