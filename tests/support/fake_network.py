"""The fake ESP32's networks: Wi-Fi and Ethernet, with what is documented of their drivers."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# MicroPython's names for what network.LAN.status() gives, in their order there.
ETH_STATES = (
    "ETH_INITIALIZED",
    "ETH_STARTED",
    "ETH_STOPPED",
    "ETH_CONNECTED",
    "ETH_DISCONNECTED",
    "ETH_GOT_IP",
)
INITIALIZED, STARTED, STOPPED, CONNECTED, DISCONNECTED, GOT_IP = range(6)


def name_constants(network: "Any") -> None:
    """Give the module what it has beside its classes."""
    network.STA_IF = 0
    network.PHY_LAN8720 = 1
    for state in ETH_STATES:
        setattr(network, state, ETH_STATES.index(state))


class FakeWlan:
    """network.WLAN: comes up `polls` looks after connect, or never (-1).

    `known` has the networks around and their passwords; with none, every network lets everybody in.
    With `lags`, switching it off is only seen after `settle`: the driver tells it as an event.
    """

    def __init__(self) -> None:
        self.polls = 2
        self.refuses = 0  # so many calls of connect fail inside the driver
        self.calls: list[str] = []
        self.reconnects = -1  # as the driver begins: it tries for ever by itself
        self.known: dict[str, str] = {}
        self.joined: tuple[str, ...] = ()
        self.networks: list[tuple[Any, ...]] = []  # as scan() tells them
        self.lags = False
        self._fading = False
        self._left = -1
        self._on = False
        self.up = False

    def active(self, on: bool) -> None:
        self.calls.append("on" if on else "off")
        self._on = on
        if not on:
            self._fading = self.up and self.lags
            self.up, self._left = False, -1

    def config(self, reconnects: int) -> None:
        self.reconnects = reconnects

    def connect(self, name: str, password: str = "") -> None:
        self.calls.append("connect " + name)
        if not self._on or self._left >= 0 or self.refuses:
            self.refuses = max(0, self.refuses - 1)
            raise OSError("Wifi Internal Error")
        self.joined = (name, password)
        refused = bool(self.known) and self.known.get(name) != password
        self._left = 1 << 20 if self.polls < 0 or refused else self.polls

    def disconnect(self) -> None:
        self.calls.append("disconnect")
        self.up, self._left = False, -1

    def drop(self) -> None:
        """The access point went away."""
        self.up, self._left = False, -1

    def settle(self) -> None:
        """Time passes, and the driver's events are told."""
        self._fading = False

    def isconnected(self) -> bool:
        if self._fading:
            return True
        if self._left > 0:
            self._left -= 1
        if self._left == 0:
            self.up, self._left = True, -1
        return self.up

    def scan(self) -> "list[tuple[Any, ...]]":
        if not self._on:
            raise OSError("Wifi Not Started")
        if self._left >= 0:
            raise OSError("STA is connecting, scan not allowed!")
        return self.networks

    def status(self, what: str) -> int:
        assert what == "rssi"
        if not self.up:
            raise OSError("Wifi Not Connected")
        return -61


class FakeLan:
    """network.LAN of the ESP32 port: one object for all of a chip's life, `made` at each start.

    Its cable and its DHCP server are the test's. Faults that are known: the PHY does not answer
    (OSError), its events come late, no address comes; active(True) of a driver that runs fails and
    says it is not active; a failed active(False) says it is (network_lan.c). After a soft reset the
    driver runs on. isconnected() is True without a cable (micropython#12741): nothing may ask it.
    """

    def __init__(self) -> None:
        self.how: dict[str, Any] = {}
        self.silent = 0  # so many times that the PHY does not answer when the driver is installed
        self.refuses = 0  # so many calls of active(True) fail
        self.cable = False
        self.serves = True  # a DHCP server is there
        self.after = 1  # looks at status() from a start until its event is told
        self.calls: list[str] = []
        self._driver = False  # runs
        self._active = False
        self._status = INITIALIZED
        self._left = 0

    def made(self, **how: "Any") -> "FakeLan":
        if self.silent:
            self.silent -= 1
            raise OSError("esp_eth_driver_install failed")
        self.how = self.how or how
        return self

    def active(self, on: "bool | None" = None) -> bool:
        if on is None:
            return self._active
        self.calls.append("on" if on else "off")
        if on:
            self._active = not self._driver and not self.refuses
            if not self._active:
                self.refuses = max(0, self.refuses - 1)
                raise OSError("ethernet enable failed")
            self._driver, self._left = True, self.after
        elif not self._driver:
            self._active = True
            raise OSError("ethernet disable failed")
        else:
            self._driver = self._active = False
            self._status = STOPPED
        return self._active

    def status(self) -> int:
        if self._driver and self._left >= 0:
            self._left -= 1
            if self._left < 0:
                self._status = STARTED
        if self._driver and self._left < 0:
            if self._status in (STARTED, DISCONNECTED) and self.cable:
                self._status = CONNECTED
            elif self._status == CONNECTED and self.serves:
                self._status = GOT_IP
        return self._status

    def unplug(self) -> None:
        self.cable = False
        if self._status in (CONNECTED, GOT_IP):
            self._status = DISCONNECTED

    def isconnected(self) -> bool:
        raise AssertionError("it is True without a cable: ask status()")
