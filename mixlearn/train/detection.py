"""Batches for detectors: images mixed as a loader makes them, with their boxes, masks and keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mixlearn.core.boxes import box_area
from mixlearn.core.checks import check_range, takes
from mixlearn.methods.objects import Objects, mix_objects
from mixlearn.methods.random_mix import Mix
from mixlearn.train.mixing import MixCollate


class DetectionCollate(MixCollate):
    """A `collate_fn` for the detectors of torchvision that mixes each batch as the loader makes it.

    Samples are pairs as in torchvision's references: an image (C, H, W), and a dict with "boxes" (n, 4) as
    x0, y0, x1, y1 in pixels, "labels" (n,) and, for all images or none, "masks" (n, H, W) and "keypoints"
    (n, P, 3). Images of several sizes are padded with 0 on the right and below.

    Args:
        mix: a function (images, generator=…) → `Mixed`, such as `ml.mosaic` or a `RandomMix`. One that takes
            `masks`, such as `ml.copy_paste`, is given those of the objects.
        seed: where the draws start, see `MixCollate`.
        least: objects of which less is visible are dropped, see `mix_objects`.
        follow: further entries of a target with one value for each object, which go with it.

    Called on a list of samples it returns a list of mixed images and a list of their targets, for a call of
    `model(images, targets)`. "weights" (n,) says how visible each object is; "area", if there was one, is
    that of what is seen; what else a target holds stays with its image. Other samples raise a TypeError.

    >>> import mixlearn as ml
    >>> target = {"boxes": torch.tensor([[0.0, 0.0, 8.0, 8.0]]), "labels": torch.tensor([3]), "image_id": 7}
    >>> images, targets = DetectionCollate(ml.mosaic)([(torch.rand(3, 8, 8), target)] * 4)
    >>> targets[0]["labels"].unique(), len(targets[0]["boxes"]) == len(targets[0]["weights"])
    (tensor([3]), True)
    """

    def __init__(
        self, mix: Mix, seed: int = 0, *, least: float = 0.1, follow: Sequence[str] = ("iscrowd",)
    ) -> None:
        super().__init__(mix, seed)
        check_range("[0, 1]", least=least)
        self.least, self.follow = least, tuple(follow)

    def __call__(self, samples: list[Any]) -> Any:
        """The mixed images and their targets."""
        known = ["boxes", "labels"]
        for sample in samples:
            pair = isinstance(sample, (tuple, list)) and len(sample) == 2 and isinstance(sample[1], dict)
            more = ("masks", "keypoints") if pair and sample is samples[0] else ()
            known += [name for name in more if name in sample[1]]
            if not pair or not set(known) <= set(sample[1]):
                got = list(sample[1]) if pair else type(sample).__name__
                expected = f"pairs of an image and a dict of {', '.join(known)}"
                raise TypeError(f"DetectionCollate expects {expected}, got {got}")
        images, targets = padded([sample[0] for sample in samples]), [sample[1] for sample in samples]
        size = tuple(images.shape[-2:])
        given = {name: [_fitted(name, target[name], size) for target in targets] for name in known}
        mixed, objects = self.mixed(images, **given)
        return list(mixed), [self._target(targets, i, found) for i, found in enumerate(objects)]

    def mixed(self, images: Tensor, **given: list[Tensor]) -> tuple[Tensor, list[Objects]]:
        """Images (B, C, H, W) mixed, in their own type, and the `Objects` of each mixture."""
        plain = images if images.is_floating_point() else images.float()
        masks = {"masks": given["masks"]} if "masks" in given and takes(self.mix, "masks") else {}
        mixed, _, plan = self.mix(plain, generator=self._generator(), **masks)
        objects = mix_objects(plan, least=self.least, **given)
        return mixed if plain is images else mixed.round().to(images.dtype), objects

    def _target(self, targets: list[dict[str, Any]], i: int, found: Objects) -> dict[str, Any]:
        target = {**targets[i], "boxes": found.boxes, "labels": found.labels, "weights": found.visible}
        target |= {name: getattr(found, name) for name in ("masks", "keypoints") if name in target}
        if "area" in target:
            area = box_area(found.boxes) if found.masks is None else found.masks.flatten(1).sum(1)
            target["area"] = area.to(targets[i]["area"].dtype)
        whose = list(zip(found.source.tolist(), found.row.tolist(), strict=True))
        for name in {*self.follow} & {*target}:
            values = [targets[j][name][row] for j, row in whose]
            target[name] = torch.stack(values) if values else targets[i][name][:0]
        return target


class YoloCollate(DetectionCollate):
    """A `collate_fn` for the detectors of Ultralytics that mixes each batch as the loader makes it.

    Samples are dicts with "img" (C, H, W), integer or float, "cls" (n,) or (n, 1), and "bboxes" (n, 4) as
    centre x, centre y, width and height in shares of the image's sides. `mix`, `seed` and `least` are as for
    `DetectionCollate`. Called on a list of samples it returns one dict with "img" (B, C, H, W) in its own
    type, and of all N objects "cls" (N, 1), "bboxes" (N, 4), "batch_idx" (N,), whose image it is, and
    "weights" (N,), how visible they are. What else the samples hold is kept in tuples; masks, segments and
    keypoints are refused by a ValueError, since they are not mixed, other samples by a TypeError.

    >>> import mixlearn as ml
    >>> sample = {"img": torch.zeros(3, 8, 8).byte(), "cls": torch.tensor([[5.0]])}
    >>> batch = YoloCollate(ml.mixup)([sample | {"bboxes": torch.tensor([[0.5, 0.5, 0.5, 0.25]])}] * 2)
    >>> batch["img"].dtype, batch["bboxes"][0], batch["cls"].shape[1]
    (torch.uint8, tensor([0.5000, 0.5000, 0.5000, 0.2500]), 1)
    """

    def __call__(self, samples: list[Any]) -> Any:
        """One dict of the mixed batch."""
        needed, boxes = {"img", "cls", "bboxes"}, []
        for sample in samples:
            if not isinstance(sample, dict) or not needed <= set(sample):
                got = sorted(sample) if isinstance(sample, dict) else type(sample).__name__
                raise TypeError(f"YoloCollate expects dicts with img, cls and bboxes, got {got}")
            if wrong := {"masks", "segments", "keypoints"} & set(sample):
                way = "drop them, or use DetectionCollate with corners in pixels, which moves them too"
                raise ValueError(f"YoloCollate mixes boxes alone, got {', '.join(sorted(wrong))}; {way}")
            centre, extent = sample["bboxes"].reshape(-1, 4).split(2, 1)
            corners = torch.cat([centre - extent / 2, centre + extent / 2], 1)
            boxes.append(corners * corners.new_tensor([*sample["img"].shape[:-3:-1]] * 2))
        images, labels = padded([one["img"] for one in samples]), [one["cls"].reshape(-1) for one in samples]
        mixed, objects = self.mixed(images, boxes=boxes, labels=labels)
        low, high = torch.cat([one.boxes for one in objects]).split(2, 1)
        whose = [torch.full((len(one.boxes),), float(i)) for i, one in enumerate(objects)]
        kept = {name: tuple(one.get(name) for one in samples) for name in samples[0] if name not in needed}
        return kept | {
            "img": mixed,
            "cls": torch.cat([one.labels for one in objects])[:, None],
            "bboxes": torch.cat([(low + high) / 2, high - low], 1)
            / low.new_tensor([*mixed.shape[:-3:-1]] * 2),
            "batch_idx": torch.cat(whose),
            "weights": torch.cat([one.visible for one in objects]),
        }


def padded(images: list[Tensor]) -> Tensor:
    """Images (C, H, W) as one batch, with zeros on the right and below up to the largest sides."""
    for image in images:
        if not isinstance(image, Tensor) or image.dim() != 3:
            got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"images must be tensors (C, H, W), got {got}; see torchvision's v2.ToImage")
    size = (max(image.shape[1] for image in images), max(image.shape[2] for image in images))
    return torch.stack([_fitted("images", image, size) for image in images])


def _fitted(name: str, value: Any, size: tuple[int, ...]) -> Any:
    """Images and masks padded, the rest as it is; boxes and keypoints that tell a canvas tell this one."""
    if name in ("images", "masks") and tuple(value.shape[-2:]) != size:
        return F.pad(value, (0, size[1] - value.shape[-1], 0, size[0] - value.shape[-2]))
    if tuple(getattr(value, "canvas_size", size)) == size:
        return value
    form = {"format": value.format} if hasattr(value, "format") else {}
    return type(value)(value.as_subclass(Tensor), canvas_size=size, **form)
