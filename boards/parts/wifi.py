"""Wi-Fi that is asked, never waited for: connects, gives up in time, rests, tries again."""

from firmware.backoff import Backoff
from firmware.mqtt_door import LinkDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CONNECT_MS = 15_000  # to associate and get an address; then it counts as failed
REST_BASE_MS = 1_000
REST_MAX_MS = 60_000
INTERNAL_ERRORS_MAX = 3  # in a row; then the radio is switched off and on

DOWN = "down"
CONNECTING = "connecting"
UP = "up"
RESTING = "resting"


def next_state(state: str, connected: bool, rested: bool, late: bool) -> str:
    """The state after a look at the radio; a connection is believed whoever made it.

    rested: the pause after a failure is over. late: CONNECT_MS have passed since `connect`.
    """
    if connected:
        return UP
    if state == CONNECTING:
        return RESTING if late else CONNECTING
    if state == RESTING:
        return DOWN if rested else RESTING
    return DOWN


class WifiLink:
    """firmware.board.Link: the stream's own link, once there is Wi-Fi to carry it.

    wlan: network.WLAN in station mode. Each `open` takes one step and returns or raises at once,
    so measuring waits for the radio's driver at most, never for an access point.
    """

    def __init__(
        self,
        wlan: "Any",
        names: "list[str] | tuple[str, ...]",
        link: "Any",
        clock: "Any",
        rng: "Callable[[int], int]",
    ) -> None:
        self._wlan = wlan
        self.names = names  # and the password, if there is one
        self.stream = link
        self._clock = clock
        self._rest = Backoff(REST_BASE_MS, REST_MAX_MS, rng)
        self._since_ms = 0
        self._bound_ms = 0
        self._internal_errors = 0
        self.state = DOWN

    def open(self, host: str, port: int, timeout_ms: int) -> "Any":
        """A connected stream; see firmware.board.Link. Raises LinkDown, why "wifi ..."."""
        if self.step() != UP:
            raise LinkDown("wifi " + self.state)
        return self.stream.open(host, port, timeout_ms)

    def wait(self, stream: "Any", for_write: bool, timeout_ms: int) -> bool:
        """As firmware.board.Link."""
        return self.stream.wait(stream, for_write, timeout_ms)

    def join(self, names: "tuple[str, ...]") -> None:
        """Leave what is joined; another network from the next step on."""
        self.names = names
        self._wlan.active(False)
        self.state = DOWN

    def scan(self) -> "Any":
        """Networks as network.WLAN tells them. Raises OSError."""
        self._wlan.active(True)
        return self._wlan.scan()

    def rssi_dbm(self) -> int:
        """Signal strength of the access point; 0 while there is none."""
        try:
            return self._wlan.status("rssi")
        except OSError:
            return 0

    def step(self) -> str:
        """One look at the radio, and what follows from it; gives the state."""
        over = self._clock.ticks_diff(self._clock.ticks_ms(), self._since_ms) >= self._bound_ms
        before = self.state
        self.state = next_state(before, self._wlan.isconnected(), over, over)
        try:
            if self.state == UP:
                self._rest.reset()
                self._internal_errors = 0
            elif self.state == DOWN:
                self._connect()
            elif self.state == RESTING and before == CONNECTING:
                self._fail()
                self._wlan.disconnect()
        except OSError:  # "Wifi Internal Error": the driver is not in the state that it should be
            self._internal_errors += 1
            self._fail()
        return self.state

    def _connect(self) -> None:
        wlan = self._wlan
        if self._internal_errors >= INTERNAL_ERRORS_MAX:
            self._internal_errors = 0
            wlan.active(False)
        wlan.active(True)
        wlan.config(reconnects=0)  # or the driver tries by itself, without a pause
        wlan.connect(*self.names)
        self._enter(CONNECTING, CONNECT_MS)

    def _fail(self) -> None:
        self._enter(RESTING, self._rest.next_ms())

    def _enter(self, state: str, bound_ms: int) -> None:
        self.state = state
        self._since_ms = self._clock.ticks_ms()
        self._bound_ms = bound_ms
