"""Answers, events and intervals asked for again: in which order they go, and what frees them."""

from firmware.keystore import RECEIVER_WINDOW
from firmware.uplink import (
    BACKING_OFF,
    GREETING,
    READY,
    RECEIPT_WAIT_MS,
    RESTART_GRACE_MS,
)
from firmware.waiting import ANSWERS_MAX
from tests.support.a_meter import NOON_S
from tests.support.a_talk import BLOCKS, UPTIME_S, ModelGateway, TalkingMeter
from tests.support.fake_flash import FakeFlash
from wire.messages import (
    COMMAND_READ_NOW,
    COMMAND_READ_PROFILE,
    COMMAND_RESTART,
    COMMAND_SET_CAPTURE_PERIOD,
    EVENT_BOOT,
    EVENT_LAST_GASP,
    EVENT_TAMPER,
    Command,
    Event,
    Profile,
    Receipt,
    Registers,
    Result,
    Status,
)


def a_talk(intervals=0, flash=None, now_s=NOON_S):
    """A meter and its gateway that have greeted each other."""
    meter, gateway = TalkingMeter(flash or FakeFlash(BLOCKS), now_s=now_s), ModelGateway()
    meter.uplink.link_up()
    meter.exchange(gateway)
    meter.measure(intervals)
    return meter, gateway


def tell(meter, gateway, code, *args, command_id=7):
    """A command comes down and its result does not go up yet."""
    meter.uplink.receive(*gateway.seal(Command(command_id, code, args)))


def note(meter, code=EVENT_TAMPER, at_s=NOON_S):
    return meter.events.add(code, (1,), at_s, UPTIME_S)


def kinds(gateway, since=0):
    return [type(message) for message in gateway.messages[since:]]


def test_results_go_before_events_and_those_before_intervals_asked_for_again_and_new_ones():
    meter, gateway = a_talk(30)
    meter.exchange(gateway, 2)
    meter.measure()
    note(meter)
    tell(meter, gateway, COMMAND_READ_PROFILE, 1, 3)
    before = len(gateway.messages)
    assert meter.exchange(gateway, 9) == 4
    assert kinds(gateway, before) == [Result, Event, Profile, Profile]
    assert [profile.first for profile in gateway.of(Profile)] == [1, 25, 1, 31]


def test_an_event_is_freed_by_a_receipt_that_covers_it_and_by_no_other():
    meter, gateway = a_talk()
    number = note(meter)
    sent = meter.send()
    for committed in (-1, sent.frame_counter - 1):
        meter.uplink.receive(*gateway.seal(Receipt(committed, 0, NOON_S)))
        assert meter.events.settled == number - 1
    meter.uplink.receive(*gateway.seal(Receipt(sent.frame_counter, 0, NOON_S)))
    assert (meter.events.settled, meter.uplink.state, meter.send()) == (number, READY, None)


def test_a_settled_event_stays_settled_over_a_restart_and_an_unsettled_one_is_sent():
    meter, gateway = a_talk()
    note(meter)
    meter.exchange(gateway)
    note(meter)
    again = TalkingMeter(meter.flash.after_power_on())
    assert again.events.settled == 1
    again.uplink.link_up()
    again.exchange(gateway, 5)
    assert [event.number for event in gateway.of(Event)] == [1, 2]


def test_an_event_of_before_the_time_was_known_is_dated_when_it_goes():
    meter, gateway = a_talk(now_s=None)
    note(meter, EVENT_BOOT, None)
    meter.clock.wall_s = NOON_S + 100
    meter.exchange(gateway)
    assert gateway.of(Event) == [Event(NOON_S + 100, EVENT_BOOT, (1,), 1)]


def test_a_result_is_sent_again_until_its_receipt_comes():
    meter, gateway = a_talk()
    tell(meter, gateway, COMMAND_SET_CAPTURE_PERIOD, 300)
    for _ in range(3):
        meter.exchange(gateway, 1, receipts=False)
    meter.exchange(gateway, 1)
    assert gateway.of(Result) == [Result(7, 0, b"")] * 4
    assert meter.uplink.waiting.answers == []
    assert meter.exchange(gateway, 1) == 0


def test_a_command_that_comes_again_before_its_result_went_is_answered_once():
    meter, gateway = a_talk()
    for _ in range(3):
        tell(meter, gateway, COMMAND_SET_CAPTURE_PERIOD, 300)
    meter.exchange(gateway, 5)
    assert gateway.of(Result) == [Result(7, 0, b"")]
    assert meter.controls.changes == [(4, 300)]


