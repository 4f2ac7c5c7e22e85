"""The load of the gateway's benchmark: prepares packets, pushes them, counts PUBACKs; one process.

`meters PORT` plays many meters against an endpoint. `broker` plays a broker that pushes the same
number of messages to one subscriber, and prints its port. Both wait for a line on standard input
before they push, and print one JSON object with the seconds from the first push to the last PUBACK.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time

from gateway import packets
from wire import frame, messages, topics
from wire.keys import UP, EpochKey

START_S = 1_634_256_000
INTERVALS = 24  # six hours in one frame, and in one JSON message
CHUNK_FRAMES = 16
BROKER_WINDOW = 2000


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


class MeterLine(asyncio.Protocol):
    """One meter: connects, subscribes, keeps two chunks in flight."""

    def __init__(
        self, number: int, frames: int, intervals: int, joined: asyncio.Queue[MeterLine]
    ) -> None:
        meter_id, key, self._password = meter_key(number)
        self._id, self._frames, self._joined = meter_id, frames, joined
        self._rest, self._acked, self._sent = b"", 0, 0
        self._chunks = _sealed_chunks(meter_id, EpochKey(0, key), frames, intervals)
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, name = transport, self._id.hex()
        packet = packets.Connect(name, name, self._password.encode(), 60, True, None)
        down = ((topics.down(self._id), 1),)
        transport.write(packets.connect(packet) + packets.subscribe(packets.Subscribe(1, down)))

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 4:
            if data[at] == 0x40:
                self._acked += 1
                at += 4
                continue
            size = data[at + 1] & 0x7F | (data[at + 2] << 7 if data[at + 1] & 0x80 else 0)
            stop = at + 2 + (data[at + 1] >> 7) + size
            if stop > len(data):
                break
            if data[at] == 0x90:
                self._joined.put_nowait(self)
            assert data[at] != 0x20 or data[at + 3] == 0, "not let in"
            at = stop
        self._rest = data[at:]
        self._fill()
        if self._acked == self._frames and not self.done.done():
            self.done.set_result(None)

    def push(self) -> None:
        self._transport.write(b"".join(self._chunks[:2]))
        self._sent = 2

    def _fill(self) -> None:
        while self._sent and self._sent < len(self._chunks):
            if self._sent * CHUNK_FRAMES - self._acked > CHUNK_FRAMES:
                return
            self._transport.write(self._chunks[self._sent])
            self._sent += 1


def _sealed_chunks(meter_id: bytes, key: EpochKey, frames: int, intervals: int) -> list[bytes]:
    up = topics.up(meter_id)
    sealed = []
    for index in range(frames):
        made = frame.seal(key, UP, index, up, messages.encode(a_profile(index, intervals)))
        sealed.append(packets.publish(up, made, index % 60_000 + 1))
    return [b"".join(sealed[at : at + CHUNK_FRAMES]) for at in range(0, frames, CHUNK_FRAMES)]


async def play_meters(port: int, meters: int, frames: int, *, single: bool) -> None:
    """Many meters against the endpoint."""
    joined: asyncio.Queue[MeterLine] = asyncio.Queue()
    loop, lines = asyncio.get_running_loop(), []
    for number in range(meters):
        line = MeterLine(number, frames // meters, 1 if single else INTERVALS, joined)
        await loop.create_connection(lambda line=line: line, "127.0.0.1", port)  # type: ignore[misc]
        lines.append(line)
    for _ in range(meters):
        await asyncio.wait_for(joined.get(), 10)
    await _wait_for_go()
    started = time.perf_counter()
    for line in lines:
        line.push()
    await asyncio.gather(*(line.done for line in lines))
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


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


async def play_broker(meters: int, frames: int, *, single: bool) -> None:
    """A broker with one subscriber, who gets the readings of the frames as JSON at QoS 1."""
    pushed = _json_packets(meters, frames, single=single)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _packet(reader)  # CONNECT
        writer.write(packets.connack(packets.ACCEPTED))
        subscribe = await _packet(reader)
        writer.write(packets.suback(int.from_bytes(subscribe[:2], "big"), [1]))
        await _wait_for_go()
        started, acked, sent = time.perf_counter(), 0, 0
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


async def _wait_for_go() -> None:
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    """Play one of the two parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["meters", "broker"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--single", action="store_true", help="one interval a message")
    arguments = parser.parse_args()
    if arguments.part == "meters":
        asyncio.run(
            play_meters(arguments.port, arguments.meters, arguments.frames, single=arguments.single)
        )
    else:
        asyncio.run(play_broker(arguments.meters, arguments.frames, single=arguments.single))


if __name__ == "__main__":
    main()
