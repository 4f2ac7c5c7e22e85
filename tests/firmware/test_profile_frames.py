"""Profile messages: as many intervals as 190 bytes on the air carry, none skipped, none twice."""

from firmware.journal import SLOT_OVERHEAD_BYTES, Journal
from firmware.load_profile import (
    INTERVAL_BYTES,
    PACKET_BYTES_MAX,
    PUSH_INTERVALS_MAX,
    Interval,
    next_profile,
)
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S
from tests.support.fake_flash import FakeFlash
from wire import frame, messages, topics
from wire.keys import UP, EpochKey

SLACK_BYTES = 13  # numbers, heads and registers are reckoned at their longest


def a_journal(intervals, blocks=4):
    journal = Journal(FakeFlash(blocks), 0, blocks, INTERVAL_BYTES)
    for interval in intervals:
        journal.append(interval.pack(), interval.number)
    return journal


def an_interval(number, start_s, grade, registers_wh, deltas_wh, channels=(1, 2)):
    return Interval(number, start_s, 900, grade, registers_wh, deltas_wh, channels)


def a_run(count, number=1, start_s=NOON_S, register_wh=0, step_wh=10, grade=0):
    run = []
    for index in range(count):
        register_wh += step_wh
        at_s = start_s + 900 * index
        run.append(an_interval(number + index, at_s, grade, (register_wh, 0), (step_wh, 0)))
    return run


def packet_bytes(profile):
    """A profile on the air: fixed header, remaining length, topic, packet id, frame (MQTT 3.3)."""
    topic = topics.up(METER_ID)
    sealed = frame.seal(EpochKey(0, METER_KEY), UP, 1 << 33, topic, messages.encode(profile))
    remaining = 2 + len(topic) + 2 + len(sealed)
    return 1 + (1 if remaining < 128 else 2) + remaining


def grown(count, channels, wh_of, number=1, registers_wh=None, grade_of=lambda index: 0):
    """A run whose energies wh_of(index, channel) gives."""
    run, registers_wh = [], registers_wh or [0] * len(channels)
    for index in range(count):
        deltas_wh = [wh_of(index, channel) for channel in range(len(channels))]
        registers_wh = [wh + more for wh, more in zip(registers_wh, deltas_wh)]
        start_s, grade = NOON_S + 900 * index, grade_of(index)
        row = (tuple(registers_wh), tuple(deltas_wh), channels)
        run.append(an_interval(number + index, start_s, grade, *row))
    return run


def sent_whole(run):
    """The sizes of the frames that carry a run, each interval once and in order."""
    journal = a_journal(run)
    number, sizes = run[0].number, []
    while number <= run[-1].number:
        profile = next_profile(journal, number)
        assert profile.first == number
        assert packet_bytes(profile) <= PACKET_BYTES_MAX
        for index, grade in enumerate(profile.quality):
            sent = tuple([row[index] for row in profile.deltas_wh])
            held = run[number - run[0].number]
            assert (held.deltas_wh, held.quality) == (sent, grade)
            number += 1
        sizes.append(len(profile.quality))
        journal.settle(number - 1)
    return sizes


def test_a_usual_household_s_six_hours_are_one_frame_of_at_most_190_bytes():
    run = grown(24, (1, 2), lambda index, channel: 127, 1 << 17, [(1 << 34), (1 << 33)])
    assert sent_whole(run) == [24]
    # 5.7 kWh in six hours of a cooking, charging evening: a third of the energies need two bytes.
    evening = grown(24, (1, 2), lambda index, channel: 0 if channel else 40 + index * 13, 1 << 17)
    assert sent_whole(evening) == [24]


def test_high_energies_in_both_directions_go_in_fewer_intervals_a_frame():
    run = grown(24, (1, 2), lambda index, channel: 128, 1 << 17, [(1 << 39), (1 << 39)])
    sizes = sent_whole(run)
    assert len(sizes) == 2
    assert sizes[0] >= 16


def test_the_worst_energies_of_four_channels_still_go_one_interval_at_least_a_frame():
    top = (1 << 40) - 1 - 24 * ((1 << 24) - 1)
    run = grown(
        24,
        (1, 2, 3, 4),
        lambda index, channel: (1 << 24) - 1,
        (1 << 32) - 30,
        [top] * 4,
        lambda index: index % 64,
    )
    assert min(sent_whole(run)) >= 1


