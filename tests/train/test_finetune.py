"""Fine-tuning: each layer at its own rate, a new head on a copy; a linear layer on features."""

import math
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import mixlearn as ml
from experiments.nets import preact_resnet, pyramidnet
from mixlearn.methods.learner import Twin
from mixlearn.nets.taps import Tapped, WithHead
from mixlearn.train.finetune import LayerDecay, layer_groups, linear_layer, with_new_head
from mixlearn.train.schedules import cosine
from tests.refused import refusals, refused
from tests.seeds import seeded
from tests.sets import Blobs

quick = {"epochs": 2, "batch_size": 16, "accelerator": "cpu", "progress": False}


def small(seed: int = 0) -> nn.Module:
    return ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded(seed))


def transformer() -> nn.Module:
    return ml.nets.vit(10, size=8, patch=4, dim=12, depth=3, channels=1, generator=seeded())


def foreign() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return Tapped(torchvision.models.resnet18(num_classes=4))


def place(name: str) -> int:
    """ℓ of a parameter of a transformer of 3 layers, as the authors of the decay have it."""
    if name in ("token", "position") or name.startswith("embed"):
        return 0
    if name.startswith("layers."):
        return int(name.split(".")[1]) + 1
    return {"norm": 3, "head": 4}[name.split(".")[0]]


@pytest.mark.parametrize("decay", [0.75, 0.5, 1.0])
def test_layers_of_a_transformer(decay: float) -> None:
    net = transformer()
    groups = layer_groups(net, decay)
    assert [group.share for group in groups] == [decay ** (4 - depth) for depth in range(5)]
    named = dict(net.named_parameters())
    listed = [name for group in groups for name in group.names]
    assert sorted(listed) == sorted(named)  # each once
    for depth, group in enumerate(groups):
        assert {place(name) for name in group.names} == {depth}
        assert all(named[name] is one for name, one in zip(group.names, group.parameters, strict=True))


@pytest.mark.parametrize(
    ("make", "stages", "first", "last"),
    [
        (small, 3, {"stem"}, {"head"}),
        (partial(preact_resnet, 18, 4, width=2), 4, {"stem"}, {"head"}),
        (partial(pyramidnet, 11, 4, alpha=6), 3, {"stem"}, {"head"}),
        (foreign, 4, {"net.conv1", "net.bn1"}, {"net.fc"}),
    ],
)
def test_groups_of_residual_networks(make, stages, first, last) -> None:
    net = make()
    groups = layer_groups(net, 0.5)
    assert [group.share for group in groups] == [0.5 ** (stages + 1 - depth) for depth in range(stages + 2)]
    assert {
        name.rpartition(".")[0].removesuffix(".0").removesuffix(".1") for name in groups[0].names
    } == first
    assert {name.rpartition(".")[0] for name in groups[-1].names} == last
    for depth, group in enumerate(groups[1:-1], 1):
        starts = (f"groups.{depth - 1}.", f"net.layer{depth}.", *(["last."] if depth == stages else []))
        assert group.names and all(name.startswith(starts) for name in group.names)
    assert sum(len(group.names) for group in groups) == len(list(net.parameters()))


def test_a_network_that_predicts_by_another_head() -> None:
    net = small()
    groups = layer_groups(WithHead(net, nn.Linear(net.features, 7)), 0.5)
    plain = layer_groups(net, 0.5)
    for one, other in zip(groups[:-1], plain[:-1], strict=True):
        assert one.names == tuple(f"net.{name}" for name in other.names) and one.share == other.share
    assert groups[-1].names == ("net.head.weight", "net.head.bias", "head.weight", "head.bias")


def test_other_networks_and_decays_are_refused() -> None:
    with pytest.raises(TypeError, match="a network of ml.nets or a Tapped one, got Linear"):
        layer_groups(nn.Linear(2, 2))
    for decay in (0.0, 1.5, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"decay must lie in \(0, 1\]"):
            layer_groups(small(), decay)


@pytest.mark.parametrize("make", [small, transformer])
def test_rates_keep_their_shares_in_every_step(make) -> None:
    net, kept, seen = make(), [], []

    def optimizer(parameters):
        kept.append(LayerDecay(net, lr=0.01, decay=0.5, weight_decay=0.3)(parameters))
        return kept[0]

    class Watched(ml.learners.Plain):
        def __call__(self, *given, **options):
            seen.append([group["lr"] for group in kept[0].param_groups])
            return super().__call__(*given, **options)

    schedule = partial(cosine, warmup=0.5)
    history = ml.fit(net, Blobs(32), Watched(), optimizer=optimizer, schedule=schedule, **quick)
    owner = {
        id(one): (name, group.share)
        for group in layer_groups(net, 0.5)
        for name, one in zip(group.names, group.parameters, strict=True)
    }
    groups = kept[0].param_groups
    assert sorted(id(one) for group in groups for one in group["params"]) == sorted(owner)
    for step, rates in enumerate(seen):
        for group, rate in zip(groups, rates, strict=True):
            for one in group["params"]:
                name, share = owner[id(one)]
                assert rate == pytest.approx(0.01 * share * schedule(step, 4))
                free = one.dim() < 2 or name in ("token", "position")
                assert group["weight_decay"] == (0.0 if free else 0.3)
    assert len(seen) == 4 and history.last["rate"] == pytest.approx(0.01 * schedule(3, 4))  # the head's


def test_parameters_of_a_learner_have_the_whole_rate() -> None:
    net, own = small(), nn.Linear(3, 3)
    groups = LayerDecay(net, lr=0.01, decay=0.5)([*net.parameters(), *own.parameters()]).param_groups
    for group in groups:
        if any(one is own.weight for one in group["params"]):
            assert (group["lr"], group["weight_decay"]) == (0.01, 0.05)
    assert sum(len(group["params"]) for group in groups) == len([*net.parameters()]) + 2


