"""Wide residual networks and ResNeXt: the published sizes, torchvision's outputs, taps, mistakes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from experiments.nets import resnext, wide_resnet
from mixlearn import nets
from tests.seeds import seeded

SMALL = {
    "wide": (partial(wide_resnet, 10, 5, width=2, channels=1), (12, 6, 3)),
    "resnext": (partial(resnext, 50, 5, groups=2, group_width=1, width=2, channels=1), (12, 6, 3, 2)),
}


@pytest.mark.parametrize(
    ("depth", "width", "millions"),
    [(40, 4, 8.9), (28, 10, 36.5), (28, 8, 23.4)],  # the paper's; the last as others count it
)
def test_parameters_are_the_papers(depth: int, width: int, millions: float) -> None:
    with torch.device("meta"):
        net = wide_resnet(depth, 10, width=width)
    assert round(nets.parameter_count(net) / 1e6, 1) == millions
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    # The stem, 6n, the three shortcuts that widen, and the head, which the paper's 6n + 4 leaves out.
    assert len(layers) == depth + 1 and len(shortcuts) == 3 and net.features == 64 * width


def test_resnext_has_torchvisions_parameters_and_logits() -> None:
    theirs = torchvision.models.resnext50_32x4d(num_classes=100).eval()
    ours = resnext(50, 100, stem=nets.imagenet_stem).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64, generator=seeded())
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
    with torch.device("meta"):
        deep = resnext(101, 100, group_width=8, stem=nets.imagenet_stem)
        large = torchvision.models.resnext101_32x8d(num_classes=100)
    assert nets.parameter_count(deep) == nets.parameter_count(large)


@pytest.mark.parametrize("name", SMALL)
def test_taps_come_in_the_order_of_stages_and_may_replace(name: str) -> None:
    make, sizes = SMALL[name]
    net, images = make().eval(), torch.randn(3, 1, 12, 12, generator=seeded())
    seen: dict[str, torch.Tensor] = {}
    plain = net(images)
    assert torch.equal(net(images, tap=lambda name, f: seen.setdefault(name, f)), plain)
    assert tuple(seen) == net.stages
    assert tuple(seen[f"stage{i + 1}"].shape[-1] for i in range(len(sizes))) == sizes
    assert seen["pool"].min() >= 0 and seen["pool"].shape == (3, net.features)
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(wide_resnet, 27), r"depth must be 6n \+ 4 .* got 27"),
        (partial(wide_resnet, 10, width=0), "width must be a positive integer, got 0"),
        (partial(resnext, 34), "depth must be 50 or 101, got 34"),
    ],
)
def test_errors_say_what_came(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
