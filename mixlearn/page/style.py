"""The one look of all figures: warm paper, dark ink, few colours, nothing that does not say something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mixlearn.core.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: a text column of 700 px
DENSITY = 200  # dots an inch: two pixels of the file for one of the page

PAPER, INK, MUTED, FAINT = "#fdfcf7", "#21262c", "#62625e", "#dedacd"
TEAL, AMBER, INDIGO, VIOLET, BROWN = "#0f766e", "#bd5508", "#2f3192", "#9a4be0", "#5f3209"
COLOURS = (TEAL, AMBER, INDIGO, VIOLET, BROWN, INK)  # apart for every kind of colour vision
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (1.4, 1.2)),
    (0, (6, 1.4, 1.4, 1.4)),
    (0, (9, 2)),
    (0, (3, 1)),
)
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")

_LOOK: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "savefig.transparent": False,
    "figure.dpi": DENSITY,
    "savefig.dpi": DENSITY,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "mathtext.fontset": "cm",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "mixlearn",
}


@contextmanager
def style() -> Iterator[None]:
    """The book's look for figures of your own; matplotlib's settings are as before afterwards.

    Raises:
        ImportError: matplotlib is not installed; the message names the extra that brings it.

    >>> import matplotlib
    >>> before = dict(matplotlib.rcParams)
    >>> with style():
    ...     matplotlib.rcParams["figure.facecolor"]
    '#fdfcf7'
    >>> dict(matplotlib.rcParams) == before
    True
    """
    with need("matplotlib.style", "A figure").context(["default", _LOOK]):
        yield


def canvas(height: float) -> Figure:
    """An empty figure as wide as the page's text, `height` inches high."""
    figure: Figure = need("matplotlib.figure", "A figure").Figure(figsize=(WIDTH, height), dpi=DENSITY)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place of the figure: inches from its left and upper edges."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def write(figure: Figure, left: float, top: float, text: str, **words: Any) -> Any:
    """Text at a place of the figure: inches from its left and upper edges. Dollar signs are dollar signs."""
    words.setdefault("parse_math", False)
    across, down = figure.get_size_inches()
    return figure.text(left / across, 1 - top / down, text, **words)


def fit(text: Any, width: float) -> None:
    """Make a text of the figure small enough for `width` inches, or shorten it where that is not enough."""
    room = width * text.figure.dpi
    for _ in range(12):
        if text.get_window_extent().width <= room or text.get_fontsize() < 5.5:
            break
        text.set_fontsize(text.get_fontsize() - 0.25)
    while text.get_window_extent().width > room and len(text.get_text()) > 4:
        text.set_text(text.get_text().rstrip("…")[:-1].rstrip() + "…")


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Places for labels: as near to the wanted ones as can be, no two closer than `apart`, order kept.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    groups: list[tuple[float, list[int]]] = []  # centre, members
    for k in order:
        centre, members = wanted[k], [k]
        while groups and groups[-1][0] + apart * (len(groups[-1][1]) + len(members)) / 2 > centre:
            members = groups.pop()[1] + members
            centre = sum(wanted[m] for m in members) / len(members)
        groups.append((centre, members))
    found = [0.0] * len(wanted)
    for centre, members in groups:
        for place, k in enumerate(members):
            found[k] = round(centre + apart * (place - (len(members) - 1) / 2), 12)
    return found


def number(value: float, digits: int = 2, signed: bool = False) -> str:
    """A number as printers set it, with a true minus.

    >>> number(-0.5, 1), number(0.25, 2, signed=True)
    ('−0.5', '+0.25')
    """
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(share: float, digits: int = 0, signed: bool = False) -> str:
    """A share in hundredths, with a thin space before its sign.

    >>> percent(0.634) == "63\\u2009%"
    True
    """
    return f"{number(100 * share, digits, signed)}\u2009%"
