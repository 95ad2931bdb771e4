"""Networks: parameter counts and outputs of torchvision, timm and the papers, taps, initial weights."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from mixlearn import nets
from mixlearn.nets.taps import read
from tests.refused import refusals
from tests.seeds import seeded


def _published(depth: int) -> nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")(num_classes=100)


@pytest.mark.parametrize("depth", [18, 50])
def test_same_weights_give_torchvisions_logits(depth: int) -> None:
    theirs = _published(depth).eval()
    ours = nets.resnet(depth, 100, stem=nets.imagenet_stem).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64, generator=seeded())
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
    assert nets.parameter_count(ours) == nets.parameter_count(theirs)
    less = nets.parameter_count(theirs) - 64 * 3 * (49 - 9)  # 3 × 3 in place of 7 × 7
    assert nets.parameter_count(nets.resnet(depth, 100)) == less


def test_vit_is_timms() -> None:
    theirs = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=48, depth=3, num_heads=3, num_classes=7
    ).eval()
    ours = nets.vit(7, size=16, patch=4, dim=48, depth=3, heads=3).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 16, 16, generator=seeded())
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_small_families_count_their_layers() -> None:
    net = nets.resnet(20, width=4)
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(layers) - len(shortcuts) == 20 and net.features == 16


ALL = {
    "resnet": (lambda g=None: nets.resnet(8, width=4, channels=1, generator=g), (1, 12, 10)),
    "resnet50": (lambda g=None: nets.resnet(50, width=4, stem=nets.imagenet_stem, generator=g), (3, 32, 32)),
    "vit": (lambda g=None: nets.vit(10, size=8, patch=4, dim=12, depth=2, generator=g), (3, 8, 8)),
    "mlp": (lambda g=None: nets.mlp(2, (8, 8), 10, generator=g), (2,)),
}


@pytest.mark.parametrize("name", ALL)
def test_taps_come_in_the_order_of_stages_and_may_replace(name: str) -> None:
    make, shape = ALL[name]
    net, images = make().eval(), torch.randn(3, *shape)
    plain = net(images)
    logits, features = read(net, images, *net.stages)
    assert torch.equal(logits, plain) and tuple(features) == net.stages
    assert features["input"].numel() == images.numel()
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_weights_follow_the_generator_and_leave_the_default_one_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, second, third = (
        torch.cat([p.flatten() for p in ALL[name][0](g).parameters()]) for g in map(seeded, (1, 1, 2))
    )
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("zero_init", [True, False])
def test_zero_init_makes_each_block_the_identity_at_first(zero_init: bool) -> None:
    net = nets.resnet(8, width=4, zero_init=zero_init).eval()
    features = read(net, torch.randn(2, 3, 8, 8), "stem", "stage1")[1]
    assert torch.equal(features["stem"], features["stage1"]) == zero_init


def test_a_transformer_reads_positions_between_the_learnt_ones() -> None:
    net = nets.vit(4, size=16, patch=2, dim=12, depth=1, any_size=True).double()
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    with torch.no_grad():  # positions that say where they are: read between, they still do
        net.position[0, 1:, 0], net.position[0, 1:, 1] = rows.flatten(), columns.flatten()
    small = torch.rand(2, 3, 8, 8).double()
    positions = net._positions(small)
    middle = positions[0, 1:].view(4, 4, 12)[1:3, 1:3]  # the border's are bent
    torch.testing.assert_close(middle[:, 0, 0].detach(), torch.tensor([2.5, 4.5]).double())
    torch.testing.assert_close(middle[0, :, 1].detach(), torch.tensor([2.5, 4.5]).double())
    logits, features = read(net, small, "patches")
    logits.sum().backward()
    assert bool((net.position.grad[0].abs().sum(1) > 0).all()), "all positions are trained on"
    assert net.class_attention(features["patches"]).shape == (2, 4, 4)


test_errors_say_what_came = refusals(
    (lambda: nets.resnet(19), "got 19"),
    (lambda: nets.resnet(8, width=0), "width must be at least 1, got 0"),
    (lambda: nets.vit(size=30, patch=4), "patch must divide the image size 30, got 4"),
    (lambda: nets.vit(dim=10, heads=3), "heads must divide dim 10, got 3"),
    (lambda: nets.vit(size=8)(torch.zeros(1, 3, 9, 8)), "images must be 8 × 8"),
    (lambda: nets.vit(size=8, any_size=True)(torch.zeros(1, 3, 12, 8)), "whole patches of 4 pixels"),
    (lambda: nets.mlp(0), "inputs must be at least 1, got 0"),
)
