"""The whole book as one PDF, `_build/mixlearn.pdf`: `make pdf`.

The articles of the built pages become one document. Folded code, links to
source and dark twins of figures go, widgets become pictures, and links
between pages become links inside the document. Chromium prints it twice: the
page numbers of the contents are read off the first print.
"""

from __future__ import annotations

import io
import json
import posixpath
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag

import yaml
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(Path(__file__).parent)]

import address  # noqa: E402
import toc  # noqa: E402
from notebooks import on_paper  # noqa: E402

import mixlearn  # noqa: E402
from tests.browser import chromium  # noqa: E402

WIDGETS = ".mixlearn-widget, #front, #which"
STILL = "A still picture. In the book on screen you can move it."
GONE = (
    "script, noscript, style, .headerlink, .viewcode-link, .on-dark, "
    ".tag_setup, .sd-summary-state-marker"
)
# spans of code that paper does without: each would be an element of the PDF
PLAIN = re.compile(r'<span class="(?:n|o|p|w|nn|nx|pre)">([^<]*)</span>')
SHORT = 30  # lines: a cell of code that is kept on one page
WIDTH = 620  # pixels of the column: A4 less the margins of pdf.css
WAIT = 300_000  # milliseconds
# writes the numbers into the contents; says whether one has changed
NUMBER = """numbers => {
  let changed = false;
  for (const one of document.querySelectorAll("[data-page]")) {
    const number = String(numbers[one.dataset.page]);
    changed ||= one.textContent !== number;
    one.textContent = number;
  }
  return changed;
}"""
# a tall widget shows its upper part
SHORTEN = """root => {
  const top = root.getBoundingClientRect().top;
  for (const one of root.querySelectorAll(".mlw > *"))
    if (one.getBoundingClientRect().bottom > top + 720)
      one.style.display = "none";
}"""
# what is wider than the column although it may wrap is drawn smaller
FIT = """() => {
  for (const one of document.querySelectorAll(".bd-article table")) {
    const room = one.parentElement.clientWidth;
    if (one.offsetWidth > room + 1) one.style.zoom = room / one.offsetWidth;
  }
}"""


class Entry(NamedTuple):
    """A line of the contents: a part of the book, or a page of it."""

    level: int  # of its heading
    title: str
    page: str = ""  # none for a part


def slug(page: str) -> str:
    """The id of a page's article in the document."""
    return page.replace("/", "-")


def entries(root: Path = ROOT) -> Iterator[Entry]:
    """All parts and pages, in order, as book/_toc.yml names them."""
    listed = yaml.safe_load((root / "book/_toc.yml").read_text("utf-8"))

    def walk(nodes: list[dict[str, Any]], level: int) -> Iterator[Entry]:
        for node in nodes:
            yield Entry(level, node.get("title", ""), node["file"])
            yield from walk(node.get("sections", []), level + 1)

    yield Entry(1, "", listed["root"])
    for part in listed.get("parts", []):
        yield Entry(1, part["caption"])
        yield from walk(part["chapters"], 2)


