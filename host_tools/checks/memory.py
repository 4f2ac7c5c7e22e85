"""Checks of what the meter remembers: registers and intervals, receipts, frame counters, wear."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from host_tools.checks.case import Case
from host_tools.checks.checked import Check, Checked
from host_tools.checks.itself import KNOWN_S_MIN
from host_tools.checks.rings import (
    BLOCKS_MIN,
    JOURNAL,
    Interval,
    Rings,
    keystore,
    newest_interval,
    registers_wh,
)
from wire import obis

_NO_FLASH = {
    "no_partition": "flash it: it has no partition `meter`",
    "too_small": f"flash it: its partition `meter` has fewer than {BLOCKS_MIN} blocks",
}
_EMPTY = "let it run for a capture period, and run it again"

# ------------------------------------------------------------------ registers and intervals

# One block may be unreadable in each ring because a power cut interrupted its erase.
UNREADABLE_BLOCKS_MAX = 1
AHEAD_S_MAX = 86_400  # what a gateway refuses as start_ahead
STALE_PERIODS = 2
JOURNAL_CHECK = Check(
    "journal",
    "registers and newest interval can be read back out of the meter's flash",
    "every ring has a readable newest record, and the newest interval is not older than two"
    " capture periods",
    {
        **_NO_FLASH,
        "empty": _EMPTY,
        "damaged": "write down the reading shown here, and replace the board soon",
        "state_lost": "write down the reading shown here: the meter went on from its last interval",
        "ahead": "correct the clock (`clock`): the gateway refuses intervals a day ahead",
        "stale": _EMPTY,
    },
)


def journal(case: Case, rings: Rings) -> Checked:
    """Registers at the last save, and the newest interval."""
    imp_per_kwh = case.facts.config.get("imp_per_kwh")
    registers = registers_wh(rings, imp_per_kwh if type(imp_per_kwh) is int else None)
    named = {obis.NAMES.get(channel, str(channel)): wh for channel, wh in registers.items()}
    last = newest_interval(rings[JOURNAL])
    told = ", ".join(f"{name} {wh / 1000:.3f} kWh" for name, wh in named.items()) or "no registers"
    told += f"; {_told(last)}"
    values = {
        "registers_wh": named,
        "interval": last.number if last else 0,
        "start_s": last.start_s if last else None,
        "unreadable_blocks": sum(ring.damaged_blocks for ring in rings.values()),
    }
    worn = [name for name, r in rings.items() if r.damaged_blocks > UNREADABLE_BLOCKS_MAX]
    if worn:
        return JOURNAL_CHECK.bad("damaged", f"{told}; damaged: {', '.join(worn)}", **values)
    if last is None:
        return JOURNAL_CHECK.unknown("empty", told, **values)
    if not rings["state"].newest:
        return JOURNAL_CHECK.bad("state_lost", told, **values)
    if last.start_s >= KNOWN_S_MIN:
        since_s = case.now_s() - (last.start_s + last.capture_period_s)
        if since_s < -AHEAD_S_MAX:
            return JOURNAL_CHECK.bad("ahead", told, **values)
        if since_s > STALE_PERIODS * last.capture_period_s:
            return JOURNAL_CHECK.unknown("stale", told, **values)
    return JOURNAL_CHECK.good(told, **values)


def _told(last: Interval | None) -> str:
    if last is None:
        return "no interval yet"
    if last.start_s < KNOWN_S_MIN:
        return f"newest interval {last.number}, not dated yet"
    start = datetime.fromtimestamp(last.start_s, UTC)
    return f"newest interval {last.number} from {start:%Y-%m-%d %H:%M} UTC"


# ------------------------------------------------------------------ receipts

UNSETTLED_MAX = 192  # two days of quarters of an hour
RECEIPTS = Check(
    "receipts",
    "how many intervals wait for the gateway's receipt",
    f"at most {UNSETTLED_MAX}",
    {
        **_NO_FLASH,
        "empty": _EMPTY,
        "waiting": "look at `uplink` and `registered`: the gateway does not receipt them",
        "overwritten": "look at `uplink` and `registered`; intervals without a receipt are lost for"
        " good, the registers are not",
    },
)


def receipts(_: Case, rings: Rings) -> Checked:
    """From the newest record of what is settled, which every frame of the gateway renews."""
    ring, kept = rings[JOURNAL], keystore(rings["keystore"])
    if not ring.newest or kept is None:
        return RECEIPTS.unknown("empty", "no interval yet")
    lost = max(0, ring.oldest - 1 - kept.settled)
    waiting = max(0, ring.newest - kept.settled - lost)
    values = {"waiting": waiting, "lost": lost, "settled": kept.settled}
    told = f"{waiting} of {ring.newest} intervals wait"
    if lost:
        return RECEIPTS.bad("overwritten", f"{told}, {lost} were overwritten", **values)
    if waiting > UNSETTLED_MAX:
        return RECEIPTS.bad("waiting", told, **values)
    return RECEIPTS.good(told, **values)


# ------------------------------------------------------------------ frame counters

FRAME_COUNTER_MAX = (1 << 64) - 1
COUNTERS_LEFT_MIN = 1 << 32
COUNTERS = Check(
    "counters",
    "the record of reserved frame counters is there: without it the meter must not seal",
    "it can be read, and counters are left",
    {
        **_NO_FLASH,
        "empty": "start the meter (EN), and run it again",
        "lost": "repair it by cable: it gets a new key, under which no counter was used",
        "used_up": "repair it by cable: it gets a new key, under which no counter was used",
    },
)


def counters(_: Case, rings: Rings) -> Checked:
    """What was reserved, of the key epoch that was in use last."""
    kept = keystore(rings["keystore"])
    if kept is None:
        if any(ring.newest for name, ring in rings.items() if name != "keystore"):
            return COUNTERS.bad("lost", "the meter has lived, and its used counters are not known")
        return COUNTERS.unknown("empty", "it has never started")
    told = (
        f"key epoch {kept.key_epoch}, frame counters below {kept.reserved} reserved,"
        f" started {kept.starts} times"
    )
    values = {"key_epoch": kept.key_epoch, "reserved": kept.reserved, "starts": kept.starts}
    if kept.reserved > FRAME_COUNTER_MAX - COUNTERS_LEFT_MIN:
        return COUNTERS.bad("used_up", told, **values)
    return COUNTERS.good(told, **values)


# ------------------------------------------------------------------ wear

CYCLES = 100_000  # of a block, as makers of NOR flash promise
WORN_PERCENT_MAX = 80
WEAR = Check(
    "wear",
    "how often the most used ring has erased each of its blocks, of the cycles that flash stands",
    f"below {WORN_PERCENT_MAX} % of {CYCLES}",
    {
        **_NO_FLASH,
        "worn": "plan to replace the board within the year",
    },
)


def wear(_: Case, rings: Rings) -> Checked:
    """Counted from the sequences: a block is erased once for as many records as it holds."""
    share = {name: -(-ring.erases // ring.blocks) for name, ring in rings.items()}
    name = max(share, key=lambda each: share[each])
    erases = sum(ring.erases for ring in rings.values())
    told = f"{erases} erases; {name}: {share[name]} for each block, of {CYCLES}"
    values = {"erases": erases, "ring": name, "block_erases": share[name]}
    if 100 * share[name] >= WORN_PERCENT_MAX * CYCLES:
        return WEAR.bad("worn", told, **values)
    return WEAR.good(told, **values)


Judge = Callable[[Case, Rings], Checked]
OF_RINGS: tuple[tuple[Check, Judge], ...] = (
    (JOURNAL_CHECK, journal),
    (RECEIPTS, receipts),
    (COUNTERS, counters),
    (WEAR, wear),
)


def without(check: Check, rings: Rings | None) -> Checked | None:
    """What any of these checks says where there are no rings to read; None: there are."""
    if rings is None:
        return check.bad("no_partition", "no partition `meter`")
    if not rings:
        return check.bad("too_small", "its partition `meter` is too small")
    return None
