"""PuzzleMix: the mask that hides the least saliency, and blocks moved to where the mask shows them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_batch, check_pixels
from mixlearn.core.combine import Fill, laid_out_as, pick
from mixlearn.core.draw import given_or_drawn
from mixlearn.core.mixed import Mixed, apply_plan
from mixlearn.core.plan import MixPlan
from mixlearn.core.transfer import fetched, sent
from mixlearn.methods.graph_cut import cuts, mask_energy
from mixlearn.methods.puzzle_energy import colour_seams, puzzle_energy
from mixlearn.methods.saliency import Saliency, normalised, saliency_of, spectral_residual
from mixlearn.methods.transport import transport


class PuzzlePlan(MixPlan):
    """A plan of two parts under masks, whose blocks may stand elsewhere than they did.

    Attributes:
        order: (2, B, n·m) int64: which block of each part stands at each place of an n × m grid, or None.
        grid: (n, m) of `order`.
        energy: (B,) of the masks.
    """

    order: Tensor | None
    grid: tuple[int, int]
    energy: Tensor

    def parts(self, images: Tensor) -> Tensor:
        """The images and their partners with their blocks moved: (2, B, …, H, W)."""
        check_batch(images, len(self), "images")
        both = images[self.sources]
        return both if self.order is None else torch.stack([*map(self._moved, both, self.order)])

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The moved blocks of both under the masks; (B, …, H, W) of any float type.

        Class ids are taken over pixel by pixel, which needs masks of only 0 and 1. Where a mask has ½, as
        PuzzleMix's often has, mix one-hot maps instead: `F.one_hot(maps, C).movedim(-1, 1).float()`.

        Raises:
            ValueError: batch or pixels differ from the plan's.
            TypeError: class ids under masks of ½.
        """
        self._check_pixels(images)
        own, other = self.parts(images)
        between = (1,) * (images.dim() - 3)
        masks = self.masks[:, :, 0].view(2, len(self), *between, *images.shape[-2:])
        if not images.is_floating_point():
            rows = torch.arange(2 * len(self), device=images.device).view(2, -1)
            return pick(torch.cat([own, other]), rows, masks)
        return laid_out_as(images, torch.lerp(other, own, masks[0].to(images.dtype)))

    def _moved(self, images: Tensor, order: Tensor) -> Tensor:
        n, m = self.grid
        height, width = images.shape[-2:]
        cut_up = images.reshape(len(images), -1, n, height // n, m, width // m)
        blocks = cut_up.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        each = torch.arange(len(images), device=images.device)[:, None]
        placed = blocks[each, order].unflatten(1, (n, m)).permute(0, 3, 1, 4, 2, 5)
        return placed.reshape(images.shape)


def puzzlemix(
    images: Tensor,
    labels: Tensor | None = None,
    *,
    num_classes: int | None = None,
    alpha: float = 1.0,
    saliency: Saliency = spectral_residual,
    blocks: Sequence[int] | None = None,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    move: float | None = 0.8,
    lam: float | Sequence[float] | Tensor | None = None,
    partner: Sequence[int] | Tensor | None = None,
    per_image: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    """Mask the pair so that what is salient in either is seen, then move salient blocks under the mask.

    The image is cut into n × n blocks, n drawn anew for each batch. Each gets the share 0, ½ or 1 that makes
    the energy of `puzzle_energy` least; then `transport` moves blocks of both images, on a grid of its own,
    of at most 8 × 8 blocks (16 × 16 in the released code).

    On an accelerator the host waits, once as a rule: both searches end when the values say so.

    Args:
        images: (B, C, H, W) float, in any units. Not changed.
        labels: (B,) integer class ids or (B, C) soft labels; None mixes images alone.
        num_classes: C, needed with class ids.
        alpha: the prior's λ is drawn from Beta(α, α).
        saliency: (B, 1, H, W) of the images as they are, or a function that makes it. The paper takes the
            gradient of the training loss (`gradient_saliency`).
        blocks: the n to draw from; each divides H and W. None takes those from 2 to 16 that do.
        beta, gamma, eta: weights of smoothness, of seams in colour and of the prior.
        move: what moving a block costs, ε of the transport; None leaves blocks where they are.
        lam: the prior's λ in [0, 1], one for the batch or (B,), instead of a draw.
        partner: (B,) indices into the batch, instead of a random permutation.
        per_image: draw λ for each image rather than once for the batch; masks differ either way.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        `Mixed(images, targets, plan)`; λ is the mean of the mask, `plan.lam_asked` the prior's. `plan.energy`
        (B,) is what the masks cost, `plan.order` tells which blocks moved.

    Raises:
        TypeError: integer images, float class ids, partners that are no integers.
        ValueError: α not positive, λ outside [0, 1], blocks that do not divide the image, a saliency of
            another shape, shapes that disagree.

    Source: Kim, Choo & Song, *Puzzle Mix: Exploiting Saliency and Local Statistics for Optimal Mixup*, ICML
    2020; the values from the authors' code, without its adversarial noise and its gradient of clean images.

    >>> maps = torch.zeros(2, 1, 8, 8); maps[0, 0, :, :4] = maps[1, 0, :, 4:] = 1 / 32
    >>> plan = puzzlemix(torch.rand(2, 1, 8, 8), saliency=maps, blocks=[4], lam=0.5, partner=[1, 0]).plan
    >>> plan.masks[0, 0, 0, 0]                                          # each keeps the half that it is
    tensor([1., 1., 1., 1., 0., 0., 0., 0.])
    """
    height, width = check_pixels(images)
    if images.dim() != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    sizes = _sizes(height, width, blocks)
    partner, asked = given_or_drawn(lam, partner, len(images), alpha, per_image, generator)
    n = sizes[int(torch.randint(len(sizes), (), generator=generator))]
    partner = sent(partner, images.device)
    with torch.no_grad():
        maps = saliency_of(saliency, images).to(images.device).float()
        worth = _coarse(maps, n)
        seams = colour_seams(images, images[partner], n, n) if gamma else None
        terms = puzzle_energy(worth, worth[partner], asked, seams, beta=beta, gamma=gamma, eta=eta)
        order, tiles = None, max(k for k in range(1, 9) if not height % k and not width % k)
        fine = _coarse(maps, tiles)
        for shares, done in cuts(*terms):
            masks, tables = F.interpolate(shares[:, None], size=(height, width), mode="nearest"), []
            if move is not None:
                seen = F.adaptive_max_pool2d(torch.cat([masks, 1 - masks]), tiles)[:, 0]
                tables = [torch.cat([fine, fine[partner]]), seen]
            done, *tables = fetched(done, *tables)  # one wait for all that is read
            if bool(done):
                break
        if move is not None:
            salient, seen = tables
            blocks_of = sent(transport(salient, seen, move), images.device)
            order = blocks_of.unflatten(0, (2, len(images)))
    base = MixPlan.masked(partner, masks, sent(asked, images.device))
    plan = _plan(base, order, (tiles, tiles), mask_energy(shares, *terms))
    return apply_plan(plan, images, labels, num_classes)


def _plan(base: MixPlan, order: Tensor | None, grid: tuple[int, int], energy: Tensor) -> PuzzlePlan:
    plan = PuzzlePlan(base.sources, base.masks, base.weights, base.boxes, base.lam_asked)
    vars(plan).update(order=order, grid=grid, energy=energy)  # the class is frozen
    return plan


def _coarse(maps: Tensor, n: int) -> Tensor:
    """Saliency of n × n blocks, summing to 1: (B, 1, H, W) → (B, n, n)."""
    return normalised(F.adaptive_avg_pool2d(maps, n))[:, 0]


def _sizes(height: int, width: int, blocks: Sequence[int] | None) -> list[int]:
    if blocks is None:
        found = [n for n in range(2, 17) if height % n == width % n == 0]
        if not found:
            raise ValueError(
                f"no number of blocks from 2 to 16 divides {height} × {width} pixels; resize the images"
            )
        return found
    sizes = [int(n) for n in blocks]
    if not sizes or any(n < 1 or height % n or width % n for n in sizes):
        raise ValueError(
            f"blocks must be one or more numbers that divide {height} × {width}, got {list(blocks)}"
        )
    return sizes
