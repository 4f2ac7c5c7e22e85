"""AES in Python (FIPS 197), where the port has no cryptolib: ECB and CBC, encryption only."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ECB, CBC = 1, 2


def _doubled(byte: int) -> int:
    """x times 2 in GF(2^8) (section 4.2.1)."""
    return (byte << 1 ^ (0x1B if byte & 0x80 else 0)) & 0xFF


def _substitutions() -> bytes:
    """The S-box (section 5.1.1): the inverse in GF(2^8), then an affine map."""
    logs, powers, value = bytearray(256), bytearray(256), 1
    for exponent in range(255):
        logs[value], powers[exponent] = exponent, value
        value ^= _doubled(value)  # times 3, which generates the field
    box = bytearray(256)
    for byte in range(256):
        inverse = powers[(255 - logs[byte]) % 255] if byte else 0
        mapped = 0x63
        for turn in range(5):
            mapped ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[byte] = mapped
    return bytes(box)


_S = _substitutions()


def _xor(one: "Any", other: "Any") -> bytes:
    return bytes([one[index] ^ other[index] for index in range(len(one))])


def _round_keys(key: bytes) -> "list[bytes]":
    """The key expansion (section 5.2)."""
    words = len(key) // 4
    expanded = [bytes(key[4 * index : 4 * index + 4]) for index in range(words)]
    constant = 1
    for index in range(words, 4 * (words + 7)):
        word = expanded[index - 1]
        if index % words == 0:
            word = bytes([_S[word[1]] ^ constant, _S[word[2]], _S[word[3]], _S[word[0]]])
            constant = _doubled(constant)
        elif words > 6 and index % words == 4:
            word = bytes([_S[byte] for byte in word])
        expanded.append(_xor(expanded[index - words], word))
    return [b"".join(expanded[at : at + 4]) for at in range(0, len(expanded), 4)]


def _mixed(state: "Any") -> bytes:
    """MixColumns (section 5.1.3)."""
    mixed = bytearray(16)
    for at in range(16):
        column = at - at % 4
        whole = state[column] ^ state[column + 1] ^ state[column + 2] ^ state[column + 3]
        neighbour = state[column + (at + 1) % 4]
        mixed[at] = state[at] ^ whole ^ _doubled(state[at] ^ neighbour)
    return bytes(mixed)


class aes:
    """What cryptolib.aes is on a device: modes 1 (ECB) and 2 (CBC), keys of 16 or 32 bytes."""

    def __init__(self, key: bytes, mode: int, iv: "bytes | None" = None) -> None:
        if mode not in (ECB, CBC):
            raise ValueError("mode")
        if len(key) not in (16, 32):
            raise ValueError("key")
        self._chain = iv if mode == CBC else None
        self._keys = _round_keys(key)

    def encrypt(self, data: "Any", out: "Any" = None) -> "bytes | None":
        """Whole blocks; into `out` where one is given."""
        sealed = b""
        for at in range(0, len(data), 16):
            block = bytes(data[at : at + 16])
            if self._chain is not None:
                block = _xor(block, self._chain)
            block = self._cipher(block)
            if self._chain is not None:
                self._chain = block
            sealed += block
        if out is None:
            return sealed
        out[: len(sealed)] = sealed
        return None

    def _cipher(self, block: bytes) -> bytes:
        state = _xor(block, self._keys[0])
        for key in self._keys[1:]:
            state = bytes([_S[state[(5 * index) % 16]] for index in range(16)])
            state = _xor(state if key is self._keys[-1] else _mixed(state), key)
        return state
