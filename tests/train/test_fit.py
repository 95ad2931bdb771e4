"""`fit`: what it trains, logs and refuses. Going on after an end is in test_resume.py."""

import csv
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import mixlearn as ml
from mixlearn.methods.learners import Learner, Mixing, Plain
from mixlearn.train.logs import image_grid
from mixlearn.train.schedules import cosine
from tests.refused import refusals
from tests.sets import Blobs, weights
from tests.train.quick_fit import quick, small_net


class Two(nn.Module):
    """A learner with two terms and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, model, images, labels, *, generator):
        logits = model(images)
        return {
            "labels": nn.functional.cross_entropy(self.scale * logits, labels),
            "size": 0.1 * logits.square().mean(),
        }


@pytest.mark.parametrize(
    "learner", [Plain(), Mixing(ml.mixup, 4), Mixing(ml.RandomMix([ml.mixup], num_classes=4))]
)
def test_learns_and_says_so(learner) -> None:
    data, net = Blobs(128), small_net()
    history = quick(net, data, learner, epochs=8, validate=data)
    assert history.last["accuracy"] > 0.9
    assert [row["epoch"] for row in history.epochs] == list(range(1, 9))
    assert history.last["loss"] < history.epochs[0]["loss"]
    assert history.seconds > 0 and history.peak_memory > 0
    assert {"loss", "rate", "seconds", "nll", "ece", "gap"} < set(history.last)


def test_first_step_is_the_update_written_out() -> None:
    data, net, by_hand = Blobs(16), small_net(), small_net()
    history = quick(net, data, Plain(), epochs=1, schedule=None, optimizer=partial(torch.optim.SGD, lr=0.5))
    loss = nn.functional.cross_entropy(by_hand(data.images), data.labels)
    loss.backward()
    for ours, other in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, other - 0.5 * other.grad, rtol=1e-5, atol=1e-6)
    assert history.last["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_rate_follows_the_schedule() -> None:
    seen: list[float] = []

    def optimizer(parameters):
        made = torch.optim.SGD(parameters, lr=0.2)
        made.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        return made

    quick(small_net(), Blobs(40), Plain(), optimizer=optimizer)
    assert seen == pytest.approx([0.2 * cosine(step, 6) for step in range(6)])


def test_same_seed_same_weights_and_default_generator_untouched() -> None:
    data, before = Blobs(64), torch.get_rng_state()
    learner = Mixing(ml.mixup, 4)
    nets = []
    loader = DataLoader(data, 16, shuffle=True)
    for seed, source in ((1, data), (1, data), (2, data), (1, loader), (1, loader), (2, loader)):
        nets.append(nn.Sequential(small_net(), nn.Dropout(0.1)))
        quick(nets[-1], source, learner, seed=seed, augment=ml.augment.crop_and_flip)
    assert torch.equal(weights(nets[0]), weights(nets[1]))
    assert torch.equal(weights(nets[3]), weights(nets[4]))
    assert not torch.equal(weights(nets[0]), weights(nets[2]))
    assert not torch.equal(weights(nets[3]), weights(nets[5]))
    assert torch.equal(before, torch.get_rng_state())


def test_every_term_is_logged_and_any_can_be_ablated() -> None:
    data, both, one, learner = Blobs(32), small_net(), small_net(), Two()
    history = quick(both, data, learner)
    assert learner.scale.item() != 1.0, "a learner's own parameters are trained"
    assert history.last["loss"] == pytest.approx(history.last["labels"] + history.last["size"], rel=1e-5)
    history = quick(one, data, Two(), ablate=("size",))
    assert history.last["loss"] == pytest.approx(history.last["labels"], rel=1e-6)
    assert history.last["size"] > 0
    assert not torch.equal(weights(both), weights(one))
    with pytest.raises(
        ValueError, match=r"ablate names \['sise'\], but the learner's terms are \['labels', 'size'\]"
    ):
        quick(small_net(), data, Two(), ablate=("sise",))
    with pytest.raises(ValueError, match="at least one loss term must be left"):
        quick(small_net(), data, Two(), ablate=("size", "labels"))


def test_clip_bounds_the_whole_gradient() -> None:
    norms: list[float] = []

    def optimizer(parameters):
        parameters = list(parameters)
        made = torch.optim.SGD(parameters, lr=0.1)
        norm = lambda: float(torch.stack([p.grad.norm() for p in parameters]).norm())  # noqa: E731
        made.register_step_pre_hook(lambda *_: norms.append(norm()))
        return made

    quick(small_net(), Blobs(32), Two(), optimizer=optimizer, clip=0.01)
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)


def test_sixteen_bits_use_channels_last() -> None:
    net, layouts = ml.nets.resnet(8, 4, width=8, channels=3), []
    net.groups[0][0].first.register_forward_pre_hook(
        lambda m, x: layouts.append(x[0].is_contiguous(memory_format=torch.channels_last))
    )
    history = quick(
        net,
        Blobs(32, channels=3),
        Mixing(ml.mixup, 4),
        precision="bf16-mixed",
        epochs=1,
        validate=Blobs(8, 3),
    )
    assert all(layouts) and layouts
    assert next(net.parameters()).dtype == torch.float32
    assert history.last["loss"] < 3


def test_the_averaged_copy_follows_each_step_and_warms_up() -> None:
    net, track = small_net(), []

    def optimizer(parameters):
        made = torch.optim.SGD(parameters, lr=0.1)
        made.register_step_post_hook(lambda *_: track.append(weights(net)))
        return made

    start = weights(net)
    history = quick(net, Blobs(32), Plain(), optimizer=optimizer, ema=0.5, validate=Blobs(8))
    expected = start
    for step, now in enumerate(track, 1):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * now
    averaged = torch.cat([value.double().flatten() for value in history.averaged.values()])
    torch.testing.assert_close(averaged, expected, rtol=1e-5, atol=1e-6)
    assert "ema/accuracy" in history.last


def test_validation_measures_the_part_that_predicts() -> None:
    """And, apart from it, the averaged weights of the network that is trained."""

    class Apart(Plain):
        predicting = small_net(1)

        def deployed(self, model):
            return self.predicting

    data, net = Blobs(32), small_net()
    history = quick(net, data, Apart(), ema=0.5, validate=data)
    assert history.last["nll"] == ml.measure.evaluate(Apart.predicting, data)["nll"]
    assert Apart.predicting.training and net.training
    own = weights(net)
    averaged = small_net()
    averaged.load_state_dict(history.averaged)
    assert history.last["ema/nll"] == ml.measure.evaluate(averaged, data)["nll"]
    assert torch.equal(weights(net), own)


def test_logs_hold_numbers_and_mixed_images(tmp_path: Path) -> None:
    from lightning.fabric.loggers import TensorBoardLogger

    data, folder = Blobs(64), tmp_path / "log"
    history = quick(
        small_net(), data, Mixing(partial(ml.mixup, lam=0.5), 4), log=[folder, TensorBoardLogger(folder)]
    )
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mixed_labels"]) for row in rows] == pytest.approx(
        [e["mixed_labels"] for e in history.epochs]
    )
    from PIL import Image

    picture = Image.open(folder / "mixed-0002.png")
    assert picture.size == (64, 16)
    assert list(folder.rglob("events*"))


def test_grid_undoes_the_normalisation() -> None:
    images = torch.full((3, 3, 2, 2), 0.5)
    grid = image_grid(images, mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.2))
    assert grid.shape == (3, 2, 6)
    assert grid[:, 0, 0].tolist() == pytest.approx([0.6, 0.45, 0.4])
    assert image_grid(images.repeat(3, 1, 1, 1))[:, 3, 15].tolist() == [1, 1, 1]  # nothing there


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (2, 1), (4, 3)])
def test_grid_shows_images_of_any_number_of_channels(channels: int, shown: int) -> None:
    images = torch.rand(4, channels, 6, 5)
    images[:, shown:] += 9  # what is not shown does not set the scale
    grid = image_grid(images)
    assert grid.shape == (shown, 6, 20)
    assert float(grid.max()) == 1 and float(grid.min()) == 0


def test_the_logs_own_names_are_not_for_terms() -> None:
    def learner(model, images, labels, *, generator, name="rate"):
        return {"labels": nn.functional.cross_entropy(model(images), labels), name: torch.tensor(1.0)}

    for name in ("rate", "loss"):
        with pytest.raises(ValueError, match=f"must not be called '{name}'"):
            quick(small_net(), Blobs(8), partial(learner, name=name))
    alone = quick(
        small_net(), Blobs(8), lambda m, x, y, *, generator: {"loss": nn.functional.cross_entropy(m(x), y)}
    )
    assert alone.last["loss"] > 0


def test_a_nan_loss_names_step_and_terms_and_spares_the_weights() -> None:
    net, steps = small_net(), []

    def learner(model, images, labels, *, generator):
        steps.append(1)
        broken = torch.tensor(float("nan") if len(steps) == 6 else 0.0)
        return {"labels": nn.functional.cross_entropy(model(images), labels), "broken": broken}

    with pytest.raises(FloatingPointError, match=r"epoch 2, batch 2 \(step 6\): labels = .*, broken = nan"):
        quick(net, Blobs(64), learner)
    assert bool(torch.isfinite(weights(net)).all())


def test_a_nan_image_is_named() -> None:
    data, net = Blobs(64), ml.nets.resnet(8, 4, width=8, channels=1)
    data.images[37, 0, 2, 3] = float("nan")
    with pytest.raises(
        ValueError,
        match=r"images must be finite.* in epoch 1, batch \d \(step \d\): image 37 of the data set",
    ):
        quick(net, data, Plain())
    assert bool(torch.isfinite(weights(net)).all())
    loader = DataLoader(data, batch_size=16)
    with pytest.raises(ValueError, match=r"in epoch 1, batch 3 \(step 3\): image 5 of the batch"):
        quick(small_net(), loader, Plain())


class Whole(Learner):
    """Returns what a learner must not."""

    def __init__(self, way: int = 1) -> None:
        self.way = way

    def __call__(self, model, images, labels, *, generator):
        loss = nn.functional.cross_entropy(model(images), labels, reduction="none")
        return loss.sum() if self.way == 1 else {"labels": loss}


test_bad_arguments_say_what_came = refusals(
    ({"epochs": 0}, ValueError, "epochs must be a positive integer, got 0"),
    ({"batch_size": -1}, ValueError, "batch_size must be a positive integer, got -1"),
    ({"ema": 1.0}, ValueError, r"ema must be a decay in \[0, 1\), got 1.0"),
    ({"checkpoint_every": 2.5}, ValueError, "checkpoint_every must be a positive integer, got 2.5"),
    ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be a positive integer, got 0"),
    ({"seed": 0.5}, ValueError, "seed must be an integer, got 0.5"),
    ({"clip": 0}, ValueError, "clip must be a positive norm, got 0"),
    ({"resume": True}, ValueError, "need checkpoint="),
    ({"ablate": "size"}, TypeError, "got the string 'size'"),
    ({"accumulate": 0}, ValueError, "accumulate must be a positive integer, got 0"),
    ({"data": [1, 2]}, TypeError, r"must give \(images, labels\), got Tensor"),
    ({"data": 3}, TypeError, "data must be an ImageSet, a Dataset or a DataLoader, got int"),
    (
        {"learner": lambda m, x, y, *, generator: m(x).sum()},
        TypeError,
        "must return a dict of scalar tensors, one a loss term, got Tensor",
    ),
    ({"learner": Whole()}, TypeError, "must return a dict of scalar tensors, .* got Tensor"),
    ({"learner": Whole(2)}, TypeError, r"must be scalar tensors, got shape \(16,\) for 'labels'"),
    by=lambda given: quick(
        **{"model": small_net(), "data": Blobs(16), "learner": Plain(), "epochs": 1} | given
    ),
)
