"""Copies the figures of the built book, light and dark, with their captions.

python book/_tools/slides.py FOLDER      after `make book`
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = re.compile(r'<img\s[^>]*?src="(?:\.\./)*(_images/[^"]+)"[^>]*>')
NUMBERED = re.compile(r'<span class="caption-text">(.*?)</span>\s*<a ', re.S)
ALT = re.compile(r'alt="([^"]+)"')
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Figures of mixlearn</title>
<style>img{max-width:48%}[src*="-dark."]{background:#121212}</style>
<p>From mixlearn, © 2026 the mixlearn authors, CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). Photographs and data keep
their authors' licences: see data/LICENSES.md of the repository.</p>"""
BELOW = re.compile(r"\s*</a>(?:\s*</div>)+\s*<p><em>(.*?)</em></p>", re.S)


def caption(page: str, start: int, end: int) -> str:
    """Its caption, the emphasised line below it, or its description."""
    rest = page[end:].partition("<img ")[0]
    found = NUMBERED.search(rest.partition("</figure>")[0])
    found = found or BELOW.match(rest) or ALT.search(page, start, end)
    return re.sub(r"<[^>]+>", "", found[1]).strip() if found else ""


def copy(html: Path, folder: Path) -> int:
    """Copy all figures of the book in `html`; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [HEAD]
    for path in sorted(html.glob("*.html")):
        page = path.read_text(encoding="utf-8")
        for found in IMAGE.finditer(page):
            light = html / found[1].replace("-dark.", ".")
            dark = light.with_name(f"{light.stem}-dark{light.suffix}")
            if found[1].endswith(light.name) and dark.is_file():
                continue  # its dark twin comes next, before the caption
            name, views = f"{path.stem}-{len(parts):03}", ""
            for one, end in ((light, ""), (dark, "-dark")):
                if one.is_file():
                    file = f"{name}{end}{light.suffix}"
                    shutil.copy(one, folder / file)
                    views += f'<img src="{file}" alt="">'
            views += f"<figcaption>{caption(page, *found.span())}</figcaption>"
            parts.append(f"<figure>{views}</figure>")
    (folder / "index.html").write_text("\n".join(parts), encoding="utf-8")
    return len(parts) - 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(copy(ROOT / "_build" / "html", Path(sys.argv[1])), "figures")
