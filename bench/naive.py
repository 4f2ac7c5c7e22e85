"""What people write first: paho callback, json.loads, one SQLite INSERT, one commit.

It has no seal, no replay check and no receipts; its PUBACK comes after the commit because paho
acknowledges when on_message returns. SQLite is as durable as ours (synchronous=FULL), with the
rollback journal it has by default, or with --wal, which somebody must know about.
"""

from __future__ import annotations

import argparse
import json
import sqlite3

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    """Subscribe at PORT and store what comes, until the line is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("database")
    parser.add_argument("--commit-every", type=int, default=1)
    parser.add_argument("--wal", action="store_true")
    arguments = parser.parse_args()

    database = sqlite3.connect(arguments.database)
    if arguments.wal:
        database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE reading (meter TEXT, start_s INTEGER, readings TEXT)")
    stored = 0

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe("m/#", 1)

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        nonlocal stored
        reading = json.loads(message.payload)
        row = (reading["meter"], reading["start"], json.dumps(reading["readings"]))
        database.execute("INSERT INTO reading VALUES (?, ?, ?)", row)
        stored += 1
        if stored % arguments.commit_every == 0:
            database.commit()

    def on_disconnect(client: paho.Client, *_: object) -> None:
        database.commit()
        client.disconnect()

    client = paho.Client(CallbackAPIVersion.VERSION2, "naive", protocol=paho.MQTTv311)
    client.on_connect, client.on_message = on_connect, on_message
    client.on_disconnect = on_disconnect
    client.connect("127.0.0.1", arguments.port)
    client.loop_forever(retry_first_connection=False)


if __name__ == "__main__":
    main()
