"""The gateway's sealed word to a meter: committed up to here, and this is the time."""

from __future__ import annotations

from typing import NamedTuple

from gateway.meter import Meter
from gateway.packets import publish
from wire import frame as wire_frame
from wire import messages
from wire.keys import DOWN


class Due(NamedTuple):
    """A receipt as it will be once the running commit has succeeded; not valid before."""

    meter: Meter
    key_epoch: int
    frame_counter: int
    interval: int


def due(meter: Meter, key_epoch: int) -> Due:
    """Freeze what the receipt will say: frames that arrive during the commit are not in it."""
    progress = meter.progress
    contiguous = progress.window(key_epoch).contiguous()
    return Due(meter, key_epoch, contiguous, progress.intervals.upto)


def to_packet(receipt: Due, now_s: int) -> bytes:
    """Seal under a fresh reserved counter. QoS 0: a meter that does not hear it sends again."""
    meter, epoch = receipt.meter, receipt.key_epoch
    message = messages.Receipt(receipt.frame_counter, receipt.interval, now_s)
    frame = wire_frame.seal(
        meter.keys[epoch],
        DOWN,
        meter.down[epoch].take(),
        meter.down_topic,
        messages.encode(message),
    )
    return publish(meter.down_topic, frame)
