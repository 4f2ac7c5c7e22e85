"""Boards, gateways and folders that several tests of the tools ask for by name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from host_tools.device import Device
from host_tools.locking.ciphered import new_signing_key
from tests.support.running_gateway import RunningGateway
from tests.support.virtual.an_image import a_flashed_board
from tests.support.virtual.virtual_board import VirtualBoard

# ------------------------------------------------------------ boards


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    """One that is on, with nothing in its flash."""
    with VirtualBoard(tmp_path / "board") as made:
        yield made


@pytest.fixture
def idle_board(tmp_path: Path) -> Iterator[VirtualBoard]:
    """One that is idle at its prompt."""
    with a_flashed_board(tmp_path, {"main.py": b"print('idle')"}) as made:
        made.wait_for(">>> ")
        yield made


@pytest.fixture
def idle_device(idle_board: VirtualBoard) -> Iterator[Device]:
    """The idle board, opened."""
    with Device.open(idle_board.port) as opened:
        yield opened


# ------------------------------------------------------------ a technician's folder, a gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One for all tests of a file."""
    with RunningGateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A technician's folder, in which the commands are run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENLICZNIK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("OPENLICZNIK_TECHNICIAN", "anna")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


# ------------------------------------------------------------ chips to be locked


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signing") / "signing.pem"
    new_signing_key(path)
    return path


@pytest.fixture(scope="module")
def definitions_read_once() -> Iterator[None]:
    """espefuse parses half a megabyte of YAML for every chip it opens; here each file once."""
    read = cache(yaml.safe_load)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "safe_load", lambda file: copy.deepcopy(read(file.read())))
        yield
