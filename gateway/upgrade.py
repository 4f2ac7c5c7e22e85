"""What the schema files need of Python to convert an older database: SQL functions."""

from __future__ import annotations

import sqlite3
from typing import Any

from gateway import segments

_UNSIGNED = (1 << 64) - 1  # schema 1 kept frame counters as signed numbers with the same bits


class _PackRows:
    """SQL aggregate: rows of schema 1's journal as the data of a segment."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, segments.Accepted]] = []

    def step(self, *row: Any) -> None:
        """Take a row; SQLite does not promise their order."""
        row_id, meter_id, key_epoch, counter, received_s, message = row
        frame = (meter_id, key_epoch, counter & _UNSIGNED, received_s, message)
        self._rows.append((row_id, frame))

    def finalize(self) -> Any:
        """The segment's data; NULL, which the table refuses, when a row between them is gone."""
        self._rows.sort()
        if self._rows[-1][0] - self._rows[0][0] + 1 != len(self._rows):
            return None
        return segments.pack([row for _, row in self._rows])


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions that the schema files call."""
    connection.create_aggregate("pack_rows", 6, _PackRows)
    connection.create_function("segment_crc", 3, _crc, deterministic=True)


def _crc(first_id: int, frames: int, data: bytes | None) -> int | None:
    return None if data is None else segments.checksum(first_id, frames, data)
