"""The one look of all figures, and a `Picture`: a figure together with what it shows in words."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixlearn.core.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: a text column of 700 px
DENSITY = 200  # dots an inch: two pixels of the file for one of the page
SHORTEST = 20  # characters of alternative text

PAPER, INK, MUTED, FAINT = "#ffffff", "#21262c", "#62625e", "#dadad6"
TEAL, AMBER, INDIGO, VIOLET, BROWN = "#0f766e", "#bd5508", "#2f3192", "#9a4be0", "#5f3209"
COLOURS = (TEAL, AMBER, INDIGO, VIOLET, BROWN, INK)  # distinct for all types of colour vision
DARK = {  # the same colours on a dark page
    PAPER: "#121212",
    INK: "#e4e6ea",
    MUTED: "#a3a7ad",
    FAINT: "#3a4049",
    TEAL: "#2ba596",
    AMBER: "#ff8d1a",
    INDIGO: "#8b78ff",
    VIOLET: "#f3a3ff",
    BROWN: "#9c8d55",
}
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "grid.color") + tuple(
    f"{axis}tick.{part}" for axis in "xy" for part in ("color", "labelcolor")
)
_COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = (
    "-",
    *((0, dashes) for dashes in ((5, 1.6), (1.4, 1.2), (6, 1.4, 1.4, 1.4), (9, 2), (3, 1))),
)
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
LABEL: dict[str, Any] = {"textcoords": "offset points", "va": "center", "parse_math": False}
GROUND = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8}  # behind a label on a line

_LOOK = Path(__file__).parent / "assets" / "figures.mplstyle"
_DESCRIPTION = {".png": "Description", ".svg": "Description", ".pdf": "Subject"}
_UNDATED: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


class Picture:
    """A figure and its alternative text. A notebook shows it if it is the last line of a cell.

    The PNG carries the text in its chunk "Description", so that it stays with the file. What a notebook shows
    is transparent and carries the same figure for dark pages, in base64, in its chunk "Dark"; the book's
    build takes it out and shows each theme its own.

    Args:
        figure: any matplotlib figure. One made by pyplot is closed there, so that it is not shown twice.
        alt: what the figure shows, 20 characters or more, best written from the data that were drawn.

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
        """Write the figure to a file that ends in .png, .svg or .pdf, with its alternative text inside."""
        path = Path(path)
        path.write_bytes(self._rendered(path.suffix.lower()))
        return path

    def _rendered(self, suffix: str, transparent: bool = False, dark: bool = False, **more: str) -> bytes:
        if suffix not in _DESCRIPTION:
            raise ValueError(f"path must end in one of {', '.join(_DESCRIPTION)}, got {suffix!r}")
        metadata = {_DESCRIPTION[suffix]: self.alt, **_UNDATED[suffix], **more}
        file = io.BytesIO()
        options: dict[str, Any] = {"metadata": metadata, "transparent": transparent, "dpi": DENSITY}
        with style(dark), _recoloured(self.figure) if dark else nullcontext():
            self.figure.savefig(file, format=suffix[1:], **options)
        return file.getvalue()

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        dark = base64.b64encode(self._rendered(".png", transparent=True, dark=True)).decode("ascii")
        shown = base64.b64encode(self._rendered(".png", transparent=True, Dark=dark)).decode("ascii")
        width = round(self.figure.get_figwidth() * DENSITY / 2)
        about = {"alt": self.alt, "width": width, "needs_background": "light"}  # the last for JupyterLab
        return {"image/png": shown, "text/plain": self.alt}, {"image/png": about}

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


@contextmanager
def style(dark: bool = False) -> Iterator[None]:
    """The book's look for figures of your own; matplotlib's settings are as before afterwards.

    Args:
        dark: in the colours of a dark page.

    >>> import matplotlib
    >>> with style():
    ...     matplotlib.rcParams["figure.facecolor"] == PAPER
    True
    """
    with need("matplotlib.style", "A figure").context(["default", str(_LOOK)]):
        if dark:
            params = need("matplotlib", "A figure").rcParams
            turned = {name: DARK.get(f"#{params[name]}".replace("##", "#")) for name in _INKED}
            params.update({name: colour for name, colour in turned.items() if colour})
        yield


