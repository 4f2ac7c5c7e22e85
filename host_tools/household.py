"""The household of `make run`: one recorded week of a real prosumer, moved into 2024."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

from host_tools.micropython import ROOT

RECORDED_WEEK = ROOT / "tests/vectors/elicznik/elicznik-2021-10-15-week.csv"

# The same days of the week, and the same side of the clock change, as 15-21 October 2021; but in
# the half-year whose law the tables hold.
FIRST_DAY = "2024-10-18"
DAYS = tuple(f"2024-10-{day}" for day in range(18, 25))
DAY_AFTER = "2024-10-25"
FIRST_DAY_S = 1729202400  # 2024-10-18T00:00 in Warsaw
DAY_AFTER_S = 1729807200
INTERVALS = (DAY_AFTER_S - FIRST_DAY_S) // 900

PPE = "590322456789012348"
IMP_PER_KWH = 1000
CONTRACT = {
    "tariff_group": "G11",
    "phases": 3,
    "readout_months": 1,
    "annual_kwh": 2600,
    "unit_price_pln_per_kwh": "0.6490",
    "valid_from": FIRST_DAY,
    "valid_to": DAY_AFTER,
}


class Household:
    """What the files hold and who the meter is. The meter's secrets live in files of mode 0600."""

    def __init__(self, script: str, meter_id: str) -> None:
        self.script = script
        self.meter_id = meter_id
        rows = [[int(cell) for cell in line.split(",")] for line in script.splitlines()]
        self.import_wh = sum(row[1] for row in rows)
        self.export_wh = sum(row[2] for row in rows)

    def point(self) -> dict[str, object]:
        """The metering point as settlement takes it: the contract and the meter."""
        meter = {"meter_id": self.meter_id, "from_s": FIRST_DAY_S, "to_s": DAY_AFTER_S}
        return {"contract": CONTRACT, "meters": [meter]}


def recorded() -> Household:
    """The recorded week as UTC hours, with a meter of random identity.

    Raises subprocess.CalledProcessError when settlement's importer refuses the file.
    """
    command = [sys.executable, "-m", "settlement", "elicznik", str(RECORDED_WEEK)]
    script = subprocess.run(
        [*command, "--move-to", FIRST_DAY], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return Household(script, secrets.token_hex(8))


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
        "capture_period_s": 900,
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
