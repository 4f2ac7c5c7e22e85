"""Reads a profile's fields off the wire: a gateway's hot path, which a device's bundle leaves out.

wire.messages has what writes them, and the checks of the whole.
"""

from wire import varint
from wire.errors import Malformed, TooLarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_USUAL_CHANNELS = {b"\x01": (1,), b"\x01\x02": (1, 2)}


def unpack_profile(
    fields: "list[Any]", take_channels: "Callable[[Any], Any]", intervals_max: int
) -> "tuple[Any, ...]":
    """The values of a Profile in the wire's fields; checks are written out, for speed.

    Raises Malformed, or TooLarge past so many intervals.
    """
    first, behind, start_s, capture_period_s, channels, energies, runs = fields
    if not type(first) is type(behind) is type(start_s) is type(capture_period_s) is int:
        raise Malformed("a number is missing")
    if not type(channels) is type(energies) is type(runs) is bytes:
        raise Malformed("a byte string is missing")
    channels = _USUAL_CHANNELS.get(channels) or take_channels(channels)
    quality = _unpack_runs(runs, intervals_max)
    row = 1 + len(quality)
    numbers = varint.read_all(energies, row * len(channels))
    if len(numbers) != row * len(channels):
        raise Malformed("one energy for each interval and channel")
    starts = range(0, len(numbers), row)
    registers = tuple([numbers[at] for at in starts])
    deltas = tuple([tuple(numbers[at + 1 : at + row]) for at in starts])
    return first, first - behind, start_s, capture_period_s, channels, registers, deltas, quality


def _unpack_runs(packed: bytes, intervals_max: int) -> "Any":
    if len(packed) == 2 and 0 < packed[0] < 128 and packed[1] < 128:
        return (packed[1],) * packed[0]  # one short run: nearly every profile
    numbers = varint.read_all(packed, 2 * intervals_max)
    if len(numbers) % 2:
        raise Malformed("a run of quality is cut short")
    quality: list[int] = []
    last = -1
    for at in range(0, len(numbers), 2):
        count, value = numbers[at], numbers[at + 1]
        if not count or value == last:
            raise Malformed("runs of quality are not the shortest")
        if len(quality) + count > intervals_max:
            raise TooLarge("a profile has at most " + str(intervals_max) + " intervals")
        quality.extend([value] * count)
        last = value
    return tuple(quality)
