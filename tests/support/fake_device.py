"""A board at its prompt that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from host_tools.closing import Closing


class FakeDevice(Closing):
    """Each answer in turn, the last one for ever; one that is an error is raised."""

    def __init__(self, *answers: str | BaseException, interrupted: bool = False) -> None:
        self._answers = list(answers)
        self.interrupted = interrupted
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}
        self.restarts = 0
        self.restart_fails: BaseException | None = None
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def run(self, code: str, timeout_s: float = 10.0) -> str:
        self.asked.append(code)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def read_file(self, path: str) -> bytes:
        return self.files[path]

    def restart(self) -> None:
        self.restarts += 1
        if self.restart_fails is not None:
            raise self.restart_fails
        self.interrupted = False
