"""Offices and clients of the HTTP tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from settlement import service
from settlement.api import Office
from settlement.store import Store
from tests.support.settlement import TOKEN, an_office


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "settlement.db")
    yield opened
    opened.close()


@pytest.fixture
def empty_office(tmp_path: Path) -> Iterator[Office]:
    made = an_office(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def office(empty_office: Office) -> Office:
    return empty_office


@pytest.fixture
def client(office: Office) -> Iterator[TestClient[Any]]:
    app = service.application(office, portal=False)
    with TestClient(app, raise_server_exceptions=False) as opened:
        opened.headers["authorization"] = f"Bearer {TOKEN}"
        yield opened
