"""Our work behind paho: the same acceptance and the same store, one fat connection from a broker.

What a careful author of a gateway writes with the usual client: manual acknowledgement, and a
commit for each 500 messages before any of them is acknowledged. No receipts, which is less work.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.mqtt_load import meter_key
from gateway import journal, store
from gateway.acceptance import Accepted, accept, mark
from gateway.meter import Meter, Progress
from wire.keys import EpochKey

COMMIT_EVERY = 500  # a quarter of the broker's window


def main() -> None:
    """Subscribe at PORT and take what comes, until the line is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("database")
    parser.add_argument("--meters", type=int, required=True)
    arguments = parser.parse_args()

    connection = store.connect(Path(arguments.database))
    meters = {meter.up_topic: meter for meter in map(_a_meter, range(arguments.meters))}
    group = journal.Group(0)
    waiting: list[tuple[int, int]] = []

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe("m/#", 1)

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        now_s, meter = int(time.time()), meters[message.topic]
        verdict = accept(bytes(message.payload), message.topic, meter, now_s)
        assert isinstance(verdict, Accepted)
        mark(meter, verdict)
        key_epoch, counter, opened, _ = verdict
        group.rows.append((meter.meter_id, key_epoch, counter, now_s, opened))
        waiting.append((message.mid, message.qos))
        if len(waiting) == COMMIT_EVERY:
            store.transact(connection, lambda c: journal.commit(c, group))
            group.rows.clear()
            for mid, qos in waiting:
                client.ack(mid, qos)
            waiting.clear()

    def on_disconnect(client: paho.Client, *_: object) -> None:
        client.disconnect()

    client = paho.Client(
        CallbackAPIVersion.VERSION2, "careful", protocol=paho.MQTTv311, manual_ack=True
    )
    client.on_connect, client.on_message = on_connect, on_message
    client.on_disconnect = on_disconnect
    client.connect("127.0.0.1", arguments.port)
    client.loop_forever(retry_first_connection=False)


def _a_meter(number: int) -> Meter:
    meter_id, key, _ = meter_key(number)
    meter = Meter(meter_id, Progress())
    meter.keys[0] = EpochKey(0, key)
    return meter


if __name__ == "__main__":
    main()
