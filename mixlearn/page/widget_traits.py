"""What the traits of the widgets may hold. The same rules serve a live widget and one without a kernel."""

from __future__ import annotations

import base64
import math
from typing import Any

from mixlearn.page.widget_box import box_problem, side_problem

SIDE = 32  # pixels of a painted mask's side
RANGES: dict[str, tuple[float, float]] = {
    "lam": (0, 1),
    "target": (0, 1),
    "score": (0, 100),
    "block_score": (0, 100),
    "block_mean": (0, 1),
    "step": (0, 5),
    "parts": (1, 6),
}
FIXED = (
    *("photos", "pairs", "methods", "shares", "classes", "epochs", "shipped", "size", "net", "film"),
    *("arrows", "effects", "measured_on"),
)
FOLLOWS = {  # by widget: traits that the page works out from others
    "mask_studio": {"lam": "mask", "score": "mask"},
    "mask_film": {"score": "mask", "block_score": "epoch and lam", "block_mean": "epoch and lam"},
}


def problem(widget: Any, name: str, value: Any) -> str | None:
    """Why a trait of a widget must not hold a value, as "lie in [0, 1]" after "lam must"; None if it may.

    Args:
        widget: with its other traits as attributes.
        name: of the trait.
        value: of the trait's type.

    >>> problem(None, "lam", 1.5), problem(None, "lam", 0.5), problem(None, "target", math.nan)
    ('lie in [0, 1]', None, 'lie in [0, 1]')
    """
    if name in RANGES:
        low, high = RANGES[name]
        return None if low <= value <= high else f"lie in [{low}, {high}]"
    if name in ("alpha", "other"):
        return None if 0 < value < math.inf else "be positive and finite"
    if name in ("canvas_height", "canvas_width") and value < 1:
        return "be at least 1 pixel"
    if name == "box":
        return box_problem(value, widget.canvas_height, widget.canvas_width)
    if name in ("x", "y", "width", "height", "canvas_height", "canvas_width"):
        return side_problem(widget, name, value)
    if name in ("own_name", "partner_name"):
        return _one_of([photo["name"] for photo in widget.photos], value)
    if name == "pair":
        return _one_of([pair["name"] for pair in widget.pairs], value)
    if name == "epoch":
        return _one_of(widget.epochs, value)
    if name == "selected":
        terms = list(next(iter(widget.arrows.values()), {}))
        return f"{_one_of(terms, value)}, or empty" if value and _one_of(terms, value) else None
    if name == "mask":
        return _mask_problem(value)
    return _patch_problem(widget, name, value)


def _one_of(options: Any, value: Any) -> str | None:
    return None if value in options or not options else f"be one of {', '.join(map(str, options))}"


def _mask_problem(text: str) -> str | None:
    try:
        length = len(base64.b64decode(text, validate=True))
    except ValueError:
        return "be base64"
    return None if length == SIDE**2 else f"be the base64 of {SIDE} × {SIDE} bytes"


def _patch_problem(widget: Any, name: str, value: Any) -> str | None:
    """The traits of the patch groups."""
    if name == "batch":
        most = min(6, len(widget.photos))
        return None if 2 <= value <= most else f"lie in 2…{most}"
    if name == "patch":
        fits = widget.size in [across * value for across in range(2, 9)]
        return None if fits else f"go 2…8 times into {widget.size} pixels"
    if name not in ("order", "mixture", "place"):
        return None
    count = (widget.size // widget.patch) ** 2
    if name == "order":
        right = sorted(value) == list(range(count))
        return None if right else f"be a permutation of 0…{count - 1}"
    last = (widget.batch if name == "mixture" else count) - 1
    return None if -1 <= value <= last else f"lie in 0…{last}, or be -1 for none"


def got(name: str, value: Any) -> str:
    """A value in a message: short, whatever it is."""
    if name == "mask" and _mask_problem(value) != "be base64":
        return f"{len(base64.b64decode(value))} bytes"
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:80]} …"
