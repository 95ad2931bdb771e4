"""The one idea of the book: every mixed image is x̃ᵢ = Σₖ Mₖᵢ ⊙ x[sₖᵢ], with label ỹᵢ = Σₖ wₖᵢ · y[sₖᵢ].

A `MixPlan` says who (sources s), where (masks M) and how much (weights w). Random draws make a plan; a
plan applied to images, labels, features or logits is deterministic. `BoxPlan` and `PatchPlan` keep a box or
the patches in place of masks. A plan does not change after it is made; what follows from it, such as its
masks, is computed on first use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import FrozenInstanceError, dataclass
from functools import cached_property, wraps
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar

import torch
from torch import Tensor

from mixlearn.core.checks import (
    as_lam,
    as_partner,
    check_batch,
    check_boxes,
    check_labels,
    check_parts,
    check_patch,
    check_size,
    check_unit,
)
from mixlearn.core.fast import Fill, filled, inside_boxes, paste, pick, quick_sum, sent, shift_patches, take

Indices = Sequence[int] | Tensor
Plan = TypeVar("Plan", bound="MixPlan")
Function = TypeVar("Function", bound=Callable[..., Any])


def with_old_name(function: Function) -> Function:
    """The function takes `lam_drawn` by its old name, `lam_asked`, too, with a DeprecationWarning."""

    @wraps(function)
    def either(*args: Any, **options: Any) -> Any:
        if "lam_asked" in options:
            warnings.warn("lam_asked is now lam_drawn", DeprecationWarning, stacklevel=2)
            options["lam_drawn"] = options.pop("lam_asked")
        return function(*args, **options)

    vars(either)["old_names"] = ("lam_asked",)
    return either  # type: ignore[return-value]


def weighted_sum(values: Tensor, sources: Tensor, shares: Tensor) -> Tensor:
    """Σₖ shareₖ ⊙ v[sₖ], the formula: values (B, …), sources (K, B), shares (K, B, …) → (B, …)."""
    shares = shares.to(values.dtype)
    total = shares[0] * take(values, sources[0])  # (B, …)
    for share, source in zip(shares[1:], sources[1:], strict=True):
        total = torch.addcmul(total, share, take(values, source))  # + shareₖ ⊙ v[sₖ]
    return total


@dataclass(frozen=True, eq=False)
class MixPlan:
    """Who is mixed, where, and how much: K parts for each of B images.

    Args:
        sources: (K, B) int64. Image i is built from the images sources[:, i], usually itself first.
        masks: (K, B, 1, H, W) in [0, 1], or (K, B, 1, 1, 1) where the share is the same at every pixel.
            They sum to 1 over K; to less than 1 where pixels are erased.
        weights: (K, B) in [0, 1], the shares of the labels. They sum to 1 over K, except in SnapMix.
        boxes: (B, 4) int64 as (x0, y0, x1, y1) in pixels, half-open, where boxes were drawn; else None.
        lam_drawn: (B,), the λ aimed at, drawn or given; `lam` is the λ realised. None if there was none.

    Raises:
        ValueError: shapes that do not belong together; on the CPU also sources outside the batch and weights
            outside [0, 1]. On an accelerator they are not checked: the host would have to wait.
        FrozenInstanceError: an attribute was assigned to.

    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    >>> plan.mix(torch.tensor([[0.], [8.]]))
    tensor([[2.],
            [4.]])
    >>> plan.describe(0, ["cat", "dog"])
    '75 % cat + 25 % dog'
    """

    sources: Tensor
    masks: Tensor
    weights: Tensor
    boxes: Tensor | None = None
    lam_drawn: Tensor | None = None
    _pair = False  # whether made by `pair`: if so, the two shares sum to 1 and the sum is one lerp
    _stay: ClassVar[tuple[str, ...]] = ()  # tensors that `to` leaves on their device

    def __post_init__(self) -> None:
        check_parts(self.sources, self.masks, self.weights, self.lam_drawn)

    def _set(self: Plan, **attributes: Any) -> Plan:
        """Set attributes of a plan that is being made, by a constructor or as a copy: the only way to."""
        vars(self).update(attributes)
        return self

    @classmethod
    @with_old_name
    def pair(
        cls,
        partner: Indices,
        lam: Tensor,
        masks: Tensor | None = None,
        *,
        boxes: Tensor | None = None,
        lam_drawn: Tensor | None = None,
    ) -> MixPlan:
        """A `MixPlan` of two parts: the image itself and its partner.

        Args:
            partner: (B,) integers, the partner of each image.
            lam: (B,), each image's own share of the label.
            masks: (B, 1, H, W) in [0, 1], each image's own share of each pixel; (1, 1, H, W) is one for all,
                None means λ at every pixel.
            boxes, lam_drawn: kept for pictures, see the class; None records λ itself as `lam_drawn`.
        """
        partner, weights = torch.as_tensor(partner), torch.stack([lam, 1 - lam])  # (B,), (2, B)
        batch, both = len(partner), weights[:, :, None, None, None]
        if masks is not None:
            check_unit("masks", masks)
            both = torch.stack([masks, 1 - masks])  # (2, B, 1, H, W)
            both = both.expand(2, batch, *masks.shape[1:]) if len(masks) == 1 else both
        sources = torch.stack([torch.arange(batch, device=partner.device), partner])
        drawn = weights[0] if lam_drawn is None else as_lam(lam_drawn, batch, "lam_drawn")
        return MixPlan(sources, both, weights, boxes, drawn)._set(_pair=True)

    @classmethod
    @with_old_name
    def masked(cls, partner: Indices, masks: Tensor, lam_drawn: Tensor | None = None) -> MixPlan:
        """A `pair` whose label follows the mask: λ is the mean of each image's own share."""
        lam = masks.mean((1, 2, 3)).expand(len(partner))
        return MixPlan.pair(partner, lam, masks, lam_drawn=lam_drawn)

    @classmethod
    def identity(cls, n: int) -> MixPlan:
        """The `MixPlan` that changes nothing: each of n images paired with itself at λ = 1."""
        return MixPlan.pair(torch.arange(n), torch.ones(n))

    def __len__(self) -> int:
        return self.sources.shape[1]

    @property
    def device(self) -> torch.device:
        """The device that it is applied on."""
        return self.weights.device

    @property
    def lam(self) -> Tensor:
        """Each image's own share of its label, (B,)."""
        return self.weights[0]

    @property
    def partner(self) -> Tensor:
        """The image that each is mixed with first, (B,); itself in a plan of one part."""
        return self.sources[min(1, len(self.sources) - 1)]

    @property
    def lam_asked(self) -> Tensor | None:
        """The old name of `lam_drawn`, deprecated."""
        warnings.warn("lam_asked is now lam_drawn", DeprecationWarning, stacklevel=2)
        return self.lam_drawn

    def to(self: Plan, device: torch.device | str) -> Plan:
        """The same plan, of the same class, on another device, with all that it keeps."""
        kept = {k: v for k, v in vars(self).items() if isinstance(v, Tensor) and k not in self._stay}
        return copy(self)._set(**{name: sent(value, torch.device(device)) for name, value in kept.items()})

    @with_old_name
    def changed(self: Plan, **tensors: Tensor) -> Plan:
        """A plan of the same kind with other `weights` or `lam_drawn`, which are not checked.

        New weights change neither masks nor `lam_drawn`: for methods that correct only the label.
        """
        if not tensors.keys() <= {"weights", "lam_drawn"}:
            raise ValueError(f"weights and lam_drawn can be changed, got {', '.join(tensors)}")
        pair = self._pair and "weights" not in tensors
        return copy(self)._set(**{"lam_drawn": self.lam_drawn, "_pair": pair} | tensors)

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """x̃ = Σₖ Mₖ ⊙ x[sₖ]: the mixed images.

        Args:
            images: (B, …, H, W) of any float type: images, depth maps, features; with constant masks any
                (B, …). Integer maps (class ids of a segmentation) are taken over pixel by pixel, which
                needs masks of only 0 and 1.
            fill: value of the pixels that no mask keeps: one number, or one for each channel. Give
                maps of class ids the id that the loss ignores: `plan.mix(maps, fill=255)`.

        Returns:
            A new tensor of the same shape, type and memory format. `images` is left as it was.
        """
        self._check_pixels(images)
        size = (*(1,) * (images.dim() - 3), *self.masks.shape[-2:])[: images.dim() - 1]
        masks = self.masks.reshape(*self.sources.shape, *size)  # (K, B, …, H, W), or of ones to match images
        if not images.is_floating_point():
            return pick(images, self.sources, masks, fill)
        mixed = self._sum(images, masks)
        return mixed if self._pair else filled(mixed, masks, fill)

    def blend(self, values: Tensor) -> Tensor:
        """Σₖ wₖ · v[sₖ]: soft labels, logits, pooled features of shape (B, …), mixed as labels are."""
        check_batch(values, len(self), "values")
        if not values.is_floating_point():
            raise TypeError(f"values to blend must be floating point, got {values.dtype}")
        return self._sum(values, self.weights.reshape(*self.weights.shape, *(1,) * (values.dim() - 1)))

    def _sum(self, values: Tensor, shares: Tensor) -> Tensor:
        """The formula, by a quicker way where there is one."""
        quick = quick_sum(values, self.sources, shares, self._pair)
        return weighted_sum(values, self.sources, shares) if quick is None else quick

    def soften(
        self, labels: Tensor, num_classes: int | None = None, *, ignore_index: int | None = None
    ) -> Tensor:
        """ỹ = Σₖ wₖ · y[sₖ]: the soft labels of the mixed images.

        Args:
            labels: (B,) integer class ids, or (B, C) labels that are already soft.
            num_classes: C; needed for ids.
            ignore_index: an id that says nothing, such as −100. A mixture keeps what remains of its label;
                of two such images it is a row of zeros. Give it to `soft_cross_entropy` too.

        Returns:
            (B, C) float. For ids and weights that sum to 1, a row sums to 1 minus the share that is ignored.

        Raises:
            ValueError: `ignore_index` with soft labels, in which rows of zeros mark what is ignored.
        """
        classes = check_labels(labels, len(self), num_classes, ignore_index)
        if labels.dim() == 2:
            return self.blend(labels)
        targets, ids, weights = self.weights.new_zeros(len(self), classes), labels.long(), self.weights
        if ignore_index is not None:
            kept = ids != ignore_index
            ids, weights = ids * kept, weights * kept[self.sources]
        return targets.scatter_add_(1, ids[self.sources].T, weights.T)  # (B, C)

    def source_matrix(self) -> Tensor:
        """W (B, B): W[i, j] is the share of image j in mixture i. Rows sum to 1 where weights do."""
        matrix = self.weights.new_zeros(len(self), len(self))
        return matrix.scatter_add_(1, self.sources.T, self.weights.T)

    def describe(self, i: int, names: Sequence[str] | None = None) -> str:
        """Mixture i in one sentence, such as "63 % cat + 37 % dog, box x 8–20, y 4–16".

        Args:
            i: which mixture, 0…B−1.
            names: one name for each image of the batch; None says "image 3".
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"i must lie in 0…{len(self) - 1} for {len(self)} mixtures, got {i}")
        if names is not None and len(names) != len(self):
            raise ValueError(f"names must hold one name for each of {len(self)} images, got {len(names)}")
        shares: dict[str, float] = {}
        for source, weight in zip(self.sources[:, i].tolist(), self.weights[:, i].tolist(), strict=True):
            name = f"image {source}" if names is None else str(names[source])
            shares[name] = shares.get(name, 0.0) + weight
        parts = " + ".join(f"{round(100 * share)} % {name}" for name, share in shares.items())
        if self.boxes is None:
            return parts
        x0, y0, x1, y1 = self.boxes[i].tolist()
        return f"{parts}, box x {x0}–{x1}, y {y0}–{y1}"

    def _check_pixels(self, images: Tensor) -> None:
        if tuple(self.masks.shape[-2:]) == (1, 1):
            check_batch(images, len(self), "images")
        else:
            check_size(images, len(self), self.masks.shape[-2:], "masks")


def _refuse(plan: MixPlan, name: str, value: Any = None) -> NoReturn:
    way = "; plan.changed(weights=…) and dataclasses.replace(plan, …) make another"
    raise FrozenInstanceError(f"a plan does not change after it is made, cannot assign to {name!r}{way}")


MixPlan.__init__ = with_old_name(MixPlan.__init__)  # type: ignore[method-assign]
MixPlan.__setattr__ = MixPlan.__delattr__ = _refuse  # type: ignore[assignment, method-assign]


class Mixed(NamedTuple):
    """What a mixing method returns: images, soft labels (None without labels), the plan that made both."""

    images: Tensor
    targets: Tensor | None
    plan: MixPlan


def apply_plan(plan: MixPlan, images: Tensor, labels: Tensor | None, num_classes: int | None) -> Mixed:
    """Mix and soften: the last step of every method."""
    plan = plan if plan.device == images.device else plan.to(images.device)
    targets = None if labels is None else plan.soften(labels, num_classes)
    return Mixed(plan.mix(images), targets, plan)


class BoxPlan(MixPlan):
    """A plan of two parts whose masks are a box: the partner inside it, the image itself outside.

    Args:
        partner: (B,) int64, the image that each takes its box from.
        boxes: (B, 4) int64 as (x0, y0, x1, y1), half-open, inside the image; (1, 4) is one for all. They
            stay on the device where they are.
        size: (H, W) of the images, in pixels.
        lam: (B,), each image's own share of the label; None is the share of its own pixels.
        lam_drawn: (B,), the λ that was drawn or given; None is `lam`.

    >>> plan = BoxPlan(torch.tensor([1, 0]), torch.tensor([[0, 0, 1, 2]]), (2, 4))
    >>> plan.mix(torch.tensor([0, 8]).view(2, 1, 1, 1).expand(2, 1, 2, 4))[0, 0], plan.lam[0]
    (tensor([[8, 0, 0, 0],
            [8, 0, 0, 0]]), tensor(0.7500))
    """

    size: tuple[int, int]
    corners: tuple[int, int, int, int] | None  # of the box that all images share
    _partner: Tensor
    _given: Tensor  # the boxes; of λ, where it was given, `_lam` and `_drawn`
    _lam: Tensor | None
    _drawn: Tensor | None
    _stay: ClassVar[tuple[str, ...]] = ("boxes", "_given")

    @with_old_name
    def __init__(
        self,
        partner: Tensor,
        boxes: Tensor,
        size: tuple[int, int],
        lam: Tensor | None = None,
        lam_drawn: Tensor | None = None,
    ) -> None:
        if len(boxes) not in (1, len(partner)):
            raise ValueError(f"boxes must be one or {len(partner)}, one for each image, got {len(boxes)}")
        boxes, partner = check_boxes(boxes, *size), as_partner(partner, len(partner))
        lam = None if lam is None else as_lam(lam, len(partner)).clone()  # who gave it may change it
        drawn = None if lam_drawn is None else as_lam(lam_drawn, len(partner), "lam_drawn").clone()
        corners = tuple(boxes.tolist()[0]) if len(boxes) == 1 and boxes.device.type == "cpu" else None
        self._set(_partner=partner, _given=boxes, _lam=lam, _drawn=drawn, size=size, corners=corners)

    @property
    def partner(self) -> Tensor:
        """The image that each takes its box from, (B,)."""
        return self._partner

    @cached_property
    def boxes(self) -> Tensor:
        """The pasted boxes, (B, 4) int64 as (x0, y0, x1, y1) in pixels, half-open."""
        return self._given.expand(len(self), 4)

    @cached_property
    def sources(self) -> Tensor:
        """Each image and its partner, (2, B)."""
        return torch.stack([torch.arange(len(self), device=self.partner.device), self.partner])

    @cached_property
    def weights(self) -> Tensor:
        """The shares of the labels, (2, B), λ if given, else the shares of pixels."""
        pixels, device = self.size[0] * self.size[1], self.partner.device
        if self._lam is None and self.corners is not None:  # numbers are quicker than tensors
            x0, y0, x1, y1 = self.corners
            own = 1 - (x1 - x0) * (y1 - y0) / pixels
            return sent(torch.tensor([[own], [1 - own]]), device).expand(2, len(self))
        areas = (self._given[:, 2:] - self._given[:, :2]).prod(1)
        share = sent(1 - areas / pixels if self._lam is None else self._lam, device)
        return torch.stack([share, 1 - share]).expand(2, len(self))

    @cached_property
    def lam_drawn(self) -> Tensor:
        """The λ that was drawn or given, before clipping and rounding, (B,)."""
        return self.lam if self._drawn is None else sent(self._drawn, self.partner.device)

    @cached_property
    def masks(self) -> Tensor:
        """Where the image itself is seen and where its partner is, 1 or 0, (2, B, 1, H, W)."""
        inside = inside_boxes(sent(self.boxes, self.partner.device), *self.size)[:, None].float()
        return torch.stack([1 - inside, inside])

    def __len__(self) -> int:
        return self.partner.shape[0]

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their boxes pasted; (B, …, H, W) of any type, also class ids. `fill` is unused."""
        check_size(images, len(self), self.size, "boxes")
        return paste(images, self.partner, self.boxes, self.corners)


