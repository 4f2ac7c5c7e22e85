"""Any story of a prosumer: readings, invoices, corrections, new contracts, in whatever order."""

from __future__ import annotations

import tempfile
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement import close, laws, replay
from settlement.rules.ledger import open_amounts
from settlement.rules.periods import Month
from settlement.store import Store, ledger
from tests.support.settled import at, corrected, issued, put, told
from tests.support.settlement import PPE, a_point_form, a_prosumer

FIRST = Month(2024, 2)
MONTHS = 4
# What happens next: energies of a month are told (again), the next month is billed, what is due is
# corrected, the price of the contract is another.
TOLD = st.tuples(
    st.just("told"), st.integers(0, MONTHS - 1), st.integers(0, 400), st.integers(0, 900)
)
EVENTS = st.one_of(
    TOLD,
    st.just(("issued",)),
    st.just(("corrected",)),
    st.tuples(st.just("price"), st.integers(20, 90)),
)
SCHEMES = st.sampled_from(("net_billing", "net_metering"))


def happens(store: Store, scheme: str, event: tuple[object, ...], number: int, billed: int) -> int:
    """Lets one event happen, and returns how many months are billed after it."""
    # Monthly prices are corrected on 11 June, July and August 2024, while this goes on.
    on = (date(2024, 5, 12) + timedelta(days=12 * number)).isoformat()
    if event[0] == "told":
        _, place, import_wh, export_wh = event
        assert isinstance(place, int)
        assert isinstance(import_wh, int)
        assert isinstance(export_wh, int)
        period = FIRST.plus(place).period
        told(store, period, import_wh, export_wh, counter=1000 * (number + 10))
    elif event[0] == "issued" and billed < MONTHS:
        issued(store, str(FIRST.plus(billed)), on)
        return billed + 1
    elif event[0] == "corrected":
        corrected(store, on)
    elif event[0] == "price":
        price = f"0.{event[1]}000"
        form = a_prosumer(scheme=scheme, cap_entitled=False, unit_price_pln_per_kwh=price)
        put(store, a_point_form(form), day=on)
    return billed


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMES, st.lists(EVENTS, max_size=9))
def test_whatever_happens_the_ledger_is_balanced_and_every_settling_comes_out_again(
    scheme: str, events: list[tuple[object, ...]]
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Store(Path(folder) / "s.db")) as store,
    ):
        put(store, a_point_form(a_prosumer(scheme=scheme, cap_entitled=False)))
        for place in range(MONTHS):
            told(store, FIRST.plus(place).period, 200, 300, counter=1000 * place)
        billed = 0
        for number, event in enumerate(events):
            billed = happens(store, scheme, event, number, billed)
        corrected(store, "2024-12-01")
        with store.reading() as connection:
            again = close.settled(connection, laws.shipped(), PPE, None, at("2024-12-01"))
            assert again.draft.is_empty
            entries = [each.entry for each in ledger.of_point(connection, PPE)]
            assert all(amount >= 0 for amount in open_amounts(entries).values())
            count = connection.execute("SELECT count(*) FROM settlings").fetchone()[0]
            for settling_id in range(1, count + 1):
                assert replay.replayed(connection, laws.shipped(), settling_id).differences == ()
