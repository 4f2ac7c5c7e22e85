"""Polish wording and number formats of the page: decimal comma, groups of thousands."""

from __future__ import annotations

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
ZONE_NAMES = {"all_day": "całodobowa"}
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
