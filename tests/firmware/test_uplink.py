"""What the meter sends next and what a receipt settles, over lost and forged frames."""

from firmware.keystore import COUNTERS_RESERVED, RECEIVER_WINDOW
from firmware.uplink import (
    AWAITING,
    BACKING_OFF,
    GREETING,
    OFFLINE,
    READY,
    RECEIPT_WAIT_MS,
    RESEND_BASE_MS,
    RESEND_MAX_MS,
    TABLE,
)
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, FakeClock, a_down_frame, opened
from tests.support.a_talk import BLOCKS, TalkingMeter
from tests.support.fake_flash import FakeFlash
from wire import topics
from wire.keys import UP
from wire.messages import Profile, Receipt, Status

STATUS = Status(NOON_S, "0.1.0", 5, 1000, 3, 0, 1)


class Talk(TalkingMeter):
    """A meter with so many intervals in its journal, and receipts as a test wants them."""

    def __init__(self, intervals=3, now_s=NOON_S, flash=None, ticks_ms=0):
        super().__init__(flash or FakeFlash(BLOCKS), now_s=now_s)
        self.clock.ms = ticks_ms
        self.measure(intervals)
        self.down_counter = 100 * (self.keystore.starts - 1)  # a gateway's counters only grow

    def receipt(self, interval, counter=None, committed=-1):
        if counter is None:
            counter = self.down_counter
        self.down_counter = counter + 1
        return self.uplink.receive(*a_down_frame(Receipt(committed, interval, NOON_S), counter))

    def greet(self):
        self.uplink.link_up()
        self.send()
        self.receipt(0)
        return self

    def lapse(self):
        """The receipt does not come and the pause is over."""
        self.clock.pass_ms(RECEIPT_WAIT_MS)
        assert self.send() is None
        self.clock.pass_ms(self.uplink._wait_ms)


def test_a_fresh_link_begins_with_one_status():
    talk = Talk()
    assert talk.uplink.next_frame() is None
    talk.uplink.link_up()
    first = talk.send()
    assert opened(first.frame) == STATUS
    assert talk.uplink.state == AWAITING
    assert talk.uplink.next_frame() is None


def test_after_the_greeting_the_waiting_intervals_go_in_one_frame():
    talk = Talk(5).greet()
    outgoing = talk.send()
    profile = opened(outgoing.frame)
    assert type(profile) is Profile
    assert (profile.first, profile.oldest, len(profile.quality)) == (1, 1, 5)
    assert (outgoing.first, outgoing.count, talk.uplink.state) == (1, 5, AWAITING)
    assert talk.send() is None


def test_only_a_receipt_frees_the_journal():
    talk = Talk(3).greet()
    talk.send()
    assert talk.journal.unsettled == 3
    talk.receipt(3)
    assert talk.journal.unsettled == 0
    assert talk.uplink.state == READY
    assert talk.send() is None


def test_a_receipt_for_a_part_settles_that_part_and_the_rest_is_sent_again():
    talk = Talk(4).greet()
    first = talk.send()
    talk.receipt(2)
    assert (talk.journal.unsettled, talk.uplink.state) == (2, AWAITING)
    talk.clock.pass_ms(RECEIPT_WAIT_MS)
    assert talk.send() is None
    talk.clock.pass_ms(RESEND_BASE_MS)
    again = talk.send()
    assert (again.first, again.count) == (3, 2)
    assert again.frame_counter > first.frame_counter


def test_an_unreceipted_frame_is_sent_again_under_a_new_counter_after_a_pause():
    talk = Talk(2).greet()
    first = talk.send()
    talk.clock.pass_ms(RECEIPT_WAIT_MS - 1)
    assert talk.send() is None
    assert talk.uplink.state == AWAITING
    talk.clock.pass_ms(1)
    assert talk.send() is None
    assert talk.uplink.state == BACKING_OFF
    talk.clock.pass_ms(RESEND_BASE_MS - 1)
    assert talk.send() is None
    talk.clock.pass_ms(1)
    again = talk.send()
    assert opened(again.frame) == opened(first.frame)
    assert again.frame_counter == first.frame_counter + 1 + RECEIVER_WINDOW


