"""As much of asyncio as the firmware's tests use: this port has none that runs by itself."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(coroutine: "Any") -> "Any":
    """Runs a coroutine to its end; a sleep lets the others go on, and takes no time."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value


class _Turn:
    def __await__(self) -> "Any":
        yield

    __iter__ = __await__


def sleep(duration: int) -> _Turn:
    """A turn for the others."""
    return _Turn()


sleep_ms = sleep


async def gather(*coroutines: "Any") -> None:
    """Runs several in turns, one step each; the first that raises ends all."""
    waiting = list(coroutines)
    while waiting:
        for coroutine in list(waiting):
            try:
                coroutine.send(None)
            except StopIteration:
                waiting.remove(coroutine)
        await sleep(0)
