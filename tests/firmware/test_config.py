"""A meter's config: every wrong key is named, and no secret is shown."""

from firmware.config import (
    CAPTURE_PERIOD_S_MAX,
    CAPTURE_PERIOD_S_MIN,
    HOST_CHARS_MAX,
    PAIRED_S_MAX,
    PAIRED_S_MIN,
    PASSWORD_CHARS_MAX,
    ConfigError,
    parse,
)
from tests.support.a_meter import METER_ID, METER_KEY, refusal_of, settings


def refused(**changes):
    return refusal_of(ConfigError, parse, settings(**changes))


def test_a_complete_config_is_taken():
    config = parse(settings())
    assert (config.meter_id, config.meter_key) == (METER_ID, METER_KEY)
    assert (config.key_epoch, config.gateway_port, config.capture_period_s) == (0, 1883, 900)


def test_each_missing_key_is_named():
    for key in settings():
        found = settings()
        del found[key]
        assert key in refusal_of(ConfigError, parse, found)


def test_tls_its_server_name_and_the_time_of_pairing_may_be_left_out():
    config = parse(settings())
    assert (config.tls, config.server_name, config.paired_s) == (False, "", 0)
    config = parse(settings(tls=True, server_name="gateway.test", paired_s=1_700_000_000))
    assert (config.tls, config.server_name) == (True, "gateway.test")
    assert config.paired_s == 1_700_000_000
    assert parse(settings(tls=False)).tls is False


def test_whether_there_is_tls_is_never_guessed():
    for value in (0, 1, "true", "false", "", None, []):
        assert "tls" in refused(tls=value)


def test_an_unknown_key_is_named_unless_it_is_the_board_s():
    assert "colour" in refused(colour="red")
    assert parse(settings(speed=2), ("speed",)).imp_per_kwh == 1000


def test_numbers_are_taken_at_their_limits_and_refused_beyond():
    limits = {
        "imp_per_kwh": (1, 100000),
        "key_epoch": (0, 255),
        "gateway_port": (1, 65535),
        "capture_period_s": (CAPTURE_PERIOD_S_MIN, CAPTURE_PERIOD_S_MAX),
        "paired_s": (PAIRED_S_MIN, PAIRED_S_MAX),
    }
    for key, (low, high) in limits.items():
        for value in (low, high):
            parse(settings(**{key: value}))
        for value in (low - 1, high + 1, "1000", True, None, 1.5):
            assert key in refused(**{key: value})


def test_texts_are_taken_at_their_limits_and_refused_beyond():
    for key, chars_max in (
        ("gateway_host", HOST_CHARS_MAX),
        ("server_name", HOST_CHARS_MAX),
        ("password", PASSWORD_CHARS_MAX),
    ):
        parse(settings(**{key: "x"}))
        parse(settings(**{key: "x" * chars_max}))
        for value in ("", "x" * (chars_max + 1), 7, None):
            assert key in refused(**{key: value})


def test_a_capture_period_must_divide_the_hour():
    for period_s in (60, 300, 900, 1800, 3600):
        assert parse(settings(capture_period_s=period_s)).capture_period_s == period_s
    assert "capture_period_s" in refused(capture_period_s=700)


def test_ids_and_keys_are_hexadecimal_of_the_right_length():
    for key in ("meter_id", "meter_key"):
        good = settings()[key]
        for value in (good[:-1], good + "0", "zz" + good[2:], "+1" + good[2:], 5, None):
            assert key in refused(**{key: value})


def test_what_is_not_an_object_is_refused():
    for value in (None, [], "text", 5):
        refusal_of(ConfigError, parse, value)


def test_no_secret_is_shown_by_the_config_or_its_errors():
    text = repr(parse(settings()))
    assert settings()["password"] not in text
    assert settings()["meter_key"] not in text
    secret = "zz" + settings()["meter_key"][2:]
    assert secret not in refused(meter_key=secret)
