"""The build of the book, tried on a small one: what it executes again, and what makes it fail."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "book" / "_tools"
sys.path.append(str(TOOLS))

import build_book  # noqa: E402

DRAW = """\
import io
from IPython.display import Image
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
notes = PngInfo()
notes.add_text("Description", {words!r})
file = io.BytesIO()
Pillow.new("RGB", (8, 8)).save(file, "png", pnginfo=notes)
Image(file.getvalue())"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with the book's settings and tools, and one page."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "requirements.txt").write_text("torch==2.15.0\n")
    (tmp_path / "mixlearn").mkdir()
    (tmp_path / "mixlearn" / "part.py").write_text("x = 1\n")
    book = tmp_path / "book"
    book.mkdir()
    for folder in ("_ext", "_tools", "_assets"):
        shutil.copytree(ROOT / "book" / folder, book / folder)
    (book / "references.bib").touch()
    (book / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    return tmp_path


def write_page(root: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# Page"), *map(nbformat.v4.new_code_cell, sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "book" / "page.ipynb")


def run_build(root: Path) -> subprocess.CompletedProcess[str]:
    """Build in a process of its own, with the checkout's tools."""
    code = f"import sys, pathlib, build_book as b; sys.exit(b.main(pathlib.Path({str(root)!r})))"
    return subprocess.run([sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True)


def test_executes_again_what_changed_and_nothing_else(small: Path) -> None:
    counter = small / "count"
    tick = f"with open({str(counter)!r}, 'a') as file:\n    _ = file.write('x')"
    write_page(small, tick, DRAW.format(words="a black square, eight pixels wide"))

    def executions() -> int:
        done = run_build(small)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (small / "_build" / "html" / "index.html").as_uri() in done.stdout
        return len(counter.read_text())

    assert executions() == 1
    page = (small / "_build" / "html" / "page.html").read_text()
    assert 'alt="a black square, eight pixels wide"' in page
    assert executions() == 1, "nothing had changed"
    (small / "mixlearn" / "part.py").write_text("x = 2\n")
    assert executions() == 2, "the package had changed"
    outcome = json.loads((small / "_build" / "executed.json").read_text())["notebooks"]["page"]
    assert outcome["succeeded"]
    assert len(list((small / "_build" / "executed").iterdir())) == 1, "old outputs are removed"


def test_a_failing_notebook_fails_the_build_each_time(small: Path) -> None:
    write_page(small, "lam = 0.5", "assert lam > 1, 'lam was ' + str(lam)")
    for _ in range(2):
        done = run_build(small)
        assert done.returncode != 0
        assert "AssertionError: lam was 0.5" in re.sub(r"\x1b\[[\d;]*m", "", done.stderr)


def test_a_figure_is_parted_into_one_for_each_theme(small: Path) -> None:
    from PIL import Image

    look = "from mixlearn.page.style import Picture, canvas"
    draw = "figure = canvas(1)\n_ = figure.text(0, 0, 'a', color='#21262c', size=40)\n"
    draw += "Picture(figure, 'The letter a, in a corner.')"
    write_page(small, f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{look}\n{draw}")
    done = run_build(small)
    assert done.returncode == 0, done.stderr
    page = (small / "_build" / "html" / "page.html").read_text()
    tags = re.findall(r"<img[^>]*The letter a[^>]*>", page)
    assert [re.findall("on-(?:light|dark)", tag) for tag in tags] == [["on-light"], ["on-dark"]]
    for tag, brightness in zip(tags, (0x21, 0xE4), strict=True):
        name = re.search('src="([^"]*)"', tag)[1]  # type: ignore[index]
        with Image.open(small / "_build" / "html" / name) as image:
            assert "Dark" not in image.text and image.text["Description"]  # type: ignore[attr-defined]
            pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
        assert set(pixels[pixels[:, 3] == 255, 0]) == {brightness}


def test_a_picture_without_words_fails_the_build(small: Path) -> None:
    write_page(small, DRAW.format(words="short"))
    done = run_build(small)
    assert done.returncode != 0
    assert "has no alt text" in done.stderr


def test_fingerprint_follows_what_outputs_depend_on(small: Path) -> None:
    seen = {build_book.fingerprint(small)}

    def changed(name: str, text: str) -> None:
        path = small / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        mark = build_book.fingerprint(small)
        assert mark not in seen, f"{name} changed unseen"
        seen.add(mark)

    changed("mixlearn/part.py", "x = 2\n")
    changed("mixlearn/page/assets/mix.js", "export const x = 1\n")
    changed("data/SHA256SUMS", "0 emoji\n")
    changed("book/results/fashion-mixup.json", "{}\n")
    changed("requirements.txt", "torch==2.16.0\n")
    changed("_config.yml", "title: other\n")
    changed("book/_ext/alttext.py", "\n")

    before = build_book.fingerprint(small)
    (small / "mixlearn" / "__pycache__").mkdir()
    (small / "mixlearn" / "__pycache__" / "part.pyc").write_text("x")
    (small / "book" / "page.ipynb").write_text("{}")
    assert build_book.fingerprint(small) == before, "these are no one's dependency"


def test_notebooks_are_executed_ahead_and_a_failing_one_is_left(small: Path, tmp_path: Path) -> None:
    import execute

    paths = []
    for name, source in {"good": "1 + 1", "other": "2 + 2", "bad": "1 / 0"}.items():
        write_page(small, source)
        paths.append((small / "book" / "page.ipynb").rename(small / "book" / f"{name}.ipynb"))
    cache = tmp_path / "cache"
    assert execute.waiting(paths, cache) == paths
    done = dict(execute.ahead(paths, cache, timeout=60, workers=2))
    assert done.keys() == set(paths) and done[paths[2]] is None
    assert all(done[path] > 0 for path in paths[:2])
    assert execute.waiting(paths, cache) == paths[2:]
    assert [path for path, _ in execute.ahead(paths, cache, timeout=60)] == paths[2:], "the others are kept"
