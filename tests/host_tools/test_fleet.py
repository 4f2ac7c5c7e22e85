"""Many boards at once: how many really are, one bad one among them, results line by line."""

from __future__ import annotations

import csv
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_tools.device import LinkLost
from host_tools.pairing import fleet, pair, stages
from host_tools.pairing.errors import BadInput
from host_tools.pairing.fleet import Done, Order, ResultFile
from host_tools.pairing.stages import StageFailed, Stopped
from tests.support.a_pairing import Told, a_job, texts_in, tools_for
from tests.support.fake_board import FakeBoard
from tests.support.running_gateway import RunningGateway

WAIT_S = 10.0
Stop = Callable[[], bool]


def orders(count: int) -> list[Order]:
    return [Order(f"/dev/ttyUSB{number}", f"box {number}") for number in range(count)]


def ignore(_: Done) -> None:
    """Nobody looks."""


def good(order: Order, stop: Stop) -> dict[str, Any]:
    return {"state": "paired", "meter_id": "00" * 8, "port": order.port}


class Meeting:
    """Boards that end only once so many of them are at it together."""

    def __init__(self, wanted: int) -> None:
        self.barrier = threading.Barrier(wanted)
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, order: Order, stop: Stop) -> dict[str, Any]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.barrier.wait(WAIT_S)
        with self._lock:
            self.now -= 1
        return good(order, stop)


def test_eight_boards_are_worked_on_at_once_so_that_a_batch_takes_one_boards_time() -> None:
    meeting = Meeting(8)
    results = fleet.run(orders(24), meeting, ignore)
    assert meeting.most == 8, "eight together, three times: an eighth of one by one"
    assert len(results) == 24
    assert all(done.good for done in results)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_boards_are_worked_on_than_was_said(workers: int) -> None:
    meeting = Meeting(workers)
    fleet.run(orders(6), meeting, ignore, workers)
    assert meeting.most == workers


@pytest.mark.parametrize(("workers", "fine"), [(0, False), (1, True), (64, True), (65, False)])
def test_how_many_at_once_has_limits(workers: int, fine: bool) -> None:
    if fine:
        assert len(fleet.run(orders(1), good, ignore, workers)) == 1
    else:
        with pytest.raises(BadInput, match="1 to 64"):
            fleet.run(orders(1), good, ignore, workers)


def test_one_bad_board_stops_nobody_and_is_told_by_its_stage() -> None:
    def one(order: Order, stop: Stop) -> dict[str, Any]:
        if order.port == "/dev/ttyUSB1":
            raise StageFailed(stages.SETTINGS, "link_lost", "the cable; plug it in")
        if order.port == "/dev/ttyUSB2":
            raise ZeroDivisionError("with a secret in it")
        return good(order, stop)

    results = {done.order.port: done for done in fleet.run(orders(8), one, ignore)}
    bad, fault = results["/dev/ttyUSB1"], results["/dev/ttyUSB2"]
    assert (bad.state, bad.stage, bad.exit_code, bad.reason) == (
        "failed", "settings", 13, "link_lost",
    )  # fmt: skip
    assert (fault.state, fault.exit_code) == ("fault", 1)
    assert "secret" not in fault.detail
    assert "ZeroDivisionError" in fault.detail
    assert sum(done.good for done in results.values()) == 6


def test_the_exit_code_is_that_of_the_first_that_failed() -> None:
    fine, bad = Done(Order("a"), "paired"), Done(Order("b"), "failed", "probe", 10)
    assert fleet.exit_code([fine, fine]) == 0
    assert fleet.exit_code([fine, bad, Done(Order("c"), "fault", exit_code=1)]) == 10


def test_results_come_as_boards_are_done_not_at_the_end() -> None:
    first_seen = threading.Event()

    def one(order: Order, stop: Stop) -> dict[str, Any]:
        if order.port == "/dev/ttyUSB1":
            assert first_seen.wait(WAIT_S)
        return good(order, stop)

    seen: list[str] = []

    def look(done: Done) -> None:
        seen.append(done.order.port)
        first_seen.set()

    fleet.run(orders(2), one, look)
    assert seen == ["/dev/ttyUSB0", "/dev/ttyUSB1"]


def test_control_c_lets_stages_finish_and_tells_every_board() -> None:
    both_begun = threading.Barrier(3)

    def one(order: Order, stop: Stop) -> dict[str, Any]:
        both_begun.wait(WAIT_S)
        for _ in range(int(WAIT_S * 100)):
            if stop():
                raise Stopped("stopped in stage reading; run it again to go on")
            threading.Event().wait(0.01)
        raise AssertionError("nobody stopped it")

    def press() -> None:
        both_begun.wait(WAIT_S)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    results = fleet.run(orders(4), one, ignore, 2)
    finger.join()
    assert {done.state for done in results} == {"interrupted"}
    assert {done.exit_code for done in results} == {130}
    assert len(results) == 4
    assert sum("not begun" in done.detail for done in results) == 2


