"""Messages: each there and back, each field at its limits, each refusal by its name."""

from wire import cbor, messages
from wire.errors import Malformed, TooLarge, Unsupported, WireError
from wire.keys import DOWN, UP
from wire.messages import (
    Command,
    Event,
    Live,
    Profile,
    Receipt,
    Registers,
    Result,
    Status,
    decode,
    encode,
)

START_S = 1729202400
PROFILE = Profile(
    5, 3, START_S, 900, (1, 2), (12345678, 777), ((100, 0, 4300), (0, 1, 2)), (0, 0, 8)
)
SAMPLES = (
    (UP, PROFILE),
    (UP, Registers(START_S, (1, 2), (5, 1 << 33))),
    (UP, Live(START_S, -4600, (230000, 231000, 229500), (6500, 0, 1), 49980)),
    (UP, Event(START_S, 7, (1, -2), 5)),
    (UP, Status(0, "0.1.0", 86400, 120000, 7, -71, 3)),
    (UP, Result(9, 1, b"detail")),
    (DOWN, Receipt(-1, 0, START_S)),
    (DOWN, Receipt((1 << 64) - 1, 672, START_S)),
    (DOWN, Command(1, 1, (5, 9, b"bytes"))),
)


def _why(call, *args):
    """The named reason for which a call is refused; fails when it is not."""
    try:
        call(*args)
    except WireError as error:
        return type(error)
    raise AssertionError(args)


def _way(message):
    return next(way for way, sample in SAMPLES if type(sample) is type(message))


def _both_refuse(message, *fields_on_wire):
    """The sender refuses the message, and the receiver refuses the bytes it would have."""
    sender = _why(encode, message)
    receiver = _why(decode, cbor.encode(list(fields_on_wire)), _way(message))
    assert sender is receiver, (sender, receiver)
    return sender


def test_every_message_comes_back_as_it_was_sent():
    for way, message in SAMPLES:
        back = decode(encode(message), way)
        assert back == message
        assert type(back) is type(message)


def test_every_truncation_of_every_message_is_malformed():
    for way, message in SAMPLES:
        data = encode(message)
        for length in range(len(data)):
            assert _why(decode, data[:length], way) is Malformed


def test_a_message_that_lacks_its_last_field_is_malformed():
    for way, message in SAMPLES:
        items = cbor.decode(encode(message))
        assert _why(decode, cbor.encode(items[:-1]), way) is Malformed


def test_unknown_fields_after_the_known_ones_are_ignored():
    for way, message in SAMPLES:
        items = cbor.decode(encode(message))
        assert decode(cbor.encode(items + [1, b"new", [2]]), way) == message


def test_an_unknown_kind_is_unsupported():
    for code in (0, 9, 255, -1):
        assert _why(decode, cbor.encode([code, 1, 2]), UP) is Unsupported


def test_a_message_that_goes_the_other_way_is_unsupported():
    for way, message in SAMPLES:
        assert _why(decode, encode(message), UP + DOWN - way) is Unsupported


def test_what_is_no_array_with_a_kind_is_malformed():
    for value in (1, b"\x01", "profile", [], [b"\x01"], [[1]]):
        assert _why(decode, cbor.encode(value), UP) is Malformed


def test_a_field_of_another_type_is_malformed():
    for way, message in SAMPLES:
        items = cbor.decode(encode(message))
        for at in range(1, len(items)):
            wrong = "text" if type(items[at]) is not str else 5
            altered = items[:at] + [wrong] + items[at + 1 :]
            assert _why(decode, cbor.encode(altered), way) is Malformed, (message, at)


def test_a_day_of_quarters_in_two_registers_fits_190_bytes_on_the_air():
    quarters = [(90 + 7 * n, n % 3) for n in range(24)]
    profile = Profile(
        672,
        672 - 24,
        START_S,
        900,
        (1, 2),
        (51509000, 55134000),
        (tuple([i for i, _ in quarters]), tuple([e for _, e in quarters])),
        (0,) * 24,
    )
    mqtt = 1 + 2 + 2 + len("m/01/90ac970dedb3b843/up") + 2
    cose = 44
    assert len(encode(profile)) + cose + mqtt <= 190


def _profile(**changes):
    fields = dict(zip(PROFILE_FIELDS, PROFILE))
    fields.update(changes)
    return Profile(*[fields[name] for name in PROFILE_FIELDS])


PROFILE_FIELDS = (
    "first",
    "oldest",
    "start_s",
    "capture_period_s",
    "channels",
    "registers_wh",
    "deltas_wh",
    "quality",
)


def _one(**changes):
    """A profile of one interval in one channel, at its smallest."""
    fields = dict(
        first=1,
        oldest=1,
        start_s=messages.START_S_MIN,
        capture_period_s=1,
        channels=(1,),
        registers_wh=(0,),
        deltas_wh=((0,),),
        quality=(0,),
    )
    fields.update(changes)
    return _profile(**fields)


