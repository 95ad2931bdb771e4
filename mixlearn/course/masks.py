"""Exercises of chapter 4: masks of any shape, boxes where it matters, their energy, and transport."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from mixlearn.course.judge import Samples, written
from mixlearn.course.run import Seed

ROWS, COLUMNS = 24, 40


# --------------------------------------------------------------------------------------------------------- FMix
def _observe_mask(case: tuple[Any, ...], value: Any) -> Samples:
    mask = value.double()
    return {
        "the share of ones": mask.mean(),
        "the distance from 0 and 1": torch.minimum(mask.abs(), (1 - mask).abs()).max(),
        "edges from row to row": (mask.diff(dim=0) != 0).double().mean(),
        "edges from column to column": (mask.diff(dim=1) != 0).double().mean(),
        "a pixel of the mask": mask[3, 5],
    }


@written(
    chapter=4,
    level=3,
    points=3,
    inputs=lambda g: [(lam, ROWS, COLUMNS, Seed(0)) for lam in (0.3, 0.75)],
    observe=_observe_mask,
    draws=60,
    slack={"the share of ones": 1.01 / (ROWS * COLUMNS)},
    hint="Noise, `torch.fft.rfft2`, multiply, `torch.fft.irfft2`; then sort: how many pixels are to be 1?",
)
def fmix_mask(lam: float, height: int, width: int, generator: Generator) -> Tensor:
    """A mask cut from a random cloud, as FMix has it: 1 at the λ · height · width highest pixels, else 0.

    The cloud is Gaussian white noise whose amplitude at frequency f is multiplied by f^−3. With fy and fx from
    `torch.fft.fftfreq`, in cycles per pixel, f = √(fy² + fx²); the frequency 0, for which f^−3 is infinite, is
    given any finite factor, as a constant changes no mask. All of the cloud's directions are alike. lam is in
    [0, 1]; λ · height · width is rounded up or down. Returns (height, width) float, of 0 and 1. All draws come
    from `generator`.

    >>> fmix_mask(0.25, 4, 8, torch.Generator().manual_seed(0)).sum()
    tensor(8.)
    """
    return _fmix(lam, height, width, generator)


def _fmix(lam: float, height: int, width: int, g: Generator, wrong: str = "") -> Tensor:
    """The mask with one thing wrong: the catalogue's entries differ in single lines of it."""
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    if wrong == "one-direction":
        down = 0 * down
    if wrong == "cycles-per-image":
        down, across = down * height, across * width
    f = (down.square() + across.square()).sqrt().clamp_min(1 / max(height, width))
    powers = {
        "no-filter": 0.0,
        "power-not-amplitude": -1.5,
        "frequency-squared": -6.0,
        "filter-inverted": 3.0,
    }
    amplitude = f.pow(powers.get(wrong, -3.0))
    source = torch.Generator().manual_seed(1) if wrong == "always-the-same" else g
    draw = torch.rand if wrong == "noise-not-centred" else torch.randn
    spectrum = torch.fft.rfft2(draw(height, width, generator=source))
    if wrong == "noise-not-centred":
        amplitude[0, 0] = amplitude.max() * 100
    cloud = torch.fft.irfft2(spectrum * amplitude, s=(height, width))
    if wrong == "released":  # two rows of noise taken for the real and the imaginary part
        drawn = torch.randn(height, width // 2 + 1, 2, generator=g) * amplitude[..., None]
        cloud = torch.fft.irfft2(torch.complex(drawn[0], drawn[1]), s=(height, width))
    unit = (cloud - cloud.min()) / (cloud.max() - cloud.min())
    if wrong == "soft":
        return unit
    if wrong in ("threshold-at-lam", "threshold-at-zero", "threshold-at-mean-lam"):
        return (unit > 1 - lam if wrong == "threshold-at-lam" else cloud > cloud.mean()).float()
    count = round((1 - lam if wrong == "lam-exchanged" else lam) * height * width)
    mask = torch.zeros(height * width)
    mask[cloud.flatten().argsort(descending=True)[:count]] = 1
    if wrong == "box":
        mask = torch.zeros(height * width)
        mask[int(torch.rand(1, generator=g) * (height * width - count)) :][:count] = 1
    return mask.view(height, width)


for _name in (
    *("lam-exchanged", "one-direction", "no-filter", "power-not-amplitude", "frequency-squared", "soft"),
    *("always-the-same", "released", "threshold-at-lam", "threshold-at-zero", "box"),
):
    fmix_mask.wrong(_name, lambda *a, _name=_name: _fmix(*a, wrong=_name))


# -------------------------------------------------------------------------------------------------- SaliencyMix
def _saliency_inputs(g: Generator) -> list[tuple[Any, ...]]:
    maps = [torch.rand(8, 12, generator=g) for _ in range(4)]
    for map_, (row, column) in zip(maps, ((5, 7), (1, 10), (6, 0), (4, 4)), strict=True):
        map_[row, column] = 2.0
    return [(map_, lam) for map_, lam in zip(maps, (0.75, 0.4375, 0.75, 0.9375), strict=True)]


@written(
    chapter=4,
    level=2,
    points=2,
    inputs=_saliency_inputs,
    hint="`saliency.argmax()` counts row by row: `divmod(index, width)` gives the row and the column.",
)
def saliency_box(saliency: Tensor, lam: float) -> tuple[int, int, int, int]:
    """The box of share 1 − λ around the most salient pixel, as SaliencyMix pastes it.

    saliency (H, W) has one largest value, at row cy and column cx. The sides are √(1 − λ) · W and √(1 − λ) · H,
    rounded to whole pixels; the box has the columns from cx − side // 2 up to, but without, cx − side // 2 +
    side, and the rows alike. What hangs over the border is cut off. Returns (x0, y0, x1, y1), whole numbers,
    half-open: 0 ≤ x0 ≤ x1 ≤ W and 0 ≤ y0 ≤ y1 ≤ H.

    >>> saliency = torch.zeros(4, 8)
    >>> saliency[3, 2] = 1
    >>> saliency_box(saliency, 0.75)                                       # 4 × 2 pixels, a row cut off
    (0, 2, 4, 4)
    """
    return _around(saliency, lam)


def _around(s: Tensor, lam: float, wrong: str = "") -> Any:
    """The box with one thing wrong: the catalogue's entries differ in single lines of it."""
    height, width = s.shape
    row, column = divmod(int(s.argmin() if wrong == "least-salient" else s.argmax()), width)
    if wrong == "index-by-height":
        row, column = divmod(int(s.argmax()), height)
    if wrong == "centre-of-mass":
        row = round(float((s.sum(1) * torch.arange(height)).sum() / s.sum()))
        column = round(float((s.sum(0) * torch.arange(width)).sum() / s.sum()))
    if wrong == "image-centre":
        row, column = height // 2, width // 2
    if wrong == "x-and-y-exchanged":
        row, column = column, row
    ratio = {"own-share": lam**0.5, "side-not-root": 1 - lam}.get(wrong, (1 - lam) ** 0.5)
    corners = []
    for centre, size, other in ((column, width, height), (row, height, width)):
        side = round(ratio * (other if wrong == "height-and-width-exchanged" else size))
        before = {"corner-not-centre": 0, "side-as-radius": side}.get(wrong, side // 2)
        start = min(max(centre - before, 0), size - side) if wrong == "moved-inside" else centre - before
        end = centre + side if wrong == "side-as-radius" else start + side
        corners.append((start, end) if wrong == "not-clipped" else (max(start, 0), min(end, size)))
    (x0, x1), (y0, y1) = corners
    results = {
        "corner-and-size": (x0, y0, x1 - x0, y1 - y0),
        "rows-first": (y0, x0, y1, x1),
        "end-included": (x0, y0, x1 - 1, y1 - 1),
    }
    return results.get(wrong, (x0, y0, x1, y1))


for _name in (
    *("least-salient", "index-by-height", "centre-of-mass", "image-centre", "x-and-y-exchanged", "own-share"),
    *("side-not-root", "height-and-width-exchanged", "corner-not-centre", "side-as-radius", "moved-inside"),
    *("not-clipped", "corner-and-size", "rows-first", "end-included"),
):
    saliency_box.wrong(_name, lambda *a, _name=_name: _around(*a, wrong=_name))


# ---------------------------------------------------------------------------------------------------- PuzzleMix
def _energy_inputs(g: Generator) -> list[tuple[Any, ...]]:
    own, other = torch.rand(2, 4, 5, generator=g)
    mask = torch.tensor([[0, 1, 1, 0.5, 0], [1, 1, 0.5, 0, 0], [1, 0.5, 0, 0, 1], [1, 1, 0, 0.5, 1]])
    tiny = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    return [
        (tiny, torch.tensor([[0.4, 0.1], [0.2, 0.3]]), torch.tensor([[0.1, 0.6], [0.5, 0.2]]), 0.4),
        (mask, own, other, 0.3),
    ]


@written(
    chapter=4,
    level=2,
    points=2,
    inputs=_energy_inputs,
    hint="Where the mask is 1 the image is seen. Whose saliency is hidden there?",
)
def mask_energy(mask: Tensor, own: Tensor, other: Tensor, beta: float) -> Tensor:
    """The energy of a mask of blocks: hidden saliency, and β for each border between neighbours.

    mask (n, m) holds z in {0, ½, 1}, the image's own share of each block. own and other (n, m) are the
    saliency of the image and of its partner. A block hides z of the partner's saliency and 1 − z of the
    image's own. Each pair of neighbours p, q, one above or beside the other, costs β (z_p − z_q)²; each
    pair counts once, and the grid has no pairs across its border. Returns the sum, a scalar.

    >>> mask, own, other = torch.tensor([[1., 0.]]), torch.tensor([[0.8, 0.1]]), torch.tensor([[0.2, 0.9]])
    >>> mask_energy(mask, own, other, 0.5)                                            # 0.2 + 0.1 + 0.5
    tensor(0.8000)
    """
    return _hidden(mask, own, other) + beta * (
        mask.diff(dim=0).square().sum() + mask.diff(dim=1).square().sum()
    )


def _hidden(mask: Tensor, own: Tensor, other: Tensor) -> Tensor:
    return (mask * other + (1 - mask) * own).sum()


def _borders(z: Tensor, a: Tensor, b: Tensor, beta: float, cost: Any) -> Tensor:
    return _hidden(z, a, b) + beta * cost(z)


def _around_borders(z: Tensor) -> Tensor:
    return (z - z.roll(1, 0)).square().sum() + (z - z.roll(1, 1)).square().sum()


def _square(z: Tensor) -> Tensor:
    return z.diff(dim=0).square().sum() + z.diff(dim=1).square().sum()


def _diagonal(z: Tensor) -> Tensor:
    return _square(z) + (z[1:, 1:] - z[:-1, :-1]).square().sum() + (z[1:, :-1] - z[:-1, 1:]).square().sum()


wrong = mask_energy.wrong
wrong("own-and-other-exchanged", lambda z, a, b, c: mask_energy(z, b, a, c))
wrong("gain-not-cost", lambda z, a, b, c: mask_energy(z, -b, -a, c))
wrong("rows-only", lambda z, a, b, c: _borders(z, a, b, c, lambda z: z.diff(dim=1).square().sum()))
wrong("columns-only", lambda z, a, b, c: _borders(z, a, b, c, lambda z: z.diff(dim=0).square().sum()))
wrong("pairs-twice", lambda z, a, b, c: mask_energy(z, a, b, 2 * c))
wrong(
    "absolute",
    lambda z, a, b, c: _borders(z, a, b, c, lambda z: z.diff(dim=0).abs().sum() + z.diff().abs().sum()),
)
wrong(
    "any-difference",
    lambda z, a, b, c: _borders(z, a, b, c, lambda z: (z.diff(dim=0) != 0).sum() + (z.diff() != 0).sum()),
)
wrong("round-the-border", lambda z, a, b, c: _borders(z, a, b, c, _around_borders))
wrong("diagonals", lambda z, a, b, c: _borders(z, a, b, c, _diagonal))
wrong("beta-missing", lambda z, a, b, c: mask_energy(z, a, b, 1.0))
wrong("smoothness-missing", lambda z, a, b, c: mask_energy(z, a, b, 0.0))
wrong("smoothness-rewarded", lambda z, a, b, c: mask_energy(z, a, b, -c))
wrong("mean-not-sum", lambda z, a, b, c: mask_energy(z, a, b, c) / z.numel())
wrong("own-forgotten", lambda z, a, b, c: mask_energy(z, 0 * a, b, c))
wrong("other-forgotten", lambda z, a, b, c: mask_energy(z, a, 0 * b, c))
wrong("halves-rounded", lambda z, a, b, c: mask_energy((z > 0.5).to(z), a, b, c))


# ----------------------------------------------------------------------------------------------------- AlignMix
def _sinkhorn_inputs(g: Generator) -> list[tuple[Any, ...]]:
    cost, far = torch.rand(5, 5, generator=g), 0.6 + 0.3 * torch.rand(4, 4, generator=g)
    far[torch.arange(4), torch.tensor([2, 0, 3, 1])] = 0.5
    return [(torch.tensor([[0.0, 1.0], [0.5, 0.2]]), 0.5, 100), (cost, 0.25, 200), (far, 0.002, 50)]


@written(
    chapter=4,
    level=3,
    points=3,
    inputs=_sinkhorn_inputs,
    hint="Keep logarithms of the factors, and use `torch.logsumexp` over a row or a column.",
)
def sinkhorn(cost: Tensor, epsilon: float, steps: int) -> Tensor:
    """The entropic transport plan between even masses: P = diag(u) exp(−cost / ε) diag(v).

    cost (r, r) float, at least 0. The factors u and v (r,) are those for which every row and every column of P
    sums to 1 / r; starting from v = 1, scale rows and then columns, `steps` times in turn, which is enough to
    settle. ε is as small as 0.002, where exp(−cost / ε) underflows to 0 in whole rows, so work with
    logarithms. Returns P (r, r), at least 0, whose entries sum to 1.

    >>> sinkhorn(torch.tensor([[0., 1.], [1., 0.]]), 0.1, 20)
    tensor([[5.0000e-01, 2.2699e-05],
            [2.2699e-05, 5.0000e-01]])
    """
    return _scaled(-cost.double() / epsilon, steps).to(cost.dtype)


def _scaled(kernel: Tensor, steps: int) -> Tensor:
    right, mass = torch.zeros_like(kernel[:1]), torch.tensor(len(kernel)).log()
    for _ in range(steps):
        left = -torch.logsumexp(kernel + right, 1, keepdim=True) - mass  # (r, 1)
        right = -torch.logsumexp(kernel + left, 0, keepdim=True) - mass  # (1, r)
    return (left + kernel + right).exp()


def _naive(c: Tensor, e: float, n: int) -> Tensor:
    kernel = (-c / e).exp()
    v = torch.ones_like(c[0])
    for _ in range(n):
        u = 1 / (len(c) * kernel @ v)
        v = 1 / (len(c) * kernel.T @ u)
    return u[:, None] * kernel * v


wrong = sinkhorn.wrong
wrong("underflow", _naive)
wrong("rows-only", lambda c, e, n: (-c / e).softmax(1) / len(c))
wrong("columns-only", lambda c, e, n: (-c / e).softmax(0) / len(c))
wrong("one-step", lambda c, e, n: sinkhorn(c, e, 1))
wrong("sign", lambda c, e, n: sinkhorn(-c, e, n))
wrong("epsilon-multiplied", lambda c, e, n: sinkhorn(c, 1 / e, n))
wrong("epsilon-missing", lambda c, e, n: sinkhorn(c, 1.0, n))
wrong("rows-sum-to-one", lambda c, e, n: sinkhorn(c, e, n) * len(c))
wrong("all-at-once", lambda c, e, n: (-c / e).flatten().softmax(0).view_as(c))
wrong("cost-squared", lambda c, e, n: sinkhorn(c.square(), e, n))
wrong("transposed", lambda c, e, n: sinkhorn(c.T, e, n))
wrong("cost-not-plan", lambda c, e, n: sinkhorn(c, e, n) * c)
wrong("nearest-only", lambda c, e, n: torch.zeros_like(c).scatter_(1, c.argmin(1, keepdim=True), 1 / len(c)))
