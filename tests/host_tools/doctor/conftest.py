"""The board that the tests of one file share: at its prompt, and well again before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from host_tools.device import Device
from tests.support.a_doctored_board import DoctoredBoard, a_doctored_board, restore


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DoctoredBoard, Device]]:
    with a_doctored_board(tmp_path_factory.mktemp("board")) as board, Device.open(board.port) as it:
        yield board, it


@pytest.fixture
def board(opened: tuple[DoctoredBoard, Device]) -> DoctoredBoard:
    restore(*opened)
    return opened[0]


@pytest.fixture
def device(opened: tuple[DoctoredBoard, Device], board: DoctoredBoard) -> Device:
    assert board is opened[0]
    return opened[1]
