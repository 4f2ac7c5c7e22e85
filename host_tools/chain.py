"""The whole chain on this computer, from a pulse in MicroPython to an invoice: `make run`."""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from host_tools import household
from host_tools.household import Household
from host_tools.micropython import ROOT, MicroPythonMissing, find_micropython, micropython_env
from host_tools.programs import Program, ProgramFailed, wait_for
from host_tools.settlement_client import SettlementClient
from host_tools.trip import MeterLog, energy_line, invoice_lines, kwh, pln, trip_lines

SPEED = 10080  # a week in about a minute
SPEED_MAX = 1_000_000  # what the meter takes
START_WAIT_S = 60.0
SETTLE_WAIT_S = 120.0  # from the last receipt to the last reading in settlement
STALL_WAIT_S = 300.0  # without one new interval or receipt
PROGRESS_S = 5.0  # and after every metered day
DAY = 96  # intervals

EXIT_OK = 0
EXIT_FAILED = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the chain; 0 when the invoice bills exactly what the household used."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix="openlicznik-"))
    try:
        days = household.recorded(options.household, options.first_day)
        chain = Chain(directory, days, options.speed)
        with ExitStack() as running:
            running.callback(chain.stop)
            chain.start()
            chain.follow()
            result = chain.settle()
            print(json.dumps(result) if options.json else "\n".join(chain.story(result)))
            sys.stdout.flush()
            if not options.once:
                _stay(chain)
        return EXIT_OK
    except KeyboardInterrupt:
        say("Stopped.")
        return EXIT_OK if not options.once else 130
    except (ProgramFailed, MicroPythonMissing) as error:
        say(f"error: {error}")
        return EXIT_FAILED
    except subprocess.CalledProcessError as error:
        say(f"error: {(error.stderr or '').strip()}")
        return EXIT_FAILED
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Chain:
    """One meter, one gateway and one settlement service, with all their files in one folder."""

    def __init__(self, directory: Path, days: Household, speed: int) -> None:
        self.directory = directory
        self.log = MeterLog()
        self.household = days
        self._speed = speed
        self._shown = ""
        self._token = secrets.token_urlsafe(32)
        self._gateway_port = free_port()
        self._settlement_port = free_port()
        self._client = SettlementClient(self._settlement_port, self._token)
        self.programs = [self._settlement(), self._gateway(), self._meter()]

    # -------------------------------------------------------------- the story

    def start(self) -> None:
        """Start the three programs, each when the one it needs is there, and pair the meter."""
        settlement, gateway, meter = self.programs
        say("Starting settlement, gateway and one meter on the MicroPython unix port ...")
        settlement.start()
        wait_for("settlement", self._settlement_ready, [settlement], START_WAIT_S)
        self._client.insist("PUT", f"/v1/points/{household.PPE}", self.household.point())
        gateway.start()
        wait_for("the gateway", self._gateway_ready, [gateway], START_WAIT_S)
        directory = self.directory / "meter"
        paired = household.pair(self.household, directory, self._gateway_port, self._speed)
        self._gateway_command("meters", "add", given=json.dumps(paired))
        meter.start()
        for program in self.programs:
            say(f"  {program.name:<10} pid {program.pid}")
        say(f"  page       {self.page}")

    def follow(self) -> None:
        """Show the week go by until its last interval is receipted."""
        shown_at = moved_at = time.monotonic()
        seen, days = (0, 0), 0
        while not self.log.done():
            for program in self.programs:
                program.check()
            time.sleep(0.1)
            now = time.monotonic()
            if (progress := (len(self.log.intervals), self.log.receipted)) != seen:
                seen, moved_at = progress, now
            if now - shown_at >= PROGRESS_S or len(self.log.intervals) // DAY > days:
                shown_at, days = now, len(self.log.intervals) // DAY
                self._show_progress()
            if now - moved_at > STALL_WAIT_S:
                raise ProgramFailed(f"nothing has moved for {STALL_WAIT_S:.0f} s")
        self._show_progress()

    def settle(self) -> dict[str, Any]:
        """Issue the invoice once settlement has all readings; check it against the household.

        Raises ProgramFailed when the energy on the invoice is not that of the household's file.
        """
        invoice: dict[str, Any] = {}

        def issued() -> bool:
            period = {"start": self.household.days[0], "end": self.household.day_after}
            status, answer = self._client.ask(
                "POST", f"/v1/points/{household.PPE}/invoices", period
            )
            if status in (200, 201):
                invoice.update(answer)
            elif answer.get("reason") not in ("incomplete", "unreachable"):
                raise ProgramFailed(f"settlement issues no invoice ({status}): {answer}")
            return bool(invoice)

        wait_for("the last readings", issued, self.programs, SETTLE_WAIT_S)
        billed_wh = invoice["usage"]["import_wh"]
        billed_kwh = int(energy_line(invoice)["quantity"])
        used_wh = self.household.import_wh
        if billed_wh != used_wh or billed_kwh != (used_wh + 500) // 1000:
            raise ProgramFailed(f"billed {billed_wh} Wh ({billed_kwh} kWh), used {used_wh} Wh")
        return {"invoice": invoice, "page": self.page, "restarts": self._restarts()}

    def story(self, result: dict[str, Any]) -> list[str]:
        """What happened, for a reader: the trip of one interval, the invoice, the page."""
        invoice = result["invoice"]
        interval, before, sent = self.log.example()
        trace = json.loads(
            self._gateway_command(
                "trace", self.household.meter_id, str(sent["frame_counter"]), "--json"
            )
        )
        used = f"{kwh(self.household.import_wh)} kWh imported"
        return [
            "",
            *trip_lines(
                interval, before, sent, trace, self._hour_of(interval),
                invoice, self.household.meter_id,
            ),
            "",
            *invoice_lines(invoice),
            "",
            f"The household's file has {used}; the invoice bills"
            f" {energy_line(invoice)['quantity']} kWh: they agree.",
            f"Invoice total: {pln(invoice['summary']['8_to_pay_gr'])} PLN."
            f" Moj Licznik: {self.page}",
        ]  # fmt: skip

    def stop(self) -> None:
        """Stop the programs, the meter first."""
        for program in reversed(self.programs):
            program.stop()

    # -------------------------------------------------------------- the programs

    def _settlement(self) -> Program:
        toml = self._folder("settlement") / "settlement.toml"
        household.write_secret(toml.parent / "token", self._token)
        toml.write_text(
            f'[http]\nhost = "127.0.0.1"\nport = {self._settlement_port}\n'
            '[store]\npath = "settlement.db"\n[auth]\ntoken_file = "token"\n'
            '[log]\nformat = "json"\nlevel = "info"\n'
        )
        return self._python("settlement", toml)

    def _gateway(self) -> Program:
        toml = self._folder("gateway") / "gateway.toml"
        household.write_secret(toml.parent / "token", self._token)
        household.write_secret(toml.parent / "master.key", secrets.token_hex(32))
        toml.write_text(
            f'gateway_id = "gw-1"\n[endpoint]\nhost = "127.0.0.1"\nport = {self._gateway_port}\n'
            '[store]\npath = "gateway.db"\nmaster_key_file = "master.key"\n'
            f'[settlement]\nurl = "http://127.0.0.1:{self._settlement_port}"\n'
            'token_file = "token"\n[log]\nformat = "json"\nlevel = "info"\n'
        )
        return self._python("gateway", toml)

    def _meter(self) -> Program:
        board = str(self.directory / "meter")
        command = [str(find_micropython()), "-m", "boards.unix", board]
        return Program("meter", command, ROOT, micropython_env(), self.log.hear)

    def _python(self, name: str, toml: Path) -> Program:
        command = [sys.executable, "-m", name, "run", "--config", str(toml)]
        return Program(name, command, ROOT, os.environ)

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _restarts(self) -> dict[str, int]:
        return {program.name: program.restarts for program in self.programs}

    # -------------------------------------------------------------- talking to them

    @property
    def page(self) -> str:
        """Address of the portal's page, on the last day of the week."""
        return f"http://127.0.0.1:{self._settlement_port}/moj-licznik/{household.PPE}"

    def _settlement_ready(self) -> bool:
        return self._client.ask("GET", "/readyz")[0] == 200

    def _gateway_ready(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._gateway_port)) == 0

    def _hour_of(self, interval: dict[str, Any]) -> dict[str, Any]:
        """The hour, as settlement has it, in which the interval lies."""
        hour_s = interval["start_s"] // 3600 * 3600
        for day in self.household.days:
            answer = self._client.insist("GET", f"/v1/points/{household.PPE}/readings?day={day}")
            for hour in answer["hours"]:
                if hour["start_s"] == hour_s:
                    found: dict[str, Any] = hour
                    return found
        raise ProgramFailed(f"settlement has no hour that starts at {hour_s}")

    def _gateway_command(self, *words: str, given: str = "") -> str:
        toml = str(self.directory / "gateway/gateway.toml")
        command = [sys.executable, "-m", "gateway", *words, "--config", toml]
        done = subprocess.run(
            command, cwd=ROOT, check=True, input=given, capture_output=True, text=True
        )
        return done.stdout

    def _show_progress(self) -> None:
        with self.log.lock:
            closed, receipted = len(self.log.intervals), self.log.receipted
            last = self.log.intervals[max(self.log.intervals)] if closed else None
        imported = kwh(last["import_wh"]) if last else "0.000"
        number = last["number"] if last else 0
        restarts = sum(self._restarts().values())
        again = f", {restarts} restarts" if restarts else ""
        line = (
            f"  {number:>4} of {self.household.intervals} intervals closed,"
            f" {receipted:>4} receipted, {imported:>7} kWh imported{again}"
        )
        if line != self._shown:
            self._shown = line
            say(line)


