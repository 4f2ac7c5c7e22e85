"""What may be told of an exception on a device: never a piece of the code that raised it."""

from __future__ import annotations

import ast
import re

HIDDEN = "***"
_SHORTEST = 4  # characters of a literal worth hiding: shorter ones say nothing
_KIND = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")


def told_error(trace: str, code: str) -> tuple[str, str, str]:
    """A line for the user, the exception's name, and the traceback with the code's values hidden.

    Of code that is no Python here, nothing but the exception's name is told.
    """
    last = trace.strip().splitlines()[-1] if trace.strip() else ""
    kind, _, message = last.partition(":")
    if not _KIND.match(kind):
        kind, message = "Exception", ""
    values = _values(code)
    if values is None:
        shown, trace = "", ""
    else:
        shown, trace = _hidden(message.strip(), values), _hidden(trace.replace("\r", ""), values)
    said = f"{kind}: {shown}" if shown else kind
    return f"code on the device failed with {said}; run it again, or reset the board", kind, trace


def _values(code: str) -> list[str] | None:
    """Every text and bytes literal of the code in the forms in which a message may show it."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and len(value) >= _SHORTEST:
            found |= {value, repr(value)[1:-1], value.encode().hex()}
        elif isinstance(value, bytes) and len(value) >= _SHORTEST:
            found |= {value.decode("latin-1"), repr(value)[2:-1], value.hex()}
    return sorted(found, key=len, reverse=True)


def _hidden(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    return text
