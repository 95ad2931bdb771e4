"""The pages of the book, in order, as book/_toc.yml lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def pages(root: Path = ROOT) -> list[str]:
    """The names of all pages, without their endings."""

    def walk(node: Any) -> list[str]:
        if isinstance(node, list):
            return [name for inner in node for name in walk(inner)]
        if not isinstance(node, dict):
            return []
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [name for value in node.values() for name in walk(value)]

    listed = walk(
        yaml.safe_load(
            (root / "book" / "_toc.yml").read_text(encoding="utf-8")
        )
    )
    return [name.removesuffix(".md").removesuffix(".ipynb") for name in listed]


def titles(root: Path = ROOT) -> dict[str, str]:
    """The title of each page of a chapter, such as "3 CutMix: In practice"."""
    listed = yaml.safe_load(
        (root / "book" / "_toc.yml").read_text(encoding="utf-8")
    )
    chapters = [page for part in listed["parts"] for page in part["chapters"]]
    return {
        page["file"]: page["title"]
        if page is chapter
        else f"{chapter['title']}: {page['title']}"
        for chapter in chapters
        for page in [chapter, *chapter.get("sections", ())]
        if "title" in page
    }
