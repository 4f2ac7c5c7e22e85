"""The slot loader: which of two applications to boot. Never updated over the air."""

# On the device main.py is `import start; start.boot()`, and beside it lie this file, board.txt, the
# slots a and b, and slot.0 and slot.1: two records written in turn, of which the newest whole one
# counts. A cut at any byte of a record leaves the one before.
# A record: b"S1", turn u32, slot confirmed, slot on trial, tries left u8, fell back u8, CRC-32.

import gc
import sys
from binascii import crc32

CRASH_PAUSE_S = 10  # before the only application there is starts again
WATCHDOG_MS = 30_000  # firmware.board's; this file imports nothing of the slots
RESTART_CODE = 75  # boards.unix's: sysexits.h, EX_TEMPFAIL; where no chip is to be reset
COLLECT_BYTES = 4096  # how much may be allocated between two collections: fewer holes in the heap
NO_SLOT = "-"
WHOLE = "/WHOLE"  # this file in a slot says that the slot was verified to its last byte

running = NO_SLOT  # the slot that boot() chose


def boot() -> None:
    """Run the application of the slot whose turn it is; does not come back."""
    global running
    root = __file__.rpartition("/")[0]
    sys.modules["boards.start"] = sys.modules[__name__]  # the slots' code finds this very loader
    gc.threshold(COLLECT_BYTES)
    running, on_trial = choose(root)
    sys.path.insert(0, root + "/" + running)
    _watch()
    code = _run(root)
    if code is not None and not (code and on_trial):
        raise SystemExit(code)
    if not on_trial:
        import time

        time.sleep(CRASH_PAUSE_S)
    _restart()


def choose(root: str) -> "tuple[str, bool]":
    """The slot to boot, and whether on trial: then one of its tries was spent, durably."""
    record = read_record(root)
    if record is None:  # as it left the factory
        return ("b" if _has(root + "/b" + WHOLE) and not _has(root + "/a" + WHOLE) else "a"), False
    confirmed, trial, tries, _ = record
    if trial != NO_SLOT:
        try:
            if tries:
                write_record(root, confirmed, trial, tries - 1, 0)
                return trial, True
            write_record(root, confirmed, NO_SLOT, 0, 1)
        except OSError as error:  # a try that cannot be spent is not made
            _tell(error)
    return confirmed, False


def read_record(root: str) -> "tuple[str, str, int, int] | None":
    """Slot confirmed, slot on trial or NO_SLOT, tries left, 1 if it fell back; None: no record."""
    newest = _newest(root)
    if newest is None:
        return None
    return chr(newest[6]), chr(newest[7]), newest[8], newest[9]


def write_record(root: str, confirmed: str, trial: str, tries: int, fell_back: int) -> None:
    """Make this the record that counts. Raises OSError; then the one before still counts."""
    newest = _newest(root)
    turn = 1 + int.from_bytes(newest[2:6], "big") if newest else 1
    record = b"S1" + turn.to_bytes(4, "big") + (confirmed + trial).encode()
    record += bytes((tries, fell_back))
    with open(root + "/slot." + str(turn & 1), "wb") as file:
        file.write(record + crc32(record).to_bytes(4, "big"))


def _newest(root: str) -> "bytes | None":
    found = b""
    for name in "01":
        try:
            with open(root + "/slot." + name, "rb") as file:
                record = file.read()
        except OSError:
            continue
        whole = record[:2] == b"S1" and crc32(record[:10]).to_bytes(4, "big") == record[10:]
        if whole and record > found:  # the turn decides: it comes first, high byte first
            found = record
    return found or None


def _has(path: str) -> bool:
    try:
        open(path).close()
    except OSError:
        return False
    return True


def _run(root: str) -> "int | None":
    """The exit code of the board's main([root]); None when it failed."""
    try:
        with open(root + "/board.txt") as file:
            name = file.read().strip()
        return __import__(name, None, None, ("main",)).main([root]) or 0
    except Exception as error:
        _tell(error)
        return None


def _tell(error: Exception) -> None:
    getattr(sys, "print_exception", print)(error, sys.stderr)  # MicroPython: the traceback


def _watch() -> None:
    """A hang while importing is a failed boot, too."""
    try:
        from machine import WDT
    except ImportError:
        return
    WDT(timeout=WATCHDOG_MS)


def _restart() -> None:
    try:
        from machine import reset
    except ImportError:
        raise SystemExit(RESTART_CODE)
    reset()
