"""The mask studio's network: folded, packed in half precision, shipped, and its score by hand."""

import pytest
import torch
from torch import nn

import mixlearn as ml
from mixlearn.nets.resnet import resnet
from mixlearn.page.studio_net import FILE, folded, mask_score, packed, studio_facts, studio_net, unpacked


def busy(net):
    """The network with running statistics and scales that are not those of a new one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -1, 1),
                (module.running_mean, -1, 1),
                (module.running_var, 0.5, 2),
            ):
                nn.init.uniform_(value.data, low, high)
    return net.eval()


@pytest.mark.parametrize("width", [4, 12])
def test_folding_changes_nothing(width):
    net, images = busy(resnet(8, 5, width=width)), torch.randn(4, 3, 32, 32)
    found = folded(net)
    assert torch.allclose(found(images), net(images), atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())  # the given one is unchanged


def test_folding_refuses_other_networks():
    with pytest.raises(ValueError, match="basic blocks, got Bottleneck"):
        folded(resnet(50, 2, width=4))
    with pytest.raises(ValueError, match="stem for small images"):
        folded(resnet(18, 2, width=4, stem=ml.nets.imagenet_stem))


def test_a_file_holds_the_network_in_half_precision():
    net = folded(busy(resnet(8, 5, width=4)))
    data = packed(net, "abcde", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    found, facts = unpacked(data)
    for name, value in net.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.half().float()), name
    assert facts.classes == tuple("abcde") and facts.std == (0.2, 0.25, 0.3) and facts.width == 4
    with pytest.raises(ValueError, match=rf"must take (\d+) bytes after the header, got {len(data)}|got \d+"):
        unpacked(data + b"xx")


def test_the_network_that_ships(designers):
    assert FILE.stat().st_size <= 120_000
    facts = studio_facts()
    data = ml.data.load("emoji")
    assert facts.classes == data.classes and facts.mean == data.mean and facts.std == data.std
    net = studio_net()
    assert not net.training and all(torch.equal(p, p.half().float()) for p in net.parameters())
    assert float(ml.measure.evaluate(net, designers)["accuracy"]) > 0.6


def test_the_score_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 9.0, 0.0]]).double()
    p = logits.softmax(1)
    targets = torch.tensor([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]]).double()
    divergence = 0.75 * (0.75 / p[0, 0]).log() + 0.25 * (0.25 / p[0, 1]).log()
    expected = torch.stack([100 * torch.exp(-divergence), 100 * p[1, 1]])  # one class: its own probability
    assert torch.allclose(mask_score(logits, targets), expected)
    assert mask_score(targets[:1].clamp_min(1e-30).log(), targets[:1]).item() == pytest.approx(100)
