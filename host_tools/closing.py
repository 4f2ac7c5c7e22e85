"""What is closed at the end of its `with` block, whatever happened in it."""

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """`with` gives the object itself, and closes it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
