"""Press ten times, and ten are counted; a kettle, and power has its sign: doctor and a hand."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from host_tools.checks import current, pulses
from host_tools.checks.case import Asked
from host_tools.checks.checked import Checked
from host_tools.device import Device, LinkLost
from host_tools.micropython import ROOT
from tests.support.a_doctored_board import (
    CURRENT_PIN,
    EXPORT_PIN,
    GATE,
    IMPORT_PIN,
    VOLTAGE_PIN,
    DoctoredBoard,
    a_case,
    healthy,
)
from tests.support.fake_device import FakeDevice

Hand = Callable[[DoctoredBoard, int], None]  # what happens at each look, by its number


class Clock:
    """Seconds that pass only while the test waits; at each pause the hand does something."""

    def __init__(self, board: DoctoredBoard, hand: Hand) -> None:
        self.now_s, self.board, self.hand, self.looks = 0.0, board, hand, 0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.looks += 1
        self.hand(self.board, self.looks)


def counted_with(
    board: DoctoredBoard, device: Device, hand: Hand, wanted: int = 10, pulses_s: float = 20.0
) -> tuple[Checked, list[dict[str, Any]], Clock]:
    """A pulse test in which the hand makes pulses."""
    clock, told = Clock(board, hand), list[dict[str, Any]]()
    case = a_case(
        device, asked=Asked(pulses=wanted, pulses_s=pulses_s), clock=clock.clock, sleep=clock.sleep,
        tell=told.append,
    )  # fmt: skip
    return pulses.pulses(case), told, clock


def presses(count: int, unit: int = 0, by: int = 1) -> Hand:
    """One press a look, that many times."""

    def hand(board: DoctoredBoard, look: int) -> None:
        if look <= count:
            board.count(unit, by)

    return hand


def edges(count: int, pin: int = IMPORT_PIN) -> Hand:
    def hand(board: DoctoredBoard, look: int) -> None:
        if look <= count:
            board.pulse(pin, 1)

    return hand


def without_units(**changes: Any) -> dict[str, Any]:
    """A chip whose PCNT nobody has set up."""
    registers = {**healthy()["registers"], str(GATE): 0}
    return {"registers": registers, **changes}


# ------------------------------------------------------------ pulses


def test_ten_presses_are_ten(board: DoctoredBoard, device: Device) -> None:
    found, told, clock = counted_with(board, device, presses(10))
    assert found.verdict == "good"
    assert found.values == {"counted": {"import": 10, "export": 0}, "wanted": 10}
    assert "by pcnt on import (GPIO 25), export (GPIO 26)" in found.measured
    assert [event["counted"]["import"] for event in told] == list(range(11))
    assert clock.now_s < 10 * pulses.LOOK_S + pulses.QUIET_S + 3 * pulses.LOOK_S


def test_the_counter_of_the_running_meter_is_read_and_never_reset(
    board: DoctoredBoard, device: Device
) -> None:
    board.count(0, pulses.PCNT_WIDTH - 4)
    found, _, _ = counted_with(board, device, presses(10))
    assert found.verdict == "good", "across the wrap of the counter"
    assert "PCNT" not in pulses._BEGIN.replace("_PCNT", ""), "no driver object is made"


@pytest.mark.parametrize(
    ("hand", "verdict", "cause"),
    [
        (presses(0), "bad", "none"),
        (presses(9), "bad", "missed"),
        (presses(11), "bad", "bounces"),
        (presses(10, by=2), "bad", "bounces"),
        (presses(10, unit=1), "good", ""),
    ],
)
def test_what_a_count_says(
    board: DoctoredBoard, device: Device, hand: Hand, verdict: str, cause: str
) -> None:
    found, _, clock = counted_with(board, device, hand)
    assert (found.verdict, found.cause) == (verdict, cause), found
    assert clock.now_s <= 20.0 + pulses.LOOK_S, "bounded"


def test_a_bridge_between_the_inputs(board: DoctoredBoard, device: Device) -> None:
    def hand(board: DoctoredBoard, look: int) -> None:
        if look <= 10:
            board.count(0, 1)
            board.count(1, look % 2)

    found, _, _ = counted_with(board, device, hand)
    assert (found.verdict, found.cause) == ("bad", "both_inputs")


def test_an_input_that_is_held_at_ground(board: DoctoredBoard, device: Device) -> None:
    board.set(levels={str(IMPORT_PIN): 0})
    found, _, _ = counted_with(board, device, presses(0), pulses_s=1.0)
    assert (found.verdict, found.cause) == ("bad", "held_low")


@pytest.mark.parametrize("pin", [IMPORT_PIN, EXPORT_PIN])
def test_without_a_counter_edges_are_counted_by_interrupt(
    board: DoctoredBoard, device: Device, pin: int
) -> None:
    board.set(**without_units())
    found, _, _ = counted_with(board, device, edges(10, pin))
    assert found.verdict == "good", found
    assert "by irq" in found.measured
    board.pulse(pin, 5)
    assert device.run("print(sum(_n))") == "10\n", "and no more once the test is over"


def test_units_of_another_program_are_not_believed(board: DoctoredBoard, device: Device) -> None:
    registers = healthy()["registers"]
    board.set(registers={address: value + 1 for address, value in registers.items()})
    found, _, _ = counted_with(board, device, edges(10))
    assert found.verdict == "good"
    assert "by irq" in found.measured


def test_a_chip_without_pcnt_is_counted_by_interrupt(board: DoctoredBoard, device: Device) -> None:
    device.write_file("/board.txt", b"boards.esp32c3_supermini\n")
    found, _, _ = counted_with(board, device, edges(10, 3))
    assert found.verdict == "good", found
    assert "by irq on import (GPIO 3), export (GPIO 4)" in found.measured


def test_a_computer_has_no_pins(board: DoctoredBoard, device: Device) -> None:
    device.write_file("/board.txt", b"boards.unix\n")
    found, told, _ = counted_with(board, device, presses(0))
    assert (found.verdict, found.cause, told) == ("unknown", "no_pins", [])


def test_a_cable_that_is_pulled_during_the_test(board: DoctoredBoard, device: Device) -> None:
    case = a_case(device, asked=Asked(pulses=1))
    fake = FakeDevice('["irq", [0, 0], [1, 1]]', LinkLost("it is gone; plug it in"))
    with pytest.raises(LinkLost):
        pulses.pulses(replace(case, device=fake, sleep=lambda _: None))


def test_the_registers_of_the_counters_are_the_firmware_s() -> None:
    source = (ROOT / "boards/parts/pulse_input.py").read_text()
    values: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = eval(ast.unparse(node.value), {})
            except (NameError, AttributeError):
                continue
    assert values["PCNT_WIDTH"] == pulses.PCNT_WIDTH
    assert values["_UNIT_BYTES"] == pulses._UNIT_BYTES
    assert {
        chip: (base, counts, gate, gate_on)
        for chip, (base, counts, _, gate, gate_on) in values["_REGISTERS"].items()
    } == pulses.PCNT


# ------------------------------------------------------------ current transformers


def waved(
    board: DoctoredBoard, device: Device, current_wave: Any, voltage_wave: Any
) -> tuple[Checked, Checked]:
    """Both checks with these sines: mean, amplitude, degrees."""
    board.set(waves={str(CURRENT_PIN): current_wave, str(VOLTAGE_PIN): voltage_wave})
    names, found = current.sample(a_case(device))
    assert names == ["current", "voltage"]
    return current.ct_zero(names, found), current.ct_phase(names, found)


@pytest.mark.parametrize(
    ("wave", "zero", "phase"),
    [
        ((2048, 600, 0), "", ""),
        ((2048, 600, 180), "", "reversed"),
        ((2048, 600, 120), "", "other_phase"),
        ((2048, 600, 240), "", "other_phase"),
        ((2048, 4, 0), "", "no_load"),
        ((1800, 600, 10), "", ""),
        ((1600, 600, 0), "off_centre", ""),
        ((2500, 600, 0), "off_centre", ""),
        ((0, 0, 0), "off_centre", "no_load"),
        ((2048, 3000, 0), "clipped", ""),
    ],
)
def test_a_transformer_with_a_kettle(
    board: DoctoredBoard, device: Device, wave: Any, zero: str, phase: str
) -> None:
    at_zero, in_phase = waved(board, device, wave, (2048, 900, 0))
    assert (at_zero.cause, in_phase.cause) == (zero, phase), (at_zero, in_phase)
    verdicts = {"": "good", "no_load": "unknown"}
    assert at_zero.verdict == verdicts.get(zero, "bad")
    assert in_phase.verdict == verdicts.get(phase, "bad")


def test_the_other_sensor_s_zero_counts_too(board: DoctoredBoard, device: Device) -> None:
    at_zero, _ = waved(board, device, (2048, 600, 0), (1400, 600, 0))
    assert at_zero.cause == "off_centre"
    assert "voltage 14" in at_zero.measured


def test_a_board_without_a_voltage_sensor_and_one_without_any(
    board: DoctoredBoard, device: Device
) -> None:
    device.write_file("/board.txt", b"boards.olimex_esp32_poe\n")
    board.set(waves={"36": (2048, 600, 0)})
    names, found = current.sample(a_case(device))
    assert current.ct_zero(names, found).verdict == "good"
    assert current.ct_phase(names, found).cause == "no_voltage"
    device.write_file("/board.txt", b"boards.unix\n")
    names, found = current.sample(a_case(device))
    assert current.ct_zero(names, found).cause == "no_current"
    assert current.ct_phase(names, found).cause == "no_current"


def a_sampled(
    mean: float = 2048.0, factor: float = 1.0, rms: float = 100.0, rows: int = 200
) -> Any:
    """Sums as if of such waves."""
    squares = rows * (mean**2 + rms**2)
    product = rows * (mean**2 + factor * rms**2)
    whole = [round(1000 * mean) / 1000 * rows] * 2
    return current.Sampled(whole, [squares] * 2, product, [1, 1], [4094, 4094], rows)  # type: ignore[list-item, arg-type]


@pytest.mark.parametrize(
    ("changes", "zero", "phase"),
    [
        ({"mean": 2348.0}, "", ""),
        ({"mean": 2349.0}, "off_centre", ""),
        ({"mean": 1748.0}, "", ""),
        ({"mean": 1747.0}, "off_centre", ""),
        ({"factor": 0.901}, "", ""),
        ({"factor": 0.898}, "", "other_phase"),
        ({"factor": -0.898}, "", "other_phase"),
        ({"factor": -0.901}, "", "reversed"),
        ({"rms": 8.5}, "", ""),
        ({"rms": 7.9}, "", "no_load"),
        ({"rows": 100}, "", ""),
        ({"rows": 99}, "converter", "converter"),
    ],
)
def test_the_limits_of_both_checks(changes: dict[str, Any], zero: str, phase: str) -> None:
    names = ["current", "voltage"]
    assert current.ct_zero(names, a_sampled(**changes)).cause == zero
    assert current.ct_phase(names, a_sampled(**changes)).cause == phase
