"""NVS: what of an identity is kept, in which types, what a cut or a flipped bit does to it."""

import builtins
import random
import struct
import zlib
from typing import Any, NoReturn

import pytest
from esp_idf_nvs_partition_gen import nvs_partition_gen as generator

from host_tools.image import nvs
from host_tools.image.errors import NvsRefused
from host_tools.image.nvs import Entry
from host_tools.pairing.identity import Identity, fresh

SIZE = 0x6000
PAGE = nvs.PAGE_BYTES


def an_identity(epoch: int = 3, seed: int = 7) -> Identity:
    return fresh(key_epoch=epoch, random=random.Random(seed).randbytes)


def values_of(identity: Identity) -> nvs.Values:
    return {
        ("meter", "id"): identity.meter_id,
        ("meter", "key"): identity.meter_key.reveal(),
        ("meter", "password"): identity.password.reveal(),
        ("meter", "epoch"): identity.key_epoch,
    }


def kept(identity: Identity, key: bytes | None = None, size: int = SIZE) -> bytes:
    return nvs.generate(nvs.identity_entries(identity), size, key)


def test_an_identity_goes_into_nvs_and_comes_back() -> None:
    identity = an_identity()
    content = kept(identity)
    assert len(content) == SIZE
    assert nvs.read(content) == values_of(identity)
    assert nvs.holds_identity(content)


def test_the_same_identity_makes_the_same_bytes_and_another_others() -> None:
    assert kept(an_identity()) == kept(an_identity())
    assert kept(an_identity()) != kept(an_identity(epoch=4))


def test_only_the_two_types_that_micropython_reads_are_written() -> None:
    kinds = {entry.kind for entry, _ in nvs._entries(kept(an_identity()), None)}
    assert kinds == {0x01, 0x14, 0x42, 0x48}  # a namespace's number, i32, a blob's piece and index


def test_nothing_of_it_touches_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a file was opened")

    identity = an_identity()
    kept(identity)  # everything is imported
    monkeypatch.setattr(builtins, "open", refused)
    monkeypatch.setattr(generator, "open", refused)
    assert nvs.read(kept(identity)) == values_of(identity)


@pytest.mark.parametrize("value", ["text", 1.5, True, None, [1]])
def test_what_micropython_cannot_read_is_refused(value: object) -> None:
    with pytest.raises(NvsRefused, match="'wifi': MicroPython reads integers and blobs only"):
        nvs.generate((Entry("wifi", value),), SIZE)  # type: ignore[arg-type]


def test_integers_fit_32_bits_with_sign() -> None:
    for value in (-(1 << 31), 1 - (1 << 31), 0, (1 << 31) - 2, (1 << 31) - 1):
        assert nvs.read(nvs.generate((Entry("n", value),), SIZE)) == {("meter", "n"): value}
    for value in (-(1 << 31) - 1, 1 << 31):
        with pytest.raises(NvsRefused, match="must fit 32 bits"):
            nvs.generate((Entry("n", value),), SIZE)


def test_blobs_have_1_to_1024_bytes() -> None:
    for length in (1, 31, 32, 33, 1023, 1024):
        blob = bytes(range(256)) * 4
        assert nvs.read(nvs.generate((Entry("b", blob[:length]),), SIZE)) == {
            ("meter", "b"): blob[:length]
        }
    for length in (0, 1025):
        with pytest.raises(NvsRefused, match="a blob has 1 to 1024 bytes") as told:
            nvs.generate((Entry("b", b"\xab" * length),), SIZE)
        assert "abab" not in str(told.value)


def test_names_have_1_to_15_ascii_characters() -> None:
    for name in ("n", "n" * 14, "n" * 15):
        assert nvs.read(nvs.generate((Entry(name, 1),), SIZE)) == {("meter", name): 1}
        assert nvs.read(nvs.generate((Entry("n", 1),), SIZE, namespace=name)) == {(name, "n"): 1}
    for name in ("", "n" * 16, "kłucz"):
        with pytest.raises(NvsRefused, match="a name has 1 to 15"):
            nvs.generate((Entry(name, 1),), SIZE)


def test_a_partition_has_whole_pages_and_at_least_three() -> None:
    for size in (3 * PAGE, 4 * PAGE):
        assert nvs.read(kept(an_identity(), size=size)) == values_of(an_identity())
    for size in (2 * PAGE, 3 * PAGE + 1, 0):
        with pytest.raises(NvsRefused, match="whole pages"):
            kept(an_identity(), size=size)


def test_entries_fill_pages_and_what_does_not_fit_is_refused() -> None:
    def many(count: int) -> tuple[Entry, ...]:
        return tuple(Entry(f"b{n}", bytes((n,)) * 1000) for n in range(count))

    found = nvs.read(nvs.generate(many(15), SIZE))
    assert found == {("meter", f"b{n}"): bytes((n,)) * 1000 for n in range(15)}
    with pytest.raises(NvsRefused, match="too small for 40 entries"):
        nvs.generate(many(40), SIZE)


