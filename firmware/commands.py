"""Commands from the gateway; each is answered by one sealed result."""

from wire.messages import RESULT_UNSUPPORTED, Command, Result


def answer(command: Command) -> Result:
    """Carry a command out and tell how it went. None is known to this version yet."""
    return Result(command.command_id, RESULT_UNSUPPORTED, b"")
