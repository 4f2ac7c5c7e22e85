"""Who may administer over HTTP: a file of names with bearer tokens, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

from gateway.config import TOKEN_CHARS_MAX, TOKEN_CHARS_MIN, read_secret
from gateway.errors import ConfigError

ADMINISTRATORS_MAX = 32
NAME_CHARS_MAX = 32
FILE_BYTES_MAX = ADMINISTRATORS_MAX * (NAME_CHARS_MAX + TOKEN_CHARS_MAX + 3)
DEFAULT_NAME = "admin"  # of a token that stands alone on its line

_NAME = re.compile(rf"[a-z0-9._-]{{1,{NAME_CHARS_MAX}}}").fullmatch
_DIGEST = b"openlicznik/1 admin token"


class Tokens:
    """Names by the hash of their token. Holds no token, so it can show none."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self._names = {name: _hash(token) for name, token in tokens.items()}

    def __repr__(self) -> str:
        return f"Tokens({', '.join(self._names)})"

    def name_of(self, given: str) -> str | None:
        """Whose token this is. Always compares with all of them, each in constant time."""
        found, digest = None, _hash(given)
        for name, known in self._names.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def read(path: Path) -> Tokens:
    """Lines of `name token`, or one token alone. Raises ConfigError, never with a token in it."""
    text = read_secret(path, FILE_BYTES_MAX).decode("latin-1")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= ADMINISTRATORS_MAX:
        raise ConfigError(f"{path}: has {len(lines)} tokens; 1 to {ADMINISTRATORS_MAX} are allowed")
    tokens: dict[str, str] = {}
    for number, words in enumerate(lines, start=1):
        name, good = words[0] if len(words) == 2 else DEFAULT_NAME, words[-1]
        if len(words) > 2 or not _NAME(name) or name in tokens:
            raise ConfigError(f"{path}: line {number} is not `name token`, each name once")
        if not TOKEN_CHARS_MIN <= len(good) <= TOKEN_CHARS_MAX or not good.isascii():
            raise ConfigError(
                f"{path}: line {number}: a token is {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX}"
                " ASCII characters"
            )
        tokens[name] = good
    return Tokens(tokens)


def _hash(token: str) -> bytes:
    return hashlib.sha256(_DIGEST + token.encode()).digest()
