"""The book as PDF, made of a few pages, and the notebooks with outputs. $PDF names a whole one to test."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from pypdf import PageObject, PdfReader

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "book" / "_tools"))

import address  # noqa: E402
import notebooks  # noqa: E402
import pdf  # noqa: E402
import toc  # noqa: E402

FEW = ("intro", "which", "02_mixup", "04_features", "solutions/02_mixup", "glossary", "bibliography")
WHOLE = os.environ.get("PDF")
PAGES = toc.pages() if WHOLE else FEW
pytestmark = [pytest.mark.xdist_group("pdf"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def path(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if WHOLE:
        return Path(WHOLE)
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    call = f"pdf.make(Path({str(target)!r}), Path({str(site)!r}), only={FEW!r})"
    made = f"import pdf; from pathlib import Path; {call}"
    tools = str(ROOT / "book" / "_tools")  # in a process of its own: this one may hold a browser already
    subprocess.run(
        [sys.executable, "-c", made], env=os.environ | {"PYTHONPATH": tools}, check=True, timeout=600
    )
    return target


@pytest.fixture(scope="module")
def reader(path: Path) -> PdfReader:
    return PdfReader(path)


@pytest.fixture(scope="module")
def texts(reader: PdfReader) -> list[str]:
    """What is printed on each page, less its margins."""
    return [page.extract_text() for page in reader.pages]


@pytest.fixture(scope="module")
def document(path: Path) -> BeautifulSoup:
    """The HTML that was printed."""
    return BeautifulSoup((path.with_suffix("") / "book.html").read_bytes(), "html.parser")


def pictures(page: PageObject) -> int:
    """How many pictures a page shows."""
    found: Any = page["/Resources"].get_object()
    return sum(one.get_object()["/Subtype"] == "/Image" for one in found.get("/XObject", {}).values())


def outline(reader: PdfReader) -> set[tuple[str, int]]:
    """The titles in the outline, with the pages they lead to."""

    def walk(items: list[Any]) -> list[Any]:
        return [one for item in items for one in (walk(item) if isinstance(item, list) else [item])]

    return {
        (" ".join(item.title.split()), 1 + (reader.get_destination_page_number(item) or 0))
        for item in walk(reader.outline)
    }


@pytest.fixture(scope="module")
def places(reader: PdfReader) -> dict[str, int]:
    """The page of each place that a link leads to."""
    return pdf.destinations(reader)


@pytest.fixture(scope="module")
def starts(document: BeautifulSoup, places: dict[str, int]) -> dict[str, int]:
    """The first page of each article, by its id."""
    return {
        str(one["id"]): places[str(one["id"])]
        for one in document.select("article[id]")
        if one["id"] in places
    }


def test_every_page_is_in_outline_and_contents_where_it_starts(
    reader: PdfReader, document: BeautifulSoup, texts: list[str], starts: dict[str, int]
) -> None:
    listed = outline(reader)
    contents = "\n".join(texts[1:3])
    for name in PAGES:
        article = document.find(id=pdf.slug(name))
        title = " ".join(article.select_one(".level-1").get_text().split())  # type: ignore[union-attr]
        start = starts[pdf.slug(name)]
        assert (title, start) in listed, title
        assert re.search(rf"{re.escape(title)}\s*{start}\b", contents), title
        assert title in " ".join(texts[start - 1].split())


def test_links_lead_into_the_section_that_they_name(
    reader: PdfReader, document: BeautifulSoup, places: dict[str, int], starts: dict[str, int]
) -> None:
    ids = {str(one["id"]) for one in document.select("[id]")}
    hrefs = [str(one["href"]) for one in document.select('a[href^="#"]')]
    assert [href for href in hrefs if href[1:] not in ids] == []
    ends = dict(zip(starts, [*list(starts.values())[1:], len(reader.pages) + 1], strict=True))
    led = 0
    for page in reader.pages:
        for note in page.get("/Annots") or []:
            name = str(note.get_object().get("/Dest", "")).lstrip("/")
            if name:
                slug = name.partition("--")[0]
                assert starts[slug] <= places[name] < ends[slug], name
                led += 1
    assert led >= len(hrefs), "a link over two lines has two boxes"
    asked = {str(one["href"]) for one in document.select("a[href]")} - set(hrefs)
    assert all(href.startswith("https://") for href in asked), asked


@pytest.mark.parametrize("name", PAGES)
def test_links_are_those_of_the_site(site: Path, document: BeautifulSoup, name: str) -> None:
    tree = pdf.Maker(site, site, "", []).article(name)
    for one in tree.select(f".headerlink, .viewcode-link, .on-dark, .tag_setup, {pdf.WIDGETS}"):
        one.decompose()
    asked = []
    for link in tree.select("a[href]"):
        target, place = urldefrag(urljoin(f"/{name}.html", str(link["href"])))
        if target[1:].removesuffix(".html") in PAGES:
            slug = pdf.slug(target[1:].removesuffix(".html"))
            asked.append(f"#{slug}--{place}" if place else f"#{slug}")
    article = document.find(id=pdf.slug(name))
    assert [str(link["href"]) for link in article.select('a[href^="#"]')] == asked  # type: ignore[union-attr]


def test_what_only_a_screen_needs_is_not_there(document: BeautifulSoup, texts: list[str]) -> None:
    for text in texts:
        assert not re.search(r"Show the code|Hide the|Click to|\[source\]|\\\(|\\\[|Math Processing", text), (
            text[:200]
        )
    assert (
        document.select("details, script[src*=copy], button, canvas, .on-dark, .headerlink, .tag_setup") == []
    )


def test_no_page_is_empty(reader: PdfReader, texts: list[str]) -> None:
    for number, (page, text) in enumerate(zip(reader.pages, texts, strict=True), 1):
        head = re.sub(rf"\b{number}\b", "", text)
        assert len(head) > 60 or pictures(page), f"page {number}: {text!r}"


def test_fonts_are_inside(reader: PdfReader) -> None:
    """Letters of a variable font are drawings (Type 3) and so inside; others bring a file."""
    seen = 0
    for page in reader.pages:
        for font in page["/Resources"].get_object().get("/Font", {}).values():  # type: ignore[union-attr]
            font = font.get_object()
            if font["/Subtype"] == "/Type3":
                assert font["/CharProcs"] and font["/ToUnicode"]
            else:
                inner = font["/DescendantFonts"][0].get_object()["/FontDescriptor"]
                assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(inner), font["/BaseFont"]
            seen += 1
    assert seen > len(reader.pages)


def test_figures_are_those_of_the_site(site: Path, reader: PdfReader, path: Path) -> None:
    shown, maker = 0, pdf.Maker(site, path, "", [])
    for name in PAGES:
        tree = maker.article(name)
        shown += len(
            tree.select("img:not(.on-dark):not([src*='.svg']):not(.mixlearn-widget img):not(#front img)")
        )
        shown += len(tree.select(pdf.WIDGETS))
    found = sum(pictures(page) for page in reader.pages)
    assert 0 <= found - shown <= 1, "one repeated over a break"
    assert path.stat().st_size < 25e6


# ------------------------------------------------------------------------------------------ notebooks
def test_notebooks_hold_their_figures(site: Path, tmp_path: Path) -> None:
    maker = pdf.Maker(site, tmp_path, "", [])
    (cache,) = (ROOT / "_build" / "executed").iterdir()
    written = notebooks.write(tmp_path, cache)
    assert len(written) == len(address.notebooks())
    for path in written:
        assert path.stat().st_size < 2.5e6, "GitHub shows no large ones"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        nbformat.validate(notebook)
        page = maker.article(path.relative_to(tmp_path).with_suffix("").as_posix())
        assert "widgets" not in notebook["metadata"]
        outputs = [one for cell in notebook["cells"] for one in cell.get("outputs", [])]
        pictures = [
            text
            for one in outputs
            for kind, text in one.get("data", {}).items()
            if kind in ("image/png", "image/jpeg")
        ]
        drawn = {
            str(one["src"]) for one in page.select(".cell_output img:not(.on-dark):not(.mixlearn-widget img)")
        }
        assert len(pictures) >= len(drawn), path.name
        for picture in pictures:
            with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
                assert image.mode == "RGB" and image.width <= notebooks.WIDEST
        assert "<script" not in json.dumps(outputs)


def test_a_picture_is_laid_on_white() -> None:
    clear, made = Image.new("RGBA", (3000, 100)), io.BytesIO()
    clear.save(made, "png")
    kind, small = notebooks.on_paper(made.getvalue())
    with Image.open(io.BytesIO(small)) as image:
        assert (kind, image.width, image.getpixel((0, 0))) == ("image/png", notebooks.WIDEST, (255, 255, 255))
