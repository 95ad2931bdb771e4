"""Segmenters around trained networks learn, leave the networks alone, and are measured rightly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlearn as ml
from experiments.dense.segmenter import Segmenter, overlap, pixel_labels, scene_overlap, segmenter
from experiments.dense.transfer_segment import segment
from experiments.dense.transfer_training import learn
from experiments.examine import transfer as examine_transfer
from mixlearn.data.scenes import Scenes
from tests.lab.sets import weights
from tests.lab.squares import squares
from tests.seeds import seeded


def net(classes: int = 10, seed: int = 0) -> nn.Module:
    return ml.nets.resnet(8, classes, width=4, generator=seeded(seed))


def ends(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where models are put that would otherwise be measured."""
    kept: list[Any] = []
    monkeypatch.setattr(
        "experiments.dense.transfer_segment.scene_overlap", lambda model, scenes: kept.append(model) or {}
    )
    return kept


def test_a_segmenter_learns_what_is_easy() -> None:
    given: dict[str, Any] = {"epochs": 8, "lr": 0.02, "channels": 16}
    found = segment(net(), train=squares(48, 2), test=squares(24, 2, seed=1), **given)
    assert found["miou"] > 0.7 and found["accuracy"] > 0.9


def test_it_repeats_itself_and_follows_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ends(monkeypatch)
    for seed in (0, 0, 1):
        segment(net(), train=squares(8, 2), test=squares(2, 2), epochs=1, channels=8, seed=seed)
    first, again, other = map(weights, kept)
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_network_is_left_as_it_was_and_its_copy_is_trained_or_not(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone: Any = net().train().requires_grad_(False)  # as a twin's weights are
    before, state, kept = weights(backbone), torch.random.get_rng_state(), ends(monkeypatch)
    given: dict[str, Any] = {"epochs": 1, "batch_size": 4, "channels": 8}
    segment(backbone, train=squares(8, 1), test=squares(2, 1), frozen=frozen, **given)
    assert torch.equal(weights(backbone), before) and backbone.training
    assert not any(weight.requires_grad for weight in backbone.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)  # though the head has dropout
    copy = kept[0].net
    pairs = zip(copy.groups.parameters(), backbone.groups.parameters(), strict=True)
    changed = [not torch.equal(new, old) for new, old in pairs]
    assert not any(changed) if frozen else all(changed)
    for mean, old in zip(copy.buffers(), backbone.buffers(), strict=True):  # running means
        assert torch.equal(mean, old)
    fresh = segmenter(backbone, 3, channels=8)
    for new, start in zip(kept[0].head.parameters(), fresh.head.parameters(), strict=True):
        assert not torch.equal(new, start)


def test_only_the_head_is_in_training_mode() -> None:
    model = segmenter(net(), 3).train()
    assert model.head.training and not any(module.training for module in model.net.modules())


def test_each_pixel_has_the_class_of_its_mask() -> None:
    _, targets = squares(6, 3).batch(slice(None))
    found = pixel_labels(targets)
    assert found.shape == (6, 32, 32) and found.dtype == torch.int64
    for labels, target in zip(found, targets, strict=True):
        for mask, label in zip(target["masks"], target["labels"], strict=True):
            assert bool((labels[mask] == label + 1).all())
        assert bool((labels[~target["masks"].any(0)] == 0).all())
    empty = {"labels": torch.zeros(0, dtype=torch.int64), "masks": torch.zeros(0, 4, 4, dtype=torch.bool)}
    assert not pixel_labels([empty]).any()


def test_images_and_their_labels_are_turned_together() -> None:
    scenes, seen = squares(12, 2), []
    model = nn.Conv2d(3, 3, 1)

    def loss(images: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
        labels = pixel_labels(targets)
        bright = images > 0
        assert torch.equal(labels == 1, bright[:, 0]) and torch.equal(labels == 2, bright[:, 1])
        seen.append(images)
        return model(images).mean()

    learn(model, scenes, loss, epochs=4, batch_size=4, lr=1e-3)
    given, _ = scenes.batch(slice(None))
    as_given = [any(torch.equal(image, one) for one in given) for images in seen for image in images]
    assert len(as_given) == 48 and 0 < sum(as_given) < 48


def test_overlap_is_that_of_a_hand_made_count() -> None:
    """Five classes, one of them neither there nor predicted; some pixels do not count."""
    logits = torch.randn(6, 5, 7, 9, generator=seeded(1))
    logits[:, 4] = -10
    labels = torch.randint(4, (6, 7, 9), generator=seeded(2))
    labels[torch.rand(6, 7, 9, generator=seeded(3)) < 0.2] = 255
    both, either, right, count = [0] * 5, [0] * 5, 0, 0
    for said, true in zip(logits.argmax(1).flatten().tolist(), labels.flatten().tolist(), strict=True):
        if true == 255:
            continue
        count, right = count + 1, right + (said == true)
        for k in range(5):
            both[k] += said == k and true == k
            either[k] += said == k or true == k
    expected = sum(both[k] / either[k] for k in range(4)) / 4
    batches = [(logits[:4], labels[:4]), (logits[4:], labels[4:])]
    found = overlap(nn.Identity(), batches, 5)
    assert found == {"miou": pytest.approx(expected), "accuracy": pytest.approx(right / count)}
    assert either[4] == 0 and 0.1 < expected < 0.4


class Oracle(nn.Module):
    """Says what each pixel of a scene of squares shows, from its colours; the last class is never there."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.place, self.change = nn.Parameter(torch.zeros(())), change

    def forward(self, images: Tensor) -> Tensor:
        bright = (images > 0).float()
        nothing = 1 - bright.amax(1)
        logits = torch.stack([nothing, bright[:, 0], bright[:, 1]], 1)
        return self.change(logits)


def test_perfect_logits_have_an_overlap_of_one() -> None:
    scenes = squares(60, 2)  # more than one batch
    assert scene_overlap(Oracle(lambda logits: logits), scenes) == {"miou": 1.0, "accuracy": 1.0}
    swapped = scene_overlap(Oracle(lambda logits: logits[:, [0, 2, 1]]), scenes)
    assert swapped["miou"] == pytest.approx(1 / 3)  # the background alone
    blind = scene_overlap(Oracle(lambda logits: logits * torch.tensor([9.0, 0, 0])[:, None, None]), scenes)
    share = float(torch.stack([mask.any(0) for mask in scenes.masks]).float().mean())
    assert blind["accuracy"] == pytest.approx(1 - share) and blind["miou"] == pytest.approx((1 - share) / 3)


def test_logits_of_another_size_are_brought_to_that_of_the_labels() -> None:
    labels = torch.arange(4).view(1, 2, 2)
    logits = nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    large = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    assert overlap(nn.Identity(), [(logits, large)], 4)["accuracy"] == 1


def test_a_segmenter_sees_the_stage_that_was_named() -> None:
    model = segmenter(net(), 3, stage="stage2", channels=8)
    assert model.features(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 16, 16)
    assert isinstance(model, Segmenter) and model.eval()(torch.zeros(1, 3, 48, 32)).shape == (1, 3, 48, 32)


def test_what_cannot_be_built_or_trained_is_refused() -> None:
    one, two = squares(4, 1), squares(4, 2)
    with pytest.raises(ValueError, match="it has no 'stage9'"):
        segmenter(net(), 3, stage="stage9")
    with pytest.raises(ValueError, match="classes must be an integer of at least 2, got 1"):
        segmenter(net(), 1)
    with pytest.raises(ValueError, match="channels must be an integer of at least 1, got 0"):
        segmenter(net(), 3, channels=0)
    with pytest.raises(ValueError, match="train and test must have the same classes"):
        segment(net(), train=one, test=replace(two, classes=("red", "blue")))
    with pytest.raises(ValueError, match="epochs must be a positive integer, got 0"):
        segment(net(), train=one, test=two, epochs=0)
    with pytest.raises(ValueError, match="batch_size must be a positive integer, got 0"):
        segment(net(), train=one, test=two, batch_size=0)
    with pytest.raises(ValueError, match="at least 2 scenes; batch_size=3 leaves one of 1 of 4"):
        segment(net(), train=one, test=two, batch_size=3)


def test_a_transformer_takes_scenes_of_its_own_size() -> None:
    vit = ml.nets.vit(10, size=32, patch=4, dim=24, depth=2, generator=seeded())
    found = segment(vit, train=squares(4, 1), test=squares(2, 1), stage="block2", epochs=1, channels=8)
    assert 0 <= found["miou"] <= 1
    small: Scenes = squares(2, 1, size=48)
    with pytest.raises(ValueError, match="images must be 32 × 32"):
        segment(vit, train=small, test=small, stage="block2", epochs=1, channels=8)
    with pytest.raises(ValueError, match="taps input, patches, block1, block2, pool, it has no 'stage3'"):
        segment(vit, train=small, test=small)


def test_the_examination_adds_segmentation_to_that_of_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    told = {"detected frozen": {"map": 0.5}, "located scenes": {"best": 0.25}}
    monkeypatch.setattr(examine_transfer, "_material", lambda train, test: (train, test, None))
    monkeypatch.setattr(
        examine_transfer, "examine_transfer", lambda net, **given: calls.append((net, given)) or dict(told)
    )

    def noted(net: nn.Module, **given: Any) -> dict[str, float]:
        calls.append((net, given))
        return {"miou": float(given["frozen"])}

    monkeypatch.setattr(examine_transfer, "segment", noted)
    backbone = net()
    found = examine_transfer.examine_dense(backbone, train=6, test=4, epochs=3, segment_epochs=2)
    assert found == {**told, "segmented frozen": {"miou": 1.0}, "segmented tuned": {"miou": 0.0}}
    given = {"train": 6, "test": 4, "epochs": 3}
    ways = [{**given, "epochs": 2, "frozen": frozen} for frozen in (True, False)]
    assert calls == [(backbone, given), (backbone, ways[0]), (backbone, ways[1])]
