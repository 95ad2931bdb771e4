"""The box lab: a box of one photograph pushed about in another, its λ, and which boxes there may be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_alpha
from mixlearn.methods.cutmix import cutmix
from mixlearn.page.host import photographs, picture_url, picture_urls
from mixlearn.page.widget import Rule, StandaloneWidget, one_of, positive, widget, within

SIZE = 128  # pixels of the shipped photographs
Box = tuple[int, int, int, int]


def box_lab(
    box: Sequence[int] | None = (40, 40, 104, 112),
    pair: tuple[str, str] = ("dog", "cat"),
    *,
    size: int = SIZE,
    alpha: float = 1.0,
    lam: float = 0.6,
    images: Tensor | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> Any:
    """Move a box of one photograph in another: λ as asked and as realised, the label by three rules.

    Args:
        box: (x0, y0, x1, y1) in pixels, half-open, to begin with. It may hang over the border, its centre
            in the image and its sides no longer than the image's. None: a box for `lam` in the middle.
        size: height and width of the canvas to begin with, in pixels. Images are brought to it by nearest
            neighbour.
        lam: λ that the box is asked to leave, in [0, 1], where `box` is None.
        pair, alpha, images, names, seed: as for `lambda_mixer`.

    Returns:
        A widget with the traits `own_name`, `partner_name`, `box` (as asked, so that it may hang over),
        `lam` (the realised λ; set, it moves the box to one inside the image with that share, but for whole
        pixels), `x`, `y`, `width`, `height` (the same box: its first pixel and its sides), `canvas_height`,
        `canvas_width` and `alpha`.

    >>> widget = box_lab((-8, 40, 56, 104))
    >>> widget.x, widget.width, widget.partner_name
    (-8, 64, 'cat')
    >>> widget.lam = 0.75
    >>> widget.box, widget.lam
    ((0, 40, 64, 104), 0.75)
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must lie in [0, 1], got {lam}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if box is None:
        box = box_for(lam, (0, 0, size, size), size, size)
    if wrong := box_problem(box, size, size):
        raise ValueError(f"box must {wrong}, got {tuple(box)}")
    corners = as_box(box)
    shipped = images is None
    images, names = photographs(images, names, pair, SIZE)
    state = {
        "photos": picture_urls(images, names),
        "shipped": shipped,
        "own_name": pair[0],
        "partner_name": pair[1],
        **sides_of(corners),
        "canvas_height": size,
        "canvas_width": size,
        "alpha": check_alpha(alpha),
        "seed": int(seed),
    }
    nearest = torch.arange(size) * images.shape[-1] // size
    both = torch.stack([images[names.index(name)] for name in pair])[:, :, nearest][:, :, :, nearest]
    mixed = cutmix(both, boxes=[[min(max(corner, 0), size) for corner in corners]], partner=[1, 0])
    rules: dict[str, Rule] = dict.fromkeys(("own_name", "partner_name"), one_of(names))
    rules |= {key: partial(_side_problem, key) for key in (*_ALONG["x"], *_ALONG["y"])}
    rules |= {"lam": within(0, 1), "alpha": positive, "box": _box_rule}
    words = f"Box lab: {mixed.plan.describe(0, pair)}"
    return widget("box_lab", state, picture_url(mixed.images[0]), words, rules, None, _Alone, _extended)


def as_box(value: Any) -> Any:
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
    """Why CutMix could not draw a box in so many pixels; None if it could. It may hang over the border.

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


def sides_of(box: Box) -> dict[str, int]:
    """A box as the page knows it."""
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


_ALONG = {"x": ("x", "width", "canvas_width"), "y": ("y", "height", "canvas_height")}


def _lies(start: int, length: int, room: int) -> bool:
    return 0 <= length <= room and 0 <= start + length // 2 < room


def _side_problem(name: str, lab: Any, value: int) -> str | None:
    """Why one of the traits in `_ALONG` must not hold a value."""
    keys = _ALONG["x" if name in _ALONG["x"] else "y"]
    start, length, room = (value if key == name else getattr(lab, key) for key in keys)
    if name == keys[2] and value < 1:
        return "be at least 1 pixel"
    if _lies(start, length, room):
        return None
    return (
        f"leave the box's sides in 0…{room} pixels and its centre in the image (`box` sets all of it at once)"
    )


def _box_rule(lab: Any, value: Any) -> str | None:
    return box_problem(value, lab.canvas_height, lab.canvas_width)


def _box_of(lab: Any) -> Box:
    """The box as asked."""
    return lab.x, lab.y, lab.x + lab.width, lab.y + lab.height


class _Alone(StandaloneWidget):
    """The box lab without a kernel: `box` and `lam` are worked out from the sides."""

    @property
    def box(self) -> Box:
        return _box_of(self)

    @property
    def lam(self) -> float:
        return share_of(self.box, self.canvas_height, self.canvas_width)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("box", "lam"):
            return super().__setattr__(name, value)
        if wrong := self._problem(name, value):
            raise ValueError(wrong)
        size = self.canvas_height, self.canvas_width
        self.__dict__.update(sides_of(as_box(value) if name == "box" else box_for(value, self.box, *size)))
        return None


def _extended(live: Any) -> Any:
    """The live box lab: the page knows `x`, `y`, `width` and `height`, the kernel `box` and `lam` too."""
    import traitlets

    class Boxed(live):
        lam = traitlets.CFloat()
        box = traitlets.Any()

        @traitlets.observe("x", "y", "width", "height", "canvas_height", "canvas_width")
        def _tell(self, _: Any) -> None:
            self.box = _box_of(self)
            self.lam = share_of(self.box, self.canvas_height, self.canvas_width)

        @traitlets.observe("box")
        def _place(self, _: Any) -> None:
            with self.hold_sync(), self.hold_trait_notifications():
                for side, value in sides_of(self.box).items():
                    setattr(self, side, value)

        @traitlets.validate("box", "lam")
        def _can_be_drawn(self, proposal: Any) -> Any:
            trait, value = proposal["trait"].name, proposal["value"]
            if self._name and (wrong := self._problem(trait, value)):
                raise traitlets.TraitError(wrong)
            if trait == "box":
                return as_box(value)
            size = self.canvas_height, self.canvas_width
            if value != share_of(_box_of(self), *size):  # asked for here, not told by the page
                self.box = box_for(value, _box_of(self), *size)
            return share_of(_box_of(self), *size)

    return Boxed
