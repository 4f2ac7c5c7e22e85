"""The hand-over record of a meter exchange (protokół): one page of text in Polish, to be signed."""

from __future__ import annotations

import textwrap
from datetime import datetime

from host_tools.pairing.errors import BadInput
from host_tools.pairing.exchange import split
from host_tools.pairing.label import serial_of
from host_tools.pairing.work_orders import CAPTURE_PERIOD_S, DONE, PLACE, WorkOrder

COLUMNS, LINES_MAX = 78, 60  # of a page with an ordinary printer's font
_NAME_COLUMNS = 30


def record(order: WorkOrder, capture_period_s: int = CAPTURE_PERIOD_S) -> str:
    """Raises BadInput for an order that is not done, or that does not fit the page."""
    if order.state != DONE:
        raise BadInput(f"order {order.order} is {order.state}; record the exchange first")
    blocks = [
        [
            "PROTOKÓŁ WYMIANY LICZNIKA ENERGII ELEKTRYCZNEJ".center(COLUMNS).rstrip(),
            f"nr {order.order}".center(COLUMNS).rstrip(),
        ],
        _fields(("Punkt poboru energii (PPE)", order.ppe), ("Adres", order.address),
                ("Odbiorca", order.customer)),
        ["LICZNIK ZDEMONTOWANY", *_fields(
            ("Numer", order.old_meter or order.old_meter_id or "—"),
            ("Data i godzina demontażu", _time(order.removed_s)),
            ("Stan 1.8.0 (energia pobrana)", _kwh(order.old_import_wh)),
            ("Stan 2.8.0 (energia oddana)", _kwh(order.old_export_wh)))],
        ["LICZNIK ZAMONTOWANY", *_fields(
            ("Numer seryjny", serial_of(bytes.fromhex(order.new_meter_id))),
            ("Data i godzina montażu", _time(order.installed_s)),
            ("Stan 1.8.0 (energia pobrana)", _kwh(order.new_import_wh)),
            ("Stan 2.8.0 (energia oddana)", _kwh(order.new_export_wh)))],
        ["OKRES REJESTRACJI", *_wrapped(_interval(order, capture_period_s))],
        _fields(("Plomby", order.seals or "—"), ("Uwagi", order.remarks or "—")),
        _wrapped("Strony potwierdzają zgodność powyższych danych i stanów liczydeł ze stanem"
                 " faktycznym. Protokół sporządzono w dwóch jednobrzmiących egzemplarzach."),
        ["", "", f"{'.' * 30}{'.' * 30:>48}",
         f"{'Technik: ' + (order.technician or ''):<48}{'Odbiorca':<30}".rstrip()],
    ]  # fmt: skip
    lines = [line for block in blocks for line in (*block, "")]
    if len(lines) > LINES_MAX:
        raise BadInput(f"the record has {len(lines)} lines, a page {LINES_MAX}: shorten remarks")
    return "\n".join(lines).rstrip() + "\n"


def _interval(order: WorkOrder, capture_period_s: int) -> str:
    parted = split(order.removed_s, order.installed_s, capture_period_s)
    minutes = capture_period_s // 60
    if not parted.lost:
        return (
            f"Chwila wymiany leży na granicy okresu rejestracji ({minutes} min): wszystkie okresy"
            " przed nią należą do licznika zdemontowanego, wszystkie od niej do zamontowanego."
        )
    return (
        f"Okresy rejestracji ({minutes} min) od {_time(parted.old_to_s)} do"
        f" {_time(parted.new_from_s)} (liczba: {parted.lost}), w których wymieniono licznik, nie"
        " należą do żadnego z liczników; ich energia zostanie oszacowana."
    )


def _fields(*pairs: tuple[str, str]) -> list[str]:
    lines = []
    for name, value in pairs:
        first, *more = textwrap.wrap(value, COLUMNS - _NAME_COLUMNS - 2) or [""]
        lines.append(f"  {name + ':':<{_NAME_COLUMNS}}{first}".rstrip())
        lines += [" " * (_NAME_COLUMNS + 2) + line for line in more]
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent="  ", subsequent_indent="  ")


def _time(second: int) -> str:
    at = datetime.fromtimestamp(second, PLACE)
    return f"{at:%d.%m.%Y %H:%M} ({at.tzname()})"


def _kwh(energy_wh: int) -> str:
    if energy_wh < 0:
        return "— (brak rejestru)"
    whole = f"{energy_wh // 1000:,}".replace(",", " ")
    return f"{whole},{energy_wh % 1000:03} kWh"
