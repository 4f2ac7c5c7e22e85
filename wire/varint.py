"""Unsigned integers of seven bits a byte, low bits first: how a profile packs its energies."""

from wire.errors import Malformed

VARINT_BYTES_MAX = 6  # 42 bits: registers have 40


def append(packed: bytearray, value: int) -> None:
    """Add one value to the packed bytes."""
    assert 0 <= value < 1 << (7 * VARINT_BYTES_MAX)
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)


def read_all(packed: bytes, count_max: int) -> "list[int]":
    """Every value in the packed bytes. Malformed when torn, over-long or more than count_max."""
    values = []
    value = 0
    shift = 0
    for byte in packed:
        if byte > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift >= 7 * VARINT_BYTES_MAX:
                raise Malformed("a packed number is too long")
        else:
            if shift and not byte:
                raise Malformed("a packed number is not the shortest")
            values.append(value | byte << shift)
            if len(values) > count_max:
                raise Malformed("more packed numbers than intervals")
            value = shift = 0
    if shift:
        raise Malformed("a packed number is cut short")
    return values
