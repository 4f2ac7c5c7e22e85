"""The event log: numbered for life, durable, dated when it can be, told exactly once."""

from firmware.events import EVENT_BYTES, EVENT_VALUES_MAX, RAM_EVENTS_MAX, EventLog
from firmware.journal import Journal
from tests.support.a_meter import refused
from tests.support.fake_flash import FakeFlash
from wire import messages
from wire.keys import UP
from wire.messages import EVENT_BOOT, EVENT_EVENTS_LOST, EVENT_OUTAGE, EVENT_SAG, EVENT_TAMPER

NOON_S = 1634299200
BLOCKS = 3
SLOTS = 6
BLOCK_BYTES = SLOTS * (EVENT_BYTES + 8) + 2


def a_flash():
    return FakeFlash(BLOCKS, block_bytes=BLOCK_BYTES)


def a_log(flash, settled=0):
    return EventLog(Journal(flash, 0, BLOCKS, EVENT_BYTES), settled)


def add_outages(log, count):
    for index in range(count):
        log.add(EVENT_OUTAGE, (index,), NOON_S + index, index)


def test_events_are_numbered_for_life_and_come_out_oldest_first():
    flash = a_flash()
    assert a_log(flash).add(EVENT_BOOT, (1, 7), NOON_S, 0) == 1
    log = a_log(flash)
    assert log.add(EVENT_SAG, (2, 195000, 40), NOON_S + 9, 9) == 2
    assert log.next(NOON_S + 60, 60) == (NOON_S, EVENT_BOOT, (1, 7), 1)
    log.settle(1)
    assert log.next(NOON_S + 60, 60) == (NOON_S + 9, EVENT_SAG, (2, 195000, 40), 2)
    log.settle(2)
    assert log.next(NOON_S + 60, 60) is None


def test_an_event_stays_until_its_receipt_even_over_a_restart():
    flash = a_flash()
    log = a_log(flash)
    add_outages(log, 2)
    for _ in range(3):
        assert log.next(NOON_S, 0).number == 1
    log.settle(1)
    assert a_log(flash.after_power_on(), settled=1).next(NOON_S, 0).number == 2
    assert a_log(flash.after_power_on(), settled=2).next(NOON_S, 0) is None


def test_a_receipt_that_comes_again_or_late_settles_nothing_more():
    log = a_log(a_flash())
    add_outages(log, 3)
    log.settle(2)
    for number in (2, 1, 0):
        log.settle(number)
        assert (log.settled, log.next(NOON_S, 0).number) == (2, 3)


def test_a_receipt_for_an_event_that_never_was_is_refused():
    log = a_log(a_flash())
    add_outages(log, 3)
    assert refused(ValueError, lambda: log.settle(4))
    assert log.settled == 0
    log.settle(3)
    assert log.next(NOON_S, 0) is None


def test_every_value_from_none_to_four_of_64_bits_survives():
    log = a_log(a_flash())
    most, least = (1 << 63) - 1, -(1 << 63)
    for values in ((), (least,), (most, least, 0, -1)):
        number = log.add(EVENT_TAMPER, values, (1 << 36) - 1, (1 << 32) - 1)
        event = log.next(None, 0)
        assert event == ((1 << 36) - 1, EVENT_TAMPER, values, number)
        assert messages.decode(messages.encode(event), UP) == event
        log.settle(number)
    too_many = (0,) * (EVENT_VALUES_MAX + 1)
    assert refused(AssertionError, lambda: log.add(EVENT_TAMPER, too_many, NOON_S, 0))


def test_an_event_before_the_time_was_known_is_dated_once_it_is():
    log = a_log(a_flash())
    for unknown in (None, 0):
        number = log.add(EVENT_BOOT, (), unknown, 100)
        assert log.next(None, 400).at_s == 0
        assert log.next(NOON_S, 400).at_s == NOON_S - 300
        assert log.next(NOON_S + 50, 450).at_s == NOON_S - 300
        log.settle(number)


def test_an_undated_event_of_an_earlier_start_stays_undated():
    flash = a_flash()
    a_log(flash).add(EVENT_BOOT, (1,), None, 100)
    log = a_log(flash)
    log.add(EVENT_BOOT, (2,), None, 5)
    assert log.next(NOON_S, 10).at_s == 0
    log.settle(1)
    assert log.next(NOON_S, 10).at_s == NOON_S - 5


