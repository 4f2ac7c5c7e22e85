"""Ethernet on a fake PHY: nothing waits, every fault is named, and each is left behind again."""

from tests.support.fake_esp32 import Chip  # isort: skip  (first)

from boards import olimex_esp32_poe, wt32_eth01
from boards.parts.ethernet import (
    ADDRESS_MS,
    NO_ADDRESS,
    NO_CABLE,
    REST_BASE_MS,
    REST_MAX_MS,
    RESTING,
    START_MS,
    STARTING,
    UP,
    EthernetLink,
)
from firmware.mqtt_door import LinkDown
from tests.support.a_meter import FakeClock, LinkBelow, refusal_of


class Cable:
    """An EthernetLink over a fake PHY, stepped in fake time."""

    def __init__(self, board=wt32_eth01, **how):
        self.chip = Chip()
        self.lan = self.chip.lan
        for name, value in how.items():
            setattr(self.lan, name, value)
        self.clock = FakeClock()
        self.board = board
        self.start()

    def start(self):
        """The program starts: a new link over what the chip has."""
        lan = self.board.LAN
        self.link = lan.open_link("", {}, "esp32", self.clock, lambda limit: 0, None)
        self.link.stream = LinkBelow()
        assert type(self.link) is EthernetLink

    def after(self, passed_ms):
        self.clock.pass_ms(passed_ms)
        return self.link.step()

    def why(self):
        """What a meter is told that wants to reach its gateway now."""
        return refusal_of(LinkDown, self.link.open, "gateway", 1883, 5000)


def test_a_link_opens_once_there_is_an_address_and_until_then_says_why_at_once():
    cable = Cable()
    assert cable.why() == "ethernet starting"
    assert cable.why() == "ethernet starting"
    assert cable.why() == "ethernet no cable"
    cable.lan.cable = True
    cable.lan.serves = False
    assert cable.why() == "ethernet no address"
    cable.lan.serves = True
    stream = cable.link.open("gateway", 1883, 5000)
    assert cable.link.stream.opened == [("gateway", 1883, 5000)]
    assert cable.link.wait(stream, True, 5)
    assert cable.link.rssi_dbm() == 0
    assert cable.clock.ms == 0, "nothing waited"
    assert cable.lan.calls == ["on"]


def test_each_board_tells_the_driver_how_its_phy_is_wired():
    for board, power, clock, mode, address in (
        (wt32_eth01, 16, 0, 1, 1),
        (olimex_esp32_poe, 12, 17, 3, 0),
    ):
        cable = Cable(board)
        cable.link.step()
        how = cable.lan.how
        pins = {name: how[name].number for name in ("mdc", "mdio", "power", "ref_clk")}
        assert pins == {"mdc": 23, "mdio": 18, "power": power, "ref_clk": clock}
        assert (how["phy_type"], how["phy_addr"], how["ref_clk_mode"]) == (1, address, mode)


def test_a_phy_that_never_answers_is_tried_again_after_rests_that_grow_to_their_limit():
    cable = Cable(silent=1 << 20)
    rests_ms = []
    for _ in range(9):
        assert cable.link.step() == RESTING
        rest_ms = 0
        before = cable.lan.silent
        while cable.lan.silent == before:
            rest_ms += 500
            cable.after(500)
        rests_ms.append(rest_ms)
    assert rests_ms[:3] == [REST_BASE_MS, 2 * REST_BASE_MS, 4 * REST_BASE_MS]
    assert rests_ms[-1] == REST_MAX_MS
    cable.lan.silent = 0
    cable.lan.cable = True
    cable.after(REST_MAX_MS)
    assert [cable.after(1) for _ in range(3)][-1] == UP


def test_a_cable_that_is_pulled_and_put_back_is_noticed_at_the_next_look():
    cable = Cable(cable=True, after=0)
    assert [cable.link.step() for _ in range(3)] == [STARTING, NO_ADDRESS, UP]
    cable.lan.unplug()
    assert cable.link.step() == NO_CABLE
    assert cable.after(10 * ADDRESS_MS) == NO_CABLE
    cable.lan.cable = True
    assert [cable.link.step() for _ in range(2)] == [NO_ADDRESS, UP]
    assert cable.lan.calls == ["on"], "the driver needs no help"


def test_without_an_address_for_long_the_interface_is_started_anew():
    cable = Cable(cable=True, serves=False, after=0)
    assert [cable.link.step() for _ in range(2)] == [STARTING, NO_ADDRESS]
    assert cable.after(ADDRESS_MS - 1) == NO_ADDRESS
    assert cable.lan.calls == ["on"]
    assert cable.after(1) == RESTING
    assert cable.lan.calls == ["on", "off"]
    cable.lan.serves = True
    assert cable.after(REST_BASE_MS - 1) == RESTING
    assert cable.after(1) == STARTING
    assert [cable.link.step() for _ in range(2)] == [NO_ADDRESS, UP]


def test_an_address_begins_the_rests_anew():
    cable = Cable(cable=True, serves=False, after=0)
    for rest_ms in (REST_BASE_MS, 2 * REST_BASE_MS):
        assert [cable.link.step() for _ in range(2)] == [STARTING, NO_ADDRESS]
        assert cable.after(ADDRESS_MS) == RESTING
        assert cable.after(rest_ms - 1) == RESTING
        cable.clock.pass_ms(1)
    cable.lan.serves = True
    assert [cable.link.step() for _ in range(3)][-1] == UP
    cable.lan.unplug()
    cable.link.step()
    cable.lan.cable, cable.lan.serves = True, False
    assert cable.link.step() == NO_ADDRESS
    assert cable.after(ADDRESS_MS) == RESTING
    assert cable.after(REST_BASE_MS) == STARTING


def test_an_event_that_comes_late_does_not_start_the_driver_twice():
    cable = Cable(cable=True, after=5)
    for _ in range(5):
        assert cable.link.step() == STARTING
        cable.clock.pass_ms(START_MS // 6)
    assert cable.lan.calls == ["on"]
    cable.link.step()
    cable.link.step()
    assert cable.link.step() == UP


def test_a_driver_that_does_not_start_is_started_again():
    cable = Cable(cable=True, refuses=3)
    assert cable.link.step() == RESTING
    for _ in range(3):
        cable.after(REST_MAX_MS)
    assert cable.lan.calls == ["on"] * 4
    assert [cable.after(1) for _ in range(3)][-1] == UP


def test_after_a_soft_reset_the_driver_that_runs_on_is_taken_as_it_is():
    cable = Cable(cable=True)
    while cable.link.step() != UP:
        pass
    cable.chip.soft_reset()
    cable.start()
    assert cable.link.step() == UP
    assert cable.lan.calls == ["on"]


def test_a_driver_that_runs_and_has_not_said_so_yet_survives_a_second_start():
    cable = Cable(cable=True, after=3)
    assert cable.link.step() == STARTING
    cable.chip.soft_reset()
    cable.start()
    assert cable.link.step() == RESTING, "ethernet enable failed: it runs already"
    assert cable.lan.active() is False, "and says it does not"
    cable.after(REST_BASE_MS)
    while cable.link.step() != UP:
        cable.clock.pass_ms(REST_MAX_MS)
    assert "off" not in cable.lan.calls
