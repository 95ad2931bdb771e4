"""Batches for detectors, as torchvision and as Ultralytics take them; a real training step."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded


def sample(k, size=(96, 96), dtype=torch.float32):
    """An image with two objects, as torchvision's references make them."""
    generator = seeded(k)
    boxes = ml.sample_boxes(torch.tensor([0.7, 0.9]), *size, generator=generator)
    masks = ml.boxes_to_masks(boxes, *size)[:, 0].to(torch.uint8)
    target = {"boxes": boxes.float(), "labels": torch.tensor([1, 2]) + k % 3, "masks": masks}
    target |= {"iscrowd": torch.tensor([k % 2, 0]), "area": masks.sum((1, 2)).float(), "image_id": 100 + k}
    target["keypoints"] = torch.cat([boxes.float().view(2, 2, 2), torch.full((2, 2, 1), 2.0)], 2)
    image = torch.rand(3, *size, generator=generator)
    return image if dtype.is_floating_point else (image * 255).to(dtype), target


MIXES = {
    "mosaic": ml.mosaic,
    "copy_paste": ml.copy_paste,
    "cutmix": ml.cutmix,
    "mixup": partial(ml.mixup, lam=0.6),
    "one of several": ml.RandomMix([ml.mosaic, ml.cutmix, ml.mixup], p=0.9, per_image=True),
}


@pytest.mark.parametrize("name", MIXES)
def test_a_detector_of_torchvision_trains_on_what_comes(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = fasterrcnn_mobilenet_v3_large_320_fpn(
            weights=None, weights_backbone=None, num_classes=6, min_size=96, max_size=96
        ).train()
        images, targets = ml.DetectionCollate(MIXES[name], seed=3)([sample(0), sample(1)])
        assert sum(len(target["boxes"]) for target in targets) > 2
        losses = net(images, targets)
        sum(losses.values()).backward()
    assert len(losses) == 4 and all(bool(loss.isfinite()) for loss in losses.values())
    head = net.roi_heads.box_predictor.bbox_pred.weight.grad
    assert bool(head.isfinite().all()) and bool(head.any())


def test_everything_that_an_object_has_goes_with_it():
    samples = [sample(k) for k in range(4)]
    before = [
        {name: torch.as_tensor(value).clone() for name, value in target.items()} for _, target in samples
    ]
    images, targets = ml.DetectionCollate(partial(ml.mosaic, centre=[48, 48]))(samples)
    assert len(images) == 4 and images[0].shape == (3, 96, 96)
    for i, target in enumerate(targets):
        assert set(target) == {*samples[i][1], "weights"} and target["image_id"] == 100 + i
        assert torch.equal(target["area"], target["masks"].flatten(1).sum(1).float())
        tight = ml.masks_to_boxes(target["masks"][:, None])
        assert torch.equal(target["boxes"], tight.float()) and target["masks"].dtype == torch.uint8
        assert target["keypoints"].shape == (len(tight), 2, 3) and target["iscrowd"].shape == (len(tight),)
        odd = [k for k in range(4) if k % 2]  # their first objects are crowds, of label 1 + k % 3
        assert set(target["labels"][target["iscrowd"] == 1].tolist()) <= {1 + k % 3 for k in odd}
    for (_, target), old in zip(samples, before, strict=True):
        assert all(torch.equal(torch.as_tensor(value), old[name]) for name, value in target.items())
    without = [
        (image, {k: v for k, v in t.items() if k in ("boxes", "labels", "area")}) for image, t in samples
    ]
    _, targets = ml.DetectionCollate(ml.cutmix)(without)
    assert torch.equal(targets[0]["area"], ml.box_area(targets[0]["boxes"]))


def test_images_of_several_sizes_are_padded_and_of_whole_numbers_stay_so():
    canvas = tv_tensors.BoundingBoxes([[0, 0, 20, 30]], format="XYXY", canvas_size=(40, 32))
    one = (torch.full((3, 40, 32), 200, dtype=torch.uint8), {"boxes": canvas, "labels": torch.tensor([1])})
    other = (
        torch.full((3, 24, 64), 100, dtype=torch.uint8),
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)},
    )
    images, targets = ml.DetectionCollate(partial(ml.mixup, lam=0.5, partner=[1, 0]))([one, other])
    assert images[0].dtype == torch.uint8 and images[0].shape == (3, 40, 64)
    assert images[0][0, 0, [0, 40]].tolist() == [150, 50] and images[0][0, 30, [0, 40]].tolist() == [100, 0]
    assert targets[0]["boxes"].canvas_size == (40, 64) and targets[0]["weights"].tolist() == [0.5]
    assert targets[1]["boxes"].tolist() == [[0, 0, 20, 30]] and targets[1]["labels"].tolist() == [1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_repeats_itself(workers):
    def epoch():
        collate = ml.DetectionCollate(ml.mosaic, seed=5)
        data = [sample(k, (24, 24)) for k in range(8)]
        return list(DataLoader(data, 4, num_workers=workers, collate_fn=collate, generator=seeded(1)))

    for (images, targets), (again, others) in zip(epoch(), epoch(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(images, again, strict=True))
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(targets, others, strict=True))


def test_other_samples_are_named():
    collate, image, target = ml.DetectionCollate(ml.mosaic), *sample(0)
    words = "DetectionCollate expects pairs of an image and a dict of boxes, labels, got "
    refused(lambda: collate([image]), words + "Tensor", TypeError)
    refused(lambda: collate([(image, {"boxes": target["boxes"]})]), words + r"\['boxes'\]", TypeError)
    less = {name: target[name] for name in ("boxes", "labels")}
    refused(
        lambda: collate([(image, target), (image, less)]), r"labels, masks, keypoints, got \['b", TypeError
    )
    refused(lambda: collate([(image[0], target)]), r"must be tensors \(C, H, W\), got \(96, 96\)", TypeError)
    refused(lambda: ml.DetectionCollate(ml.mosaic, least=2), r"least must lie in \[0, 1\], got 2")


# -------------------------------------------------------------------------------------------- Ultralytics
def yolo(k, size=(32, 64)):
    """An image with k objects, as the data sets of Ultralytics make them."""
    generator = seeded(k)
    extent = torch.rand(k, 2, generator=generator) * 0.5
    centre = extent / 2 + torch.rand(k, 2, generator=generator) * (1 - extent)
    image = torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8)
    labels = {"cls": torch.arange(k, dtype=torch.float)[:, None] + 10 * k, "im_file": f"{k}.jpg"}
    return {"img": image, "bboxes": torch.cat([centre, extent], 1), **labels}


