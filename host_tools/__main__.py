"""The command line: every command in a file of host_tools/cli, loaded when it is asked for."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType

import typer

from host_tools.cli.common import complain, say
from host_tools.pairing.errors import (
    BadIdentity,
    BadInput,
    ExposedSecret,
    InsecureAddress,
    WrongLabel,
)
from host_tools.pairing.stages import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, Stopped

NAME = "openlicznik-tools"  # for shell completion; from a clone it is `python -m host_tools`
# Command -> its file; what is in NOUNS has commands of its own.
COMMANDS = {
    "ports": "ports", "probe": "ports", "boards": "boards", "pins": "boards", "image": "flash",
    "flash": "flash", "pair": "pair", "repair": "pair", "move": "pair", "decommission": "pair",
    "fleet": "fleet", "offline": "offline", "order": "order", "explain": "explain",
    "audit": "audit", "doctor": "doctor", "lockdown": "lockdown", "firmware": "firmware",
}  # fmt: skip
NOUNS = ("offline", "order", "audit", "firmware")
USAGE_ERRORS = (BadIdentity, BadInput, ExposedSecret, InsecureAddress, WrongLabel)


def application(word: str) -> typer.Typer:
    """The command line with the file of this command; with all of them for help and completion."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="OpenLicznik: flash boards, pair meters, exchange them, explain frames.",
        epilog="Example: probe, then flash esp32_devkit, then pair. Every command has --help with"
        " an example, and --json. Exit codes: docs/pairing.md.",
    )
    app.callback()(root)
    files = {COMMANDS[word]} if word in COMMANDS else dict.fromkeys(COMMANDS.values())
    for file in files:
        module = importlib.import_module(f"host_tools.cli.{file}")
        app.add_typer(module.app, name=file if file in NOUNS else None)
    return app


def root() -> None:
    """OpenLicznik: flash boards, pair meters, exchange them, explain frames."""


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 2 for a mistake in usage, a stage's own code, 130 for ^C, 1 for anything else.

    A mistake of the user is one line, `reason: text`; with --json it is an object on stdout, too.
    """
    words = sys.argv[1:] if argv is None else argv
    app = application(next((word for word in words if not word.startswith("-")), ""))
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(args=words, prog_name=NAME)
    except Stopped as stopped:
        _complain("stopped", str(stopped), words)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        _complain("stopped", "run it again to go on", words)
        return EXIT_INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        reason = getattr(error, "reason", None)
        if not type(error).__module__.startswith("host_tools.") or not isinstance(reason, str):
            raise
        _complain(reason, str(error), words)
        return EXIT_USAGE if isinstance(error, USAGE_ERRORS) else EXIT_FAILED
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _complain(reason: str, text: str, words: list[str]) -> None:
    if "--json" in words:
        say({"event": "error", "reason": reason, "detail": text})
    complain(f"{reason}: {text}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
