"""Every random draw of the mixing methods. Each takes a generator; all are made on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mixlearn.core.checks import as_count, as_lam, as_partner, check_alpha, check_generator


def sample_lam(n: int, alpha: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw n mixing shares λ from Beta(α, α): (n,), float32, in [0, 1].

    A Beta variable is G₁ / (G₁ + G₂) for two Gamma(α) variables. With small α both gammas underflow to
    zero, so the ratio is taken between logarithms, with Gamma(α) = Gamma(α + 1) · U^(1/α).

    Args:
        n: how many, at least 0.
        alpha: α > 0. Below 1 the draws crowd at 0 and 1, at 1 they are uniform, above 1 they crowd at ½.
        generator: source of randomness on the CPU; None uses torch's default one.

    Source: Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018, section 2.

    >>> lam = sample_lam(10_000, 1.0, generator=torch.Generator().manual_seed(0))
    >>> abs(lam.mean().item() - 0.5) < 0.02
    True
    """
    alpha = check_alpha(alpha)
    check_generator(generator)
    shape = torch.full((2, as_count(n, "n", 0)), alpha + 1, dtype=torch.float64)
    gamma = torch._standard_gamma(shape, generator=generator)  # (2, n)
    minus_log_u = shape.exponential_(generator=generator)  # (2, n)
    if n == 1:  # numbers: half a dozen operations on tensors would cost more than copying small images
        (g1,), (g2,) = gamma.tolist()
        (u1,), (u2,) = minus_log_u.tolist()
        odds = math.log(g1) - math.log(g2) - (u1 - u2) / alpha
        small = math.exp(-abs(odds))  # the sigmoid, safe on both sides
        return torch.tensor([(1.0 if odds >= 0 else small) / (1 + small)])
    log_gamma = gamma.log_().sub_(minus_log_u, alpha=1 / alpha)
    return torch.sigmoid(log_gamma[0] - log_gamma[1]).float()  # (n,)


def sample_partner(n: int, *, fixed_points: bool = True, generator: torch.Generator | None = None) -> Tensor:
    """Draw the index of each image's partner, (n,) int64: a random permutation of the batch.

    A permutation leaves one image paired with itself on average, whatever the batch size.

    Args:
        n: images in the batch, at least 1; at least 2 without fixed points.
        fixed_points: whether an image may be its own partner. Without, the draw is uniform over the
            permutations that move every image.
        generator: source of randomness on the CPU; None uses torch's default one.

    >>> partner = sample_partner(6, fixed_points=False, generator=torch.Generator().manual_seed(0))
    >>> sorted(partner.tolist()), bool((partner == torch.arange(6)).any())
    ([0, 1, 2, 3, 4, 5], False)
    """
    check_generator(generator)
    n = as_count(n, "n", 1)
    if n == 1 and not fixed_points:
        raise ValueError("a batch of 1 image has no partner but itself; expected n ≥ 2 without fixed points")
    while True:  # a permutation moves every image with probability about 1/e, so e tries on average
        partner = torch.randperm(n, generator=generator)
        if fixed_points or not bool((partner == torch.arange(n)).any()):
            return partner


def given_or_drawn(
    lam: float | Sequence[float] | Tensor | None,
    partner: Sequence[int] | Tensor | None,
    batch: int,
    alpha: float,
    per_image: bool,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """The first step of nearly every method: partners (B,), then λ, (1,) for the batch or (B,)."""
    check_generator(generator)
    index = sample_partner(batch, generator=generator) if partner is None else as_partner(partner, batch)
    if lam is None:
        return index, sample_lam(batch if per_image else 1, alpha, generator=generator)
    values = torch.as_tensor(lam)
    return index, as_lam(values, batch if per_image or values.numel() > 1 else 1)


def sample_boxes(
    lam: float | Tensor, height: int, width: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw the rectangle that CutMix pastes, one for each λ.

    The sides are √(1−λ) of the image's, rounded to whole pixels; the centre is uniform over the pixels;
    what hangs over the border is cut off. So the area is at most (1−λ)·H·W, up to the rounding.

    Args:
        lam: one λ or a vector of shape (n,), in [0, 1].
        height, width: of the image, in pixels.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        Shape (n, 4), int64: (x0, y0, x1, y1) in pixels, half-open, so that x1 − x0 is the width.

    Source: Yun et al., *CutMix*, ICCV 2019, equation 2, which does not say how to round. The authors' code
    rounds down twice, the side and then half of it, so that its boxes have even sides and paste a little
    less: at α = 1 and 32 pixels an image keeps 0.701 of itself on average, here 0.679.

    >>> sample_boxes(0.0, 4, 4, generator=torch.Generator().manual_seed(1)).shape
    torch.Size([1, 4])
    """
    check_generator(generator)
    n = lam.numel() if isinstance(lam, Tensor) else 1
    return boxes_for(as_lam(lam, n), as_count(height, "height", 1), as_count(width, "width", 1), generator)


def boxes_for(lam: Tensor, height: int, width: int, generator: torch.Generator | None) -> Tensor:
    """`sample_boxes` of arguments that were checked: lam (n,) → (n, 4)."""
    if len(lam) == 1:  # numbers: a dozen operations on tensors would cost more than pasting the box
        share, centre = math.sqrt(1 - lam.item()), torch.rand(2, generator=generator).tolist()
        corners = []
        for place, size in zip(centre, (width, height), strict=True):
            length = round(share * size)
            start = int(place * size) - length // 2
            corners.append((max(start, 0), min(start + length, size)))
        (x0, x1), (y0, y1) = corners
        return torch.tensor([[x0, y0, x1, y1]])
    sizes = torch.tensor([[width], [height]])
    lengths = (1 - lam.double().cpu()).sqrt_() * sizes  # (2, n)
    return _placed(lengths.round_().long(), sizes, generator)


def sample_squares(
    n: int, size: int, height: int, width: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw n squares of one size, as Cutout erases them: centre uniform over the pixels, the rest cut off.

    Args:
        n: how many.
        size: side in pixels, at least 0.
        height, width, generator: as for `sample_boxes`, as is what is returned.

    Source: DeVries & Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017.

    >>> box = sample_squares(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> bool((box[0, 2:] - box[0, :2] <= 4).all())
    True
    """
    check_generator(generator)
    sizes = torch.tensor([[as_count(width, "width", 1)], [as_count(height, "height", 1)]])
    lengths = torch.full((2, as_count(n, "n", 0)), as_count(size, "size", 0))
    return _placed(lengths, sizes, generator)


def _placed(lengths: Tensor, sizes: Tensor, generator: torch.Generator | None) -> Tensor:
    """Boxes of these widths and heights (2, n) around uniform centres, clipped to the sizes (2, 1)."""
    centres = torch.rand(lengths.shape, generator=generator).mul_(sizes).long()  # (2, n), in 0…size−1
    start = centres - lengths // 2
    corners = torch.stack([start, start + lengths]).clamp_(min=0)  # (2, 2, n): from and to, across and down
    return torch.minimum(corners, sizes).flatten(0, 1).T.contiguous()  # (n, 4)
