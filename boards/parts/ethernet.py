"""Ethernet that is asked, never waited for: starts its PHY, says what is amiss, starts it anew."""

# What network.LAN of the ESP32 port does (ports/esp32/network_lan.c), and so is not asked here:
# isconnected() was True without a cable up to 1.21 (micropython#12741), status() is right. A second
# active(True) raises although the driver runs, as after a soft reset, and active() then tells
# False; a failed active(False) makes it tell True. Any Wi-Fi event is taken for one of Ethernet
# (micropython#19123): a board with this part never makes a network.WLAN.

import machine
import network

from firmware.backoff import Backoff
from firmware.mqtt_door import LinkDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

START_MS = 2_000  # from active(True) until status() must say something else
ADDRESS_MS = 60_000  # with a cable and no address for so long, DHCP begins anew
REST_BASE_MS = 1_000
REST_MAX_MS = 60_000

STARTING = "starting"
NO_CABLE = "no cable"
NO_ADDRESS = "no address"
UP = "up"
RESTING = "resting"  # after the PHY did not answer, or no address came


class Lan:
    """How an ESP32 board with a LAN8720 or LAN8710 PHY reaches its gateway; as parts.wifi_way.

    Numbers of GPIOs; clock_out: the chip gives the 50 MHz on ref_clk, else the board does.
    """

    KEYS = ()  # of the config

    def __init__(
        self, mdc: int, mdio: int, power: int, phy_addr: int, ref_clk: int, clock_out: bool
    ) -> None:
        self.pins = (mdc, mdio, power, ref_clk)
        self.phy_addr = phy_addr
        self.clock_out = clock_out

    def open_link(
        self,
        root: str,
        settings: "dict[str, Any]",
        chip: str,
        clock: "Any",
        rng: "Callable[[int], int]",
        feed: "Callable[[], None]",
    ) -> "EthernetLink":
        """The link of firmware.board.Board, still without its stream."""
        return EthernetLink(self.make, clock, rng)

    def make(self) -> "Any":
        """network.LAN. Raises OSError when the PHY does not answer."""
        pin = machine.Pin
        mdc, mdio, power, ref_clk = [pin(number) for number in self.pins]
        return network.LAN(
            mdc=mdc,
            mdio=mdio,
            power=power,
            phy_type=network.PHY_LAN8720,
            phy_addr=self.phy_addr,
            ref_clk=ref_clk,
            ref_clk_mode=pin.OUT if self.clock_out else pin.IN,
        )


class EthernetLink:
    """firmware.board.Link: the stream's own link, once there is an address.

    make: gives network.LAN. Each `open` takes one step and returns or raises at once.
    """

    def __init__(
        self, make: "Callable[[], Any]", clock: "Any", rng: "Callable[[int], int]"
    ) -> None:
        self.stream: Any = None
        self.state = RESTING
        self._make = make
        self._lan: Any = None
        self._clock = clock
        self._rest = Backoff(REST_BASE_MS, REST_MAX_MS, rng)
        self._since_ms = 0
        self._bound_ms = 0

    def open(self, host: str, port: int, timeout_ms: int) -> "Any":
        """A connected stream; see firmware.board.Link. Raises LinkDown, why "ethernet ..."."""
        if self.step() != UP:
            raise LinkDown("ethernet " + self.state)
        return self.stream.open(host, port, timeout_ms)

    def wait(self, stream: "Any", for_write: bool, timeout_ms: int) -> bool:
        """As firmware.board.Link."""
        return self.stream.wait(stream, for_write, timeout_ms)

    def rssi_dbm(self) -> int:
        """A cable has none."""
        return 0

    def step(self) -> str:
        """One look at the driver, and what follows from it; gives the state."""
        clock = self._clock
        over = clock.ticks_diff(clock.ticks_ms(), self._since_ms) >= self._bound_ms
        if over or self.state != RESTING:
            try:
                if self._lan is None:
                    self._lan = self._make()
                self._look(self._lan.status(), over)
            except OSError:
                self._enter(RESTING, self._rest.next_ms())
        return self.state

    def _look(self, status: int, over: bool) -> None:
        if status == network.ETH_GOT_IP:
            self._rest.reset()
            self.state = UP
        elif status == network.ETH_CONNECTED:
            if self.state != NO_ADDRESS:
                self._enter(NO_ADDRESS, ADDRESS_MS)
            elif over:
                self._lan.active(False)
                self._enter(RESTING, self._rest.next_ms())
        elif status not in (network.ETH_INITIALIZED, network.ETH_STOPPED):
            self.state = NO_CABLE
        elif over or self.state != STARTING:
            self._lan.active(True)
            self._enter(STARTING, START_MS)

    def _enter(self, state: str, bound_ms: int) -> None:
        self.state = state
        self._since_ms = self._clock.ticks_ms()
        self._bound_ms = bound_ms
