"""Mój Licznik in a real browser: whole at a phone's width, its bars and its invoice in place."""

from collections.abc import Iterator

import pytest

from tests.support.browser import Page, browse
from tests.support.chain import RunningChain

PHONE_PX, DESK_PX = 390, 1200


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a chain whose week has gone by."""
    with RunningChain(tmp_path_factory.mktemp("page"), "--speed", "1000000") as chain:
        url: str = chain.result()["page"]
        yield url
        assert chain.stop() == 0


@pytest.mark.parametrize("width_px", [PHONE_PX, DESK_PX])
def test_nothing_reaches_out_of_the_window(page_url: str, width_px: int) -> None:
    async def visit(page: Page) -> int:
        await page.open(page_url, width_px)
        width: int = await page.ask("document.documentElement.scrollWidth")
        assert page.errors == []
        return width

    assert browse(visit) <= width_px


def test_the_day_has_its_bars_and_leads_to_its_neighbours(page_url: str) -> None:
    async def visit(page: Page) -> None:
        await page.open(f"{page_url}?day=2024-10-21", DESK_PX)
        assert await page.ask("document.querySelector('h1').textContent") == (
            "21 października 2024, poniedziałek"
        )
        assert await page.ask("document.querySelectorAll('svg rect.import').length") == 24
        assert await page.ask("document.querySelectorAll('svg rect.export').length") == 24
        tall = "document.querySelectorAll('svg rect.import')[17].getBoundingClientRect().height"
        assert await page.ask(tall) > 100
        await page.going(page.ask("document.querySelector('a[rel=next]').click()"))
        assert "22 października" in await page.ask("document.querySelector('h1').textContent")
        assert page.errors == []

    browse(visit)


def test_the_invoice_is_there_to_the_grosz(page_url: str) -> None:
    async def visit(page: Page) -> str:
        await page.open(page_url, PHONE_PX)
        text: str = await page.ask("document.querySelector('.to-pay').textContent")
        return text

    assert "69,89 zł" in browse(visit)


def test_a_day_without_readings_is_missing_and_not_zero(page_url: str) -> None:
    async def visit(page: Page) -> tuple[int, str]:
        await page.open(f"{page_url}?day=2024-10-01", DESK_PX)
        bars = await page.ask("document.querySelectorAll('svg rect.missing').length")
        return bars, await page.ask("document.querySelector('[role=status]').textContent")

    bars, warning = browse(visit)
    assert bars == 48
    assert "Brak danych to nie zero" in warning
