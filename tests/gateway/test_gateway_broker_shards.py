"""Shards split the meters between gateways: each is exactly one gateway's."""

from __future__ import annotations

import pytest

from gateway.doors.broker import ALL_FILTERS, filters_of
from gateway.errors import ConfigError
from gateway.shards import shards
from wire import topics


def test_two_halves_have_every_meter_and_none_twice() -> None:
    low, high = shards.parse("00-7f"), shards.parse("80-ff")
    assert not low & high
    assert low | high == shards.parse("00-ff")
    for number in range(500):
        meter_id = number.to_bytes(8, "big")
        assert shards.is_ours(low, meter_id) != shards.is_ours(high, meter_id)
        assert shards.is_ours(shards.parse("00-ff"), meter_id)


def test_single_shards_and_ranges_may_be_mixed_and_overlap() -> None:
    assert shards.parse("00-02, 01-03,ff") == {"00", "01", "02", "03", "ff"}


@pytest.mark.parametrize("text", ["", "0", "1g", "7f-00", "00-7f-ff", "00,,01", "AA", "100", "-"])
def test_what_names_no_shards_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="00-7f,a0"):
        shards.parse(text)


def test_a_broker_is_asked_for_these_shards_and_never_for_a_share() -> None:
    assert filters_of(shards.parse("0a,ff")) == [
        "m/0a/+/up", "m/0a/+/gone", "m/ff/+/up", "m/ff/+/gone",
    ]  # fmt: skip
    assert filters_of(shards.parse("00-ff")) == ["m/+/+/up", "m/+/+/gone"]
    assert len(filters_of(shards.parse("00-fe"))) == 2 * 255
    assert set(filters_of(shards.parse("00-fe"))) < ALL_FILTERS
    assert not any(name.startswith("$share") for name in ALL_FILTERS)


def test_the_filters_of_all_shards_cover_what_every_meter_publishes_to() -> None:
    for number in range(100):
        up = topics.up(number.to_bytes(8, "big"))
        _, shard, _, way = up.split("/")
        assert f"m/{shard}/+/{way}" in ALL_FILTERS
