"""Detectors and segmenters around trained networks learn, leave the networks alone, are measured rightly."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlearn as ml
from experiments import dense
from mixlearn.data.scenes import Scenes
from tests.refused import refused
from tests.seeds import seeded
from tests.sets import weights

WAYS = {"detect": (dense.detect, "precision", 32), "segment": (dense.segment, "overlap", 8)}


def squares(count: int, objects: int, *, size: int = 32, seed: int = 0) -> Scenes:
    """Bright squares on black, red ones of class 0 and green ones of class 1; one in each quarter at most."""
    generator = seeded(seed)
    images = torch.zeros(count, 3, size, size, dtype=torch.uint8)
    boxes, labels, masks = [], [], []
    for image in images:
        quarters = torch.randperm(4, generator=generator)[:objects]
        corners = torch.stack([quarters % 2, quarters // 2], 1) * (size // 2)
        corners = corners + torch.randint(5, (objects, 2), generator=generator)
        found = torch.cat([corners, corners + torch.randint(7, 12, (objects, 1), generator=generator)], 1)
        classes = torch.randint(2, (objects,), generator=generator)
        mask = ml.boxes_to_masks(found, size, size)[:, 0].bool()
        for number, where in zip(classes.tolist(), mask, strict=True):
            image[number, where] = 255
        boxes.append(found)
        labels.append(classes)
        masks.append(mask)
    both = ("red", "green")
    return Scenes(images, tuple(boxes), tuple(labels), tuple(masks), (0.3,) * 3, (0.3,) * 3, both)


def net(classes: int = 10, seed: int = 0) -> nn.Module:
    return ml.nets.resnet(8, classes, width=4, generator=seeded(seed))


def test_both_learn_what_is_easy() -> None:
    train, test = squares(64, 2), squares(24, 2, seed=1)
    found = dense.detect(net(), train=train, test=test, epochs=6, channels=32)
    assert found["map50"] > 0.8 and 0 < found["map"] < found["map50"]
    found = dense.segment(net(), train=train, test=test, epochs=6, lr=0.02, channels=16)
    assert found["miou"] > 0.7 and found["accuracy"] > 0.9


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_left_as_it_was_and_its_copy_is_trained_or_not(
    way: str, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, measure, channels = WAYS[way]
    backbone: Any = net().train().requires_grad_(False)  # as a twin's weights are
    before, state = weights(backbone), torch.random.get_rng_state()
    ends: list[Any] = []
    monkeypatch.setattr(dense, measure, lambda model, scenes: ends.append(model) or {})
    given = {"train": squares(8, 1), "test": squares(2, 1), "frozen": frozen, "epochs": 1, "batch_size": 4}
    for seed in (0, 0, 1):
        train(backbone, channels=channels, seed=seed, **given)
    assert torch.equal(weights(backbone), before) and backbone.training
    assert not any(weight.requires_grad for weight in backbone.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)  # though a head may have dropout
    copy = ends[0].net if way == "segment" else ends[0].backbone.net
    pairs = zip(copy.groups.parameters(), backbone.groups.parameters(), strict=True)
    changed = [not torch.equal(new, old) for new, old in pairs]
    assert not any(changed) if frozen else all(changed)
    for mean, kept in zip(copy.buffers(), backbone.buffers(), strict=True):  # running means
        assert torch.equal(mean, kept)
    first, again, other = map(weights, ends)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_stage_that_was_named_is_seen() -> None:
    assert list(dense.Pyramid(net(), "stage2", 8)(torch.zeros(1, 3, 32, 32))["0"].shape) == [1, 8, 16, 16]
    refused(lambda: dense.detector(net(), 2, 32, stage="stage9"), "it has no 'stage9'")
    refused(lambda: dense.detector(net(), 2, 32, channels=48), "channels must be a multiple of 32, got 48")


class Oracle(nn.Module):
    """Says the true boxes, changed by a function."""

    def __init__(self, scenes: Scenes, change: Any) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))
        known = dense.for_detector(*scenes.batch(slice(None)), torch.device("cpu"))[1]
        self.targets, self.change = iter(known), change

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [{**self.change(next(self.targets)), "scores": torch.ones(2)} for _ in images]


def test_precision_of_known_answers() -> None:
    scenes = squares(60, 2)  # more than one batch
    assert dense.precision(Oracle(scenes, dict), scenes) == {"map": 1.0, "map50": 1.0}
    wrong = Oracle(scenes, lambda target: {**target, "labels": 1 - target["labels"]})
    assert dense.precision(wrong, scenes)["map50"] < 0.7  # right by chance, where both classes are there
    near = Oracle(scenes, lambda target: {**target, "boxes": target["boxes"] + torch.tensor([0, 0, 0, 2.0])})
    found = dense.precision(near, scenes)
    assert found["map50"] == 1 and 0.5 < found["map"] < 0.9


class Guess(nn.Module):
    """Random logits of four classes, the last of which is neither there nor predicted."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.generator = nn.Parameter(torch.zeros(())), seeded(1)

    def forward(self, images: Tensor) -> Tensor:
        logits = torch.randn(len(images), 4, *images.shape[-2:], generator=self.generator)
        logits[:, 3] = -10
        return logits


