"""Wi-Fi on a fake radio: nothing waits, every failure ends, and the rests grow to their limit."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

from boards.parts.wifi import (
    CONNECT_MS,
    CONNECTING,
    DOWN,
    INTERNAL_ERRORS_MAX,
    REST_BASE_MS,
    REST_MAX_MS,
    RESTING,
    UP,
    WifiLink,
    next_state,
)
from firmware.mqtt_door import LinkDown
from tests.support.a_meter import FakeClock, LinkBelow, refusal_of


class Radio:
    """A WifiLink over a fake radio, stepped in fake time."""

    def __init__(self, **how):
        self.wlan = Chip().wlan
        for name, value in how.items():
            setattr(self.wlan, name, value)
        self.clock = FakeClock()
        self.stream = LinkBelow()
        names = ("home", "a-long-password")
        self.link = WifiLink(self.wlan, names, self.stream, self.clock, lambda limit: 0)

    def after(self, passed_ms):
        self.clock.pass_ms(passed_ms)
        return self.link.step()


def test_the_states_of_wifi_follow_their_table():
    assert next_state(DOWN, False, False, False) == DOWN
    assert next_state(CONNECTING, False, False, False) == CONNECTING
    assert next_state(CONNECTING, False, True, True) == RESTING
    assert next_state(RESTING, False, False, False) == RESTING
    assert next_state(RESTING, False, True, False) == DOWN
    assert next_state(UP, False, False, False) == DOWN
    for state in (DOWN, CONNECTING, UP, RESTING):
        assert next_state(state, True, False, True) == UP


def test_a_link_opens_once_there_is_wifi_and_until_then_says_why_at_once():
    radio = Radio(polls=2)
    assert refusal_of(LinkDown, radio.link.open, "gateway", 1883, 5000) == "wifi connecting"
    assert refusal_of(LinkDown, radio.link.open, "gateway", 1883, 5000) == "wifi connecting"
    assert radio.stream.opened == []
    stream = radio.link.open("gateway", 1883, 5000)
    assert radio.stream.opened == [("gateway", 1883, 5000)]
    assert radio.link.wait(stream, True, 5)
    assert radio.clock.ms == 0, "nothing waited"


def test_an_access_point_that_never_answers_is_given_up_in_time_and_tried_again_after_a_rest():
    radio = Radio(polls=-1)
    assert radio.link.step() == CONNECTING
    assert radio.after(CONNECT_MS - 1) == CONNECTING
    assert radio.after(1) == RESTING
    assert radio.wlan.calls == ["on", "connect home", "disconnect"]
    assert radio.after(REST_BASE_MS - 1) == RESTING
    assert radio.after(1) == CONNECTING
    assert radio.wlan.calls.count("connect home") == 2


def test_rests_double_up_to_their_limit_and_a_connection_starts_them_anew():
    radio = Radio(polls=-1)
    rests_ms = []
    for _ in range(9):
        assert radio.link.step() == CONNECTING
        assert radio.after(CONNECT_MS) == RESTING
        rest_ms = 0
        while radio.link.state == RESTING:
            rest_ms += 500
            radio.after(500)
        rests_ms.append(rest_ms)
    assert rests_ms == [1000, 2000, 4000, 8000, 16000, 32000, REST_MAX_MS, REST_MAX_MS, REST_MAX_MS]
    radio.wlan.up = True
    assert radio.link.step() == UP
    radio.wlan.drop()
    assert radio.link.step() == CONNECTING
    assert radio.after(CONNECT_MS) == RESTING
    assert radio.after(REST_BASE_MS) == CONNECTING


def test_an_access_point_that_goes_away_is_looked_for_at_the_next_open():
    radio = Radio(polls=1)
    radio.link.step()
    assert radio.link.step() == UP
    radio.wlan.drop()
    assert refusal_of(LinkDown, radio.link.open, "gateway", 1883, 5000) == "wifi connecting"
    radio.link.open("gateway", 1883, 5000)


def test_the_driver_s_internal_error_is_a_failure_like_others_and_then_restarts_the_radio():
    radio = Radio(refuses=INTERNAL_ERRORS_MAX)
    for _ in range(INTERNAL_ERRORS_MAX):
        assert radio.after(REST_MAX_MS) == RESTING
    assert "off" not in radio.wlan.calls
    assert radio.after(REST_MAX_MS) == CONNECTING
    assert radio.wlan.calls[-3:] == ["off", "on", "connect home"]


def test_the_driver_does_not_try_again_by_itself():
    radio = Radio()
    radio.link.step()
    assert radio.wlan.reconnects == 0


def test_signal_strength_is_zero_without_an_access_point():
    radio = Radio(polls=1)
    assert radio.link.rssi_dbm() == 0
    radio.link.step()
    radio.link.step()
    assert radio.link.rssi_dbm() == -61
