"""What the config says of a board's current and voltage sensors, checked."""

from collections import namedtuple

from firmware.config import ConfigError, whole
from firmware.waveform import COUNTS_MAX

NOMINAL_MV = 230_000
POWER_W_MAX = 250_000  # of all phases together; firmware.metrology.Energy relies on it
PHASES_MAX = 3
PITCH_US_MIN = 100
PITCH_US_MAX = 2000  # ten pairs a cycle: fewer would not carry a waveform
LEAD_US_MAX = 1000  # 18 degrees at 50 Hz; a current transformer leads by 1 to 3
GAIN_MAX = 500_000  # half an ampere or volt for one count
NOISE_MAX = 100_000  # thousandths of a count
STARTING_MA_MAX = 1000
MIDDLE = (COUNTS_MAX + 1) // 2
# Key, lowest, highest, and what it is without an entry.
BOARD_KEYS = (
    ("pitch_us", PITCH_US_MIN, PITCH_US_MAX, 1000),  # from one pair of samples to the next
    ("starting_ma", 0, STARTING_MA_MAX, 20),  # below it, at 230 V, nothing is counted
    ("low", 0, COUNTS_MAX, 0),  # counts at and below which the converter is not linear
    ("high", 0, COUNTS_MAX, COUNTS_MAX),  # and at and above
)
PHASE_KEYS = (
    ("uv_per_count", 0, GAIN_MAX, 0),  # 0: no voltage sensor
    ("ua_per_count", 1, GAIN_MAX, 0),
    ("lead_us", -LEAD_US_MAX, LEAD_US_MAX, 0),  # how much too early the current is seen
    ("voltage_offset", 0, COUNTS_MAX, MIDDLE),  # counts at no voltage, to begin with
    ("current_offset", 0, COUNTS_MAX, MIDDLE),
    ("voltage_noise", 0, NOISE_MAX, 0),  # RMS at no voltage, in thousandths of a count
    ("current_noise", 0, NOISE_MAX, 0),
)
Calibration = namedtuple("Calibration", ("phases", "pitch_us", "starting_ma", "low", "high"))
Phase = namedtuple(
    "Phase",
    (
        "uv_per_count",
        "ua_per_count",
        "lead_us",
        "voltage_offset",
        "current_offset",
        "voltage_noise",
        "current_noise",
    ),
)


def parse(settings: object) -> Calibration:
    """The calibration in the config's key `ct`: board keys, and `phases` with one set each.

    Raises ConfigError, which names the key.
    """
    rows = settings.get("phases") if isinstance(settings, dict) else None
    if type(rows) is not list or not 0 < len(rows) <= PHASES_MAX:
        raise ConfigError("config: ct: phases must be a list of 1 to " + str(PHASES_MAX))
    phases = tuple([Phase(*_take(row, PHASE_KEYS)) for row in rows])
    calibration = Calibration(phases, *_take(settings, BOARD_KEYS))
    if calibration.low >= calibration.high:
        raise ConfigError("config: ct: low must be below high")
    full_w = 0
    for phase in phases:
        if (phase.uv_per_count == 0) != (phases[0].uv_per_count == 0):
            raise ConfigError("config: ct: uv_per_count is needed in all phases, or in none")
        if abs(phase.lead_us) > calibration.pitch_us:
            raise ConfigError("config: ct: lead_us must not exceed pitch_us")
        volts = MIDDLE * phase.uv_per_count // 1_000_000 or NOMINAL_MV // 1000
        full_w += MIDDLE * phase.ua_per_count * volts // 1_000_000
    if full_w > POWER_W_MAX:  # a square wave over all counts, the most there can be
        raise ConfigError("config: ct: full scale is over " + str(POWER_W_MAX) + " W: lower gains")
    return calibration


def _take(settings: object, rules: "tuple[tuple[str, int, int, int], ...]") -> "list[int]":
    """The values of the rules' keys, in their order; every other key but phases is refused."""
    if not isinstance(settings, dict):
        raise ConfigError("config: ct: a phase must be a JSON object")
    given = dict(settings)
    values = []
    for key, low, high, default in rules:
        values.append(whole({key: given.pop(key, default)}, key, low, high))
    for key in given:
        if key != "phases":
            raise ConfigError("config: ct: unknown key " + repr(key) + ": remove it")
    return values
