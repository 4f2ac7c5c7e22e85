"""A whole meter over fakes, and the gateway's end of its line: for tests on every runtime."""

import tests.support.umqtt_here  # noqa: F401, I001  (first: it makes umqtt importable on CPython)

from firmware.app import Meter
from tests.support.a_meter import (
    FLASH_BLOCKS,
    METER_ID,
    NOON_S,
    FakeClock,
    FakePulses,
    FakeRetained,
    a_board,
    a_down_frame,
    opened,
)
from tests.support.fake_flash import FakeFlash
from tests.support.fake_link import FakeLink, publish
from wire import topics
from wire.frame import peek
from wire.messages import Command, Profile, Receipt, Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UP = topics.up(METER_ID).encode()


class House:
    """A meter with its fakes; `talk` lets it talk until it has nothing to say."""

    def __init__(
        self,
        now_s: "int | None" = NOON_S,
        flash: "Any" = None,
        pulses: "Any" = None,
        down_counter: int = 0,
        **parts: "Any",
    ) -> None:
        self.clock = FakeClock(now_s)
        self.link = FakeLink(self.clock)
        self.pulses = pulses or FakePulses()
        self.flash = flash or FakeFlash(FLASH_BLOCKS)
        self.retained = parts.setdefault("retained", FakeRetained())
        self.board = a_board(self.flash, self.clock, self.pulses, self.link, **parts)
        self.log = self.board.log
        self.meter = Meter(self.board)
        self.down_counter = down_counter
        self.commands = 0

    def after_power_off(self, away_s: int = 0, **parts: "Any") -> "House":
        """The same meter, started again after its supply was gone for so long."""
        assert self.clock.wall_s is not None
        again = (self.clock.wall_s + away_s, self.flash.after_power_on())
        return House(*again, self.pulses.after_power_on(), self.down_counter, **parts)

    def measure(self, intervals: int) -> None:
        """Quarters of an hour, 4 pulses of import and 1 of export a minute."""
        self.meter.look(0)
        for _ in range(15 * intervals):
            self.pulses.count(4, 1)
            self.pass_s(60)

    def pass_s(self, duration_s: int) -> None:
        """Time goes on, and the meter looks."""
        if self.clock.wall_s is not None:
            self.clock.wall_s += duration_s
        self.meter.look(duration_s)

    def talk(self) -> None:
        """Until the meter has nothing to say."""
        while self.meter.talk_once() == 0:
            pass

    def greet(self) -> None:
        """Talk until the greeting and every event are receipted; profiles stay unsettled."""
        self.talk()
        heard = 0
        while len(self.frames()) > heard and type(self.messages()[-1]) is not Profile:
            heard = len(self.frames())
            self.receipt(0)

    def receipt(self, interval: int, time_s: "int | None" = None) -> None:
        """The gateway confirms the newest frame and the intervals up to this one."""
        time_s = self.clock.wall_s if time_s is None else time_s
        receipt = Receipt(peek(self.frames()[-1]).frame_counter, interval, time_s)
        self.send(receipt)

    def send(self, message: "Any", **changes: "Any") -> None:
        """A frame from the gateway; then the meter talks."""
        topic, data = a_down_frame(message, self.down_counter, **changes)
        self.down_counter += 1
        self.link.streams[-1].inbound += publish(topic, data)
        self.talk()

    def command(self, code: int, *args: "Any", command_id: int = 0) -> "Any":
        """Send a command; gives its result, receipted."""
        if not command_id:
            self.commands += 1
            command_id = self.commands
        self.send(Command(command_id, code, args))
        while type(self.messages()[-1]) is not Result:
            self.receipt(0)
        result = self.messages()[-1]
        assert result.command_id == command_id
        self.receipt(0)
        return result

    def frames(self) -> "list[bytes]":
        """What the gateway was sent, sealed."""
        found = []
        for stream in self.link.streams:
            for packet in stream.packets:
                if packet[0] == 0x32:
                    found.append(packet[packet.find(UP) + len(UP) + 2 :])
        return found

    def messages(self) -> "list[Any]":
        """What it was told."""
        return [opened(frame) for frame in self.frames()]

    def events(self, name: str) -> "list[Any]":
        """What the meter logged under this name."""
        found: list[Any] = self.log.of(name)
        return found