def test_random_runs_fill_their_frames_and_never_pass_190_bytes():
    dice = 20211015
    for case in range(40):
        channels = ((1,), (1, 2), (1, 2), (1, 2, 3, 4))[case % 4]
        values = []
        for _ in range(24 * len(channels)):
            dice = (dice * 69069 + 12345) & 0x3FFFFFFF
            values.append((dice >> 6) % (1 << (3 + case * 5 % 22)))
        grades = (0, 0, 8) if case % 3 else (0, 4, 8, 12)

        def wh_of(index, channel, values=values, channels=channels):
            return values[index * len(channels) + channel]

        def grade_of(index, grades=grades, pick=dice):
            return grades[(index * pick >> 4) % len(grades)]

        first = (1, 200, 70_000, 1 << 31)[case // 4 % 4]
        run = grown(24, channels, wh_of, first, [dice] * len(channels), grade_of)
        size = sent_whole(run)[0]
        assert size == 24 or bytes_of_first(run, size + 1) > PACKET_BYTES_MAX - SLACK_BYTES


def bytes_of_first(run, count):
    """What the first `count` intervals would take on the air."""
    run = run[:count]
    start, width = run[0], range(len(run[0].channels))
    profile = messages.Profile(
        start.number,
        start.number,
        start.start_s,
        900,
        start.channels,
        tuple([start.registers_wh[c] - start.deltas_wh[c] for c in width]),
        tuple([tuple([interval.deltas_wh[c] for interval in run]) for c in width]),
        tuple([interval.quality for interval in run]),
    )
    return packet_bytes(profile)


def test_a_change_of_the_channels_ends_a_profile():
    first = grown(3, (1, 2), lambda index, channel: 1)
    then = an_interval(4, NOON_S + 2700, 0, (4,), (1,), (1,))
    profile = next_profile(a_journal(first + [then]), 1)
    assert (len(profile.quality), profile.channels) == (3, (1, 2))


def test_a_profile_holds_at_most_24_intervals_and_goes_on_from_there():
    journal = a_journal(a_run(60))
    first = next_profile(journal, 1)
    assert (first.first, first.oldest, len(first.quality)) == (1, 1, PUSH_INTERVALS_MAX)
    assert first.registers_wh == (0, 0)
    second = next_profile(journal, 25)
    assert (second.first, second.oldest) == (25, 1)
    assert second.registers_wh == (240, 0)
    assert second.start_s == NOON_S + 24 * 900


def test_a_profile_says_what_the_wire_can_carry():
    profile = next_profile(a_journal(a_run(24, register_wh=(1 << 33))), 1)
    assert messages.decode(messages.encode(profile), UP) == profile


def test_a_gap_in_time_ends_a_profile():
    run = a_run(3)
    later = a_run(2, number=4, start_s=NOON_S + 86400, register_wh=30)
    journal = a_journal(run + later)
    assert len(next_profile(journal, 1).quality) == 3
    assert (next_profile(journal, 4).first, len(next_profile(journal, 4).quality)) == (4, 2)


def test_a_jump_of_the_register_ends_a_profile():
    journal = a_journal(a_run(3) + a_run(2, number=4, start_s=NOON_S + 2700, register_wh=31))
    assert len(next_profile(journal, 1).quality) == 3


def test_settled_intervals_are_not_sent_again():
    journal = a_journal(a_run(10))
    journal.settle(7)
    profile = next_profile(journal, 1)
    assert (profile.first, profile.oldest, len(profile.quality)) == (8, 8, 3)
    journal.settle(10)
    assert next_profile(journal, 11) is None


def test_an_unreadable_interval_is_stepped_over_and_the_gateway_told_not_to_wait():
    journal = a_journal(a_run(10))
    journal._flash.image[3 * (INTERVAL_BYTES + SLOT_OVERHEAD_BYTES) + 9] ^= 4  # number 4
    assert len(next_profile(journal, 1).quality) == 3
    journal.settle(3)
    profile = next_profile(journal, 4)
    assert (profile.first, profile.oldest, len(profile.quality)) == (5, 5, 6)