def free_port() -> int:
    """A TCP port of this computer that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def say(text: str) -> None:
    """One line of progress; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _stay(chain: Chain) -> None:
    say("Running until Ctrl-C ...")
    while True:
        for program in chain.programs:
            program.check()
        time.sleep(0.5)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _speed(text: str) -> int:
    speed = int(text)
    if not 1 <= speed <= SPEED_MAX:
        raise argparse.ArgumentTypeError(f"1 to {SPEED_MAX}")
    return speed


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write a day as 2024-10-18") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make run",
        description=__doc__,
        epilog='examples: make run;  make run ARGS=--once;  make run ARGS="--once --speed 100000"',
    )
    parser.add_argument("--once", action="store_true", help="end by itself after the invoice")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument(
        "--household", type=Path, default=household.RECORDED_WEEK, metavar="FILE",
        help="an eLicznik export of whole days, import and export; default: a recorded week",
    )  # fmt: skip
    parser.add_argument(
        "--first-day", type=_day, default=household.FIRST_DAY, metavar="YYYY-MM-DD",
        help=f"the day that its first day becomes, July to December 2024 ({household.FIRST_DAY})",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=_speed, default=SPEED, metavar="N",
        help=f"metered seconds in one real second (default {SPEED}: the week in a minute)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
