"""A Chromium with the network off, and pages in it that note every error and every request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from playwright.sync_api import Browser, BrowserType, Page, Request, sync_playwright

from tests.browser import chromium

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built book."""
    if not (SITE / "index.html").exists():
        pytest.fail("the book is not built: run make book")
    return SITE


@pytest.fixture(scope="session")
def chrome() -> Iterator[BrowserType]:
    """What starts a Chromium: `start(chrome)`."""
    with sync_playwright() as playwright:
        yield playwright.chromium


def start(chrome: BrowserType, **environment: str) -> Browser:
    """A Chromium, with these variables in its environment."""
    path = chromium.find()
    if path is None:
        pytest.fail("no Chromium was found: python tests/browser/chromium.py --install")
    return chrome.launch(executable_path=path, args=chromium.ARGUMENTS, env={**os.environ, **environment})


@pytest.fixture(scope="session")
def browser(chrome: BrowserType) -> Iterator[Browser]:
    started = start(chrome)
    yield started
    started.close()


@pytest.fixture(scope="session")
def bare_browser(chrome: BrowserType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium on a machine without a font that has letters: one with brackets alone.

    With no font at all Chromium draws no text, not even in a page's own fonts. Debian's does not install so.
    """
    folder = tmp_path_factory.mktemp("fonts")
    shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "cmex10.ttf", folder)
    settings = folder / "fonts.conf"
    settings.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{folder}</dir><cachedir>{folder / 'cache'}</cachedir></fontconfig>",
        encoding="utf-8",
    )
    started = start(chrome, FONTCONFIG_FILE=str(settings))
    yield started
    started.close()


@pytest.fixture
def open_page(browser: Browser) -> Callable[..., Any]:
    """`with open_page(place, width=390, theme="dark") as page:` opens offline and keeps `page.troubles`."""
    return opener(browser)


@pytest.fixture
def open_bare(bare_browser: Browser) -> Callable[..., Any]:
    """As `open_page`, on a machine without fonts."""
    return opener(bare_browser)


def left_behind(request: Request) -> bool:
    """Whether the browser gave this request up to go on to the next page; a missing file fails otherwise."""
    return request.failure == "net::ERR_ABORTED"


def opener(browser: Browser) -> Callable[..., Any]:
    """What opens pages in this browser."""

    @contextmanager
    def opened(
        place: Path | str, width: int = 1280, height: int = 900, theme: str = "light"
    ) -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": height}, offline=True, color_scheme=theme
        )
        context.set_default_timeout(120_000)  # a busy machine is no fault of a page
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda m: m.type == "error" and troubles.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: troubles.append(f"error: {e}"))
        page.on("requestfailed", lambda r: left_behind(r) or troubles.append(f"failed: {r.url}"))
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

    return opened
