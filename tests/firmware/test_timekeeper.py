"""A board's clock under the authority of receipts: set when far off, slewed when not."""

from firmware.clock import CLOCK_STEP_S, SLEW_S, Timekeeper
from tests.support.a_meter import NOON_S
from tests.support.crystal import Crystal, a_timekeeper, run
from wire.messages import START_S_MIN, TIME_S_MAX


def shown(keeper, crystal, duration_s):
    """What is shown in each of so many seconds."""
    times = [keeper.now_s()]
    for _ in range(duration_s):
        crystal.pass_s(1)
        times.append(keeper.now_s())
    return times


def test_an_unknown_time_is_taken_from_the_first_receipt():
    crystal = Crystal(off_s=None)
    keeper = Timekeeper(crystal)
    assert keeper.now_s() is None
    assert not keeper.synced
    assert keeper.receipt(NOON_S + 7) == (None, NOON_S + 7)
    assert keeper.now_s() == NOON_S + 7
    assert keeper.synced


def test_a_clock_off_by_more_than_five_seconds_is_set_and_up_to_five_is_not():
    for off_s in (CLOCK_STEP_S, CLOCK_STEP_S + 1, -CLOCK_STEP_S, -CLOCK_STEP_S - 1):
        keeper, crystal = a_timekeeper()
        crystal.pass_s(100)
        old_s = keeper.now_s()
        told = keeper.receipt(old_s + off_s)
        if abs(off_s) > CLOCK_STEP_S:
            assert told == (old_s, old_s + off_s)
            assert keeper.now_s() == old_s + off_s
        else:
            assert told is None
            assert keeper.now_s() == old_s


def test_the_board_s_clock_is_moved_by_a_step_only():
    keeper, crystal = a_timekeeper()
    crystal.sets.clear()
    for off_s in (3, -4, 5, 0, -5):
        before_s = crystal.off_s
        keeper.receipt(keeper.now_s() + off_s)
        run(keeper, crystal, 1200)
        assert crystal.off_s == before_s
    assert crystal.sets == []
    keeper.receipt(keeper.now_s() + 60)
    assert crystal.sets == [keeper.now_s()]


def test_a_slow_clock_leaves_one_second_out_in_sixty():
    keeper, crystal = a_timekeeper(off_s=-4)
    keeper.receipt(crystal.true_s())
    times = shown(keeper, crystal, 420)
    jumps = [at for at in range(1, len(times)) if times[at] - times[at - 1] == 2]
    assert len(jumps) == 4
    assert all([jumps[n + 1] - jumps[n] >= SLEW_S for n in range(3)])
    assert times[-1] == crystal.true_s()


def test_a_fast_clock_shows_one_second_twice_in_sixty_and_never_goes_back():
    keeper, crystal = a_timekeeper(off_s=4)
    keeper.receipt(crystal.true_s())
    times = shown(keeper, crystal, 420)
    steps = [times[at] - times[at - 1] for at in range(1, len(times))]
    assert steps.count(0) == 4
    assert steps.count(1) == len(steps) - 4
    waits = [at for at in range(len(steps)) if steps[at] == 0]
    assert all([waits[n + 1] - waits[n] >= SLEW_S for n in range(3)])
    assert times[-1] == crystal.true_s()


def test_no_second_at_which_an_interval_may_begin_is_ever_left_out():
    for period_s in [period_s for period_s in range(60, 3601) if 3600 % period_s == 0]:
        for boundary_s in (period_s, 3 * period_s):
            keeper, crystal = a_timekeeper()
            crystal.pass_s(boundary_s + 3540)
            keeper.receipt(crystal.true_s() + 5)  # a minute later a second may be left out
            seen = shown(keeper, crystal, 80)
            assert NOON_S + 3600 + boundary_s in seen
            assert len(seen) == seen[-1] - seen[0]


