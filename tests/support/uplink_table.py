"""The uplink's state table as docs/firmware.md shows it."""

import tests.support.umqtt_here  # noqa: F401  (makes umqtt importable on CPython)
from firmware.uplink import TABLE


def table_as_text() -> str:
    """One row for each state and what happens in it, in the order of the table."""
    lines = ["| state | what happens | next state |", "|---|---|---|"]
    for (state, event), following in TABLE.items():
        lines.append("| " + state + " | " + event + " | " + following + " |")
    return "\n".join(lines)