class Maker:
    """Makes one document out of built pages.

    Args:
        site: folder of the built book.
        work: folder for the document and its pictures.
        repository: address, for files that are not in the document.
        contents: what is in the document.
    """

    def __init__(
        self,
        site: Path,
        work: Path,
        repository: str,
        contents: Sequence[Entry],
    ) -> None:
        self.site, self.work, self.repository = site, work, repository
        self.pages = {one.page for one in contents if one.page}
        self.contents = list(contents)
        self.base = posixpath.relpath(site.as_posix(), work.as_posix())

    def article(self, page: str) -> Tag:
        """What a built page shows, without its scripts."""
        text = (self.site / f"{page}.html").read_text(encoding="utf-8")
        start, end = text.index("<article"), text.index("</article>") + 10
        body = re.sub(r"(?s)<script.*?</script>", "", text[start:end])
        body = PLAIN.sub(r"\1", body)
        found = BeautifulSoup(body, "html.parser").article
        assert found is not None
        return found

    def added(self, entry: Entry, views: list[str]) -> tuple[Entry, str]:
        """A page made ready, and its entry with its title."""
        tree = self.article(entry.page)
        for one, view in zip(tree.select(WIDGETS), views, strict=True):
            picture = f'<figure class="still"><img src="{view}"'
            alt = one.img["alt"] if one.img else one.get_text(" ", strip=True)
            picture += f' alt="{escape(str(alt))}">'
            picture += f"<figcaption>{STILL}</figcaption></figure>"
            one.replace_with(BeautifulSoup(picture, "html.parser"))
        for one in tree.select(GONE):
            one.decompose()
        for one in tree.select(".sig span:not(.sig-name)"):
            one.unwrap()
        self.unfolded(tree, keep=entry.page.startswith("solutions/"))
        self.linked(tree, entry.page)
        for image in tree.select("img"):
            self.placed(image, entry.page)
        for pre in tree.select("pre"):
            if pre.get_text().count("\n") <= SHORT:
                pre["class"] = "short"
        for cell in tree.select("td"):
            if "±" in cell.get_text() and len(cell.get_text()) < 20:
                cell["class"] = "whole"
        title = self.headed(tree, entry)
        tree["id"] = slug(entry.page)
        tree["style"] = f"page: p-{slug(entry.page)}"
        return entry._replace(title=title), str(tree)

    def unfolded(self, tree: Tag, keep: bool) -> None:
        """Folded code goes, unless it is kept; other folds are opened."""
        for fold in tree.select("details"):
            code = "above-input" in (fold.get("class") or "")
            if code and not keep:
                fold.decompose()
                continue
            if fold.summary is not None:
                if code:
                    fold.summary.decompose()
                else:
                    fold.summary.name = "p"
            fold.name, fold["class"] = "div", "fold"
            del fold["open"]

    def linked(self, tree: Tag, page: str) -> None:
        """Ids get the name of their page, and links lead to those."""
        for one in tree.select("[id]"):
            one["id"] = f"{slug(page)}--{one['id']}"
        for link in tree.select("a[href]"):
            target, place = urldefrag(str(link["href"]))
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            path = posixpath.join(posixpath.dirname(page), target)
            name = posixpath.normpath(path).removesuffix(".html")
            name = name if target else page
            if name in self.pages:
                end = f"--{unquote(place)}" if place else ""
                link["href"] = f"#{slug(name)}{end}"
            elif "_downloads/" in target:
                file = posixpath.basename(target)
                place = f"blob/main/book/hand_in/{file}"
                link["href"] = f"{self.repository}/{place}"
            else:
                link.unwrap()

    def placed(self, image: Tag, page: str) -> None:
        """A picture's source as seen from the document."""
        source = str(image["src"])
        if not source.startswith(("data:", "still-")):
            path = posixpath.join(posixpath.dirname(page), source)
            path = posixpath.normpath(path)
            image["src"] = f"{self.base}/{path}"
            if path.endswith(".png"):
                kind, made = on_paper((self.site / path).read_bytes())
                name = f"{Path(path).stem}.{kind.partition('/')[2]}"
                (self.work / name).write_bytes(made)
                image["src"] = name

    def headed(self, tree: Tag, entry: Entry) -> str:
        """Headings get their place in the outline; returns the title."""
        for head in tree.find_all(re.compile("^h[1-6]$")):
            level = int(head.name[1])
            head["class"] = f"level-{level}"
            head.name = f"h{min(6, level + entry.level - 1)}"
        (first,) = tree.select(".level-1")
        number = re.match(r"\d+ ", entry.title)
        if number:
            first.insert(0, number[0])
        return first.get_text().strip()


def licences(root: Path = ROOT) -> str:
    """Those of data and pictures, which every copy must bring along."""
    text = (root / "data/LICENSES.md").read_text(encoding="utf-8")
    lines = (root / "data/photos/CREDITS.tsv").read_text("utf-8").splitlines()
    rows = ["| " + " | ".join(line.split("\t")) + " |" for line in lines]
    rows.insert(1, "|---" * (lines[0].count("\t") + 1) + "|")
    text += "\n\n## Credits of the photographs\n\n" + "\n".join(rows)
    tree = BeautifulSoup(
        MarkdownIt().enable("table").render(text), "html.parser"
    )
    for head in tree.find_all(["h1", "h2"]):
        head["class"] = f"level-{head.name[1]}"
    return f'<article class="bd-article" id="licences">{tree}</article>'


def front(root: Path, repository: str) -> str:
    """The title page."""
    command = ["git", "log", "-1", "--format=%cs"]
    date = subprocess.run(command, cwd=root, capture_output=True, text=True)
    edition = f"Version {mixlearn.__version__}"
    if date.returncode == 0:
        edition += f", {date.stdout.strip()}"
    logo = (root / "book/_assets/logo.svg").as_uri()
    return f"""<section id="title"><img src="{logo}" alt="">
<p class="name">mixlearn</p>
<p class="about">A textbook on image mixing that you can run</p>
<p>{edition}</p><p>The mixlearn authors</p>
<p>Code, notebooks and the book on screen:<br>
<a href="{repository}">{repository}</a></p>
<p class="small">Text and figures: CC BY 4.0
(<a href="https://creativecommons.org/licenses/by/4.0/">licence</a>).
Code: MIT licence. Photographs and data keep the licences of their authors:
see <a href="#licences">the last pages</a>.</p></section>"""


def table(contents: Iterable[Entry]) -> str:
    """The contents. What stands in each <b> is the page, once known."""
    lines = "".join(
        f'<li class="depth-{one.level}"><a href="#{slug(one.page)}">'
        f"{escape(one.title)}</a><i></i>"
        f'<b data-page="{slug(one.page)}">000</b></li>'
        if one.page
        else f'<li class="depth-1">{escape(one.title)}</li>'
        for one in contents
    )
    return f"""<article class="bd-article" id="contents">
<h1 class="level-1">Contents</h1><ul>{lines}</ul></article>"""


