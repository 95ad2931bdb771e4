"""PyramidNet: the published sizes, its blocks by hand, taps, drops and mistakes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mixlearn import nets
from mixlearn.nets.drops import ShakeDrop, survivals


def _images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("depth", "alpha", "millions"),
    [(200, 240, 26.8), (110, 64, 1.7)],  # as printed in the CutMix paper, both with bottlenecks
)
def test_parameters_are_cutmixs(depth: int, alpha: int, millions: float) -> None:
    net = nets.pyramidnet(depth, 100, alpha=alpha)
    assert round(nets.parameter_count(net) / 1e6, 1) == millions


@pytest.mark.parametrize(
    ("depth", "alpha", "bottleneck", "features"),
    [
        (110, 48, False, 64),
        (110, 84, False, 100),
        (110, 270, False, 286),
        (164, 48, True, 256),
        (164, 270, True, 1144),
        (200, 240, True, 1024),
        (236, 220, True, 944),
        (272, 200, True, 864),
    ],
)
def test_last_features_are_those_of_the_paper(
    depth: int, alpha: int, bottleneck: bool, features: int
) -> None:
    with torch.device("meta"):
        net = nets.pyramidnet(depth, 10, alpha=alpha, bottleneck=bottleneck)
    assert net.features == net.head.in_features == features
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


def test_the_width_grows_by_the_same_step_and_is_rounded_when_used() -> None:
    net = nets.pyramidnet(29, 10, alpha=12)  # nine blocks, 4/3 a block
    widths = [block.layers[0].out_channels for group in net.groups for block in group]
    assert widths == [17, 19, 20, 21, 23, 24, 25, 27, 28]


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_block_by_hand(bottleneck: bool) -> None:
    net = nets.pyramidnet(11 if bottleneck else 8, 10, alpha=6, bottleneck=bottleneck).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    block = net.groups[1][0]
    x = _images(2, block.layers[0].in_channels, 7, 8)
    norms, layers = block.norms, block.layers
    hidden = layers[1](F.relu(norms[1](layers[0](norms[0](x)))))
    hidden = norms[3](layers[2](F.relu(norms[2](hidden)))) if bottleneck else norms[2](hidden)
    expected = hidden.clone()
    for row in range(4):
        for column in range(4):
            part = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((2, 3))
            expected[:, : x.shape[1], row, column] += part
    torch.testing.assert_close(block(x), expected)
    assert block.layers[1 if bottleneck else 0].stride == (2, 2)


@pytest.mark.parametrize("bottleneck", [True, False])
def test_taps_come_in_the_order_of_stages_and_may_replace(bottleneck: bool) -> None:
    net = nets.pyramidnet(11 if bottleneck else 8, 5, alpha=6, bottleneck=bottleneck, channels=1).eval()
    images = _images(3, 1, 12, 10)
    seen: dict[str, torch.Tensor] = {}
    plain = net(images)
    assert plain.shape == (3, 5)
    assert torch.equal(net(images, tap=lambda name, f: seen.setdefault(name, f)), plain)
    assert tuple(seen) == net.stages == ("input", "stem", "stage1", "stage2", "stage3", "pool")
    assert [tuple(seen[f"stage{i}"].shape[2:]) for i in (1, 2, 3)] == [(12, 10), (6, 5), (3, 3)]
    assert seen["stem"].min() < 0 and seen["pool"].min() >= 0
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)


def test_each_block_has_its_survival_and_shakes_in_training_only() -> None:
    net = nets.pyramidnet(20, 10, alpha=6, drop=ShakeDrop, drop_survival=0.4)
    found = [m.survival for m in net.modules() if isinstance(m, ShakeDrop)]
    assert found == survivals(6, 0.4)
    assert list(net.state_dict()) == list(nets.pyramidnet(20, 10, alpha=6).state_dict())
    images = _images(4, 3, 8, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outs = [net(images) for _ in range(8)]
    assert any(not torch.equal(outs[0], out) for out in outs)
    outs[0].square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    net.eval()
    assert torch.equal(net(images), net(images))


def test_weights_follow_the_generator_and_leave_the_default_one_alone() -> None:
    before = torch.get_rng_state()
    first, second, third = (
        torch.cat([p.flatten() for p in nets.pyramidnet(11, 10, alpha=6, generator=g).parameters()])
        for g in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1), torch.Generator())
    )
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nets.pyramidnet(110, bottleneck=False, alpha=-1), "alpha must be .* got -1"),
        (lambda: nets.pyramidnet(201), r"depth must be 9n \+ 2 with bottlenecks \(11, 20, …\), got 201"),
        (lambda: nets.pyramidnet(200, bottleneck=True, num_classes=0), "num_classes must be .* got 0"),
        (lambda: nets.pyramidnet(2), "got 2"),
        (lambda: nets.pyramidnet(11, bottleneck=False), r"depth must be 6n \+ 2 without .* got 11"),
        (lambda: nets.pyramidnet(11, channels=0), "channels must be a positive integer, got 0"),
        (
            lambda: nets.pyramidnet(11, drop=ShakeDrop, drop_survival=0),
            "the last survival must be a probability",
        ),
    ],
)
def test_errors_say_what_came(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
