"""Carries the repository's address from _config.yml, where it is set, to the files that must repeat it.

`python book/_tools/address.py`, or `make address`, rewrites the set-up cell of every notebook and the
addresses in README.md, CITATION.cff, pyproject.toml and the notebooks to hand in. Pages of the book write
@REPOSITORY@ instead, and the Colab buttons are made from _config.yml by the theme.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
REPEATING = ("README.md", "CITATION.cff", "pyproject.toml")
SETUP = """\
# @title Set-up: installs mixlearn in Google Colab, does nothing anywhere else
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "mixlearn[lab] @ git+{url}\""""
SETUP_METADATA = {
    "cellView": "form",
    "mystnb": {
        "code_prompt_show": "Set-up (for Google Colab)",
        "code_prompt_hide": "Hide the set-up",
    },
    "tags": ["setup", "hide-input"],
}


def address(root: Path = ROOT) -> str:
    """The repository's address, as _config.yml sets it."""
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))[
        "repository"
    ]["url"].rstrip("/")


def branch(root: Path = ROOT) -> str:
    """The branch that Colab opens notebooks from."""
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))[
        "repository"
    ]["branch"]


def notebooks(root: Path = ROOT) -> list[Path]:
    """Every notebook that is a page of the book."""
    return sorted(
        path
        for path in (root / "book").rglob("*.ipynb")
        if not {".ipynb_checkpoints", "_build", "hand_in"} & set(path.parts)
    )


def hand_ins(root: Path = ROOT) -> list[Path]:
    """The notebooks to hand in, which hand_in.py makes."""
    return sorted((root / "book" / "hand_in").glob("*.ipynb"))


def setup_cell(url: str) -> dict[str, Any]:
    """The first code cell of every notebook."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "setup",
        "metadata": SETUP_METADATA,
        "outputs": [],
        "source": SETUP.format(url=url).splitlines(keepends=True),
    }


def with_setup(notebook: dict[str, Any], url: str) -> dict[str, Any]:
    """The notebook, its set-up cell right: after the title if it begins with one."""
    cells = [
        cell
        for cell in notebook["cells"]
        if "setup" not in cell["metadata"].get("tags", [])
    ]
    place = 1 if cells and cells[0]["cell_type"] == "markdown" else 0
    return {
        **notebook,
        "cells": [*cells[:place], setup_cell(url), *cells[place:]],
    }


def with_address(text: str, url: str, branch: str) -> str:
    """The text, every GitHub address in it replaced by this repository's."""
    slug = "/".join(url.split("/")[-2:])
    text = re.sub(
        r"https://github\.com/[\w.-]+/[\w-]+(?:\.[\w-]+)*", url, text
    )
    return re.sub(
        r"(colab\.research\.google\.com/github)/[\w.-]+/[\w.-]+/blob/[\w.-]+/",
        rf"\1/{slug}/blob/{branch}/",
        text,
    )


def carry(root: Path = ROOT) -> list[Path]:
    """Write the address wherever it is repeated; returns the files that changed."""
    url, changed = address(root), []
    for path in notebooks(root):
        before = path.read_text(encoding="utf-8")
        after = (
            json.dumps(
                with_setup(json.loads(before), url),
                indent=1,
                ensure_ascii=False,
                sort_keys=True,
            )
            + "\n"
        )
        if json.loads(after) != json.loads(before):
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    for path in [*(root / name for name in REPEATING), *hand_ins(root)]:
        before = path.read_text(encoding="utf-8")
        after = with_address(before, url, branch(root))
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def main() -> int:
    for path in carry():
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