def test_a_receipt_never_turns_the_second_back_that_was_shown():
    keeper, crystal = a_timekeeper()
    keeper.receipt(NOON_S + 4)
    now_s = shown(keeper, crystal, 60)[-1]
    assert now_s == NOON_S + 60  # an even second, which is not left out: the slew waits
    keeper.receipt(now_s - 4)
    assert keeper.now_s() == now_s


def test_looks_many_times_a_second_or_once_a_minute_slew_as_well():
    for look_ms, off_s in ((100, 3), (100, -3), (60_000, 3), (60_000, -3)):
        keeper, crystal = a_timekeeper(off_s=off_s)
        keeper.receipt(crystal.true_s())
        before_s = keeper.now_s()
        for _ in range(300_000 // look_ms):
            crystal.true_ms += look_ms
            now_s = keeper.now_s()
            assert now_s >= before_s
            before_s = now_s
        assert before_s == crystal.true_s()


def test_a_time_kept_over_a_reset_is_shown_but_not_synced_before_a_receipt():
    keeper = Timekeeper(Crystal())
    assert keeper.now_s() == NOON_S
    assert not keeper.synced
    assert keeper.receipt(NOON_S) is None
    assert keeper.synced


def test_a_scripted_clock_is_left_alone():
    for off_s in (0, 3, -100):
        crystal = Crystal()
        crystal.settable = False
        keeper = Timekeeper(crystal, 200_000)
        for _ in range(5):
            crystal.pass_s(6000)
            assert keeper.now_s() == crystal.true_s()
            assert keeper.receipt(crystal.true_s() + off_s) is None
            crystal.pass_s(600)
            assert keeper.now_s() == crystal.now_s() == crystal.true_s()
        assert keeper.set_command(NOON_S + 9999) is None
        assert keeper.now_s() == crystal.true_s()


def test_a_scripted_clock_that_knows_no_time_takes_none():
    crystal = Crystal(off_s=None)
    crystal.set = lambda unix_s: False
    keeper = Timekeeper(crystal)
    assert keeper.receipt(NOON_S) is None
    assert keeper.hint(NOON_S) is False
    assert keeper.now_s() is None


def test_a_receipt_from_before_2020_or_after_the_wire_s_end_is_ignored():
    for time_s, taken in (
        (START_S_MIN - 1, False),
        (START_S_MIN, True),
        (TIME_S_MAX, True),
        (TIME_S_MAX + 1, False),
        (0, False),
    ):
        keeper = Timekeeper(Crystal(off_s=None))
        assert (keeper.receipt(time_s) == (None, time_s)) == taken
        assert keeper.synced == taken
        assert (keeper.now_s() == time_s) == taken


def test_a_hint_helps_only_while_the_time_is_unknown():
    crystal = Crystal(off_s=None)
    keeper = Timekeeper(crystal)
    assert keeper.hint(START_S_MIN - 1) is False
    assert keeper.hint(TIME_S_MAX + 1) is False
    assert keeper.hint(NOON_S) is True
    assert keeper.now_s() == NOON_S
    assert not keeper.synced
    assert keeper.hint(NOON_S + 50) is False
    assert keeper.receipt(NOON_S + 50) == (NOON_S, NOON_S + 50)
    assert keeper.synced


def test_the_command_set_clock_sets_any_offset_and_the_next_receipt_judges_it():
    for off_s in (-1000, -1, 0, 1, 1000):
        keeper, crystal = a_timekeeper()
        assert keeper.set_command(NOON_S + off_s) == (NOON_S, NOON_S + off_s)
        assert keeper.now_s() == NOON_S + off_s
        assert not keeper.synced
        keeper.receipt(crystal.true_s())
        assert keeper.synced
        assert abs(keeper.now_s() - NOON_S) <= 1


def test_the_command_set_clock_has_its_limits():
    for time_s, taken in (
        (START_S_MIN - 1, False),
        (START_S_MIN, True),
        (TIME_S_MAX, True),
        (TIME_S_MAX + 1, False),
    ):
        keeper, _ = a_timekeeper()
        assert keeper.set_command(time_s) == ((NOON_S, time_s) if taken else None)
        assert keeper.synced != taken
