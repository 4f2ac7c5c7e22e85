"""Every disputed reading of the law has a name, and a contract picks among the names alone."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from settlement.rules.errors import BadPolicy
from settlement.rules.policies import DEFAULTS, VALUES, Policies, policies_of

EVERY_VALUE = [(name, value) for name, values in VALUES.items() for value in values]


def test_the_first_value_of_every_policy_is_its_default() -> None:
    assert asdict(DEFAULTS) == {name: values[0] for name, values in VALUES.items()}
    assert policies_of({}) == DEFAULTS == Policies()


def test_every_policy_has_at_least_two_readings_of_different_names() -> None:
    for values in VALUES.values():
        assert len(set(values)) == len(values) >= 2


@pytest.mark.parametrize(("name", "value"), EVERY_VALUE)
def test_a_policy_is_chosen_by_name_and_the_others_stay(name: str, value: str) -> None:
    assert asdict(policies_of({name: value})) == asdict(DEFAULTS) | {name: value}


def test_an_unknown_policy_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(BadPolicy, match=r"'rounding' is not known.*cap_scope.*rebate_trade_fee"):
        policies_of({"rounding": "half_up"})


@pytest.mark.parametrize("value", ["", "HALF_UP", "up", "quarter"])
def test_an_unknown_value_is_refused_with_the_values_there_are(value: str) -> None:
    with pytest.raises(BadPolicy, match=r"choose one of half_up, down, carry, exact"):
        policies_of({"kwh_rounding": value})


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(BadPolicy) as refusal:
        policies_of({"x" * 1000: "y"})
    assert "x" * 41 not in str(refusal.value)
