"""A check and what came of it: good, bad or unknown, what was measured, and one next step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

GOOD, BAD, UNKNOWN = "good", "bad", "unknown"
VERDICTS = (GOOD, UNKNOWN, BAD)  # from the best to the worst
NOTHING_TO_DO = ""
# Of what a meter was told in pairing.
CORRECT = "correct it in pairing.toml, then `pair`, or `repair --by-cable` if it was heard before"
# What may stop any check, whatever it looks at.
UNANSWERED, LINK_LOST = "unanswered", "link_lost"
ANY_STEPS = MappingProxyType(
    {
        UNANSWERED: "run it again; if it stays so, press reset (EN)",
        LINK_LOST: "check cable and supply, and run it again",
    }
)

Values = Mapping[str, object]  # numbers, texts, and lists and dictionaries of them


@dataclass(frozen=True)
class Checked:
    """What came of one check. Never holds a secret."""

    name: str
    verdict: str  # of VERDICTS
    cause: str  # why it is not good, by a name of the check's steps; empty where it is good
    measured: str
    next_step: str
    values: Values = field(default_factory=dict)

    def as_data(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "cause": self.cause,
            "measured": self.measured,
            "next_step": self.next_step,
            "values": dict(self.values),
        }


@dataclass(frozen=True)
class Check:
    """One thing that is looked at. Each cause for not calling it good has one next step."""

    name: str
    means: str
    good_when: str
    steps: Mapping[str, str]  # by cause

    def good(self, measured: str, **values: object) -> Checked:
        """Nothing to do."""
        return Checked(self.name, GOOD, "", measured, NOTHING_TO_DO, values)

    def bad(self, cause: str, measured: str, **values: object) -> Checked:
        """Something to mend."""
        return Checked(self.name, BAD, cause, measured, self._step(cause), values)

    def unknown(self, cause: str, measured: str, **values: object) -> Checked:
        """It could not be told."""
        return Checked(self.name, UNKNOWN, cause, measured, self._step(cause), values)

    def _step(self, cause: str) -> str:
        return self.steps[cause] if cause in self.steps else ANY_STEPS[cause]


def worst(found: list[Checked]) -> str:
    """The verdict over all: bad if any is; unknown only where none is known."""
    verdicts = {each.verdict for each in found}
    if BAD in verdicts:
        return BAD
    return GOOD if GOOD in verdicts else UNKNOWN
