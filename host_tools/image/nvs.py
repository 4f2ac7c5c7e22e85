"""A meter's identity as an NVS partition: written by Espressif's generator, read back by ours."""

# Pages of 4096 bytes (espressif/esp-idf, docs/en/api-reference/storage/nvs_flash.rst): a header,
# two bits of state for each of 126 entries, the entries of 32 bytes with a CRC-32 each.
# MicroPython's esp32.NVS knows 32-bit integers and blobs, so nothing else is written here.

import io
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from host_tools.image.errors import NvsRefused
from host_tools.pairing.identity import Identity

PAGE_BYTES = 4096
ENTRY_BYTES = 32
ENTRIES = 126
NVS_BYTES_MIN = 3 * PAGE_BYTES  # one page in use, one to move to, one in reserve
NAME_CHARS_MAX = 15
BLOB_BYTES_MAX = 1024  # ours have at most 128; far below what one page holds
KEY_BYTES = 64  # AES-256-XTS: key and tweak key
NAMESPACE = "meter"
IDENTITY_NAMES = ("id", "key", "password", "epoch")
_STATES_IN_USE = (0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8)  # active, full, being freed
_WRITTEN = 2  # the two bits of an entry: 3 never used, 2 written, 0 erased
_U8, _I32, _BLOB, _PIECE, _INDEX = 0x01, 0x14, 0x41, 0x42, 0x48
_HEADER = struct.Struct("<BBBBI16s8s")  # namespace, type, span, piece, CRC, key, data

Value = int | bytes
Values = Mapping[tuple[str, str], Value]  # (namespace, key) -> value


class Entry(NamedTuple):
    """One value to be kept. Its repr hides it."""

    key: str
    value: Value

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, hidden)"


class Raw(NamedTuple):
    """An entry as it lies in a page; more data may follow in the entries it spans."""

    namespace: int
    kind: int
    span: int
    piece: int
    crc: int
    name: bytes
    value: bytes


def identity_entries(identity: Identity) -> tuple[Entry, ...]:
    """What of an identity is kept in NVS, in the namespace `meter`."""
    values: tuple[Value, ...] = (
        identity.meter_id,
        identity.meter_key.reveal(),
        identity.password.reveal(),
        identity.key_epoch,  # last: a meter without it takes it that it was never paired
    )
    return tuple(Entry(name, value) for name, value in zip(IDENTITY_NAMES, values, strict=True))


def generate(
    entries: tuple[Entry, ...], size: int, key: bytes | None = None, namespace: str = NAMESPACE
) -> bytes:
    """The partition's content, the same for the same entries; with a key under AES-XTS.

    It never touches the disk. Raises NvsRefused, which names the entry and never its value.
    """
    from esp_idf_nvs_partition_gen import (
        nvs_partition_gen as generator,
    )

    _check(entries, size, key, namespace)
    out = io.BytesIO()
    kind = generator.Page.VERSION2
    try:
        with generator.nvs_open(out, size - PAGE_BYTES, kind, key is not None, key) as store:
            generator.write_entry(store, namespace, "namespace", "", "")
            for name, value in entries:
                if isinstance(value, int):
                    generator.write_entry(store, name, "data", "i32", str(value))
                else:
                    generator.write_entry(store, name, "data", "hex2bin", value.hex())
    except generator.InsufficientSizeError:
        raise NvsRefused(
            f"an NVS of {size:#x} bytes is too small for {len(entries)} entries: use a larger one"
        ) from None
    content = out.getvalue()
    assert len(content) == size, "the generator fills the partition"
    return content


def read(content: bytes, key: bytes | None = None) -> Values:
    """Every valid integer and blob in a partition: the newest of each, whoever wrote it.

    What a power cut left half-written has no valid checksum, and is passed over as the chip does.
    """
    names: dict[int, str] = {}
    numbers: dict[tuple[int, str], Value] = {}
    pieces: dict[tuple[int, str, int], bytes] = {}
    indexes: dict[tuple[int, str], tuple[int, int, int]] = {}
    for entry, data in _entries(content, key):
        number, kind, value = entry.namespace, entry.kind, entry.value
        name = entry.name.rstrip(b"\0").decode("utf-8", "replace")
        if number == 0 and kind == _U8:
            names[value[0]] = name
        elif kind == _PIECE:
            pieces[number, name, entry.piece] = data
        elif kind == _BLOB:
            numbers[number, name] = data
        elif kind == _INDEX:
            size, count, first = struct.unpack_from("<IBB", value)
            indexes[number, name] = (size, count, first)
        elif kind == _I32:
            numbers[number, name] = struct.unpack_from("<i", value)[0]
    for (number, name), (size, count, first) in indexes.items():
        blob = b"".join(pieces.get((number, name, first + at), b"") for at in range(count))
        if len(blob) == size:
            numbers[number, name] = blob
    return {(names[n], name): value for (n, name), value in numbers.items() if n in names}


