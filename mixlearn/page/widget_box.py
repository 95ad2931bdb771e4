"""The box of the box lab in Python: from sides to corners and back, its λ, and which boxes there may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Box = tuple[int, int, int, int]
ALONG = {  # by trait: start, length and room along its axis
    **dict.fromkeys(("x", "width", "canvas_width"), ("x", "width", "canvas_width")),
    **dict.fromkeys(("y", "height", "canvas_height"), ("y", "height", "canvas_height")),
}


def as_box(value: Any) -> Box | None:
    """Four whole numbers, of Python, NumPy or torch; None if that is not what they are.

    >>> as_box([0, 0, 8, 8.0]), as_box([0, 0, 8, 8.5]), as_box((1, 2))
    ((0, 0, 8, 8), None, None)
    """
    try:
        x0, y0, x1, y1 = value
        corners = int(x0), int(y0), int(x1), int(y1)
        return corners if all(a == b for a, b in zip(corners, value, strict=True)) else None
    except (TypeError, ValueError, OverflowError):  # one number, three of them, NaN, infinity
        return None


def box_problem(box: Any, height: int, width: int) -> str | None:
    """Why CutMix could not draw a box, as "be …" after "box must"; None if it could.

    Args:
        box: (x0, y0, x1, y1) in pixels, half-open. It may hang over the border.
        height, width: of the canvas, in pixels.

    >>> box_problem((-8, 0, 24, 8), 32, 32), box_problem((9, 0, 8, 8), 32, 32)[:44]
    (None, 'be (x0, y0, x1, y1) in whole pixels, x0 ≤ x1')
    """
    corners = as_box(box)
    if corners is not None:
        x0, y0, x1, y1 = corners
        if _lies(x0, x1 - x0, width) and _lies(y0, y1 - y0, height):
            return None
    return (
        f"be (x0, y0, x1, y1) in whole pixels, x0 ≤ x1 and y0 ≤ y1, of at most {width} × {height} and with "
        "its centre in the image"
    )


def side_problem(widget: Any, name: str, value: int) -> str | None:
    """Why one of `x`, `y`, `width`, `height`, `canvas_height`, `canvas_width` must not hold a value."""
    start, length, room = (value if key == name else getattr(widget, key) for key in ALONG[name])
    if _lies(start, length, room):
        return None
    return (
        f"leave the box's sides in 0…{room} pixels and its centre in the image (`box` sets all of it at once)"
    )


def box_of(widget: Any) -> Box:
    """The box as asked, (x0, y0, x1, y1)."""
    return widget.x, widget.y, widget.x + widget.width, widget.y + widget.height


def sides_of(box: Box) -> dict[str, int]:
    """A box as the page knows it.

    >>> sides_of((-8, 0, 24, 8))
    {'x': -8, 'y': 0, 'width': 32, 'height': 8}
    """
    x0, y0, x1, y1 = box
    return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}


def share_of(box: Sequence[int], height: int, width: int) -> float:
    """The realised λ: the share of its pixels that the image keeps under the part of a box that lies in it.

    >>> share_of((-8, 0, 8, 16), 16, 16)
    0.5
    """
    x0, y0, x1, y1 = box
    across, down = (max(0, min(x1, width) - max(x0, 0)), max(0, min(y1, height) - max(y0, 0)))
    return 1 - across * down / (height * width)


def box_for(lam: float, around: Sequence[int], height: int, width: int) -> Box:
    """A box inside the image that leaves λ, but for whole pixels, its centre as near another's as may be.

    Args:
        lam: λ, in [0, 1].
        around: the other box.
        height, width: of the canvas, in pixels.

    >>> box_for(0.75, (0, 0, 4, 4), 16, 16), share_of(box_for(0.75, (0, 0, 4, 4), 16, 16), 16, 16)
    ((0, 0, 8, 8), 0.75)
    """
    side = (1 - float(lam)) ** 0.5
    x0, y0, x1, y1 = around
    ends = []
    for start, end, room in ((x0, x1, width), (y0, y1, height)):
        length = round(side * room)  # halves to even, as in the page
        first = min(max((start + end) // 2 - length // 2, 0), room - length)
        ends.append((first, first + length))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _lies(start: int, length: int, room: int) -> bool:
    return 0 <= length <= room and 0 <= start + length // 2 < room
