"""The import form of a seller's price list and of a distributor's tariff: whole, or refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from settlement import tables
from settlement.rules.errors import BadTable, NoRate
from settlement.rules.periods import Period
from settlement.rules.rates import Tables
from settlement.tables import lists
from settlement.tables.lists import PriceList, read_list, with_lists

ZONES = {
    "G11": ("all_day",),
    "G12as": ("day", "night"),
    "G12w": ("peak", "offpeak"),
    "C11": ("all_day",),
    "C12a": ("peak", "offpeak"),
}
EXAMPLES = tables.FOLDER / "examples"
YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))


def example(name: str) -> str:
    return (EXAMPLES / name).read_text("utf-8")


def a_list(text: str) -> PriceList:
    """A list as CSV."""
    return read_list(text, ".csv", ZONES)


HEAD = """kind,seller
name,acme
groups,G12w
excise_included,yes
source,a test

key,value,unit,valid_from,valid_to
"""
PEAK = "g12w.energy.peak,0.61,pln_per_kwh,2026-01-01,2027-01-01\n"
OFFPEAK = "g12w.energy.offpeak,0.40,pln_per_kwh,2026-01-01,2027-01-01\n"
SELLER = HEAD + PEAK + OFFPEAK
NETWORK_HEAD = HEAD.replace("kind,seller", "kind,distributor").replace("excise_included,yes\n", "")
NETWORK = NETWORK_HEAD + (PEAK + OFFPEAK).replace("energy", "variable")
FIRST_HALF = PEAK.replace("2027-01-01", "2026-07-01")
SECOND_HALF = PEAK.replace("2026-01-01", "2026-07-01")


def test_the_sellers_example_is_read_and_prices_a_kwh() -> None:
    listed = read_list(example("seller.csv"), ".csv", ZONES)
    assert (listed.table, listed.kind, listed.groups) == (
        "seller_example",
        "seller",
        ("G11", "G12w"),
    )
    found = with_lists(tables.load(), [listed])
    row = found.rate_on("seller_example", "g11.energy.all_day", date(2026, 6, 30))
    assert (row.value, row.excise_included) == (Decimal("0.49000"), False)
    assert "MADE-UP" in row.source
    assert found.changes("seller_example", "g11.energy.all_day", YEAR) == [date(2026, 7, 1)]
    assert found.rate("seller_example", "trade_fee", YEAR).value == Decimal("9.99")


def test_the_distributors_example_is_read_beside_the_tables_that_come_with_us() -> None:
    listed = read_list(example("distributor.toml"), ".toml", ZONES)
    assert listed.table == "distribution_example"
    found = with_lists(tables.load(), [listed])
    rate = found.rate("distribution_example", "g11.fixed.3_phase", YEAR)
    assert (rate.value, rate.unit) == (Decimal("11.00"), "pln_per_month")
    assert found.rate("distribution_tauron", "g11.fixed.3_phase", YEAR).value == Decimal("10.86")


def test_the_tables_that_come_with_us_hold_no_example() -> None:
    assert not [row for row in tables.load().rows if "example" in row.table]


def test_both_forms_say_the_same() -> None:
    as_toml = """
        kind = "seller"
        name = "acme"
        groups = ["G12w"]
        excise_included = true
        source = "a test"
        [[row]]
        key = "g12w.energy.peak"
        value = "0.61"
        unit = "pln_per_kwh"
        valid_from = 2026-01-01
        valid_to = 2027-01-01
        [[row]]
        key = "g12w.energy.offpeak"
        value = "0.40"
        unit = "pln_per_kwh"
        valid_from = 2026-01-01
        valid_to = 2027-01-01
    """
    assert read_list(as_toml, ".toml", ZONES) == a_list(SELLER)


def test_a_list_from_a_spreadsheet_may_have_its_mark_and_line_ends_and_an_open_end() -> None:
    text = "\ufeff" + SELLER.replace("2027-01-01", "").replace("\n", "\r\n")
    assert [row.valid_to for row in a_list(text).rows] == [None, None]


def test_excise_is_said_once_for_all_prices_of_a_seller() -> None:
    assert all(row.excise_included for row in a_list(SELLER).rows)
    without = a_list(SELLER.replace("excise_included,yes", "excise_included,no"))
    assert not any(row.excise_included for row in without.rows)


def test_groups_of_small_businesses_have_the_same_form() -> None:
    text = (NETWORK + "g12w.fixed.3_phase,0,pln_per_month,2026-01-01,\n").replace("g12w", "c12a")
    keys = [row.key for row in a_list(text.replace("G12w", "C12a")).rows]
    assert keys == ["c12a.variable.peak", "c12a.variable.offpeak", "c12a.fixed.3_phase"]


def test_the_network_of_g12as_has_its_night_in_two_parts_and_the_seller_has_one() -> None:
    dates = "pln_per_kwh,2026-01-01,"
    network = NETWORK_HEAD.replace("G12w", "G12as") + "".join(
        f"g12as.variable.{zone},0.1,{dates}\n"
        for zone in ("day", "night_up_to_reference", "night_above_reference")
    )
    assert len(a_list(network).rows) == 3
    seller = HEAD.replace("G12w", "G12as") + "".join(
        f"g12as.energy.{zone},0.1,{dates}\n" for zone in ("day", "night")
    )
    assert len(a_list(seller).rows) == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD + FIRST_HALF + SECOND_HALF.replace("07-01", "07-02"), "row 2: .*leaves a gap"),
        (HEAD + FIRST_HALF + SECOND_HALF.replace("07-01", "06-30"), "row 2: .*overlaps"),
        (HEAD + FIRST_HALF.replace("2026-07-01", "") + SECOND_HALF, "row 2: .*overlaps"),
        (HEAD + SECOND_HALF + FIRST_HALF, "row 2: .*not in the order of days"),
        (HEAD + PEAK + PEAK, "row 2: .*not in the order of days"),
        (HEAD + PEAK.replace("2027", "2025"), "row 1: valid_to is the first day not covered"),
        (HEAD + PEAK.replace("2027", "2026"), "row 1: valid_to is the first day not covered"),
        (HEAD + PEAK, r"g12w\.energy\.offpeak is missing"),
        (HEAD + FIRST_HALF + OFFPEAK, "zones have prices for different days"),
        (HEAD + PEAK.replace("peak", "day") + OFFPEAK, r"row 1: key 'g12w\.energy\.day'"),
        (SELLER.replace("groups,G12w", "groups,G11"), "row 1: key"),
        (SELLER + "quality,0.03,pln_per_kwh,2026-01-01,\n", "row 3: key 'quality'"),
        (NETWORK + "trade_fee,9,pln_per_month,2026-01-01,\n", "row 3: key 'trade_fee'"),
        (NETWORK.replace("variable", "energy"), "row 1: key"),
        (NETWORK + "subscription.3_month,9,pln_per_month,2026-01-01,\n", "row 3: key"),
        (NETWORK + "g12w.fixed.2_phase,9,pln_per_month,2026-01-01,\n", "row 3: key"),
        (SELLER + "trade_fee,9,pln_per_kwh,2026-01-01,\n", "row 3: trade_fee is given in"),
        (SELLER.replace("excise_included,yes\n", ""), "excise_included is missing"),
        (SELLER.replace("included,yes", "included,true"), "do the energy prices contain excise"),
        (NETWORK.replace("source", "excise_included,yes\nsource"), "'excise_included'"),
        (SELLER.replace("source,a test", "source,"), "source is a text"),
        (SELLER.replace("source,a test\n", ""), "source is missing"),
        (SELLER.replace("name,acme", "name,Acme"), "'Acme' is no name"),
        (SELLER.replace("name,acme", "name,acme\nname,acme"), "each name once"),
        (SELLER.replace("name,acme", "name,acme,ltd"), "each name once"),
        (SELLER.replace("kind,seller", "kind,shop"), "one of seller, distributor"),
        (SELLER.replace("groups,G12w", "groups,G99"), "'G99' is not known: one of G11"),
        (SELLER.replace("groups,G12w", "groups,G12w G12w"), "each once"),
        (SELLER.replace("groups,G12w", "groups,"), "each once"),
        (SELLER.replace("0.61", "0,61"), "row 1: 6 columns"),
        (SELLER.replace("0.61", "0.610001"), "row 1: value .*decimals"),
        (SELLER.replace("2026-01-01", "01.01.2026"), "row 1: valid_from"),
        (SELLER.replace(",", ";"), "no heading"),
        (HEAD, "1 to 1000 rows"),
        (SELLER.replace("a test", '"a test'), "not CSV"),
    ],
)
def test_a_faulty_list_is_refused_as_a_whole_and_names_row_and_fault(text: str, fault: str) -> None:
    with pytest.raises(BadTable, match=fault):
        a_list(text)


@pytest.mark.parametrize(
    ("value", "taken"),
    [("0", False), ("0.00001", True), ("10", True), ("10.00001", False)],
)
def test_a_price_is_above_zero_and_at_most_ten(value: str, taken: bool) -> None:
    text = SELLER.replace("0.61", value)
    if taken:
        assert a_list(text).rows[0].value == Decimal(value)
    else:
        with pytest.raises(BadTable, match="row 1: a price is above 0, at most 10 PLN/kWh"):
            a_list(text)


@pytest.mark.parametrize(("value", "taken"), [("0", True), ("1000", True), ("1000.01", False)])
def test_a_fee_is_from_zero_to_a_thousand(value: str, taken: bool) -> None:
    text = SELLER + f"trade_fee,{value},pln_per_month,2026-01-01,\n"
    if taken:
        assert a_list(text).rows[2].value == Decimal(value)
    else:
        with pytest.raises(BadTable, match="row 3: a fee is 0 to 1000 PLN a month"):
            a_list(text)


def test_a_list_has_an_end_and_one_of_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "ROWS_MAX", 2)
    assert len(a_list(SELLER).rows) == 2
    with pytest.raises(BadTable, match="1 to 2 rows"):
        a_list(SELLER + "trade_fee,9,pln_per_month,2026-01-01,\n")
    monkeypatch.setattr(lists, "TEXT_CHARS_MAX", len(SELLER))
    assert a_list(SELLER).name == "acme"
    with pytest.raises(BadTable, match="characters"):
        a_list(SELLER + "\n")
    with pytest.raises(BadTable, match=r"'\.xlsx'"):
        read_list("", ".xlsx", ZONES)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kind", "not TOML"),
        ('kind = "seller"\nrow = 1', r"\[\[row\]\] entries"),
        ('kind = "seller"\nrow = [1]', r"\[\[row\]\] entries"),
        ("", "says kind"),
        ('kind = ["seller"]', "says kind"),
        (example("distributor.toml").replace('"0.25000"', "0.25"), "row 1: value is a text"),
        (example("distributor.toml").replace('["G11", "C11"]', '"G11"'), "groups are the"),
        (example("distributor.toml").replace("valid_to = 2027-01-01", "to_kwh = 9"), "'to_kwh'"),
    ],
)
def test_a_faulty_toml_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadTable, match=fault):
        read_list(text, ".toml", ZONES)


def test_two_lists_of_one_name_are_refused() -> None:
    listed = a_list(SELLER)
    for known in (with_lists(Tables([]), [listed]), Tables(listed.rows)):
        with pytest.raises(BadTable, match="two lists seller_acme"):
            with_lists(known, [listed])
    with pytest.raises(BadTable, match="two lists distribution_acme"):
        with_lists(Tables([]), [a_list(NETWORK), a_list(NETWORK)])
    assert with_lists(Tables([]), [listed, a_list(NETWORK)]).knows(
        "distribution_acme", "g12w.variable.peak"
    )


def test_a_tariff_fills_days_that_were_unknown_and_may_not_contradict_the_others() -> None:
    ours = tables.load()
    text = NETWORK.replace("name,acme", "name,tauron").replace("2027", "2025")
    found = with_lists(ours, [a_list(text.replace("2026", "2024"))])
    peak = "g12w.variable.peak"
    assert found.rate_on("distribution_tauron", peak, date(2024, 12, 31)).value == Decimal("0.61")
    assert found.rate_on("distribution_tauron", peak, date(2025, 1, 1)).value == Decimal("0.3271")
    with pytest.raises(BadTable, match="overlap"):
        with_lists(ours, [a_list(NETWORK.replace("name,acme", "name,tauron"))])


def test_days_between_a_list_and_the_other_rows_stay_unknown() -> None:
    text = NETWORK.replace("name,acme", "name,tauron").replace("2027", "2024")
    found = with_lists(tables.load(), [a_list(text.replace("2026", "2023"))])
    with pytest.raises(NoRate, match="the list tauron does not have these days"):
        found.rate_on("distribution_tauron", "g12w.variable.peak", date(2024, 7, 1))
