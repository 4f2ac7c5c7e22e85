"""Wall time in UTC seconds since 1970, whatever epoch the port counts from."""

from wire.messages import START_S_MIN

EPOCH_2000_S = 946684800  # ESP32 ports count from 2000-01-01, the unix port from 1970-01-01


class WallClock:
    """A settable clock over a port's seconds, unknown until it is set or plausibly kept.

    A board builds it as WallClock(time.time, time.gmtime(0)[0]). An ESP32 without power starts at
    its epoch, far below START_S_MIN, which reads as "not known".
    """

    def __init__(self, seconds, epoch_year: int) -> None:
        assert epoch_year in (1970, 2000)
        self._seconds = seconds
        self._offset_s = EPOCH_2000_S if epoch_year == 2000 else 0

    def now_s(self) -> "int | None":
        """UTC seconds since 1970; None while the time is not known."""
        now_s = int(self._seconds()) + self._offset_s
        return now_s if now_s >= START_S_MIN else None

    def set(self, unix_s: int) -> bool:
        """Make it unix_s now. False for a time before START_S_MIN, which nobody can mean."""
        if unix_s < START_S_MIN:
            return False
        self._offset_s = unix_s - int(self._seconds())
        return True
