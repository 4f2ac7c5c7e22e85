"""The meter reads receipts as the gateway means them: its replay window against the keystore."""

import random

import pytest

from firmware.journal import Ring
from firmware.keystore import KEYSTORE_BYTES, RECEIVER_WINDOW, Keystore
from gateway.window import NEW, WINDOW_FRAMES, Window
from tests.support.fake_flash import FakeFlash


def a_keystore(flash: FakeFlash) -> Keystore:
    return Keystore(Ring(flash, 0, 4, KEYSTORE_BYTES), 0, False)


def test_meter_and_gateway_have_the_same_window() -> None:
    assert RECEIVER_WINDOW == WINDOW_FRAMES


@pytest.mark.parametrize("seed", range(40))
def test_a_receipt_covers_the_newest_frame_exactly_when_the_gateway_has_it(seed: int) -> None:
    chance = random.Random(seed)
    lossy = chance.choice((0.02, 0.2, 0.6))
    flash, window = FakeFlash(4), Window()
    keystore = a_keystore(flash)
    told = -1  # what the newest receipt said; it may come late, once more
    covered = 0
    for _ in range(600):
        counter = keystore.next_counter()
        assert not keystore.covers(told, counter), "an older receipt speaks for no newer frame"
        if chance.random() > lossy:
            assert window.look(counter) == NEW
            window.mark(counter)
            told = window.contiguous()
            assert keystore.covers(told, counter), (seed, counter, told)
            covered += 1
        else:
            assert not keystore.covers(window.contiguous(), counter)
            keystore.leave_gap()  # late
        if chance.random() < lossy / 10:
            flash = flash.after_power_on()
            keystore = a_keystore(flash)
            keystore.leave_gap()  # the link comes up
        elif chance.random() < lossy / 5:
            keystore.leave_gap()  # a receipt was lost
    assert covered > 200
