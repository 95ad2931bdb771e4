"""Fine-tuning of a network that was trained before: the given network is left as it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments.training import fine_tune
from tests.seeds import seeded
from tests.sets import Blobs

quick = {"epochs": 2, "batch_size": 16, "accelerator": "cpu", "progress": False}


def small(seed: int = 0) -> nn.Module:
    return ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded(seed))


def transformer() -> nn.Module:
    return ml.nets.vit(10, size=8, patch=4, dim=12, depth=3, channels=1, generator=seeded())


def test_the_network_that_is_given_stays() -> None:
    net, data = small(), Blobs(32)
    net.stem.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes, draws = [m.training for m in net.modules()], torch.random.get_rng_state()
    outcome = fine_tune(net, data, **quick, lr=0.1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes and net.head.out_features == 10
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert outcome.model.head.out_features == 4 and list(outcome.final) == ["same", "again"]
    assert outcome.final["same"] == pytest.approx(ml.measure.evaluate(outcome.model, data))
    again = fine_tune(net, data, **quick, lr=0.1)
    assert again.final == outcome.final
    assert again.settings["optimizer"] == "LayerDecay(lr=0.00625, decay=0.75, weight_decay=0.05)"
    assert again.settings["schedule"] == "cosine(warmup=0.1)" and again.settings["smoothing"] == 0.1
    assert again.settings["network"] == "ResNet, fine-tuned"


def test_it_learns_and_later_layers_move_most() -> None:
    net = transformer()
    start = {name: value.clone() for name, value in net.state_dict().items()}
    options = quick | {"epochs": 6}
    outcome = fine_tune(net, Blobs(64), **options, lr=0.16, decay=0.1, smoothing=0.0)
    moved = {
        name: float((value - start[name]).abs().mean())
        for name, value in outcome.model.state_dict().items()
        if name.startswith("layers.") and name.endswith("widen.weight")
    }
    least, middle, most = moved.values()
    assert least < 0.3 * middle and middle < 0.3 * most  # AdamW moves by the rate: a tenth a layer
    assert fine_tune(small(), Blobs(64), **options, lr=0.16, decay=1.0).final["same"]["accuracy"] > 0.9


def test_mixing_and_smoothing() -> None:
    seen = []

    def mix(images, labels, **options):
        seen.append(len(images))
        return ml.mixup(images, labels, **options)

    mixed = fine_tune(small(), Blobs(32), **quick, mix=mix, augment=ml.augment.random_flip)
    assert seen == [16] * 4 and "mixed_labels" in mixed.history.last
    assert mixed.settings["augment"] == "random_flip"
    learner = ml.learners.MixingInside(ml.mixup, ("stage1",))
    assert "mixed_labels" in fine_tune(small(), Blobs(16), **quick, mix=learner).history.last
    plain, smooth = (fine_tune(small(), Blobs(32), **quick, smoothing=share) for share in (0.0, 0.5))
    assert plain.history.last["labels"] != smooth.history.last["labels"]


def test_bad_input_is_named() -> None:
    data = SimpleNamespace(classes=("a", "b"))
    with pytest.raises(ValueError, match="lr must be positive and finite, got 0"):
        fine_tune(small(), data, lr=0)
    with pytest.raises(ValueError, match=r"decay must lie in \(0, 1\], got 2"):
        fine_tune(small(), data, decay=2)
