"""Changing the meter key: whatever is lost or cut, meter and gateway end up talking."""

from firmware.journal import FlashWorn
from firmware.keystore import OldKey
from firmware.rekey import UNHEARD_TO_SWITCH
from firmware.uplink import AWAITING, GREETING
from tests.support.a_meter import METER_KEY, NOON_S, refusal_of
from tests.support.a_rekey import NEW_KEY, REKEY, check, work
from tests.support.a_talk import BLOCKS, ModelGateway, TalkingMeter
from tests.support.fake_flash import FakeFlash
from tests.support.torture import torture
from wire.messages import COMMAND_REKEY, Command, Receipt, Result, Status


def a_talk(frames=2, flash=None):
    """A meter and its gateway that have greeted each other."""
    meter, gateway = TalkingMeter(flash or FakeFlash(BLOCKS)), ModelGateway()
    meter.uplink.link_up()
    meter.exchange(gateway, frames)
    return meter, gateway


def ask(meter, gateway):
    """The gateway asks for the new key, which it has kept first."""
    gateway.keys[1] = NEW_KEY
    meter.uplink.receive(*gateway.seal(REKEY))


def greet(meter, gateway, frames=3):
    """A new link; gives how many frames were accepted."""
    before = len(gateway.messages)
    meter.uplink.link_up()
    meter.exchange(gateway, frames)
    return len(gateway.messages) - before


def test_a_rekey_is_answered_under_the_old_key_and_then_the_new_one_is_used():
    meter, gateway = a_talk()
    ask(meter, gateway)
    assert meter.settings.pending == (1, NEW_KEY)
    assert meter.exchange(gateway) == 1
    assert gateway.messages[-1] == Result(7, 0, b"")
    assert (gateway.key_epoch, meter.keystore.key_epoch) == (0, 1)
    assert (meter.settings.key_epoch, meter.uplink.state) == (0, GREETING)
    assert meter.exchange(gateway) == 1
    assert type(gateway.messages[-1]) is Status
    assert (gateway.key_epoch, meter.settings.key_epoch, meter.settings.pending) == (1, 1, None)


def test_the_old_key_opens_nothing_once_the_new_one_was_heard():
    meter, gateway = a_talk()
    ask(meter, gateway)
    late = gateway.seal(Receipt(0, 0, NOON_S), 0)
    meter.exchange(gateway, 2)
    assert meter.uplink.receive(*late) is None
    assert meter.uplink.refused == {"unknown_epoch": 1}
    again = TalkingMeter(meter.flash.after_power_on())
    assert again.uplink.receive(*late) is None
    assert greet(again, gateway, 1) == 1


def test_frames_of_both_keys_are_opened_while_the_rekey_is_under_way():
    meter, gateway = a_talk()
    ask(meter, gateway)
    assert meter.uplink.receive(*gateway.seal(Receipt(-1, 0, NOON_S), 0)) is not None
    assert meter.settings.key_epoch == 0
    assert meter.uplink.receive(*gateway.seal(Receipt(-1, 0, NOON_S), 1)) is not None
    assert (meter.settings.key_epoch, meter.keystore.key_epoch) == (1, 1)
    assert meter.exchange(gateway, 1) == 1  # a greeting under the new key
    assert (gateway.messages[-1], gateway.key_epoch) == (
        Status(NOON_S, "0.1.0", 5, 1000, 3, 0, 1),
        1,
    )


def test_a_meter_starts_again_under_the_new_key_while_a_rekey_is_under_way():
    meter, gateway = a_talk()
    ask(meter, gateway)
    again = TalkingMeter(meter.flash.after_power_on())
    assert (again.settings.key_epoch, again.keystore.key_epoch) == (0, 1)
    assert greet(again, gateway, 1) == 1
    assert (again.settings.key_epoch, gateway.key_epoch) == (1, 1)


def unheard(meter, gateway, frames):
    """So many frames go up and no receipt comes down."""
    assert meter.exchange(gateway, frames, receipts=False) == frames
    meter.clock.pass_ms(300_000)
    meter.uplink._pass_time()


def test_the_other_key_is_tried_after_so_many_unheard_frames_in_a_row_and_not_before():
    meter, gateway = a_talk()
    ask(meter, gateway)
    deaf = ModelGateway(b"\x55" * 32)
    unheard(meter, deaf, UNHEARD_TO_SWITCH - 1)
    assert (meter.keystore.key_epoch, meter.uplink.unheard) == (0, UNHEARD_TO_SWITCH - 1)
    unheard(meter, deaf, 1)
    assert (meter.keystore.key_epoch, meter.uplink.unheard) == (1, 0)
    unheard(meter, deaf, UNHEARD_TO_SWITCH)
    assert meter.keystore.key_epoch == 0
    assert meter.exchange(gateway, 3) == 3  # status and result under the old key, then a status
    assert (meter.settings.key_epoch, gateway.key_epoch) == (1, 1)


def test_without_a_rekey_under_way_no_number_of_unheard_frames_changes_the_key():
    meter, _ = a_talk()
    meter.measure()
    unheard(meter, ModelGateway(b"\x55" * 32), 2 * UNHEARD_TO_SWITCH + 1)
    assert (meter.keystore.key_epoch, meter.uplink.unheard) == (0, 2 * UNHEARD_TO_SWITCH + 1)


