"""The longer torture of a rekey: two cuts in a row, at every flash operation, on CPython."""

from tests.support.a_rekey import check, work
from tests.support.a_talk import BLOCKS
from tests.support.torture import torture


def test_a_rekey_ends_in_talking_when_power_goes_twice_at_any_flash_operation() -> None:
    tried = torture(work, check, 6, BLOCKS, 1024, more=3, again=6)
    assert tried.cuts > 1000