def stills(browser: Browser, site: Path, work: Path, page: str) -> list[str]:
    """Pictures of the widgets of a built page, in their order."""
    found = BeautifulSoup((site / f"{page}.html").read_bytes(), "html.parser")
    if not found.select(WIDGETS):
        return []
    view = browser.new_page(
        viewport={"width": 1000, "height": 1600},
        color_scheme="light",
        device_scale_factor=2,
    )
    view.goto((site / f"{page}.html").as_uri(), timeout=WAIT)
    names: list[str] = []
    for one in view.locator(WIDGETS).all():
        if one.get_attribute("id") != "which":
            one.and_(view.locator("[data-ready]")).wait_for(timeout=WAIT)
        one.evaluate(SHORTEN)
        names.append(f"still-{slug(page)}-{len(names)}.jpg")
        hide = ".bd-header, .bd-header-article { display: none !important }"
        one.screenshot(
            path=work / names[-1], quality=85, style=hide, timeout=WAIT
        )
    view.close()
    return names


def document(maker: Maker, browser: Browser, root: Path) -> str:
    """All of it as HTML."""
    bodies, styles, contents, part = [], [], [], ""
    for entry in maker.contents:
        if not entry.page:
            part = f'<h1 class="part">{escape(entry.title)}</h1>'
            contents.append(entry)
            continue
        views = stills(browser, maker.site, maker.work, entry.page)
        entry, body = maker.added(entry, views)
        contents.append(entry)
        bodies.append(body.replace(">", f">{part}", 1))
        styles.append(
            f"@page p-{slug(entry.page)} {{ @top-right {{ font: 9pt "
            f"'Mixlearn Text'; content: {json.dumps(entry.title)} }} }}"
        )
        part = ""
    first = maker.site / f"{toc.pages(root)[0]}.html"  # all have one head
    head = first.read_text(encoding="utf-8")
    setting = re.findall(r"<script>window.MathJax = .*?</script>", head)
    sheets = re.findall(r'<link[^>]+href="([^"]+\.css[^"]*)"', head)
    sheets = [f"{maker.base}/{sheet}" for sheet in sheets]
    sheets.append((root / "book/_tools/pdf.css").as_uri())
    links = "".join(f'<link rel="stylesheet" href="{one}">' for one in sheets)
    return f"""<!doctype html>
<html lang="en-GB" data-theme="light" data-mode="light"><meta charset="utf-8">
<title>mixlearn: a textbook on image mixing</title>{links}
<style>{"".join(styles)}</style>
{"".join(setting)}
<script defer src="{maker.base}/_static/mathjax/tex-svg-full.js"></script>
<body>{front(root, maker.repository)}{table(contents)}{"".join(bodies)}
{licences(root)}"""


def destinations(reader: PdfReader) -> dict[str, int]:
    """The page of each place that a link leads to, counted from one."""
    numbers = {
        page.indirect_reference: number
        for number, page in enumerate(reader.pages, 1)
    }
    places = reader.named_destinations
    return {
        name.lstrip("/"): numbers[place["/Page"].indirect_reference]
        for name, place in places.items()
    }


def printed(view: Page) -> bytes:
    """The page as PDF, with the numbers in its contents."""
    pdf = view.pdf(prefer_css_page_size=True)  # the first is a quick one
    for _ in range(3):
        numbers = destinations(PdfReader(io.BytesIO(pdf)))
        if not view.evaluate(NUMBER, numbers):
            return pdf
        pdf = view.pdf(
            prefer_css_page_size=True,
            print_background=True,
            outline=True,
            tagged=True,
        )
    raise RuntimeError("the pages of the contents change from print to print")


def make(
    target: Path,
    site: Path = ROOT / "_build" / "html",
    root: Path = ROOT,
    only: Collection[str] = (),
) -> None:
    """Write the PDF.

    Args:
        target: its path; pictures and the HTML stay in a folder beside it.
        site: the built book.
        root: the repository.
        only: pages, if not all are wanted.
    """
    contents = [
        one
        for one in entries(root)
        if not only or not one.page or one.page in only
    ]
    work = target.resolve().with_suffix("")
    work.mkdir(parents=True, exist_ok=True)
    maker = Maker(site, work, address.address(root), contents)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=chromium.ARGUMENTS
        )
        (work / "book.html").write_text(
            document(maker, browser, root), encoding="utf-8"
        )
        view = browser.new_page(viewport={"width": WIDTH, "height": 900})
        view.set_default_timeout(WAIT)
        view.emulate_media(media="print")
        view.goto((work / "book.html").as_uri())
        view.evaluate("MathJax.startup.promise.then(() => {})")
        view.evaluate(FIT)
        target.write_bytes(printed(view))
        browser.close()


def main() -> int:
    if chromium.find() is None:
        print(
            "no Chromium was found: python tests/browser/chromium.py --install"
        )
        return 1
    started, target = time.monotonic(), ROOT / "_build" / "mixlearn.pdf"
    make(target)
    pages = len(PdfReader(target).pages)
    size = target.stat().st_size / 1e6
    print(
        f"{target.relative_to(ROOT)}: {pages} pages, {size:.1f} MB, "
        f"{time.monotonic() - started:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