def test_a_gateway_that_forgot_the_new_key_is_talked_to_under_the_old_one():
    meter, gateway = a_talk()
    ask(meter, gateway)
    meter.exchange(gateway, 1)
    del gateway.keys[1]  # it was restored from an older backup
    assert meter.keystore.key_epoch == 1
    before = len(gateway.messages)
    meter.exchange(gateway, UNHEARD_TO_SWITCH + 2)
    assert (meter.keystore.key_epoch, len(gateway.messages) > before) == (0, True)


def test_one_lost_receipt_anywhere_in_a_rekey_ends_in_the_new_key():
    for lost in range(6):
        meter, gateway = a_talk()
        ask(meter, gateway)
        for index in range(6):
            meter.exchange(gateway, 1, receipts=index != lost)
        assert (meter.settings.key_epoch, gateway.key_epoch) == (1, 1), lost


def test_a_rekey_that_came_before_is_done_and_another_key_for_its_epoch_is_refused():
    meter, gateway = a_talk()
    ask(meter, gateway)
    found = meter.command(gateway, COMMAND_REKEY, 1, b"\x09" * 32, command_id=8)
    assert found == [Result(7, 0, b""), Result(8, 2, b"key_epoch")]
    assert meter.settings.key_of(1) == NEW_KEY
    found = meter.command(gateway, COMMAND_REKEY, 1, NEW_KEY, command_id=20)
    assert found == [Result(20, 0, b"")]
    found = meter.command(gateway, COMMAND_REKEY, 0, METER_KEY, command_id=21)
    assert found == [Result(21, 2, b"key_epoch")]


def test_a_rekey_whose_result_was_lost_gets_the_same_answer_again():
    meter, gateway = a_talk()
    ask(meter, gateway)
    again = TalkingMeter(meter.flash.after_power_on())
    again.uplink.link_up()
    again.uplink.receive(*gateway.seal(REKEY))
    again.exchange(gateway, 4)
    assert gateway.of(Result) == [Result(7, 0, b"")]
    assert (again.settings.key_epoch, gateway.key_epoch) == (1, 1)


def test_a_meter_that_was_rekeyed_and_lost_its_settings_stays_silent_under_the_old_key():
    meter, gateway = a_talk()
    ask(meter, gateway)
    meter.exchange(gateway, 3)
    flash = meter.flash.after_power_on()
    flash.image[4 * 4096 : 7 * 4096] = b"\xff" * (3 * 4096)
    assert "pair the meter again" in refusal_of(OldKey, TalkingMeter, flash)


def test_a_meter_that_lost_its_settings_amid_a_rekey_uses_no_counter_twice():
    meter, gateway = a_talk()
    ask(meter, gateway)
    meter.exchange(gateway, 1)
    meter.send()  # under the new key; nobody hears it
    used = list(meter.used)
    flash = meter.flash.after_power_on()
    flash.image[4 * 4096 : 7 * 4096] = b"\xff" * (3 * 4096)
    again = TalkingMeter(flash)
    assert again.keystore.key_epoch == 0
    greet(again, gateway, 1)
    again.uplink.receive(*gateway.seal(REKEY))
    again.exchange(gateway, 3)
    used += again.used
    assert {key_epoch for key_epoch, _ in again.used} == {0, 1}
    assert len(set(used)) == len(used)
    assert (again.settings.key_epoch, gateway.key_epoch) == (1, 1)


def test_a_settings_ring_that_is_worn_at_the_end_of_a_rekey_leaves_both_keys_in_force():
    meter, gateway = a_talk()
    ask(meter, gateway)
    meter.exchange(gateway)
    finish = meter.settings.finish_rekey

    def worn():
        raise FlashWorn()

    meter.settings.finish_rekey = worn
    refusal_of(FlashWorn, meter.exchange, gateway)
    assert [meter.keystore.may_use(key_epoch) for key_epoch in (0, 1)] == [True, True]
    meter.settings.finish_rekey = finish
    meter.uplink.link_down()
    greet(meter, gateway, 1)
    assert (meter.settings.key_epoch, gateway.key_epoch) == (1, 1)


def test_a_receipt_under_the_other_key_speaks_for_no_frame_of_this_one():
    for used in (0, 1):
        meter, gateway = a_talk()
        ask(meter, gateway)
        meter.exchange(gateway, used)  # 1: the result is receipted and the new key in use
        meter.uplink.waiting.answers = []
        assert meter.keystore.key_epoch == used
        if used:
            assert meter.send().kind == "status"
            meter.uplink.receive(*gateway.seal(Receipt(1 << 40, 0, NOON_S), 0))
            assert meter.uplink.state == AWAITING
            continue
        meter.events.add(5, (1,), NOON_S, 5)
        assert meter.send().kind == "event"
        meter.uplink.receive(*gateway.seal(Receipt(1 << 40, 0, NOON_S), 1))
        assert (meter.events.settled, meter.settings.key_epoch) == (0, 1)
        meter.exchange(gateway, 3)
        assert meter.events.settled == 1


def test_a_newer_rekey_replaces_one_that_was_never_finished():
    meter, gateway = a_talk()
    ask(meter, gateway)
    del gateway.keys[1]
    gateway.keys[2] = b"\x09" * 32
    meter.uplink.receive(*gateway.seal(Command(8, COMMAND_REKEY, (2, b"\x09" * 32))))
    meter.exchange(gateway, 4)
    assert (meter.settings.key_epoch, gateway.key_epoch) == (2, 2)


def test_a_rekey_ends_in_talking_when_power_goes_at_any_flash_operation():
    # Every third one here; tests/firmware_host cuts at each of them, and twice in a row.
    assert torture(work, check, 3, BLOCKS, 512, more=1, again=0, every=3).cuts > 30
