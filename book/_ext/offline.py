"""Keeps built pages from asking other hosts, and lets them open from disk without an error.

Two things are taken out: sphinx-thebe, which jupyter-book always adds, and the theme's preloading of icon
fonts, which browsers refuse for pages opened from disk (the fonts themselves are then loaded by the style
sheet).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def without_thebe(scripts: list[Any]) -> list[Any]:
    """A page's scripts, less those of sphinx-thebe: a remote address, and constants declared twice."""

    def of_thebe(script: Any) -> bool:
        name = str(getattr(script, "filename", script) or "").lower()
        body = (getattr(script, "attributes", None) or {}).get("body") or ""
        return "thebe" in name or "THEBE_JS_URL" in body

    return [script for script in scripts if not of_thebe(script)]


def on_page(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    context["script_files"][:] = without_thebe(context["script_files"])
    context["css_files"][:] = without_thebe(context["css_files"])


PRELOADED_FONT = re.compile(r'\s*<link rel="preload" as="font"[^>]*>')


def without_preloads(app: Sphinx, error: Exception | None) -> None:
    for page in Path(app.outdir).glob("**/*.html"):
        before = page.read_text(encoding="utf-8")
        after = PRELOADED_FONT.sub("", before)
        if after != before:
            page.write_text(after, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", on_page, priority=900)
    app.connect("build-finished", without_preloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
