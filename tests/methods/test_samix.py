"""SAMix: its block against the formula, the bend of λ, masks of the right size, and its loss."""

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from mixlearn.methods.learners import SAMix
from mixlearn.methods.samix import SAMixBlock, adjusted, bent


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_block_is_the_formula():
    block = SAMixBlock(4, generator=seeded())
    for parameter in block.parameters():
        parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=seeded(1)))
    block.eval()
    features, partner = torch.randn(3, 4, 2, 2, generator=seeded(2)), torch.tensor([2, 0, 1])
    lam = torch.tensor([0.2, 0.5, 0.9])
    found = block(features, lam, partner, (8, 8))
    for i in range(3):
        share = (4 / 3 * lam[i] ** 3 - 2 * lam[i] ** 2 + 1.25 * lam[i]) / (1.25 - 2 / 3)
        own = features[i].flatten(1).T * (1 + share)
        other = features[partner[i]].flatten(1).T * (2 - share)
        queries, keys = (
            torch.cat([own, other], 1) @ one.weight.T + one.bias for one in (block.look, block.key)
        )
        hidden = block.norm(other @ block.hidden.weight.T + block.hidden.bias)
        values = F.elu(hidden) @ block.value.weight.T + block.value.bias
        scores = ((queries @ keys.T / 2**0.5).softmax(1) @ values).view(1, 1, 2, 2)
        mask = 1 - F.interpolate(scores, size=(8, 8), mode="bilinear").sigmoid()
        assert (found[i : i + 1] - mask).abs().max() < 1e-6


def test_the_bend_keeps_its_fixed_points_and_both_sides_alike():
    lam = torch.linspace(0, 1, 101, dtype=torch.float64)
    curve = bent(lam)
    assert (curve.diff() > 0).all() and torch.allclose(curve + curve.flip(0), torch.ones(101).double())
    assert torch.allclose(bent(lam, 1e9), lam, atol=1e-8)


@pytest.mark.parametrize("wanted", [0.0, 0.01, 0.4, 0.97, 1.0])
def test_adjusted_masks_have_the_mean_and_stay_masks(wanted):
    masks = torch.rand(5, 1, 6, 4, generator=seeded())
    before = masks.clone()
    found = adjusted(masks, torch.tensor([wanted]))
    assert torch.allclose(found.mean((1, 2, 3)), torch.full((5,), wanted), atol=1e-5)
    assert found.min() >= 0 and found.max() <= 1 and torch.equal(masks, before)


def test_the_mask_loss_rewards_decided_masks_and_odds_adjust():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = SAMix(net, stage="stage2", image_size=16, adjust=1.0)
    grey, decided = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0.0, 1.0]).repeat(2, 1, 4, 2)
    lam = torch.tensor([0.5])
    assert float(learner._mask_term(grey, lam)) == 0
    assert float(learner._mask_term(decided, lam)) == pytest.approx(0.1 * -2 * 0.25)
    images, labels = torch.rand(6, 3, 16, 16, generator=seeded()), torch.arange(6) % 4
    learner(net, images, labels, generator=seeded(1))
    masks = learner._taught(torch.randn(6, 8, 8, 8), torch.tensor([0.3]), torch.arange(6), (16, 16))
    assert torch.allclose(masks.mean((1, 2, 3)), torch.full((6,), 0.3), atol=1e-5)


def test_bad_odds_are_named():
    with pytest.raises(ValueError, match=r"adjust must lie in \[0, 1\], got 2"):
        SAMix(ml.nets.resnet(8, 4, width=4), stage="stage2", image_size=16, adjust=2)
