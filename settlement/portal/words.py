"""Polish wording and number formats of the page: decimal comma, groups of thousands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

LINE_NAMES = {
    "active_energy": "Energia czynna",
    "trade_fee": "Opłata handlowa",
    "network_fixed": "Składnik stały stawki sieciowej",
    "quality": "Stawka jakościowa",
    "network_variable": "Składnik zmienny stawki sieciowej",
    "renewable": "Opłata OZE",
    "cogeneration": "Opłata kogeneracyjna",
    "subscription": "Opłata abonamentowa",
    "capacity": "Opłata mocowa",
    "transitional": "Opłata przejściowa",
}
SECTION_NAMES = {"sale": "Sprzedaż energii", "distribution": "Usługa dystrybucji"}
UNIT_NAMES = {"kwh": "kWh", "month": "mies."}
ZONE_NAMES = {
    "day": "dzień",
    "night": "noc",
    "peak": "szczyt",
    "offpeak": "poza szczytem",
    "morning_peak": "szczyt przedpołudniowy",
    "afternoon_peak": "szczyt popołudniowy",
    "other": "pozostałe godziny",
    "night_up_to_reference": "noc do zużycia referencyjnego",
    "night_above_reference": "noc powyżej zużycia referencyjnego",
    # Group G13s has zones by season and kind of day: see zone_name.
    "summer": "lato",
    "winter": "zima",
    "workday": "dzień roboczy",
    "free": "dzień wolny",
    "day_peak": "szczyt",
    "day_offpeak": "poza szczytem",
}
STORAGE_NAMES = {
    "credited_wh": "przyjęto",
    "covered_wh": "pokryto",
    "forfeited_wh": "przepadło",
    "open_wh": "pozostało",
}
DEPOSIT_NAMES = {
    "refunded_gr": "do zwrotu",
    "paid_out_gr": "wypłacono na rachunek",
    "forfeited_gr": "przepadło",
    "open_gr": "pozostało",
}
QUALITY_NAMES = {
    "measured": "licznik",
    "estimated": "szacowany",
    "edited": "poprawiony",
    "missing": "brak danych",
    "clock_unsynced": "zegar niezsynchronizowany",
    "gap": "po przerwie",
    "estimated_va": "moc szacowana",
    "implausible": "wątpliwy",
}
MONTH_NAMES = (
    "stycznia",
    "lutego",
    "marca",
    "kwietnia",
    "maja",
    "czerwca",
    "lipca",
    "sierpnia",
    "września",
    "października",
    "listopada",
    "grudnia",
)
WEEKDAY_NAMES = (
    "poniedziałek",
    "wtorek",
    "środa",
    "czwartek",
    "piątek",
    "sobota",
    "niedziela",
)


def line_name(line: Mapping[str, Any]) -> str:
    """`Energia czynna, szczyt`; a group with one zone has its name alone."""
    name = LINE_NAMES.get(line["code"], line["code"])
    zone = zone_name(line["zone"])
    return f"{name}, {zone}" if zone else name


def zone_name(zone: str) -> str:
    """A zone in Polish, "" where there is only one."""
    if zone in ("", "all_day"):
        return ""
    if zone in ZONE_NAMES:
        return ZONE_NAMES[zone]
    season, _, rest = zone.partition("_")
    kind, _, part = rest.partition("_")
    return ", ".join(ZONE_NAMES.get(each, each) for each in (season, kind, part) if each)


def thousands(number: int) -> str:
    """1226 as 1 226, with spaces that do not break."""
    return f"{number:,}".replace(",", NO_BREAK_SPACE)


def pln(amount_gr: int) -> str:
    """152948 grosz as 1 529,48."""
    sign = "-" if amount_gr < 0 else ""
    whole, rest = divmod(abs(amount_gr), 100)
    return f"{sign}{thousands(whole)},{rest:02d}"


def kwh(energy_wh: int | None) -> str:
    """1226 Wh as 1,226; missing energy is a dash, not a zero."""
    if energy_wh is None:
        return "\N{EN DASH}"
    whole, rest = divmod(energy_wh, 1000)
    return f"{thousands(whole)},{rest:03d}"


def decimal(text: str) -> str:
    """An exact decimal text with a comma; whole numbers get their groups."""
    whole, point, places = text.partition(".")
    return thousands(int(whole)) + ("," + places if point else "")


def quality(described: str) -> str:
    """`measured, estimated+gap` in Polish."""
    parts = [
        " + ".join(QUALITY_NAMES.get(word, word) for word in part.split("+"))
        for part in described.split(", ")
    ]
    return ", ".join(parts)


def day(iso: str) -> str:
    """2024-10-27 as 27 października 2024."""
    year, month, number = (int(part) for part in iso.split("-"))
    return f"{number} {MONTH_NAMES[month - 1]} {year}"
