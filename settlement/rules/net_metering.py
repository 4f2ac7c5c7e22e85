"""Net-metering (opusty): energy fed in comes back, at 0.8 or 0.7 of it, out of a virtual storage.

Act on renewable sources (OZE), art. 4 ust. 1 for the ratio and art. 4d for how long: energy
counts as fed in on the last day of its month and can be taken during the twelve months after it.
Within a month the credit of that month covers its own import first, then the storage covers what
is left, oldest month first; credit that is left over becomes the storage lot of the month.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from settlement.rules import lots
from settlement.rules.ledger import (
    BOOKED,
    CONVERTED,
    FORFEITED,
    STORAGE,
    USED,
    Entry,
    LotKey,
)
from settlement.rules.lots import Lots, Part
from settlement.rules.periods import Month
from settlement.rules.policies import Policies
from settlement.rules.rates import Tables
from settlement.rules.units import divide_half_up, split, whole_kwh

SMALL_W_MAX = 10_000  # up to here, 10.00 kW included, the higher ratio holds: art. 4 ust. 1
PER_ZONE = "per_zone"
PROPORTIONAL = "proportional"
ALL_ZONES = ""  # the queue that serves every zone
LIFE_MONTHS = {"month_plus_12": 12, "month_plus_11": 11}


@dataclass(frozen=True)
class Queue:
    """The lots that one zone has fed in, Wh; zone "" where the zones share them."""

    zone: str
    lots: Lots


@dataclass(frozen=True)
class Storage:
    """The virtual storage of one metering point: a queue for all zones, or one for each."""

    queues: tuple[Queue, ...] = ()


@dataclass(frozen=True)
class Covered:
    """One settled span: by zone, the Wh still to be paid and the Wh covered by credit or storage.

    `entries` are the movements of the storage alone: credit used at once never enters it.
    """

    payable_wh: Mapping[str, int]
    covered_wh: Mapping[str, int]
    storage: Storage
    entries: tuple[Entry, ...]


def storage_ratio(installed_power_w: int, tables: Tables, month: Month) -> Decimal:
    """What comes back of each Wh fed in: 0.8 up to and including 10 kW installed, else 0.7.

    Art. 4 ust. 1 of the Act on renewable sources. Raises NoRate outside of the table's months.
    """
    size = "up_to_10_kw" if installed_power_w <= SMALL_W_MAX else "above_10_kw"
    return tables.rate_on("prosumer", f"storage_ratio.{size}", month.first).value


def cover(
    storage: Storage,
    month: Month,
    positive_wh: Mapping[str, int],
    negative_wh: Mapping[str, int],
    ratio: Decimal,
    zone_order: Sequence[str],
    policies: Policies,
    zone_of: Callable[[str], str] = str,
) -> Covered:
    """Covers a month's import, or a part of it, with its own credit and then with the storage.

    `positive_wh` and `negative_wh` are the balanced energies of totals.Totals; `zone_order` has
    every zone of the tariff group, the highest variable distribution price first. Where a month
    has several spans their zones have names of their own, and `zone_of` tells the zone of each.
    Credit is ratio x Wh, half-up to Wh, once per queue. The month before must be closed
    (close_month).
    """
    assert {*positive_wh, *negative_wh} <= set(zone_order)
    assert not _over(storage, month.plus(-1), policies), "the month before is not closed"
    pools = _pools(zone_order, policies, zone_of)
    left = {zone: positive_wh.get(zone, 0) for zone in zone_order}
    spare: dict[str, int] = {}
    for queue, zones in pools.items():
        credit_wh = _credit_wh(sum(negative_wh.get(zone, 0) for zone in zones), ratio)
        at_once_wh = min(credit_wh, sum(left[zone] for zone in zones))
        left = _lower(left, zones, at_once_wh, policies)
        spare[queue] = credit_wh - at_once_wh
    entries: list[Entry] = []
    for queues, zones in _draws(storage, pools, zone_order, policies):
        storage, used = _take(storage, queues, sum(left[zone] for zone in zones), month)
        left = _lower(left, zones, sum(entry.amount for entry in used), policies)
        entries += used
    for queue, credit_wh in spare.items():
        if credit_wh:
            storage = _book(storage, queue, month, credit_wh)
            entries.append(Entry(STORAGE, BOOKED, month, month, credit_wh, queue))
    covered = {zone: positive_wh.get(zone, 0) - left[zone] for zone in zone_order}
    return Covered(left, covered, storage, tuple(entries))


def close_month(
    storage: Storage, month: Month, policies: Policies
) -> tuple[Storage, tuple[Entry, ...]]:
    """Forfeits, in Wh, the lots whose last usable month is `month` or earlier (art. 4d).

    Policy storage_expiry: energy of month m can be taken through the end of m + 12, or of m + 11.
    """
    last = _last_over(month, policies)
    queues = tuple(Queue(each.zone, lots.expire(each.lots, last)[0]) for each in storage.queues)
    return Storage(queues), _out(FORFEITED, _over(storage, month, policies), month)


def leave(storage: Storage, month: Month) -> tuple[Storage, tuple[Entry, ...]]:
    """The contract ends in `month` or the seller changes: all Wh still stored are forfeited."""
    return Storage(), _out(FORFEITED, _everything(storage), month)


def convert(storage: Storage, month: Month) -> tuple[int, Storage, tuple[Entry, ...]]:
    """Empties the storage of one who moves to net-billing (statement of art. 4 ust. 1b).

    `month` is the last one of net-metering, closed already. The whole kWh that come first, half-up
    once over all lots, are worth that month's RCEm in the deposit: see net_billing.take_over.
    """
    stored_wh = sum(held(storage).values())
    return whole_kwh(stored_wh), Storage(), _out(CONVERTED, _everything(storage), month)


def held(storage: Storage) -> dict[LotKey, int]:
    """What is open in each lot, Wh, for the comparison with the ledger (ledger.unbalanced)."""
    return {
        LotKey(STORAGE, queue.zone, lot.month): lot.open
        for queue in storage.queues
        for lot in queue.lots
    }


def _pools(
    zone_order: Sequence[str], policies: Policies, zone_of: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    """Queue -> the zones that feed it and whose import it covers."""
    if policies.zone_policy != PER_ZONE:
        return {ALL_ZONES: tuple(zone_order)}
    pools: dict[str, tuple[str, ...]] = {}
    for zone in zone_order:
        pools[zone_of(zone)] = (*pools.get(zone_of(zone), ()), zone)
    return pools


def _draws(
    storage: Storage,
    pools: Mapping[str, tuple[str, ...]],
    zone_order: Sequence[str],
    policies: Policies,
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which queues cover which zones, in order.

    A queue outside of the pools comes from before a change of tariff group: what lies there would
    be lost if no zone could take it, so every zone may.
    """
    strange = tuple(queue.zone for queue in storage.queues if queue.zone not in pools)
    if policies.zone_policy == PER_ZONE:
        return [
            *(((queue,), zones) for queue, zones in pools.items()),
            (strange, tuple(zone_order)),
        ]
    return [((*pools, *strange), tuple(zone_order))]


