"""Updates of a real MicroPython process: killed while it writes, broken, and the way back."""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host_tools import bundle
from host_tools.bundle import Bundle, BundleFile, compile_bundle, compiled, manifest_parts
from host_tools.micropython import ROOT, find_micropython
from tests.support.a_meter import METER_ID, METER_KEY, NOON_S, settings
from tests.support.fake_gateway import FakeGateway
from wire.messages import RESULT_DONE

RESTART_CODE = 75
WITHIN_S = 30
HOURS = 24
SEED = 20241018
KILLS_MIN, STARTS_MAX = 8, 200
BOARD = "boards/driven.mpy"
# The board of these tests: it says what was started, then does what it reads, a line at a time.
DRIVEN = '''"""A meter that is driven by lines on standard input."""
import json, sys
from binascii import unhexlify
from boards import start, unix
from boards.parts.slots import open_slots
from firmware.app import VERSION
from firmware.update import Update

def main(arguments):
    update = Update(open_slots(arguments[0]))
    say(slot=start.running, version=VERSION, on_trial=update.on_trial, fell_back=update.fell_back)
    while True:
        name, args = json.loads(sys.stdin.readline())
        if name == "meter":
            return unix.main(arguments)
        if name == "restart":
            raise SystemExit(75)
        if args:
            args[3] = unhexlify(args[3])
            code, detail = getattr(update, name)(args)
            say(code=code, detail=detail.decode(), restart_due=update.restart_due)
        else:
            say(news=getattr(update, name)())

def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\\n")
'''
IMPORT_FAILS = "from firmware.nowhere import anything\n"
CRASHES = "def main(arguments):\n    return {}[arguments[0]]\n"
GIVES_UP = "def main(arguments):\n    return 1\n"


@pytest.fixture(scope="module")
def old() -> Bundle:
    return a_bundle("0.1.0")


@pytest.fixture(scope="module")
def new() -> Bundle:
    return a_bundle("0.2.0")


def a_bundle(version: str, board: str = DRIVEN) -> Bundle:
    """The unix board's application of this tree, driven by the test."""
    made = compile_bundle("unix", version, extra=("boards/parts/slots.py", "firmware/update.py"))
    return Bundle(version, [*made.files, BundleFile(BOARD, compiled("boards/driven.py", board))])


def a_root(folder: Path, application: Bundle) -> Path:
    """A meter's root as flashed: the loader, and the application in slot a."""
    bundle.write_root("driven", folder)
    bundle.write_slot(application, folder / "a")
    return folder


