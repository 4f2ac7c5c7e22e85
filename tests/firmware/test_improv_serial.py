"""Improv on the serial port: a client provisions the meter, whatever else comes over the wire."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

from boards.parts.improv_serial import QUIET_MS, listen
from boards.parts.wifi import CONNECT_MS, UP, WifiLink
from firmware import improv
from tests.support.a_meter import FakeClock, refused
from tests.support.fake_serial import RING_BYTES, FakeSerial, Silence

NAME, PASSWORD = "MyWirelessAP", "mysecurepassword"
ABOUT = ("OpenLicznik", "0.2.0", "esp32", "meter")
READY = improv.packet(improv.TYPE_STATE, b"\x02")
PROVISIONING = improv.packet(improv.TYPE_STATE, b"\x03")
PROVISIONED = improv.packet(improv.TYPE_STATE, b"\x04")
FINE, BROKEN, UNKNOWN, NO_CONNECTION, FAILED = [
    improv.packet(improv.TYPE_ERROR, bytes((error,))) for error in (0, 1, 2, 3, 255)
]


def rpc(command, data=b""):
    return improv.packet(improv.TYPE_REQUEST, bytes((command, len(data))) + data)[1:]


def wifi(name=NAME, password=PASSWORD):
    """A client hands these over."""
    given = b""
    for text in (name.encode(), password.encode()):
        given += bytes((len(text),)) + text
    return rpc(improv.SEND_WIFI, given)


class RadioClock(FakeClock):
    """Time in which a radio that is asked gives up some day."""

    def ticks_ms(self):
        self.ms += CONNECT_MS // 20
        return super().ticks_ms()


class Stopped(Exception):
    """A Ctrl-C stopped the program."""


class Meter:
    """A meter without a network, listening to what a client sends."""

    def __init__(self, *pieces, **known):
        self.wlan = Chip().wlan
        self.wlan.known = known
        self.link = WifiLink(self.wlan, (), None, RadioClock(), lambda limit: 0)
        self.serial = FakeSerial(*pieces, wlan=self.wlan)
        self.saved = []
        self.fed = 0
        self.full = False

    def save(self, names):
        if self.full:
            raise OSError(28)
        self.saved.append(names)

    def feed(self):
        self.fed += 1

    def listen(self):
        """Until the Wi-Fi is set (True) or the client has nothing more to say (False)."""
        with self.serial:
            try:
                listen(self.link, self.save, ABOUT, self.feed)
            except Silence:
                return False
            except KeyboardInterrupt:
                raise Stopped
            finally:
                assert self.serial.interrupt == 3, "Ctrl-C works again, whatever happened"
        return True

    def says(self):
        assert not self.listen()
        return self.serial.said


def test_a_client_that_asks_for_the_state_hears_that_the_meter_is_ready():
    assert Meter(rpc(improv.GET_STATE)).says() == FINE + READY


def test_a_client_learns_firmware_version_chip_and_name():
    told = improv.result(improv.GET_INFO, ABOUT)
    assert Meter(rpc(improv.GET_INFO)).says() == FINE + told


def test_networks_are_told_one_by_one_and_an_empty_answer_ends_them():
    meter = Meter(rpc(improv.GET_NETWORKS))
    meter.wlan.networks = [
        (b"home", b"\1\2\3\4\5\6", 1, -60, 3, False),
        (b"", b"\1\2\3\4\5\7", 1, -61, 3, True),
        (b"caf\xc3\xa9", b"\1\2\3\4\5\x08", 6, -90, 0, False),
    ]
    told = [("home", "-60", "YES"), (b"caf\xc3\xa9", "-90", "NO"), ()]
    answers = [improv.result(improv.GET_NETWORKS, texts) for texts in told]
    assert meter.says() == FINE + b"".join(answers)


def test_without_networks_the_answer_is_empty_at_once():
    assert Meter(rpc(improv.GET_NETWORKS)).says() == FINE + improv.result(improv.GET_NETWORKS, ())


def test_a_name_and_a_password_are_tried_saved_and_then_reported():
    meter = Meter(wifi(), **{NAME: PASSWORD})
    told = []
    save = meter.save
    meter.save = lambda names: (told.append(meter.serial.said), save(names))
    assert meter.listen()
    assert meter.saved == [(NAME, PASSWORD)]
    assert told == [FINE + PROVISIONING], "durable before visible"
    result = improv.result(improv.SEND_WIFI, ())
    assert meter.serial.said == FINE + PROVISIONING + PROVISIONED + result
    assert meter.link.state == UP
    assert meter.wlan.joined == (NAME, PASSWORD)


def test_an_open_network_needs_no_password():
    meter = Meter(wifi(password=""))
    assert meter.listen()
    assert meter.saved == [(NAME,)]


def test_a_wrong_password_is_reported_saved_nowhere_and_may_be_tried_again():
    meter = Meter(wifi(password="wrong-password"), wifi(), **{NAME: PASSWORD})
    assert meter.listen()
    said = meter.serial.said
    assert said.startswith(FINE + PROVISIONING + NO_CONNECTION + READY + FINE + PROVISIONING)
    assert meter.saved == [(NAME, PASSWORD)]


def test_a_driver_that_refuses_is_a_network_that_cannot_be_joined():
    meter = Meter(wifi())
    meter.wlan.refuses = 1
    assert meter.says() == FINE + PROVISIONING + NO_CONNECTION + READY
    assert meter.saved == []


def test_a_network_of_before_is_not_taken_for_the_one_that_is_tried():
    meter = Meter(wifi(password="wrong-password"), **{NAME: PASSWORD})
    meter.wlan.up = meter.wlan.lags = True  # as after a soft reset; and the driver is slow to tell
    assert NO_CONNECTION in meter.says()
    assert meter.saved == []


def test_a_disk_that_takes_nothing_is_an_error_and_the_meter_goes_on_listening():
    meter = Meter(wifi(), rpc(improv.GET_STATE))
    meter.full = True
    assert meter.says() == FINE + PROVISIONING + FAILED + FINE + READY


def test_a_radio_that_cannot_scan_is_an_error():
    meter = Meter(rpc(improv.GET_NETWORKS))
    meter.wlan.scan = lambda: meter.wlan.connect("nowhere") or []
    meter.wlan.refuses = 1
    assert meter.says() == FINE + FAILED


def test_broken_packets_and_unknown_commands_are_told_from_each_other():
    broken = rpc(improv.GET_STATE)[:-2] + b"\x00"
    assert Meter(broken).says() == BROKEN
    assert Meter(rpc(improv.SEND_WIFI, b"\x05abc")).says() == FINE + BROKEN
    for command in (0, 5, 6, 7, 255):
        assert Meter(rpc(command)).says() == FINE + UNKNOWN


def test_a_ctrl_c_stops_the_program_and_one_inside_a_packet_does_not():
    for before in (b"", b"\r", b"help()\r\n", b"IMPROV", b"\n", rpc(improv.GET_STATE)):
        meter = Meter(before + b"\x03" + rpc(improv.GET_STATE))
        assert refused(Stopped, meter.listen), before
        assert meter.serial.said.count(READY) == before.count(b"IMPROV\x01")
    assert Meter(rpc(improv.GET_INFO)).says().startswith(FINE), "0x03 is its command and its type"


def test_a_checksum_that_looks_like_ctrl_c_is_none():
    for number in range(256):
        packet = improv.packet(improv.TYPE_REQUEST, bytes((7, 1, number)))[1:]
        if packet[-2] == 3:
            assert Meter(packet + rpc(improv.GET_STATE)).says() == FINE + UNKNOWN + FINE + READY
            return
    raise AssertionError("no such checksum")


def test_the_echo_of_what_the_meter_said_is_answered_by_nothing():
    said = Meter(rpc(improv.GET_INFO)).says()
    assert Meter(said, READY, PROVISIONED).says() == b""


def test_a_packet_cut_short_is_forgotten_and_the_next_one_or_a_ctrl_c_is_heard():
    whole = rpc(improv.GET_STATE)
    for length in range(1, len(whole) - 1):
        assert Meter(whole[:length], whole).says() == FINE + READY, length
        assert refused(Stopped, Meter(whole[:length], b"\r\x03").listen), length
    assert QUIET_MS <= 1000, "a client asks again after a second"


def test_noise_and_text_before_a_packet_are_read_past():
    for noise in (b"rst:0x1 (POWERON)\r\n", bytes(range(4, 256)), b"IMPROV\x01\x03", b"\xff" * 300):
        assert Meter(noise, rpc(improv.GET_STATE)).says()[-len(READY) :] == READY, noise


def test_more_than_the_port_keeps_is_lost_and_a_client_that_asks_again_is_answered():
    meter = Meter(b"x" * (RING_BYTES + 5) + rpc(improv.GET_STATE), rpc(improv.GET_STATE))
    assert meter.says() == FINE + READY
    assert meter.serial.dropped > 5


def test_the_watchdog_is_fed_while_nobody_comes_and_while_the_radio_is_tried():
    quiet = Meter(*[lambda: None] * 20)
    assert not quiet.listen()
    assert quiet.fed >= 20
    meter = Meter(wifi())
    meter.wlan.polls = 10
    fed = []
    meter.feed = lambda: fed.append(PROVISIONING in meter.serial.said)
    assert meter.listen()
    assert fed.count(True) >= 10


def test_a_failure_of_any_other_kind_leaves_ctrl_c_on():
    meter = Meter(rpc(improv.GET_STATE))

    def feed():
        raise MemoryError

    meter.feed = feed
    assert refused(MemoryError, meter.listen)
    assert meter.serial.interrupt == 3


def test_no_password_is_ever_said():
    meter = Meter(wifi(password="wrong-password"), wifi(), **{NAME: PASSWORD})
    assert meter.listen()
    for secret in (PASSWORD, "wrong-password"):
        assert secret.encode() not in meter.serial.said
