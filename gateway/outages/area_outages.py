"""Many meters at once are one outage: areas, our own line, and which notices go out (pure).

No notice goes out before the area window is over: until then an outage may turn out to be part
of a larger one. That is what keeps a dark village from being a thousand notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.outages.outage_records import (
    CLOSED,
    EVERY,
    MERGED,
    OPENED,
    PLANNED,
    UNREACHED,
    AreaOutage,
    Now,
    Outage,
    Plan,
    Rules,
    Tell,
)

AREA_BACK_PERMILLE = 800  # so many of its meters back: the area outage is over
UNREACHED_PERMILLE = 500  # more of all meters gone at once without a gasp: it is our own line
BACK = "back"  # why an area outage ended

_GASP, _TOLD = "last_gasp", "meter"  # causes that only a meter that lost its supply can give


class Areas:
    """The outages that were opened or are not told yet, and the area outages they make."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.plans: Sequence[Plan] = ()
        self.open: list[AreaOutage] = []
        self._join_s = rules.silence_s + rules.grace_s + rules.area_window_s
        self.held: list[Outage | AreaOutage] = []  # nobody was told yet
        self.fresh: list[Outage] = []  # opened within the area window
        self.changed: dict[Outage | AreaOutage, None] = {}  # in order, each once
        self.tells: list[Tell] = []

    def opened(self, outage: Outage) -> None:
        """A new record, which may be closed already."""
        self.fresh.append(outage)
        self.held.append(outage)
        self.changed[outage] = None

    def closed(self, outage: Outage) -> None:
        """A record was closed; a notice says so if one said that it was opened."""
        self.changed[outage] = None
        if outage.told == OPENED and outage.group is None:
            self._tell(CLOSED, outage)

    def look(self, reached: int, now: Now) -> None:
        """Form area outages out of what is fresh, end those that are over, let notices out.

        `reached` counts the meters that are there, suspected ones included.
        """
        window_s = self._rules.area_window_s
        self.fresh = [o for o in self.fresh if now.steady_s - o.opened_at <= window_s]
        if self.fresh:
            self._find_unreached(reached, now)
            self._find_areas(now)
        for area_outage in list(self.open):
            enough = -(-len(area_outage.members) * AREA_BACK_PERMILLE // 1000)
            settled = now.steady_s - area_outage.opened_at > window_s  # till then others may join
            if settled and area_outage.back >= enough:
                ends = sorted(m.ended_s for m in area_outage.members.values() if m.ended_s)
                self._end(area_outage, BACK, ends[enough - 1] if ends else now.utc_s)
        self._let_out(now)

    # -- areas

    def _find_unreached(self, reached: int, now: Now) -> None:
        """Most of all meters without a last gasp: their supply is not the likeliest cause."""
        vanished = [
            outage
            for outage in self.fresh
            if outage.ended_s is None and outage.cause not in (_GASP, _TOLD)
        ]
        unreached = self._taking(UNREACHED, now)
        if unreached is None:
            share = len(vanished) * 1000 > UNREACHED_PERMILLE * (reached + len(vanished))
            if len(vanished) < self._rules.area_meters or not share:
                return
            unreached = self._begin(UNREACHED, now)
        self._join(unreached, vanished, now)

    def _find_areas(self, now: Now) -> None:
        by_area: dict[str, list[Outage]] = {}
        for outage in self.fresh:
            if outage.group is None:
                by_area.setdefault(outage.area, []).append(outage)
        for area, outages in by_area.items():
            area_outage = self._taking(area, now)
            if area_outage is None:
                if len({outage.meter_id for outage in outages}) < self._rules.area_meters:
                    continue
                area_outage = self._begin(area, now)
            self._join(area_outage, outages, now)

    def _taking(self, area: str, now: Now) -> AreaOutage | None:
        """The open outage of this area that late joiners belong to.

        The slowest to be noticed are those that only fall silent. What is later is another outage.
        """
        for area_outage in self.open:
            if area_outage.area == area and now.steady_s - area_outage.opened_at <= self._join_s:
                return area_outage
        return None

    def _begin(self, area: str, now: Now) -> AreaOutage:
        begun = AreaOutage(area, now.utc_s, now.steady_s)
        self.open.append(begun)
        self.held.append(begun)
        self.changed[begun] = None
        return begun

    def _join(self, area_outage: AreaOutage, outages: Iterable[Outage], now: Now) -> None:
        for outage in outages:
            before = outage.group
            if before is area_outage:
                continue
            area_outage.members[outage.meter_id] = outage
            outage.group = area_outage
            self.changed[outage] = self.changed[area_outage] = None
            if before is not None:
                before.members.pop(outage.meter_id, None)
                self.changed[before] = None
                if not before.members and before.ended_s is None:
                    self._end(before, MERGED, now.utc_s)

    def _end(self, area_outage: AreaOutage, why: str, ended_s: int) -> None:
        self.open.remove(area_outage)
        area_outage.ended_s, area_outage.end_why = max(area_outage.began_s, ended_s), why
        self.changed[area_outage] = None
        if area_outage.told == OPENED:
            self._tell(CLOSED, area_outage)

    # -- notices

    def _let_out(self, now: Now) -> None:
        """Tell what was held for the area window; what was planned only when it outlasts that."""
        still = []
        for outage in self.held:
            if outage.end_why == MERGED or (isinstance(outage, Outage) and outage.group):
                continue
            if now.steady_s - outage.opened_at <= self._rules.area_window_s:
                still.append(outage)
            elif self._plan_of(outage, now) is None:
                self._tell(OPENED if outage.ended_s is None else CLOSED, outage)
            elif outage.ended_s is None:
                still.append(outage)
            else:
                outage.told = PLANNED
                self.changed[outage] = None
        self.held = still

    def _plan_of(self, outage: Outage | AreaOutage, now: Now) -> Plan | None:
        """The plan that explains this outage so far. It may begin one silence too early."""
        until_s = now.utc_s if outage.ended_s is None else outage.ended_s
        subjects = {EVERY, outage.area}
        if isinstance(outage, Outage):
            subjects.add(outage.meter_id.hex())
        for plan in self.plans:
            early_s = plan.from_s - self._rules.silence_s
            if plan.subject in subjects and early_s <= outage.began_s and until_s <= plan.to_s:
                return plan
        return None

    def _tell(self, what: str, outage: Outage | AreaOutage) -> None:
        outage.told = what
        self.changed[outage] = None
        self.tells.append(Tell(what, outage))
