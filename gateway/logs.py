"""The log: one event a line on standard output, for people or for machines, never with a secret."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config import Log

HUSHED = "[not shown]"
# A field that ends in one of these is never written, whatever was handed in by mistake.
SECRET_NAMES = ("key", "password", "token", "secret", "credential", "authorization", "psk")
PUBLIC_NAMES = ("idempotency_key",)
# sd-daemon(3): a line that begins with <N> has this priority in the systemd journal.
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Local variables are never written: a key may be among them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def set_up(config: Log, environ: Mapping[str, str], stream: TextIO = sys.stdout) -> None:
    """Log our own events, and the warnings of libraries, in one form."""
    prefixed = is_journal(environ, stream)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hush,
    ]
    last = _renderer(config, stream)
    if prefixed:
        last = _Prefixed(last)
    shared += [_TRACEBACKS] if config.format == "json" else []
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _renderer(config: Log, stream: TextIO) -> Processor:
    if config.format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def hush(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the value of every field whose name says that it is a secret."""
    for name in event:
        if name not in PUBLIC_NAMES and name.lower().endswith(SECRET_NAMES):
            event[name] = HUSHED
    return event


class _Prefixed:
    """Puts the priority before the line, where the systemd journal reads it and takes it off."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        priority = PRIORITIES.get(str(event.get("level")), PRIORITIES["info"])
        return f"<{priority}>{self._renderer(logger, method, event)!s}"


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether the stream goes to the systemd journal (systemd.exec(5), JOURNAL_STREAM)."""
    named = environ.get("JOURNAL_STREAM", "")
    if not named:
        return False
    try:
        found = os.fstat(stream.fileno())
    except OSError:  # a stream without a file, in tests
        return False
    return named == f"{found.st_dev}:{found.st_ino}"
