"""The files of a scenario folder: texts, and TOML files as known forms."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from settlement.errors import MalformedBody

Asked = TypeVar("Asked")


class Folder:
    """The files of one `when` folder; where `later` is given, a file there goes before."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def path(self, name: str) -> Path | None:
        """The file of that name, from the first folder that has it."""
        found = (folder / name for folder in self._folders if (folder / name).exists())
        return next(found, None)

    def text(self, name: str) -> str | None:
        """The text of the file, None when there is none. Raises OSError and MalformedBody."""
        path = self.path(name)
        if path is None:
            return None
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise MalformedBody(f"{path} is not UTF-8: save it as CSV or TOML in UTF-8") from None

    def form(self, name: str, kind: type[Asked]) -> Asked | None:
        """A TOML file as a known form, None when there is none. Raises MalformedBody."""
        text = self.text(name)
        if text is None:
            return None
        try:
            data = tomllib.loads(text)
            found = msgspec.convert(data, kind)
            # msgspec refuses unknown fields of its own structs, and passes over those of others.
            for field in _strange(data, msgspec.to_builtins(found)):
                raise MalformedBody(f"{self.path(name)}: unknown field {field!r}")
            return found
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise MalformedBody(f"{self.path(name)}: {error}") from None

    def files(self, name: str) -> list[Path]:
        """The files of a folder inside, in order of their names."""
        path = self.path(name)
        return [] if path is None else sorted(each for each in path.iterdir() if each.is_file())


def _strange(given: Any, understood: Any) -> Iterator[str]:
    """Fields that were written and did not get into the form, however deep they are."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            if name not in understood:
                yield name
            else:
                yield from _strange(value, understood[name])
    elif isinstance(given, list) and isinstance(understood, list):
        for before, after in zip(given, understood, strict=True):
            yield from _strange(before, after)
