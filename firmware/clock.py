"""Wall time in UTC seconds since 1970: a board's clock, and how receipts keep it right."""

from wire.messages import START_S_MIN, TIME_S_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Clock

EPOCH_2000_S = 946684800  # ESP32 ports count from 2000-01-01, the unix port from 1970-01-01
CLOCK_STEP_S = 5  # a clock that is further off is set; up to here it is slewed
SLEW_S = 60  # between two slews of one second
SLEW_MS_MIN = 550  # less than this is not slewed: more than half of the second it would move
LATENCY_MS = 300  # between a receipt's writing and our reading, about: network, opening the frame
NOISE_MS = 2000  # two clocks of whole seconds, read over a network, may differ by this for nothing
DRIFT_BASE_S = 3600  # no drift is measured over less
DRIFT_SURE_S = 43_200  # from here on a drift is believed even if it made less than NOISE_MS
DRIFT_PPM_MAX = 200  # worse than any crystal a board should have
SAMPLE_S = 600  # between two receipts that count for the drift
SAMPLES_MAX = 96  # a day of receipts every 15 minutes; older ones fade


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


class Uptime:
    """Seconds since it was made, from ticks that wrap: ask at least once in six days."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._at_ms = clock.ticks_ms()
        self._whole_s = self._rest_ms = 0

    def s(self) -> int:
        """Whole seconds."""
        now_ms = self._clock.ticks_ms()
        self._rest_ms += self._clock.ticks_diff(now_ms, self._at_ms)
        self._at_ms = now_ms
        self._whole_s += self._rest_ms // 1000
        self._rest_ms %= 1000
        return self._whole_s


class Timekeeper:
    """A board's clock under the authority of receipts: set when far off, else slewed.

    The board's own time is called raw. What is shown is raw plus a whole number of seconds, which
    follows a line fitted through the receipts (least squares; older ones fade) whose slope is the
    drift of the board's crystal. Without receipts the line goes on. drift_ppb is positive where
    the crystal is slow; one that was measured before may be given. synced is True once a receipt
    has confirmed the time. A board whose clock is not to be set is left alone.
    """

    def __init__(self, clock: "Clock", drift_ppb: int = 0) -> None:
        self._clock = clock
        self.drift_ppb = drift_ppb
        self.synced = False
        self._settable = True  # until it refuses
        self._raw_s = 0  # at the last look
        self._offset_s = 0
        self._slewed_s = 0
        self._begin(0, 0)

    def ticks_ms(self) -> int:
        """The board's."""
        return self._clock.ticks_ms()

    def ticks_diff(self, later: int, earlier: int) -> int:
        """The board's."""
        return self._clock.ticks_diff(later, earlier)

    def now_s(self) -> "int | None":
        """UTC seconds since 1970, never backwards but by a step; None while unknown."""
        raw_s = self._clock.now_s()
        if raw_s is None or not self._settable:
            return raw_s
        if not self._begun_s:  # the first look: from here a drift that is known adds up
            self._begin(raw_s, 0)
            self._settable = self._clock.set(raw_s)  # to its own time: only to ask
        if raw_s > self._raw_s and raw_s - self._slewed_s >= SLEW_S:
            self._slew(raw_s)
        self._raw_s = raw_s
        return raw_s + self._offset_s

    def receipt(self, time_s: int) -> "tuple[int | None, int] | None":
        """Take the gateway's time. (old, new) when the clock was set by it; old None: unknown.

        A time before START_S_MIN or after TIME_S_MAX is ignored.
        """
        if not START_S_MIN <= time_s <= TIME_S_MAX:
            return None
        now_s = self.now_s()
        self.synced = True
        if now_s is not None and self._settable:
            self._observe(self._raw_s, (time_s - self._raw_s) * 1000 + LATENCY_MS)
        if now_s is None or abs(time_s - now_s) > CLOCK_STEP_S:
            return self._set(now_s, time_s, 1)
        return None

    def set_command(self, time_s: int) -> "tuple[int | None, int] | None":
        """Set the clock whatever it shows: (old, new). The next receipt judges it.

        None when the time is outside START_S_MIN..TIME_S_MAX or the board refuses.
        """
        if not START_S_MIN <= time_s <= TIME_S_MAX:
            return None
        done = self._set(self.now_s(), time_s, 0)
        if done is not None:
            self.synced = False
        return done

    def hint(self, time_s: int) -> bool:
        """Take an unauthenticated time (NTP) while none is known. True when it was taken."""
        return self.now_s() is None and self.set_command(time_s) is not None

    def _set(
        self, now_s: "int | None", time_s: int, samples: int
    ) -> "tuple[int | None, int] | None":
        self._settable = self._clock.set(time_s)
        if not self._settable:
            return None
        self._raw_s = self._slewed_s = time_s
        self._offset_s = 0
        self._begin(time_s, LATENCY_MS, samples)
        return now_s, time_s

    def _slew(self, raw_s: int) -> None:
        """Move one second towards the line: wait a second, or leave one out.

        None is left out that is a multiple of 2 or 3: no interval begins at any other, since of the
        divisors of an hour only 1, 5 and 25 are neither, and a capture period is 60 s or more.
        """
        off_ms = self._line_ms(raw_s, self.drift_ppb) - self._offset_s * 1000
        if off_ms >= SLEW_MS_MIN:
            skipped_s = raw_s + self._offset_s
            if raw_s - self._raw_s == 1 and not (skipped_s % 2 and skipped_s % 3):
                return
            self._offset_s += 1
        elif off_ms <= -SLEW_MS_MIN:
            self._offset_s -= 1
        self._slewed_s = raw_s

    # ------------------------------------------------- the line through the receipts

    def _begin(self, raw_s: int, off_ms: int, samples: int = 0) -> None:
        """Begin a line at this point; samples is 1 where a receipt said so, else 0."""
        self._begun_s = self._sampled_s = self._mean_s = raw_s
        self._mean_ms = off_ms
        self._samples = samples
        self._variance = self._covariance = 0

    def _line_ms(self, raw_s: int, drift_ppb: int) -> int:
        return self._mean_ms + (raw_s - self._mean_s) * drift_ppb // 1_000_000

    def _observe(self, raw_s: int, off_ms: int) -> None:
        """A receipt says that raw is off by off_ms: a sample of the line, or a new beginning."""
        passed_s = raw_s - self._sampled_s
        unlike_ms = abs(off_ms - self._line_ms(raw_s, self._fit(raw_s)))
        drifted_ms = passed_s * DRIFT_PPM_MAX // 1000  # as far as a crystal could have gone
        if unlike_ms < NOISE_MS + drifted_ms and (passed_s >= SAMPLE_S or not self._samples):
            self._sample(raw_s, off_ms)
            fit_ppb, base_s = self._fit(raw_s), raw_s - self._begun_s
            if base_s >= DRIFT_SURE_S or abs(fit_ppb) * base_s >= NOISE_MS * 1_000_000:
                limit = DRIFT_PPM_MAX * 1000
                self.drift_ppb = max(-limit, min(limit, fit_ppb))
        if unlike_ms >= NOISE_MS:
            self._begin(raw_s, off_ms, 1)

    def _sample(self, raw_s: int, off_ms: int) -> None:
        """Let a receipt into the running means, the variance of raw and its covariance."""
        self._sampled_s = raw_s
        count = self._samples = min(self._samples + 1, SAMPLES_MAX)
        from_s, from_ms = raw_s - self._mean_s, off_ms - self._mean_ms
        self._mean_s += from_s // count
        self._mean_ms += (from_ms + count // 2) // count
        beyond_s = raw_s - self._mean_s
        self._variance += (from_s * beyond_s - self._variance) // count
        self._covariance += (from_ms * beyond_s - self._covariance) // count

    def _fit(self, raw_s: int) -> int:
        """The slope of the line in ppb; the drift believed so far while the base is short."""
        if raw_s - self._begun_s < DRIFT_BASE_S or not self._variance:
            return self.drift_ppb
        return (self._covariance * 1_000_000 + self._variance // 2) // self._variance
