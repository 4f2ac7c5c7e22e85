"""`init`: a first gateway.toml that explains itself, and the master key it names."""

from __future__ import annotations

from importlib import resources

import typer

from gateway import registry
from gateway.cli.common import DEFAULT_CONFIG, ConfigOption
from gateway.errors import UsageError

app = typer.Typer()


def example() -> str:
    """gateway.toml with every key there is; what is not needed is commented out."""
    return (resources.files("gateway") / "example.toml").read_text("utf-8")


@app.command(epilog="Example: init --config gateway.toml")
def init(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Write a first gateway.toml and a master key beside it; never over what is there."""
    if config.exists():
        raise UsageError(f"{config}: exists already; init writes only what is not there")
    registry.write_master_key(config.resolve().parent / "master.key")
    try:
        config.write_text(example())
    except OSError as error:
        raise UsageError(f"{config}: {error.strerror}; choose another folder") from None
    typer.echo(f"wrote {config} and master.key; next: python -m gateway run --config {config}")