def test_a_profile_is_taken_at_every_limit():
    for profile in (
        _one(),
        _one(first=messages.INTERVAL_NUMBER_MAX),
        _one(first=9, oldest=9),
        _one(start_s=messages.TIME_S_MAX),
        _one(capture_period_s=messages.CAPTURE_PERIOD_S_MAX),
        _one(registers_wh=(messages.REGISTER_WH_MAX,)),
        _one(deltas_wh=((messages.DELTA_WH_MAX,),)),
        _one(quality=(63,)),
        _one(channels=(255,)),
        _one(channels=tuple(range(1, 17)), registers_wh=(0,) * 16, deltas_wh=((0,),) * 16),
    ):
        assert decode(encode(profile), UP) == profile


def test_a_profile_past_a_limit_is_malformed_to_sender_and_receiver():
    good = (1, 1, 0, messages.START_S_MIN, 1, b"\x01", b"\x00\x00", b"\x01\x00")

    def fields(**at):
        return [at.get("f%d" % n, value) for n, value in enumerate(good)]

    cases = (
        (_one(first=0, oldest=0), fields(f1=0)),
        (_one(first=1 << 32), fields(f1=1 << 32)),
        (_one(oldest=2), fields(f2=-1)),
        (_one(oldest=0), fields(f2=1)),
        (_one(start_s=messages.START_S_MIN - 1), fields(f3=messages.START_S_MIN - 1)),
        (_one(start_s=messages.TIME_S_MAX + 1), fields(f3=messages.TIME_S_MAX + 1)),
        (_one(capture_period_s=0), fields(f4=0)),
        (_one(capture_period_s=86401), fields(f4=86401)),
        (_one(channels=()), fields(f5=b"")),
        (_one(channels=(0,)), fields(f5=b"\x00")),
        (_one(channels=(2, 1)), fields(f5=b"\x02\x01")),
        (_one(channels=(1, 1)), fields(f5=b"\x01\x01")),
        (_one(channels=tuple(range(1, 10))), fields(f5=bytes(range(1, 10)))),
        (_one(registers_wh=(1 << 40,)), fields(f6=b"\x80\x80\x80\x80\x80\x20\x00")),
        (_one(deltas_wh=((1 << 24,),)), fields(f6=b"\x00\x80\x80\x80\x08")),
        (_one(quality=(64,)), fields(f7=b"\x01\x40")),
        (_one(quality=()), fields(f7=b"")),
    )
    for profile, wire in cases:
        assert _both_refuse(profile, *wire) is Malformed, wire


def test_energies_that_do_not_fit_the_intervals_are_malformed():
    for energies in (b"", b"\x00", b"\x00\x00\x00", b"\x80", b"\x80\x00\x00"):
        wire = [1, 1, 0, START_S, 900, b"\x01", energies, b"\x01\x00"]
        assert _why(decode, cbor.encode(wire), UP) is Malformed


def test_runs_of_quality_have_one_spelling():
    for runs in (b"\x01", b"\x00\x00", b"\x01\x00\x01\x00", b"\x00\x01\x02\x00", b"\x80\x00\x00"):
        wire = [1, 1, 0, START_S, 900, b"\x01", b"\x00\x00\x00", runs]
        assert _why(decode, cbor.encode(wire), UP) is Malformed, runs


def test_long_runs_of_quality_come_back():
    for count in (127, 128, 400):
        profile = _one(quality=(8,) * count, deltas_wh=((1,) * count,))
        assert decode(encode(profile), UP) == profile


def test_a_profile_has_at_most_2000_intervals():
    runs = b"\xd0\x0f\x00"  # 2000
    wire = [1, 1, 0, START_S, 900, b"\x01", b"\x00", runs]
    assert _why(decode, cbor.encode(wire), UP) is Malformed  # counted, and the energies are missing
    wire[-1] = b"\xd1\x0f\x00"
    assert _why(decode, cbor.encode(wire), UP) is TooLarge
    many = _one(quality=(0,) * 2001, deltas_wh=((0,) * 2001,))
    assert _why(encode, many) is TooLarge


def test_a_profile_that_does_not_fit_a_frame_is_too_large():
    many = _one(quality=(0,) * 899, deltas_wh=((0,) * 899,))
    assert decode(encode(many), UP) == many
    more = _one(quality=(0,) * 1100, deltas_wh=((0,) * 1100,))
    assert _why(encode, more) is TooLarge


def test_registers_need_one_value_for_each_channel():
    assert _both_refuse(Registers(0, (1, 2), (5,)), 2, 0, b"\x01\x02", [5]) is Malformed
    assert _both_refuse(Registers(0, (1,), (1 << 40,)), 2, 0, b"\x01", [1 << 40]) is Malformed
    assert _both_refuse(Registers(0, (1,), (-1,)), 2, 0, b"\x01", [-1]) is Malformed


