"""Which step a meter's queue takes next: send, send again, expire, give up, wait (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SENT = "sent"
RETRY_DOUBLINGS_MAX = 5  # waits grow from retry_s to 32 times that
ATTEMPTS_MAX = 20  # sent so often without an answer: failed, and the next one's turn


class Open(NamedTuple):
    """What decides about a command without result."""

    row_id: int
    state: str
    not_before_s: int
    expires_s: int
    sent_s: int | None
    attempts: int


class Step(NamedTuple):
    """What is to happen to one command now; without `row_id`, when to look again (None: never)."""

    event: str  # send, expire, give up; or empty
    row_id: int = 0
    look_s: int | None = None


def retry_wait_s(attempts: int, retry_s: int) -> int:
    """How long a result is waited for after so many attempts."""
    doublings: int = min(attempts - 1, RETRY_DOUBLINGS_MAX)
    return retry_s << doublings


def decide(waiting: Sequence[Open], now_s: int, retry_s: int, *, again: bool) -> Step:
    """The next step for one meter with these commands, in order. `again`: its session is new.

    A clock that was set back makes a repeat early rather than never.
    """
    look_s: int | None = None
    flying = [command for command in waiting if command.state == SENT]
    for command in flying or waiting:
        if command.expires_s <= now_s:
            return Step("expire", command.row_id)
        due_s = command.not_before_s
        if command.sent_s is not None and command.state == SENT:
            due_s = command.sent_s + retry_wait_s(command.attempts, retry_s)
            if again or now_s < command.sent_s:
                due_s = now_s
        if due_s <= now_s:
            event = "give up" if command.attempts >= ATTEMPTS_MAX else "send"
            return Step(event, command.row_id)
        look_s = min(due_s if look_s is None else look_s, due_s, command.expires_s)
    return Step("", look_s=look_s)
