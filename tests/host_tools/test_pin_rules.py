"""Which pins may serve what: shipped ones may, forbidden ones are refused by their own reason."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.parts.ct_input import ADC1_PINS
from host_tools import pin_rules
from host_tools.board_profiles import FUNCTIONS, BoardProfile, ProfileDamaged, profile, profiles
from host_tools.pin_rules import (
    ABSENT,
    ADC2,
    HIDDEN,
    NO_ADC,
    NO_COUNTER,
    PHY,
    SETTLEMENT,
    TAKEN,
    TWICE,
    UNITS,
    PinsRefused,
    check,
    chips,
    pins_for,
    reasons,
    require,
    with_pins,
)
from tests.support.a_bench import run

BOARDS = list(profiles().values())
EXAMPLE = profile("esp32_devkit")


def moved(board: BoardProfile, function: str, pin: int | None) -> BoardProfile:
    return replace(board, pins=MappingProxyType({**board.pins, function: pin}))


def rules_against(board: BoardProfile, function: str, pin: int) -> set[str]:
    return {rule for rule, _ in reasons(board, function, pin)}


def forbidden() -> Iterator[tuple[BoardProfile, str, int, str]]:
    """Every pin that any rule of any board's chip forbids for anything, with that rule."""
    for board in BOARDS:
        for rule in chips()[board.chip].rules:
            if rule.when and not getattr(board, rule.when):
                continue
            for function, use in FUNCTIONS.items():
                if use in rule.uses:
                    yield from ((board, function, pin, rule.name) for pin in rule.pins)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_pin_of_every_shipped_board_may_be_what_it_is(board: BoardProfile) -> None:
    require(board)
    for function, pin in board.pins.items():
        if pin is not None:
            assert pin in pins_for(board, function)


def test_every_forbidden_pin_is_refused_by_the_rule_that_forbids_it() -> None:
    found = list(forbidden())
    assert len(found) > 300
    for board, function, pin, rule in found:
        assert rule in rules_against(board, function, pin), (board.name, function, pin)
        assert rule in {refusal.rule for refusal in check(moved(board, function, pin))}
        assert pin not in pins_for(board, function)


@settings(deadline=None)  # a busy computer is no fault
@given(
    board=st.sampled_from(BOARDS),
    function=st.sampled_from(sorted(FUNCTIONS)),
    pin=st.integers(0, 61),
)
def test_a_pin_would_do_exactly_when_nothing_is_against_it(
    board: BoardProfile, function: str, pin: int
) -> None:
    tried = moved(board, function, pin)
    refused = [refusal for refusal in check(tried) if refusal.function == function]
    assert (pin in pins_for(board, function)) is not bool(refused)
    for refusal in refused:
        assert refusal.pin == pin
        assert refusal.reason
        assert set(refusal.would_do) == set(pins_for(board, function))
        for other in refusal.would_do:
            assert not [r for r in check(moved(board, function, other)) if r.function == function]


@pytest.mark.parametrize(
    ("board", "function", "pin", "rule"),
    [
        ("esp32_devkit", "import", 6, "flash"),
        ("esp32_devkit", "import", 16, "psram"),
        ("esp32_devkit", "import", 0, "boot_mode"),
        ("esp32_devkit", "import", 2, "boot_mode"),
        ("esp32_devkit", "import", 12, "flash_voltage"),
        ("esp32_devkit", "import", 15, "strapping"),
        ("esp32_devkit", "import", 3, "console"),
        ("esp32_devkit", "import", 34, "no_pull_up"),
        ("esp32_devkit", "supply", 35, "no_pull_up"),
        ("esp32_devkit", "import", 36, "glitch"),
        ("esp32_devkit", "export", 39, "glitch"),
        ("esp32_devkit", "import", 26, TWICE),
        ("esp32_devkit", "import", 24, ABSENT),
        ("esp32_devkit", "import", 40, ABSENT),
        ("esp32_devkit", "import", 37, HIDDEN),
        ("esp32_devkit", "current", 14, ADC2),
        ("esp32_devkit", "voltage", 18, NO_ADC),
        ("esp32s3_devkit", "import", 35, "psram"),
        ("esp32s3_devkit", "import", 19, "usb"),
        ("esp32s3_devkit", "import", 45, "flash_voltage"),
        ("esp32s3_devkit", "import", 48, TAKEN),
        ("esp32c3_supermini", "import", 9, "boot_mode"),
        ("esp32c3_supermini", "import", 11, "flash_supply"),
        ("esp32c3_supermini", "voltage", 5, ADC2),
        ("esp32c6_devkit", "import", 4, "strapping"),
        ("esp32c6_devkit", "import", 25, "flash"),
        ("esp32c6_devkit", "import", 14, HIDDEN),
        ("wt32_eth01", "import", 27, "rmii"),
        ("wt32_eth01", "import", 16, PHY),
        ("wt32_eth01", "import", 0, PHY),
        ("wt32_eth01", "supply", 17, TAKEN),
        ("olimex_esp32_poe", "import", 12, PHY),
        ("olimex_esp32_poe", "import", 25, "rmii"),
        ("olimex_esp32_poe", "current", 35, TAKEN),
    ],
)
def test_each_kind_of_mistake_has_its_own_reason(
    board: str, function: str, pin: int, rule: str
) -> None:
    assert rule in rules_against(profile(board), function, pin)


