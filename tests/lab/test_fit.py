"""`fit`: what it trains. Going on after an end is in test_resume.py."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import mixlearn as ml
from mixlearn.methods.learners import Mixing, Plain
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine
from tests.lab.quick_fit import quick, small_net
from tests.lab.sets import Blobs, weights


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


def test_dataset_loader_and_memory_all_train() -> None:
    data = Blobs(64)
    loader = DataLoader(data, batch_size=16, shuffle=True, generator=torch.Generator())
    for source in (data, loader, torch.utils.data.TensorDataset(data.images, data.labels)):
        net = small_net()
        quick(net, source, Plain(), epochs=6)
        assert ml.measure.evaluate(net, data)["accuracy"] > 0.9


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
    data, both, one = Blobs(32), small_net(), small_net()
    history = quick(both, data, Two())
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


def test_a_learners_own_parameters_are_trained() -> None:
    learner = Two()
    quick(small_net(), Blobs(32), learner)
    assert learner.scale.item() != 1.0


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


def test_sgd_is_the_default_and_learners_check_smoothing() -> None:
    made = sgd(nn.Linear(1, 1).parameters())
    assert made.defaults["nesterov"] and made.defaults["lr"] == 0.1
    for make in (Plain, partial(Mixing, ml.mixup)):
        with pytest.raises(ValueError, match=r"smoothing must lie in \[0, 1\), got 1"):
            make(smoothing=1)
    with pytest.raises(TypeError, match="mix must be a function"):
        Mixing("mixup")


def test_smoothing_of_hard_and_of_mixed_labels_agree() -> None:
    def model(x: Tensor) -> Tensor:
        return x

    logits, labels = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    alone = Mixing(partial(ml.mixup, lam=1.0), 4, smoothing=0.2)(model, logits, labels)["mixed_labels"]
    assert float(Plain(4, smoothing=0.2)(model, logits, labels)["labels"]) == pytest.approx(
        float(alone), rel=1e-6
    )
