"""Partition tables: ours, published ones of every shape, and all that is refused of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.image import partitions
from host_tools.image.errors import TableRefused
from host_tools.image.partitions import APP, DATA, FACTORY, FILES, NVS, OTA_0, Partition
from tests.support.a_firmware import OTA, WITH_VFS, WITHOUT_VFS

MIB = 1 << 20


def rows_of(table: partitions.Table) -> list[tuple[str, int, int]]:
    return [(row.label, row.offset, row.size) for row in table]


def test_a_meter_s_table_has_a_place_for_identity_program_registers_and_files() -> None:
    assert rows_of(partitions.ours(4 * MIB)) == [
        ("nvs", 0x9000, 0x6000),
        ("phy_init", 0xF000, 0x1000),
        ("factory", 0x10000, 0x1F0000),
        ("meter", 0x200000, 0x100000),
        ("vfs", 0x300000, 0x100000),
    ]
    meter = partitions.find(partitions.ours(4 * MIB), "meter")
    assert meter is not None
    assert (meter.type, meter.subtype, meter.flags) == (DATA, 0x40, 0)


@pytest.mark.parametrize("mib", [4, 8, 16])
def test_with_more_flash_only_the_file_system_grows(mib: int) -> None:
    table = partitions.ours(mib * MIB)
    assert rows_of(table)[:-1] == rows_of(partitions.ours(4 * MIB))[:-1]
    assert table[-1].end == mib * MIB


def test_a_flash_below_the_least_is_refused_and_the_least_itself_is_not() -> None:
    least = partitions.FLASH_BYTES_MIN
    for size in (least, least + 0x1000):
        assert partitions.ours(size)[-1].size == size - partitions.VFS_OFFSET
    for size in (least - 0x1000, 2 * MIB, least + 1):
        with pytest.raises(TableRefused, match="use a module with 4 MB"):
            partitions.ours(size)


def test_a_locked_meter_has_a_key_for_its_nvs_and_encrypts_its_files_not_its_registers() -> None:
    table = partitions.ours(4 * MIB, locked=True)
    keys = partitions.find(table, "nvs_keys")
    assert keys == Partition("nvs_keys", DATA, 0x04, 0xE000, 0x1000, partitions.ENCRYPTED)
    assert {row.label for row in table if row.flags & partitions.ENCRYPTED} == {"nvs_keys", "vfs"}
    assert rows_of(table)[0] == ("nvs", 0x9000, 0x5000)


@pytest.mark.parametrize("table", [WITH_VFS, WITHOUT_VFS, OTA, partitions.ours(4 * MIB)])
def test_a_table_goes_there_and_back(table: partitions.Table) -> None:
    content = partitions.encode(table)
    assert len(content) == partitions.TABLE_BYTES
    assert partitions.parse(content) == table
    assert partitions.parse(content.ljust(0x4000, b"\xff")) == table
    md5_at = 32 * len(table)
    assert content[md5_at : md5_at + 16] == b"\xeb\xeb" + b"\xff" * 14
    assert content[md5_at + 16 : md5_at + 32] == hashlib.md5(content[:md5_at]).digest()


def test_the_bytes_of_a_row_are_those_of_the_format() -> None:
    row = partitions.encode(WITH_VFS)[:32]
    assert row == bytes.fromhex("aa50 01 02 00900000 00600000".replace(" ", "")) + b"nvs".ljust(
        16, b"\0"
    ) + bytes(4)


def test_a_table_without_md5_is_read_too() -> None:
    rows = partitions.encode(WITH_VFS)[: 32 * len(WITH_VFS)]
    assert partitions.parse(rows.ljust(0xC00, b"\xff")) == WITH_VFS


def test_every_flipped_bit_of_a_table_with_md5_is_found() -> None:
    content = bytearray(partitions.encode(WITH_VFS))
    for bit in range(8 * 32 * (len(WITH_VFS) + 1)):
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TableRefused):
            partitions.parse(bytes(content))
        content[bit // 8] ^= 1 << bit % 8
    assert partitions.parse(bytes(content)) == WITH_VFS


def test_every_truncation_of_a_table_is_refused() -> None:
    content = partitions.encode(WITH_VFS)
    for length in range(32 * (len(WITH_VFS) + 1)):
        with pytest.raises(TableRefused):
            partitions.parse(content[:length])


def test_what_is_no_table_is_refused() -> None:
    for content in (b"", b"\xff" * 0xC00, b"\xe9" * 0xC00, b"<html>".ljust(0xC00)):
        with pytest.raises(TableRefused, match="no partition table"):
            partitions.parse(content)


def changed(name: str, **fields: int | str) -> partitions.Table:
    """The usual table with one row changed."""
    return tuple(
        row._replace(**fields) if row.label == name else row  # type: ignore[arg-type]
        for row in WITH_VFS
    )


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (changed("nvs", size=0x7000), r"nvs \(0x9000 to 0x10000\) overlaps phy_init at 0xf000"),
        (changed("vfs", offset=0x1FF000), "factory .* overlaps vfs"),
        (changed("factory", offset=0x11000), "multiple of 0x10000"),
        (changed("vfs", offset=0x200800), "multiple of 0x1000"),
        (changed("vfs", size=0), "its size 0x0"),
        (changed("vfs", size=0x1234), "its size 0x1234"),
        (changed("vfs", label="nvs"), "nvs is there twice"),
        (changed("vfs", label=""), "1 to 16 bytes"),
        (changed("vfs", label="v" * 17), "1 to 16 bytes"),
        (changed("nvs", offset=0x8000), "overlaps the partition table"),
        (changed("nvs", offset=0x1000), "overlaps the partition table"),
    ],
)
def test_a_table_that_no_chip_takes_is_refused_by_name(table: partitions.Table, why: str) -> None:
    with pytest.raises(TableRefused, match=why):
        partitions.encode(table)


def test_a_label_of_16_bytes_is_the_longest() -> None:
    for length in (15, 16):
        table = changed("vfs", label="v" * length)
        assert partitions.parse(partitions.encode(table)) == table


def test_a_table_holds_95_partitions_and_no_96th() -> None:
    def many(count: int) -> partitions.Table:
        return tuple(
            Partition(f"p{n}", DATA, 0x40, 0x9000 + n * 0x1000, 0x1000) for n in range(count)
        )

    for count in (94, 95):
        assert partitions.parse(partitions.encode(many(count))) == many(count)
    with pytest.raises(TableRefused, match="96 partitions"):
        partitions.encode(many(96))


def test_the_file_system_is_where_the_table_says() -> None:
    assert partitions.files(WITH_VFS, 4 * MIB) == WITH_VFS[-1]
    named_ffat = changed("vfs", label="ffat")
    assert partitions.files(named_ffat, 4 * MIB).label == "ffat"


def test_without_an_entry_it_is_from_the_last_partition_to_the_end_of_the_flash() -> None:
    assert partitions.files(WITHOUT_VFS, 4 * MIB)[3:5] == (0x200000, 0x200000)
    assert partitions.files(WITHOUT_VFS, 16 * MIB)[3:5] == (0x200000, 0xE00000)
    place = partitions.files(OTA, 4 * MIB)
    assert (place.label, place.offset, place.end) == ("vfs", 0x310000, 4 * MIB)
    assert place.size // 4096 == 240  # as many blocks as MicroPython counts there


def test_no_room_for_files_is_refused() -> None:
    with pytest.raises(TableRefused, match="no room for a file system behind 0x200000"):
        partitions.files(WITHOUT_VFS, 2 * MIB)
    with pytest.raises(TableRefused, match="vfs ends at 0x400000, beyond the flash"):
        partitions.files(WITH_VFS, 2 * MIB)


def test_the_program_goes_to_factory_else_to_the_first_slot() -> None:
    assert partitions.app(WITH_VFS).label == "factory"
    assert partitions.app(OTA).label == "ota_0"
    assert partitions.app(tuple(reversed(OTA))).label == "ota_0"
    with pytest.raises(TableRefused, match="boots nothing"):
        partitions.app(WITH_VFS[:2])
    only_second = (Partition("ota_1", APP, OTA_0 + 1, 0x10000, 0x10000),)
    with pytest.raises(TableRefused, match="boots nothing"):
        partitions.app(only_second)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda r: (r[0] * 16, r[1] * 16)),
        min_size=1,
        max_size=6,
    )
)
def test_overlaps_are_found_exactly_when_a_byte_is_shared(regions: list[tuple[int, int]]) -> None:
    named = [(f"r{n}", offset, size) for n, (offset, size) in enumerate(regions)]
    bytes_of = [at for offset, size in regions for at in range(offset, offset + size)]
    shares = len(bytes_of) != len(set(bytes_of))
    try:
        partitions.refuse_overlaps(named)
    except TableRefused:
        assert shares
    else:
        assert not shares


def test_the_numbers_of_kinds_are_espressif_s() -> None:
    assert (APP, DATA, FACTORY, OTA_0, NVS, FILES) == (0, 1, 0x00, 0x10, 0x02, 0x81)