@contextmanager
def _recoloured(figure: Figure) -> Iterator[None]:
    """The figure in the colours of a dark page, and as it was afterwards."""
    figure.draw_without_rendering()  # makes the last ticks
    colours = need("matplotlib.colors", "A figure")
    own = {"#000000": DARK[INK]} | DARK  # black: what was drawn outside `style`
    dark = {colours.to_rgb(light): colours.to_rgb(deep) for light, deep in own.items()}

    def turned(colour: Any) -> Any:
        *rgb, alpha = colours.to_rgba(colour)
        return (*dark.get(tuple(rgb), rgb), alpha)

    boxes = (text.get_bbox_patch() for text in figure.findobj(need("matplotlib.text", "A figure").Text))
    artists = [*figure.findobj(), *filter(None, boxes)]
    before = [dict(vars(artist)) for artist in artists]
    shades = [(artist, artist.get_cmap()) for artist in artists if hasattr(artist, "get_cmap")]
    for artist in artists:
        for name in _COLOURED:
            get, change = (getattr(artist, f"{way}_{name}", None) for way in ("get", "set"))
            if get is None or change is None or not len(old := get()) or str(old) in ("none", "auto"):
                continue
            many = not isinstance(old, str) and not isinstance(old[0], (int, float))
            change([turned(one) for one in old] if many else turned(old))
    for artist, cmap in shades:
        if cmap.name == "share":  # masks, from paper to a colour
            ends = [turned(cmap(end)) for end in (0.0, 1.0)]
            artist.set_cmap(colours.LinearSegmentedColormap.from_list("share", ends))
    try:
        yield
    finally:
        for artist, old in zip(artists, before, strict=True):
            vars(artist).update(old)
        for artist, cmap in shades:
            artist.set_cmap(cmap)


def canvas(height: float, layout: str | None = None) -> Figure:
    """An empty figure as wide as the page's text, `height` inches high."""
    made: Figure = need("matplotlib.figure", "A figure").Figure((WIDTH, height), DENSITY, layout=layout)
    return made


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place of the figure: inches from its left and upper edges."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def write(figure: Figure, left: float, top: float, text: str, **words: Any) -> Any:
    """Text at a place of the figure: inches from its left and upper edges. Dollar signs are dollar signs."""
    across, down = figure.get_size_inches()
    return figure.text(left / across, 1 - top / down, text, **{"parse_math": False, **words})


def fit(text: Any, width: float) -> None:
    """Make a text of the figure small enough for `width` inches, or shorten it where that is not enough."""
    room = width * text.figure.dpi
    for _ in range(12):
        if text.get_window_extent().width <= room or text.get_fontsize() < 5.5:
            break
        text.set_fontsize(text.get_fontsize() - 0.25)
    while text.get_window_extent().width > room and len(text.get_text()) > 4:
        text.set_text(text.get_text().rstrip("…")[:-1].rstrip() + "…")


def framed(axes: Axes) -> Axes:
    """Axes without ticks, in a thin frame."""
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.5)
    return axes


def key(figure: Figure, handles: Sequence[Any], columns: int) -> None:
    """A legend at the foot of a figure of constrained layout; names that are too long are shortened."""
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))
    for text in legend.get_texts():
        text.set_parse_math(False)
        fit(text, (WIDTH - 0.2) / columns - 0.6)


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
    places = [0.0] * len(wanted)
    for centre, members in groups:
        for n, k in enumerate(members):
            places[k] = round(centre + apart * (n - (len(members) - 1) / 2), 12)
    return places


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
    """A share in hundredths, with a thin space before its sign."""
    return f"{number(100 * share, digits, signed)}\u2009%"


def plural(count: int, word: str) -> str:
    """A count and its noun.

    >>> plural(1, "point"), plural(2, "point")
    ('1 point', '2 points')
    """
    return f"{count} {word}{'s' * (count != 1)}"
