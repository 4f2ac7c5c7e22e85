"""For tests of outages: a story of meters and time, told to the pure decisions."""

from __future__ import annotations

from gateway.outages.outage_records import (
    AreaOutage,
    Now,
    Outage,
    Rules,
    Tell,
    Told,
    dated,
)
from gateway.outages.outages import Watch
from tests.support.gateway import NOW_S

A, B, C, D, E = (bytes([number]) * 8 for number in range(1, 6))


class Story:
    """A watch and its clocks: `pass_s` lets time go by, looking once at its end."""

    def __init__(self, rules: Rules = Rules(), heard: tuple[bytes, ...] = ()) -> None:  # noqa: B008
        self.watch = Watch(rules)
        self.now = Now(NOW_S, 1000)
        self.records: list[Outage | AreaOutage] = []
        self.told: list[Tell] = []
        for meter_id in heard:
            self.watch.heard(meter_id, self.now.steady_s, self.now)

    def pass_s(self, seconds: int, *, clock_jump_s: int = 0) -> Story:
        steady_s = self.now.steady_s + seconds
        self.now = Now(self.now.utc_s + seconds + clock_jump_s, steady_s)
        return self.look()

    def look(self) -> Story:
        self.watch.look(self.now)
        areas = self.watch.areas
        self.records += [record for record in areas.changed if record not in self.records]
        self.told += areas.tells
        areas.changed, areas.tells = {}, []
        return self

    def heard(self, *meters: bytes) -> Story:
        for meter_id in meters:
            self.watch.heard(meter_id, self.now.steady_s, self.now)
        return self.look()

    def gasp(self, *meters: bytes, late_s: int = 0) -> Story:
        for meter_id in meters:
            self.watch.gasped(meter_id, self.now.utc_s - late_s, self.now.utc_s, self.now)
        return self.look()

    def die(self, *meters: bytes) -> Story:
        for meter_id in meters:
            self.watch.line_died(meter_id, self.now.steady_s, self.now)
        return self.look()

    def here(self, *meters: bytes) -> Story:
        for meter_id in meters:
            self.watch.here(meter_id, self.now)
        return self.look()

    def tell(self, meter_id: bytes, began_s: int, duration_s: int, number: int = 7) -> Story:
        told = dated(Told(number, began_s, duration_s, self.now.utc_s))
        assert told is not None
        closed = [o for o in self.outages if o.meter_id == meter_id and o.ended_s is not None]
        self.watch.told(meter_id, told, closed, self.now)
        return self.look()

    def state(self, meter_id: bytes) -> str:
        return self.watch.meters[meter_id].state

    @property
    def outages(self) -> list[Outage]:
        return [r for r in self.records if isinstance(r, Outage) and r.end_why != "merged"]

    @property
    def area_outages(self) -> list[AreaOutage]:
        return [r for r in self.records if isinstance(r, AreaOutage) and r.end_why != "merged"]

    def said(self) -> list[tuple[str, str]]:
        return [
            (tell.what, tell.outage.area if isinstance(tell.outage, AreaOutage) else "meter")
            for tell in self.told
        ]
