"""Maximum demand (1.6.0): the highest mean import power over 15 minutes in the calendar month."""

from firmware.local_time import civil

WINDOW_S = 900  # block demand, on the grid of UTC
LOOK_S_MAX = 70  # between two looks: a board's longest sleep, 60 s, and its longest blocking call
U32_MAX = (1 << 32) - 1  # a later clock measures no demand, a higher one is kept as this


class Demand:
    """Watches the import register and keeps the month's highest window, and the month before's.

    highest_w is a mean power in W; at_s is the UTC start of its window, 0 while this month has no
    whole window yet (then highest_w is 0 and means nothing). last_highest_w and last_at_s are
    those of the last month before that had one. The month is Poland's; it begins on the grid.
    Only a window that was seen whole counts: one that a restart, an unknown time, a missing look
    or a step of the clock has cut is left out.
    """

    def __init__(self) -> None:
        self.restore((0, 0, 0, 0, 0, 0))

    def add(self, now_s: "int | None", import_wh: int) -> None:
        """Look at the import register (Wh) at now_s, UTC seconds since 1970; None is unknown."""
        if now_s is None or now_s > U32_MAX:
            self._window_s = self._looked_s = 0
            return
        seen = 0 <= now_s - self._looked_s <= LOOK_S_MAX
        if not seen:
            self.cut()
        start_s = now_s - now_s % WINDOW_S
        if start_s > self._looked_s or not seen:
            self._cross(start_s if seen else 0, now_s, import_wh)
        self._looked_s = now_s

    def cut(self) -> None:
        """Leave the present window out: the clock was set, or counts are missing."""
        self._window_s = 0

    def state(self) -> "tuple[int, int, int, int, int, int]":
        """What must survive a restart: 25 bytes as u32, u40, u32, u32, u32, u32.

        (start of the open window or 0, register at that start in Wh, highest_w, at_s,
        last_highest_w, last_at_s)
        """
        return (
            self._window_s,
            self._window_wh,
            self.highest_w,
            self.at_s,
            self.last_highest_w,
            self.last_at_s,
        )

    def restore(self, state: "tuple[int, int, int, int, int, int]", looked_s: int = 0) -> None:
        """Go on from a state().

        looked_s: where no count is missing since then (the counters went on by themselves), the
        time of the last look; the open window then counts if the next look follows in time.
        0: the open window is cut.
        """
        self._window_s, self._window_wh = state[:2]
        self.highest_w, self.at_s, self.last_highest_w, self.last_at_s = state[2:]
        self._looked_s = looked_s

    def _cross(self, start_s: int, now_s: int, import_wh: int) -> None:
        """Close the window before start_s, which was seen to end, and begin the next. 0: unseen."""
        if self._window_s:
            mean_w = (import_wh - self._window_wh) * 4  # Wh in a quarter of an hour
            if not self.at_s or mean_w > self.highest_w:
                self.highest_w = min(mean_w, U32_MAX)
                self.at_s = self._window_s
        if self.at_s and civil(self.at_s)[:2] != civil(now_s)[:2]:
            self.last_highest_w, self.last_at_s = self.highest_w, self.at_s
            self.highest_w = self.at_s = 0
        self._window_s = start_s
        self._window_wh = import_wh
