"""The bands of capacity and transitional fee follow the use of the year up to the last reading."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from settlement.rules.contract import Contract
from settlement.rules.invoice import Invoice
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from tests.support.a_contract import a_contract, a_prosumer
from tests.support.a_point import Flow, Flows, a_point, a_step, days, law, monthly, settled

JANUARY = Month(2023, 1)
COMPUTED = a_contract(annual_kwh=None)
BANDS = {"2": "below 500", "5": "500 to 1200", "9": "1201 to 2800", "14": "above 2800"}


def band(invoice: Invoice) -> str:
    """The band of the capacity fee."""
    found = {
        str(line.position.unit_price_pln)
        for line in invoice.lines
        if line.position.code == "capacity"
    }
    (price,) = found
    return BANDS[price]


def bands(contract: Contract, steps: list[Period], flows: Flows) -> list[str]:
    found = settled(a_point(contract), [a_step(each) for each in steps], flows, law({}))
    return [band(each) for each in found.invoices]


@pytest.mark.parametrize(
    ("energy_wh", "expected"),
    [
        (0, "below 500"),
        (499_499, "below 500"),
        (499_500, "500 to 1200"),
        (500_000, "500 to 1200"),
        (1_200_499, "500 to 1200"),
        (1_200_500, "1201 to 2800"),
        (2_800_499, "1201 to 2800"),
        (2_800_500, "above 2800"),
    ],
)
def test_the_first_invoice_knows_its_own_use_alone(energy_wh: int, expected: str) -> None:
    assert bands(COMPUTED, [JANUARY.period], Flow(energy_wh)) == [expected]


def test_use_adds_up_from_invoice_to_invoice_while_the_history_is_shorter_than_a_year() -> None:
    steps = [JANUARY.plus(at).period for at in range(12)]
    found = bands(COMPUTED, steps, Flow(240_000))
    assert found == ["below 500"] * 2 + ["500 to 1200"] * 3 + ["1201 to 2800"] * 6 + ["above 2800"]


def test_use_of_more_than_a_year_ago_no_longer_counts() -> None:
    steps = [JANUARY.plus(at).period for at in range(14)]
    flows = {JANUARY: Flow(600_000), JANUARY.plus(1): Flow(700_000)}
    assert bands(COMPUTED, steps, flows) == (
        ["500 to 1200"] + ["1201 to 2800"] * 11 + ["500 to 1200", "below 500"]
    )


@pytest.mark.parametrize(
    ("end", "first_that_counts"),
    [
        ("2024-01-01", "2023-01-01"),
        ("2024-02-29", "2023-02-28"),
        ("2024-03-01", "2023-03-01"),
        ("2025-02-28", "2024-02-28"),
        ("2025-03-01", "2024-03-01"),
    ],
)
def test_the_year_ends_with_the_last_reading_leap_day_or_not(
    end: str, first_that_counts: str
) -> None:
    last, first = date.fromisoformat(end), date.fromisoformat(first_that_counts)
    for start, expected in ((first, "500 to 1200"), (first - timedelta(days=1), "below 500")):
        steps = [Period(start, start + timedelta(days=1)), Period(last - timedelta(days=1), last)]
        flows = {start: Flow(600_000)}
        assert bands(COMPUTED, steps, flows)[-1] == expected, start


@pytest.mark.parametrize(
    ("energy_wh", "expected"), [(1_015_000, "below 500"), (1_016_000, "500 to 1200")]
)
def test_a_span_in_which_the_year_begins_counts_by_its_days(energy_wh: int, expected: str) -> None:
    # 30 of the 61 days of November and December 2022 are in the year that ends on 2 December 2023.
    steps = [days("2022-11-01", "2023-01-01"), days("2023-12-01", "2023-12-02")]
    assert bands(COMPUTED, steps, {date(2022, 11, 1): Flow(energy_wh)})[-1] == expected


def test_all_spans_of_an_invoice_have_the_band_of_its_last_day() -> None:
    cut = {("levies", "renewable"): {date(2023, 2, 1): "0.003"}}
    steps = [a_step(days("2023-01-01", "2023-03-01"))]
    flows = {JANUARY: Flow(100_000), JANUARY.plus(1): Flow(500_000)}
    (invoice,) = settled(a_point(COMPUTED), steps, flows, law(cut)).invoices
    assert len(invoice.parts) == 2
    assert band(invoice) == "500 to 1200"


def test_use_that_the_contract_names_goes_before_the_computed_one() -> None:
    assert bands(a_contract(annual_kwh=3000), [JANUARY.period], Flow(0)) == ["above 2800"]
    assert bands(a_contract(annual_kwh=0), [JANUARY.period], Flow(9_000_000)) == ["below 500"]


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing", "tenant"])
@pytest.mark.parametrize(
    ("basis", "expected"), [("balanced", "500 to 1200"), ("raw", "1201 to 2800")]
)
def test_a_prosumers_band_is_picked_by_balanced_or_by_raw_import(
    scheme: str, basis: str, expected: str
) -> None:
    contract = a_prosumer(scheme, annual_kwh=None, policies=Policies(band_basis=basis))
    flow = Flow(taken_wh=600_000, raw_wh=1_300_000)
    october = Month(2023, 10)
    found = settled(a_point(contract), monthly(october, 1), flow, law({}))
    assert band(found.invoices[0]) == expected


@pytest.mark.parametrize("basis", ["balanced", "raw"])
def test_a_plain_households_band_is_picked_by_its_import(basis: str) -> None:
    contract = a_contract(annual_kwh=None, policies=Policies(band_basis=basis))
    flow = Flow(taken_wh=600_000, raw_wh=1_300_000)
    assert bands(contract, [JANUARY.period], flow) == ["1201 to 2800"]


def test_use_under_an_earlier_contract_counts() -> None:
    change = JANUARY.plus(1).first
    first = a_contract(valid_to=change)
    second = a_contract(valid_from=change, annual_kwh=None)
    steps = monthly(JANUARY, 2)
    found = settled(a_point(first, second), steps, Flow(300_000), law({}))
    assert band(found.invoices[1]) == "500 to 1200"
