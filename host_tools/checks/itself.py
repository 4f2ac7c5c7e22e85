"""Checks of the board itself: who it is, what runs on it, its memory, its clock."""

from __future__ import annotations

import math
from binascii import crc32

from host_tools.checks.case import (
    CONFIG_DAMAGED,
    NO_CONFIG,
    NVS_NAMES,
    SECRET_NAMES,
    Case,
    Facts,
)
from host_tools.checks.checked import Check, Checked

# ------------------------------------------------------------------ who it is

IDENTITY = Check(
    "identity",
    "meter id, meter key, password and key epoch are on the board, in NVS or in config.json",
    "all four are there, and config.json can be read",
    {
        "not_paired": "pair it",
        "half": "`repair --by-cable`; if its meter id is gone, `pair --new-identity`",
        "config_damaged": "`repair --by-cable`, which writes config.json anew",
    },
)


def identity(case: Case) -> Checked:
    """Whether it is a meter; nothing secret is looked at, only whether it is there."""
    facts = case.facts
    if facts.config_state == CONFIG_DAMAGED:
        return IDENTITY.bad("config_damaged", "config.json is no JSON object")
    in_nvs = [name for name in NVS_NAMES if name in facts.nvs]
    in_file = [name for name in (*facts.config, *facts.config_others) if name in OF_IDENTITY]
    if facts.config_state == NO_CONFIG or not (in_nvs or in_file):
        if in_nvs:
            return IDENTITY.bad("half", "an identity in NVS, no config.json")
        return IDENTITY.bad("not_paired", "no config.json, no identity")
    where = "NVS" if facts.nvs_epoch >= 0 else "config.json"
    found = in_nvs if facts.nvs_epoch >= 0 else in_file
    if len(found) < len(NVS_NAMES):
        return IDENTITY.bad("half", f"of an identity {where} has {', '.join(found) or 'nothing'}")
    epoch = facts.key_epoch
    return IDENTITY.good(
        f"meter {facts.meter_id}, key epoch {epoch}, in {where}",
        meter_id=facts.meter_id,
        key_epoch=epoch,
    )


OF_IDENTITY = ("meter_id", "key_epoch", *SECRET_NAMES)

# ------------------------------------------------------------------ what runs on it

MICROPYTHON_MIN, MICROPYTHON_PCNT_MIN = (1, 23), (1, 26)
VERSIONS = Check(
    "versions",
    "MicroPython and the application are new enough, and no update has failed",
    "MicroPython is 1.23 or newer (1.26 where the board counts by PCNT), and a slot is whole",
    {
        "no_application": "flash it: there is no whole application on it",
        "old_micropython": "flash it with MicroPython 1.23 or newer",
        "no_pcnt": "flash it with MicroPython 1.26 or newer: until then it counts by interrupt",
        "fell_back": "see at the gateway why (`update`), then roll the update out again",
        "on_trial": "wait for the first receipt, which confirms the update",
    },
)
_RECORD_BYTES = 14


def versions(case: Case) -> Checked:
    """What runs, and whether an update over the air is under way."""
    facts = case.facts
    slot, trial, fell_back = running_slot(facts)
    release = ".".join(str(part) for part in facts.release)
    told = f"MicroPython {release}"
    if facts.release[:2] < MICROPYTHON_MIN:
        return VERSIONS.bad("old_micropython", told, micropython=release)
    if slot not in facts.slots:
        return VERSIONS.bad("no_application", f"{told}, no application", micropython=release)
    told += f", application {facts.slots[slot]} in slot {slot}, board {facts.board or 'unknown'}"
    values = {"micropython": release, "application": facts.slots[slot], "slot": slot}
    profile = facts.profile
    counts = profile is not None and profile.counts_by == "pcnt"
    if counts and facts.release[:2] < MICROPYTHON_PCNT_MIN:
        return VERSIONS.bad("no_pcnt", told, **values)
    if fell_back:
        return VERSIONS.bad("fell_back", f"{told}; an update fell back to it", **values)
    if trial:
        return VERSIONS.unknown("on_trial", f"{told}, on trial", **values)
    return VERSIONS.good(told, **values)


