"""Networks made elsewhere: their taps, their weights, and what is no such network."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision

import mixlearn as ml
from mixlearn import nets
from mixlearn.methods import learners
from mixlearn.methods.learners import AutoMix
from mixlearn.nets.taps import headed, staged
from tests.seeds import seeded

VIT = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}


def made() -> list[tuple[nets.Tapped, str, torch.Tensor]]:
    """A network of torchvision, two of timm; where to look; images."""
    small, large = (torch.randn(3, 3, size, size, generator=seeded()) for size in (16, 64))
    return [
        (nets.Tapped(torchvision.models.resnet18(num_classes=5)), "stage3", large),
        (nets.Tapped(timm.create_model("resnet10t", num_classes=5)), "stage3", large),
        (
            nets.Tapped(timm.models.VisionTransformer(**VIT), {"half": "blocks.0", "end": "norm"}, "head"),
            "half",
            small,
        ),
    ]


@pytest.mark.parametrize("case", range(3))
def test_taps_come_in_the_order_of_stages_and_may_replace(case: int) -> None:
    net, _, images = made()[case]
    net.eval()
    seen: dict[str, torch.Tensor] = {}
    plain = net.net(images)
    assert torch.equal(net(images), plain)
    assert torch.equal(net(images, tap=lambda name, f: seen.setdefault(name, f)), plain)
    assert tuple(seen) == net.stages
    assert torch.equal(net.head(seen["pool"]), plain) and seen["pool"].shape == (3, net.features)
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)


def test_stages_are_torchvisions_layers() -> None:
    net, _, images = made()[0]
    net.eval()
    body = net.net
    hidden = body.maxpool(body.relu(body.bn1(body.conv1(images))))
    expected = body.layer3(body.layer2(body.layer1(hidden)))
    assert torch.equal(staged(net, images, "stage3"), expected)


@pytest.mark.parametrize("case", range(3))
def test_a_pass_that_ends_early_leaves_no_tap_behind(case: int) -> None:
    net, stage, images = made()[case]
    assert staged(net, images, stage).dim() == 4
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("case", range(3))
def test_automix_trains_on_it(case: int) -> None:
    net, stage, images = made()[case]
    learner = AutoMix(net, stage=stage, image_size=images.shape[-1], momentum=0.5, generator=seeded())
    terms = learner(net, images, torch.tensor([0, 1, 4]), generator=seeded())
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad is not None for p in learner.block.parameters())
    learner.after_step(net)
    assert learner.deployed(net)(images).shape == (3, 5)
    assert headed(copy.deepcopy(net), learner.mix_head, images).shape == (3, 5)


def test_torchvisions_weights_are_taken_but_for_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = torchvision.models.resnet18()
    asked: list[str] = []

    def get(url: str, *args: object, **options: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        return learnt.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", get)
    net = nets.torchvision_resnet("resnet18", 7, generator=seeded(1))
    assert len(asked) == 1 and asked[0].endswith("resnet18-f37072fd.pth")  # of ImageNet, the first version
    assert net.head.out_features == 7 and net.head.weight.std() < 0.02 and not net.head.bias.any()
    for name, value in learnt.state_dict().items():
        assert name.startswith("fc.") or torch.equal(net.net.state_dict()[name], value)


def test_new_weights_follow_the_generator_and_leave_the_default_one_alone() -> None:
    before = torch.get_rng_state()
    made = [nets.torchvision_resnet("resnet18", 3, weights=None, generator=seeded(k)) for k in (1, 1, 2)]
    first, second, third = (torch.cat([p.flatten() for p in net.parameters()]) for net in made)
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_no_such_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="residual networks, got 'vgg11'"):
        nets.torchvision_resnet("vgg11", weights=None)
    with pytest.raises(ValueError, match="Unknown model resnet19"):
        nets.torchvision_resnet("resnet19", weights=None)
    with pytest.raises(ValueError, match="resnet18 has no weights 'MINE'"):
        nets.torchvision_resnet("resnet18", weights="MINE")
    with pytest.raises(ValueError, match="VisionTransformer has no module 'maxpool'"):
        nets.Tapped(timm.models.VisionTransformer(**VIT))
    with pytest.raises(ValueError, match="must be a linear layer, 'norm' is LayerNorm"):
        nets.Tapped(timm.models.VisionTransformer(**VIT), {}, "norm")

    def offline(*args: object, **options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConnectionError, match=r"\(no route\); put their file into .*checkpoints"):
        nets.torchvision_resnet("resnet18")


FOREIGN = {"resnet": torchvision.models.resnet18, "vit": lambda: timm.models.VisionTransformer(**VIT)}
IDS = torch.tensor([0, 1, 2])


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(
    "learn",
    [
        lambda net, x: learners.MixSKD(net),
        lambda net, x: learners.BYOT(net),
        lambda net, x: learners.AutoMix(net, image_size=x.shape[-1]),
        lambda net, x: learners.SAMix(net, image_size=x.shape[-1]),
        lambda net, x: learners.MixingInside(ml.mixup, ["stage1"], num_classes=4)(net, x, IDS),
        lambda net, x: learners.DDGSD(ml.augment.crop_and_flip)(net, x, IDS),
        lambda net, x: learners.SimCLR(net),
        lambda net, x: learners.MoCo(net),
        lambda net, x: learners.SimSiam(net),
        lambda net, x: learners.MixCo(net),
        lambda net, x: learners.PatchMix(net),
        lambda net, x: ml.feature_attention(net, x),
    ],
)
def test_a_network_made_elsewhere_is_told_how_to_get_taps(kind: str, learn: Callable[..., object]) -> None:
    net = FOREIGN[kind]()
    with pytest.raises(
        TypeError, match=rf"needs a network with .*got {type(net).__name__}; .*ml\.nets\.Tapped"
    ):
        learn(net, torch.rand(3, 3, 16, 16))


def test_other_refusals_name_the_network_that_was_wrapped() -> None:
    with pytest.raises(TypeError, match=r"a linear layer `head`, got ResNet; .*ml\.nets\.Tapped"):
        learners.Averaged(torchvision.models.resnet18())
    tapped = nets.Tapped(timm.models.VisionTransformer(**VIT), {"block1": "blocks.0"}, "head")
    for learner in (learners.MixSKD, learners.BYOT):
        with pytest.raises(TypeError, match="a residual network or a ViT, got VisionTransformer"):
            learner(tapped)
