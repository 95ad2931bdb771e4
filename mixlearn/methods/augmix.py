"""AugMix: an image mixed with changed copies of itself, and a loss that keeps the answers alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import as_count, check_generator, check_images, check_range, readable
from mixlearn.core.extras import need
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy
from mixlearn.methods.learner import Draws, Plain, Terms, check_callable, dealt, interleaved
from mixlearn.nets.taps import logits_of

CHANGES = ["autocontrast", "equalize", "posterize", "solarize"]
CHANGES += ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"]


def augmix(
    images: Tensor,
    *,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    severity: float = 3.0,
    width: int = 3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """AugMix: x̃ = m x + (1 − m) Σₖ wₖ cₖ(x), where each chain cₖ makes one to three changes, for each image.

    Nothing comes from another image and labels stay, so there is no plan.

    Args:
        images: (B, C, H, W), C of 1 or 3, normalised by `mean` and `std`. Not changed.
        mean, std: one number a channel, or one for all, in units of pixels in [0, 1].
        severity: of the strongest changes, 0.1 to 10. width: how many chains; their shares w are uniform over
            all that sum to 1, as is m in [0, 1].
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns a new tensor like `images`. It needs torchvision. Source: Hendrycks et al., *AugMix: A Simple Data
    Processing Method to Improve Robustness and Uncertainty*, ICLR 2020.

    >>> augmix(torch.rand(2, 3, 8, 8), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """
    pixels, back = in_pixels(images, mean, std)
    check_generator(generator)
    check_range("[0.1, 10]", severity=severity)
    shares = torch.empty(as_count(width, "width", 1), len(images)).exponential_(generator=generator)
    shares *= torch.rand(len(images), generator=generator) / shares.sum(0)  # (width, B), (1 − m) w
    mixed = pixels
    for share in shares:
        chain, length = pixels, torch.randint(1, 4, (len(images),), generator=generator)
        for step in range(3):
            chain = changed(chain, length > step, severity, generator)
        mixed = mixed + (chain - pixels) * sent(share, images.device).view(-1, 1, 1, 1)
    return back(mixed)


def in_pixels(
    images: Tensor, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The pixels of normalised images in [0, 1], and the way back."""
    check_images(images)
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must have shape (B, 1 or 3, H, W), got {tuple(images.shape)}")
    if {len(mean), len(std)} - {1, images.shape[1]} or min(std) <= 0:
        raise ValueError(
            f"mean and std must hold 1 or {images.shape[1]} numbers, std above 0, got {[*mean]} and {[*std]}"
        )
    need("torchvision.transforms.v2.functional", "AugMix or PixMix", "vision")  # before anything is drawn
    middle, scale = (sent(torch.tensor(list(v)), images.device).view(-1, 1, 1) for v in (mean, std))
    pixels = check_unit("images times std plus mean", images.float() * scale + middle)
    return pixels.clamp(0, 1), lambda x: ((x - middle) / scale).to(images.dtype)


def check_unit(name: str, pixels: Tensor) -> Tensor:
    """The pixels, if they lie in [0, 1] but for rounding; not looked at where one would have to wait."""
    if readable(pixels) and pixels.numel():
        low, high = (float(end) for end in pixels.aminmax())
        if not (low > -0.02 and high < 1.02):
            raise ValueError(f"{name} must lie in [0, 1], got {low:.3g} to {high:.3g}; check mean and std")
    return pixels


def changed(pixels: Tensor, chosen: Tensor, severity: float, generator: Draws) -> Tensor:
    """Each of the images that are chosen, (B,) bool on the CPU, after a change that is drawn for it."""
    check_range("[0.1, 10]", severity=severity)
    kind, size, sign = torch.rand(3, len(pixels), generator=generator)
    kind, level = (kind * len(CHANGES)).long(), 0.1 + (severity - 0.1) * size
    out = pixels.clone()
    for k, name in enumerate(CHANGES):
        rows = (chosen & (kind == k)).nonzero()[:, 0]  # on the CPU, so no accelerator is waited for
        if len(rows):
            here = sent(rows, pixels.device)
            out[here] = apply_change(name, pixels[here], level[rows], (sign[rows] - 0.5).sign())
    return out


def apply_change(name: str, pixels: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """A change of the released code, at levels (n,) up to 10; what moves pixels goes the way of the sign."""
    if name in CHANGES[:2]:
        return getattr(need("torchvision.transforms.v2.functional", "AugMix or PixMix", "vision"), name)(
            pixels
        )
    height, width = pixels.shape[-2:]
    if name == "posterize":
        steps = sent(2.0 ** (4 - (0.4 * level).trunc()), pixels.device).view(-1, 1, 1, 1)
        return (pixels * steps).floor().minimum(steps - 1) / steps
    if name == "solarize":
        edge = sent(1 - (25.6 * level).trunc() / 256, pixels.device).view(-1, 1, 1, 1)
        return torch.where(pixels < edge, pixels, 1 - pixels)
    angle, slant, aspect = sign * (3 * level).trunc().deg2rad(), sign * 0.03 * level, height / width
    far = {size: 2 * sign * (level * size / 30).trunc() / size for size in (height, width)}
    one, zero, sine = torch.ones_like(slant), torch.zeros_like(slant), (-angle).sin()
    entries = {  # in units of half the sides; the released code shears about the corner
        "rotate": [angle.cos(), sine * aspect, zero, -sine / aspect, angle.cos(), zero],
        "shear_x": [one, slant * aspect, slant * aspect, zero, one, zero],
        "shear_y": [one, zero, zero, slant / aspect, one, slant / aspect],
        "translate_x": [one, zero, far[width], zero, one, zero],
        "translate_y": [one, zero, zero, zero, one, far[height]],
    }
    turn = sent(torch.stack(entries[name], 1).view(-1, 2, 3), pixels.device)
    grid = F.affine_grid(turn, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


class AugMix(Plain):
    """Cross-entropy of clean images, "labels", and how far the answers to two views are apart, "consistency".

    Args:
        augment: `augment(images, generator=…)`, such as `partial(ml.augmix, mean=data.mean, std=data.std)`.
        weight: of the Jensen–Shannon divergence. smoothing: as for `Plain`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(AugMix(augmix)(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'consistency']
    """

    term_names = ("labels", "consistency")
    shown: ClassVar[tuple[str, ...]] = ("augment", "weight")

    def __init__(self, augment: Callable[..., Tensor], weight: float = 12.0, smoothing: float = 0.0) -> None:
        super().__init__(smoothing=smoothing)
        check_callable("augment", augment, "images, *, generator")
        check_range("[0, inf)", weight=weight)
        self.augment, self.weight = augment, weight

    def __call__(self, model: Any, images: Tensor, labels: Tensor, *, generator: Draws = None) -> Terms:
        views = [images, *(self.augment(images, generator=generator) for _ in range(2))]
        logits = dealt(logits_of(model(interleaved(*views))), 3)
        labelled = cross_entropy(logits[0], labels, self.smoothing)
        logs = torch.stack([one.float().log_softmax(1) for one in logits])  # (3, B, C)
        middle = logs.exp().mean(0).clamp_min(1e-7).log()
        divergence = (logs.exp() * (logs - middle)).sum(2).mean()  # Jensen–Shannon
        return {"labels": labelled, "consistency": self.weight * divergence}
