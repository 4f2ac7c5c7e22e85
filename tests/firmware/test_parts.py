"""The parts of an ESP32 board on a fake chip: RTC memory, partition, sensors, clock."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

import time

from boards.parts import real_clock
from boards.parts.partition import FlashMissing, Life, open_partition
from boards.parts.retained import RECORD_BYTES_MAX, RtcMemory
from boards.parts.supply import SupplyPins
from boards.parts.watchdog import start_watchdog
from firmware.board import RETAINED_BYTES_MAX, WATCHDOG_MS
from firmware.clock import EPOCH_2000_S
from firmware.keystore import KEYSTORE_BYTES
from firmware.saved_state import STATE_BYTES
from firmware.storage import FLASH_BLOCKS_MIN, open_storage
from tests.support.a_meter import NOON_S, refusal_of
from tests.support.fake_esp32_parts import FakePartition, MemoryTorn
from tests.support.fake_flash import FakeFlash
from wire.messages import START_S_MIN

KEY = bytes(range(32))


def a_chip(**how):
    """A chip with the meter's partition beside the file system's."""
    meter = FakePartition("meter", FakeFlash(FLASH_BLOCKS_MIN))
    vfs = FakePartition("vfs", FakeFlash(4))
    return Chip(partitions=(vfs, meter), **how)


# ------------------------------------------------------------------ RTC memory


def test_rtc_memory_gives_back_what_was_written_after_every_reset_that_leaves_it_power():
    for backup in (False, True):
        chip = Chip(backup=backup)
        memory = RtcMemory()
        memory.write(b"registers")
        memory.write_record(b"counters")
        for reset in (chip.cpu_reset, chip.soft_reset, chip.system_reset):
            reset()
            memory = RtcMemory()
            assert memory.read() == b"registers"
            assert memory.read_record(8) == b"counters"


def test_rtc_memory_holds_nothing_of_before_after_a_power_off():
    chip = Chip()
    RtcMemory().write(b"registers")
    for noise in range(0, 256, 17):
        chip.power_on(noise)
        assert b"registers" not in RtcMemory().read()
        assert len(RtcMemory().read()) <= RETAINED_BYTES_MAX


def test_rtc_memory_takes_its_limit_and_refuses_a_byte_more():
    Chip()
    memory = RtcMemory()
    for data in (b"", bytes(RETAINED_BYTES_MAX - 1), bytes(RETAINED_BYTES_MAX)):
        memory.write(data)
        assert RtcMemory().read() == data
    for write, limit in (
        (memory.write, RETAINED_BYTES_MAX),
        (memory.write_record, RECORD_BYTES_MAX),
    ):
        write(bytes(limit))
        try:
            write(bytes(limit + 1))
        except AssertionError:
            continue
        raise AssertionError("it was accepted")


def test_the_meter_s_data_and_the_pulse_input_s_record_leave_each_other_alone():
    Chip()
    memory = RtcMemory()
    memory.write_record(b"c" * RECORD_BYTES_MAX)
    memory.write(b"r" * RETAINED_BYTES_MAX)
    assert memory.read_record(RECORD_BYTES_MAX) == b"c" * RECORD_BYTES_MAX
    memory.write_record(b"d" * RECORD_BYTES_MAX)
    assert memory.read() == b"r" * RETAINED_BYTES_MAX


def test_a_torn_write_of_the_meter_s_data_leaves_the_pulse_input_s_record_whole():
    for byte in range(0, RETAINED_BYTES_MAX + RECORD_BYTES_MAX, 7):
        chip = Chip()
        memory = RtcMemory()
        memory.write_record(b"c" * RECORD_BYTES_MAX)
        chip.tear_at, chip.tear_bytes = 0, byte
        try:
            memory.write(b"r" * RETAINED_BYTES_MAX)
        except MemoryTorn:
            pass
        chip.cpu_reset()
        assert RtcMemory().read_record(RECORD_BYTES_MAX) == b"c" * RECORD_BYTES_MAX


# ------------------------------------------------------------------ partition


def test_the_meter_s_partition_is_found_and_behaves_as_nor_flash():
    a_chip()
    flash = open_partition()
    assert flash.label == "meter"
    assert flash.ioctl(4, 0) == FLASH_BLOCKS_MIN
    assert flash.ioctl(5, 0) == 4096
    flash.ioctl(6, 3)
    flash.writeblocks(3, b"\x0f", 100)
    flash.writeblocks(3, b"\xf1", 100)
    read = bytearray(2)
    flash.readblocks(3, read, 100)
    assert read == b"\x01\xff"  # an offset programs and does not erase
    assert open_storage(flash).state.newest == 0


def test_a_chip_without_the_meter_s_partition_says_what_to_do():
    Chip(partitions=(FakePartition("vfs", FakeFlash(4)),))
    assert "flash an image" in refusal_of(FlashMissing, open_partition)


def test_an_application_partition_of_that_name_is_not_taken():
    Chip(partitions=(FakePartition("meter", FakeFlash(4), FakePartition.TYPE_APP),))
    assert "no data partition" in refusal_of(FlashMissing, open_partition)


def test_the_file_system_s_partition_is_never_taken_even_when_it_is_asked_for():
    a_chip()
    assert "no data partition" in refusal_of(FlashMissing, open_partition, "vfs")


def test_an_emptied_flash_of_a_meter_that_has_lived_is_noticed_and_a_new_pairing_is_not():
    chip = a_chip()
    flash = open_partition()
    for _ in range(2):  # a cut at its first start, before anything was written
        assert not Life(KEY).flash_lost(flash)
    storage = open_storage(flash)
    storage.state.append(bytes(STATE_BYTES))
    storage.keystore.append(bytes(KEYSTORE_BYTES))
    Life(KEY).begin()
    chip.power_on()
    assert not Life(KEY).flash_lost(flash)
    for block in range(FLASH_BLOCKS_MIN):
        flash.ioctl(6, block)
    chip.power_on()
    assert Life(KEY).flash_lost(flash)
    assert not Life(b"another key of another pairing..").flash_lost(flash)


def test_no_meter_key_can_be_read_from_what_is_kept_beside_the_partition():
    chip = a_chip()
    marks = set()
    for byte in range(16):
        Life(bytes([byte]) * 32).begin()
        marks.update(chip.nvs.values())
    assert len(marks) == 16
    assert min(marks) >= 0
    assert max(marks) < 1 << 30


# ------------------------------------------------------------------ sensors, watchdog


def test_a_supply_that_goes_and_a_cover_that_opens_are_seen_while_they_last():
    chip = Chip()
    sensors = SupplyPins(27, 14)
    chip.levels = {27: 0, 14: 0}
    assert (sensors.supply_lost(), sensors.tampered()) == (False, False)
    chip.levels[27] = 1
    assert (sensors.supply_lost(), sensors.tampered()) == (True, False)
    chip.levels = {27: 0, 14: 1}
    assert (sensors.supply_lost(), sensors.tampered()) == (False, True)


def test_a_cut_wire_reads_as_supply_lost_and_as_an_open_cover():
    Chip()
    sensors = SupplyPins(27, 14)
    assert (sensors.supply_lost(), sensors.tampered()) == (True, True)


def test_a_board_without_these_inputs_sees_nothing():
    Chip()
    sensors = SupplyPins()
    assert (sensors.supply_lost(), sensors.tampered()) == (False, False)
    assert sensors.measured() is None


def test_a_current_and_voltage_sensor_is_asked_where_there_is_one():
    class Windows:
        def measured(self):
            return "a window"

    Chip()
    assert SupplyPins(windows=Windows()).measured() == "a window"


def test_the_watchdog_has_the_meter_s_time_out_and_is_fed():
    chip = Chip()
    watchdog = start_watchdog()
    assert watchdog.timeout == WATCHDOG_MS
    watchdog.feed()
    assert chip.fed == 1


# ------------------------------------------------------------------ clock


class PortTime:
    """The time module of a port that counts from this year."""

    def __init__(self, epoch_year):
        self._epoch_year = epoch_year
        self.seconds = 5  # since it has power
        self.ms = 0

    def time(self):
        return self.seconds

    def ticks_ms(self):
        return self.ms

    def ticks_diff(self, later, earlier):
        return later - earlier

    def gmtime(self, seconds):
        return time.gmtime(seconds + (EPOCH_2000_S if self._epoch_year == 2000 else 0))


def test_a_clock_that_is_set_is_right_after_a_reset_too_whatever_year_the_port_counts_from():
    chip = Chip()
    for epoch_year, epoch_s in ((1970, 0), (2000, EPOCH_2000_S)):
        real_clock.time = port = PortTime(epoch_year)
        clock = real_clock.RealClock()
        assert clock.now_s() is None
        assert clock.set(NOON_S)
        assert chip.date == (2021, 10, 15, 4, 12, 0, 0, 0)
        port.seconds = NOON_S - epoch_s + 3  # the chip's RTC runs on from there
        assert clock.now_s() == NOON_S + 3
        chip.date = None
        assert clock.set(NOON_S + 3)
        assert chip.date is None  # what is right is not cut to a whole second
        assert real_clock.RealClock().now_s() == NOON_S + 3
    real_clock.time = time


def test_certificates_are_judged_by_the_newest_time_known_while_the_clock_stays_unknown():
    chip = Chip()
    chip.date = None
    real_clock.time = port = PortTime(2000)
    clock = real_clock.RealClock()
    clock.lift()
    assert chip.date is None  # nothing is known to be past
    clock.not_before(NOON_S)
    clock.lift()
    assert chip.date == (2021, 10, 15, 4, 12, 0, 0, 0)
    port.seconds = NOON_S - EPOCH_2000_S  # the chip's RTC runs on from there
    for port.ms in (0, real_clock.LIFTED_MS - 1):
        assert clock.now_s() is None
    assert chip.date[0] == 2021
    port.ms = real_clock.LIFTED_MS
    assert clock.now_s() is None
    assert chip.date[0] == 2000
    real_clock.time = time


def test_a_receipt_amid_a_lifted_time_sets_the_clock_for_good():
    chip = Chip()
    real_clock.time = port = PortTime(2000)
    clock = real_clock.RealClock()
    clock.not_before(NOON_S)
    clock.lift()
    port.seconds = NOON_S - EPOCH_2000_S
    assert clock.set(NOON_S + 86_400)
    assert chip.date[:3] == (2021, 10, 16)
    port.seconds = NOON_S + 86_400 - EPOCH_2000_S
    port.ms = real_clock.LIFTED_MS
    assert clock.now_s() == NOON_S + 86_400
    clock.lift()
    assert chip.date[:3] == (2021, 10, 16)
    real_clock.time = time


def test_a_time_that_nobody_can_mean_is_not_set():
    chip = Chip()
    chip.date = None
    assert not real_clock.RealClock().set(START_S_MIN - 1)
    assert chip.date is None
