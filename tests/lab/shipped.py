"""Where the data lie that come with mixlearn."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