def test_every_number_is_held_to_its_limits():
    u32, time, i64 = 1 << 32, messages.TIME_S_MAX + 1, 1 << 63
    cases = (
        (Registers(time, (1,), (1,)), [2, time, b"\x01", [1]]),
        (Live(time, 0, (), (), 0), [3, time, 0, [], [], 0]),
        (Live(0, 1 << 31, (), (), 0), [3, 0, 1 << 31, [], [], 0]),
        (Live(0, -(1 << 31) - 1, (), (), 0), [3, 0, -(1 << 31) - 1, [], [], 0]),
        (Live(0, 0, (u32,), (), 0), [3, 0, 0, [u32], [], 0]),
        (Live(0, 0, (), (-1,), 0), [3, 0, 0, [], [-1], 0]),
        (Live(0, 0, (), (), u32), [3, 0, 0, [], [], u32]),
        (Event(time, 1, (), 0), [4, time, 1, [], 0]),
        (Event(0, 256, (), 0), [4, 0, 256, [], 0]),
        (Event(0, 1, (), 1 << 32), [4, 0, 1, [], 1 << 32]),
        (Event(0, 1, (i64,), 0), [4, 0, 1, [i64], 0]),
        (Event(0, 1, (-i64 - 1,), 0), [4, 0, 1, [-i64 - 1], 0]),
        (Status(time, "", 0, 0, 0, 0, 0), [5, time, "", 0, 0, 0, 0, 0]),
        (Status(0, "v" * 65, 0, 0, 0, 0, 0), [5, 0, "v" * 65, 0, 0, 0, 0, 0]),
        (Status(0, "", u32, 0, 0, 0, 0), [5, 0, "", u32, 0, 0, 0, 0]),
        (Status(0, "", 0, u32, 0, 0, 0), [5, 0, "", 0, u32, 0, 0, 0]),
        (Status(0, "", 0, 0, u32, 0, 0), [5, 0, "", 0, 0, u32, 0, 0]),
        (Status(0, "", 0, 0, 0, -201, 0), [5, 0, "", 0, 0, 0, -201, 0]),
        (Status(0, "", 0, 0, 0, 101, 0), [5, 0, "", 0, 0, 0, 101, 0]),
        (Status(0, "", 0, 0, 0, 0, u32), [5, 0, "", 0, 0, 0, 0, u32]),
        (Result(u32, 0, b""), [6, u32, 0, b""]),
        (Result(0, 256, b""), [6, 0, 256, b""]),
        (Result(0, 0, bytes(901)), [6, 0, 0, bytes(901)]),
        (Receipt(-2, 0, 0), [7, -2, 0, 0]),
        (Receipt(0, u32, 0), [7, 0, u32, 0]),
        (Receipt(0, 0, time), [7, 0, 0, time]),
        (Command(u32, 0, ()), [8, u32, 0, []]),
        (Command(0, 256, ()), [8, 0, 256, []]),
        (Command(0, 0, (i64,)), [8, 0, 0, [i64]]),
        (Command(0, 0, (bytes(901),)), [8, 0, 0, [bytes(901)]]),
        (Command(0, 0, ("text",)), [8, 0, 0, ["text"]]),
    )
    for message, wire in cases:
        assert _both_refuse(message, *wire) is Malformed, message


def test_every_number_is_taken_at_its_limits():
    u32, time, i64 = (1 << 32) - 1, messages.TIME_S_MAX, (1 << 63) - 1
    for message in (
        Registers(time, (1,), (messages.REGISTER_WH_MAX,)),
        Live(time, (1 << 31) - 1, (u32,) * 16, (u32,) * 16, u32),
        Live(0, -(1 << 31), (), (), 0),
        Event(time, 255, (i64, -i64 - 1), u32),
        Status(time, "v" * 64, u32, u32, u32, 100, u32),
        Status(0, "", 0, 0, 0, -200, 0),
        Result(u32, 255, bytes(900)),
        Receipt(-1, u32, time),
        Command(u32, 255, (i64, -i64 - 1, bytes(900))),
    ):
        assert decode(encode(message), _way(message)) == message


def test_an_array_has_at_most_16_values():
    sixteen = (1,) * 16
    assert decode(encode(Event(0, 1, sixteen, 0)), UP).values == sixteen
    for message, wire in (
        (Event(0, 1, (1,) * 17, 0), [4, 0, 1, [1] * 17, 0]),
        (Live(0, 0, (1,) * 17, (), 0), [3, 0, 0, [1] * 17, [], 0]),
        (Command(0, 0, (1,) * 17), [8, 0, 0, [1] * 17]),
    ):
        assert _both_refuse(message, *wire) is TooLarge


def test_no_garbage_is_taken_for_a_message_and_none_raises_another_error():
    state = 99
    for _ in range(500):
        data = bytearray(b"\x88")
        for _ in range(state % 60):
            state = (state * 1103515245 + 12345) & 0x3FFFFFFF
            data.append(state >> 16 & 0xFF)
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        assert _why(decode, bytes(data), UP) in (Malformed, Unsupported, TooLarge)
