"""An HTTP server that answers what a test has written down, and remembers what it was asked."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives the next of `answers`; the last one for ever."""

    answers: ClassVar[list[tuple[int, bytes, dict[str, str]]]] = []
    seen: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.seen.append((self.command, self.path, self.rfile.read(length).decode()))
        status, body, headers = self.answers[0]
        if len(self.answers) > 1:
            self.answers.pop(0)
        if not status:
            self.connection.close()
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def a_server(
    *answers: tuple[int, bytes, dict[str, str]], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    Answers.answers, Answers.seen = list(answers), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
