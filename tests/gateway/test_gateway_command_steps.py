"""Which step a meter's queue takes next: the pure decision, at each of its limits."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.downlink.command_steps import ATTEMPTS_MAX, Open, Step, decide, retry_wait_s

RETRY_S = 60


def a_sent(**changes: Any) -> Open:
    return Open(7, "sent", 0, 10_000, 1000, 1)._replace(**changes)


def a_queued(**changes: Any) -> Open:
    return Open(8, "queued", 0, 10_000, None, 0)._replace(**changes)


@pytest.mark.parametrize(
    ("waiting", "now_s", "again", "step"),
    [
        ([], 1000, False, Step("")),
        ([a_queued()], 1000, False, Step("send", 8)),
        ([a_queued(not_before_s=1001)], 1000, False, Step("", look_s=1001)),
        ([a_queued(not_before_s=1000)], 1000, False, Step("send", 8)),
        ([a_queued(not_before_s=2000), a_queued(row_id=9)], 1000, False, Step("send", 9)),
        ([a_queued(), a_queued(row_id=9)], 1000, False, Step("send", 8)),
        ([a_queued(expires_s=1001)], 1000, False, Step("send", 8)),
        ([a_queued(expires_s=1000)], 1000, False, Step("expire", 8)),
        ([a_sent(), a_queued()], 1059, False, Step("", look_s=1060)),
        ([a_sent(), a_queued()], 1060, False, Step("send", 7)),
        ([a_sent(), a_queued()], 1001, True, Step("send", 7)),
        ([a_sent()], 999, False, Step("send", 7)),
        ([a_sent(expires_s=1030)], 1020, False, Step("", look_s=1030)),
        ([a_sent(expires_s=1030)], 1030, False, Step("expire", 7)),
        ([a_sent(attempts=ATTEMPTS_MAX - 1)], 9000, False, Step("send", 7)),
        ([a_sent(attempts=ATTEMPTS_MAX)], 9000, False, Step("give up", 7)),
        ([a_sent(attempts=ATTEMPTS_MAX)], 1001, False, Step("", look_s=2920)),
    ],
)
def test_one_command_is_in_flight_and_goes_again_when_no_result_came(
    waiting: list[Open], now_s: int, again: bool, step: Step
) -> None:
    assert decide(waiting, now_s, RETRY_S, again=again) == step


def test_waits_for_a_result_double_up_to_thirty_two_times() -> None:
    waits = [retry_wait_s(attempts, 60) for attempts in (1, 2, 5, 6, 7, 20)]
    assert waits == [60, 120, 960, 1920, 1920, 1920]
