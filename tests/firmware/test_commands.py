"""Commands: what each one does, what is refused by which name, and that nothing is done twice."""

from firmware.commands import (
    HOME_KEY_BYTES_MIN,
    READ_NOW_MESSAGES_MAX,
    READ_PROFILE_MAX,
    RESTART,
    SWITCH_KEY,
    Context,
    answer,
)
from firmware.config import CAPTURE_PERIOD_S_MAX, CAPTURE_PERIOD_S_MIN, parse
from firmware.journal import FlashWorn, Ring
from firmware.keystore import KEYSTORE_BYTES, Keystore
from firmware.settings import HOME_KEY_BYTES_MAX, SETTINGS_BYTES, Settings
from tests.support.a_meter import METER_KEY, NOON_S, settings
from tests.support.a_talk import FakeControls
from tests.support.fake_flash import FakeFlash
from tests.support.torture import torture
from wire.messages import (
    COMMAND_HOME_KEY,
    COMMAND_READ_NOW,
    COMMAND_READ_PROFILE,
    COMMAND_REKEY,
    COMMAND_RESTART,
    COMMAND_SET_CAPTURE_PERIOD,
    COMMAND_SET_CLOCK,
    COMMAND_SET_TARIFF,
    COMMAND_UPDATE_CHUNK,
    COMMAND_UPDATE_MANIFEST,
    INTERVAL_NUMBER_MAX,
    START_S_MIN,
    TIME_S_MAX,
    Command,
    Registers,
    Result,
)

BLOCKS = 7
NEW_KEY = b"\x07" * 32
DONE, UNSUPPORTED, REFUSED, FAILED = 0, 1, 2, 3


def a_table(valid_from_s=NOON_S, zone=0, name=b"G11"):
    """A zone table of one zone all year (layout: firmware/tariff.py)."""
    head = b"\x01" + valid_from_s.to_bytes(4, "big") + bytes((len(name),)) + name + b"\x00"
    return head + b"\x01\xff" + bytes((zone * 0x55,)) * 6


class Told:
    """A meter's commands over a flash, and what comes of them."""

    def __init__(self, flash=None, key_epoch=0):
        self.flash = flash or FakeFlash(BLOCKS)
        config = parse(settings(key_epoch=key_epoch))
        self.settings = Settings(Ring(self.flash, 4, 3, SETTINGS_BYTES), config)
        keystore = Keystore(Ring(self.flash, 0, 4, KEYSTORE_BYTES), key_epoch, False)
        self.controls = FakeControls()
        self.asked = []
        self.context = Context(self.settings, keystore, self.controls, self.read_profile)
        self.follows = ""
        self.messages = []

    def read_profile(self, first, count):
        self.asked.append((first, count))
        return count - 1

    def tell(self, code, *args, command_id=7):
        """Gives the (code, detail) of the result."""
        self.messages, self.follows = answer(Command(command_id, code, args), self.context)
        result = self.messages[-1]
        assert type(result) is Result and result.command_id == command_id
        return result.code, result.detail

    def after_restart(self):
        return Told(self.flash.after_power_on())


def test_read_profile_asks_for_the_intervals_and_tells_how_many_are_held():
    told = Told()
    assert told.tell(COMMAND_READ_PROFILE, 5, 3) == (DONE, b"\x00\x00\x00\x02")
    assert told.tell(COMMAND_READ_PROFILE, INTERVAL_NUMBER_MAX, READ_PROFILE_MAX)[0] == DONE
    assert told.asked == [(5, 3), (INTERVAL_NUMBER_MAX, READ_PROFILE_MAX)]
    for args in ((0, 1), (1, 0), (1, READ_PROFILE_MAX + 1), (INTERVAL_NUMBER_MAX + 1, 1)):
        assert told.tell(COMMAND_READ_PROFILE, *args) == (REFUSED, b"range")
    for args in ((), (1,), (b"1", 1), (1, b"1")):
        assert told.tell(COMMAND_READ_PROFILE, *args) == (REFUSED, b"arguments")
    assert len(told.asked) == 2


def test_read_now_sends_what_is_measured_before_its_result_and_no_more_than_its_limit():
    told = Told()
    assert told.tell(COMMAND_READ_NOW) == (DONE, b"")
    assert [type(message) for message in told.messages] == [Registers, Result]
    told.controls.read_now = lambda: (1,) * (READ_NOW_MESSAGES_MAX + 1)
    told.tell(COMMAND_READ_NOW)
    assert len(told.messages) == READ_NOW_MESSAGES_MAX + 1


def test_a_capture_period_is_a_divisor_of_the_hour_within_its_limits():
    told = Told()
    for index, period_s in enumerate((CAPTURE_PERIOD_S_MIN, 300, CAPTURE_PERIOD_S_MAX)):
        found = told.tell(COMMAND_SET_CAPTURE_PERIOD, period_s, command_id=index)
        assert (found, told.settings.capture_period_s) == ((DONE, b""), period_s)
    for wrong in (CAPTURE_PERIOD_S_MIN - 1, CAPTURE_PERIOD_S_MAX + 1, 61, 0, -900):
        assert told.tell(COMMAND_SET_CAPTURE_PERIOD, wrong) == (REFUSED, b"range")
    assert told.controls.changes == [(4, 60), (4, 300), (4, 3600)]
    assert told.after_restart().settings.capture_period_s == 3600


