"""Networks of published recipes: the papers' sizes, taps, mistakes."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.nets import preact_resnet, pyramidnet
from mixlearn import nets
from tests.refused import refusals
from tests.seeds import seeded

SMALL = {
    "preact": (partial(preact_resnet, 18, width=4, channels=1), (12, 6, 3, 2)),
    "pyramid": (partial(pyramidnet, 8, 5, alpha=6, bottleneck=False, channels=1), (12, 6, 3)),
}


@pytest.mark.parametrize(
    ("depth", "alpha", "bottleneck", "features"),
    [(110, 48, False, 64), (164, 270, True, 1144), (200, 240, True, 1024)],  # as printed in the paper
)
def test_pyramidnets_are_those_of_the_paper(depth: int, alpha: int, bottleneck: bool, features: int) -> None:
    with torch.device("meta"):
        net = pyramidnet(depth, 100, alpha=alpha, bottleneck=bottleneck)
    assert net.features == net.head.in_features == features
    assert len([m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]) == depth
    assert depth != 200 or round(nets.parameter_count(net) / 1e6, 1) == 26.8  # as CutMix prints it


@pytest.mark.parametrize("bottleneck", [True, False])
def test_a_pyramid_block_by_hand(bottleneck: bool) -> None:
    net = pyramidnet(11 if bottleneck else 8, 10, alpha=6, bottleneck=bottleneck).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    block = net.groups[1][0]
    x, norms, layers = torch.randn(2, block.layers[0].in_channels, 7, 8), block.norms, block.layers
    hidden = layers[1](F.relu(norms[1](layers[0](norms[0](x)))))
    expected = norms[3](layers[2](F.relu(norms[2](hidden)))) if bottleneck else norms[2](hidden)
    for row in range(4):
        for column in range(4):
            part = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((2, 3))
            expected[:, : x.shape[1], row, column] += part
    torch.testing.assert_close(block(x), expected)


def test_pyramids_widen_with_each_block() -> None:
    net = pyramidnet(29, 10, alpha=12)  # nine blocks, 4/3 a block
    widths = [block.layers[0].out_channels for group in net.groups for block in group]
    assert widths == [17, 19, 20, 21, 23, 24, 25, 27, 28]


@pytest.mark.parametrize("name", SMALL)
def test_taps_come_in_the_order_of_stages(name: str) -> None:
    make, sizes = SMALL[name]
    net, images = make().eval(), torch.randn(3, 1, 12, 12, generator=seeded())
    seen: dict[str, torch.Tensor] = {}
    plain = net(images)
    assert torch.equal(net(images, tap=lambda name, f: seen.setdefault(name, f)), plain)
    assert tuple(seen) == net.stages
    assert tuple(seen[f"stage{i + 1}"].shape[-1] for i in range(len(sizes))) == sizes
    assert seen["pool"].min() >= 0 and seen["pool"].shape == (3, net.features)


test_errors_say_what_came = refusals(
    (partial(preact_resnet, 50), "depth must be 18 or 34, got 50"),
    (partial(pyramidnet, 201), r"depth must be 9n \+ 2 with bottlenecks \(11, 20, …\), got 201"),
)
