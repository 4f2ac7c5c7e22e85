"""Runs inside MicroPython: one session over a real socket, told as one JSON line."""

# Usage: micropython -m tests.firmware.mqtt_probe FOLDER BOUND_MS. FOLDER holds config.json and, for
# TLS, ca.der. Connects, publishes one sealed frame, takes one from the gateway.

import json
import sys
import time

from boards.parts.mqtt_link import SocketLink, read_ca
from firmware import mqtt
from firmware.config import ConfigError, parse
from wire import frame, topics
from wire.keys import UP, EpochKey
from wire.messages import Registers, encode

ANSWER_MS = 3_000


class Board:
    """As much of a board as a session asks for."""

    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff

    def __init__(self, folder):
        with open(folder + "/config.json") as file:
            self.config = parse(json.load(file))
        self.lifted = 0
        ca = read_ca(self.config, folder + "/ca.der")
        self.link = SocketLink(ca, self.config.server_name, self.lift)
        self.clock = self

    def lift(self):
        """Where a chip would set its RTC."""
        self.lifted += 1


def live(board, session, told):
    told["step"] = "connect"
    session.connect()
    told["step"] = "publish"
    topic = topics.up(board.config.meter_id)
    key = EpochKey(board.config.key_epoch, board.config.meter_key)
    message = encode(Registers(1_700_000_000, (1, 2), (5, 0)))
    session.publish(topic, frame.seal(key, UP, 1, topic, message))
    told["step"] = "poll"
    begun_ms = time.ticks_ms()
    while not told["frames"] and time.ticks_diff(time.ticks_ms(), begun_ms) < ANSWER_MS:
        told["frames"] += len(session.poll())
    told["step"] = "end"


def main(folder, bound_ms):
    told = {"step": "config", "why": "", "frames": 0}
    begun_ms = time.ticks_ms()
    try:
        board = Board(folder)
        mqtt.CONNECT_TIMEOUT_MS = mqtt.PUBLISH_TIMEOUT_MS = int(bound_ms)
        live(board, mqtt.MqttLink(board), told)
        told["lifted"] = board.lifted
    except (mqtt.LinkDown, ConfigError) as error:
        told["why"] = str(error)
    told["took_ms"] = time.ticks_diff(time.ticks_ms(), begun_ms)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