def test_a_clock_is_set_within_the_limits_of_the_wire():
    told = Told()
    for index, at_s in enumerate((START_S_MIN, TIME_S_MAX)):
        assert told.tell(COMMAND_SET_CLOCK, at_s, command_id=index) == (DONE, b"")
    for at_s in (START_S_MIN - 1, TIME_S_MAX + 1):
        assert told.tell(COMMAND_SET_CLOCK, at_s) == (REFUSED, b"range")
    assert told.tell(COMMAND_SET_CLOCK) == (REFUSED, b"arguments")
    assert told.controls.clock_set_s == [START_S_MIN, TIME_S_MAX]


def test_a_tariff_table_follows_the_one_in_force_and_survives_a_restart():
    told = Told()
    first, second, third = (
        a_table(NOON_S - 3600),
        a_table(NOON_S + 3600, 1),
        a_table(NOON_S + 7200, 2),
    )
    assert told.tell(COMMAND_SET_TARIFF, first, command_id=1) == (DONE, b"")
    assert told.settings.tariff == (b"", first)
    told.tell(COMMAND_SET_TARIFF, second, command_id=2)
    assert told.settings.tariff == (first, second)  # the first is in force by now
    told.tell(COMMAND_SET_TARIFF, third, command_id=3)
    assert told.after_restart().settings.tariff == (first, third)  # the second never was
    assert told.controls.changes == [(3, NOON_S - 3600), (3, NOON_S + 3600), (3, NOON_S + 7200)]


def test_a_tariff_table_that_comes_again_or_without_the_time_moves_nothing():
    told = Told()
    table = a_table(NOON_S - 3600)
    told.tell(COMMAND_SET_TARIFF, table, command_id=1)
    told.tell(COMMAND_SET_TARIFF, table, command_id=2)
    assert told.settings.tariff == (b"", table)
    told.controls.known_s = None
    told.tell(COMMAND_SET_TARIFF, a_table(NOON_S), command_id=3)
    assert told.settings.tariff == (b"", a_table(NOON_S))


def test_a_tariff_table_that_cannot_be_followed_is_refused_by_the_tariffs_own_name():
    told = Told()
    good = a_table()
    refusals = (
        (good[:-1], b"truncated"),
        (b"\x02" + good[1:], b"version"),
        (good + good, b"seasons"),
    )
    for data, reason in refusals:
        assert told.tell(COMMAND_SET_TARIFF, data)[0] == REFUSED, reason
    assert told.tell(COMMAND_SET_TARIFF, good[:-1]) == (REFUSED, b"truncated")
    assert told.tell(COMMAND_SET_TARIFF, b"\x02" + good[1:]) == (REFUSED, b"version")
    assert told.tell(COMMAND_SET_TARIFF, good + bytes(200)) == (REFUSED, b"too_long")
    assert told.tell(COMMAND_SET_TARIFF, b"") == (REFUSED, b"range")
    assert told.settings.tariff == (b"", b"")
    assert told.controls.changes == []


def test_a_home_key_has_its_limits_and_survives_a_restart():
    told = Told()
    for length in (HOME_KEY_BYTES_MIN, HOME_KEY_BYTES_MAX):
        assert told.tell(COMMAND_HOME_KEY, b"k" * length, command_id=length) == (DONE, b"")
        assert told.after_restart().settings.home_key == b"k" * length
    for length in (0, HOME_KEY_BYTES_MIN - 1, HOME_KEY_BYTES_MAX + 1):
        assert told.tell(COMMAND_HOME_KEY, b"k" * length) == (REFUSED, b"range")
    assert told.controls.changes == [(10, 0), (10, 0)]  # an event, without the key


def test_a_new_key_is_stored_as_pending_and_its_result_asks_for_the_switch():
    told = Told()
    assert told.tell(COMMAND_REKEY, 1, NEW_KEY) == (DONE, b"")
    assert told.after_restart().settings.pending == (1, NEW_KEY)
    assert told.follows == SWITCH_KEY
    assert told.controls.changes == [(6, 1)]


def test_a_new_key_epoch_must_be_above_every_one_used_and_its_key_whole():
    told = Told(key_epoch=4)
    for key_epoch in (0, 3, 4):
        assert told.tell(COMMAND_REKEY, key_epoch, NEW_KEY) == (REFUSED, b"key_epoch")
    assert told.tell(COMMAND_REKEY, 256, NEW_KEY) == (REFUSED, b"range")
    assert told.tell(COMMAND_REKEY, 5, NEW_KEY[:-1]) == (REFUSED, b"range")
    assert told.tell(COMMAND_REKEY, 5, NEW_KEY + b"1") == (REFUSED, b"range")
    assert told.tell(COMMAND_REKEY, 5) == (REFUSED, b"arguments")
    assert told.tell(COMMAND_REKEY, 4, METER_KEY, command_id=1) == (DONE, b"")  # as it is already
    assert told.settings.pending is None
    told.context.keystore.switch(9)
    assert told.tell(COMMAND_REKEY, 8, NEW_KEY) == (REFUSED, b"key_epoch")
    assert told.tell(COMMAND_REKEY, 255, NEW_KEY, command_id=8) == (DONE, b"")


