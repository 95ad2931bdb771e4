"""The notebooks with their outputs, for GitHub's viewer: `make notebooks`.

They are written to _build/notebooks. Outputs come from the cache of the last
`make book`. GitHub runs no scripts, so a widget leaves only its description.
Figures lie on white and in few bytes: the viewer gives up on large files.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from PIL import Image

sys.path.append(str(Path(__file__).parent))

import address

ROOT = Path(__file__).resolve().parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDEST = 1400  # pixels: twice a column


def on_paper(png: bytes) -> tuple[str, bytes]:
    """A picture on white: as JPEG, if that halves it, else as PNG."""
    with Image.open(io.BytesIO(png)) as image:
        clear = image.convert("RGBA")
    clear.thumbnail((WIDEST, 10 * WIDEST))
    paper = Image.new("RGBA", clear.size, "white")
    paper.alpha_composite(clear)
    drawn, photo = io.BytesIO(), io.BytesIO()
    paper.convert("RGB").save(drawn, "png")
    paper.convert("RGB").save(photo, "jpeg", quality=85, subsampling=0)
    if photo.tell() < drawn.tell() / 2:
        return "image/jpeg", photo.getvalue()
    return "image/png", drawn.getvalue()


def plain(output: Any) -> None:
    """Rid an output of scripts and of what only a dark page needs."""
    data = output.get("data", {})
    if WIDGET in data:
        output.data = {"text/plain": data["text/plain"]}
    elif "image/png" in data:
        png = base64.b64decode(data.pop("image/png"))
        kind, small = on_paper(png)
        data[kind] = base64.b64encode(small).decode()
        output.metadata[kind] = output.metadata.pop("image/png", {})


def write(folder: Path, cache: Path, root: Path = ROOT) -> list[Path]:
    """Write every notebook of the book with its outputs.

    Args:
        folder: where to; in it they lie as in book/.
        cache: of what was executed.
        root: the repository.
    """
    known, written = get_cache(str(cache)), []
    for path in address.notebooks(root):
        source = nbformat.read(str(path), as_version=4)
        _, notebook = known.merge_match_into_notebook(source)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                plain(output)
        notebook.metadata.pop("widgets", None)
        written.append(folder / path.relative_to(root / "book"))
        written[-1].parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, str(written[-1]))
    return written


if __name__ == "__main__":
    (executed,) = (ROOT / "_build" / "executed").iterdir()
    made = write(ROOT / "_build" / "notebooks", executed)
    largest = max(path.stat().st_size for path in made) / 1e6
    print(
        f"{len(made)} notebooks in _build/notebooks, {largest:.1f} MB at most"
    )
