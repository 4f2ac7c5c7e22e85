"""`export`: readings, events or frames of the journal to standard output."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from gateway import journal
from gateway.cli.common import DEFAULT_CONFIG, ConfigOption, looking, meter_id_of
from gateway.errors import UsageError
from gateway.forwarding import export as exporting
from gateway.forwarding.export import Piece, Wanted

PROGRESS_AFTER_S = 2.0
PROGRESS_EVERY_S = 2.0
INTERRUPTED = 130  # as a shell says of a program that Ctrl-C ended

app = typer.Typer(
    no_args_is_help=True, help="Print readings, events or frames of the journal as CSV or JSON."
)


class Format(StrEnum):
    """How rows are printed."""

    csv = "csv"
    jsonl = "jsonl"
    json = "json"


MeterOption = Annotated[str | None, typer.Option("--meter", metavar="METER_ID")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="such as 2026-11-01 or ...T06:00:00Z")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="TIME", help="not included")]
FormatOption = Annotated[Format, typer.Option("--format", help="how rows are printed")]


@app.command(epilog="Example: export readings --from 2026-11-01 --to 2026-12-01 > november.csv")
def readings(
    meter: MeterOption = None,
    since: FromOption = None,
    until: ToOption = None,
    form: FormatOption = Format.csv,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Intervals by their start, in the order in which they came; CSV has a line a register."""
    wanted = _wanted(meter, since, until)
    with looking(config) as connection:
        found = exporting.pieces(connection, exporting.pick_readings, wanted)
        _print(found, journal.last_id(connection), form, exporting.READING_COLUMNS)


@app.command(epilog="Example: export events --meter 00112233aabbccdd --format jsonl")
def events(
    meter: MeterOption = None,
    since: FromOption = None,
    until: ToOption = None,
    form: FormatOption = Format.csv,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Events of meters by their time."""
    wanted = _wanted(meter, since, until)
    with looking(config) as connection:
        found = exporting.pieces(connection, exporting.pick_events, wanted)
        _print(found, journal.last_id(connection), form, exporting.EVENT_COLUMNS)


@app.command(epilog="Example: export frames --from 2026-11-01T06:00:00Z --format jsonl")
def frames(
    meter: MeterOption = None,
    since: FromOption = None,
    until: ToOption = None,
    form: FormatOption = Format.csv,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Every accepted frame by when it came, opened, its message in hexadecimal."""
    wanted = _wanted(meter, since, until)
    with looking(config) as connection:
        found = exporting.pieces(connection, exporting.pick_frames, wanted)
        _print(found, journal.last_id(connection), form, exporting.FRAME_COLUMNS)


def time_of(text: str | None) -> int | None:
    """UTC seconds of a day, an RFC 3339 instant or a number of seconds. Raises UsageError."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) > 8:
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time; write 2026-11-01, 2026-11-01T06:00:00Z or seconds since 1970"
        ) from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _wanted(meter: str | None, since: str | None, until: str | None) -> Wanted:
    wanted = Wanted(meter_id_of(meter) if meter else None, time_of(since), time_of(until))
    if wanted.from_s is not None and wanted.to_s is not None and wanted.from_s >= wanted.to_s:
        raise UsageError("--from must be before --to")
    return wanted


@contextlib.contextmanager
def _uninterrupted() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back; yields whether it was pressed. To be looked at between two pieces.

    A signal inside a long write makes Python drop the rest of it, handler or not.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield lambda: signal.SIGINT in signal.sigpending()
    finally:
        signal.sigtimedwait({signal.SIGINT}, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _print(
    found: Iterator[Piece], frames_total: int, form: Format, columns: tuple[str, ...]
) -> None:
    with _uninterrupted() as is_stopped:
        try:
            is_whole = _write(found, form, columns, is_stopped, _progress(frames_total))
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has what it wants; nothing is left to be flushed
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
    if not is_whole:
        print("gateway: stopped; what was printed is whole lines, and not all", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _write(
    found: Iterator[Piece],
    form: Format,
    columns: tuple[str, ...],
    is_stopped: Callable[[], bool],
    progress: Callable[[int], None],
) -> bool:
    """Print all of it, or up to where somebody pressed Ctrl-C; whether it was all."""
    write = sys.stdout.write
    write({Format.csv: ",".join(columns) + "\n", Format.json: "[", Format.jsonl: ""}[form])
    before, is_whole = "\n", True
    for piece in found:
        if is_stopped():
            is_whole = False
            break
        if form is Format.csv:
            write(exporting.csv_lines(piece.rows, columns))
        elif form is Format.jsonl:
            write(exporting.json_lines(piece.rows))
        elif piece.rows:
            write(before + exporting.json_lines(piece.rows)[:-1].replace("\n", ",\n"))
            before = ",\n"
        progress(piece.journal_id)
    write("\n]\n" if form is Format.json else "")
    return is_whole


def _progress(frames_total: int) -> Callable[[int], None]:
    """Says on standard error how far it is, once it takes longer than people wait in silence."""
    next_s = time.monotonic() + PROGRESS_AFTER_S

    def say(frames_read: int) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + PROGRESS_EVERY_S
            print(f"gateway: {frames_read} of {frames_total} frames read", file=sys.stderr)

    return say
