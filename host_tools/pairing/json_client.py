"""A service of ours over HTTP with a token: JSON both ways, asked again while it is away."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from host_tools.pairing.errors import BadInput, InsecureAddress, ServiceRefused, ServiceUnreachable
from host_tools.pairing.identity import Secret

REQUEST_WAIT_S = 15.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024
TRIES_MAX = 4  # of one request, while the service is away or busy
PAUSE_S, PAUSE_S_MAX = 0.5, 10.0  # doubling, or as Retry-After says
_AGAIN = frozenset({502, 503, 504, 507})
_PROBLEM_TYPE = "urn:openlicznik:problem:"


class Row(dict[str, Any]):
    """An answer's object; what is missing in it is no answer of a service of ours."""

    def __missing__(self, name: str) -> Any:
        raise ServiceUnreachable(f"the answer has no {name}; is it the right address?")


class JsonClient:
    """One service, as one person. Its repr shows the address and never the token."""

    unreachable: type[ServiceUnreachable] = ServiceUnreachable
    refused: type[ServiceRefused] = ServiceRefused

    def __init__(
        self,
        url: str,
        token: Secret,
        ca_file: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises BadInput, InsecureAddress."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput("an address is http://host:port or https://host:port")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise InsecureAddress(
                f"{parts.hostname} is another machine, and the token would travel in clear: give an"
                " https address, or run this on that machine"
            )
        self.url = url.rstrip("/")
        self._host, self._port, self._sleep = parts.hostname, parts.port, sleep
        self._context = _context(ca_file) if parts.scheme == "https" else None
        try:
            self._authorization = b"Bearer " + token.reveal().decode("ascii").encode()
        except UnicodeDecodeError:
            raise BadInput("a token is ASCII text; give the right token file") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url})"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer. Raises `refused`, `unreachable`.

        A service that is away or cannot write is asked again for a while: so every request is one
        that may come twice, and callers bear the answer to the second.
        """
        pause_s = PAUSE_S
        for last in [False] * (TRIES_MAX - 1) + [True]:
            try:
                status, retry_s, data = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                if last or isinstance(error, ssl.SSLError):
                    raise self.unreachable(self._why(error)) from None
                retry_s = None
            else:
                if status < 400:
                    return self._decoded(data)
                if last or status not in _AGAIN:
                    raise self._refusal(status, data)
            self._sleep(min(retry_s or pause_s, PAUSE_S_MAX))
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, path: str, body: object) -> tuple[int, float | None, bytes]:
        line: http.client.HTTPConnection
        if self._context is None:
            line = http.client.HTTPConnection(self._host, self._port, timeout=REQUEST_WAIT_S)
        else:
            line = http.client.HTTPSConnection(
                self._host, self._port, timeout=REQUEST_WAIT_S, context=self._context
            )
        with closing(line):
            headers: dict[str, str | bytes] = {"Authorization": self._authorization}
            if body is not None:
                headers["Content-Type"] = "application/json"
            line.request(method, path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            retry = answer.headers.get("Retry-After", "")
            data = answer.read(ANSWER_BYTES_MAX)
            return answer.status, float(retry) if retry.isdecimal() else None, data

    def _row(self, method: str, path: str, body: object = None) -> Row:
        answer = self.ask(method, path, body)
        if not isinstance(answer, dict):
            raise self.unreachable(self._nonsense())
        return Row(answer)

    def _rows(self, method: str, path: str) -> list[Row]:
        answer = self.ask(method, path)
        if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
            raise self.unreachable(self._nonsense())
        return [Row(row) for row in answer]

    def _why(self, error: Exception) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"{self.url}: its certificate is not trusted ({error.verify_message}); give its CA"
            )
        if isinstance(error, ssl.SSLError):
            return f"{self.url} speaks no TLS we know; is it http, or another port?"
        what = getattr(error, "strerror", None) or type(error).__name__
        return f"{self.url} does not answer ({what}); check the address, and that it runs there"

    def _nonsense(self) -> str:
        return f"{self.url} answers nonsense; is it the right address?"

    def _decoded(self, data: bytes) -> Any:
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise self.unreachable(self._nonsense()) from None

    def _refusal(self, status: int, data: bytes) -> ServiceRefused:
        """From a problem document (the gateway) or a reason (settlement)."""
        problem, detail = "refused", f"HTTP status {status}; is it the right address?"
        try:
            document = json.loads(data)
            problem = str(document.get("reason") or document["type"]).removeprefix(_PROBLEM_TYPE)
            detail = str(document["detail"])
        except (ValueError, KeyError, TypeError, AttributeError):
            pass  # not a document of ours: the status says it
        if problem == "unauthorized":
            detail += "; put that token into the token file"
        return self.refused(status, problem, detail)


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise BadInput(f"{ca_file}: no PEM certificates in it; is it the right file?") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
