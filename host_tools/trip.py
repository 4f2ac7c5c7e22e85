"""The trip of one interval through the chain, and the invoice, as lines of text."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from typing import Any

from host_tools.programs import Event


@dataclass
class MeterLog:
    """What the meter has said so far. Written by its thread, read by the story."""

    intervals: dict[int, Event] = field(default_factory=dict)
    sent: list[Event] = field(default_factory=list)
    receipted: int = 0
    script_intervals: int | None = None
    lock: Lock = field(default_factory=Lock)

    def hear(self, event: Event) -> None:
        """Take one event of the meter's output."""
        kind = event["event"]
        with self.lock:
            if kind == "interval":
                self.intervals[event["number"]] = event
            elif kind == "sent" and event.get("count"):
                self.sent.append(event)
            elif kind == "receipt":
                self.receipted = max(self.receipted, event["interval"])
            elif kind == "script_end":
                self.script_intervals = event["intervals"]

    def done(self) -> bool:
        """Whether the household's script has ended and every interval of it is receipted."""
        return self.script_intervals is not None and self.receipted >= self.script_intervals

    def example(self) -> tuple[Event, Event, Event]:
        """An interval with import and export in it if there is one, the one before, its frame."""
        with self.lock:
            known = [
                (interval, before, sent)
                for number, interval in sorted(self.intervals.items())
                if (before := self.intervals.get(number - 1)) and (sent := self._frame_of(number))
            ]
        assert known, "a run has many intervals that were sent"
        both = [trip for trip in known if trip[0]["import_delta_wh"] and trip[0]["export_delta_wh"]]
        return (both or known)[len(both or known) // 2]

    def _frame_of(self, number: int) -> Event | None:
        for sent in reversed(self.sent):
            if sent["first"] <= number < sent["first"] + sent["count"]:
                return sent
        return None


def trip_lines(
    interval: Event,
    before: Event,
    sent: Event,
    trace: dict[str, Any],
    hour: dict[str, Any],
    invoice: dict[str, Any],
    meter_id: str,
) -> list[str]:
    """One line for each room that the interval passes."""
    number = interval["number"]
    pulses = [now - then for now, then in zip(interval["pulses"], before["pulses"], strict=True)]
    energy = energy_line(invoice)
    return [
        f"The trip of interval {number}, which starts at {utc(interval['start_s'])}:",
        f"  pulses     {pulses[0]} import, {pulses[1]} export"
        f" (counters at {interval['pulses'][0]} and {interval['pulses'][1]})",
        f"  register   1.8.0 {interval['import_wh']} Wh (+{interval['import_delta_wh']}),"
        f" 2.8.0 {interval['export_wh']} Wh (+{interval['export_delta_wh']})",
        f"  frame      counter {sent['frame_counter']}, {sent['bytes']} bytes sealed,"
        f" intervals {sent['first']}..{sent['first'] + sent['count'] - 1}",
        f"  accepted   from meter {meter_id}, gateway journal id {trace['journal_id']}",
        f"  batch      {trace['batch_id']}, Idempotency-Key {trace['idempotency_key'][:16]}...",
        f"  reading    hour {hour['label']}: {kwh(hour['import_wh'])} kWh imported,"
        f" {kwh(hour['export_wh'])} kWh exported, {hour['quality']}",
        f"  invoice    {energy['quantity']} kWh x {energy['unit_price_pln']} PLN"
        f" = {pln(energy['net_gr'])} net, {pln(energy['gross_gr'])} gross",
    ]


def invoice_lines(invoice: dict[str, Any]) -> list[str]:
    """The invoice as a table: a row for each line, then what is to pay."""
    lines = [f"Invoice {invoice['number']}, {invoice['start']} to {invoice['end']} (exclusive):"]
    lines.append(f"  {'PLN':<24} {'net':>9} {'VAT':>8} {'gross':>9}")
    for line in invoice["lines"]:
        amounts = [pln(line[key]) for key in ("net_gr", "vat_gr", "gross_gr")]
        name = line["code"].replace("_", " ")
        lines.append(f"  {name:<24} {amounts[0]:>9} {amounts[1]:>8} {amounts[2]:>9}")
    lines.append(f"  {'to pay':<24} {'':>9} {'':>8} {pln(invoice['summary']['8_to_pay_gr']):>9}")
    return lines


def energy_line(invoice: dict[str, Any]) -> dict[str, Any]:
    """The line of active energy."""
    lines: list[dict[str, Any]] = invoice["lines"]
    return next(line for line in lines if line["code"] == "active_energy")


def kwh(energy_wh: int | None) -> str:
    """kWh with three decimals, or a word where the energy is not known."""
    return "missing" if energy_wh is None else f"{Decimal(energy_wh).scaleb(-3):.3f}"


def utc(instant_s: int) -> str:
    """An instant for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(instant_s))


def pln(amount_gr: int) -> str:
    """An amount in zloty with two decimals."""
    return f"{Decimal(amount_gr).scaleb(-2):.2f}"
