"""Networks: parameter counts and outputs of torchvision and timm, taps, initial weights."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from mixlearn import nets


def _published(depth: int) -> nn.Module:
    return getattr(torchvision.models, f"resnet{depth}")(num_classes=100)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_parameters_are_torchvisions_with_either_stem(depth: int) -> None:
    theirs = _published(depth)
    assert nets.parameter_count(nets.resnet(depth, 100, stem=nets.imagenet_stem)) == nets.parameter_count(
        theirs
    )
    small = nn.Conv2d(3, 64, 3, bias=False)
    expected = nets.parameter_count(theirs) - theirs.conv1.weight.numel() + small.weight.numel()
    assert nets.parameter_count(nets.resnet(depth, 100)) == expected


@pytest.mark.parametrize("depth", [18, 50])
def test_same_weights_give_torchvisions_logits(depth: int) -> None:
    theirs = _published(depth).eval()
    ours = nets.resnet(depth, 100, stem=nets.imagenet_stem).eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_vit_is_timms() -> None:
    theirs = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=48, depth=3, num_heads=3, num_classes=7
    ).eval()
    ours = nets.vit(7, size=16, patch=4, dim=48, depth=3, heads=3).eval()
    assert nets.parameter_count(ours) == nets.parameter_count(theirs)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_small_family_counts_its_layers() -> None:
    for depth in (8, 14, 20):
        net = nets.resnet(depth, width=4)
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
        assert len(layers) - len(shortcuts) == depth
        assert net.features == 16


def _all() -> list[tuple[nn.Module, torch.Tensor]]:
    return [
        (nets.resnet(8, width=4, channels=1), torch.randn(3, 1, 12, 10)),
        (nets.resnet(50, width=4, stem=nets.imagenet_stem), torch.randn(3, 3, 32, 32)),
        (nets.preact_resnet(18, width=4), torch.randn(3, 3, 8, 8)),
        (nets.vit(10, size=8, patch=4, dim=12, depth=2), torch.randn(3, 3, 8, 8)),
        (nets.mlp(2, (8, 8), 10), torch.randn(3, 2)),
    ]


@pytest.mark.parametrize("case", range(5))
def test_taps_come_in_the_order_of_stages_and_may_replace(case: int) -> None:
    net, images = _all()[case]
    net.eval()
    seen: dict[str, torch.Tensor] = {}

    def read(name: str, features: torch.Tensor) -> torch.Tensor:
        seen[name] = features
        return features

    plain = net(images)
    assert torch.equal(net(images, tap=read), plain)
    assert tuple(seen) == net.stages
    assert seen["input"].numel() == images.numel()
    for stage in net.stages:
        swapped = net(images, tap=lambda name, f, at=stage: f.flip(0) if name == at else f)
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-4, atol=1e-5)


def test_a_transformer_reads_positions_between_the_learnt_ones() -> None:
    net = nets.vit(4, size=16, patch=2, dim=12, depth=1, any_size=True, generator=torch.Generator()).double()
    images = torch.rand(2, 3, 16, 16).double()
    assert torch.equal(net._positions(images), net.position)
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    with torch.no_grad():  # positions that say where they are: read between, they still do
        net.position[0, 1:, 0], net.position[0, 1:, 1] = rows.flatten(), columns.flatten()
    found = net._positions(images[..., :8, :8])
    assert found.shape == (1, 17, 12) and torch.equal(found[:, 0], net.position[:, 0])
    middle = found[0, 1:].view(4, 4, 12)[1:3, 1:3]  # the border's are bent
    torch.testing.assert_close(middle[:, 0, 0].detach(), torch.tensor([2.5, 4.5]).double())
    torch.testing.assert_close(middle[0, :, 1].detach(), torch.tensor([2.5, 4.5]).double())
    small = torch.rand(2, 3, 8, 8).double()
    net(small).sum().backward()
    assert bool((net.position.grad[0].abs().sum(1) > 0).all()), "all positions are trained on"
    tokens = {}
    net(small, tap=lambda name, features: tokens.setdefault(name, features))
    assert net.class_attention(tokens["patches"]).shape == (2, 4, 4)


def test_weights_follow_the_generator_and_leave_the_default_one_alone() -> None:
    before = torch.get_rng_state()
    first, second, third = (
        torch.cat([p.flatten() for p in nets.resnet(8, width=4, generator=g).parameters()])
        for g in (torch.Generator().manual_seed(1), torch.Generator().manual_seed(1), torch.Generator())
    )
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(before, torch.get_rng_state())


def test_zero_init_makes_each_block_the_identity_at_first() -> None:
    net = nets.resnet(8, width=4, zero_init=True).eval()
    seen: dict[str, torch.Tensor] = {}
    net(torch.randn(2, 3, 8, 8), tap=lambda name, f: seen.setdefault(name, f))
    assert torch.equal(seen["stem"], seen["stage1"])
    free = nets.resnet(8, width=4).eval()
    free(torch.randn(2, 3, 8, 8), tap=lambda name, f: seen.update({name: f}) or f)
    assert not torch.equal(seen["stem"], seen["stage1"])


def test_small_images_keep_their_size_in_the_first_stage() -> None:
    sizes: dict[str, tuple[int, ...]] = {}
    net = nets.resnet(18, width=4)
    net(torch.zeros(2, 3, 32, 32), tap=lambda name, f: sizes.update({name: tuple(f.shape[2:])}) or f)
    assert sizes["stage1"] == (32, 32) and sizes["stage4"] == (4, 4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nets.resnet(19), "got 19"),
        (lambda: nets.resnet(8, width=0), "width must be a positive integer, got 0"),
        (lambda: nets.preact_resnet(50), "depth must be 18 or 34, got 50"),
        (lambda: nets.vit(size=30, patch=4), "patch must divide the image size 30, got 4"),
        (lambda: nets.vit(dim=10, heads=3), "heads must divide dim 10, got 3"),
        (lambda: nets.vit(size=8)(torch.zeros(1, 3, 9, 8)), "images must be 8 × 8"),
        (
            lambda: nets.vit(size=8, any_size=True)(torch.zeros(1, 3, 12, 8)),
            r"squares of whole patches of 4 pixels, got \(1, 3, 12, 8\)",
        ),
        (
            lambda: nets.vit(size=8, any_size=True)(torch.zeros(1, 3, 10, 10)),
            r"squares of whole patches of 4 pixels, got \(1, 3, 10, 10\)",
        ),
        (lambda: nets.mlp(0), "inputs must be at least 1, got 0"),
    ],
)
def test_errors_say_what_came(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
