"""The one idea of the book: every mixed image is x̃ᵢ = Σₖ Mₖᵢ ⊙ x[sₖᵢ], with label ỹᵢ = Σₖ wₖᵢ · y[sₖᵢ].

A `MixPlan` says who (sources s), where (masks M) and how much (weights w). Random draws make a plan; a
plan applied to images, labels, features or logits is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.checks import check_batch, check_labels, check_size
from mixlearn.core.fast import Fill, filled, gather_sum, mask_sum, pick

Plan = TypeVar("Plan", bound="MixPlan")


@dataclass(frozen=True, eq=False)
class MixPlan:
    """Who is mixed, where, and how much: K parts for each of B images.

    Args:
        sources: (K, B) int64. Image i is built from the images sources[:, i], usually itself first.
        masks: (K, B, 1, H, W) in [0, 1], or (K, B, 1, 1, 1) where the share is the same at every pixel.
            They sum to 1 over K, less where pixels are erased.
        weights: (K, B), the shares of the labels. They sum to 1 over K, save where a method says otherwise.
        boxes: (B, 4) int64 as (x0, y0, x1, y1) in pixels, half-open, where boxes were drawn; else None.
        lam_asked: (B,), the λ that was drawn or given, before any rounding to pixels; else None.

    Raises:
        ValueError: shapes that do not belong together.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    >>> plan.mix(torch.tensor([[0.], [8.]]))
    tensor([[2.],
            [4.]])
    >>> plan.soften(torch.tensor([0, 2]), 3)
    tensor([[0.7500, 0.0000, 0.2500],
            [0.5000, 0.0000, 0.5000]])
    >>> plan.describe(0, ["cat", "dog"])
    '75 % cat + 25 % dog'
    """

    sources: Tensor
    masks: Tensor
    weights: Tensor
    boxes: Tensor | None = None
    lam_asked: Tensor | None = None
    _pair = False  # whether masks and weights are those of `pair`, so that one interpolation is the sum
    _stay: ClassVar[tuple[str, ...]] = ()  # tensors that `to` leaves on their device

    def __post_init__(self) -> None:
        parts = tuple(self.sources.shape)
        if len(parts) != 2:
            raise ValueError(f"sources must have shape (K, B), got {parts}")
        weights = tuple(self.weights.shape)
        if weights != parts:
            raise ValueError(f"weights must have the shape of sources, {parts}, got {weights}")
        if self.masks.dim() != 5 or tuple(self.masks.shape[:2]) != parts or self.masks.shape[2] != 1:
            raise ValueError(
                f"masks must have shape {(*parts, 1, 'H', 'W')} to go with the sources, "
                f"got {tuple(self.masks.shape)}"
            )

    @classmethod
    def pair(
        cls,
        partner: Tensor,
        lam: Tensor,
        masks: Tensor | None = None,
        *,
        boxes: Tensor | None = None,
        lam_asked: Tensor | None = None,
    ) -> MixPlan:
        """A plan of two parts: the image itself and its partner.

        Args:
            partner: (B,) int64, the partner of each image.
            lam: (B,), each image's own share of the label.
            masks: (B, 1, H, W), each image's own share of each pixel; None means λ at every pixel.
            boxes, lam_asked: kept for pictures, see the class.
        """
        weights = torch.stack([lam, 1 - lam])
        both = weights[:, :, None, None, None] if masks is None else torch.stack([masks, 1 - masks])
        return cls._of_two(partner, both, weights, boxes, lam if lam_asked is None else lam_asked)

    @classmethod
    def masked(cls, partner: Tensor, masks: Tensor, lam_asked: Tensor | None = None) -> MixPlan:
        """A plan of two parts whose label follows the mask: λ is the mean of each image's own share.

        Args:
            partner: (B,) int64, the partner of each image.
            masks: (B, 1, H, W), each image's own share of each pixel; (1, 1, H, W) is one for all.
            lam_asked: (B,) or (1,), the λ that was drawn or given; None is the mean.

        >>> plan = MixPlan.masked(torch.tensor([1, 0]), torch.tensor([1., 0., 0., 0.]).view(1, 1, 2, 2))
        >>> plan.lam, plan.masks.shape
        (tensor([0.2500, 0.2500]), torch.Size([2, 2, 1, 2, 2]))
        """
        batch, lam = partner.shape[0], masks.mean((1, 2, 3))
        weights = torch.stack([lam, 1 - lam]).expand(2, batch)
        both = torch.stack([masks, 1 - masks]).expand(2, batch, *masks.shape[1:])
        asked = weights[0] if lam_asked is None else lam_asked.expand(batch)
        return cls._of_two(partner, both, weights, None, asked)

    @classmethod
    def _of_two(cls, partner: Tensor, masks: Tensor, weights: Tensor, *rest: Tensor | None) -> MixPlan:
        own = torch.arange(partner.shape[0], device=partner.device)
        plan = cls(torch.stack([own, partner]), masks, weights, *rest)
        vars(plan)["_pair"] = True  # the class is frozen
        return plan

    @classmethod
    def identity(cls, n: int) -> MixPlan:
        """The plan that changes nothing: each of n images paired with itself at λ = 1."""
        return cls.pair(torch.arange(n), torch.ones(n))

    def __len__(self) -> int:
        return self.sources.shape[1]

    @property
    def device(self) -> torch.device:
        """Where it is applied."""
        return self.weights.device

    @property
    def lam(self) -> Tensor:
        """(B,): each image's own share of its label."""
        return self.weights[0]

    @property
    def partner(self) -> Tensor:
        """(B,): whom each image is mixed with first; itself in a plan of one part."""
        return self.sources[min(1, len(self.sources) - 1)]

    def to(self: Plan, device: torch.device | str) -> Plan:
        """The same plan on another device, with all that its kind of plan keeps."""
        away = torch.device(device).type != "cpu"  # what is copied to the CPU may be read at once
        kept = {k: v for k, v in vars(self).items() if isinstance(v, Tensor) and k not in self._stay}
        again = copy(self)
        vars(again).update({k: v.to(device, non_blocking=away) for k, v in kept.items()})
        return again

    def changed(self: Plan, **tensors: Tensor) -> Plan:
        """A plan of the same kind with other `weights` or `lam_asked`, which are not checked.

        >>> plan = MixPlan.identity(2)
        >>> plan.changed(weights=torch.tensor([[0.5, 0.5], [0.5, 0.5]])).lam
        tensor([0.5000, 0.5000])
        """
        if not tensors.keys() <= {"weights", "lam_asked"}:
            raise ValueError(f"weights and lam_asked can be changed, got {', '.join(tensors)}")
        again = copy(self)
        vars(again).update(tensors, _pair=self._pair and "weights" not in tensors)
        return again

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Σₖ Mₖ ⊙ x[sₖ]: the mixed images.

        Args:
            images: (B, …, H, W) of any float type: images, depth maps, features; with constant masks any
                (B, …). Integer maps (class ids of a segmentation) are taken over pixel by pixel, which
                needs masks of only 0 and 1.
            fill: what erased pixels become, which no mask keeps: a number, or one for each channel. Give
                maps of class ids the id that the loss ignores: `plan.mix(maps, fill=255)`.

        Returns:
            A new tensor of the same shape, type and memory format. `images` is left as it was.

        Raises:
            ValueError: batch or pixels differ from the plan's; a fill that the type cannot hold.
            TypeError: integer values under masks between 0 and 1, or under masks that overlap.
        """
        self._check_pixels(images)
        if tuple(self.masks.shape[-2:]) == (1, 1) and images.is_floating_point():
            shares = self.masks[:, :, 0, 0, 0]
            out = gather_sum(images, self.sources, shares, self._pair)
            return out if self._pair else filled(out, shares, fill)
        between = (1,) * max(images.dim() - 3, 0)
        masks = self.masks[:, :, 0].reshape(*self.sources.shape, *between, *self.masks.shape[-2:])
        if images.is_floating_point():
            out = mask_sum(images, self.sources, masks, self._pair)
            return out if self._pair else filled(out, masks, fill)
        if images.dim() < 3:
            masks = masks.flatten(2).reshape(*self.sources.shape, *(1,) * (images.dim() - 1))
        return pick(images, self.sources, masks, fill)

    def blend(self, values: Tensor) -> Tensor:
        """Σₖ wₖ · v[sₖ]: soft labels, logits, pooled features of shape (B, …), mixed as labels are."""
        check_batch(values, len(self), "values")
        if not values.is_floating_point():
            raise TypeError(f"values to blend must be floating point, got {values.dtype}")
        return gather_sum(values, self.sources, self.weights, self._pair)

    def soften(
        self, labels: Tensor, num_classes: int | None = None, *, ignore_index: int | None = None
    ) -> Tensor:
        """Σₖ wₖ · y[sₖ]: the soft labels of the mixed images.

        Args:
            labels: (B,) integer class ids, or (B, C) labels that are already soft.
            num_classes: C; needed for ids.
            ignore_index: an id that says nothing, such as −100. A mixture keeps what remains of its label;
                of two such images it is a row of zeros. Tell `soft_cross_entropy` of it too.

        Returns:
            (B, C) float, each row summing to what the rows of `labels` sum to (1 for ids, less the ignored).

        Raises:
            TypeError, ValueError: labels of another type or shape, or outside 0…C−1.
        """
        classes = check_labels(labels, len(self), num_classes, ignore_index)
        if labels.dim() == 2:
            return self.blend(labels)
        targets, ids, weights = self.weights.new_zeros(len(self), classes), labels.long(), self.weights
        if ignore_index is not None:
            kept = ids != ignore_index
            ids, weights = ids * kept, weights * kept[self.sources]
        return targets.scatter_add_(1, ids[self.sources].T, weights.T)

    def source_matrix(self) -> Tensor:
        """W (B, B): W[i, j] is the share of image j in mixture i. Rows sum to 1."""
        matrix = self.weights.new_zeros(len(self), len(self))
        return matrix.scatter_add_(1, self.sources.T, self.weights.T)

    def describe(self, i: int, names: Sequence[str] | None = None) -> str:
        """Mixture i in one sentence, for captions, alternative text and screen readers.

        Args:
            i: which mixture, 0…B−1.
            names: one name for each image of the batch; None says "image 3".

        Returns:
            For example "63 % cat + 37 % dog, box x 8–20, y 4–16".
        """
        return sentence(self, i, names)

    def _check_pixels(self, images: Tensor) -> None:
        if tuple(self.masks.shape[-2:]) == (1, 1):
            check_batch(images, len(self), "images")
        else:
            check_size(images, len(self), self.masks.shape[-2:], "masks")


def sentence(plan: MixPlan, i: int, names: Sequence[str] | None = None) -> str:
    """Mixture i of a plan in one sentence; see `MixPlan.describe`."""
    if not -len(plan) <= i < len(plan):
        raise IndexError(f"i must lie in 0…{len(plan) - 1} for {len(plan)} mixtures, got {i}")
    if names is not None and len(names) != len(plan):
        raise ValueError(f"names must hold one name for each of {len(plan)} images, got {len(names)}")
    shares: dict[str, float] = {}
    for source, weight in zip(plan.sources[:, i].tolist(), plan.weights[:, i].tolist(), strict=True):
        name = f"image {source}" if names is None else str(names[source])
        shares[name] = shares.get(name, 0.0) + weight
    said = " + ".join(f"{round(100 * share)} % {name}" for name, share in shares.items())
    if plan.boxes is not None:
        x0, y0, x1, y1 = plan.boxes[i].tolist()
        said += f", box x {x0}–{x1}, y {y0}–{y1}"
    return said


class Mixed(NamedTuple):
    """What a mixing method returns: the mixed images, their soft labels, and the plan that made both."""

    images: Tensor
    targets: Tensor | None
    plan: MixPlan


def apply_plan(plan: MixPlan, images: Tensor, labels: Tensor | None, num_classes: int | None) -> Mixed:
    """Mix and soften: the last step of every method."""
    plan = plan if plan.device == images.device else plan.to(images.device)
    targets = None if labels is None else plan.soften(labels, num_classes)
    return Mixed(plan.mix(images), targets, plan)


class EachPlan(MixPlan):
    """A plan in which image i is mixed as the plan `plans[chosen[i]]` says.

    Args:
        plans: of any kinds, each for the whole batch.
        chosen: (B,) int64, which plan each image follows. It stays on the device where it is.

    Raises:
        ValueError: no plans, plans for other numbers of images than `chosen`.

    >>> plans = [MixPlan.identity(2), MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.75]))]
    >>> plan = EachPlan(plans, torch.tensor([0, 1]))
    >>> plan.mix(torch.tensor([[0.0], [8.0]])).tolist(), plan.lam.tolist()
    ([[0.0], [6.0]], [1.0, 0.75])
    """

    plans: tuple[MixPlan, ...]
    chosen: Tensor
    _stay: ClassVar[tuple[str, ...]] = ("chosen",)

    def __init__(self, plans: Sequence[MixPlan], chosen: Tensor) -> None:
        if not plans or any(len(plan) != len(chosen) for plan in plans):
            raise ValueError(
                f"plans must be one or more for {len(chosen)} images, got {[len(plan) for plan in plans]}"
            )
        vars(self).update(plans=tuple(plans), chosen=chosen, boxes=None)  # the class is frozen

    def to(self, device: torch.device | str) -> EachPlan:
        """The same plan on another device."""
        plan = super().to(device)
        vars(plan)["plans"] = tuple(one.to(device) for one in self.plans)
        return plan

    def __len__(self) -> int:
        return len(self.chosen)

    @cached_property
    def sources(self) -> Tensor:
        """(K, B), K the most parts of any plan; an image with fewer has itself in the rest, with share 0."""
        own = torch.arange(len(self), device=self.plans[0].device).expand(self._parts, -1)
        rows = [torch.cat([plan.sources, own[len(plan.sources) :]]) for plan in self.plans]
        return each(rows, self.chosen, 1)

    @cached_property
    def weights(self) -> Tensor:
        """(K, B): the shares of the labels."""
        return each([self._padded(plan.weights) for plan in self.plans], self.chosen, 1)

    @cached_property
    def masks(self) -> Tensor:
        """(K, B, 1, H, W), or (K, B, 1, 1, 1) where all plans have constant masks."""
        height, width = (max(plan.masks.shape[k] for plan in self.plans) for k in (-2, -1))
        shape = (self._parts, len(self), 1, height, width)
        return each([self._padded(plan.masks).expand(shape) for plan in self.plans], self.chosen, 1)

    @cached_property
    def lam_asked(self) -> Tensor:
        """(B,): the λ that each image's plan was asked for."""
        asked = [plan.lam if plan.lam_asked is None else plan.lam_asked for plan in self.plans]
        return each(asked, self.chosen)

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """Each image mixed by its own plan; (B, …, H, W) of what all plans can mix."""
        return each([plan.mix(images, fill=fill) for plan in self.plans], self.chosen)

    def describe(self, i: int, names: Sequence[str] | None = None) -> str:
        """Mixture i in one sentence, as its own plan puts it."""
        plan = self.plans[int(self.chosen[i])] if -len(self) <= i < len(self) else self.plans[0]
        return plan.changed(weights=self.weights[: len(plan.sources)]).describe(i, names)

    @property
    def _parts(self) -> int:
        return max(len(plan.sources) for plan in self.plans)

    def _padded(self, values: Tensor) -> Tensor:
        """values (k, …) with zeros up to (K, …)."""
        missing = self._parts - len(values)
        return F.pad(values, (0, 0) * (values.dim() - 1) + (0, missing)) if missing else values


def each(values: Sequence[Tensor], chosen: Tensor, dim: int = 0) -> Tensor:
    """From several tensors of one shape, for each place i along a dimension that of `values[chosen[i]]`.

    >>> each([torch.zeros(3), torch.ones(3)], torch.tensor([0, 1, 0])).tolist()
    [0.0, 1.0, 0.0]
    """
    out = values[0]
    for k, other in enumerate(values[1:], 1):
        here = (chosen == k).to(other.device, non_blocking=True)
        out = torch.where(here.view(*(1,) * dim, -1, *(1,) * (other.dim() - dim - 1)), other, out)
    return out
