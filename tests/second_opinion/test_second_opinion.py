"""The engine and the naive statement agree on random households, to the grosz and to the Wh."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.second_opinion import engine, naive
from tests.second_opinion.households import Household, random_household

HOUSEHOLDS = 5_000
OF_ONE_TEST = 50


@pytest.mark.parametrize("first", range(0, HOUSEHOLDS, OF_ONE_TEST))
def test_every_line_deposit_and_storage_is_what_a_second_opinion_says(first: int) -> None:
    for seed in range(first, first + OF_ONE_TEST):
        drawn, rates, rcem = random_household(seed)
        for household, known in cases(seed, drawn):
            expected = naive.run(household, rates, rcem, known)
            account = engine.settle(household, rates, rcem, known)
            for theirs, ours in zip(expected, engine.results_of(account), strict=True):
                assert_alike(f"seed {seed}, {ours['month']}", theirs, ours)
            sums = engine.sums_of(account)
            theirs = {name: sum(result[name] for result in expected) for name in sums}
            assert_alike(f"seed {seed}, sums", theirs, sums)


def cases(seed: int, household: Household) -> Iterator[tuple[Household, list[str]]]:
    """The household, and the day with whose knowledge each of its invoices is settled."""
    known: list[str] = [metered["known_on"] for metered in household["invoices"]]
    policies = household["policies"]
    if policies.get("rcem_correction") == "settle_again":
        # The past is settled again: the first few invoices, and all, by what the newest knows.
        count = Random(seed).randint(1, len(known) - 1)
        yield household, [known[count - 1]] * count
        known = [known[-1]] * len(known)
    yield household, known
    if household["scheme"] == "net_metering" and household["group"] != "G11":
        # Without rounding the lines tell to the Wh which zones the storage has covered.
        yield household | {"policies": policies | {"kwh_rounding": "exact"}}, known


def assert_alike(where: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Tells both sides of all that differs."""
    differences = [
        f"{name}: engine {told(ours[name])}, second opinion {told(theirs[name])}"
        for name in ours
        if comparable(ours[name]) != comparable(theirs[name])
    ]
    assert not differences, "\n".join([where, *differences])


def comparable(value: Any) -> Any:
    """Lines without the price of no energy, which nobody pays; all else as it is."""
    if not isinstance(value, list):
        return value
    return [(*line[:3], line[3] if line[2] else None, *line[4:]) for line in value]


def told(value: Any) -> str:
    """A value as text, lines one below the other."""
    if not isinstance(value, list):
        return str(value)
    return "\n  ".join(["", *(" ".join(map(str, line)) for line in value)])
