"""A figure together with what it shows in words."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlearn.page.style import DENSITY, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORTEST = 20  # characters of alternative text
_DESCRIPTION = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}


class Picture:
    """A figure and its alternative text. A notebook shows it where it is the last line of a cell.

    The PNG carries the text in its chunk "Description", so that it stays with the file.

    Args:
        figure: any matplotlib figure. One made by pyplot is closed there, so that it is not shown twice.
        alt: what the figure shows, 20 characters or more, best written from the data that were drawn.

    Raises:
        ValueError: alternative text that is too short to say anything.

    >>> from matplotlib.figure import Figure
    >>> Picture(Figure(), "An empty figure, for want of a better one.")
    Picture: An empty figure, for want of a better one.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = " ".join(alt.split())
        if len(self.alt) < SHORTEST:
            raise ValueError(f"alt must describe the figure in {SHORTEST} characters or more, got {alt!r}")
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)

    def png(self) -> bytes:
        """The figure as a PNG file of two pixels a point of the page."""
        return self._rendered(".png")

    def save(self, path: str | Path) -> Path:
        """Write the figure to a file, with its alternative text inside.

        Args:
            path: ends in .png, .svg or .pdf.

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        path.write_bytes(self._rendered(path.suffix.lower()))
        return path

    def _rendered(self, suffix: str) -> bytes:
        if suffix not in _DESCRIPTION:
            raise ValueError(f"path must end in one of {', '.join(_DESCRIPTION)}, got {suffix!r}")
        dated = {} if suffix == ".png" else {"Date" if suffix == ".svg" else "CreationDate": None}
        metadata = {_DESCRIPTION[suffix]: self.alt, **dated}
        file = io.BytesIO()
        with style():
            self.figure.savefig(file, format=suffix[1:], dpi=DENSITY, metadata=metadata)
        return file.getvalue()

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        data = {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.alt}
        width = round(self.figure.get_figwidth() * DENSITY / 2)
        return data, {"image/png": {"alt": self.alt, "width": width}}

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"