class PatchPlan(MixPlan):
    """A plan of M parts: mixture i takes its patches of group g from image (i + g) mod B.

    Every patch keeps its place, and the groups are the same for all images, so each patch of each image is
    used exactly once.

    Args:
        groups: (T,) int64 in 0…M−1, the group of each patch, row by row. On the CPU.
        batch: B, how many images.
        patch: height and width of a patch, in pixels.
        size: (H, W) of the images, in pixels.
        parts: M, how many images make a mixture.

    >>> plan = PatchPlan(torch.tensor([0, 1, 1, 0]), 3, 1, (2, 2), 2)
    >>> plan.mix(torch.arange(3.).view(3, 1, 1, 1).expand(3, 1, 2, 2))[0, 0]
    tensor([[0., 1.],
            [1., 0.]])
    """

    patch: int
    size: tuple[int, int]
    groups: Tensor
    parts: int
    _batch: int
    _device: torch.device
    _stay: ClassVar[tuple[str, ...]] = ("groups", "_pixels")

    def __init__(self, groups: Tensor, batch: int, patch: int, size: tuple[int, int], parts: int) -> None:
        rows, columns = check_patch(patch, *size)
        if tuple(groups.shape) != (rows * columns,):
            raise ValueError(f"groups must be ({rows * columns},), one a patch, got {tuple(groups.shape)}")
        low, high = (int(group) for group in torch.aminmax(groups))
        if low < 0 or high >= parts:
            raise ValueError(f"groups must lie in 0…{parts - 1}, got {low} to {high}")
        self._set(patch=patch, size=size, groups=groups, parts=parts, _batch=batch, _device=groups.device)

    def to(self, device: torch.device | str) -> PatchPlan:
        """The same plan for images on another device."""
        return super().to(device)._set(_device=torch.device(device))

    @property
    def device(self) -> torch.device:
        """Where it is applied. The groups themselves stay on the CPU."""
        return self._device

    def __len__(self) -> int:
        return self._batch

    @cached_property
    def sources(self) -> Tensor:
        """Image i itself, then the next ones of the batch, (M, B)."""
        parts = torch.arange(self.parts, device=self._device)
        return (torch.arange(len(self), device=self._device) + parts[:, None]) % len(self)

    @cached_property
    def weights(self) -> Tensor:
        """The share of patches that each part has, (M, B)."""
        counts = torch.bincount(self.groups, minlength=self.parts)
        return (counts / counts.sum()).to(self._device, non_blocking=True)[:, None].expand(-1, len(self))

    @cached_property
    def masks(self) -> Tensor:
        """1 in the patches of each group, else 0, (M, B, 1, H, W)."""
        parts = torch.arange(self.parts)
        chosen = (self._pixels == parts[:, None, None]).float().to(self._device, non_blocking=True)
        return chosen[:, None, None].expand(-1, len(self), 1, *self.size)

    @cached_property
    def lam_drawn(self) -> Tensor:
        """Each image's own share, the same as `lam`, (B,)."""
        return self.lam

    def mix(self, images: Tensor, *, fill: Fill = 0) -> Tensor:
        """The images with their patches taken from the batch; (B, …, H, W) of any type. `fill` is unused."""
        check_size(images, len(self), self.size, "patches")
        return shift_patches(images, self._pixels, self.patch, self.parts)

    @cached_property
    def _pixels(self) -> Tensor:
        """(H, W): the group of each pixel."""
        rows, columns = (side // self.patch for side in self.size)
        grid = self.groups.view(rows, 1, columns, 1)
        return grid.expand(-1, self.patch, -1, self.patch).reshape(self.size)
