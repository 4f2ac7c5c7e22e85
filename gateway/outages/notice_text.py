"""What a notice says: its JSON body, and the same for people in Polish and English (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.outages.meter_events import Kept, to_dict
from gateway.outages.outage_records import (
    CLOSED,
    SAID_BY_GATEWAY,
    UNREACHED,
    AreaOutage,
    Tell,
)

SUBJECT_CHARS_MAX = 120
MEMBERS_SHOWN_MAX = 50  # meters named in the notice of an area; all are in the database

Body = Mapping[str, object]

_CAUSES = {
    "last_gasp": ("licznik zgłosił utratę zasilania", "the meter's last gasp"),
    "last_will": ("połączenie licznika zostało zerwane", "the meter's line died"),
    "silence": ("licznik milczy", "the meter is silent"),
    "meter": ("licznik zgłosił po fakcie", "told by the meter afterwards"),
}


class Notice(NamedTuple):
    """Something to be told. Notices of one subject go out in order."""

    subject: str
    notice_id: str  # the same in every attempt
    body: Body


class Mail(NamedTuple):
    """A notice for people."""

    subject: str
    text: str


def of_outage(gateway_id: str, tell: Tell) -> Notice:
    """The notice that an outage was opened or closed."""
    outage = tell.outage
    body: dict[str, object] = {
        "gateway_id": gateway_id,
        "what": tell.what,
        "area": outage.area,
        "began_s": outage.began_s,
        "ended_s": outage.ended_s,
        "duration_s": None if outage.ended_s is None else outage.ended_s - outage.began_s,
    }
    if isinstance(outage, AreaOutage):
        members = sorted(member.hex() for member in outage.members)
        kind, subject = "area_outage", f"area/{outage.area}"
        body |= {
            "meters": len(members),
            "meters_back": outage.back,
            "meter_ids": members[:MEMBERS_SHOWN_MAX],
            "why": "gateway_unreached" if outage.area == UNREACHED else "area",
        }
    else:
        kind, subject = "outage", f"meter/{outage.meter_id.hex()}"
        body |= {
            "meter_id": outage.meter_id.hex(),
            "cause": outage.cause,
            "confirmed": outage.cause == "last_gasp" or outage.said_by != SAID_BY_GATEWAY,
        }
    notice_id = f"{gateway_id}/{kind}/{outage.row_id}/{tell.what}"
    return Notice(subject, notice_id, {"notice_id": notice_id, "kind": kind} | body)


def of_events(gateway_id: str, events: Sequence[Kept]) -> Notice:
    """The notice that hands on events of meters, oldest first."""
    notice_id = f"{gateway_id}/events/{events[0].event_id}-{events[-1].event_id}"
    body = {
        "notice_id": notice_id,
        "kind": "events",
        "gateway_id": gateway_id,
        "events": [to_dict(event) for event in events],
    }
    return Notice("events", notice_id, body)


def mail(body: Body) -> Mail:
    """An outage's notice as an e-mail, Polish first. The subject is one line, always."""
    over = body["what"] == CLOSED
    polish, english = _heading(body, over)
    lines = []
    for heading, names, cause in (
        (polish, ("początek", "koniec", "czas trwania", "przyczyna"), 0),
        (english, ("began", "ended", "lasted", "cause"), 1),
    ):
        lines += [heading, "", f"{names[0]}: {_utc(body['began_s'])}"]
        if over:
            lines += [f"{names[1]}: {_utc(body['ended_s'])}", f"{names[2]}: {body['duration_s']} s"]
        if "cause" in body:
            lines.append(f"{names[3]}: {_CAUSES[str(body['cause'])][cause]}")
        lines += ["", ""]
    lines.append(str(body["notice_id"]))
    return Mail(one_line(f"{polish} / {english}")[:SUBJECT_CHARS_MAX], "\n".join(lines) + "\n")


def _heading(body: Body, over: bool) -> tuple[str, str]:
    if body["kind"] == "area_outage":
        meters = body["meters"]
        if body["why"] == UNREACHED:
            polish, english = f"Brak łączności, liczników: {meters}", f"{meters} meters unreached"
            return (
                (f"Powrót: {polish}", f"Over: {english}")
                if over
                else (f"{polish} (łącze bramki)", f"{english} (the gateway's own line)")
            )
        polish = f"{body['area']}: brak zasilania, liczników: {meters}"
        english = f"{body['area']}: {meters} meters without supply"
    else:
        polish = f"Licznik {body['meter_id']} bez zasilania"
        english = f"meter {body['meter_id']} without supply"
    return (f"Koniec: {polish}", f"Over: {english}") if over else (polish, english)


def one_line(text: str) -> str:
    """Text without anything that could end a header: control characters become blanks."""
    return "".join(char if char.isprintable() else " " for char in text)


def _utc(seconds: object) -> str:
    assert isinstance(seconds, int)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
