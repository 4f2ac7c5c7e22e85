"""Asks the settlement service of this computer over HTTP."""

import http.client
import json
import time
from contextlib import closing
from typing import Any

from host_tools.programs import ProgramFailed

REQUEST_WAIT_S = 30.0
RESTART_WAIT_S = 20.0  # how long a request that must succeed waits for a restart
UNREACHABLE = 0  # the status while settlement is not there


class SettlementClient:
    """Requests to 127.0.0.1 with the operator's token, which its repr does not show."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one request; UNREACHABLE when there is no answer."""
        data = None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_WAIT_S)
        with closing(connection):
            try:
                connection.request(method, path, data, self._headers)
                answer = connection.getresponse()
                return answer.status, _json(answer.read())
            except (OSError, http.client.HTTPException):
                return UNREACHABLE, {"reason": "unreachable"}

    def insist(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The JSON of a request that must succeed. Raises ProgramFailed with the answer."""
        deadline = time.monotonic() + RESTART_WAIT_S
        status, answer = self.ask(method, path, body)
        while status == UNREACHABLE and time.monotonic() < deadline:
            time.sleep(0.2)
            status, answer = self.ask(method, path, body)
        if status not in (200, 201):
            raise ProgramFailed(f"settlement answers {status} to {method} {path}: {answer}")
        return answer


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {"reason": "not_json", "detail": data[:200].decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}
