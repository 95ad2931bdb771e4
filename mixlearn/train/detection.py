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

    Returns:
        Called on a list of samples: a list of mixed images and a list of their targets, for a call of
        `model(images, targets)`. "weights" (n,) says how visible each object is; "area", if there was one, is
        that of what is seen; what else a target holds stays with its image.

    Raises:
        TypeError: samples that are no pairs of an image and a dict with boxes and labels.
        ValueError: as `mix_objects` and the mix.

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
        for sample in samples:
            pair = isinstance(sample, (tuple, list)) and len(sample) == 2 and isinstance(sample[1], dict)
            if not pair or not {"boxes", "labels"} <= set(sample[1]):
                got = list(sample[1]) if pair else type(sample).__name__
                expected = 'pairs of an image and a dict with "boxes" and "labels"'
                raise TypeError(f"{type(self).__name__} expects {expected}, got {got}")
        images, targets = [sample[0] for sample in samples], [sample[1] for sample in samples]
        size = largest(images)
        given = {
            name: [(padded if name == "masks" else _on_canvas)(target[name], size) for target in targets]
            for name in ("boxes", "labels", "masks", "keypoints")
            if any(name in target for target in targets)
        }
        mixed, objects = self.mixed([padded(image, size) for image in images], **given)
        found = [self._target(targets, i, one) for i, one in enumerate(objects)]
        return list(mixed), found

    def mixed(self, images: list[Tensor], **given: list[Tensor]) -> tuple[Tensor, list[Objects]]:
        """Images of one size mixed, (B, C, H, W) in their own type, and the `Objects` of each mixture."""
        batch = torch.stack(images)
        plain = batch if batch.is_floating_point() else batch.float()
        masks = {"masks": given["masks"]} if "masks" in given and takes(self.mix, "masks") else {}
        mixed = self.mix(plain, generator=self._generator(), **masks)
        images_of = mixed.images if plain is batch else mixed.images.round().to(batch.dtype)
        return images_of, mix_objects(mixed.plan, least=self.least, **given)

    def _target(self, targets: list[dict[str, Any]], i: int, found: Objects) -> dict[str, Any]:
        """The target of mixture i."""
        target = {**targets[i], "boxes": found.boxes, "labels": found.labels, "weights": found.visible}
        target |= {name: getattr(found, name) for name in ("masks", "keypoints") if name in target}
        if "area" in target:
            area = box_area(found.boxes) if found.masks is None else found.masks.flatten(1).sum(1)
            target["area"] = area.to(targets[i]["area"].dtype)
        for name in self.follow:
            if name in target:
                whose = zip(found.source.tolist(), found.row.tolist(), strict=True)
                values = [targets[j][name][row] for j, row in whose]
                target[name] = torch.stack(values) if values else targets[i][name][:0]
        return target


class YoloCollate(DetectionCollate):
    """A `collate_fn` for the detectors of Ultralytics that mixes each batch as the loader makes it.

    Samples are dicts with "img" (C, H, W), integer or float, "cls" (n,) or (n, 1), and "bboxes" (n, 4) as
    centre x, centre y, width and height in shares of the image's sides. `mix`, `seed` and `least` are as for
    `DetectionCollate`.

    Returns:
        Called on a list of samples: one dict with "img" (B, C, H, W) in its own type, and of all N objects
        "cls" (N, 1), "bboxes" (N, 4), "batch_idx" (N,), whose image it is, and "weights" (N,), how visible
        they are. What else the samples hold is kept in tuples.

    Raises:
        TypeError: samples that are no dicts of these.
        ValueError: masks, segments or keypoints, which are not mixed; as `mix_objects`.

    >>> import mixlearn as ml
    >>> sample = {"img": torch.zeros(3, 8, 8).byte(), "cls": torch.tensor([[5.0]])}
    >>> sample["bboxes"] = torch.tensor([[0.5, 0.5, 0.5, 0.25]])
    >>> batch = YoloCollate(ml.mixup)([sample] * 2)
    >>> batch["img"].dtype, batch["bboxes"][0], batch["cls"].shape[1]
    (torch.uint8, tensor([0.5000, 0.5000, 0.5000, 0.2500]), 1)
    """

    def __call__(self, samples: list[Any]) -> Any:
        """One dict of the mixed batch."""
        needed = {"img", "cls", "bboxes"}
        for sample in samples:
            if not isinstance(sample, dict) or not needed <= set(sample):
                got = sorted(sample) if isinstance(sample, dict) else type(sample).__name__
                raise TypeError(f"YoloCollate expects dicts with img, cls and bboxes, got {got}")
            if wrong := {"masks", "segments", "keypoints"} & set(sample):
                way = "drop them, or use DetectionCollate with corners in pixels, which moves them too"
                raise ValueError(f"YoloCollate mixes boxes alone, got {', '.join(sorted(wrong))}; {way}")
        images, boxes = [sample["img"] for sample in samples], []
        for image, sample in zip(images, samples, strict=True):
            centre, extent = sample["bboxes"].reshape(-1, 4).split(2, 1)
            corners = torch.cat([centre - extent / 2, centre + extent / 2], 1)
            boxes.append(corners * corners.new_tensor([*image.shape[:-3:-1]] * 2))
        size = largest(images)
        labels = [sample["cls"].reshape(-1) for sample in samples]
        mixed, objects = self.mixed([padded(image, size) for image in images], boxes=boxes, labels=labels)
        whole = boxes[0].new_tensor([size[1], size[0]])
        low, high = torch.cat([one.boxes for one in objects]).split(2, 1)
        counts = torch.tensor([len(one.boxes) for one in objects])
        kept = {name: tuple(one.get(name) for one in samples) for name in samples[0] if name not in needed}
        return kept | {
            "img": mixed,
            "cls": torch.cat([one.labels for one in objects])[:, None],
            "bboxes": torch.cat([(low + high) / 2, high - low], 1) / whole.repeat(2),
            "batch_idx": torch.arange(len(objects)).repeat_interleave(counts).float(),
            "weights": torch.cat([one.visible for one in objects]),
        }


def largest(images: list[Tensor]) -> tuple[int, int]:
    """(H, W) that holds all of the images (C, H, W).

    >>> largest([torch.zeros(3, 4, 9), torch.zeros(3, 8, 2)])
    (8, 9)
    """
    for image in images:
        if not isinstance(image, Tensor) or image.dim() != 3:
            got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"images must be tensors (C, H, W), got {got}; see torchvision's v2.ToImage")
    return max(image.shape[1] for image in images), max(image.shape[2] for image in images)


def padded(value: Tensor, size: tuple[int, int]) -> Tensor:
    """Images or masks (n, H, W) with zeros up to a size, on the right and below."""
    height, width = value.shape[-2:]
    return value if (height, width) == size else F.pad(value, (0, size[1] - width, 0, size[0] - height))


def _on_canvas(value: Any, size: tuple[int, int]) -> Any:
    """Boxes or keypoints as they are; those that tell the size of their image tell that of the padded one."""
    if tuple(getattr(value, "canvas_size", size)) == size:
        return value
    form = {"format": value.format} if hasattr(value, "format") else {}
    return type(value)(value.as_subclass(Tensor), canvas_size=size, **form)
