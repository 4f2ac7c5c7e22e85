"""What the supply does to the customer: sags, swells, outages with a last gasp; and the cover.

Voltages come once a look, as RMS of a window; what is shorter than the pause between two looks
is not seen. Thresholds as IEC 61000-4-30 sections 5.4 and 5.5 with EN 50160's 90, 110 and 5 %.
"""

from wire.messages import EVENT_LAST_GASP, EVENT_OUTAGE, EVENT_SAG, EVENT_SWELL, EVENT_TAMPER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SAG_PERCENT = 90  # below it a sag begins
SWELL_PERCENT = 110  # above it a swell begins
INTERRUPTION_PERCENT = 5  # all phases below it: an outage
HYSTERESIS_PERCENT = 2  # as far back inside, an episode ends
EPISODE_S_MIN = 1  # a sag or swell that was over within it is not told
PHASES_MAX = 3
EVENTS_PER_HOUR_MAX = 6  # of one code, in each hour of uptime
INTERRUPTIONS_MAX = 10
HOUR_S = 3600


class PowerQuality:
    """Watches each phase's voltage, the supply and the cover.

    `interruptions` are the last outages as (begin in UTC or None, duration in s), newest last.
    `suppressed` counts the events that were not told because too many came in an hour.
    """

    def __init__(self, nominal_mv: int = 230_000) -> None:
        self._percent_mv = nominal_mv // 100
        self._episodes: dict[tuple[int, int], tuple[int, int]] = {}  # (code, phase): begin, extreme
        self._away_since: int | None = None
        self._lost = False
        self._open_seen = self._open_told = False
        self._hour = 0
        self._told: dict[int, int] = {}
        self._found: list[Any] = []
        self._now_s: int | None = None
        self._uptime_s = 0
        self.interruptions: list[tuple[int | None, int]] = []
        self.suppressed = 0

    def take(
        self,
        now_s: "int | None",
        uptime_s: int,
        voltage_mv: "tuple[int, ...]",
        supply_lost: bool,
        tampered: bool,
    ) -> "list[Any]":
        """One look; gives events (code, at_s or None, uptime_s at that moment, values).

        now_s is UTC, None while unknown; voltage_mv has a value for each phase, none where no
        voltage is measured. at_s is when an episode began, reckoned back from now.
        """
        assert len(voltage_mv) <= PHASES_MAX and uptime_s >= self._uptime_s
        self._now_s, self._uptime_s = now_s, uptime_s
        self._found = []
        if uptime_s // HOUR_S != self._hour:
            self._hour = uptime_s // HOUR_S
            self._told = {}
        self._look_at_supply(voltage_mv, supply_lost)
        if self._away_since is None:
            for index, mv in enumerate(voltage_mv):
                percent_mv = self._percent_mv
                self._look_at_phase(EVENT_SAG, index + 1, mv, SAG_PERCENT * percent_mv, 1)
                self._look_at_phase(EVENT_SWELL, index + 1, mv, SWELL_PERCENT * percent_mv, -1)
        self._look_at_cover(tampered)
        return self._found

    def interrupted(self, begin_s: "int | None", duration_s: int) -> None:
        """Put an outage on the list of the last INTERRUPTIONS_MAX."""
        self.interruptions.append((begin_s, duration_s))
        del self.interruptions[:-INTERRUPTIONS_MAX]

    def _look_at_supply(self, voltage_mv: "tuple[int, ...]", supply_lost: bool) -> None:
        """An outage is the supply lost, or every phase interrupted; it swallows open episodes."""
        percent = INTERRUPTION_PERCENT
        if self._away_since is not None:
            percent += HYSTERESIS_PERCENT
        dead = bool(voltage_mv) and max(voltage_mv) < percent * self._percent_mv
        if (supply_lost or dead) and self._away_since is None:
            self._away_since = self._uptime_s
            self._episodes = {}
        if supply_lost and not self._lost:
            self._tell(EVENT_LAST_GASP, self._uptime_s, ())
        self._lost = supply_lost
        if self._away_since is not None and not supply_lost and not dead:
            begin, self._away_since = self._away_since, None
            self.interrupted(self._at_s(begin), self._uptime_s - begin)
            self._tell(EVENT_OUTAGE, begin, (self._uptime_s - begin,))

    def _look_at_phase(self, code: int, phase: int, mv: int, limit_mv: int, side: int) -> None:
        """A sag lies below its limit (side 1), a swell above (side -1)."""
        beyond_mv = (limit_mv - mv) * side
        open_since = self._episodes.get((code, phase))
        if open_since is None:
            if beyond_mv > 0:
                self._episodes[code, phase] = (self._uptime_s, mv)
            return
        begin, extreme = open_since
        if beyond_mv > -HYSTERESIS_PERCENT * self._percent_mv:
            if (extreme - mv) * side > 0:
                self._episodes[code, phase] = (begin, mv)
            return
        del self._episodes[code, phase]
        duration_s = self._uptime_s - begin
        if duration_s >= EPISODE_S_MIN:
            self._tell(code, begin, (phase, extreme, duration_s))

    def _look_at_cover(self, tampered: bool) -> None:
        """What was suppressed is told as soon as there is room, if it is still so."""
        edge = tampered != self._open_seen
        self._open_seen = tampered
        if tampered != self._open_told and (edge or self._has_room(EVENT_TAMPER)):
            if self._tell(EVENT_TAMPER, self._uptime_s, (1 if tampered else 0,)):
                self._open_told = tampered
        elif edge:
            self.suppressed += 1

    def _has_room(self, code: int) -> bool:
        return self._told.get(code, 0) < EVENTS_PER_HOUR_MAX

    def _at_s(self, uptime_s: int) -> "int | None":
        return None if self._now_s is None else self._now_s - (self._uptime_s - uptime_s)

    def _tell(self, code: int, begin: int, values: "tuple[int, ...]") -> bool:
        if not self._has_room(code):
            self.suppressed += 1
            return False
        self._told[code] = self._told.get(code, 0) + 1
        self._found.append((code, self._at_s(begin), begin, values))
        return True


def outage_at_start(
    why: str, last_seen_s: "int | None", start_s: "int | None"
) -> "tuple[int, int] | None":
    """The outage that this start ends: (begin in UTC, duration in s), or None.

    why as in board.Start; last_seen_s is the last UTC in flash (0 or None: unknown), at most one
    save period before the supply went; start_s is the UTC of this start: now less uptime.
    """
    if why != "power_on" or not last_seen_s or start_s is None or start_s <= last_seen_s:
        return None
    return last_seen_s, start_s - last_seen_s
