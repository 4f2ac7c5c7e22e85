"""Bundles: several commands for one or many meters, queued in one act, in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

from gateway import audit
from gateway.downlink import commands
from gateway.downlink.command_args import NAMES, SECRETS, Hidden
from gateway.errors import CommandRefused
from wire import cbor, messages

BUNDLE_COMMANDS_MAX = 10_000  # one transaction, which the gateway's frames wait for
BUNDLES_SHOWN_MAX = 1000
TITLE_CHARS_MAX = 80

STOP: Literal["stop"] = "stop"
GO_ON: Literal["go_on"] = "go_on"

BUNDLE_SIZE, UNKNOWN_BUNDLE, NOTHING_FAILED = "bundle_size", "unknown_bundle", "nothing_failed"
ALONE = "not_in_bundles"

# Rekeys and pieces of updates are their own makers' business.
NOT_IN_BUNDLES = (
    messages.COMMAND_REKEY,
    messages.COMMAND_UPDATE_MANIFEST,
    messages.COMMAND_UPDATE_CHUNK,
)


def queue(
    connection: sqlite3.Connection,
    meter_ids: Sequence[bytes],
    steps: Sequence[tuple[int, tuple[Any, ...]]],
    *,
    title: str,
    on_failure: Literal["stop", "go_on"],
    actor: str,
    now_s: int,
    not_before_s: int | None = None,
    expires_s: int | None = None,
) -> int:
    """Queue every step for every meter, or nothing at all; the bundle's number.

    After a failure `stop` cancels what is left of the bundle for that meter, never for others.
    Raises CommandRefused.
    """
    if not 1 <= len(meter_ids) * len(steps) <= BUNDLE_COMMANDS_MAX or len(title) > TITLE_CHARS_MAX:
        raise CommandRefused(
            BUNDLE_SIZE,
            f"a bundle has 1 to {BUNDLE_COMMANDS_MAX} commands"
            f" and a title of at most {TITLE_CHARS_MAX} characters",
        )
    for code, _ in steps:
        if code in NOT_IN_BUNDLES:
            raise CommandRefused(ALONE, f"{NAMES[code]}: use `keys rotate`, or `update`")
    bundle_id = connection.execute(
        "INSERT INTO bundle (title, on_failure, actor, queued_s) VALUES (?, ?, ?, ?)",
        (title, on_failure, actor, now_s),
    ).lastrowid
    assert bundle_id is not None
    for meter_id in meter_ids:
        for code, args in steps:
            commands.queue(
                connection, meter_id, code, args, actor=actor, now_s=now_s, bundle_id=bundle_id,
                not_before_s=not_before_s, expires_s=expires_s, origin="bundle",
            )  # fmt: skip
    detail: dict[str, object] = {
        "meters": len(meter_ids),
        "commands": [NAMES[code] for code, _ in steps],
    }
    audit.record(connection, actor, "bundle.queue", str(bundle_id), detail, now_s)
    return bundle_id


def progress(connection: sqlite3.Connection, bundle_id: int | None = None) -> list[dict[str, Any]]:
    """How far bundles are, newest first; what was retried counts as its latest attempt."""
    found: dict[int, dict[str, Any]] = {
        row[0]: {
            "bundle_id": row[0], "title": row[1], "on_failure": row[2], "actor": row[3],
            "queued_s": row[4], "commands": 0, "open": 0, "states": {},
        }
        for row in connection.execute(
            "SELECT id, title, on_failure, actor, queued_s FROM bundle"
            " WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT ?2",
            (bundle_id, BUNDLES_SHOWN_MAX),
        )
    }  # fmt: skip
    for number, bundle in found.items():
        for state, count in connection.execute(
            "SELECT state, count(*) FROM command WHERE bundle_id = ? AND retried_as IS NULL"
            " GROUP BY state ORDER BY state",
            (number,),
        ):
            bundle["commands"] += count
            bundle["open"] += count if state in (commands.QUEUED, commands.SENT) else 0
            bundle["states"][state] = count
    return list(found.values())


def retry(connection: sqlite3.Connection, bundle_id: int, actor: str, now_s: int) -> int:
    """Queue again, in order, what ended without being done; how many. Raises CommandRefused."""
    if not progress(connection, bundle_id):
        raise CommandRefused(UNKNOWN_BUNDLE, f"no bundle {bundle_id}; see `command bundles`")
    failed = connection.execute(
        "SELECT id, meter_id, code, args, wrapped, secret_bytes FROM command WHERE bundle_id = ?"
        " AND retried_as IS NULL AND state IN"
        " ('refused', 'failed', 'unsupported', 'expired', 'cancelled') ORDER BY id",
        (bundle_id,),
    ).fetchall()
    if not failed:
        raise CommandRefused(NOTHING_FAILED, f"nothing of bundle {bundle_id} failed")
    for row_id, meter_id, code, args, *hidden in failed:
        again = tuple(cbor.decode(args))
        if code in SECRETS:
            again += (Hidden(*hidden),)
        fresh = commands.queue(
            connection, meter_id, code, again, actor=actor, now_s=now_s, bundle_id=bundle_id,
            origin="bundle",
        )  # fmt: skip
        connection.execute("UPDATE command SET retried_as = ? WHERE id = ?", (fresh, row_id))
    audit.record(
        connection, actor, "bundle.retry", str(bundle_id), {"commands": len(failed)}, now_s
    )
    return len(failed)
