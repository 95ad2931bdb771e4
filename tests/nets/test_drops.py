"""Stochastic depth and ShakeDrop: their means, gradients, sources of draws, and places in a network."""

from functools import partial

import pytest
import torch

from experiments.nets import preact_resnet, pyramidnet
from mixlearn import nets
from mixlearn.nets.drops import ShakeDrop, StochasticDepth, survivals
from mixlearn.nets.taps import read
from tests.refused import refusals
from tests.seeds import seeded

BOTH = pytest.mark.parametrize("make", [StochasticDepth, ShakeDrop])


@BOTH
def test_the_mean_in_training_is_the_output_at_test(make) -> None:
    branch = torch.tensor([[1.0, -2.0]]).expand(4, 2)
    drop = make(0.3, generator=seeded())
    draws = torch.stack([drop(branch) for _ in range(5_000)])
    # Five standard errors of the mean; no factor's deviation is above 1, one draw of b serves four images.
    torch.testing.assert_close(draws.mean((0, 1)), drop.eval()(branch)[0], rtol=0, atol=2 * 5 / 5_000**0.5)
    assert torch.equal(drop(branch), branch * 0.3)


def test_stochastic_depth_keeps_or_drops_whole_images() -> None:
    branch = torch.randn(5000, 2, 3, 3, generator=seeded(1)).requires_grad_()
    out = StochasticDepth(0.7, generator=seeded())(branch)
    out.sum().backward()
    stays = (out != 0).flatten(1).any(1)
    assert torch.equal(out, branch * stays.view(-1, 1, 1, 1))
    assert torch.equal(branch.grad, stays.float().view(-1, 1, 1, 1).expand_as(branch))
    assert abs(float(stays.float().mean()) - 0.7) < 5 * (0.21 / 5000) ** 0.5


def _factors(survival: float, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What ShakeDrop multiplies images and their gradients by, one pair an image."""
    branch = torch.ones(count, 2, 1, 1, requires_grad=True)
    out = ShakeDrop(survival, generator=generator)(branch)
    out.sum().backward()
    assert torch.equal(out[:, 0], out[:, 1])
    return out.detach()[:, 0].flatten(), branch.grad[:, 0].flatten()


def test_shakedrop_goes_ahead_by_alpha_and_back_by_beta() -> None:
    ahead, back = _factors(1e-9, 20_000, seeded())
    assert -1 <= ahead.min() < -0.99 and 0.99 < ahead.max() <= 1
    assert 0 <= back.min() < 0.01 and 0.99 < back.max() <= 1
    # Means 0 and 1/2, variances 1/3 and 1/12, no correlation: each within five standard errors.
    assert abs(float(ahead.mean())) < 5 * (1 / 3 / 20_000) ** 0.5
    assert abs(float(back.mean()) - 0.5) < 5 * (1 / 12 / 20_000) ** 0.5
    assert abs(float(torch.corrcoef(torch.stack([ahead, back]))[0, 1])) < 5 / 20_000**0.5


def test_shakedrop_draws_b_once_a_batch() -> None:
    generator, whole = seeded(), 0
    for _ in range(400):
        ahead, back = _factors(0.6, 3, generator)
        survived = bool((ahead == 1).all())
        assert survived == bool((back == 1).all()) == bool((ahead == 1).any())
        whole += survived
    assert abs(whole / 400 - 0.6) < 5 * (0.24 / 400) ** 0.5


@BOTH
def test_draws_come_from_the_generator_or_from_torchs_own(make) -> None:
    branch, drop = torch.ones(64, 1), make(0.4, generator=seeded())
    before = torch.get_rng_state()
    first = [drop(branch) for _ in range(8)]
    assert torch.equal(before, torch.get_rng_state())
    drop.generator = seeded()
    assert all(torch.equal(drop(branch), one) for one in first)
    free = make(0.4)
    torch.manual_seed(5)
    once = [free(branch) for _ in range(8)]
    torch.manual_seed(5)
    assert all(torch.equal(free(branch), one) for one in once)


@BOTH
@pytest.mark.parametrize(
    "build",
    [
        lambda **drop: nets.resnet(18, width=4, **drop),
        lambda **drop: preact_resnet(18, width=4, **drop),
        lambda **drop: pyramidnet(20, 10, alpha=6, **drop),
    ],
)
def test_each_block_has_its_survival_and_one_generator_serves_all(make, build) -> None:
    images, outs = torch.randn(4, 3, 8, 8, generator=seeded()), []
    for seed in (0, 0, 1):
        drop = partial(make, generator=seeded(seed))
        net = build(drop=drop, drop_survival=0.2, generator=seeded())
        chances = [m.survival for m in net.modules() if isinstance(m, make)]
        outs.append(net(images))
    assert chances == survivals(len(chances), 0.2) and len(chances) in (6, 8)
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    assert list(net.state_dict()) == list(build().state_dict())


@BOTH
def test_a_resnet_adds_the_branch_after_its_drop(make) -> None:
    net = nets.resnet(8, width=4, drop=make).eval()
    seen = read(net, torch.randn(2, 3, 8, 8, generator=seeded()), "stem", "stage1")[1]
    block = net.groups[0][0]
    branch = block.last_norm(block.second(torch.relu(block.first_norm(block.first(seen["stem"])))))
    torch.testing.assert_close(seen["stage1"], torch.relu(seen["stem"] + branch * survivals(3)[0]))


test_errors_say_what_came = refusals(
    (lambda: StochasticDepth(0), r"survival must be a probability in \(0, 1\], got 0"),
    (lambda: ShakeDrop(float("nan")), "got nan"),
    (lambda: nets.resnet(8, drop=ShakeDrop, drop_survival=2), "the last survival must be a probability"),
)