def running_slot(facts: Facts) -> tuple[str, bool, bool]:
    """The slot that starts, whether on trial, and whether an update fell back (boards/start.py)."""
    whole = [
        record
        for record in facts.records
        if len(record) == _RECORD_BYTES
        and record[:2] == b"S1"
        and crc32(record[:10]).to_bytes(4, "big") == record[10:]
    ]
    if not whole:
        return "b" if "b" in facts.slots and "a" not in facts.slots else "a", False, False
    newest = max(whole)
    confirmed, trial, tries, fell_back = chr(newest[6]), chr(newest[7]), newest[8], newest[9]
    if trial != "-" and tries:
        return trial, True, False
    return confirmed, False, fell_back == 1 or trial != "-"


# ------------------------------------------------------------------ its memory

HEAP_BYTES_MIN = 24 * 1024  # of MicroPython, beside the loaded application
IDF_BYTES_MIN = 24 * 1024  # in one piece: buffers of TLS. Neither was measured on a chip
HEAP = Check(
    "heap",
    "memory is left beside the application, for MicroPython and, in one piece, for TLS",
    f"{HEAP_BYTES_MIN // 1024} KiB and {IDF_BYTES_MIN // 1024} KiB or more",
    {"short": "press reset (EN) and run it again; if it stays so, use a module with PSRAM"},
)


def heap(case: Case) -> Checked:
    """Free memory while the meter's program stands still."""
    free, idf_free = case.facts.heap_free, case.facts.idf_free
    told = f"{free // 1024} KiB free"
    if idf_free >= 0:
        told += f", {idf_free // 1024} KiB in one piece for TLS"
    values = {"heap_free": free, "idf_free": idf_free if idf_free >= 0 else None}
    if free < HEAP_BYTES_MIN or 0 <= idf_free < IDF_BYTES_MIN:
        return HEAP.bad("short", told, **values)
    return HEAP.good(told, **values)


# ------------------------------------------------------------------ its clock

EPOCH_2000_S = 946_684_800
KNOWN_S_MIN = 1_577_836_800  # 2020-01-01: before it a chip's clock was never set
CLOCK_GOOD_S = 5  # from here on a receipt sets it at once
# The chip's clock is not what the meter shows: receipts slew that by whole seconds beside it. A
# crystal of 20 ppm is so far off after a year without a reset.
CLOCK_SLEWED_S_MAX = 630
CLOCK = Check(
    "clock",
    "the chip's clock against this computer's, whose own is taken to be right",
    f"at most {CLOCK_GOOD_S} s apart",
    {
        "not_set": "let it reach its gateway: the first receipt sets its clock",
        "slewed": "nothing, if its gateway hears it: receipts keep the meter's own time right"
        " beside this clock",
        "wrong": "see that this computer's clock is right; then let the meter reach its gateway",
    },
)
_NOW = "import json,time\nprint(json.dumps(int(time.time())))"


def clock(case: Case) -> Checked:
    """Seconds of difference; both clocks are read in whole seconds."""
    before_s = case.now_s()
    chip_s = int(case.ask(_NOW, 0)) + (EPOCH_2000_S if case.facts.epoch_year == 2000 else 0)
    now_s = (before_s + case.now_s()) / 2
    if chip_s < KNOWN_S_MIN:
        return CLOCK.bad("not_set", "it does not know the time", offset_s=None)
    offset_s = chip_s - math.floor(now_s)
    ahead = "ahead" if offset_s > 0 else "behind"
    told = f"{abs(offset_s)} s {ahead}" if offset_s else "the same second"
    if abs(offset_s) <= CLOCK_GOOD_S:
        return CLOCK.good(told, offset_s=offset_s)
    if abs(offset_s) <= CLOCK_SLEWED_S_MAX:
        return CLOCK.unknown("slewed", told, offset_s=offset_s)
    return CLOCK.bad("wrong", told, offset_s=offset_s)