class Meter:
    """The process that runs a root; ask it, kill it, start it again."""

    def __init__(self, root: Path) -> None:
        environment = {**os.environ, "MICROPYPATH": f"{root}:{ROOT / '.lib'}:.frozen"}
        self._log = (root / "log").open("ab")
        self.process = subprocess.Popen(
            [str(find_micropython()), str(root / "main.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def read(self) -> dict[str, Any]:
        """The next line it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait(WITHIN_S)}"
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, name: str, *args: object) -> dict[str, Any]:
        """Have it do something, and hear how it went."""
        self.tell(name, *args)
        return self.read()

    def tell(self, name: str, *args: object) -> None:
        """Have it do something that is not answered."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, args]).encode() + b"\n")
        self.process.stdin.flush()

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(WITHIN_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._log):
            assert pipe is not None
            pipe.close()


@contextmanager
def a_meter_of(root: Path) -> Iterator[Meter]:
    meter = Meter(root)
    try:
        yield meter
    finally:
        meter.kill()


def commands(application: Bundle, detail: str) -> tuple[object, ...]:
    """The command that a meter's detail asks for."""
    words = detail.split(" ")
    if words[0] == "part":
        parts = manifest_parts(application)
        part = int(words[1])
        return ("manifest", application.update_id, part, len(parts), parts[part].hex())
    index, offset = int(words[1]), int(words[2])
    piece = application.files[index].content[offset : offset + bundle.PIECE_BYTES_MAX]
    return ("chunk", application.update_id, index, offset, piece.hex())


def send(meter: Meter, application: Bundle, at_most: int = 10_000) -> str:
    """Send what the meter asks for, and no more than so many commands; its last detail."""
    detail = "part 0"
    for _ in range(at_most):
        name, *args = commands(application, detail)
        said = meter.ask(str(name), *args)
        assert said["code"] == RESULT_DONE, said
        detail = said["detail"]
        if detail == "restart":
            assert said["restart_due"]
            break
    return detail


def update(root: Path, application: Bundle) -> None:
    """Send all of it and restart."""
    with a_meter_of(root) as meter:
        meter.read()
        assert send(meter, application) == "restart"
        meter.tell("restart")
        assert meter.ended() == RESTART_CODE


def assert_boots(root: Path, slot: str, version: str, **expected: object) -> None:
    with a_meter_of(root) as meter:
        said = meter.read()
        assert (said["slot"], said["version"]) == (slot, version)
        assert said == {**said, **expected}


def test_an_update_is_tried_confirmed_and_stays(tmp_path: Path, old: Bundle, new: Bundle) -> None:
    root = a_root(tmp_path, old)
    assert_boots(root, "a", "0.1.0", on_trial=False)
    update(root, new)
    with a_meter_of(root) as meter:
        said = meter.read()
        assert (said["slot"], said["version"], said["on_trial"]) == ("b", "0.2.0", True)
        assert meter.ask("confirm") == {"news": True}
    for _ in range(bundle_tries() + 1):
        assert_boots(root, "b", "0.2.0", on_trial=False)


def bundle_tries() -> int:
    """How often a new application may start, as the board's part says."""
    text = (ROOT / "boards/parts/slots.py").read_text("utf-8")
    return int(text.partition("TRIES_MAX = ")[2].split(" ")[0])


def test_kill_9_at_any_moment_of_an_update_never_boots_half_of_it(
    tmp_path: Path, old: Bundle, new: Bundle
) -> None:
    chance = random.Random(SEED)
    root = a_root(tmp_path, old)
    detail, starts = "", 0
    while detail != "restart":
        with a_meter_of(root) as meter:
            assert meter.read()["slot"] == "a"
            detail = send(meter, new, chance.randrange(1, 9))
            if detail != "restart":
                name, *args = commands(new, detail)
                meter.tell(str(name), *args)
                time.sleep(chance.random() * 0.002)  # somewhere in the write
        starts += 1
        assert starts < STARTS_MAX
    assert starts > KILLS_MIN
    assert_boots(root, "b", "0.2.0", on_trial=True)
    for file in new.files:
        assert (root / "b" / file.path).read_bytes() == file.content


@pytest.mark.parametrize("board", [IMPORT_FAILS, CRASHES, GIVES_UP], ids=["import", "crash", "end"])
def test_a_broken_application_is_given_up_after_three_tries_and_the_old_one_says_so(
    tmp_path: Path, old: Bundle, board: str
) -> None:
    root = a_root(tmp_path, old)
    update(root, a_bundle("0.2.0", board))
    for _ in range(bundle_tries()):
        with a_meter_of(root) as meter:
            assert meter.ended() == RESTART_CODE
    assert_boots(root, "a", "0.1.0", on_trial=False, fell_back=True)
    with a_meter_of(root) as meter:
        meter.read()
        meter.ask("told")
    assert_boots(root, "a", "0.1.0", fell_back=False)


def test_an_application_killed_on_every_start_of_its_trial_is_given_up(
    tmp_path: Path, old: Bundle, new: Bundle
) -> None:
    root = a_root(tmp_path, old)
    update(root, new)
    for _ in range(bundle_tries()):
        assert_boots(root, "b", "0.2.0", on_trial=True)
    assert_boots(root, "a", "0.1.0", fell_back=True)


def test_a_torn_slot_record_boots_what_the_record_before_says(
    tmp_path: Path, old: Bundle, new: Bundle
) -> None:
    root = a_root(tmp_path, old)
    update(root, new)
    with a_meter_of(root) as meter:
        meter.read()
        meter.ask("confirm")
    records = sorted(root.glob("slot.?"), key=lambda path: path.read_bytes()[2:6])
    records[-1].write_bytes(records[-1].read_bytes()[:7])
    assert_boots(root, "b", "0.2.0", on_trial=True)


def test_registers_intervals_and_frame_counters_go_on_through_an_update_and_back(
    tmp_path: Path, old: Bundle, new: Bundle
) -> None:
    root = a_root(tmp_path, old)
    password = settings()["password"].encode()
    household = [(100 + 7 * hour % 50, hour % 9) for hour in range(HOURS)]
    lines = [f"{NOON_S + 3600 * h},{i},{e}\n" for h, (i, e) in enumerate(household)]
    (root / "household.csv").write_text("".join(lines))
    with FakeGateway(METER_ID, METER_KEY, password) as gateway:
        config = settings(gateway_port=gateway.port, household="household.csv", speed=30_000)
        (root / "config.json").write_text(json.dumps(config))
        for quarters, slot, following in ((16, "a", new), (48, "b", old), (96, "a", None)):
            with a_meter_of(root) as meter:
                said = meter.read()
                assert said["slot"] == slot
                if said["on_trial"]:
                    meter.ask("confirm")
                meter.tell("meter")
                assert gateway.wait_for(quarters, WITHIN_S)
            if following:
                update(root, following)
    assert gateway.conflicts == []
    assert gateway.faults == []
    assert list(gateway.intervals)[:96] == list(range(1, 97))
    for channel in (0, 1):
        total = sum(deltas[channel] for _, deltas, _ in gateway.intervals.values())
        assert total == sum(hour[channel] for hour in household)
    assert all(quality == 0 for _, _, quality in gateway.intervals.values())