@pytest.mark.parametrize("make", [small, transformer, foreign, lambda: WithHead(small(), nn.Linear(16, 3))])
def test_a_new_head_on_a_copy(make) -> None:
    net = make()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.requires_grad_(False)
    copy = with_new_head(net, 6, generator=seeded(1))
    assert copy.head.out_features == 6 and not copy.head.bias.any()
    assert copy.head.weight.std().item() == pytest.approx(0.01, rel=0.5)
    assert all(p.requires_grad for p in copy.parameters()) and not any(
        p.requires_grad for p in net.parameters()
    )
    shared = {p.data_ptr() for p in net.parameters()} & {p.data_ptr() for p in copy.parameters()}
    assert not shared
    same = {name for name, value in copy.state_dict().items() if value.shape == before[name].shape}
    assert all(torch.equal(copy.state_dict()[name], before[name]) for name in same)
    assert {name.rpartition(".")[2] for name in set(before) - same} == {"weight", "bias"}
    assert torch.equal(with_new_head(net, 6, generator=seeded(1)).head.weight, copy.head.weight)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_running_means_that_stood_still_follow_again() -> None:
    twin = Twin({"net": small()})
    copy = with_new_head(twin["net"], 4)
    norm = copy.stem[1]
    before = norm.running_mean.clone()
    copy.train()(torch.rand(4, 1, 8, 8, generator=seeded()))
    assert not torch.equal(norm.running_mean, before)
    assert twin["net"].stem[1].momentum == 0
    refused(lambda: with_new_head(nn.Flatten(), 4), "a linear layer under head, Flatten has none", TypeError)


def test_steps_are_those_of_the_definition() -> None:
    """Nesterov's momentum and a cosine, by hand, in double precision."""
    generator = seeded(3)
    features, labels = torch.randn(10, 3, generator=generator), torch.arange(10) % 3
    layer = linear_layer(features, labels, epochs=3, batch_size=4, lr=2.0, seed=5)
    draws = torch.Generator().manual_seed(5)
    weight = 0.01 * torch.randn(3, 3, generator=draws).double()
    bias, pace = torch.zeros(3).double(), [torch.zeros(3, 3).double(), torch.zeros(3).double()]
    step, total, rate = 0, 9, 2.0 * 4 / 256
    for _ in range(3):
        order = torch.randperm(10, generator=draws)
        for index in (order[:4], order[4:8], order[8:]):
            x, y = features[index].double(), F.one_hot(labels[index], 3).double()
            wrong = ((x @ weight.T + bias).softmax(1) - y) / len(index)
            slopes = [wrong.T @ x, wrong.sum(0)]
            now = rate * (1 + math.cos(math.pi * step / total)) / 2
            for k, values in enumerate((weight, bias)):
                pace[k] = 0.9 * pace[k] + slopes[k]
                values -= now * (slopes[k] + 0.9 * pace[k])
            step += 1
    assert torch.allclose(layer.weight.double(), weight, atol=1e-6)
    assert torch.allclose(layer.bias.double(), bias, atol=1e-6)


def test_standardised_features_make_their_size_no_matter() -> None:
    features, labels = torch.randn(40, 5, generator=seeded(4)), torch.arange(40) % 4
    features[:, 0] += labels
    features[:, 4] = 7.0  # never differs
    other = features * torch.tensor([1.0, 100.0, 1e-3, 5.0, 1.0]) + torch.tensor([0.0, 50.0, 0.0, -3.0, 0.0])
    kept = other.clone()
    one, two = (
        linear_layer(some, labels, epochs=5, batch_size=8, standardise=True) for some in (features, other)
    )
    assert torch.allclose(one(features), two(other), atol=1e-3)
    assert torch.equal(other, kept)
    away = (features - features.mean(0)) / features.std(0, correction=0).where(
        features.std(0) > 1e-4, torch.ones(5)
    )
    same = linear_layer(away, labels, epochs=5, batch_size=8)
    assert torch.allclose(one(features), same(away), atol=1e-4)
    assert not torch.allclose(
        linear_layer(other, labels, epochs=5, batch_size=8)(other), two(other), atol=0.1
    )


ROWS, LABELS = torch.rand(4, 2, generator=seeded()), torch.tensor([0, 1, 0, 1])


test_bad_features_are_named = refusals(
    (ROWS, LABELS, {"epochs": 0}, "epochs must be a positive integer, got 0"),
    (ROWS, LABELS, {"batch_size": 1.5}, "batch_size must be a positive integer, got 1.5"),
    (ROWS, LABELS, {"lr": -1.0}, "lr must be positive and finite, got -1.0"),
    (ROWS, LABELS[:3], {}, r"got \(4, 2\) and \(3,\)"),
    (ROWS[0], LABELS, {}, r"got \(2,\) and \(4,\)"),
    (ROWS * torch.nan, LABELS, {}, "features must be finite"),
    (ROWS, LABELS - 1, {}, "labels must be 0 or more, got -1"),
    by=lambda features, labels, options: linear_layer(features, labels, **options),
)


def test_other_mistakes_are_named() -> None:
    refused(lambda: linear_layer(ROWS, LABELS.float()), "integer class ids, got torch.float32", TypeError)
    with pytest.raises(FloatingPointError, match="beyond all bounds at lr = 1e\\+30"):
        linear_layer(1e10 * ROWS, LABELS, lr=1e30, epochs=5)
