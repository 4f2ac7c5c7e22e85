"""The load of the gateway's benchmark: prepares packets, pushes them, counts PUBACKs; one process.

`meters` plays many meters against an endpoint, `broker` a broker that pushes as many messages to
one subscriber and prints its port. Both wait for a line on standard input before they push, and
print one JSON object: seconds from the first push to the last PUBACK, and how long frames waited.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import re
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterable
from functools import lru_cache

from gateway.mqtt import packets
from gateway.process import raise_file_limit
from wire import frame, messages, topics
from wire.keys import UP, EpochKey

START_S = 1_634_256_000
INTERVALS = 24  # six hours in one frame, and in one JSON message
BROKER_WINDOW = 2000
JOIN_TIMEOUT_S = 120.0
READ_BYTES = 65_536

_PUBACKS = re.compile(rb"(?:\x40\x02..)+", re.DOTALL).match


def meter_key(number: int) -> tuple[bytes, bytes, str]:
    """Id, key and password of a meter of the load."""
    seed = hashlib.sha256(b"bench meter %d" % number).digest()
    return seed[:8], hashlib.sha256(seed).digest(), seed.hex()[:32]


def a_profile(index: int, intervals: int = INTERVALS) -> messages.Profile:
    """What a household used in six hours, or in fewer intervals."""
    first = 1 + intervals * index
    used = tuple(90 + (7 * number + index) % 400 for number in range(intervals))
    given = tuple((number + index) % 3 for number in range(intervals))
    registers = (12_345_678 + 5000 * index, 2_345_678 + 20 * index)
    return messages.Profile(
        first, first, START_S + 900 * first, 900, (1, 2), registers, (used, given), (0,) * intervals
    )


@lru_cache(maxsize=100_000)
def _message(index: int, intervals: int) -> bytes:
    return messages.encode(a_profile(index, intervals))


def sealed(number: int, frames: int, intervals: int, *, wrong: bool = False) -> Iterable[bytes]:
    """The PUBLISH packets of one meter, with its frames, or with frames under a wrong key."""
    meter_id, key, _ = meter_key(number)
    key = bytes(32) if wrong else key
    up, epoch_key = topics.up(meter_id), EpochKey(0, key)
    for index in range(frames):
        made = frame.seal(epoch_key, UP, index, up, _message(index, intervals))
        yield packets.publish(up, made, index % 60_000 + 1)


def one_as_json(meter_id: bytes, profile: messages.Profile, index: int) -> bytes:
    """One interval as a home-made meter sends it when the interval ends."""
    used, given = profile.deltas_wh[0][index], profile.deltas_wh[1][index]
    start_s = profile.start_s + index * profile.capture_period_s
    readings = {"1.8.0": used, "2.8.0": given}
    return json.dumps({"meter": meter_id.hex(), "start": start_s, "readings": readings}).encode()


def all_as_json(meter_id: bytes, profile: messages.Profile) -> bytes:
    """The same readings as one frame holds, in one JSON message."""
    readings = {"1.8.0": profile.deltas_wh[0], "2.8.0": profile.deltas_wh[1]}
    start = {"1.8.0": profile.registers_wh[0], "2.8.0": profile.registers_wh[1]}
    fields = {"meter": meter_id.hex(), "start": profile.start_s, "period": 900}
    return json.dumps(fields | {"registers": start, "readings": readings}).encode()


class MeterLine:
    """One meter: connects, subscribes, keeps `window` frames in flight, times each half of them.

    Bare sockets under one epoll, not asyncio: what the load spends, the gateway cannot have.
    """

    def __init__(self, number: int, pushed: list[bytes], window: int) -> None:
        self._id, _, self._password = meter_key(number)
        self._chunk, self._frames, self._acked, self._sent = max(1, window // 2), len(pushed), 0, 0
        self._chunks = [
            b"".join(pushed[at : at + self._chunk]) for at in range(0, len(pushed), self._chunk)
        ]
        self._at_once = 2 if window > 1 else 1
        self._rest, self._out, self._flights = b"", b"", deque[float]()
        self.waits_s: list[float] = []

    def join(self, port: int, context: ssl.SSLContext | None, *, deaf: bool) -> int:
        """Connect and subscribe (a deaf meter does not: no receipts); the socket's number."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=JOIN_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._socket = context.wrap_socket(self._socket)
        name = self._id.hex()
        packet = packets.Connect(name, name, self._password.encode(), 600, True, None)
        down = ((topics.down(self._id), 1),)
        hello, welcome = packets.connect(packet), packets.connack(packets.ACCEPTED)
        if not deaf:
            hello += packets.subscribe(packets.Subscribe(1, down))
            welcome += packets.suback(1, [0])
        self._socket.sendall(hello)
        answer = b""
        while len(answer) < len(welcome):
            data = self._socket.recv(len(welcome) - len(answer))
            assert data, "the gateway closed a connection"
            answer += data
        assert answer == welcome, "not let in"
        self._socket.setblocking(False)
        return self._socket.fileno()

    def push(self) -> None:
        """Begin."""
        for _ in range(self._at_once):
            self._push_chunk()
        self.write()

    def write(self) -> None:
        """Send what waits, as far as the socket takes it."""
        while self._out:
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return

    def read(self) -> bool:
        """Take what came; True when everything is acknowledged."""
        try:
            while True:
                data = self._socket.recv(READ_BYTES)
                assert data, "the gateway closed a connection"
                self._count(data)
                if len(data) < READ_BYTES and not isinstance(self._socket, ssl.SSLSocket):
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            pass  # that was all
        self._go_on()
        self.write()
        return self._acked == self._frames

    def _count(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 4:
            acks = _PUBACKS(data, at)
            if acks is not None:
                self._acked += (acks.end() - at) // 4
                at = acks.end()
                continue
            size = data[at + 1] & 0x7F | (data[at + 2] << 7 if data[at + 1] & 0x80 else 0)
            stop = at + 2 + (data[at + 1] >> 7) + size
            if stop > len(data):
                break
            at = stop  # a receipt
        self._rest = data[at:]

    def _push_chunk(self) -> None:
        if self._sent < len(self._chunks):
            self._out += self._chunks[self._sent]
            self._flights.append(time.perf_counter())
            self._sent += 1

    def _go_on(self) -> None:
        while self._flights:
            landed = self._sent - len(self._flights) + 1
            if self._acked < min(landed * self._chunk, self._frames):
                return
            self.waits_s.append(time.perf_counter() - self._flights.popleft())
            self._push_chunk()


def play_meters(numbers: range, how: argparse.Namespace) -> None:
    """Many meters against the endpoint."""
    raise_file_limit()
    context = ssl.create_default_context(cafile=how.ca) if how.ca else None
    if context is not None:
        context.check_hostname = False
    each, intervals = how.frames // len(numbers), 1 if how.single else INTERVALS
    pushed = {n: list(sealed(n, each, intervals, wrong=how.wrong_key)) for n in numbers}
    lines = [MeterLine(number, pushed[number], how.window) for number in numbers]
    by_number = {line.join(how.port, context, deaf=how.deaf): line for line in lines}
    _wait_for_go()
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    started, waiting = time.perf_counter(), len(lines) if each else 0
    for line in lines:
        line.push()
    done: set[int] = set()
    while len(done) < waiting:
        for number, _ in poll.poll():
            if by_number[number].read():
                done.add(number)
    seconds = time.perf_counter() - started
    waits_s = sorted(wait for line in lines for wait in line.waits_s)
    p99_s = waits_s[len(waits_s) * 99 // 100] if waits_s else 0.0
    print(json.dumps({"seconds": seconds, "p99_ms": 1000 * p99_s}), flush=True)


def _json_packets(meters: int, frames: int, *, single: bool) -> list[bytes]:
    ids = [meter_key(number)[0] for number in range(meters)]
    pushed: list[bytes] = []
    for index in range(frames):
        meter_id, profile = ids[index % meters], a_profile(index // meters)
        bodies = [all_as_json(meter_id, profile)]
        if single:
            bodies = [one_as_json(meter_id, profile, number) for number in range(INTERVALS)]
        for body in bodies:
            packet_id = len(pushed) % 60_000 + 1
            pushed.append(packets.publish(topics.up(meter_id), body, packet_id))
    return pushed


def _sealed_packets(meters: int, frames: int, *, single: bool) -> list[bytes]:
    """The same frames as `meters` pushes, in turn; their packet ids are of one connection."""
    intervals = 1 if single else INTERVALS
    by_meter = [list(sealed(number, frames // meters, intervals)) for number in range(meters)]
    return [packet for turn in zip(*by_meter, strict=True) for packet in turn]


async def play_broker(pushed: list[bytes]) -> None:
    """A broker with one subscriber, who gets these packets at QoS 1."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _packet(reader)  # CONNECT
        writer.write(packets.connack(packets.ACCEPTED))
        subscribe = await _packet(reader)
        writer.write(packets.suback(int.from_bytes(subscribe[:2], "big"), [1]))
        await asyncio.to_thread(_wait_for_go)
        started, acked, sent = time.perf_counter(), 0, 0
        with contextlib.suppress(asyncio.IncompleteReadError):
            while acked < len(pushed):
                while sent < len(pushed) and sent - acked < BROKER_WINDOW:
                    writer.write(pushed[sent])
                    sent += 1
                data = await reader.readexactly(4)
                acked += data[0] == 0x40
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await ended.wait()
    server.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    assert head[1] < 0x80
    return await reader.readexactly(head[1])


def _wait_for_go() -> None:
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()


def main() -> None:
    """Play one of the two parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["meters", "broker"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first meter")
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--window", type=int, default=32, help="in flight for each meter")
    parser.add_argument("--single", action="store_true", help="one interval a message")
    parser.add_argument("--sealed", action="store_true", help="the broker pushes our frames")
    parser.add_argument("--deaf", action="store_true", help="meters do not listen for receipts")
    parser.add_argument("--wrong-key", action="store_true", help="every frame has a bad seal")
    parser.add_argument("--ca", help="PEM: speak TLS")
    how = parser.parse_args()
    if how.part == "meters":
        numbers = range(how.first, how.first + how.meters)
        play_meters(numbers, how)
    else:
        make = _sealed_packets if how.sealed else _json_packets
        asyncio.run(play_broker(make(how.meters, how.frames, single=how.single)))


if __name__ == "__main__":
    main()