# ------------------------------------------------------------------ files


def a_list(folder: Path, text: str) -> Path:
    path = folder / "orders.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_work_order_is_read_however_a_spreadsheet_wrote_it(tmp_path: Path) -> None:
    wanted = [Order("/dev/ttyUSB0", "ul. Żółwia 1", "Kuchnia"), Order("/dev/ttyUSB1")]
    for text in (
        "port,note,title\n/dev/ttyUSB0,ul. Żółwia 1,Kuchnia\n/dev/ttyUSB1,,\n",
        "\ufeffport;note;title\r\n/dev/ttyUSB0; ul. Żółwia 1;Kuchnia\r\n/dev/ttyUSB1;;\r\n;;\r\n",
        'title,port,note\nKuchnia,/dev/ttyUSB0,"ul. Żółwia 1"\n,/dev/ttyUSB1,\n',
    ):
        assert fleet.read_orders(a_list(tmp_path, text)) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing port"), ("note\nx\n", "missing port"), ("port,key\na,b\n", "unknown key"),
        ("port,port\na,b\n", "is there twice"), ("port\n", "0 lines"), ("port\na\na\n", "line 3"),
        ("port,note\n,x\n", "line 2: no port"), ("port,note\na\n", "line 2: 2 cells"),
        ("port\n" + "x" * 201 + "\n", "line 2"), ("port\n" + "a\n" * 10_001, "10001 lines"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_work_order_is_named_by_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        fleet.read_orders(a_list(tmp_path, text))


def test_a_work_order_that_is_no_text_or_no_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    with pytest.raises(BadInput, match="No such file"):
        fleet.read_orders(path)
    path.write_bytes(b"port\n\xff\n")
    with pytest.raises(BadInput, match="UTF-8"):
        fleet.read_orders(path)


def test_each_line_of_the_result_is_on_disk_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    with ResultFile(path) as results:
        assert path.read_text() == ",".join(fleet.RESULT_COLUMNS) + "\n"
        for number in range(3):
            results.add(Done(Order(f"p{number}", "box, 1"), "paired", result={"serial": "0011"}))
            rows = list(csv.DictReader(path.read_text().splitlines()))
            assert [row["port"] for row in rows] == [f"p{n}" for n in range(number + 1)]
            assert rows[-1]["serial"] == "0011"
            assert rows[-1]["note"] == "box, 1"


def test_a_result_is_never_overwritten_and_may_be_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    with ResultFile(path) as results:
        results.add(Done(Order("p0"), "paired"))
        results.add(Done(Order("p1"), "failed", "probe", 10))
    with pytest.raises(BadInput, match="--continue"):
        ResultFile(path)
    with path.open("a") as file:
        file.write("p2,pai")  # where a power cut ended it
    with ResultFile(path, go_on=True) as results:
        assert results.good == {"p0"}
        results.add(Done(Order("p1"), "paired"))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["port"], row["state"]) for row in rows] == [
        ("p0", "paired"), ("p1", "failed"), ("p1", "paired"),
    ]  # fmt: skip


def test_a_batch_of_boards_becomes_meters_at_one_gateway(
    tmp_path: Path, gateway: RunningGateway
) -> None:
    boards = {f"/dev/ttyUSB{n}": FakeBoard(gateway, f"240ac40000{n:02x}") for n in range(8)}
    boards["/dev/ttyUSB3"].pull_after = 5
    job = a_job(tmp_path, gateway)

    def one(order: Order, stop: Stop) -> dict[str, Any]:
        board = boards[order.port]
        return pair.pair(replace(job, port=order.port), tools_for(board), Told().tell, stop)

    path = tmp_path / "result.csv"
    with ResultFile(path) as results:
        done = fleet.run(orders(8), one, results.add)
    assert fleet.exit_code(done) == 13
    rows = {row["port"]: row for row in csv.DictReader(path.read_text().splitlines())}
    assert rows["/dev/ttyUSB3"]["reason"] == LinkLost.reason
    made = {row["meter_id"] for row in rows.values() if row["state"] == "paired"}
    assert len(made) == 7
    for meter_id in made:
        shown = gateway.client().show(meter_id)
        assert shown is not None
        assert shown["state"] == "active"
    said = path.read_text() + texts_in(tmp_path / "labels")
    for board in boards.values():
        assert board.nvs.get("key", "no key") not in said
        assert board.nvs.get("password", "no password") not in said
    boards["/dev/ttyUSB3"].pull_after = None
    assert one(Order("/dev/ttyUSB3"), lambda: False)["state"] == "paired"