def test_a_batch_of_ultralytics_that_is_not_mixed_is_the_batch():
    samples = [yolo(k) for k in (2, 0, 3)]
    batch = ml.YoloCollate(ml.RandomMix([ml.mosaic], p=0.0))(samples)
    assert torch.equal(batch["img"], torch.stack([one["img"] for one in samples]))
    assert torch.allclose(batch["bboxes"], torch.cat([one["bboxes"] for one in samples]), atol=1e-6)
    assert torch.equal(batch["cls"], torch.cat([one["cls"] for one in samples]))
    assert batch["batch_idx"].tolist() == [0, 0, 2, 2, 2] and batch["weights"].tolist() == [1] * 5
    assert batch["im_file"] == ("2.jpg", "0.jpg", "3.jpg")


def test_boxes_of_ultralytics_are_those_of_mix_objects():
    samples = [yolo(k) for k in (2, 0, 3)]
    batch = ml.YoloCollate(partial(ml.mosaic, fill=114), seed=7)(samples)
    scale, boxes = torch.tensor([64, 32, 64, 32]), []
    for one in samples:
        x, y, width, height = one["bboxes"].T
        boxes.append(torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1) * scale)
    images = torch.stack([one["img"] for one in samples]).float()
    mixed = ml.mosaic(images, fill=114, generator=ml.YoloCollate(ml.mosaic, seed=7)._generator())
    found = ml.mix_objects(mixed.plan, boxes, [one["cls"][:, 0] for one in samples])
    assert torch.equal(batch["img"], mixed.images.byte()) and len(batch["cls"]) > 4
    for i, one in enumerate(found):
        here = batch["batch_idx"] == i
        low, high = (one.boxes / scale).split(2, 1)
        assert torch.allclose(batch["bboxes"][here], torch.cat([(low + high) / 2, high - low], 1), atol=1e-6)
        assert torch.equal(batch["cls"][here, 0], one.labels) and torch.equal(
            batch["weights"][here], one.visible
        )


def test_other_samples_of_ultralytics_are_named():
    collate, one = ml.YoloCollate(ml.mosaic), yolo(1)
    refused(lambda: collate([one | {"masks": 1}]), "mixes boxes alone, got masks; .*DetectionCollate")
    refused(
        lambda: collate([{"img": one["img"]}]), r"dicts with img, cls and bboxes, got \['img'\]", TypeError
    )
    wide = one | {"bboxes": torch.tensor([[0.5, 0.5, 1.5, 0.5]])}
    refused(lambda: collate([wide]), "image 0, box 0: expected corners inside the image, none below 0")
