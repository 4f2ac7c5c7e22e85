"""The household of `make run`: recorded days of a real prosumer, moved into 2024."""

import json
import secrets
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

from host_tools.micropython import ROOT

RECORDED_WEEK = ROOT / "tests/vectors/elicznik/elicznik-2021-10-15-week.csv"

# The same day of the week, and the same side of the clock change, as 15 October 2021; but in the
# half-year whose law the tables hold.
FIRST_DAY = "2024-10-18"

PPE = "590322456789012348"
IMP_PER_KWH = 1000
CAPTURE_PERIOD_S = 900
DAY_S = 86_400
HOUR_S = 3600
CONTRACT = {
    "tariff_group": "G11",
    "phases": 3,
    "readout_months": 1,
    "annual_kwh": 2600,
    "unit_price_pln_per_kwh": "0.6490",
}


class Household:
    """Whole days of hourly energy, and who the meter is.

    `script` has lines start_s,import_wh,export_wh in UTC; its first hour starts `first_day`.
    """

    def __init__(self, script: str, first_day: date, meter_id: str) -> None:
        rows = [[int(cell) for cell in line.split(",")] for line in script.splitlines()]
        self.script = script
        self.meter_id = meter_id
        self.import_wh = sum(row[1] for row in rows)
        self.start_s, self.end_s = rows[0][0], rows[-1][0] + HOUR_S
        self.intervals = (self.end_s - self.start_s) // CAPTURE_PERIOD_S
        # Whole civil days: a change of the clock makes the span an hour longer or shorter.
        count = round((self.end_s - self.start_s) / DAY_S)
        self.days = [(first_day + timedelta(days=n)).isoformat() for n in range(count)]
        self.day_after = (first_day + timedelta(days=count)).isoformat()

    def point(self) -> dict[str, object]:
        """The metering point as settlement takes it: the contract and the meter."""
        contract = {**CONTRACT, "valid_from": self.days[0], "valid_to": self.day_after}
        meter = {"meter_id": self.meter_id, "from_s": self.start_s, "to_s": self.end_s}
        return {"contract": contract, "meters": [meter]}


def recorded(export: Path, first_day: str) -> Household:
    """The days of an eLicznik export as UTC hours, with a meter of random identity.

    Raises subprocess.CalledProcessError when settlement's importer refuses the file or the day.
    """
    command = [sys.executable, "-m", "settlement", "elicznik", str(export.resolve())]
    script = subprocess.run(
        [*command, "--move-to", first_day], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return Household(script, date.fromisoformat(first_day), secrets.token_hex(8))


def pair(household: Household, directory: Path, port: int, speed: int) -> dict[str, object]:
    """Write the meter's folder and return what the gateway's registry needs: key and password."""
    directory.mkdir()
    (directory / "household.csv").write_text(household.script)
    registration: dict[str, object] = {
        "meter_id": household.meter_id,
        "meter_key": secrets.token_hex(32),
        "key_epoch": 0,
        "password": secrets.token_urlsafe(24),
    }
    config = {
        **registration,
        "gateway_host": "127.0.0.1",
        "gateway_port": port,
        "imp_per_kwh": IMP_PER_KWH,
        "capture_period_s": CAPTURE_PERIOD_S,
        "household": "household.csv",
        "speed": speed,
    }
    write_secret(directory / "config.json", json.dumps(config))
    return registration


def write_secret(path: Path, text: str) -> None:
    """Create a file that only its owner can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
