"""A Chromium with the network off, and pages in it that note every error and every request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import chromium

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built book."""
    if not (SITE / "index.html").exists():
        pytest.fail("the book is not built: run make book")
    return SITE


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.fail("no Chromium was found: python tests/browser/chromium.py --install")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Any]]:
    """`with open_page(place, width=390, theme="dark") as page:` opens offline and keeps `page.troubles`."""

    @contextmanager
    def opened(
        place: Path | str, width: int = 1280, height: int = 900, theme: str = "light"
    ) -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": height}, offline=True, color_scheme=theme
        )
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda m: m.type == "error" and troubles.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: troubles.append(f"error: {e}"))
        page.on("requestfailed", lambda r: troubles.append(f"failed: {r.url}"))
        page.on(
            "request",
            lambda r: (
                r.url.startswith(("http:", "https:", "ws:", "wss:")) and troubles.append(f"asked: {r.url}")
            ),
        )
        page.troubles = troubles
        page.goto(place.as_uri() if isinstance(place, Path) else place)
        yield page
        context.close()

    yield opened