def test_overwritten_events_are_told_as_lost_under_the_number_of_the_last_of_them():
    flash = a_flash()
    log = a_log(flash)
    add_outages(log, BLOCKS * SLOTS)
    assert log.lost == 0
    add_outages(log, 1)
    assert log.lost == SLOTS
    for again in (log, a_log(flash.after_power_on())):
        assert again.next(NOON_S, 0) == (NOON_S, EVENT_EVENTS_LOST, (SLOTS,), SLOTS)
        again.settle(SLOTS)
        assert (again.lost, again.next(NOON_S, 0).number) == (0, SLOTS + 1)


def test_settled_events_are_overwritten_without_a_word():
    log = a_log(a_flash())
    add_outages(log, BLOCKS * SLOTS)
    log.settle(SLOTS)
    add_outages(log, 1)
    assert (log.lost, log.next(NOON_S, 0).number) == (0, SLOTS + 1)


def test_a_damaged_event_is_told_as_lost_and_the_others_as_they_are():
    flash = a_flash()
    add_outages(a_log(flash), 3)
    flash.image[(EVENT_BYTES + 8) + 9] ^= 4
    log = a_log(flash)
    told = []
    while log.next(None, 0):
        told.append(log.next(None, 0))
        log.settle(told[-1].number)
    assert [(event.code, event.number) for event in told] == [
        (EVENT_OUTAGE, 1),
        (EVENT_EVENTS_LOST, 2),
        (EVENT_OUTAGE, 3),
    ]
    assert told[1].values == (1,)


def test_the_numbers_of_events_in_a_damaged_block_are_not_given_to_new_ones():
    flash = a_flash()
    add_outages(a_log(flash), 2 * SLOTS + SLOTS)
    at = 2 * BLOCK_BYTES
    flash.image[at : at + BLOCK_BYTES] = bytes([index % 199 for index in range(BLOCK_BYTES)])
    log = a_log(flash, settled=2 * SLOTS)
    assert log.add(EVENT_BOOT, (), NOON_S, 0) > 3 * SLOTS
    event = log.next(NOON_S, 0)
    assert (event.code, event.values) == (EVENT_EVENTS_LOST, (SLOTS,))
    log.settle(event.number)
    assert log.next(NOON_S, 0).code == EVENT_BOOT


def test_an_event_of_a_newer_layout_is_not_misread():
    flash = a_flash()
    ring = Journal(flash, 0, BLOCKS, EVENT_BYTES)
    for first in ((2, EVENT_OUTAGE, 1), (1, EVENT_OUTAGE, EVENT_VALUES_MAX + 1)):
        ring.append(bytes(first) + bytes(EVENT_BYTES - 3))
    log = a_log(flash)
    assert log.next(None, 0) == (0, EVENT_EVENTS_LOST, (2,), 2)
    assert log.recent(5) == []


def test_where_the_flash_is_worn_events_wait_in_memory_and_the_rest_is_counted():
    flash = a_flash()
    log = a_log(flash)
    add_outages(log, BLOCKS * SLOTS)
    log.settle(BLOCKS * SLOTS)
    flash.stuck_blocks = (0, 1)
    for index in range(RAM_EVENTS_MAX + 1):
        assert log.add(EVENT_SAG, (index,), None, index) == 0
        assert log.dropped == (1 if index == RAM_EVENTS_MAX else 0)
    for index in range(RAM_EVENTS_MAX):
        assert log.next(NOON_S, 100) == (NOON_S - 100 + index, EVENT_SAG, (index,), 0)
        log.settle(0)
        log.settle(0)  # a receipt that comes again frees no event that was not sent
    assert log.next(NOON_S, 100) is None


def test_the_most_recent_events_are_shown_newest_first_settled_or_not():
    log = a_log(a_flash())
    assert log.recent(3) == []
    add_outages(log, 5)
    log.settle(4)
    assert [event.number for event in log.recent(3)] == [5, 4, 3]
    assert [event.number for event in log.recent(9)] == [5, 4, 3, 2, 1]
    assert log.recent(0) == []
