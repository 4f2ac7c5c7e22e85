"""A device gone mad: connects, sends bytes that are no MQTT, is thrown out, and comes again."""

from __future__ import annotations

import socket
import sys

NONSENSE = bytes(range(255, 0, -1)) * 8


def main() -> None:
    """Against the endpoint at PORT, until killed."""
    port, times = int(sys.argv[1]), 0
    while True:
        times += 1
        if times == 2:
            print('{"ready": true}', flush=True)  # it was thrown out once
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            try:
                line.sendall(NONSENSE)
                while line.recv(4096):
                    continue
            except ConnectionError:
                continue  # thrown out while it was still sending


if __name__ == "__main__":
    main()
