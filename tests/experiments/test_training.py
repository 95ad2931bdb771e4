"""What all experiments share: a Mix Block with its own rate, refusals, the sides of views, fine-tuning."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments import recipes
from experiments.data import PictureSet, random_crop
from experiments.training import (
    _side,
    fine_tune,
    loaders,
    train,
)
from mixlearn.methods.learners import AutoMix, PatchMix
from mixlearn.train.schedules import cosine
from tests.refused import refused
from tests.seeds import seeded
from tests.sets import Blobs

sgd = partial(torch.optim.SGD, lr=0.2, momentum=0.9)


def made() -> tuple[nn.Module, AutoMix]:
    net = ml.nets.resnet(8, 4, width=2, channels=1, generator=seeded())
    return net, AutoMix(net, stage="stage2", image_size=8, generator=seeded(1))


def test_mistakes_are_named() -> None:
    net, learner = made()
    with pytest.raises(TypeError, match="AutoMix is built for the network .* give the class, or a partial"):
        train(net, Blobs(8), learner, network="", epochs=1, batch_size=6, optimizer=sgd, schedule=cosine)
    with pytest.raises(ValueError, match="batch_size must be a multiple of the number of processes, got 6"):
        loaders(Blobs(8), 6, 0, devices=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"measure_every": 1}, "measure_every cannot go with a learner without labels"),
        ({"augment": ml.augment.crop_and_flip}, "augment cannot go with a learner without labels"),
        ({"batch_size": 11}, "12 images in batches of 11 leave one"),
        ({"mix": "nothing", "smoothing": 0.1}, "smoothing cannot go with a network that is not trained"),
        ({"mix": "nothing", "ablate": ("origin",)}, "ablate cannot go with a network that is not trained"),
    ],
)
def test_what_would_be_ignored_without_labels_is_refused(options: dict[str, Any], words: str) -> None:
    data = Blobs(12, channels=3, size=32)
    data.mean, data.std = (0.5,) * 3, (0.2,) * 3
    given = {"mix": PatchMix, "images": 12, "width": 4, "batch_size": 6, "data": data, "examine": None}
    refused(lambda: recipes.pretrain(**given | options), words)


def test_the_side_of_pictures_in_files_is_that_of_their_view(tmp_path: Any) -> None:
    from PIL import Image

    files = tuple(tmp_path / f"{k}.png" for k in range(4))
    for file in files:
        Image.new("RGB", (40, 40)).save(file)
    part = PictureSet(files, torch.arange(4) % 2, random_crop(32, 0.5), (0.5,) * 3, (0.5,) * 3)
    data = ml.data.sets.Data("mine", ("a", "b"), part, {"test": part}, (0.5,) * 3, (0.5,) * 3, "")
    before = torch.get_rng_state()
    assert _side(part) == 32 and torch.equal(before, torch.get_rng_state())
    given = {"width": 2, "depth": 18, "epochs": 1, "batch_size": 2, "workers": 0, "accelerator": "cpu"}
    outcome = recipes.imagenet(AutoMix, data=data, progress=False, **given)
    assert {"generator", "mask"} <= set(outcome.history.last) and set(outcome.final) == {"test"}


# ------------------------------------------------------------------------------------------ fine-tuning
quick = {"epochs": 2, "batch_size": 16, "accelerator": "cpu", "progress": False}


def ten() -> nn.Module:
    return ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())


def test_fine_tuning_leaves_the_network_that_is_given() -> None:
    net, data = ten(), Blobs(32)
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


def test_bad_rates_of_fine_tuning_are_named() -> None:
    data = SimpleNamespace(classes=("a", "b"))
    refused(lambda: fine_tune(ten(), data, lr=0), "lr must be positive and finite, got 0")
    refused(lambda: fine_tune(ten(), data, decay=2), r"decay must lie in \(0, 1\], got 2")