def test_overlap_is_that_of_a_hand_made_count() -> None:
    scenes, model = replace(squares(60, 2), classes=("red", "green", "blue")), Guess()
    predicted = torch.cat([model(torch.zeros(n, 3, 32, 32)) for n in (50, 10)]).argmax(1)
    labels = dense.pixel_labels(scenes.batch(slice(None))[1])
    shares = [
        float(((predicted == k) & (labels == k)).sum() / ((predicted == k) | (labels == k)).sum())
        for k in range(3)
    ]
    found = dense.overlap(Guess(), scenes)
    assert found["miou"] == pytest.approx(sum(shares) / 3, abs=1e-6) and found["miou"] < 0.4
    assert found["accuracy"] == pytest.approx(float((predicted == labels).float().mean()), abs=1e-6)


def test_a_mirror_turns_boxes_and_masks_with_the_image() -> None:
    images, targets = squares(6, 3).batch(slice(None))
    turned, there = dense.flipped(images, targets)
    for image, target, old in zip(turned, there, targets, strict=True):
        masks = ml.boxes_to_masks(target["boxes"].long(), 32, 32)[:, 0].bool()
        for mask, label in zip(masks, target["labels"].tolist(), strict=True):
            assert bool((image[label, mask] > 0).all())
        assert not torch.equal(target["boxes"], old["boxes"]) and torch.equal(target["masks"], masks)
    back, again = dense.flipped(turned, there)
    assert torch.equal(back, images)
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(again, targets, strict=True))


class Bright(nn.Module):
    """A network whose features are the colours themselves, each speaking for its own class."""

    stages = ("colours",)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.head.weight.data = torch.eye(2, 3)

    def forward(self, images: Tensor, tap: Any = None) -> Tensor:
        features = images if tap is None else tap("colours", images)
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


def test_activation_maps_find_single_objects_and_the_middle_those_in_the_middle() -> None:
    scenes = squares(20, 1)
    found = dense.localize_scenes(Bright(), scenes, stage="colours")
    assert found["best"] == found["fixed"] == 1 and found["middle"] == 0
    blind = replace(scenes, labels=tuple(1 - label for label in scenes.labels))  # maps of the other class
    assert dense.localize_scenes(Bright(), blind, stage="colours")["best"] < 0.5
    box = torch.tensor([[12, 12, 20, 20]])
    middle = replace(scenes, boxes=(*scenes.boxes[:15], *(box,) * 5))
    assert dense.localize_scenes(Bright(), middle, stage="colours")["middle"] == 0.25


def test_what_cannot_be_compared_or_trained_is_refused() -> None:
    one, two = squares(2, 1), squares(2, 2)
    refused(lambda: dense.localize_scenes(net(2), two), "scenes must have one object each, got 2 to 2")
    with pytest.raises(ValueError, match="train and test must have the same classes"):
        dense.detect(net(), train=one, test=replace(two, classes=("red", "blue")))
    with pytest.raises(ValueError, match="epochs must be a positive integer, got 0"):
        dense.detect(net(), train=one, test=two, epochs=0)
    with pytest.raises(ValueError, match="at least 2 scenes; batch_size=2 leaves one of 1 of 3"):
        dense.segment(net(), train=squares(3, 1), test=two, batch_size=2)


def test_mixed_scenes_show_their_objects() -> None:
    images, targets = squares(6, 3).batch(slice(None))
    for mix in (ml.mosaic, ml.cutmix, ml.copy_paste, partial(ml.classmix, num_classes=3)):
        mixed, found = dense.mixed_scenes(images, targets, mix, seeded(1))
        for image, target in zip(mixed, found, strict=True):
            assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
            for mask, label in zip(target["masks"], target["labels"].tolist(), strict=True):
                assert (image[label, mask] > 0).double().mean() > 0.9  # but for the rim of what was resized
    seen: list[int] = []

    def watched(images: Tensor, *, masks: Any, generator: Any) -> Any:
        seen.append(len(masks))
        return ml.copy_paste(images, masks=masks, generator=generator)

    dense.detect(net(), train=squares(16, 2), test=squares(2, 1), epochs=4, channels=32, mix=watched)
    assert 0 < len(seen) < 8 and set(seen) == {8}  # about half of the batches


def test_a_segmenter_learns_from_scenes_without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    train, rest, test = squares(8, 2), squares(32, 2, seed=2), squares(16, 2, seed=1)
    given: dict[str, Any] = {"train": train, "test": test, "epochs": 12, "channels": 16, "lr": 0.02}
    asked: list[Tensor] = []
    real = dense.segmentation_consistency

    def watched(logits: Tensor, answers: Tensor, plan: Any) -> Tensor:
        asked.append(answers)
        term = real(logits, answers, plan, confidence=0.0)
        assert term.requires_grad and not answers.requires_grad and 0 <= float(term) <= 2
        return term

    monkeypatch.setattr(dense, "segmentation_consistency", watched)
    for mix in (ml.cutmix_seg, partial(ml.classmix, num_classes=3)):
        assert dense.segment(net(), unlabelled=rest, mix=mix, **given)["miou"] > 0.4
    assert len(asked) == 24 and {tuple(answers.shape) for answers in asked} == {(8, 3, 32, 32)}
