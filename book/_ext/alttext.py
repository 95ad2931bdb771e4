"""Alt text for the pictures that notebooks draw.

Every picture of `mixlearn.page.figures` says in words what it shows and stores that in its PNG file, as the
text chunk "Description". This extension reads the chunk and sets the image's alt attribute. A picture without
alt text is a warning, and so fails the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

SHORTEST = 20
logger = logging.getLogger(__name__)


def description(path: Path) -> str:
    """The "Description" text chunk of a PNG file, or an empty string."""
    with Image.open(path) as image:
        return " ".join(str(getattr(image, "text", {}).get("Description", "")).split())


class AltText(SphinxPostTransform):
    default_priority = 900  # after glued pictures have been put in their places

    def run(self, **kwargs: Any) -> None:
        for image in self.document.findall(nodes.image):
            path = Path(self.env.srcdir) / image["uri"]
            if not image.get("alt") and path.suffix == ".png" and path.is_file():
                image["alt"] = description(path)
            if len(image.get("alt", "")) < SHORTEST:
                logger.warning(
                    "picture %s has no alt text of %d characters or more: %r",
                    path.name,
                    SHORTEST,
                    image.get("alt", ""),
                    location=(self.env.docname, image.line),
                    type="alttext",
                )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(AltText)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
