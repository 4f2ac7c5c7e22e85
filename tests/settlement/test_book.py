"""The book of a point: what it brings along, what a limit has lost, and ledgers that balance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from settlement.rules.book import Book, Opening, check_opening, opened
from settlement.rules.errors import BadOpening
from settlement.rules.ledger import BOOKED, DEPOSIT, REBATE, STORAGE, USED, Entry, LotKey
from settlement.rules.lots import Lot
from settlement.rules.net_metering import Queue, Storage
from settlement.rules.periods import Month, Period
from settlement.rules.policies import Policies
from tests.support.a_contract import a_prosumer
from tests.support.a_point import Flow, a_point, a_step, law, monthly, settled

MAY, JUNE = Month(2023, 5), Month(2023, 6)
HALF_YEAR = Period(date(2024, 1, 1), date(2024, 7, 1))
NEXT = Period(date(2024, 7, 1), date(2025, 1, 1))


def test_an_empty_book_holds_nothing_and_balances() -> None:
    book = Book()
    assert book.is_balanced()
    assert set(book.held().values()) == {0}


def test_entries_are_added_at_the_end_and_fields_change_with_them() -> None:
    first = Entry(REBATE, BOOKED, MAY, MAY, 10)
    second = Entry(REBATE, USED, MAY, JUNE, 4)
    book = Book().post((first,), rebate_gr=10).post((second,), rebate_gr=6)
    assert (book.entries, book.rebate_gr) == ((first, second), 6)
    assert Book().post() == Book()


def test_a_book_that_holds_more_or_less_than_its_ledger_says_does_not_balance() -> None:
    granted = Entry(REBATE, BOOKED, Month(2023, 12), Month(2023, 12), 10)
    assert Book(rebate_gr=10, entries=(granted,)).is_balanced()
    assert not Book(rebate_gr=9, entries=(granted,)).is_balanced()
    assert not Book(rebate_gr=10).is_balanced()
    storage = Storage((Queue("", (Lot(MAY, 5, 5),)),))
    stored = Entry(STORAGE, BOOKED, MAY, MAY, 5)
    assert Book(storage=storage, entries=(stored,)).is_balanced()
    assert not Book(storage=storage, entries=(stored, stored)).is_balanced()


def test_a_limit_is_counted_in_its_window_and_what_was_brought_in_the_first_alone() -> None:
    book = Book(limit_brought_wh=400)
    assert book.taken_wh(None) == 0
    assert book.taken_wh(HALF_YEAR) == 400
    book = book.with_taken(None, 9_999)
    assert book.taken_wh(HALF_YEAR) == 400, "no limit, nothing taken"
    book = book.with_taken(HALF_YEAR, 100).with_taken(HALF_YEAR, 20)
    assert (book.taken_wh(HALF_YEAR), book.taken_wh(NEXT)) == (520, 0)
    book = book.with_taken(NEXT, 7)
    assert (book.taken_wh(HALF_YEAR), book.taken_wh(NEXT)) == (520, 7)


def test_a_point_without_a_past_opens_an_empty_book() -> None:
    assert opened(Opening(), a_prosumer(), 0) == Book()


def test_what_is_brought_along_is_booked_and_open() -> None:
    opening = Opening(
        storage=(("", JUNE, 700), ("", MAY, 500)),
        deposit=((JUNE, 900, 900), (MAY, 800, 300)),
        limit_used_wh=1_000_000,
    )
    book = opened(opening, a_prosumer(), 12_345)
    assert book.held() == {
        LotKey(STORAGE, "", MAY): 500,
        LotKey(STORAGE, "", JUNE): 700,
        LotKey(DEPOSIT, "", MAY): 300,
        LotKey(DEPOSIT, "", JUNE): 900,
        LotKey(REBATE, "", Month(2023, 12)): 12_345,
    }
    assert book.limit_brought_wh == 1_000_000
    assert book.is_balanced()
    assert [(each.account, each.kind, each.lot, each.amount) for each in book.entries] == [
        (STORAGE, BOOKED, MAY, 500),
        (STORAGE, BOOKED, JUNE, 700),
        (DEPOSIT, BOOKED, MAY, 300),
        (DEPOSIT, BOOKED, JUNE, 900),
        (REBATE, BOOKED, Month(2023, 12), 12_345),
    ]
    assert {each.note for each in book.entries} == {"brought along", "granted"}


def test_lots_of_zones_are_brought_into_a_queue_for_each() -> None:
    opening = Opening(storage=(("night", JUNE, 1), ("day", MAY, 2), ("night", MAY, 3)))
    book = opened(opening, a_prosumer("net_metering"), 0)
    assert book.storage == Storage(
        (
            Queue("day", (Lot(MAY, 2, 2),)),
            Queue("night", (Lot(MAY, 3, 3), Lot(JUNE, 1, 1))),
        )
    )


def test_a_deposit_that_is_all_used_is_brought_without_an_entry() -> None:
    book = opened(Opening(deposit=((MAY, 800, 0),)), a_prosumer(), 0)
    assert book.entries == ()
    assert book.is_balanced()


@pytest.mark.parametrize(
    ("policies", "last"),
    [
        ({}, Month(2024, 5)),
        ({"deposit_clock": "export_month"}, Month(2024, 4)),
        ({"deposit_booking": "same_month"}, Month(2024, 4)),
    ],
)
def test_a_deposit_brought_along_ends_when_the_policies_of_the_contract_say(
    policies: dict[str, str], last: Month
) -> None:
    contract = a_prosumer(policies=Policies(**policies))
    (lot,) = opened(Opening(deposit=((MAY, 800, 300),)), contract, 0).deposit.lots
    assert (lot.worth.last, lot.worth.amount_gr, lot.lot.open) == (last, 800, 300)


@pytest.mark.parametrize(
    ("month", "early_refund", "refunded_gr"),
    [
        (MAY, "paid", 160),
        (MAY, "forfeited", 0),
        (Month(2023, 6), "forfeited", 0),
        (Month(2023, 7), "forfeited", 160),
    ],
)
def test_a_fifth_of_the_whole_value_of_a_lot_brought_along_is_refunded_at_most(
    month: Month, early_refund: str, refunded_gr: int
) -> None:
    contract = a_prosumer(policies=Policies(early_refund=early_refund))
    point = a_point(contract, opening=Opening(deposit=((month, 800, 300),)))
    (invoice,) = settled(point, monthly(month.plus(12), 1), Flow(0), law({})).invoices
    assert invoice.deposit.refunded_gr == refunded_gr
    assert invoice.deposit.forfeited_gr == 300 - refunded_gr


@pytest.mark.parametrize("scheme", ["net_metering", "net_billing"])
def test_lots_that_ended_before_the_first_invoice_are_closed_by_it(scheme: str) -> None:
    old = Opening(storage=(("", Month(2022, 1), 5_000),), deposit=((Month(2022, 1), 100, 100),))
    point = a_point(a_prosumer(scheme), opening=old)
    found = settled(point, monthly(MAY, 1), Flow(9_000), law({}))
    assert [(each.kind, each.amount) for each in found.entries[2:]] == [
        ("forfeited", 5_000),
        ("refunded", 20),
        ("forfeited", 80),
    ]


TWICE = "two lots of 2023-05"


@pytest.mark.parametrize(
    ("opening", "names"),
    [
        (Opening(storage=(("", MAY, 1), ("", MAY, 2))), TWICE),
        (Opening(storage=(("day", MAY, 1), ("day", MAY, 2))), TWICE),
        (Opening(deposit=((MAY, 2, 1), (MAY, 2, 1))), TWICE),
        (Opening(deposit=((MAY, 99, 100),)), r"100 gr.*99 gr"),
    ],
)
def test_an_opening_that_contradicts_itself_is_refused(opening: Opening, names: str) -> None:
    with pytest.raises(BadOpening, match=names):
        check_opening(opening)
    with pytest.raises(BadOpening, match=names):
        settled(a_point(a_prosumer(), opening=opening), monthly(JUNE, 1), Flow(0))


@pytest.mark.parametrize(
    "opening",
    [
        Opening(storage=(("day", MAY, 1), ("night", MAY, 2))),
        Opening(storage=(("", MAY, 1),), deposit=((MAY, 1, 1),)),
        Opening(deposit=((MAY, 0, 0),)),
    ],
)
def test_an_opening_with_one_lot_of_each_month_is_taken(opening: Opening) -> None:
    check_opening(opening, JUNE)
    assert opened(opening, a_prosumer(), 0).is_balanced()


@pytest.mark.parametrize(
    "brought", [{"storage": (("", JUNE, 5),)}, {"deposit": ((JUNE.plus(1), 5, 5),)}]
)
def test_what_is_brought_along_is_of_months_before_the_first_invoice(
    brought: dict[str, Sequence[object]],
) -> None:
    opening = Opening(**brought)  # type: ignore[arg-type]
    check_opening(opening)
    point = a_point(a_prosumer(), opening=opening)
    with pytest.raises(BadOpening, match="2023-06 is settled here"):
        settled(point, [a_step(JUNE.period)], Flow(0))
