"""Many boards at once: a CSV work order in, a CSV result out, line by line as boards are done."""

from __future__ import annotations

import csv
import io
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from host_tools.pairing.errors import BadInput
from host_tools.pairing.files import sync_folder
from host_tools.pairing.stages import EXIT_FAILED, EXIT_OK, StageFailed, Stopped
from host_tools.pairing.tables import checked_ppe, read_table

WORKERS, WORKERS_MAX = 8, 64
LOOK_S = 0.2

PORT = "port"
ORDER_COLUMNS = (PORT, "note", "title", "ppe")  # of the work order; only the first is needed
RESULT_COLUMNS = (
    PORT, "state", "stage", "exit_code", "reason", "meter_id", "serial", "code", "ppe", "board",
    "board_name", "note", "detail",
)  # fmt: skip
FAILED, STOPPED, FAULT = "failed", "interrupted", "fault"
_GOOD = ("paired", "queued")


class Order(NamedTuple):
    """One line of the work order."""

    port: str
    note: str = ""  # a place or a box: comes back in the result
    title: str = ""  # of the label
    ppe: str = ""  # the metering point it is meant for


@dataclass(frozen=True)
class Done:
    """One line of the result. Never with a secret."""

    order: Order
    state: str  # paired, queued, failed, interrupted, fault
    stage: str = ""
    exit_code: int = EXIT_OK
    reason: str = ""
    detail: str = ""
    result: dict[str, Any] | None = None

    @property
    def good(self) -> bool:
        """Whether the board is a meter now."""
        return self.exit_code == EXIT_OK

    def row(self) -> dict[str, str]:
        """As the CSV has it."""
        found = {name: str((self.result or {}).get(name, "")) for name in RESULT_COLUMNS}
        return {
            **found,
            PORT: self.order.port,
            "state": self.state,
            "stage": self.stage,
            "exit_code": str(self.exit_code),
            "reason": self.reason,
            "note": self.order.note,
            "ppe": self.order.ppe,
            "detail": self.detail,
        }


PairOne = Callable[[Order, Callable[[], bool]], dict[str, Any]]  # raises StageFailed, Stopped
Seen = Callable[[Done], None]


def run(
    orders: Sequence[Order], pair_one: PairOne, seen: Seen, workers: int = WORKERS
) -> list[Done]:
    """Every board, `workers` at a time; one that fails stops nobody. ^C lets stages finish.

    `seen` is called from this thread, in the order in which boards are done.
    """
    if not 1 <= workers <= WORKERS_MAX:
        raise BadInput(f"1 to {WORKERS_MAX} boards at once, not {workers}")
    stopping, results = threading.Event(), []
    with _listening(stopping), ThreadPoolExecutor(workers, "board") as pool:
        waiting = {pool.submit(_one, order, pair_one, stopping.is_set) for order in orders}
        while waiting:
            ended, waiting = wait(waiting, LOOK_S, FIRST_COMPLETED)
            for done in _results(ended):
                results.append(done)
                seen(done)
    return results


@contextmanager
def _listening(stopping: threading.Event) -> Iterator[None]:
    """While it lasts ^C sets the event; the second one ends the program as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pressed(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _one(order: Order, pair_one: PairOne, stop: Callable[[], bool]) -> Done:
    try:
        if stop():
            raise Stopped("not begun; run it again")
        result = pair_one(order, stop)
    except StageFailed as failed:
        return Done(order, FAILED, failed.stage.name, failed.exit_code, failed.reason, failed.text)
    except Stopped as stopped:
        return Done(order, STOPPED, exit_code=stopped.exit_code, detail=str(stopped))
    except Exception as error:  # ours; its text could hold anything
        detail = f"{type(error).__name__}: run this port alone, with pair --port {order.port}"
        return Done(order, FAULT, exit_code=EXIT_FAILED, reason=FAULT, detail=detail)
    return Done(order, str(result["state"]), result=result)


def _results(ended: Iterable[Future[Done]]) -> Iterator[Done]:
    for future in ended:
        yield future.result()


# ------------------------------------------------------------------ the work order


def read_orders(path: Path) -> list[Order]:
    """Raises BadInput, naming the line."""
    rows = read_table(path, ORDER_COLUMNS, needed=(PORT,))
    orders = [Order(**{name: row.get(name, "") for name in ORDER_COLUMNS}) for row in rows]
    ports: set[str] = set()
    for number, order in enumerate(orders, 2):
        if not order.port:
            raise BadInput(f"{path}, line {number}: no port; name one such as /dev/ttyUSB0")
        if order.port in ports:
            raise BadInput(f"{path}, line {number}: {order.port} is there twice; one board a port")
        ports.add(order.port)
        if order.ppe:
            try:
                checked_ppe(order.ppe)
            except BadInput as error:
                raise BadInput(f"{path}, line {number}: {error}") from None
    return orders


# ------------------------------------------------------------------ the result


class ResultFile:
    """The CSV of results; each line is on the disk before the next board is looked at."""

    def __init__(self, path: Path, *, go_on: bool = False) -> None:
        """Raises BadInput when the file is there and is not to be gone on with."""
        if path.exists() and not go_on:
            raise BadInput(f"{path} is there already; name another file, or --continue")
        self.path = path
        self.good = _good_ports(path) if path.exists() else set()
        begun = path.exists() and path.stat().st_size > 0
        self._file = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, RESULT_COLUMNS)
        if not begun:
            self._writer.writeheader()
            self._sync()
            sync_folder(path.parent)

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, done: Done) -> None:
        """One line, durably."""
        self._writer.writerow(done.row())
        self._sync()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _good_ports(path: Path) -> set[str]:
    """Ports that an earlier run finished. A line that a power cut left half-written is none."""
    text = path.read_text("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, "utf-8")
    rows = csv.DictReader(io.StringIO(whole, newline=""))
    return {row[PORT] for row in rows if row.get("state") in _GOOD}


def exit_code(results: Sequence[Done]) -> int:
    """0 when every board is a meter; else that of the first which is not."""
    return next((done.exit_code for done in results if not done.good), EXIT_OK)
