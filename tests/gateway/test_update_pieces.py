"""What goes next to a meter that takes an update, by its last answer; pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rollout import pieces
from gateway.rollout.pieces import (
    FLASHES_MAX,
    HASHES_MAX,
    TRIALS_MAX,
    WAIT_S,
    Failed,
    Outline,
    Restarting,
    Send,
    Way,
    next_step,
    wanted_of,
)
from wire.messages import RESULT_DONE, RESULT_FAILED, RESULT_REFUSED, RESULT_UNSUPPORTED

OUTLINE = Outline(7, 2, (1700, 300))


def after(detail: bytes, code: int = RESULT_DONE, **way: object) -> object:
    return next_step(OUTLINE, Way()._replace(**way), code, detail)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("detail", "wanted"),
    [(b"part 1", "part 1"), (b"file 0 0", "file 0 0"), (b"file 1 299", "file 1 299")],
)
def test_a_meter_names_the_piece_it_wants_next(detail: bytes, wanted: str) -> None:
    assert after(detail) == Send(Way(wanted))


@pytest.mark.parametrize(
    ("detail", "wanted"),
    [
        (b"order 1", "part 1"),
        (b"unknown", "part 0"),
        (b"gap 0 800", "file 0 800"),
        (b"gap 1 300", "part 0"),  # a whole file: ask what else is wanted
    ],
)
def test_a_refusal_that_says_what_is_missing_is_followed(detail: bytes, wanted: str) -> None:
    assert after(detail, RESULT_REFUSED, wanted="file 1 0") == Send(Way(wanted))


def test_the_last_chunk_restarts_the_meter_by_itself() -> None:
    assert after(b"restart", wanted="file 1 0") == Restarting()


def test_a_bundle_found_whole_on_a_manifest_part_needs_the_restart_command() -> None:
    step = after(b"restart", wanted="part 0")
    assert step == Send(Way("restart"))
    assert after(b"", RESULT_DONE, wanted="restart") == Restarting()
    assert after(b"", RESULT_REFUSED, wanted="restart") == Failed("restart")


def test_a_hash_refused_once_sends_the_file_again_and_twice_fails_with_the_file_named() -> None:
    once = after(b"hash 1", RESULT_REFUSED, wanted="file 1 0")
    assert once == Send(Way("file 1 0", hashes=1))
    assert HASHES_MAX == 2
    assert after(b"hash 1", RESULT_REFUSED, hashes=1) == Failed("hash 1")


def test_a_flash_that_fails_once_is_tried_again_later_and_twice_fails_the_meter() -> None:
    assert after(b"flash", RESULT_FAILED) == Send(Way(flashes=1), WAIT_S)
    assert FLASHES_MAX == 2
    assert after(b"flash", RESULT_FAILED, flashes=1) == Failed("flash")


def test_a_meter_on_trial_is_asked_again_later_but_not_for_ever() -> None:
    step = after(b"on_trial", RESULT_REFUSED, wanted="file 0 0", trials=TRIALS_MAX - 2)
    assert step == Send(Way("file 0 0", trials=TRIALS_MAX - 1), WAIT_S)
    assert after(b"on_trial", RESULT_REFUSED, trials=TRIALS_MAX - 1) == Failed("on_trial")


def test_pieces_without_an_end_fail_at_the_limit_and_not_below_it() -> None:
    limit = OUTLINE.pieces_max
    assert (OUTLINE.pieces, limit) == (2 + 3 + 1, 4 * 6 + 16)
    assert isinstance(after(b"file 0 0", pieces=limit - 1), Send)
    assert after(b"file 0 0", pieces=limit) == Failed("no_progress")
    assert after(b"file 0 0", pieces=limit + 1) == Failed("no_progress")


@pytest.mark.parametrize(
    ("code", "detail", "reason"),
    [
        (RESULT_REFUSED, b"malformed", "malformed"),
        (RESULT_REFUSED, b"too_large", "too_large"),
        (RESULT_REFUSED, b"path", "path"),
        (RESULT_UNSUPPORTED, b"", "unsupported"),
        (9, b"", "unsupported"),
        (RESULT_DONE, b"part 2", "answer"),  # there are parts 0 and 1
        (RESULT_DONE, b"part 1 0", "answer"),
        (RESULT_DONE, b"file 2 0", "answer"),
        (RESULT_DONE, b"file 0 1701", "answer"),
        (RESULT_DONE, b"file 0", "answer"),
        (RESULT_DONE, b"order 0", "answer"),
        (RESULT_REFUSED, b"file 0 0", "answer"),
        (RESULT_REFUSED, b"hash 2", "answer"),
        (RESULT_DONE, b"", "answer"),
        (RESULT_DONE, b"\xff" * 900, "answer"),
    ],
)
def test_an_answer_that_leads_nowhere_fails_the_meter_by_name(
    code: int, detail: bytes, reason: str
) -> None:
    assert after(detail, code) == Failed(reason)


@given(st.integers(0, 255), st.binary(max_size=40), st.sampled_from(["part 0", "file 0 0"]))
def test_any_answer_gives_a_piece_of_the_bundle_or_a_named_end(
    code: int, detail: bytes, wanted: str
) -> None:
    step = next_step(OUTLINE, Way(wanted), code, detail)
    if isinstance(step, Send) and step.way.wanted != pieces.RESTART:
        kind, index, offset = wanted_of(step.way.wanted)
        if kind == pieces.PART:
            assert index < OUTLINE.parts
        else:
            assert offset < OUTLINE.sizes[index]
