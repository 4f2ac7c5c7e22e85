"""A rekey under power cuts: what is cut, and what must come of it (for tests.support.torture)."""

from firmware.uplink import OFFLINE
from tests.support.a_talk import ModelGateway, TalkingMeter
from wire.messages import COMMAND_REKEY, Command, Result, Status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.support.fake_flash import FakeFlash

NEW_KEY = b"\x07" * 32
REKEY = Command(7, COMMAND_REKEY, (1, NEW_KEY))


def start(flash: "FakeFlash", done: "list[Any]") -> "tuple[TalkingMeter, ModelGateway]":
    """The meter as it starts, and the gateway as it was at the cut."""
    meter, gateway = TalkingMeter(flash), ModelGateway()
    if done:
        gateway.restore(done[-1])
    gateway.keys[1] = NEW_KEY
    return meter, gateway


def talk(meter: TalkingMeter, gateway: ModelGateway, frames: int, done: "list[Any]") -> None:
    """Frames go up; the gateway asks for the new key until that is answered or used."""
    meter.uplink.link_up()
    for _ in range(frames):
        outgoing = meter.send() or meter.later() or meter.later()
        if outgoing is None:
            break
        receipt = gateway.take(outgoing.frame)
        done.append(gateway.snapshot())
        if receipt is not None:
            meter.uplink.receive(*receipt)
        if not gateway.of(Result) and gateway.key_epoch == 0 and receipt is not None:
            sealed = gateway.seal(REKEY)
            done.append(gateway.snapshot())
            meter.uplink.receive(*sealed)


def work(flash: "FakeFlash", count: int, done: "list[Any]") -> None:
    """What power is cut in: a meter that is rekeyed, over `count` frames."""
    meter, gateway = start(flash, done)
    talk(meter, gateway, count, done)


def check(flash: "FakeFlash", done: "list[Any]") -> None:
    """What must come of it: both talk, under the new key alone."""
    meter, gateway = start(flash, done)
    talk(meter, gateway, 3, [])
    assert type(gateway.messages[-1]) is Status
    assert not gateway.refused
    assert (meter.settings.key_epoch, gateway.key_epoch) == (1, 1)
    assert meter.settings.pending is None
    assert not meter.settings.lost
    assert meter.uplink.state != OFFLINE
    assert meter.uplink.unheard == 0
