"""Work over all points, one at a time: the month close, and rounds of corrections.

Each point is a transaction of its own, and an invoice that is there is found and not issued again:
a run that was killed is started again and goes on. One refused point stops nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from settlement import close, history
from settlement.errors import RequestRefused
from settlement.rules.contract import Contract
from settlement.rules.errors import Refused
from settlement.rules.periods import Month, Period, billing_periods
from settlement.rules.schemes import Law
from settlement.store import Store, StoreError, outcomes, points
from settlement.store.outcomes import Outcome

ISSUED = "issued"  # at least one invoice is new
THERE = "there"  # every invoice was issued before
NOTHING_DUE = "nothing_due"  # no billing period ends in the month
CORRECTED = "corrected"  # at least one correction is new
UNCHANGED = "unchanged"  # nothing that was issued has to be corrected
REFUSED = "refused"
INTERNAL_ERROR = "internal_error"
POINTS_AT_ONCE = 500


@dataclass(frozen=True)
class Summary:
    """How many points ended in which state, and the number of the run for its refused points."""

    task: str
    run_id: int
    states: Counter[str]


@dataclass(frozen=True)
class Round:
    """Over which points to go: those named, else all. `told` hears of each outcome as it comes."""

    store: Store
    law: Law
    now_s: Callable[[], int]
    only: Sequence[str] = ()
    told: Callable[[Outcome], None] = lambda _: None


def close_month(work: Round, month: Month) -> Summary:
    """Bills every point for the period that ends in the month."""

    def issue_due(ppe: str) -> str:
        with work.store.reading() as connection:
            contracts = history.form_of(connection, ppe)[0].checked_contracts()
        new = [
            close.issue(work.store, work.law, ppe, period, work.now_s())[1]
            for period in due(contracts, month)
        ]
        return (ISSUED if any(new) else THERE) if new else NOTHING_DUE

    return _go(work, f"close {month}", issue_due)


def correct_all(work: Round) -> Summary:
    """Issues the corrections that are due at every point."""

    def correct(ppe: str) -> str:
        numbers = close.correct(work.store, work.law, ppe, work.now_s())
        return CORRECTED if numbers else UNCHANGED

    return _go(work, "correct", correct)


def _go(work: Round, task: str, one: Callable[[str], str]) -> Summary:
    store = work.store
    with store.writing() as connection:
        run_id = outcomes.begin(connection, task, work.now_s())
    states: Counter[str] = Counter()
    coming = (_outcome(ppe, one) for ppe in work.only or every_point(store))
    while some := list(_counted(islice(coming, POINTS_AT_ONCE), states, work.told)):
        with store.writing() as connection:
            outcomes.put(connection, run_id, task, some)
    with store.writing() as connection:
        outcomes.end(connection, run_id, work.now_s())
    return Summary(task, run_id, states)


def _outcome(ppe: str, one: Callable[[str], str]) -> Outcome:
    """What became of the point. Raises StoreError, since no other point would fare better."""
    try:
        return Outcome(ppe, one(ppe))
    except (Refused, RequestRefused) as refusal:
        return Outcome(ppe, REFUSED, refusal.reason, str(refusal))
    except StoreError:
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}: a fault of ours, report it with this number"
        return Outcome(ppe, REFUSED, INTERNAL_ERROR, detail)


def _counted(
    some: Iterable[Outcome], states: Counter[str], told: Callable[[Outcome], None]
) -> Iterator[Outcome]:
    for outcome in some:
        states[outcome.state] += 1
        told(outcome)
        yield outcome


def every_point(store: Store) -> Iterator[str]:
    """The numbers of all points in order, some at a time: memory does not grow with them."""
    last = ""
    while True:
        with store.reading() as connection:
            some = points.after(connection, last, POINTS_AT_ONCE)
        if not some:
            return
        yield from some
        last = some[-1]


def due(contracts: Sequence[Contract], month: Month) -> tuple[Period, ...]:
    """The billing periods that end in the month: by the cycle of readouts, or with the contract.

    Contracts that follow one another with the same seller and the same cycle are billed as one;
    the cycle counts months from the first of them. A change of the seller ends a period, since
    each seller issues an invoice of its own.
    """
    found = []
    for first, last in _runs(contracts):
        # Long enough for the cycle that contains the month to be seen whole.
        until = month.plus(1 + first.readout_months).first
        if last.valid_to is not None:
            until = min(until, last.valid_to)
        if first.valid_from < until:
            periods = billing_periods(first.valid_from, first.readout_months, until)
            found += [each for each in periods if _ends_in(each, month)]
    return tuple(found)


def _ends_in(period: Period, month: Month) -> bool:
    return month.first < period.end <= month.plus(1).first


def _runs(contracts: Sequence[Contract]) -> list[tuple[Contract, Contract]]:
    """First and last of the contracts that are billed as one."""
    starts = [0]
    for at, (before, after) in enumerate(pairwise(contracts), start=1):
        if not _goes_on(before, after):
            starts.append(at)
    ends = [*starts[1:], len(contracts)]
    return [(contracts[start], contracts[end - 1]) for start, end in zip(starts, ends, strict=True)]


def _goes_on(before: Contract, after: Contract) -> bool:
    return (
        before.valid_to == after.valid_from
        and before.seller == after.seller
        and before.readout_months == after.readout_months
    )
