"""What a meter notices beside energy, for its event log: starts, outages, sags, tampering."""

from firmware.power_quality import PowerQuality, outage_at_start
from wire.messages import (
    EVENT_BOOT,
    EVENT_CLOCK_SET,
    EVENT_CONFIG_CHANGE,
    EVENT_COUNTER_LOSS,
    EVENT_FLASH_DAMAGE,
    EVENT_LAST_GASP,
    EVENT_OUTAGE,
    EVENT_UPDATE,
    Event,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.board import Board, Measured
    from firmware.events import EventLog

BOOT_CODES = {"power_on": 1, "watchdog": 2, "soft": 3}
UPDATE_TRIED, UPDATE_CONFIRMED, UPDATE_FELL_BACK = 1, 2, 3


class Watch:
    """Looks at the board's sensors once a look, and notes what is worth an event.

    `measured` is the newest window of current and voltage, None where none is measured.
    """

    def __init__(self, board: "Board", events: "EventLog") -> None:
        self._board = board
        self._events = events
        self._quality = PowerQuality()
        self._away_since_s = 0  # wall time when the meter was last seen alive; 0: nothing to tell
        self._now_s: int | None = None
        self._uptime_s = 0
        self.measured: Measured | None = None

    def started(self, now_s: "int | None", starts: int, last_seen_s: int) -> None:
        """The meter began: for the `starts`th time, last seen alive at last_seen_s (0: never)."""
        self._now_s = now_s
        self._away_since_s = last_seen_s
        self.note(EVENT_BOOT, (BOOT_CODES[self._board.start.why], starts))

    def damage(self, blocks: int, slots: int, counts_lost: bool) -> None:
        """What the start found in flash: quarantined blocks, and whether pulses may be missing."""
        if blocks:
            self.note(EVENT_FLASH_DAMAGE, (blocks, slots))
        if counts_lost:
            self.note(EVENT_COUNTER_LOSS, ())

    def look(self, now_s: "int | None", uptime_s: int) -> "Event | None":
        """Look once; gives the last gasp if the supply went just now: send it before all else."""
        self._now_s, self._uptime_s = now_s, uptime_s
        self._tell_outage()
        sensors = self._board.sensors
        self.measured = sensors.measured()
        voltage_mv = self.measured.voltage_mv if self.measured else ()
        gasp = None
        for code, at_s, then_s, values in self._quality.take(
            now_s, uptime_s, voltage_mv, sensors.supply_lost(), sensors.tampered()
        ):
            number = self._events.add(code, values, at_s, then_s)
            self._board.log("event", code=code, values=values, number=number)
            if code == EVENT_LAST_GASP:
                gasp = Event(at_s or 0, code, values, number)
        return gasp

    def clock_set(self, old_s: "int | None", new_s: int) -> None:
        """The clock was set from old (None: unknown) to new."""
        self._now_s = new_s
        self._board.log("clock_set", old_s=old_s, new_s=new_s)
        self.note(EVENT_CLOCK_SET, (old_s or 0, new_s))

    def config_changed(self, command_code: int, value: int) -> None:
        """A command has changed a setting."""
        self.note(EVENT_CONFIG_CHANGE, (command_code, value))

    def updated(self, what: int) -> None:
        """UPDATE_TRIED, UPDATE_CONFIRMED or UPDATE_FELL_BACK."""
        self.note(EVENT_UPDATE, (what,))

    def note(self, code: int, values: "tuple[int, ...]") -> None:
        """Keep an event of this moment, durably, and log it."""
        number = self._events.add(code, values, self._now_s, self._uptime_s)
        self._board.log("event", code=code, values=values, number=number)

    def _tell_outage(self) -> None:
        """The outage that the start ended, as soon as the time is known."""
        if not self._away_since_s or self._now_s is None:
            return
        began = outage_at_start(
            self._board.start.why, self._away_since_s, self._now_s - self._uptime_s
        )
        self._away_since_s = 0
        if began is None:
            return
        begin_s, duration_s = began
        self._quality.interrupted(begin_s, duration_s)
        number = self._events.add(EVENT_OUTAGE, (duration_s,), begin_s, 0)
        self._board.log("event", code=EVENT_OUTAGE, values=(duration_s,), number=number)
