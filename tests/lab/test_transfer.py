"""Detectors around trained networks learn, leave the networks alone, and are measured rightly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlearn as ml
from experiments.dense.detector import Pyramid, average_precision, detector, moved, precision
from experiments.dense.transfer import detect, localize_scenes
from experiments.dense.transfer_training import flipped
from experiments.examine.transfer import examine_transfer
from mixlearn.data.scenes import Scenes
from tests.lab.sets import weights
from tests.lab.squares import squares
from tests.seeds import seeded


def net(classes: int = 10, seed: int = 0) -> nn.Module:
    return ml.nets.resnet(8, classes, width=4, generator=seeded(seed))


def test_a_detector_learns_what_is_easy_and_repeats_itself() -> None:
    train, test = squares(64, 2), squares(24, 2, seed=1)
    backbone = net()
    found = detect(backbone, train=train, test=test, epochs=6, channels=32)
    assert found["map50"] > 0.8 and 0 < found["map"] < found["map50"]
    brief = {"train": squares(8, 2), "test": test, "epochs": 1, "channels": 32}
    first, again, other = (precise(backbone, seed, brief) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def precise(backbone: nn.Module, seed: int, options: dict[str, Any]) -> Tensor:
    """What a short training ends with: the weights, since its precision is near zero."""
    kept: list[Tensor] = []

    def note(model: nn.Module, scenes: Scenes) -> dict[str, float]:
        kept.append(weights(model))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.dense.transfer.precision", note)
        detect(backbone, seed=seed, **options)
    return kept[0]


@pytest.mark.parametrize("frozen", [True, False])
def test_the_network_is_left_as_it_was_and_its_copy_is_trained_or_not(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone: Any = net().train().requires_grad_(False)  # as a twin's weights are
    before, state = weights(backbone), torch.random.get_rng_state()
    ends: list[Any] = []
    monkeypatch.setattr(
        "experiments.dense.transfer.precision", lambda model, scenes: ends.append(model) or {}
    )
    detect(
        backbone, train=squares(8, 1), test=squares(2, 1), frozen=frozen, epochs=1, batch_size=4, channels=32
    )
    assert torch.equal(weights(backbone), before) and backbone.training
    assert not any(weight.requires_grad for weight in backbone.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    copy = ends[0].backbone.net
    new, old = copy.groups.parameters(), backbone.groups.parameters()
    changed = [not torch.equal(a, b) for a, b in zip(new, old, strict=True)]
    assert not any(changed) if frozen else all(changed)
    for mean, kept in zip(copy.buffers(), backbone.buffers(), strict=True):  # running means
        assert torch.equal(mean, kept)


def test_only_new_layers_are_in_training_mode() -> None:
    pyramid = Pyramid(net(), channels=8).train()
    assert pyramid.training and pyramid.narrow.training
    assert not any(module.training for module in pyramid.net.modules())
    assert not pyramid.eval().narrow.training


def test_a_detector_sees_the_stage_that_was_named() -> None:
    assert list(Pyramid(net(), "stage2", 8)(torch.zeros(1, 3, 32, 32))["0"].shape) == [1, 8, 16, 16]
    with pytest.raises(ValueError, match="it has no 'stage9'"):
        detector(net(), 2, 32, stage="stage9")
    with pytest.raises(ValueError, match="channels must be a multiple of 32, got 48"):
        detector(net(), 2, 32, channels=48)


class Oracle(nn.Module):
    """Says the true boxes, changed by a function."""

    def __init__(self, scenes: Scenes, change: Any) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(()))
        self.targets, self.change = iter(moved(*scenes.batch(slice(None)), torch.device("cpu"))[1]), change

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        return [{**self.change(next(self.targets)), "scores": torch.ones(2)} for _ in images]


def test_precision_of_known_answers() -> None:
    scenes = squares(60, 2)  # more than one batch
    assert precision(Oracle(scenes, dict), scenes) == {"map": 1.0, "map50": 1.0}
    wrong = Oracle(scenes, lambda target: {**target, "labels": 1 - target["labels"]})
    assert precision(wrong, scenes)["map50"] < 0.7  # right by chance, where both classes are there
    near = Oracle(scenes, lambda target: {**target, "boxes": target["boxes"] + torch.tensor([0, 0, 0, 2.0])})
    found = precision(near, scenes)
    assert found["map50"] == 1 and 0.5 < found["map"] < 0.9


def test_crowds_are_neither_missed_nor_wrongly_found() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [12, 0, 18, 6]])
    found = {"boxes": boxes[:2], "labels": torch.zeros(2, dtype=torch.int64)}
    known = {"boxes": boxes, "labels": torch.zeros(3, dtype=torch.int64), "iscrowd": torch.tensor([0, 1, 1])}
    sure = {**found, "scores": torch.tensor([0.5, 0.9])}  # the crowd's box comes first

    class Says(nn.Module):
        def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
            return [sure for _ in images]

    images = [torch.zeros(3, 32, 32)]
    assert average_precision(Says(), [(images, [known])]) == {"map": 1.0, "map50": 1.0}
    plain = {key: value for key, value in known.items() if key != "iscrowd"}
    assert average_precision(Says(), [(images, [plain])])["map50"] == pytest.approx(2 / 3, abs=0.01)


def test_a_mirror_turns_boxes_and_masks_with_the_image() -> None:
    images, targets = squares(6, 3).batch(slice(None))
    turned, there = flipped(images, targets)
    for image, target, old in zip(turned, there, targets, strict=True):
        masks = ml.boxes_to_masks(target["boxes"].long(), 32, 32)[:, 0].bool()
        for mask, label in zip(masks, target["labels"].tolist(), strict=True):
            assert bool((image[label, mask] > 0).all())
        assert not torch.equal(target["boxes"], old["boxes"])
        assert torch.equal(target["masks"], masks)
    back, again = flipped(turned, there)
    assert torch.equal(back, images)
    for target, old in zip(again, targets, strict=True):
        assert torch.equal(target["boxes"], old["boxes"])


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
    found = localize_scenes(Bright(), scenes, stage="colours")
    assert found["best"] == found["fixed"] == 1 and found["middle"] == 0
    blind = replace(scenes, labels=tuple(1 - label for label in scenes.labels))  # maps of the other class
    assert localize_scenes(Bright(), blind, stage="colours")["best"] < 0.5
    box = torch.tensor([[12, 12, 20, 20]])
    middle = replace(scenes, boxes=(*scenes.boxes[:15], *(box,) * 5))
    assert localize_scenes(Bright(), middle, stage="colours")["middle"] == 0.25


def test_what_cannot_be_compared_or_trained_is_refused() -> None:
    one, two = squares(2, 1), squares(2, 2)
    with pytest.raises(ValueError, match="scenes must have one object each, got 2 to 2"):
        localize_scenes(net(2), two)
    with pytest.raises(ValueError, match="train and test must have the same classes"):
        detect(net(), train=one, test=replace(two, classes=("red", "blue")))
    with pytest.raises(ValueError, match="epochs must be a positive integer, got 0"):
        detect(net(), train=one, test=two, epochs=0)
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 2.5"):
        detect(net(), train=one, test=two, batch_size=2.5)  # type: ignore[arg-type]


def test_the_examination_tells_all_and_the_same_twice() -> None:
    given = {"train": 6, "test": 6, "epochs": 1}
    found = examine_transfer(net(), **given)
    assert list(found) == ["detected frozen", "detected tuned", "located scenes"]
    assert list(found["detected tuned"]) == list(found["detected frozen"]) == ["map", "map50"]
    assert list(found["located scenes"]) == ["best", "threshold", "fixed", "middle"]
    assert examine_transfer(net(), **given) == found
    assert examine_transfer(net(seed=1), **given)["located scenes"] != found["located scenes"]