def test_a_restart_is_answered_first_and_asked_for_once():
    told = Told()
    assert told.tell(COMMAND_RESTART) == (DONE, b"")
    assert told.follows == RESTART
    assert told.tell(COMMAND_RESTART) == (DONE, b"")
    assert told.follows == ""
    again = told.after_restart()
    assert (again.tell(COMMAND_RESTART), again.follows) == ((DONE, b""), "")


class FakeUpdate:
    """Answers as firmware.update does."""

    def __init__(self):
        self.given = []

    def manifest(self, args):
        self.given.append(args)
        return DONE, b"part 1"

    def chunk(self, args):
        self.given.append(args)
        return DONE, b"restart" if len(self.given) == 3 else b"file 0 800"


def test_pieces_of_an_update_are_handed_on_and_cost_the_settings_no_flash():
    told = Told()
    told.controls.update = FakeUpdate()
    writes = told.flash.operations
    assert told.tell(COMMAND_UPDATE_MANIFEST, 1, 0, 1, b"rows") == (DONE, b"part 1")
    for _ in range(2):
        assert told.follows == ""
        found = told.tell(COMMAND_UPDATE_CHUNK, 1, 0, 0, b"code")
    assert (found, told.follows) == ((DONE, b"restart"), RESTART)
    assert told.controls.update.given == [(1, 0, 1, b"rows")] + [(1, 0, 0, b"code")] * 2
    assert told.flash.operations == writes


def test_unknown_commands_and_updates_that_cannot_land_are_unsupported():
    told = Told()
    for code in (0, 11, 255, COMMAND_UPDATE_MANIFEST, COMMAND_UPDATE_CHUNK):
        assert told.tell(code, 1, 2) == (UNSUPPORTED, b"")
    assert told.follows == ""


def test_unknown_trailing_arguments_are_ignored():
    told = Told()
    assert told.tell(COMMAND_SET_CAPTURE_PERIOD, 300, b"later", 5) == (DONE, b"")


def test_a_command_that_was_answered_gets_the_same_answer_and_is_not_carried_out_again():
    told = Told()
    told.tell(COMMAND_SET_CAPTURE_PERIOD, 300, command_id=1)
    told.tell(COMMAND_SET_CAPTURE_PERIOD, 60, command_id=2)
    for meter in (told, told.after_restart()):
        changes = list(meter.controls.changes)
        writes = meter.flash.operations
        assert meter.tell(COMMAND_SET_CAPTURE_PERIOD, 300, command_id=1) == (DONE, b"")
        assert meter.settings.capture_period_s == 60
        assert (meter.controls.changes, meter.flash.operations) == (changes, writes)


def test_a_refused_command_costs_no_flash_and_is_refused_again():
    told = Told()
    writes = told.flash.operations
    for _ in range(2):
        assert told.tell(COMMAND_SET_CAPTURE_PERIOD, 61) == (REFUSED, b"range")
    assert told.flash.operations == writes


def test_a_worn_flash_fails_a_command_by_name():
    told = Told()

    def worn(name, value):
        raise FlashWorn()

    told.settings.change = worn
    assert told.tell(COMMAND_SET_CAPTURE_PERIOD, 300) == (FAILED, b"flash_worn")


def test_without_a_meter_to_carry_it_out_every_command_is_unsupported():
    told = Told()
    told.context = Context(told.settings, told.context.keystore, None, told.read_profile)
    assert told.tell(COMMAND_RESTART) == (UNSUPPORTED, b"")


def test_an_answered_command_has_been_carried_out_when_power_goes_at_any_flash_operation():
    def work(flash, count, done):
        told = Told(flash)
        for _ in range(count):
            command_id = len(done) + 1
            period_s = (60, 300)[command_id % 2]
            told.tell(COMMAND_SET_CAPTURE_PERIOD, period_s, command_id=command_id)
            done.append(period_s)

    def check(flash, done):
        told = Told(flash)
        following = (60, 300)[(len(done) + 1) % 2]
        known = told.settings.result_of(len(done) + 1)
        assert told.settings.capture_period_s in (done[-1] if done else 900, following)
        assert known is None or told.settings.capture_period_s == following
        assert not done or told.settings.result_of(len(done)) == DONE
        told.tell(COMMAND_SET_CAPTURE_PERIOD, following, command_id=len(done) + 1)
        assert told.settings.capture_period_s == following

    assert torture(work, check, 4, BLOCKS, 1024, more=2, again=1).cuts > 50
