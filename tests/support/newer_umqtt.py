"""umqtt.simple as micropython-lib has it since 1.8.0, made from the older client."""

import umqtt.simple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def newer_client(older: "Any") -> "Any":
    """What micropython-lib's 1.8.0 does otherwise: time-out, close, operation codes."""

    class Newer(older):  # type: ignore[misc]
        cb: "Any" = None

        def __init__(
            self,
            client_id: "Any",
            server: "Any",
            port: int,
            user: "Any",
            password: "Any",
            keepalive: "Any",
            ssl: "Any" = None,
        ) -> None:
            older.__init__(self, client_id, server, port, user, password, keepalive)
            assert ssl is None

        def connect(self, clean_session: "Any" = True, timeout: "Any" = None) -> "Any":
            if self.sock:
                self.sock.close()
            module = umqtt.simple.socket
            opened = module.socket()
            opened.settimeout(timeout)
            umqtt.simple.socket = Opened(module, opened)
            try:
                return older.connect(self, clean_session)
            finally:
                umqtt.simple.socket = module

        def wait_msg(self) -> "Any":
            before = self.cb
            came = []

            def note(topic: str, message: "Any") -> None:
                came.append(0x30)
                before(topic, message)

            self.cb = note
            try:
                operation = older.wait_msg(self)
            finally:
                self.cb = before
            return came[0] if came and operation is None else operation

    return Newer


class Opened:
    """A socket module that gives out one socket, already made."""

    def __init__(self, module: "Any", opened: "Any") -> None:
        self.getaddrinfo = module.getaddrinfo
        self.socket = lambda: opened
