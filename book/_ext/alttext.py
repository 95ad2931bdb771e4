"""Alt text for the pictures that notebooks draw, and the same pictures for dark pages.

Every picture of `mixlearn.page.figures` says in words what it shows and stores that in its PNG file, as the
text chunk "Description". This extension reads the chunk and sets the image's alt attribute. A picture without
alt text is a warning, and so fails the build. The chunk "Dark" holds the figure in the colours of a dark
page: it becomes a file of its own, and the theme shows one of the two.
"""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

SHORTEST = 20
NARROW = 1000  # pixels of the file, two for one of the page: fits a phone
logger = logging.getLogger(__name__)


def description(path: Path) -> str:
    """The "Description" text chunk of a PNG file, or an empty string."""
    with Image.open(path) as image:
        return " ".join(
            str(getattr(image, "text", {}).get("Description", "")).split()
        )


def parted(path: Path) -> Path | None:
    """Move the dark version of a picture into its own file; None for a picture that has none."""
    dark = path.with_name(f"{path.stem}-dark.png")
    with Image.open(path) as image:
        texts = dict(getattr(image, "text", {}))
        if "Dark" in texts:
            dark.write_bytes(base64.b64decode(texts.pop("Dark")))
            kept = PngInfo()
            for key, text in texts.items():
                kept.add_itxt(key, text)
            image.load()
            half = path.with_suffix(".part")  # a build that is broken off
            image.save(half, "png", pnginfo=kept, optimize=True)
            half.replace(path)
    return dark if dark.is_file() else None


class AltText(SphinxPostTransform):
    default_priority = (
        900  # after glued pictures have been put in their places
    )

    def run(self, **kwargs: Any) -> None:
        for image in self.document.findall(nodes.image):
            path = Path(self.env.srcdir) / image["uri"]
            if (
                not image.get("alt")
                and path.suffix == ".png"
                and path.is_file()
            ):
                image["alt"] = description(path)
            if (
                path.suffix == ".png"
                and path.is_file()
                and "on-dark" not in image["classes"]
            ):
                self.add_dark(image, path)
            if len(image.get("alt", "")) < SHORTEST:
                logger.warning(
                    "picture %s has no alt text of %d characters or more: %r",
                    path.name,
                    SHORTEST,
                    image.get("alt", ""),
                    location=(self.env.docname, image.line),
                    type="alttext",
                )

    def add_dark(self, image: nodes.image, path: Path) -> None:
        dark = parted(path)
        if dark is None:
            return
        with Image.open(path) as picture:
            if picture.width < NARROW:
                image["classes"].append("narrow")
        twin = image.deepcopy()
        twin["uri"] = str(PurePosixPath(image["uri"]).with_name(dark.name))
        twin["candidates"] = {"*": twin["uri"]}
        twin["ids"] = []
        self.env.images.add_file(self.env.docname, twin["uri"])
        image["classes"].append("on-light")
        twin["classes"].append("on-dark")
        image.parent.insert(image.parent.index(image) + 1, twin)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(AltText)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
