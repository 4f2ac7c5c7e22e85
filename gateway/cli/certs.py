"""`certs`: a certificate authority of your own, and what it signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import MeterArgument, meter_id_of, now_s
from gateway.doors import certs
from gateway.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Make certificates for TLS between meter and gateway.")

FolderOption = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="where they lie")]
FOLDER = Path("certs")


@app.command(epilog="Example: certs ca --folder certs")
def ca(
    folder: FolderOption = FOLDER,
    name: Annotated[str, typer.Option(help="what it is called")] = "OpenLicznik CA",
) -> None:
    """Make a CA: ca.pem, ca.der for meters, and ca.key, which is worth keeping offline."""
    _tell(certs.make_ca(folder, name, now_s()))
    print("ca.der goes to each meter as its file ca.der; keep ca.key apart from the gateway")
    print(f"next: python -m gateway certs server --folder {folder} --name gateway.example")


@app.command(epilog="Example: certs server --name gateway.example --name 192.0.2.1")
def server(
    folder: FolderOption = FOLDER,
    name: Annotated[
        list[str] | None, typer.Option(help="host name or address that meters connect to")
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="a new certificate: same names, same key")
    ] = False,
) -> None:
    """Make the gateway's certificate, or renew it; a running gateway reads it by itself."""
    if renew:
        if name:
            raise UsageError("--renew keeps the names; for others make a new one in another folder")
        print(
            f"renewed {certs.renew_server(folder, now_s())}; a running gateway reads it by itself"
        )
        return
    _tell(certs.make_server(folder, name or [], now_s()))
    print(f'[endpoint] certificate_file = "{(folder / "server.pem").resolve()}"')
    print(f'[endpoint] key_file = "{(folder / "server.key").resolve()}"')
    print(f'each meter: "tls": true, "server_name": "{(name or [""])[0]}"')


@app.command(epilog="Example: certs client 0123456789abcdef")
def client(meter: MeterArgument, folder: FolderOption = FOLDER) -> None:
    """Make a client certificate: with it nobody can connect but as this meter."""
    _tell(certs.make_client(folder, meter_id_of(meter), now_s()))
    print(f'[endpoint] client_ca_file = "{(folder / "ca.pem").resolve()}"')
    print('[endpoint] client_certificates = "optional", or "required"')


def _tell(paths: Sequence[Path]) -> None:
    for path in paths:
        print(f"wrote {path}")
