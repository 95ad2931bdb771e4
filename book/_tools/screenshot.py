"""The README's picture: the λ mixer in chapter 2 of the built book. `make screenshot` takes it anew."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from tests.browser import chromium  # noqa: E402

PAGE = ROOT / "_build" / "html" / "02_mixup.html"
TARGET = ROOT / "book" / "_assets" / "screenshot.png"


def main() -> int:
    path = chromium.find()
    if path is None:
        print(
            "no Chromium was found: python tests/browser/chromium.py --install",
            file=sys.stderr,
        )
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=chromium.ARGUMENTS
        )
        page = browser.new_page(
            viewport={"width": 1280, "height": 860}, color_scheme="light"
        )
        page.goto(PAGE.as_uri())
        widget = page.locator("[id^=mixlearn-lambda-mixer][data-ready]").first
        widget.wait_for(state="attached")
        widget.evaluate(
            "node => scrollTo(0, node.getBoundingClientRect().top + scrollY - 80)"
        )
        page.wait_for_timeout(500)
        taken = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(256).save(
        TARGET, optimize=True
    )
    print(
        f"wrote {TARGET.relative_to(ROOT)}, {TARGET.stat().st_size // 1024} KiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
