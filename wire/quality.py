"""Quality of an interval: one byte, a grade in the low two bits and flags above."""

MEASURED = 0
ESTIMATED = 1
EDITED = 2
MISSING = 3

CLOCK_UNSYNCED = 4
GAP = 8
ESTIMATED_VA = 16
IMPLAUSIBLE = 32

GRADES = ("measured", "estimated", "edited", "missing")
FLAGS = {
    CLOCK_UNSYNCED: "clock_unsynced",
    GAP: "gap",
    ESTIMATED_VA: "estimated_va",
    IMPLAUSIBLE: "implausible",
}
QUALITY_MAX = 63


def grade(quality: int) -> int:
    """MEASURED, ESTIMATED, EDITED or MISSING."""
    return quality & 3


def describe(quality: int) -> str:
    """For people: `measured`, or `estimated+gap`."""
    names = [GRADES[grade(quality)]]
    for flag in sorted(FLAGS):
        if quality & flag:
            names.append(FLAGS[flag])
    return "+".join(names)