def test_the_pauses_double_up_to_a_limit_and_have_jitter():
    talk = Talk(1).greet()
    pauses = []
    for _ in range(12):
        assert talk.send() is not None
        talk.clock.pass_ms(RECEIPT_WAIT_MS)
        assert talk.send() is None
        pauses.append(talk.uplink._wait_ms)
        talk.clock.pass_ms(talk.uplink._wait_ms)
    assert pauses[:3] == [RESEND_BASE_MS, 2 * RESEND_BASE_MS, 4 * RESEND_BASE_MS]
    assert pauses[-1] == RESEND_MAX_MS
    assert talk.limits[:2] == [RESEND_BASE_MS // 2, RESEND_BASE_MS]


def test_a_receipt_during_the_pause_ends_it():
    talk = Talk(1).greet()
    talk.send()
    talk.clock.pass_ms(RECEIPT_WAIT_MS)
    talk.send()
    assert talk.uplink.state == BACKING_OFF
    talk.receipt(1)
    assert talk.uplink.state == READY
    assert talk.journal.unsettled == 0


def test_time_outs_hold_across_a_wrap_of_the_ticks():
    talk = Talk(1, ticks_ms=FakeClock.PERIOD_MS - 5).greet()
    talk.send()
    talk.clock.pass_ms(RECEIPT_WAIT_MS - 1)
    talk.send()
    assert talk.uplink.state == AWAITING
    talk.clock.pass_ms(1)
    talk.send()
    assert talk.uplink.state == BACKING_OFF


def test_a_broken_link_starts_again_with_a_greeting_and_sends_what_was_in_flight():
    talk = Talk(2).greet()
    talk.send()
    talk.uplink.link_down()
    talk.uplink.link_down()
    assert talk.uplink.state == OFFLINE
    talk.greet()
    assert talk.send().first == 1


def test_a_receipt_that_was_under_way_when_the_link_broke_still_settles():
    talk = Talk(2).greet()
    talk.send()
    talk.uplink.link_down()
    talk.receipt(2)
    assert talk.uplink.state == OFFLINE
    assert talk.journal.unsettled == 0


def test_the_receipt_of_the_greeting_settles_what_was_committed_before_the_break():
    talk = Talk(2).greet()
    talk.send()
    talk.uplink.link_down()
    talk.uplink.link_up()
    talk.send()
    talk.receipt(2)
    assert talk.send() is None
    assert talk.journal.unsettled == 0


def test_a_meter_that_does_not_know_the_time_greets_until_it_is_told():
    talk = Talk(0, now_s=None)
    talk.uplink.link_up()
    assert talk.send().kind == "status"
    talk.clock.pass_ms(RECEIPT_WAIT_MS)
    assert talk.send() is None
    talk.clock.pass_ms(RESEND_BASE_MS)
    assert talk.send().kind == "status"
    message = talk.receipt(0)
    assert message.time_s == NOON_S
    assert talk.uplink.state == READY


def test_without_any_receipt_the_intervals_are_sent_all_the_same():
    talk = Talk(1)
    talk.uplink.link_up()
    talk.send()
    talk.clock.pass_ms(RECEIPT_WAIT_MS)
    talk.send()
    talk.clock.pass_ms(RESEND_BASE_MS)
    assert talk.send().kind == "profile"


def test_a_replayed_receipt_is_refused_by_name_also_after_a_restart():
    talk = Talk(2).greet()
    talk.send()
    assert talk.receipt(2, counter=7) is not None
    assert talk.receipt(2, counter=7) is None
    assert talk.receipt(2, counter=6) is None
    assert talk.uplink.refused == {"replayed": 2}
    again = Talk(0, flash=talk.flash.after_power_on())
    again.uplink.link_up()
    assert again.receipt(2, counter=7) is None
    assert again.receipt(2, counter=8) is not None
    assert again.journal.unsettled == 0


def test_frames_that_are_not_for_this_meter_are_refused_by_name():
    talk = Talk(1).greet()
    receipt = Receipt(-1, 1, NOON_S)
    topic, good = a_down_frame(receipt, 50)
    refusals = (
        ("wrong_topic", topics.up(METER_ID), good),
        ("wrong_topic", topics.down(b"12345678"), good),
        ("bad_tag", topic, a_down_frame(receipt, 50, key=b"\x01" * 32)[1]),
        ("bad_tag", topic, good[:-1] + bytes((good[-1] ^ 1,))),
        ("unknown_epoch", topic, a_down_frame(receipt, 50, key_epoch=1)[1]),
        ("malformed", topic, a_down_frame(receipt, 50, direction=UP)[1]),
        ("malformed", topic, b""),
        ("malformed", topic, good[:20]),
        ("too_large", topic, good + bytes(1024)),
        ("unsupported", topic, a_down_frame(STATUS, 50)[1]),
    )
    for reason, where, data in refusals:
        before = talk.uplink.refused.get(reason, 0)
        assert talk.uplink.receive(where, data) is None
        assert talk.uplink.refused[reason] == before + 1, reason
    assert talk.journal.unsettled == 1
    assert talk.uplink.receive(topic, good) == receipt


def test_a_receipt_for_intervals_not_measured_settles_nothing_and_is_counted():
    talk = Talk(2).greet()
    talk.send()
    talk.receipt(3)
    assert talk.journal.unsettled == 2
    assert talk.uplink.refused == {"beyond_journal": 1}


def test_settled_intervals_stay_settled_after_a_restart():
    talk = Talk(3).greet()
    talk.send()
    talk.receipt(2)
    again = Talk(0, flash=talk.flash.after_power_on()).greet()
    assert again.send().first == 3


def test_no_frame_counter_is_sent_twice_over_restarts():
    flash, seen = FakeFlash(BLOCKS), []
    for _ in range(4):
        talk = Talk(1, flash=flash).greet()
        for _ in range(COUNTERS_RESERVED // 2):
            outgoing = talk.uplink.next_frame()
            seen.append(outgoing.frame_counter)
        flash = flash.after_power_on()
    assert len(set(seen)) == len(seen)


def test_a_batch_of_24_intervals_is_at_most_190_bytes_as_a_whole_packet():
    talk = Talk(30).greet()
    outgoing = talk.send()
    assert outgoing.count == 24
    assert 2 + 1 + 2 + len(talk.uplink.up_topic) + 2 + len(outgoing.frame) <= 190


def test_every_state_can_be_left_and_reached_and_a_broken_link_ends_each():
    for state in (GREETING, AWAITING, READY, BACKING_OFF):
        assert TABLE[(state, "link_down")] == OFFLINE
    reached = {OFFLINE}
    for _ in TABLE:
        for (state, _event), following in TABLE.items():
            if state in reached:
                reached.add(following)
    assert reached == {OFFLINE, GREETING, AWAITING, READY, BACKING_OFF}


def test_the_meter_key_is_in_no_text_of_the_uplink():
    talk = Talk(1).greet()
    assert METER_KEY.hex() not in repr(talk.uplink.__dict__)
