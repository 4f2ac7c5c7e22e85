"""Pulses lost and invented from the pin to the register, beside what others have published."""

from tests.support.pulse_history import MILLI, STALL_S, History

PULSES = 1_000_000
CUT_PULSES = 200_000
# Counted by their users with a second counter beside: (of how many, lost, where it is written).
PUBLISHED = (
    ("ESPHome pulse_meter, PULSE filter", 1318, 31, "esphome/issues 3602"),
    ("ESPHome pulse_meter", 100, 9, "esphome/issues 4807"),
)
_ROW = "{:<44}{:>10}{:>8}{:>8}{:>7}{:>11}{:>10}"


def histories() -> "tuple[tuple[str, History], ...]":
    """Each kind of history, run to its end."""
    return (
        ("PCNT, resets", History(11).run(PULSES)),
        ("PCNT, resets, driver of MicroPython 1.29", History(12, newer=True).run(PULSES)),
        ("PCNT, resets and power cuts", History(13).run(CUT_PULSES, power_cuts=True)),
        ("PCNT, a chip that clears it at each reset", History(14, keeps=False).run(CUT_PULSES)),
        ("Pin.irq, no reset at all", History(11, pcnt=False).run(CUT_PULSES, resets=False)),
    )


def row(name: str, history: History) -> str:
    """One line of the table."""
    return _ROW.format(
        name,
        sum(history.pulses),
        history.resets,
        history.power_cuts,
        history.stalls,
        in_pulses(history.lost),
        in_pulses(history.invented),
    )


def in_pulses(milli: int) -> str:
    """Thousandths of a pulse as pulses, without a float."""
    whole, rest = divmod(milli, MILLI)
    return str(whole) + (f".{rest:03}" if rest else "")


def main() -> None:
    """Print the table."""
    print(_ROW.format("simulated", "pulses", "resets", "cuts", "stalls", "lost", "invented"))
    found = histories()
    for name, history in found:
        print(row(name, history))
    cut = found[2][1]
    print(
        f"a stall: {STALL_S} s without a look; most lost in one power cut:"
        f" {in_pulses(cut.lost_at_once_max)} pulses, all {cut.flagged} starts after one flagged"
    )
    for name, pulses, lost, source in PUBLISHED:
        share = f"{100 * lost / pulses:.1f} %"
        print(f"published: {name:<36}{lost:>4} of {pulses:<6}{share}  {source}")


if __name__ == "__main__":
    main()
