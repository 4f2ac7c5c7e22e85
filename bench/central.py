"""PostgreSQL as the central store: how many interval rows a second COPY BINARY takes.

A cluster of its own in a temporary folder, as an unprivileged user, with PostgreSQL's own defaults
(fsync on) but for 4 GB of WAL between checkpoints. psql and the server's programs are run as they
are installed; no Python driver.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROWS = 500_000
METERS = 500
ROUNDS = 3
BIN = "/usr/lib/postgresql/15/bin"  # Debian 12
USER = "postgres"  # of Debian's package; only root needs it, because the server refuses root
READINGS = """(meter_id bytea, obis smallint, start_s bigint, capture_period_s integer,
    energy_wh bigint, quality smallint, register_end_wh bigint, frame_order bytea"""
KEY = "PRIMARY KEY (meter_id, obis, start_s, frame_order)"

_ROW = struct.Struct(">h i8s ih iq ii iq ih iq i9s")
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # flags, length of the extension


def rows(first: int, count: int) -> bytes:
    """Interval rows in PostgreSQL's binary COPY format (its manual, "COPY", Binary Format)."""
    pack, out = _ROW.pack, bytearray(_HEAD)
    for number in range(first, first + count):
        index, meter = divmod(number, METERS)
        meter_id = (meter * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "big")
        used = 90 + number % 400
        out += pack(
            8, 8, meter_id, 2, 1, 8, 1_634_256_000 + 900 * index, 4, 900, 8, used, 2, 0,
            8, 12_345_678 + 250 * index, 9, index.to_bytes(9, "big"),
        )  # fmt: skip
    return bytes(out + b"\xff\xff")


class Cluster:
    """A running server and how to ask it."""

    def __init__(self, folder: Path, port: int) -> None:
        self._psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(folder),
                      "-p", str(port), "-d", "postgres"]  # fmt: skip

    def ask(self, *statements: str, copied: Path | None = None) -> str:
        """Statements in one session; `copied` is what COPY FROM STDIN reads."""
        words = [word for one in statements for word in ("-c", one)]
        with copied.open("rb") if copied else open(os.devnull, "rb") as stdin:
            done = subprocess.run(
                [*self._psql, *words], stdin=stdin, capture_output=True, text=True, check=True,
                timeout=120, user=_user(),
            )  # fmt: skip
        return done.stdout.strip()


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    """An empty cluster, gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, USER)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        data = str(folder / "data")
        _run(f"{BIN}/initdb", "-D", data, "-A", "trust", "-U", USER)
        options = f"-p {port} -k {folder} -c listen_addresses= -c max_wal_size=4GB"
        _run(f"{BIN}/pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield Cluster(folder, port)
        finally:
            _run(f"{BIN}/pg_ctl", "-D", data, "-w", "-m", "fast", "stop")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60, cwd="/", user=_user())


def _user() -> str | None:
    """root becomes Debian's user for it, and psql says who it is."""
    return USER if os.getuid() == 0 else None


def measure() -> None:
    """Print the lines of this part."""
    if not Path(BIN, "initdb").exists() or shutil.which("psql") is None:
        print("PostgreSQL 15: not installed (apt-get install postgresql-15)")
        return
    with a_cluster() as cluster, tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rows"
        plain, upsert = [], []
        for number in range(ROUNDS):
            file.write_bytes(rows(number * ROWS, ROWS))
            cluster.ask(f"CREATE TABLE IF NOT EXISTS plain {READINGS}, {KEY})",
                        f"CREATE TABLE IF NOT EXISTS kept {READINGS}, {KEY})")  # fmt: skip
            started = time.perf_counter()
            cluster.ask("COPY plain FROM STDIN WITH (FORMAT binary)", copied=file)
            plain.append(ROWS / (time.perf_counter() - started))
            started = time.perf_counter()
            cluster.ask(
                f"CREATE TEMP TABLE came {READINGS})",
                "COPY came FROM STDIN WITH (FORMAT binary)",
                "INSERT INTO kept SELECT * FROM came ON CONFLICT DO NOTHING",
                copied=file,
            )
            upsert.append(ROWS / (time.perf_counter() - started))
        size = int(cluster.ask("SELECT pg_total_relation_size('kept')"))
        kept = int(cluster.ask("SELECT count(*) FROM kept"))
        assert kept == ROUNDS * ROWS
    print("PostgreSQL 15, interval rows a second, one connection, fsync on, with a primary key:")
    print(f"  COPY BINARY                          {sorted(plain)[ROUNDS // 2]:>10,.0f}")
    print(f"  COPY BINARY, then ON CONFLICT DO NOTHING {sorted(upsert)[ROUNDS // 2]:>6,.0f}")
    print(f"  bytes a row, index included          {size / kept:>10,.0f}")
