"""The pure verdict on a frame: every refusal by name, and what must not change the verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.acceptance import Accepted, Duplicate, Refused, accept, mark
from gateway.meter import Meter
from tests.support.gateway import (
    NOW_S,
    START_S,
    FakeMeter,
    a_loaded_meter,
    a_meter,
    a_profile,
)
from wire import frame, messages, topics
from wire.errors import WireError
from wire.keys import DOWN, UP, EpochKey
from wire.span import Span, quick_span, read_span


def judge(sealed: bytes, meter: Meter, topic: str | None = None) -> Accepted | Duplicate | Refused:
    return accept(sealed, topic or meter.up_topic, meter, NOW_S)


def fresh() -> tuple[FakeMeter, Meter]:
    fake = a_meter()
    return fake, a_loaded_meter(fake)


def test_a_new_authentic_profile_is_accepted_with_its_intervals() -> None:
    fake, meter = fresh()
    verdict = judge(fake.seal(a_profile(first=5, intervals=3, oldest=2)), meter)
    assert isinstance(verdict, Accepted)
    assert (verdict.key_epoch, verdict.frame_counter) == (0, 0)
    assert verdict.span == Span(5, 2, START_S + 3600, 3)
    assert messages.decode(verdict.message, UP) == a_profile(first=5, intervals=3, oldest=2)


def test_judging_a_frame_changes_nothing_until_it_is_marked() -> None:
    fake, meter = fresh()
    sealed = fake.frame()
    first, second = judge(sealed, meter), judge(sealed, meter)
    assert first == second
    assert isinstance(first, Accepted)
    mark(meter, first)
    assert judge(sealed, meter) == Duplicate(0, 0)
    assert meter.progress.intervals.upto == 1


def test_a_forged_frame_with_a_counter_seen_before_is_no_duplicate() -> None:
    fake, meter = fresh()
    verdict = judge(fake.frame(), meter)
    assert isinstance(verdict, Accepted)
    mark(meter, verdict)
    stranger = a_meter(2)
    stranger.meter_id = fake.meter_id
    assert judge(stranger.seal(a_profile(), counter=0), meter) == Refused("bad_tag")


def test_a_forged_frame_far_ahead_does_not_move_the_window() -> None:
    fake, meter = fresh()
    stranger = a_meter(2)
    stranger.meter_id = fake.meter_id
    assert judge(stranger.seal(a_profile(), counter=1 << 60), meter) == Refused("bad_tag")
    assert isinstance(judge(fake.frame(), meter), Accepted)


def test_the_window_takes_a_late_frame_and_refuses_one_below_it() -> None:
    fake, meter = fresh()
    for counter in (100, 37):  # 37 is the lowest inside: 100 - 63
        verdict = judge(fake.seal(a_profile(), counter), meter)
        assert isinstance(verdict, Accepted)
        mark(meter, verdict)
    assert judge(fake.seal(a_profile(), 36), meter) == Refused("replayed")
    assert judge(fake.seal(a_profile(), 37), meter) == Duplicate(0, 37)


def test_the_last_counter_of_an_epoch_is_accepted() -> None:
    fake, meter = fresh()
    verdict = judge(fake.seal(a_profile(), frame.FRAME_COUNTER_MAX), meter)
    assert isinstance(verdict, Accepted)
    mark(meter, verdict)
    assert judge(fake.seal(a_profile(), frame.FRAME_COUNTER_MAX - 1), meter) != verdict


def test_another_topic_is_refused_before_anything_is_opened() -> None:
    fake, meter = fresh()
    other = topics.up(a_meter(2).meter_id)
    assert judge(fake.frame(), meter, topic=other) == Refused("wrong_topic")


def test_a_frame_of_ours_sent_back_is_refused() -> None:
    fake, meter = fresh()
    message = messages.encode(a_profile())
    sealed = frame.seal(fake.key, DOWN, 0, meter.up_topic, message)
    assert judge(sealed, meter) == Refused("wrong_direction")


def test_a_key_epoch_that_is_not_in_force_is_refused() -> None:
    fake, meter = fresh()
    key = EpochKey(1, fake.meter_key)
    sealed = frame.seal(key, UP, 0, meter.up_topic, messages.encode(a_profile()))
    assert judge(sealed, meter) == Refused("unknown_epoch")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "malformed"),
        (b"\xff", "malformed"),
        (b"\x82\x18\x63\x00", "unsupported"),  # kind 99
        (messages.encode(messages.Receipt(0, 0, 0)), "unsupported"),  # ours, sealed as the meter's
        (messages.encode(a_profile(channels=(1, 9))), "unsupported"),  # no OBIS name to pass on
    ],
)
def test_an_authentic_frame_that_says_nothing_we_know_is_refused(
    message: bytes, reason: str
) -> None:
    fake, meter = fresh()
    sealed = frame.seal(fake.key, UP, 0, meter.up_topic, message)
    assert judge(sealed, meter) == Refused(reason)


@pytest.mark.parametrize(("ahead_s", "is_taken"), [(86_399, True), (86_400, True), (86_401, False)])
def test_a_profile_may_start_one_day_ahead_and_no_more(ahead_s: int, is_taken: bool) -> None:
    fake, meter = fresh()
    verdict = judge(fake.seal(a_profile(start_s=NOW_S + ahead_s)), meter)
    assert isinstance(verdict, Accepted) is is_taken
    if not is_taken:
        assert verdict == Refused("start_ahead")


def test_every_truncation_and_every_flipped_bit_is_refused_by_name() -> None:
    fake, meter = fresh()
    sealed = fake.frame()
    named = {"malformed", "unsupported", "unknown_epoch", "wrong_direction", "bad_tag"}
    for length in range(len(sealed)):
        verdict = judge(sealed[:length], meter)
        assert isinstance(verdict, Refused)
        assert verdict.reason in named
    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        verdict = judge(bytes(flipped), meter)
        assert isinstance(verdict, Refused)
        assert verdict.reason in named
    assert isinstance(judge(sealed, meter), Accepted)


@given(st.binary(max_size=1100))
def test_any_bytes_are_refused_by_name_and_nothing_else_happens(data: bytes) -> None:
    _, meter = fresh()
    assert isinstance(judge(data, meter), Refused)


def test_two_meters_and_their_keys_are_never_shown() -> None:
    fake, meter = fresh()
    shown = repr(meter) + repr(meter.keys) + repr(fake.new())
    assert fake.meter_key.hex() not in shown
    assert fake.password not in shown


# ---- the quick reading of a profile against the full decode


@st.composite
def a_good_profile(draw: st.DrawFn) -> messages.Profile:
    """Any profile the wire allows, at and around the limits of its numbers."""
    first = draw(st.integers(1, messages.INTERVAL_NUMBER_MAX - 200))
    channels = draw(st.sampled_from([(1,), (2,), (1, 2), (1, 3)]))
    intervals = draw(st.integers(1, 140))
    most = draw(st.sampled_from([0, 127, 128, 16_383, 2_097_151, 2_097_152, (1 << 24) - 1]))
    top = draw(st.sampled_from([0, 1 << 20, 1 << 28, (1 << 35) - 1, messages.REGISTER_WH_MAX]))
    chance = draw(st.randoms(use_true_random=False))
    return messages.Profile(
        first=first,
        oldest=max(1, first - draw(st.integers(0, 1000))),
        start_s=draw(st.integers(messages.START_S_MIN, messages.TIME_S_MAX)),
        capture_period_s=draw(st.sampled_from([1, 23, 24, 255, 256, 900, 86_400])),
        channels=channels,
        registers_wh=tuple(chance.randint(0, top) for _ in channels),
        deltas_wh=tuple(tuple(chance.randint(0, most) for _ in range(intervals)) for _ in channels),
        quality=(draw(st.integers(0, 63)),) * intervals,
    )


profiles = a_good_profile()


@given(profiles)
def test_the_quick_reading_agrees_with_the_decoder(profile: messages.Profile) -> None:
    message = messages.encode(profile)
    span = quick_span(message)
    whole = Span(profile.first, profile.oldest, profile.start_s, len(profile.quality))
    assert span in (None, whole)
    if profile.channels != (1, 3):
        assert read_span(message) == whole


@given(profiles, st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=3))
def test_the_quick_reading_never_takes_what_the_decoder_refuses(
    profile: messages.Profile, changes: list[tuple[int, int]]
) -> None:
    message = bytearray(messages.encode(profile))
    for at, value in changes:
        message[at % len(message)] = value
    span = quick_span(bytes(message))
    try:
        decoded = messages.decode(bytes(message), UP)
    except WireError:
        assert span is None
        return
    if span is not None:
        same = (decoded.first, decoded.oldest, decoded.start_s, len(decoded.quality))
        assert span == Span(*same)


def test_the_quick_reading_takes_an_everyday_profile_and_no_truncation_of_it() -> None:
    message = messages.encode(a_profile(first=70_000, intervals=24, oldest=69_990))
    assert quick_span(message) == Span(70_000, 69_990, START_S + 900 * 69_999, 24)
    for length in range(len(message)):
        assert quick_span(message[:length]) is None
