"""Exercises of chapter 3: a box, what is pasted into it, and the label that follows the pixels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixlearn.course.judge import Samples, written
from mixlearn.course.mixing import CYCLE
from mixlearn.course.run import Seed

HEIGHT, WIDTH = 100, 160  # of the images whose boxes are drawn


# -------------------------------------------------------------------------------------------- the box is drawn
def _observe_box(case: tuple[Any, ...], value: Any) -> Samples:
    x0, y0, x1, y1 = (float(one) for one in value)
    _, height, width, _ = case
    outside = max(-x0, -y0, x1 - width, y1 - height, x0 - x1, y0 - y1, 0.0)
    found = {"the distance outside the image": outside, "width": x1 - x0, "height": y1 - y0}
    found |= {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
    return found | {"x0/W − y0/H": (x0 / width - y0 / height) * height}


@written(
    chapter=3,
    level=2,
    points=3,
    inputs=lambda g: [(lam, HEIGHT, WIDTH, Seed(0)) for lam in (0.75, 0.19, 1.0)],
    observe=_observe_box,
    draws=150,
    slack={name: 2.5 for name in ("width", "height", "x0", "y0", "x1", "y1", "x0/W − y0/H")},
    hint="Draw the centre, not the corner. Then cut off what hangs over the border.",
)
def sample_box(lam: float, height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    """Draw the box that CutMix pastes: a share of about 1 − λ of the image, at a uniform place.

    Before clipping the sides are √(1 − λ) times the image's, √(1 − λ) · height and √(1 − λ) · width, rounded to
    whole pixels in any way. The centre is uniform over all pixels of the image. Whatever hangs over the border
    is cut off, so that the box may be smaller than asked for. lam is in [0, 1]; for λ = 1 the box is empty.
    Returns (x0, y0, x1, y1), whole numbers in pixels: columns x0 … x1 − 1 and rows y0 … y1 − 1 are in the box,
    0 ≤ x0 ≤ x1 ≤ width, 0 ≤ y0 ≤ y1 ≤ height. All draws come from `generator`.

    >>> x0, y0, x1, y1 = sample_box(0.75, 8, 16, torch.Generator().manual_seed(0))
    >>> x1 - x0 <= 8, y1 - y0 <= 4                                          # half of each side, or less
    (True, True)
    """
    return _box(lam, height, width, generator)


def _box(lam: float, height: int, width: int, g: Generator, wrong: str = "") -> tuple[int, int, int, int]:
    """A box with one thing wrong: the catalogue's entries differ in single lines of it."""
    side = {"side-not-root": 1 - lam, "own-share": lam**0.5, "side-squared": (1 - lam) ** 2}
    ratio = side.get(wrong, (1 - lam) ** 0.5) * (2 if wrong == "side-as-radius" else 1)
    place = torch.rand(2, generator=g)
    if wrong == "one-draw":
        place = place[:1].expand(2)
    if wrong == "normal-centre":
        place = (0.5 + torch.randn(2, generator=g) / 6).clamp(0, 0.999)
    if wrong == "always-centred":
        place = torch.full((2,), 0.5)
    if wrong == "always-the-same":
        place = torch.tensor([0.3, 0.6])
    corners = []
    for where, size, other in ((place[0], width, height), (place[1], height, width)):
        length = round(
            ratio * {"height-and-width-exchanged": other, "square": min(size, other)}.get(wrong, size)
        )
        start = int(where * size) - length // 2
        if wrong == "corner-drawn":
            start = int(where * size)
        if wrong in ("always-inside", "moved-inside"):
            start = int(where * (size - length + 1)) if wrong[0] == "a" else min(max(start, 0), size - length)
        end = start + length
        corners.append((start, end) if wrong == "not-clipped" else (max(start, 0), min(end, size)))
    (x0, x1), (y0, y1) = corners
    if wrong == "clipped-to-exchanged":
        return x0, y0, min(x1, height), min(y1, width)
    return {"x-and-y-exchanged": (y0, x0, y1, x1), "corner-and-size": (x0, y0, x1 - x0, y1 - y0)}.get(
        wrong, (x0, y0, x1, y1)
    )