def test_a_result_lost_in_a_restart_is_given_again_without_doing_it_again():
    meter, gateway = a_talk()
    tell(meter, gateway, COMMAND_SET_CAPTURE_PERIOD, 300)
    again = TalkingMeter(meter.flash.after_power_on())
    again.uplink.link_up()
    again.exchange(gateway)
    assert again.command(gateway, COMMAND_SET_CAPTURE_PERIOD, 300) == [Result(7, 0, b"")]
    assert again.controls.changes == []


def test_more_commands_than_can_be_answered_are_counted_and_not_carried_out():
    meter, gateway = a_talk()
    for index in range(ANSWERS_MAX + 1):
        tell(meter, gateway, COMMAND_SET_CAPTURE_PERIOD, 300, command_id=index)
    assert meter.uplink.refused == {"too_many_commands": 1}
    assert len(meter.controls.changes) == ANSWERS_MAX
    meter.exchange(gateway, 20)
    found = [result.command_id for result in gateway.of(Result)]
    assert found == list(range(ANSWERS_MAX))


def test_what_is_measured_now_finds_room_with_its_result_or_is_asked_for_again():
    for waiting in (ANSWERS_MAX - 2, ANSWERS_MAX - 1):
        meter, gateway = a_talk()
        for index in range(waiting):
            tell(meter, gateway, 99, command_id=100 + index)
        tell(meter, gateway, COMMAND_READ_NOW)
        fits = waiting + 2 <= ANSWERS_MAX
        assert meter.uplink.refused == ({} if fits else {"too_many_commands": 1})
        meter.exchange(gateway, 20)
        assert len(gateway.of(Registers)) == (1 if fits else 0)


def test_settled_intervals_go_again_when_asked_for_in_frames_that_fit():
    meter, gateway = a_talk(60)
    meter.exchange(gateway, 5)
    found = meter.command(gateway, COMMAND_READ_PROFILE, 5, 40)
    assert found == [Result(7, 0, b"\x00\x00\x00\x28")]
    again = gateway.of(Profile)[3:]
    assert [(one.first, len(one.quality)) for one in again] == [(5, 24), (29, 16)]
    assert again[0].oldest == 1  # all that is held: the gateway gives up nothing below
    assert meter.journal.settled == 60
    assert meter.exchange(gateway) == 0


def test_intervals_asked_for_that_are_not_held_are_told_and_not_sent():
    meter, gateway = a_talk(3)
    meter.exchange(gateway, 5)
    for first, count, held in ((4, 9, 0), (3, 9, 1), (1, 2976, 3)):
        profiles = len(gateway.of(Profile))
        found = meter.command(gateway, COMMAND_READ_PROFILE, first, count, command_id=first)
        assert found == [Result(first, 0, bytes((0, 0, 0, held)))]
        assert len(gateway.of(Profile)) == profiles + (1 if held else 0)


def test_a_newer_range_replaces_the_one_under_way():
    meter, gateway = a_talk(60)
    meter.exchange(gateway, 5)
    tell(meter, gateway, COMMAND_READ_PROFILE, 1, 60)
    tell(meter, gateway, COMMAND_READ_PROFILE, 50, 2, command_id=8)
    meter.exchange(gateway, 9)
    assert [one.first for one in gateway.of(Profile)[3:]] == [50]


def test_an_interval_asked_for_goes_again_until_its_receipt_comes():
    meter, gateway = a_talk(3)
    meter.exchange(gateway, 5)
    tell(meter, gateway, COMMAND_READ_PROFILE, 1, 3)
    meter.exchange(gateway, 1)
    meter.exchange(gateway, 2, receipts=False)
    meter.exchange(gateway, 1)
    assert [one.first for one in gateway.of(Profile)] == [1, 1, 1, 1]
    assert meter.exchange(gateway, 1) == 0


def test_an_event_that_finds_no_receipt_does_not_hold_back_the_load_profile():
    meter, gateway = a_talk()
    note(meter)
    for _ in range(4):
        meter.measure()
        before = len(gateway.messages)
        for _ in range(2):
            sent = meter.send() or meter.later() or meter.later()
            assert meter.uplink.unheard == 0  # the gateway is there
            gateway.take(sent.frame)
            # A gateway that never covers a frame counter, but does settle intervals.
            meter.uplink.receive(*gateway.seal(Receipt(-1, gateway.upto, NOON_S)))
        assert set(kinds(gateway, before)) == {Event, Profile}
    assert meter.journal.unsettled == 0
    assert (meter.events.settled, meter.uplink.unheard) == (0, 0)


