"""Mends what readers with a screen reader would stumble over in the pages that Sphinx and MyST-NB write.

A fold is named by the words it shows ("Show code cell source") and not by one name for all folds. The empty
corner of a table, be it of Markdown, of pandas or of `ml.figures.table`, is no header of anything.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

EMPTY_HEADER = re.compile(r"<th\b([^>]*)>(\s*(?:<p>\s*</p>\s*)?)</th>")
SCOPE = re.compile(r"\s+scope=(?:\"[^\"]*\"|'[^']*')")
FOLD = re.compile(r"<summary aria-label=\"Toggle hidden content\">")


def mended(page: str) -> str:
    """The page with named folds and without empty headers.

    >>> mended('<tr><th scope="col"></th><th>loss</th></tr>')
    '<tr><td></td><th>loss</th></tr>'
    >>> mended('<summary aria-label="Toggle hidden content">Show code</summary>')
    '<summary>Show code</summary>'
    """
    page = FOLD.sub("<summary>", page)
    return EMPTY_HEADER.sub(
        lambda found: f"<td{SCOPE.sub('', found[1])}></td>",
        page,
    )


def on_page(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if "body" in context:
        context["body"] = mended(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