def holds_identity(content: bytes) -> bool:
    """Says whether a meter was paired here: all of an identity is in NVS, in clear."""
    values = read(content)
    return all((NAMESPACE, name) in values for name in IDENTITY_NAMES)


def new_key() -> bytes:
    """A key for an NVS. Espressif's generator would take it from a pseudo-random sequence."""
    return secrets.token_bytes(KEY_BYTES)


def key_partition(key: bytes) -> bytes:
    """The content of the partition `nvs_keys`, which flash encryption must protect."""
    if len(key) != KEY_BYTES:
        raise NvsRefused(f"an NVS key has {KEY_BYTES} bytes, not {len(key)}: make a new one")
    return (key + struct.pack("<I", _crc(key))).ljust(PAGE_BYTES, b"\xff")


def _check(entries: tuple[Entry, ...], size: int, key: bytes | None, namespace: str) -> None:
    if size < NVS_BYTES_MIN or size % PAGE_BYTES:
        raise NvsRefused(
            f"an NVS has whole pages of {PAGE_BYTES} bytes and at least {NVS_BYTES_MIN}, not {size}"
        )
    if key is not None:
        key_partition(key)
    for name, value in (*entries, (namespace, 0)):
        if not name.isascii() or not 0 < len(name) <= NAME_CHARS_MAX:
            raise NvsRefused(f"NVS key {name!r}: a name has 1 to {NAME_CHARS_MAX} ASCII characters")
        if isinstance(value, bytes) and not 0 < len(value) <= BLOB_BYTES_MAX:
            raise NvsRefused(f"NVS key {name!r}: a blob has 1 to {BLOB_BYTES_MAX} bytes")
        if isinstance(value, int) and not -(1 << 31) <= value < 1 << 31:
            raise NvsRefused(f"NVS key {name!r}: an integer must fit 32 bits with sign")
        if isinstance(value, bool) or not isinstance(value, int | bytes):
            raise NvsRefused(
                f"NVS key {name!r}: MicroPython reads integers and blobs only, "
                f"no {type(value).__name__}"
            )


def _entries(content: bytes, key: bytes | None) -> Iterator[tuple[Raw, bytes]]:
    """Every written entry whose checksum is right, and its data; the newest page last."""
    pages = []
    for at in range(0, len(content) - PAGE_BYTES + 1, PAGE_BYTES):
        page = content[at : at + PAGE_BYTES]
        state, sequence = struct.unpack_from("<II", page)
        right = _crc(page[4:28]) == struct.unpack_from("<I", page, 28)[0]
        if state in _STATES_IN_USE and right:
            pages.append((sequence, at, page))
    for _, at, page in sorted(pages):
        yield from _page_entries(page, at, key)


def _page_entries(page: bytes, at: int, key: bytes | None) -> Iterator[tuple[Raw, bytes]]:
    states = int.from_bytes(page[32:64], "little")
    index = 0
    while index < ENTRIES:
        state = states >> 2 * index & 3
        raw = _clear(page, at, index, key)
        entry = Raw(*_HEADER.unpack(raw))
        if state != _WRITTEN or _crc(raw[:4] + raw[8:]) != entry.crc:
            index += 1
            continue
        span = max(1, entry.span)
        data = b"".join(_clear(page, at, index + n, key) for n in range(1, span))
        whole = True
        if entry.kind in (_PIECE, _BLOB):
            size, crc = struct.unpack_from("<H2xI", entry.value)
            data = data[:size]
            whole = len(data) == size and _crc(data) == crc
        if whole:
            yield entry, data
        index += span


def _clear(page: bytes, at: int, index: int, key: bytes | None) -> bytes:
    """An entry of a page, in clear. Its place in the partition is the tweak."""
    start = 64 + ENTRY_BYTES * index
    raw = page[start : start + ENTRY_BYTES].ljust(ENTRY_BYTES, b"\xff")
    if key is None:
        return raw
    tweak = (at + start).to_bytes(16, "little")
    cipher = Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor()
    return cipher.update(raw) + cipher.finalize()


def _crc(data: bytes) -> int:
    return zlib.crc32(data, 0xFFFFFFFF)
