"""The state's record: nothing lost in it, old and new layouts read each other, noise is refused."""

from binascii import crc32

from firmware import saved_state
from firmware.board import CHANNELS_MAX, RETAINED_BYTES_MAX
from firmware.saved_state import RETAINED_BYTES, STATE_BYTES, State, retain, retained
from tests.support.a_meter import NOON_S, refusal_of

DEMAND = (NOON_S, (1 << 40) - 7, (1 << 32) - 1, NOON_S - 900, (1 << 31) + 3, 9)


def a_state(channels=(1, 2), register_wh=7, others=(1, 2, 3, 4, 5, 6), grade=63, zone=3):
    count = len(channels)
    registers_wh = tuple([register_wh - channel for channel in range(count)])
    return State(
        channels,
        NOON_S,
        (1 << 31) + 9,
        NOON_S + 1234,
        3600,
        grade,
        zone,
        registers_wh,
        tuple([99_999 - channel for channel in range(count)]),
        tuple([(1 << 24) - 1 - channel for channel in range(count)]),
        others,
        DEMAND,
    )


def kept(record=None, sequence=41, base_crc=0xFEDCBA98):
    return retain(record or saved_state.pack(a_state()), sequence, base_crc)


def test_the_state_survives_its_record():
    for channels in ((1,), (1, 2), (2, 4), (1, 2, 3, 4), (8,)):
        for register_wh in (9, (1 << 31) + 1, (1 << 32) + 5, (1 << 40) - 1):
            top = ((1 << 40) - 1, 0, 1 << 33, 0, (1 << 31) + 1, 2)
            state = a_state(channels, register_wh, top)
            record = saved_state.pack(state)
            assert len(record) == STATE_BYTES
            assert saved_state.unpack(memoryview(record)) == state


def test_quality_and_zone_do_not_touch_each_other():
    for grade in range(64):
        for zone in range(4):
            found = saved_state.unpack(saved_state.pack(a_state(grade=grade, zone=zone)))
            assert (found.quality, found.zone) == (grade, zone)


def test_the_record_of_a_later_version_is_read_as_far_as_it_is_known():
    record = saved_state.pack(a_state())
    record[0] += 1
    for at in range(117, STATE_BYTES):
        assert record[at] == 0  # spare: what a later version may use
        record[at] = 0xA5
    assert saved_state.unpack(record) == a_state()


def test_a_later_version_that_cannot_be_read_here_is_refused():
    record = saved_state.pack(a_state())
    record[0] = record[1] = saved_state.VERSION + 1
    assert saved_state.unpack(record) is None


def test_an_earlier_layout_is_not_misread():
    record = saved_state.pack(a_state())
    record[0] = record[1] = saved_state.VERSION - 1
    assert saved_state.unpack(record) is None


def test_the_record_tells_the_oldest_version_that_may_read_it():
    record = saved_state.pack(a_state())
    assert (record[0], record[1]) == (saved_state.VERSION, saved_state.COMPATIBLE)


def test_a_retained_copy_is_what_was_retained():
    record = saved_state.pack(a_state())
    copy = kept(record)
    assert len(copy) == RETAINED_BYTES <= RETAINED_BYTES_MAX
    assert bytes(retained(bytes(copy), 41, 0xFEDCBA98)) == bytes(record)


def test_a_retained_copy_of_another_flash_record_is_refused():
    for sequence, base_crc in ((40, 0xFEDCBA98), (42, 0xFEDCBA98), (41, 0xFEDCBA99), (0, 0)):
        assert retained(kept(), sequence, base_crc) is None


def test_a_retained_copy_with_any_bit_flipped_is_refused():
    copy = kept()
    for bit in range(len(copy) * 8):
        copy[bit // 8] ^= 1 << (bit % 8)
        assert retained(copy, 41, 0xFEDCBA98) is None
        copy[bit // 8] ^= 1 << (bit % 8)
    assert retained(copy, 41, 0xFEDCBA98) is not None


def test_a_retained_copy_that_is_cut_short_is_refused():
    copy = bytes(kept())
    for length in range(len(copy)):
        assert retained(copy[:length], 41, 0xFEDCBA98) is None


def test_the_noise_of_a_power_off_is_refused():
    for size in (RETAINED_BYTES, RETAINED_BYTES_MAX):
        for content in (
            b"\x00" * size,
            b"\xff" * size,
            bytes([at * 73 % 251 for at in range(size)]),
        ):
            assert retained(content, 0, 0) is None
            assert retained(content, 41, 0xFEDCBA98) is None


def test_a_later_version_s_longer_retained_copy_is_read_as_far_as_it_is_known():
    longer = bytearray(bytes(kept()) + b"\x11" * 40)
    longer[4:8] = len(longer).to_bytes(4, "little")
    longer[:4] = crc32(bytes(longer[4:])).to_bytes(4, "little")
    found = retained(bytes(longer) + b"old bytes behind it", 41, 0xFEDCBA98)
    assert saved_state.unpack(found) == a_state()


def test_a_set_of_channels_names_codes_1_to_8():
    assert saved_state.set_of((1, 8)) == 0x81
    assert saved_state.channels_of(0x81) == (1, 8)
    assert saved_state.channels_of(0) == ()
    refusal_of(AssertionError, saved_state.set_of, (0,))
    refusal_of(AssertionError, saved_state.set_of, (9,))


def test_a_row_of_counts_fills_its_record_with_values_of_three_bytes():
    at, width, count = saved_state.COUNTS_ROW
    assert (at, width * count) == (0, saved_state.COUNTS_BYTES)
    assert count == 2 + CHANNELS_MAX
    for values in ((0,) * count, tuple(range(count)), ((1 << 24) - 1,) * count):
        record = bytearray(saved_state.COUNTS_BYTES)
        saved_state.put_row(record, at, width, values)
        assert len(record) == saved_state.COUNTS_BYTES
        assert saved_state.get_row(memoryview(record), *saved_state.COUNTS_ROW) == values
