"""Work orders: lists of an office and of technicians, in and out, every mistake by its column."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.pairing import work_orders
from host_tools.pairing.errors import BadInput, Conflict
from host_tools.pairing.tables import checked_ppe
from host_tools.pairing.work_orders import WorkOrder
from settlement.rules.contract import check_digit
from tests.support.an_order import ORDER, PPE, TEN_S, done
from wire.messages import REGISTER_WH_MAX

# ------------------------------------------------------------------ the list


@pytest.mark.parametrize("name", ["list.csv", "list.json"])
def test_a_list_reads_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    orders = [ORDER, done(order="WO-18"), replace(ORDER, order="WO/19", remarks='a "b", c; d')]
    work_orders.write(tmp_path / name, orders)
    assert work_orders.read(tmp_path / name) == orders


def test_every_field_of_an_order_is_a_column() -> None:
    assert len(work_orders.COLUMNS) == len(fields(WorkOrder))
    row = work_orders.to_row(done())
    assert tuple(row) == work_orders.COLUMNS
    assert all(row[name] for name in work_orders.COLUMNS if name != "remarks")


def test_a_list_of_an_office_needs_only_what_an_office_knows(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "order;ppe;address;customer;visit_from;visit_to\n"
        f"WO-17;{PPE};ul. Żółwia 1;Jan  Kowalski;2026-12-01 10:00;2026-12-01 12:00\n"
    )
    (order,) = work_orders.read(path)
    assert (order.visit_from_s, order.customer, order.state) == (TEN_S, "Jan Kowalski", "planned")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("order", "", "order: a name"), ("order", "a b", "order: a name"),
        ("order", "x" * 41, "order: a name"), ("ppe", "59032240000000001", "18 digits"),
        ("ppe", "490322400000000010", "begin with 590"), ("ppe", PPE[:-1] + "1", "check digit"),
        ("state", "maybe", "planned, done or failed"), ("old_meter_id", "AA" * 8, "old_meter_id"),
        ("new_meter_id", "00", "new_meter_id"), ("visit_from", "", "visit_from, visit_to"),
        ("visit_to", "2026-12-01 10:00", "the first before"), ("visit_from", "soon", "a time such"),
        ("removed", "2026-10-25 02:30", "twice, or not at all"),
        ("installed", "2026-03-29 02:30", "twice, or not at all"),
        ("removed", "9999-01-01 00:00", "this century"),
        ("old_import_kwh", "12,3456", "at most 3 decimals"), ("old_import_kwh", "-1", "decimals"),
        ("new_import_kwh", "1e3", "decimals"), ("new_export_kwh", "kWh", "decimals"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_order_is_named_by_its_column(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([work_orders.to_row(ORDER) | {column: value}]))
    with pytest.raises(BadInput, match=f"order 1: .*{said}"):
        work_orders.read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [("nonsense", "JSON array"), ("{}", "JSON array"), ("[]", "JSON array"), ("[5]", "texts"),
     ('[{"order": 5}]', "texts"), ('[{"order": "a"}]', "missing ppe"),
     ('[{"colour": "red"}]', "unknown colour")],
)  # fmt: skip
def test_a_file_that_is_no_list_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=said):
        work_orders.read(path)


def test_an_order_has_its_name_alone(tmp_path: Path) -> None:
    work_orders.write(tmp_path / "list.csv", [ORDER, ORDER])
    with pytest.raises(BadInput, match="WO-17 is there twice"):
        work_orders.read(tmp_path / "list.csv")
    with pytest.raises(BadInput, match="no order WO-18"):
        work_orders.find([ORDER], "WO-18")
    assert work_orders.find([ORDER], "WO-17") == ORDER


def test_an_hour_that_is_there_twice_is_written_with_its_offset() -> None:
    summer = work_orders.seconds_of("2026-10-25 02:30+02:00", "removed")
    winter = work_orders.seconds_of("2026-10-25 02:30+01:00", "removed")
    assert winter - summer == 3600
    assert work_orders.time_text(winter) == "2026-10-25 02:30+01:00"
    assert work_orders.seconds_of(work_orders.time_text(summer), "removed") == summer


@given(st.integers(-1, REGISTER_WH_MAX))
def test_every_register_reads_back_from_its_kwh(energy_wh: int) -> None:
    text = work_orders.kwh_text(energy_wh)
    if energy_wh < 10**12:
        assert work_orders.wh_of(text, "old_import_kwh") == energy_wh
        assert work_orders.wh_of(text.replace(".", ","), "old_import_kwh") == energy_wh
    else:
        with pytest.raises(BadInput):
            work_orders.wh_of(text, "old_import_kwh")


def test_the_check_digit_is_the_one_that_settlement_wants() -> None:
    chance = random.Random(7)
    for _ in range(200):
        body = "590" + "".join(chance.choice("0123456789") for _ in range(14))
        good = body + str(check_digit(body))
        assert checked_ppe(good) == good
        with pytest.raises(BadInput):
            checked_ppe(good[:-1] + str((int(good[-1]) + 1) % 10))


def test_a_visit_in_vain_says_why_and_a_done_one_is_not_taken_back() -> None:
    order = work_orders.failed(ORDER, "nobody  there")
    assert (order.state, order.remarks) == ("failed", "nobody there")
    with pytest.raises(BadInput, match="say why"):
        work_orders.failed(ORDER, " ")
    with pytest.raises(BadInput, match="is done"):
        work_orders.failed(done(), "x")


def test_a_technician_who_is_to_be_in_two_places_is_found() -> None:
    def visit(name: str, begin: int, end: int, who: str = "anna", state: str = "planned") -> Any:
        return replace(ORDER, order=name, visit_from_s=TEN_S + begin, visit_to_s=TEN_S + end,
                       technician=who, state=state)  # fmt: skip

    visits = [
        visit("d", 30, 40), visit("a", 0, 100), visit("b", 100, 200), visit("c", 150, 160),
        visit("e", 0, 100, "bartek"), visit("f", 50, 60, ""), visit("g", 50, 60, state="failed"),
        visit("h", 190, 210),
    ]  # fmt: skip
    found = {(one.order, other.order) for one, other in work_orders.overlaps(visits)}
    assert found == {("a", "d"), ("b", "c"), ("b", "h")}


def test_what_comes_back_from_the_field_joins_the_offices_list() -> None:
    others = [replace(ORDER, order=f"WO-{number}") for number in (1, 2, 3)]
    office = [ORDER, *others]
    back = [done(), work_orders.failed(others[0], "nobody there"), others[1]]
    joined = work_orders.merged(office, back)
    assert [order.state for order in joined] == ["done", "failed", "planned", "planned"]
    assert work_orders.merged(joined, back) == joined
    assert work_orders.merged(joined, [work_orders.failed(ORDER, "x")])[0].state == "done"
    with pytest.raises(Conflict) as conflict:
        work_orders.merged(joined, [replace(done(), old_import_wh=5)])
    assert conflict.value.reason == "done_twice"
    with pytest.raises(BadInput, match="WO-9 is not in the office's list"):
        work_orders.merged(office, [replace(done(), order="WO-9")])


def test_the_instants_of_a_visit_are_on_the_capture_grid() -> None:
    late = replace(ORDER, visit_from_s=TEN_S + 1, visit_to_s=TEN_S + 7199)
    assert work_orders.visit_instants(late) == (TEN_S + 900, TEN_S + 6300, 900)
    assert work_orders.visit_instants(ORDER) == (TEN_S, TEN_S + 7200, 900)
