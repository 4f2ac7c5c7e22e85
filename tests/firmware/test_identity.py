"""Who the meter is: from NVS or from config.json, and what is said when NVS is damaged."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

from boards.parts.identity import add_identity
from boards.parts.partition import Life
from firmware.config import PASSWORD_CHARS_MAX, ConfigError, parse
from tests.support.a_meter import METER_ID, METER_KEY, refusal_of, settings

OTHER_ID = bytes(range(0x80, 0x88))
OTHER_KEY = bytes(range(0x40, 0x60))
IDENTITY = ("meter_id", "meter_key", "key_epoch", "password")
DAMAGED = "NVS: the identity is damaged: pair the meter again"


def a_chip(**changes):
    """A chip with an identity in NVS."""
    chip = Chip()
    chip.nvs.update(epoch=7, id=OTHER_ID, key=OTHER_KEY, password=b"from-nvs-\xc5\xbc")
    chip.nvs.update(changes)
    return chip


def without(*keys):
    """The config of config.json without these."""
    found = settings()
    for key in keys:
        del found[key]
    return found


def merged(found):
    add_identity(found)
    return parse(found)


def test_an_identity_in_nvs_completes_a_config_that_has_none():
    a_chip()
    config = merged(without(*IDENTITY))
    assert (config.meter_id, config.meter_key) == (OTHER_ID, OTHER_KEY)
    assert (config.key_epoch, config.password) == (7, "from-nvs-ż")
    assert config.imp_per_kwh == 1000


def test_a_config_that_says_it_all_is_taken_as_it_is_where_nvs_has_no_identity():
    chip = Chip()
    Life(METER_KEY).begin()  # its mark is in the same namespace, and no identity
    assert chip.nvs
    found = settings()
    add_identity(found)
    assert found == settings()
    assert parse(found).meter_id == METER_ID


def test_where_both_have_one_nvs_has_the_word():
    a_chip()
    config = merged(settings())
    assert (config.meter_id, config.meter_key, config.key_epoch) == (OTHER_ID, OTHER_KEY, 7)


def test_a_pairing_that_was_cut_before_the_epoch_was_written_has_no_identity_yet():
    chip = a_chip()
    del chip.nvs["epoch"]
    assert "meter_id" in refusal_of(ConfigError, merged, without(*IDENTITY))
    assert merged(settings()).meter_id == METER_ID


def test_each_part_that_is_missing_or_of_another_length_is_named_as_nvs_s():
    for key in ("id", "key", "password"):
        chip = a_chip()
        del chip.nvs[key]
        found = without(*IDENTITY)
        assert refusal_of(ConfigError, add_identity, found) == DAMAGED
        assert found == without(*IDENTITY), "half an identity is none"
    for changes in ({"id": OTHER_ID[:-1]}, {"id": OTHER_ID + b"x"}, {"key": OTHER_KEY[:-1]},
                    {"key": OTHER_KEY + b"x"}, {"key": b""}, {"password": b"\xff"}, {"key": 5},
                    {"password": b"x" * (PASSWORD_CHARS_MAX + 1)}):  # fmt: skip
        a_chip(**changes)
        assert refusal_of(ConfigError, add_identity, settings()) == DAMAGED


def test_a_password_of_any_length_a_config_may_have_comes_through():
    for length in (1, PASSWORD_CHARS_MAX - 1, PASSWORD_CHARS_MAX):
        a_chip(password=b"p" * length)
        assert merged(settings()).password == "p" * length
    a_chip(password=b"")
    assert "password" in refusal_of(ConfigError, merged, settings())


def test_nvs_that_cannot_be_read_says_so_and_not_that_there_is_no_identity():
    for damage in (
        {"": "not_initialized"},
        {"epoch": "not_initialized"},
        {"id": "invalid_length"},
        {"password": "not_initialized"},
    ):
        a_chip().nvs_damage = damage
        assert refusal_of(ConfigError, add_identity, settings()) == DAMAGED


def test_no_error_tells_a_key_or_a_password():
    a_chip(password=b"secret-\xff")
    text = refusal_of(ConfigError, add_identity, settings())
    assert "secret" not in text
    assert "40" not in text
