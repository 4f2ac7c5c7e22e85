"""The gateway's verdict on a frame: accepted, duplicate or refused (pure: no clock, no store).

The order matters: the header is only a claim until the frame opened, so nothing is remembered
and nothing is called a duplicate before that. A wrong key must never look like silence.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.meter import Meter
from gateway.window import BELOW, SEEN
from wire import frame as wire_frame
from wire.errors import Replayed, UnknownEpoch, WireError, WrongTopic
from wire.keys import UP
from wire.messages import AHEAD_S_MAX
from wire.span import Span, read_span

WRONG_DIRECTION = "wrong_direction"  # a frame of ours to the meter, sent back to us
START_AHEAD = "start_ahead"  # the meter's clock is more than a day fast


class Accepted(NamedTuple):
    """New and authentic: write it down, then `mark` it, then tell the meter."""

    key_epoch: int
    frame_counter: int
    message: bytes
    span: Span | None  # None for messages without intervals


class Duplicate(NamedTuple):
    """Authentic and seen before: counted once already, receipted again."""

    key_epoch: int
    frame_counter: int


class Refused(NamedTuple):
    """Not taken; `reason` is counted, and listed in docs/gateway.md with what to do."""

    reason: str


def accept(frame: bytes, topic: str, meter: Meter, now_s: int) -> Accepted | Duplicate | Refused:
    """Judge a frame that came from `meter`'s session on `topic`. Changes nothing."""
    if topic != meter.up_topic:
        return Refused(WrongTopic.reason)
    try:
        header = wire_frame.peek(frame)
        key_epoch, direction, frame_counter = header
        if direction != UP:
            return Refused(WRONG_DIRECTION)
        key = meter.keys.get(key_epoch)
        if key is None or key_epoch < meter.epoch_min:
            return Refused(UnknownEpoch.reason)
        look = meter.progress.window(key_epoch).look(frame_counter)
        if look == BELOW:
            return Refused(Replayed.reason)
        message = wire_frame.open(key, frame, topic, header)
        if look == SEEN:
            return Duplicate(key_epoch, frame_counter)
        span = read_span(message)
    except WireError as error:
        return Refused(error.reason)
    if span is not None and span.start_s > now_s + AHEAD_S_MAX:
        return Refused(START_AHEAD)
    return Accepted(key_epoch, frame_counter, message, span)


def mark(meter: Meter, accepted: Accepted) -> None:
    """Remember an accepted frame, so that it is a duplicate from now on."""
    meter.progress.window(accepted.key_epoch).mark(accepted.frame_counter)
    span = accepted.span
    if span is not None:
        meter.progress.intervals.add(span.first, span.intervals, span.oldest)
