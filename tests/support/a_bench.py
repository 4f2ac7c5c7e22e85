"""A technician's folder, in which the commands of host_tools are run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from host_tools import __main__ as command_line
from tests.support.a_pairing import WIFI_PASSWORD
from tests.support.running_gateway import RunningGateway


def a_setup_file(folder: Path, gateway: RunningGateway, port: int = 0) -> Path:
    secret = folder / "wifi.password"
    secret.write_text(WIFI_PASSWORD)
    secret.chmod(0o600)
    path = folder / "pairing.toml"
    path.write_text(
        f'[gateway]\nhost = "127.0.0.1"\nport = {port or gateway.port}\n'
        f'[admin]\nurl = "{gateway.url}"\ntoken_file = "{gateway.token_file}"\n'
        '[wifi]\nname = "the-wifi"\npassword_file = "wifi.password"\n'
    )
    return path


def run(*words: str) -> int:
    return command_line.main(list(words))


def json_lines(text: str) -> list[dict[str, Any]]:
    """Of what was printed; the gateway of these tests logs to the same place."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
