"""The pages of an ESP-IDF NVS partition: read them, and write them anew. Both Pythons."""

# Version 2. docs/en/api-reference/storage/nvs_flash.rst of ESP-IDF: a page is a header, a bitmap of
# two bits for each of 126 entries, and the entries of 32 bytes. A blob is chunks and an index.
# What is written here is the whole partition, not one entry after the other as the chip does.

import struct
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_BYTES = 4096
ENTRY_BYTES = 32
ENTRIES = 126
KEY_CHARS_MAX = 15
U8, I32, TEXT, BLOB_DATA, BLOB = 0x01, 0x14, 0x21, 0x42, 0x48
BLOB_BYTES_MAX = 3968  # in one chunk, in one page; a chip takes more
_ACTIVE, _FULL = 0xFFFFFFFE, 0xFFFFFFFC
_VERSION_2 = 0xFE
_NO_CHUNK = 0xFF
_CRC = 0xFFFFFFFF  # what ESP-IDF's begins with

# Entries are (namespace, key) -> (type, content): a number's eight bytes, all of a text or a blob.


class NvsFull(Exception):
    """More entries than the partition holds: one page must stay empty."""


def read_entries(region: bytes) -> "dict[tuple[str, str], tuple[int, bytes]]":
    """What the partition holds; a damaged entry is as good as none."""
    names: dict[int, str] = {}
    found: dict[tuple[int, str, int, int], bytes] = {}  # by namespace, key, type, chunk
    for page in _pages(region):
        for entry, content in _entries(page):
            namespace, kind, _span, chunk = entry[:4]
            key = entry[8:24].rstrip(b"\0").decode()
            if namespace == 0:
                names[content[0]] = key
            else:
                found[namespace, key, kind, chunk] = content
    entries: dict[tuple[str, str], tuple[int, bytes]] = {}
    for (namespace, key, kind, _), content in found.items():
        if namespace not in names or kind == BLOB_DATA:
            continue
        if kind == BLOB:
            size, count, first = struct.unpack("<IBB", content[:6])
            chunks = [found.get((namespace, key, BLOB_DATA, first + n), b"") for n in range(count)]
            content = b"".join(chunks)
            if len(content) != size:
                continue
        entries[names[namespace], key] = (kind, content)
    return entries


def write_entries(entries: "dict[tuple[str, str], tuple[int, bytes]]", region_bytes: int) -> bytes:
    """A partition that holds these. Raises NvsFull."""
    pages: list[list[bytes]] = [[]]
    numbers: dict[str, int] = {}
    for (namespace, key), (kind, content) in entries.items():
        if namespace not in numbers:
            numbers[namespace] = len(numbers) + 1
            _put(pages, [_entry(0, U8, _NO_CHUNK, namespace, bytes((numbers[namespace],)))])
        number = numbers[namespace]
        if kind == BLOB:
            _put(pages, _long(number, BLOB_DATA, 0, key, content))
            index = struct.pack("<IBBH", len(content), 1, 0, 0xFFFF)
            _put(pages, [_entry(number, BLOB, _NO_CHUNK, key, index)])
        elif kind == TEXT:
            _put(pages, _long(number, TEXT, _NO_CHUNK, key, content))
        else:
            _put(pages, [_entry(number, kind, _NO_CHUNK, key, content)])
    if (len(pages) + 1) * PAGE_BYTES > region_bytes:
        raise NvsFull()
    last = len(pages) - 1
    whole = b"".join([_page(n, slots, n < last) for n, slots in enumerate(pages)])
    return whole + b"\xff" * (region_bytes - len(whole))


def _pages(region: bytes) -> "list[bytes]":
    """Those in use, in the order in which they were begun."""
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(region), PAGE_BYTES):
        page = region[at : at + PAGE_BYTES]
        state, sequence = struct.unpack("<II", page[:8])
        crc = struct.unpack("<I", page[28:32])[0]
        if state in (_ACTIVE, _FULL) and crc == crc32(page[4:28], _CRC):
            found.append((sequence, page))
    return [page for _, page in sorted(found)]


def _entries(page: bytes) -> "Iterator[tuple[bytes, bytes]]":
    """Each written entry of a page with its content."""
    index = 0
    while index < ENTRIES:
        at = 64 + index * ENTRY_BYTES
        entry = page[at : at + ENTRY_BYTES]
        written = page[32 + index // 4] >> index % 4 * 2 & 3 == 2
        crc = struct.unpack("<I", entry[4:8])[0]
        if not written or crc != crc32(entry[:4] + entry[8:], _CRC):
            index += 1
            continue
        content = entry[24:]
        if entry[1] in (TEXT, BLOB_DATA):
            size, data_crc = struct.unpack("<HxxI", entry[24:])
            content = page[at + ENTRY_BYTES : at + ENTRY_BYTES + size]
            if crc32(content, _CRC) != data_crc:
                content = b""
        yield entry, content
        index += max(1, entry[2])


def _put(pages: "list[list[bytes]]", slots: "list[bytes]") -> None:
    """Put what belongs together into the last page, or into a new one."""
    if len(pages[-1]) + len(slots) > ENTRIES:
        pages.append([])
    pages[-1].extend(slots)


def _entry(namespace: int, kind: int, chunk: int, key: str, content: bytes, span: int = 1) -> bytes:
    head = bytes((namespace, kind, span, chunk))
    name = key.encode()
    if len(name) > KEY_CHARS_MAX:
        raise ValueError("a key has at most 15 characters")
    tail = name + b"\0" * (16 - len(name)) + content + b"\xff" * (8 - len(content))
    return head + struct.pack("<I", crc32(head + tail, _CRC)) + tail


def _long(namespace: int, kind: int, chunk: int, key: str, content: bytes) -> "list[bytes]":
    """The entry of a text or of a blob's chunk, and the slots with its bytes."""
    if len(content) > BLOB_BYTES_MAX:
        raise ValueError("at most 3968 bytes go into one chunk")
    slots = -(-len(content) // ENTRY_BYTES)
    about = struct.pack("<HHI", len(content), 0xFFFF, crc32(content, _CRC))
    padded = content + b"\xff" * (slots * ENTRY_BYTES - len(content))
    data = [padded[at : at + ENTRY_BYTES] for at in range(0, len(padded), ENTRY_BYTES)]
    first = [_entry(namespace, kind, chunk, key, about, slots + 1)]
    return first + data


def _page(sequence: int, slots: "list[bytes]", full: bool) -> bytes:
    head = struct.pack("<IB", sequence, _VERSION_2) + b"\xff" * 19
    state = struct.pack("<I", _FULL if full else _ACTIVE)
    bitmap = bytearray(b"\xff" * 32)
    for index in range(len(slots)):
        bitmap[index // 4] &= ~(1 << index % 4 * 2)
    body = state + head + struct.pack("<I", crc32(head, _CRC)) + bytes(bitmap) + b"".join(slots)
    return body + b"\xff" * (PAGE_BYTES - len(body))