for _name in (
    *("side-not-root", "own-share", "side-squared", "side-as-radius", "one-draw", "normal-centre", "square"),
    *("always-centred", "always-the-same", "height-and-width-exchanged", "corner-drawn", "always-inside"),
    *("moved-inside", "not-clipped", "clipped-to-exchanged", "x-and-y-exchanged", "corner-and-size"),
):
    sample_box.wrong(_name, lambda *a, _name=_name: _box(*a, wrong=_name))


# ------------------------------------------------------------------------------------------------------- CutMix
def _cutmix_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = torch.tensor([0.0, 8.0]).view(2, 1, 1, 1).expand(2, 1, 2, 4).clone()
    images, targets = torch.rand(5, 3, 6, 10, generator=g), torch.rand(5, 4, generator=g).softmax(1)
    cases = [(tiny, torch.eye(2), torch.tensor([0, 0, 1, 2]), torch.tensor([1, 0]))]
    for box in ([7, 1, 10, 3], [1, 2, 9, 6], [2, 3, 2, 5]):  # the last is empty
        cases.append((images, targets, torch.tensor(box), torch.tensor(CYCLE)))
    return cases


@written(
    chapter=3,
    level=2,
    points=2,
    inputs=_cutmix_inputs,
    parts=("images", "targets"),
    hint="Rows come first in a tensor, columns first in a box: `images[:, :, y0:y1, x0:x1]`.",
)
def cutmix(images: Tensor, targets: Tensor, box: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Paste a box of each image's partner into the image, at the same place; the label follows the pixels.

    images (B, C, H, W) float, targets (B, classes) soft labels, box (4,) int64 holds x0, y0, x1, y1 in pixels
    for the whole batch: columns x0 … x1 − 1 and rows y0 … y1 − 1, inside the image, perhaps empty. partner
    (B,) int64. Returns mixed images (B, C, H, W) and mixed targets (B, classes), in which the image's own
    label has the share λ of pixels outside the box, λ = 1 − (x1 − x0)(y1 − y0) / (H W), and the partner's the
    rest. The inputs are not changed.

    >>> images = torch.tensor([0., 8.]).view(2, 1, 1, 1).expand(2, 1, 1, 4)
    >>> mixed, targets = cutmix(images, torch.eye(2), torch.tensor([0, 0, 1, 1]), torch.tensor([1, 0]))
    >>> mixed[0, 0], targets[0]
    (tensor([[8., 0., 0., 0.]]), tensor([0.7500, 0.2500]))
    """
    x0, y0, x1, y1 = box.tolist()
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = images[partner][:, :, y0:y1, x0:x1]
    lam = 1 - (x1 - x0) * (y1 - y0) / (images.shape[2] * images.shape[3])
    return mixed, lam * targets + (1 - lam) * targets[partner]


def _pasted(x: Tensor, box: Tensor, source: Tensor) -> Tensor:
    both, pairs = torch.cat([x, source]), torch.arange(2 * len(x)).roll(len(x))
    return cutmix(both, torch.zeros(len(pairs), 1), box, pairs)[0][: len(x)]


def _labelled(x: Tensor, t: Tensor, box: Tensor, p: Tensor, lam: Any) -> tuple[Tensor, Tensor]:
    return cutmix(x, t, box, p)[0], lam * t + (1 - lam) * t[p]


def _kept(x: Tensor, box: Tensor) -> float:
    """λ, the share outside the box."""
    return 1 - float((box[2] - box[0]) * (box[3] - box[1])) / x[0, 0].numel()


def _turned(box: Tensor) -> Tensor:
    return box[[1, 0, 3, 2]]


def _crop_pasted(x: Tensor, t: Tensor, box: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    x0, y0, x1, y1 = box.tolist()
    mixed = x.clone()
    mixed[:, :, y0:y1, x0:x1] = x[p][:, :, : y1 - y0, : x1 - x0]
    return mixed, cutmix(x, t, box, p)[1]


def _exchanged(x: Tensor, t: Tensor, box: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The slices exchanged and λ right: pixels and labels no longer agree."""
    return cutmix(x, t, _turned(box), p)[0], cutmix(x, t, box, p)[1]


_closed = torch.tensor([0, 0, 1, 1])
wrong = cutmix.wrong
wrong("lam-exchanged", lambda x, t, b, p: _labelled(x, t, b, p, 1 - _kept(x, b)))
wrong("height-and-width-exchanged", _exchanged)
wrong("labels-not-mixed", lambda x, t, b, p: _labelled(x, t, b, p, 1.0))
wrong("half-labels", lambda x, t, b, p: _labelled(x, t, b, p, 0.5))
wrong("partner-only", lambda x, t, b, p: _labelled(x, t, b, p, 0.0))
wrong("hard-labels", lambda x, t, b, p: _labelled(x, t, b, p, round(_kept(x, b))))
wrong("images-not-mixed", lambda x, t, b, p: (x, cutmix(x, t, b, p)[1]))
wrong("outside-pasted", lambda x, t, b, p: (_pasted(x[p], b, x), cutmix(x, t, b, p)[1]))
wrong("crop-elsewhere", _crop_pasted)
wrong("box-erased", lambda x, t, b, p: (_pasted(x, b, 0 * x), cutmix(x, t, b, p)[1]))
wrong("box-averaged", lambda x, t, b, p: (_pasted(x, b, (x + x[p]) / 2), cutmix(x, t, b, p)[1]))
wrong("inverse-partner", lambda x, t, b, p: cutmix(x, t, b, p.argsort()))
wrong("batch-flipped", lambda x, t, b, p: cutmix(x, t, b, torch.arange(len(x)).flip(0)))
wrong(
    "last-row-missing",
    lambda x, t, b, p: (cutmix(x, t, (b - _closed).clamp(min=0), p)[0], cutmix(x, t, b, p)[1]),
)
wrong("one-row-too-many", lambda x, t, b, p: (cutmix(x, t, b + _closed, p)[0], cutmix(x, t, b, p)[1]))
wrong(
    "area-closed",
    lambda x, t, b, p: _labelled(x, t, b, p, 1 - float((b[2:] - b[:2] + 1).prod()) / x[0, 0].numel()),
)
wrong(
    "area-of-square",
    lambda x, t, b, p: _labelled(x, t, b, p, 1 - float((b[2:] - b[:2]).prod()) / x.shape[3] ** 2),
)
wrong(
    "area-with-channels",
    lambda x, t, b, p: _labelled(x, t, b, p, 1 - float((b[2:] - b[:2]).prod()) / x[0].numel()),
)
wrong("side-not-area", lambda x, t, b, p: _labelled(x, t, b, p, 1 - float((b[2] - b[0]) / x.shape[3])))
wrong(
    "one-channel",
    lambda x, t, b, p: (torch.cat([cutmix(x, t, b, p)[0][:, :1], x[:, 1:]], 1), cutmix(x, t, b, p)[1]),
)
wrong("corner-and-size", lambda x, t, b, p: cutmix(x, t, torch.cat([b[:2], b[:2] + b[2:]]), p))


# ------------------------------------------------------------------------------------------------------- Cutout
def _cutout_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny, images = 1 + torch.rand(1, 1, 4, 6, generator=g), 1 + torch.rand(4, 2, 7, 11, generator=g)
    centres = torch.tensor([[0, 2], [5, 3], [10, 6], [9, 0]])
    return [(tiny, torch.tensor([[2, 1]]), 2), (images, centres, 4), (images, centres.flip(0), 3)]


@written(
    chapter=3,
    level=2,
    points=2,
    inputs=_cutout_inputs,
    hint="A square that hangs over the border starts at a negative index, which Python counts from the end.",
)
def cutout(images: Tensor, centres: Tensor, size: int) -> Tensor:
    """Erase a square of each image: set it to 0, the mean colour of normalised images.

    images (B, C, H, W) float, centres (B, 2) int64 holds x, the column, and y, the row, for each image, inside
    the image; size is the side in pixels. The square of image i has the columns x − size // 2 up to, but
    without, x − size // 2 + size, and the rows of y alike; what hangs over the border is cut off. Returns new
    images (B, C, H, W); the input is not changed.

    >>> cutout(torch.ones(1, 1, 2, 5), torch.tensor([[4, 1]]), 2)[0, 0]
    tensor([[1., 1., 1., 0., 0.],
            [1., 1., 1., 0., 0.]])
    """
    return images * (1 - _squares(images, centres, size))


def _squares(images: Tensor, centres: Tensor, size: int, before: int | None = None) -> Tensor:
    """1 inside the squares: (B, 1, H, W)."""
    inside = []
    for axis, length in ((1, images.shape[2]), (0, images.shape[3])):
        start = centres[:, axis, None] - (size // 2 if before is None else before)
        place = torch.arange(length)
        inside.append((place >= start) & (place < start + size))
    return (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float()


def _looped(x: Tensor, c: Tensor, size: int) -> Tensor:
    """Slices without clipping: a negative start counts from the end."""
    out = x.clone()
    for image, (column, row) in zip(out, (c - size // 2).tolist(), strict=True):
        image[:, row : row + size, column : column + size] = 0
    return out


def _moved(x: Tensor, c: Tensor, size: int) -> Tensor:
    most = torch.tensor([x.shape[3], x.shape[2]]) - size
    return (c - size // 2).clamp(min=0).minimum(most) + size // 2


wrong = cutout.wrong
wrong("not-clipped", _looped)
wrong("x-and-y-exchanged", lambda x, c, n: cutout(x, c.flip(1), n))
wrong("moved-inside", lambda x, c, n: cutout(x, _moved(x, c, n), n))
wrong("corner-not-centre", lambda x, c, n: x * (1 - _squares(x, c, n, 0)))
wrong("side-as-radius", lambda x, c, n: x * (1 - _squares(x, c, 2 * n, n)))
wrong("one-box", lambda x, c, n: cutout(x, c[:1].expand(len(c), 2), n))
wrong("even-only", lambda x, c, n: x * (1 - _squares(x, c, 2 * (n // 2), n // 2)))
wrong("last-row-too-many", lambda x, c, n: x * (1 - _squares(x, c, n + 1, n // 2)))
wrong("inside-kept", lambda x, c, n: x * _squares(x, c, n))
wrong("filled-with-mean", lambda x, c, n: torch.where(_squares(x, c, n) > 0, x.mean((2, 3), keepdim=True), x))
wrong("filled-with-one", lambda x, c, n: torch.where(_squares(x, c, n) > 0, 1.0, x))
wrong("one-channel", lambda x, c, n: torch.cat([cutout(x, c, n)[:, :1], x[:, 1:]], 1))
wrong("nothing-erased", lambda x, c, n: x)


# ----------------------------------------------------------------------------------------------------- ResizeMix
def _resizemix_inputs(g: Generator) -> list[tuple[Any, ...]]:
    ramp = 10 * torch.arange(24.0)[:, None] + 3 * torch.arange(32.0)  # (24, 32): every way of resizing agrees
    images = torch.stack([ramp + 1000 * k for k in range(3)])[:, None]
    return [(images, torch.eye(3), tau, torch.tensor([2, 0, 1]), Seed(0)) for tau in (0.5, 0.25)]


def _observe_resized(case: tuple[Any, ...], value: Any) -> Samples:
    images, targets, tau, partner, _ = case
    mixed, labels = value[0].double(), value[1].double()
    height, width = images.shape[2:]
    foreign = (mixed - images).abs().amax(1) > 0.01  # (B, H, W)
    if not foreign.any():
        none = {
            "the sides": torch.zeros(2) - 9,
            "the place": torch.zeros(2) - 9,
            "what is pasted": torch.ones(3),
        }
        return none | {"the label beside the pixels": torch.ones(1), "the own share": labels.diagonal()[:1]}
    rows, columns = foreign[0].any(1).nonzero()[:, 0], foreign[0].any(0).nonzero()[:, 0]
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    small = F.interpolate(images[partner].double(), (y1 - y0, x1 - x0), mode="nearest")
    off = (mixed[:, :, y0:y1, x0:x1] - small).abs().amax((1, 2, 3))
    lam = 1 - foreign.double().mean((1, 2))
    expected = lam[:, None] * targets + (1 - lam[:, None]) * targets[partner]
    place = torch.tensor([x0 / max(width - (x1 - x0), 1), y0 / max(height - (y1 - y0), 1)])
    return {
        "the sides": torch.tensor([x1 - x0 - tau * width, y1 - y0 - tau * height]),
        "the place": place,
        "how far x and y are apart": place[0] - place[1],
        "what is pasted": off,
        "the label beside the pixels": (labels - expected).abs().max(),
        "the own share": labels.diagonal()[:1],
    }


@written(
    chapter=3,
    level=2,
    points=3,
    inputs=_resizemix_inputs,
    observe=_observe_resized,
    draws=80,
    slack={"the sides": 1.01, "the label beside the pixels": 1e-3, "the place": 0.01, "the own share": 0.05}
    | {"what is pasted": 16},
    parts=("images", "targets"),
    hint="`F.interpolate(images[partner], size=(h, w))` shrinks. How many places are there for the small image?",
)
def resizemix(
    images: Tensor, targets: Tensor, tau: float, partner: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Paste the whole partner, shrunk by τ, at a random place; the label follows the pixels.

    images (B, C, H, W) float, targets (B, classes) soft labels, tau in (0, 1), partner (B,) int64. The partner
    is resized as a whole to τH × τW pixels, rounded in any way (`F.interpolate` does, by any of its modes), and
    written into the image at one place for the whole batch. The place is uniform over all those at which the
    small image lies inside the large one: nothing is cut off. Returns mixed images (B, C, H, W) and targets
    (B, classes), in which the own label has the share λ of pixels that are still the image's own: about
    1 − τ². All draws come from `generator`; the inputs are not changed.

    >>> images = torch.tensor([0., 8.]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    >>> pair, generator = torch.tensor([1, 0]), torch.Generator().manual_seed(0)
    >>> mixed, targets = resizemix(images, torch.eye(2), 0.5, pair, generator)
    >>> mixed[0].sum(), targets[0]                                       # four pixels of 8
    (tensor(32.), tensor([0.7500, 0.2500]))
    """
    return _resized(images, targets, tau, partner, generator)


def _resized(
    x: Tensor, t: Tensor, tau: float, p: Tensor, g: Generator, wrong: str = ""
) -> tuple[Tensor, Tensor]:
    """The mixture with one thing wrong: the catalogue's entries differ in single lines of it."""
    height, width = x.shape[2:]
    scale = {"area-not-side": tau**0.5, "tau-squared": tau**2, "own-share": 1 - tau}.get(wrong, tau)
    h, w = max(round(scale * height), 1), max(round(scale * width), 1)
    small = F.interpolate(x[p], (h, w), mode="nearest")
    u = torch.rand(2, generator=torch.Generator().manual_seed(1) if wrong == "always-the-same" else g)
    u = u[:1].expand(2) if wrong == "one-draw" else torch.full((2,), 0.5) if wrong == "always-centred" else u
    y, column = int(u[0] * (height - h + 1)), int(u[1] * (width - w + 1))
    if wrong == "corner-only":
        y = column = 0
    if wrong == "clipped":
        y, column = int(u[0] * height) - h // 2, int(u[1] * width) - w // 2
    y0, y1, x0, x1 = max(y, 0), min(y + h, height), max(column, 0), min(column + w, width)
    small = (
        x[p][:, :, y0:y1, x0:x1]
        if wrong == "cut-not-shrunk"
        else small[:, :, y0 - y : y1 - y, x0 - column : x1 - column]
    )
    small = F.interpolate(x, (h, w), mode="nearest") if wrong == "own-image" else small
    mixed = x.clone()
    mixed[:, :, y0:y1, x0:x1] = small.mT.reshape(small.shape) if wrong == "transposed" else small
    share = {"tau-not-area": 1 - tau, "lam-exchanged": tau**2, "labels-not-mixed": 1.0, "half-labels": 0.5}
    lam = share.get(wrong, 1 - (y1 - y0) * (x1 - x0) / (height * width))
    return mixed, lam * t + (1 - lam) * t[p]


for _name in (
    *("area-not-side", "tau-squared", "own-share", "one-draw", "always-centred", "always-the-same"),
    *("corner-only", "clipped", "cut-not-shrunk", "own-image", "transposed", "tau-not-area"),
    *("lam-exchanged", "labels-not-mixed", "half-labels"),
):
    resizemix.wrong(_name, lambda *a, _name=_name: _resized(*a, wrong=_name))
