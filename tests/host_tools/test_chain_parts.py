"""What `make run` tells: the meter's log, the client of settlement, the household, the options."""

from datetime import date

import pytest

from host_tools import chain
from host_tools.household import Household
from host_tools.programs import ProgramFailed
from host_tools.settlement_client import UNREACHABLE, SettlementClient
from host_tools.trip import MeterLog, kwh, pln, utc


def test_the_log_is_done_when_the_last_interval_of_the_script_is_receipted() -> None:
    log = MeterLog()
    log.hear({"event": "receipt", "interval": 3, "frame_counter": 1})
    assert not log.done()
    log.hear({"event": "script_end", "intervals": 4})
    assert not log.done()
    log.hear({"event": "receipt", "interval": 4, "frame_counter": 2})
    log.hear({"event": "receipt", "interval": 1, "frame_counter": 0})  # an old one changes nothing
    assert log.done()


def test_the_example_has_both_energies_and_its_frame() -> None:
    log = MeterLog()
    energies = ((1, 0), (2, 3), (4, 0))
    for number, (imported, exported) in enumerate(energies, start=1):
        deltas = {"import_delta_wh": imported, "export_delta_wh": exported}
        log.hear({"event": "interval", "number": number, **deltas})
    log.hear({"event": "sent", "frame_counter": 0, "first": 0, "count": 0})
    log.hear({"event": "sent", "frame_counter": 1, "first": 1, "count": 3})
    interval, before, sent = log.example()
    assert (interval["number"], before["number"], sent["frame_counter"]) == (2, 1, 1)


def test_numbers_are_written_for_people() -> None:
    assert (kwh(51509), kwh(0), kwh(None)) == ("51.509", "0.000", "missing")
    assert (pln(6989), pln(5), pln(0)) == ("69.89", "0.05", "0.00")
    assert utc(1729499400) == "2024-10-21 08:30 UTC"


@pytest.mark.parametrize(("hours", "days"), [(23, 1), (24, 1), (25, 1), (168, 7), (169, 7)])
def test_a_household_has_whole_civil_days(hours: int, days: int) -> None:
    start_s = 1729202400
    script = "".join(f"{start_s + 3600 * n},100,{n}\n" for n in range(hours))
    household = Household(script, date(2024, 10, 18), "00" * 8)
    assert household.days == [f"2024-10-{18 + n}" for n in range(days)]
    assert household.day_after == f"2024-10-{18 + days}"
    assert household.intervals == 4 * hours
    assert household.import_wh == 100 * hours


def test_a_settlement_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SettlementClient(chain.free_port(), "a secret token")
    assert client.ask("GET", "/readyz") == (UNREACHABLE, {"reason": "unreachable"})
    assert "secret" not in repr(client)
    monkeypatch.setattr("host_tools.settlement_client.RESTART_WAIT_S", 0.3)
    with pytest.raises(ProgramFailed, match="settlement answers 0 to GET /readyz"):
        client.insist("GET", "/readyz")


@pytest.mark.parametrize("speed", ["1", str(chain.SPEED_MAX)])
def test_a_speed_within_its_limits_is_taken(speed: str) -> None:
    assert chain._parser().parse_args(["--speed", speed]).speed == int(speed)


@pytest.mark.parametrize(
    "arguments",
    [["--speed", "0"], ["--speed", str(chain.SPEED_MAX + 1)], ["--first-day", "18.10.2024"], ["x"]],
)
def test_a_mistake_in_the_options_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        chain.main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err
