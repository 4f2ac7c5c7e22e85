"""What the gateway knows of one meter while it runs: keys, progress, downlink counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.intervals import Intervals
from gateway.mqtt.packets import field
from gateway.window import Window
from wire import topics
from wire.keys import EpochKey

if TYPE_CHECKING:
    from gateway.listener import Line

DOWN_BLOCK_COUNTERS = 1024  # reserved durably at a time; a restart gives up what was left


class Progress:
    """What was accepted so far. Rebuilt from the journal, so it is never ahead of it at start."""

    __slots__ = ("intervals", "windows")

    def __init__(self) -> None:
        self.windows: dict[int, Window] = {}  # by key epoch, direction up
        self.intervals = Intervals()

    def window(self, key_epoch: int) -> Window:
        window = self.windows.get(key_epoch)
        if window is None:
            window = self.windows[key_epoch] = Window()
        return window


class DownCounter:
    """Frame counters of one key epoch towards the meter, used only below what is reserved."""

    __slots__ = ("next", "reserved")

    def __init__(self, reserved: int) -> None:
        self.next = self.reserved = reserved  # anything below may have been used before a crash

    def take(self) -> int:
        """A counter that was never used and never will be again."""
        assert self.next < self.reserved, "reserve before use"
        self.next += 1
        return self.next - 1

    def is_low(self) -> bool:
        return self.reserved - self.next < DOWN_BLOCK_COUNTERS // 2


class Meter:
    """One registered meter. Holds keys; its repr shows none."""

    __slots__ = (
        "down",
        "down_field",
        "down_topic",
        "epoch_min",
        "gone_topic",
        "heard_s",
        "hex_id",
        "keys",
        "line",
        "meter_id",
        "paced_s",
        "progress",
        "up_field",
        "up_topic",
    )

    def __init__(self, meter_id: bytes, progress: Progress) -> None:
        self.meter_id = meter_id
        self.hex_id = topics.to_hex(meter_id)
        self.up_topic = topics.up(meter_id)
        self.down_topic = topics.down(meter_id)
        self.gone_topic = topics.gone(meter_id)
        self.up_field = field(self.up_topic.encode())  # as they are inside a PUBLISH
        self.down_field = field(self.down_topic.encode())
        self.progress = progress
        self.keys: dict[int, EpochKey] = {}
        self.down: dict[int, DownCounter] = {}
        self.epoch_min = 0  # the highest key epoch a frame has proven; those below are refused
        self.paced_s = 0.0  # gateway/doors/pace.py: when its frames of late are within its rate
        self.heard_s = 0  # when its latest frame came, whatever the verdict; 0 since the start
        self.line: Line | None = None  # where it can be reached now

    def forget_below(self, key_epoch: int) -> None:
        """Let go of older epochs: a newer one is proven, and they are gone from the database."""
        for by_epoch in (self.keys, self.down, self.progress.windows):
            for epoch in [epoch for epoch in by_epoch if epoch < key_epoch]:
                del by_epoch[epoch]

    def __repr__(self) -> str:
        return f"Meter({self.hex_id})"
