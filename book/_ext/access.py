"""Mends what readers with a screen reader would stumble over in the pages that Sphinx and MyST-NB write.

A fold is named by the words it shows ("Show the code") and not by one name for all folds. The empty
corner of a table, be it of Markdown, of pandas or of `ml.figures.table`, is no header of anything. An arrow
in the sidebar that shows the pages of a chapter says so. The arguments of a long signature, one a line, are
no list of definitions without terms.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

EMPTY_HEADER = re.compile(r"<th\b([^>]*)>(\s*(?:<p>\s*</p>\s*)?)</th>")
SCOPE = re.compile(r"\s+scope=(?:\"[^\"]*\"|'[^']*')")
ARROW = re.compile(
    r'(>([^<>]+)</a><details[^>]*><summary)(?=><span class="toctree-toggle")'
)
ARGUMENTS = re.compile(
    r"<dl>\s*((?:<dd><em class=\"sig-param\".*?</dd>\s*)+)</dl>"
)
FOLD = re.compile(r"<summary aria-label=\"Toggle hidden content\">")


def mended(page: str) -> str:
    """The page with named folds and without empty headers and lists of definitions without terms.

    >>> mended('<tr><th scope="col"></th><th>loss</th></tr>')
    '<tr><td></td><th>loss</th></tr>'
    >>> mended('<summary aria-label="Toggle hidden content">Show code</summary>')
    '<summary>Show code</summary>'
    >>> mended('<dl><dd><em class="sig-param">lam</em>,</dd></dl>')
    '<div class="sig-params"><div><em class="sig-param">lam</em>,</div></div>'
    """
    page = FOLD.sub("<summary>", page)
    page = ARGUMENTS.sub(
        lambda found: (
            '<div class="sig-params">'
            + re.sub("(</?)dd>", r"\1div>", found[1])
            + "</div>"
        ),
        page,
    )
    return EMPTY_HEADER.sub(
        lambda found: f"<td{SCOPE.sub('', found[1])}></td>",
        page,
    )


def named(sidebar: str) -> str:
    """The sidebar with arrows that have a name.

    >>> arrow = '<details><summary><span class="toctree-toggle"></span></summary>'
    >>> named('<a href="5.html">AutoMix</a>' + arrow)[28:80]
    '<details><summary aria-label="Pages below: AutoMix">'
    """
    return ARROW.sub(r'\1 aria-label="Pages below: \2"', sidebar)


def on_page(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if "body" in context:
        context["body"] = mended(context["body"])
    if tree := context.get("generate_toctree_html"):
        context["generate_toctree_html"] = lambda *given, **more: named(
            str(tree(*given, **more))
        )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect(
        "html-page-context", on_page, priority=990
    )  # after the theme's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
