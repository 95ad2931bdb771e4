"""Networks made elsewhere: their taps, their weights, and what is no such network."""

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision

import mixlearn as ml
from experiments import rivals
from mixlearn import nets
from mixlearn.methods import learners
from mixlearn.nets.taps import headed, read, staged
from tests.refused import refused
from tests.seeds import seeded

VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
MADE: dict[str, tuple[Callable[[], nets.Tapped], str, int]] = {  # with where to look, and the images' size
    "torchvision": (lambda: nets.Tapped(torchvision.models.resnet18(num_classes=5)), "stage3", 64),
    "timm": (lambda: nets.Tapped(timm.create_model("resnet10t", num_classes=5)), "stage3", 64),
    "a transformer": (
        lambda: nets.Tapped(
            timm.models.VisionTransformer(**VIT), {"half": "blocks.0", "end": "norm"}, "head"
        ),
        "half",
        16,
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_taps_come_in_the_order_of_stages_and_may_replace(name: str) -> None:
    make, half, size = MADE[name]
    net, images = make().eval(), torch.randn(3, 3, size, size, generator=seeded())
    plain = net.net(images)
    logits, features = read(net, images, *net.stages)
    assert torch.equal(net(images), plain) and torch.equal(logits, plain) and tuple(features) == net.stages
    assert torch.equal(net.head(features["pool"]), plain) and features["pool"].shape == (3, net.features)
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)
    assert staged(net, images, half).dim() == 4  # a pass that ends early leaves no tap behind
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_stages_are_torchvisions_layers() -> None:
    net, images = MADE["torchvision"][0]().eval(), torch.randn(2, 3, 64, 64, generator=seeded())
    body = net.net
    hidden = body.maxpool(body.relu(body.bn1(body.conv1(images))))
    assert torch.equal(staged(net, images, "stage3"), body.layer3(body.layer2(body.layer1(hidden))))


@pytest.mark.parametrize("name", ["torchvision", "a transformer"])
def test_automix_trains_on_it(name: str) -> None:
    make, stage, size = MADE[name]
    net, images = make(), torch.randn(3, 3, size, size, generator=seeded())
    learner = learners.AutoMix(net, stage=stage, image_size=size, momentum=0.5, generator=seeded())
    terms = learner(net, images, torch.tensor([0, 1, 4]), generator=seeded())
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for p in (*net.parameters(), *learner.block.parameters()))
    learner.after_step(net)
    assert learner.deployed(net)(images).shape == (3, 5)
    assert headed(net, learner.mix_head, images).shape == (3, 5)


def test_what_is_no_such_network_is_named() -> None:
    with pytest.raises(ValueError, match="VisionTransformer has no module 'maxpool'"):
        nets.Tapped(timm.models.VisionTransformer(**VIT))
    with pytest.raises(ValueError, match="must be a linear layer, 'norm' is LayerNorm"):
        nets.Tapped(timm.models.VisionTransformer(**VIT), {}, "norm")


IDS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    "learn",
    [
        lambda net, x: learners.MixSKD(net),
        lambda net, x: rivals.BYOT(net),
        lambda net, x: learners.AutoMix(net, image_size=16),
        lambda net, x: learners.MixingInside(ml.mixup, ["stage1"], num_classes=4)(net, x, IDS),
        lambda net, x: learners.DDGSD(ml.augment.crop_and_flip)(net, x, IDS),
        lambda net, x: learners.MoCo(net),
        lambda net, x: learners.PatchMix(net),
        lambda net, x: ml.feature_attention(net, x),
    ],
)
def test_a_network_made_elsewhere_is_told_how_to_get_taps(learn: Callable[..., object]) -> None:
    for net in (torchvision.models.resnet18(), timm.models.VisionTransformer(**VIT)):
        words = rf"needs a network with .*got {type(net).__name__}; .*ml\.nets\.Tapped"
        with pytest.raises(TypeError, match=words):
            learn(net, torch.rand(3, 3, 16, 16))


def test_other_refusals_name_the_network_that_was_wrapped() -> None:
    with pytest.raises(TypeError, match=r"a linear layer `head`, got ResNet; .*ml\.nets\.Tapped"):
        rivals.Averaged(torchvision.models.resnet18())
    tapped = nets.Tapped(timm.models.VisionTransformer(**VIT), {"block1": "blocks.0"}, "head")
    refused(lambda: learners.MixSKD(tapped), "a residual network or a ViT, got VisionTransformer", TypeError)