def _credit_wh(energy_wh: int, ratio: Decimal) -> int:
    ratio_n, ratio_d = ratio.as_integer_ratio()
    return divide_half_up(energy_wh * ratio_n, ratio_d)


def _lower(
    left: Mapping[str, int], zones: Sequence[str], amount_wh: int, policies: Policies
) -> dict[str, int]:
    """What is left to cover after an amount that is not more than that: zone by zone, or spread."""
    wanted = [left[zone] for zone in zones]
    assert amount_wh <= sum(wanted)
    if policies.zone_policy == PROPORTIONAL:
        parts = split(amount_wh, wanted)
    else:
        before = [sum(wanted[:place]) for place in range(len(wanted))]
        parts = [min(wish, max(0, amount_wh - it)) for wish, it in zip(wanted, before, strict=True)]
    return {**left, **{zone: left[zone] - part for zone, part in zip(zones, parts, strict=True)}}


def _take(
    storage: Storage, queues: Sequence[str], wanted_wh: int, month: Month
) -> tuple[Storage, tuple[Entry, ...]]:
    """Takes the oldest lots of some queues, whichever of them they lie in."""
    before = sorted(
        ((each.zone, lot) for each in storage.queues if each.zone in queues for lot in each.lots),
        key=lambda zone_and_lot: zone_and_lot[1].month,
    )
    after, _ = lots.take(tuple(lot for _, lot in before), wanted_wh)
    taken = []
    drawn: dict[str, Lots] = {}
    for (zone, old), new in zip(before, after, strict=True):
        taken.append((zone, Part(new.month, old.open - new.open)))
        drawn[zone] = (*drawn.get(zone, ()), new)
    kept = tuple(Queue(each.zone, drawn.get(each.zone, each.lots)) for each in storage.queues)
    return Storage(kept), _out(USED, taken, month)


def _book(storage: Storage, zone: str, month: Month, credit_wh: int) -> Storage:
    queues = {each.zone: each.lots for each in storage.queues}
    queues[zone] = lots.book(queues.get(zone, ()), month, credit_wh)
    return Storage(tuple(Queue(zone, its) for zone, its in queues.items()))


def _last_over(month: Month, policies: Policies) -> Month:
    """The newest month of feeding in that cannot be taken any more when `month` has ended."""
    return month.plus(-LIFE_MONTHS[policies.storage_expiry])


def _over(storage: Storage, month: Month, policies: Policies) -> list[tuple[str, Part]]:
    last = _last_over(month, policies)
    return [
        (each.zone, part) for each in storage.queues for part in lots.expire(each.lots, last)[1]
    ]


def _everything(storage: Storage) -> list[tuple[str, Part]]:
    return [
        (queue.zone, Part(lot.month, lot.open)) for queue in storage.queues for lot in queue.lots
    ]


def _out(kind: str, parts: Iterable[tuple[str, Part]], month: Month) -> tuple[Entry, ...]:
    """Entries of what leaves the storage, nothing for empty lots."""
    return tuple(
        Entry(STORAGE, kind, part.lot, month, part.amount, zone)
        for zone, part in parts
        if part.amount
    )