def test_a_current_transformer_may_sit_where_a_pulse_input_may_not() -> None:
    for pin in (34, 35, 36, 39):
        assert rules_against(EXAMPLE, "current", pin) == set()
        assert rules_against(EXAMPLE, "import", pin)


def test_psram_and_ethernet_pins_are_free_on_a_board_without_either() -> None:
    assert rules_against(replace(EXAMPLE, psram=False), "import", 16) == set()
    assert rules_against(EXAMPLE, "import", 21) == set()
    assert "rmii" in rules_against(
        replace(EXAMPLE, wired=profile("wt32_eth01").wired), "import", 21
    )


def test_a_refusal_says_what_is_wrong_where_and_which_pins_would_do() -> None:
    with pytest.raises(PinsRefused) as refused:
        require(moved(EXAMPLE, "import", 6))
    text = str(refused.value)
    assert text.startswith("import on GPIO6: the flash chip is wired to it")
    assert text.endswith("these would do: 4, 13, 14, 18, 19, 21, 22, 23, 25")
    assert [refusal.rule for refusal in refused.value.refusals] == ["flash"]


def test_one_pin_for_two_things_is_told_of_both() -> None:
    twice = [r for r in check(moved(EXAMPLE, "import", 26)) if r.rule == TWICE]
    assert [refusal.function for refusal in twice] == ["import", "export"]
    assert "26" not in str(twice[0]).rpartition("do:")[2].split(", ")


def test_a_chip_without_a_counter_counts_by_interrupt_and_that_is_not_for_settlement() -> None:
    c3 = profile("esp32c3_supermini")
    assert [r.rule for r in check(replace(c3, counts_by="pcnt"))] == [NO_COUNTER]
    assert [r.rule for r in check(replace(c3, settlement=True))] == [SETTLEMENT]


def test_as_many_pulse_inputs_as_the_chip_counts_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for units, expected in ((3, []), (2, []), (1, [UNITS])):
        chip = replace(chips()["esp32"], pcnt_units=units)
        monkeypatch.setattr(pin_rules, "chips", lambda chip=chip: {"esp32": chip})
        assert [refusal.rule for refusal in check(EXAMPLE)] == expected


def test_gpio_0_is_a_pin_like_others_where_it_counts() -> None:
    zero = moved(moved(EXAMPLE, "import", 0), "export", None)
    assert {refusal.rule for refusal in check(zero)} == {"boot_mode"}


def test_the_converter_s_pins_are_those_of_the_firmware() -> None:
    assert set(ADC1_PINS) <= chips()["esp32"].adc1
    assert chips()["esp32"].adc1 - set(ADC1_PINS) == {37, 38}, "which no module brings out"


def test_the_data_have_the_chips_of_all_boards_and_a_reason_for_every_rule() -> None:
    assert {board.chip for board in BOARDS} == set(chips())
    for chip in chips().values():
        names = [rule.name for rule in chip.rules]
        assert {"flash", "boot_mode", "console"} <= set(names)
        assert len({rule.reason for rule in chip.rules}) == len(names)
        assert not chip.adc1 & chip.adc2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('label = "ESP32"', ""),
        ('"6-11"', '"60-61"'),
        ('uses = ["pulse"]', 'uses = ["juggling"]'),
        ('when = "psram"', 'when = "moonlight"'),
        ('pins = ["6-11"]', "pins = []"),
        ("pcnt_units = 8", "pcnt_units ="),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path: Path, old: str, new: str) -> None:
    text = pin_rules.CHIPS.read_text()
    assert old in text
    path = tmp_path / "chips.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ProfileDamaged, match=r"chips\.toml"):
        chips(path)


def test_the_command_shows_a_board_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pins", "wt32_eth01") == 0
    said = capsys.readouterr().out
    assert "import   GPIO32  ok  of 4, 32" in said
    assert "eth_power GPIO16" in said
    assert "refused" not in said


def test_the_command_tries_other_pins_and_says_what_is_against_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("pins", "esp32_devkit", "import=36", "supply=-") == 1
    said = capsys.readouterr().out
    assert "import   GPIO36  no" in said
    assert "supply   -" in said
    assert said.count("refused: import on GPIO36") == 2


@pytest.mark.parametrize(
    "arguments",
    [["none"], ["esp32_devkit", "lamp=3"], ["esp32_devkit", "import=x"], ["esp32_devkit", "3"]],
)
def test_a_wrong_ask_ends_with_2_and_says_what_to_write(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run("pins", *arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("host_tools: bad_input: ")
    assert said.out == ""


def test_a_pin_may_be_taken_away() -> None:
    assert with_pins(EXAMPLE, ["supply=-", "tamper=14"]).pins["supply"] is None
    assert with_pins(EXAMPLE, ["supply=-", "tamper=14"]).pins["tamper"] == 14
