"""A calibration is taken as it stands, or refused by the name of its key."""

from firmware import calibration
from firmware.calibration import BOARD_KEYS, PHASE_KEYS, PHASES_MAX, POWER_W_MAX
from firmware.config import ConfigError
from tests.support.a_meter import refusal_of


def settings_of(board=None, phases=1, **changes):
    """The least calibration, with changes in the board's keys and in every phase."""
    row = {"ua_per_count": 1000}
    row.update(changes)
    made = dict(board or {})
    made["phases"] = [dict(row) for _ in range(phases)]
    return made


def refusal(settings):
    return refusal_of(ConfigError, calibration.parse, settings)


def test_what_is_not_told_is_a_board_without_voltage_or_noise_around_the_middle():
    found = calibration.parse(settings_of())
    assert found[1:] == (1000, 20, 0, 4095)
    assert found.phases[0] == (0, 1000, 0, 2048, 2048, 0, 0)


def test_every_key_is_taken_at_its_limits_and_refused_beyond_them():
    for keys, in_board in ((BOARD_KEYS, True), (PHASE_KEYS, False)):
        for key, low, high, _ in keys:
            board = {"pitch_us": 1000}
            for value, good in ((low - 1, False), (low, True), (high, True), (high + 1, False)):
                if in_board:
                    made = settings_of({key: value})
                else:
                    made = settings_of(board)
                    made["phases"][0][key] = value
                if (key, value) in (("low", 4095), ("high", 0)):
                    assert "low must be below high" in refusal(made)
                elif good:
                    calibration.parse(made)
                else:
                    assert key in refusal(made), (key, value)


def test_a_number_that_is_no_whole_number_is_refused():
    for value in ("1000", None, True, [1000]):
        assert "ua_per_count" in refusal(settings_of(ua_per_count=value))


def test_a_phase_without_a_current_gain_is_refused():
    assert "ua_per_count" in refusal({"phases": [{}]})


def test_one_to_three_phases_are_taken():
    for phases in range(PHASES_MAX + 2):
        if 0 < phases <= PHASES_MAX:
            assert len(calibration.parse(settings_of(phases=phases)).phases) == phases
        else:
            assert "phases" in refusal(settings_of(phases=phases))


def test_what_is_no_calibration_at_all_is_refused():
    for settings in (None, [], "ct", {}, {"phases": {}}, {"phases": None}):
        assert "phases" in refusal(settings)
    assert "a phase" in refusal({"phases": [7]})


def test_an_unknown_key_is_refused_by_its_name():
    assert "'mains'" in refusal(settings_of({"mains": 1}))
    assert "'gain'" in refusal(settings_of(gain=1))


def test_the_lead_of_a_phase_is_at_most_one_pitch():
    for pitch_us, lead_us, good in ((500, 500, True), (500, -500, True), (500, 501, False)):
        made = settings_of({"pitch_us": pitch_us}, lead_us=lead_us)
        if good:
            assert calibration.parse(made).phases[0].lead_us == lead_us
        else:
            assert "lead_us" in refusal(made)


def test_all_phases_measure_voltage_or_none_does():
    made = settings_of(phases=2, uv_per_count=1000)
    calibration.parse(made)
    del made["phases"][1]["uv_per_count"]
    assert "uv_per_count" in refusal(made)


def test_the_low_end_lies_below_the_high_end():
    calibration.parse(settings_of({"low": 9, "high": 10}))
    assert "low" in refusal(settings_of({"low": 10, "high": 10}))


def test_gains_whose_full_scale_passes_the_largest_power_are_refused():
    volts = 2048 * 500_000 // 1_000_000  # 1024 V at full scale
    ua_per_count = POWER_W_MAX * 1_000_000 // volts // 2048
    made = settings_of(uv_per_count=500_000, ua_per_count=ua_per_count)
    calibration.parse(made)
    made["phases"][0]["ua_per_count"] = ua_per_count + 1
    assert "full scale" in refusal(made)
    three = settings_of(phases=3, uv_per_count=500_000, ua_per_count=ua_per_count // 2)
    assert "full scale" in refusal(three)


def test_a_board_without_voltage_has_its_full_scale_at_230_v():
    ua_per_count = POWER_W_MAX * 1_000_000 // (2 * 230 * 2048)
    calibration.parse(settings_of(phases=2, ua_per_count=ua_per_count))
    assert "full scale" in refusal(settings_of(phases=2, ua_per_count=ua_per_count + 3))
