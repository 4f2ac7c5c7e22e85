"""Pure: how many connections, how often, from where; and who waits for a wrong word.

Wrong passwords, and bytes that are no MQTT, cost their address time, not others theirs: the answer
to one is held back, a right password is let in at once, also from the same address, which may be
that of many meters.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Protocol

ADDRESSES_MAX = 10_000  # whose wrong passwords are remembered; beyond it the oldest is forgotten
METERS_MAX = 200_000  # whose connects are remembered; beyond it likewise
MINUTE_S = 60.0
WRONG_FREE = 3  # wrong passwords of one address that are answered at once
WRONG_FIRST_S = 0.25  # how long the next is held back; each one after it twice as long
WRONG_DELAY_S_MAX = 5.0  # below connection.CONNECT_TIMEOUT_S
WRONG_FORGOTTEN_S = 600.0  # without another one

TOO_MANY, TOO_MANY_FROM = "too_many_connections", "too_many_from_address"
TOO_MANY_CONNECTS = "too_many_connects"


class Allowed(Protocol):
    """The numbers, as gateway.config.Limits has them."""

    @property
    def connections(self) -> int: ...

    @property
    def connections_per_address(self) -> int: ...

    @property
    def connects_per_minute(self) -> int: ...


class _Wrong(NamedTuple):
    times: int
    last: float


class Doorman:
    """Counts connections by address, connects by meter, wrong passwords by address."""

    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed
        self.connections = 0
        self._from: dict[str, int] = {}
        self._connects: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # left, as of when
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()

    def arrive(self, address: str) -> str | None:
        """A connection from there: None when it may stay, else the reason why not."""
        here = self._from.get(address, 0)
        if self.connections >= self.allowed.connections:
            return TOO_MANY
        if here >= self.allowed.connections_per_address:
            return TOO_MANY_FROM
        self.connections += 1
        self._from[address] = here + 1
        return None

    def leave(self, address: str) -> None:
        """A connection that was let stay has ended."""
        self.connections -= 1
        here = self._from[address] - 1
        assert self.connections >= 0
        assert here >= 0
        if here:
            self._from[address] = here
        else:
            del self._from[address]

    def connect(self, meter_id: bytes, now: float) -> bool:
        """Whether this meter, which proved to be itself, may connect once more in this minute.

        A bucket of `connects_per_minute`, which fills up again within a minute.
        """
        most = self.allowed.connects_per_minute
        left, since = self._connects.pop(meter_id, (float(most), now))
        left = min(most, left + (now - since) * most / MINUTE_S)
        may = left >= 1
        self._connects[meter_id] = (left - may, now)
        if len(self._connects) > METERS_MAX:
            self._connects.popitem(last=False)
        return may

    def wrong(self, address: str, now: float) -> float:
        """A wrong password or nonsense came from there: how many seconds to hold the answer."""
        before = self._wrong.pop(address, _Wrong(0, now))
        times = before.times + 1 if now - before.last < WRONG_FORGOTTEN_S else 1
        self._wrong[address] = _Wrong(times, now)
        if len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)
        if times <= WRONG_FREE:
            return 0.0
        doublings = min(times - WRONG_FREE - 1, 30)  # 2 ** 30 is beyond the greatest delay
        return min(WRONG_DELAY_S_MAX, WRONG_FIRST_S * (1 << doublings))
