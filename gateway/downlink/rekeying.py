"""Gives meters their next meter key; whatever is cut in between, each stays within reach.

The new key is stored and its command queued in one transaction, so there is never one without the
other. Downlink lets the key open frames before it tells it. From then on frames of both epochs
are accepted, until the first frame of the new one retires the older keys (intake). A rekey that
is refused, fails or expires takes nothing back: the meter may have stored the key all the same,
so the key stays acceptable until a later rekey is proven.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable

from gateway import registry
from gateway.downlink import commands
from gateway.errors import CommandRefused
from gateway.registry import Registry
from wire.keys import KEY_EPOCH_MAX, METER_KEY_BYTES
from wire.messages import COMMAND_REKEY

ORIGIN = "rekey"
WAVE_METERS = 250  # in one wave: a transaction of some hundred milliseconds at the most
WAVE_S = 150  # from one wave to the next; inside, meters are spread by chance
EPOCHS_USED_UP, REKEY_OPEN = "epochs_used_up", "rekey_open"


def queue(
    connection: sqlite3.Connection,
    keeper: Registry,
    meter_id: bytes,
    actor: str,
    now_s: int,
    *,
    not_before_s: int | None = None,
    expires_s: int | None = None,
    fresh: Callable[[int], bytes] = os.urandom,
) -> int:
    """Make and store a meter's next key, queue the command that brings it; the command's row.

    Writes no audit row: who acts records key.rotate in the same transaction. Raises
    CommandRefused: rekey_open while another one has no result, epochs_used_up after 255.
    """
    if _is_open(connection, meter_id):
        raise CommandRefused(
            REKEY_OPEN, f"a rekey of meter {meter_id.hex()} is under way; wait, or cancel it first"
        )
    key_epoch = registry.key_epochs_used(connection, meter_id) + 1
    if key_epoch > KEY_EPOCH_MAX:
        raise CommandRefused(
            EPOCHS_USED_UP, f"meter {meter_id.hex()} had every key epoch there is; pair a new meter"
        )
    meter_key = fresh(METER_KEY_BYTES)
    hidden = commands.hide(keeper, meter_id, COMMAND_REKEY, meter_key)
    row_id = commands.queue(
        connection, meter_id, COMMAND_REKEY, (max(key_epoch, 1), hidden), actor=actor,
        now_s=now_s, not_before_s=not_before_s, expires_s=expires_s, origin=ORIGIN,
    )  # fmt: skip
    keeper.add_key(connection, meter_id, key_epoch, meter_key)
    return row_id


def spread(
    meter_ids: Iterable[bytes], now_s: int, chance: Callable[[], float]
) -> list[tuple[bytes, int]]:
    """When each of many meters is to be told, so that they do not all answer at once (pure).

    `chance` gives numbers from 0 up to 1.
    """
    return [
        (meter_id, now_s + number // WAVE_METERS * WAVE_S + int(chance() * WAVE_S))
        for number, meter_id in enumerate(meter_ids)
    ]


def queue_wave(
    connection: sqlite3.Connection,
    keeper: Registry,
    wave: list[tuple[bytes, int]],
    actor: str,
    now_s: int,
) -> list[tuple[bytes, str]]:
    """Rekey at most WAVE_METERS meters, each from its second on; who was left out, and why.

    One transaction for each wave: the running gateway commits frames in between.
    """
    assert len(wave) <= WAVE_METERS
    left_out = []
    for meter_id, not_before_s in wave:
        try:
            queue(connection, keeper, meter_id, actor, now_s, not_before_s=not_before_s)
        except CommandRefused as refusal:
            left_out.append((meter_id, refusal.reason))
    return left_out


def _is_open(connection: sqlite3.Connection, meter_id: bytes) -> bool:
    return (
        connection.execute(
            "SELECT 1 FROM command WHERE meter_id = ? AND code = ? AND state IN ('queued', 'sent')",
            (meter_id, COMMAND_REKEY),
        ).fetchone()
        is not None
    )
