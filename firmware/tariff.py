"""Which zone, T1 to T4, energy belongs to at an hour: the zone table of a tariff group.

A table travels as the one byte string of the command set_tariff and is kept as it came. Version 1:

    version       u8   1
    valid from    u32  UTC seconds since 1970, on an hour
    name length   u8   1 to NAME_BYTES_MAX
    name               the tariff group's code, printable ASCII: G12w
    seasons       u8   0: one season, the whole year; 2 to SEASONS_MAX: the year is cut at so
                       many days; BY_SUMMER_TIME: season 0 is winter time, season 1 summer time
    season starts      month u8 and day u8 for each cut, rising; season i lasts from cut i up to
                       the next one, the last over New Year up to cut 0
    day plans          each of PLAN_BYTES, up to the end:
        seasons   u8   bit i: the plan is for season i
        days      u8   bit 0 Monday ... bit 6 Sunday, bit 7 statutory holiday
        zones     6 B  two bits for each local hour, the first hour highest: 0 is T1 ... 3 is T4

A holiday is a holiday whatever its weekday. Each kind of day of each season has exactly one plan,
so that each hour has exactly one zone. An hour that comes twice in autumn has its zone twice, and
the one left out in spring is missed by none. G11 and G12 take 17 bytes, G13 takes 38.
"""

from firmware.local_time import HOUR_S, civil, is_holiday, offset_s
from wire.messages import START_S_MIN

TABLE_BYTES_MAX = 120
VERSION = 1
NAME_BYTES_MAX = 8
SEASONS_MAX = 4
BY_SUMMER_TIME = 255
PLAN_BYTES = 8
HOLIDAY = 1 << 7
DAYS_IN_MONTH = b"\x1f\x1c\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"  # 29 February cuts no year


class TariffError(ValueError):
    """A zone table that cannot be followed; reason says why, and the gateway must send another.

    reason is "too_long", "truncated", "version" (not this firmware's), "valid_from", "name",
    "seasons", "gap" (a kind of day without a plan) or "overlap" (one with two).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Table:
    """A zone table, cut into its fields; parse() makes only such as are whole and right."""

    def __init__(self, data: bytes) -> None:
        self.valid_from_s = int.from_bytes(data[1:5], "big")
        end = 6 + data[5]
        self.name = data[6:end]
        self.seasons = data[end]
        cuts = 0 if self.seasons == BY_SUMMER_TIME else self.seasons
        self.starts = data[end + 1 : end + 1 + 2 * cuts]  # month, day, month, day ...
        self.plans = data[end + 1 + 2 * cuts :]

    def zone(self, at_s: int) -> int:
        """The zone, 0 for T1 to 3 for T4, at at_s (UTC seconds since 1970)."""
        year, month, day, weekday, hour, _ = civil(at_s)
        season = 1 << self._season(at_s, bytes((month, day)))
        kind = HOLIDAY if is_holiday(year, month, day) else 1 << weekday
        plans = self.plans
        at = 0
        while not (plans[at] & season and plans[at + 1] & kind):
            at += PLAN_BYTES
        return plans[at + 2 + hour // 4] >> (6 - hour % 4 * 2) & 3

    def _season(self, at_s: int, date: bytes) -> int:
        if self.seasons == BY_SUMMER_TIME:
            return 1 if offset_s(at_s) > HOUR_S else 0
        begun = 0
        while begun < self.seasons and self.starts[2 * begun : 2 * begun + 2] <= date:
            begun += 1
        return (begun or self.seasons or 1) - 1


def parse(data: bytes) -> Table:
    """The table in data, as set_tariff brings it. Raises TariffError with its reason."""
    if len(data) > TABLE_BYTES_MAX:
        raise TariffError("too_long")
    if data and data[0] != VERSION:
        raise TariffError("version")
    if len(data) < 6 or len(data) <= 6 + data[5]:
        raise TariffError("truncated")
    table = Table(data)
    if table.valid_from_s < START_S_MIN or table.valid_from_s % HOUR_S:
        raise TariffError("valid_from")
    name = table.name
    if not 0 < len(name) <= NAME_BYTES_MAX or min(name) < 33 or max(name) > 126:
        raise TariffError("name")
    _check_starts(table.seasons, table.starts)
    _check_plans(2 if table.seasons == BY_SUMMER_TIME else table.seasons or 1, table.plans)
    return table


def _check_starts(seasons: int, starts: bytes) -> None:
    if seasons == 1 or SEASONS_MAX < seasons < BY_SUMMER_TIME:
        raise TariffError("seasons")
    if seasons <= SEASONS_MAX and len(starts) < 2 * seasons:
        raise TariffError("truncated")
    before = b""
    for at in range(0, len(starts), 2):
        month, day = starts[at], starts[at + 1]
        start = starts[at : at + 2]
        if not 1 <= month <= 12 or not 1 <= day <= DAYS_IN_MONTH[month - 1] or start <= before:
            raise TariffError("seasons")
        before = start


def _check_plans(seasons: int, plans: bytes) -> None:
    if len(plans) % PLAN_BYTES:
        raise TariffError("truncated")
    covered = [0] * seasons  # the kinds of day that have a plan
    for at in range(0, len(plans), PLAN_BYTES):
        if plans[at] >> seasons:
            raise TariffError("seasons")
        for season in range(seasons):
            if plans[at] >> season & 1:
                if covered[season] & plans[at + 1]:
                    raise TariffError("overlap")
                covered[season] |= plans[at + 1]
    if min(covered) != 255:
        raise TariffError("gap")


class TariffPlan:
    """The table in force and the one that follows it; an empty or unreadable one is all T1.

    refused is the reason why a table that is kept cannot be followed (a newer firmware may have
    accepted it), "" when all is well: metering goes on in T1 and the gateway is to be told.
    """

    def __init__(self, current: bytes = b"", following: bytes = b"") -> None:
        self.refused = ""
        self._current = self._read(current)
        self._following = self._read(following)
        self._following_data = following
        self._hour = -1  # the hour since 1970 that _zone is for: all zones change on the hour
        self._zone = 0

    def zone(self, at_s: int) -> int:
        """The zone, 0 for T1 to 3 for T4, at at_s (UTC seconds since 1970)."""
        hour = at_s // HOUR_S
        if hour != self._hour:
            table = self._following if self._in_force(at_s) else self._current
            self._zone = 0 if table is None else table.zone(at_s)
            self._hour = hour
        return self._zone

    def settle(self, at_s: int) -> "bytes | None":
        """Once the following table is in force at at_s: its bytes, to keep as the current one.

        From then on it stays the current one, even if the clock is set back. None: nothing to do.
        """
        if not self._in_force(at_s):
            return None
        self._current, self._following = self._following, None
        return self._following_data

    def _in_force(self, at_s: int) -> bool:
        return self._following is not None and at_s >= self._following.valid_from_s

    def _read(self, data: bytes) -> "Table | None":
        try:
            return parse(data) if data else None
        except TariffError as error:
            self.refused = error.reason
            return None
