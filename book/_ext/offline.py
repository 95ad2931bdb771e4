"""Keeps built pages from asking other hosts: drops sphinx-thebe, which jupyter-book always adds."""

from __future__ import annotations

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
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    context["script_files"][:] = without_thebe(context["script_files"])
    context["css_files"][:] = without_thebe(context["css_files"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", on_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
