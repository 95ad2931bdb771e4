"""Puts the shipped data and the run records into the wheel; an editable install uses the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = {
    "data/emoji": "mixlearn/_data/emoji",
    "data/photos": "mixlearn/_data/photos",
    "data/LICENSES.md": "mixlearn/_data/LICENSES.md",
    "data/SHA256SUMS": "mixlearn/_data/SHA256SUMS",
    "book/results": "mixlearn/_results",
}


class ShippedFiles(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        missing = [source for source in SHIPPED if not (Path(self.root) / source).exists()]
        if missing:
            raise FileNotFoundError(
                f"the wheel must hold {', '.join(SHIPPED)}; missing: {', '.join(missing)}"
            )
        build_data["force_include"].update(
            {str(Path(self.root) / source): target for source, target in SHIPPED.items()}
        )