def test_secrets_are_in_no_repr_and_in_no_refusal() -> None:
    identity = an_identity()
    entries = nvs.identity_entries(identity)
    hidden = identity.meter_key.reveal()
    assert repr(hidden)[2:-1] not in repr(entries)
    assert hidden.hex() not in repr(entries)
    with pytest.raises(NvsRefused) as told:
        nvs.generate((Entry("key", hidden.hex()),), SIZE)  # type: ignore[arg-type]
    assert hidden.hex() not in str(told.value)


def as_page(content: bytes, sequence: int) -> bytes:
    """The first page, with this sequence number: what a chip writes when a page was full."""
    page = bytearray(content[:PAGE])
    struct.pack_into("<I", page, 4, sequence)
    struct.pack_into("<I", page, 28, zlib.crc32(page[4:28], 0xFFFFFFFF))
    return bytes(page)


def test_the_newest_of_two_values_counts_wherever_its_page_lies() -> None:
    old, new = an_identity(1, seed=1), an_identity(2, seed=2)
    older, newer = as_page(kept(old), 4), as_page(kept(new), 5)
    for pages in (older + newer, newer + older):
        assert nvs.read(pages.ljust(SIZE, b"\xff")) == values_of(new)


def test_an_erased_entry_is_gone() -> None:
    content = bytearray(kept(an_identity()))
    raw = [raw for raw, _ in nvs._entries(bytes(content), None)]
    index = next(at for at, entry in enumerate(raw) if entry.name.startswith(b"epoch"))
    entry_at = sum(max(1, entry.span) for entry in raw[:index])
    states = int.from_bytes(content[32:64], "little") & ~(3 << 2 * entry_at)
    content[32:64] = states.to_bytes(32, "little")
    assert set(nvs.read(bytes(content))) == set(values_of(an_identity())) - {("meter", "epoch")}


def test_cut_off_after_any_entry_it_holds_right_values_or_none() -> None:
    identity = an_identity()
    content, right = kept(identity), values_of(identity)
    for length in range(64, PAGE, 32):
        found = nvs.read(content[:length].ljust(SIZE, b"\xff"))
        assert found.items() <= right.items()
        whole = found == right
        assert nvs.holds_identity(content[:length].ljust(SIZE, b"\xff")) == whole


def test_a_flipped_bit_never_makes_a_wrong_value() -> None:
    identity = an_identity()
    content, right = bytearray(kept(identity)), values_of(identity)
    used = 64 + 32 * sum(max(1, raw.span) for raw, _ in nvs._entries(bytes(content), None))
    lost = 0
    for bit in range(8 * used):
        content[bit // 8] ^= 1 << bit % 8
        found = nvs.read(bytes(content))
        assert found.items() <= right.items()
        lost += found != right
        content[bit // 8] ^= 1 << bit % 8
    assert lost > 8 * used // 2


def test_blank_flash_and_noise_hold_no_identity() -> None:
    for content in (b"", b"\xff" * SIZE, b"\0" * SIZE, random.Random(1).randbytes(SIZE)):
        assert nvs.read(content) == {}
        assert not nvs.holds_identity(content)


def test_under_a_key_it_is_read_with_that_key_alone() -> None:
    identity, key = an_identity(), nvs.new_key()
    content = kept(identity, key)
    assert nvs.read(content, key) == values_of(identity)
    assert nvs.read(content) == {}
    assert nvs.read(content, nvs.new_key()) == {}
    for secret in (identity.meter_id, identity.meter_key.reveal(), identity.password.reveal()):
        assert secret in kept(identity)
        assert secret not in content


def test_espressif_s_own_reader_agrees_under_a_key() -> None:
    identity, key = an_identity(), nvs.new_key()
    sealed, clear = kept(identity, key), kept(identity)
    for index in range(nvs.ENTRIES):
        at = 64 + 32 * index
        entry = sealed[at : at + 32]
        if entry != b"\xff" * 32:
            entry = generator.decrypt_data(bytearray(entry), key, 0, index, 32)
        assert entry == clear[at : at + 32]


def test_a_key_has_64_bytes_and_its_partition_a_checksum() -> None:
    key = nvs.new_key()
    assert len(key) == nvs.KEY_BYTES == 64
    assert key != nvs.new_key()
    content = nvs.key_partition(key)
    assert len(content) == PAGE
    assert content[:64] == key
    assert struct.unpack_from("<I", content, 64)[0] == zlib.crc32(key, 0xFFFFFFFF)
    for wrong in (key[:63], key + b"x"):
        with pytest.raises(NvsRefused, match="an NVS key has 64 bytes"):
            nvs.key_partition(wrong)
        with pytest.raises(NvsRefused, match="an NVS key has 64 bytes"):
            kept(an_identity(), wrong)
