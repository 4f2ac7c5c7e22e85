"""Quality of an interval: what people read, and what the grade is."""

from wire import quality


def test_the_grade_is_told_from_the_flags():
    assert quality.grade(quality.MEASURED | quality.GAP) == quality.MEASURED
    assert quality.grade(quality.MISSING | quality.CLOCK_UNSYNCED) == quality.MISSING


def test_every_grade_and_flag_has_its_word():
    assert [quality.describe(n) for n in range(4)] == list(quality.GRADES)
    assert quality.describe(quality.ESTIMATED | quality.GAP) == "estimated+gap"
    assert quality.describe(quality.QUALITY_MAX) == (
        "missing+clock_unsynced+gap+estimated_va+implausible"
    )
