"""For tests of TLS: certificates as `gateway certs` makes them, an endpoint that has them."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

from gateway.doors import certs
from tests.support.gateway import Client, FakeMeter, a_home, a_meter

NAME = "gateway.test"
DAY_S = 86_400
METER = a_meter()


def now_s() -> int:
    return int(time.time())


def a_folder(path: Path, at_s: int | None = None, name: str = NAME) -> Path:
    """A CA and a server's certificate, as `gateway certs` makes them."""
    at_s = now_s() if at_s is None else at_s
    certs.make_ca(path, "Test CA", at_s)
    certs.make_server(path, [name, "127.0.0.1"], at_s)
    return path


def a_tls_home(path: Path, *meters: FakeMeter, folder: Path, **settings: str) -> Path:
    """A gateway's folder whose endpoint has that folder's certificate."""
    config = a_home(path, *meters)
    settings = {
        "certificate_file": str(folder / "server.pem"),
        "key_file": str(folder / "server.key"),
        **settings,
    }
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    config.write_text(config.read_text().replace("port = 0\n", f"port = 0\n{lines}", 1))
    return config


def trusting(folder: Path, client: str = "") -> ssl.SSLContext:
    """A client that trusts this folder's CA, with a certificate of its own where it has one."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    return context


async def a_tls_client(port: int, context: ssl.SSLContext) -> Client:
    return Client(
        *await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    )