def test_after_a_restart_the_first_receipt_frees_an_event_in_spite_of_the_skipped_counters():
    meter, gateway = a_talk()
    flash = meter.flash
    for start in range(3):
        meter = TalkingMeter(flash.after_power_on())
        note(meter)
        meter.uplink.link_up()
        assert meter.exchange(gateway, 9) == 2, start
        assert meter.events.settled == start + 1
        flash = meter.flash


def test_a_lost_frame_costs_the_next_ones_no_receipt():
    meter, gateway = a_talk()
    note(meter)
    note(meter)
    meter.send()  # and it is lost
    assert meter.exchange(gateway, 9) == 2
    assert [event.number for event in gateway.of(Event)] == [1, 2]
    assert meter.events.settled == 2


def test_an_urgent_event_goes_at_once_whatever_is_in_flight_and_only_once():
    meter, gateway = a_talk(1)
    meter.send()
    event = Event(NOON_S, EVENT_LAST_GASP, (), note(meter, EVENT_LAST_GASP))
    assert meter.uplink.urgent(event)
    gateway.take(meter.send().frame)
    assert gateway.messages[-1] == event
    assert meter.send() is None
    meter.exchange(gateway, 9)
    assert [message.number for message in gateway.of(Event)] == [1, 1]  # the stored one, too
    assert meter.events.settled == 1


def test_an_urgent_event_goes_during_a_pause_and_before_a_greeting_but_not_without_a_link():
    meter, gateway = a_talk(1)
    meter.send()
    meter.clock.pass_ms(RECEIPT_WAIT_MS)
    assert meter.send() is None and meter.uplink.state == BACKING_OFF
    event = Event(NOON_S, EVENT_LAST_GASP, (), 1)
    assert meter.uplink.urgent(event) and meter.send().kind == "urgent"
    meter.uplink.link_down()
    assert not meter.uplink.urgent(event)
    meter.uplink.link_up()
    assert meter.uplink.urgent(event) and meter.uplink.state == GREETING
    assert [meter.send().kind for _ in range(2)] == ["urgent", "status"]
    meter.uplink.urgent(event)
    meter.uplink.link_down()
    meter.uplink.link_up()
    assert meter.send().kind == "status"  # it is in the event log; its moment is over
    assert type(gateway.messages[-1]) is Status


def test_an_urgent_frame_that_arrived_does_not_speak_for_one_that_was_lost():
    meter, gateway = a_talk()
    meter.uplink.link_down()
    meter.uplink.link_up()
    meter.exchange(gateway)
    note(meter)
    lost = meter.send()
    assert lost.kind == "event"
    meter.uplink.urgent(Event(NOON_S, EVENT_LAST_GASP, (), 0))
    meter.uplink.receive(*gateway.take(meter.send().frame))
    assert gateway.contiguous() + RECEIVER_WINDOW > lost.frame_counter
    assert meter.events.settled == 0
    meter.exchange(gateway, 2)
    assert meter.events.settled == 1


def test_a_command_ends_a_pause_because_the_gateway_is_there():
    meter, gateway = a_talk(1)
    meter.send()
    meter.clock.pass_ms(RECEIPT_WAIT_MS)
    meter.send()
    tell(meter, gateway, COMMAND_SET_CAPTURE_PERIOD, 300)
    assert (meter.uplink.state, meter.send().kind) == (READY, "answer")


def test_a_restart_waits_for_the_receipt_of_its_result():
    meter, gateway = a_talk()
    assert not meter.uplink.restart_due()
    tell(meter, gateway, COMMAND_RESTART)
    assert not meter.uplink.restart_due()
    meter.exchange(gateway)
    assert gateway.of(Result) == [Result(7, 0, b"")]
    assert meter.uplink.restart_due()


def test_a_restart_waits_no_longer_than_its_grace():
    meter, gateway = a_talk()
    tell(meter, gateway, COMMAND_RESTART)
    meter.uplink.link_down()
    meter.clock.pass_ms(RESTART_GRACE_MS - 1)
    assert not meter.uplink.restart_due()
    meter.clock.pass_ms(1)
    assert meter.uplink.restart_due()
