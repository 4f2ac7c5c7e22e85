"""What waits to be sent: answers, events, intervals asked for again, and new intervals."""

from firmware import load_profile
from wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.journal import Journal

ANSWERS_MAX = 8  # results, and what read_now asks for

# Kinds of frames, first things first.
ANSWER, EVENT, BACKFILL, PROFILE = "answer", "event", "backfill", "profile"
ORDER = (ANSWER, EVENT, BACKFILL, PROFILE)


class Waiting:
    """Everything the meter has to say, each kept by its owner until `free`.

    Answers are in memory only: the gateway asks again for what a restart took, and a command is
    remembered. Events are the event log's, intervals the journal's.
    """

    def __init__(self, journal: "Journal", events, now_s, uptime_s) -> None:
        self._journal = journal
        self._events = events  # None: no event log
        self._now_s = now_s
        self._uptime_s = uptime_s
        self.dating: Any = None
        self.answers: list[tuple[Any, str]] = []  # messages, and what follows their receipts
        self._again = (1, 0)  # first and last interval to be sent again

    def answer(self, message: "Any", follows: str = "") -> bool:
        """Queue a message that nobody else keeps; False when ANSWERS_MAX wait already."""
        if len(self.answers) >= ANSWERS_MAX:
            return False
        self.answers.append((message, follows))
        return True

    def read_profile(self, first: int, count: int) -> int:
        """Send these intervals again though they are settled; how many of them are still held.

        They go one frame after another as ever; a newer range replaces an older one.
        """
        first = max(first, self._journal.oldest, 1)
        last = min(first + count - 1, self._journal.newest)
        if last < first:
            return 0
        self._again = (first, last)
        return last - first + 1

    def next(self, kind: str) -> "tuple[Any, int, int] | None":
        """The next message of this kind, with its first number and how many intervals it has."""
        if kind == ANSWER:
            return (self.answers[0][0], 0, 0) if self.answers else None
        if kind == EVENT:
            event = self._events and self._events.next(self._now_s(), self._uptime_s())
            return (event, event.number, 0) if event else None
        journal: Any = self._journal
        first, last = journal.settled + 1, journal.newest
        if kind == BACKFILL:
            first, last = self._again
            journal = _Again(journal, last)
        if first > last:
            return None
        count_max = load_profile.PUSH_INTERVALS_MAX
        profile = load_profile.next_profile(journal, first, count_max, self.dating)
        if profile is None:
            if kind == BACKFILL:
                self._again = (1, 0)  # what is left of it cannot be read
            return None
        return profile, profile.first, messages.profile_intervals(profile)

    def free(self, kind: str, first: int, count: int) -> str:
        """The frame with this content is committed; gives what follows, "" for nothing."""
        if kind == EVENT:
            self._events.settle(first)
        elif kind == BACKFILL:
            self._again = (first + count, self._again[1])
        elif kind == ANSWER:
            return self.answers.pop(0)[1]
        return ""


class _Again:
    """The journal up to `last` as if nothing in it were settled."""

    def __init__(self, journal: "Journal", last: int) -> None:
        self.oldest_unsettled = journal.oldest
        self.newest = last
        self.read = journal.read
