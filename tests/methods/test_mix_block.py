"""The Mix Block against its formula written out, and the mask loss."""

import math

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from mixlearn import mask_loss


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(block, scale=0.5):
    """The same block with weights and biases that matter."""
    for parameter in block.parameters():
        parameter.data.copy_(scale * torch.randn(parameter.shape, generator=seeded(3)))
    return block


def by_formula(block, features, lam, partner, size):
    """One pair, one place and one channel after the other, in float64; nearest enlargement."""
    batch, channels, h, w = features.shape
    look, value = ((one.weight.double(), one.bias.double()) for one in (block.look, block.value))
    masks = torch.zeros(batch, 1, *size, dtype=torch.float64)
    for i in range(batch):
        first, second = (features[k].double().flatten(1) for k in (i, int(partner[i])))
        if block.embed:
            share = float(lam[i])
            first = torch.cat([first, torch.full((1, h * w), share, dtype=torch.float64)])
            second = torch.cat([second, torch.full((1, h * w), 1 - share, dtype=torch.float64)])
        queries, keys = (look[0] @ part + look[1][:, None] for part in (first, second))
        values = (value[0] @ second + value[1])[0]
        scores = torch.zeros(h * w, dtype=torch.float64)
        for p in range(h * w):
            near = torch.stack([queries[:, p] @ keys[:, q] for q in range(h * w)])
            weights = (near / math.sqrt(queries.shape[0])).softmax(0)
            scores[p] = (weights * values).sum() if block.attend else values[p]
        grid = scores.view(h, w)
        for row in range(size[0]):
            for column in range(size[1]):
                score = grid[row * h // size[0], column * w // size[1]]
                masks[i, 0, row, column] = 1 - 1 / (1 + torch.exp(-score))
    return masks


@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("attend", [True, False])
@pytest.mark.parametrize("shape", [(3, 6, 2, 2), (2, 5, 3, 2)])
def test_masks_are_the_formula(shape, attend, embed):
    block = drawn(ml.MixBlock(shape[1], embed=embed, attend=attend))
    features, partner = torch.randn(shape, generator=seeded(1)), torch.arange(shape[0]).roll(1)
    lam, size = torch.rand(shape[0], generator=seeded(2)), (4 * shape[2], 2 * shape[3])
    found = block(features, lam, partner, size)
    assert (found - by_formula(block, features, lam, partner, size)).abs().max() < 1e-6


def test_without_embedding_masks_do_not_know_lam():
    block = drawn(ml.MixBlock(4, embed=False))
    features, partner = torch.randn(2, 4, 3, 3, generator=seeded()), torch.tensor([1, 0])
    low, high = (block(features, lam, partner, (3, 3)) for lam in (0.1, 0.9))
    assert torch.equal(low, high)


def test_symmetric_masks_of_both_orders_sum_to_one():
    block = drawn(ml.MixBlock(4, symmetric=True))
    features, partner = torch.randn(2, 4, 3, 3, generator=seeded()), torch.tensor([1, 0])
    lam = torch.tensor([0.3, 0.7])
    masks = block(features, lam, partner, (6, 6))
    assert torch.allclose(masks[0] + masks[1], torch.ones(1, 6, 6), atol=1e-6)
    plain = drawn(ml.MixBlock(4))(features, lam, partner, (6, 6))
    assert (plain[0] + plain[1] - 1).abs().max() > 0.01, "the published form is not symmetric"


def test_first_masks_are_a_half():
    block = ml.MixBlock(64, generator=seeded())
    masks = block(torch.randn(4, 64, 8, 8, generator=seeded(1)), 0.2, torch.arange(4), (32, 32))
    assert (masks - 0.5).abs().max() < 0.1 and block.look.weight.std() < 0.02


def test_trained_masks_rise_with_lam():
    """After the mask loss alone has taught it, the mean share rises with λ."""
    generator = seeded()
    block, partner = ml.MixBlock(8, generator=generator), torch.arange(16).roll(1)
    features = torch.randn(16, 8, 4, 4, generator=generator)
    optimizer = torch.optim.Adam(block.parameters(), 0.02)
    for _ in range(300):
        lam = torch.rand(1, generator=generator)
        loss = mask_loss(block(features, lam, partner, (4, 4)), lam, margin=0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    means = [float(block(features, k / 10, partner, (4, 4)).detach().mean()) for k in range(11)]
    assert all(a < b for a, b in zip(means, means[1:], strict=False))
    assert means[-1] - means[0] > 0.5


def test_double_precision_stays():
    block = ml.MixBlock(4, std=0.5, generator=seeded()).double()
    features = torch.randn(3, 4, 2, 2, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    lam, partner = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), torch.tensor([1, 2, 0])
    assert block(features, lam, partner, (4, 4)).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda seen: block(seen, lam, partner, (4, 4)), features)


def test_half_precision_and_autocast_make_float_masks():
    block = drawn(ml.MixBlock(4))
    features, partner = torch.randn(2, 4, 3, 3, generator=seeded()), torch.tensor([1, 0])
    whole = block(features, 0.4, partner, (6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(features, 0.4, partner, (6, 6)), whole)
    assert block(features.half(), 0.4, partner, (6, 6)).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": torch.zeros(2, 5, 3, 3)}, r"\(B, 4, h, w\), got \(2, 5, 3, 3\)"),
        ({"features": torch.zeros(2, 4, 9)}, r"got \(2, 4, 9\)"),
        ({"size": (7, 6)}, "3 × 3 places must divide the image, got 7 × 6"),
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
        ({"partner": torch.tensor([0, 2])}, "partner must lie in 0…1 for 2 images, got 2"),
    ],
)
def test_bad_input_is_named(change, words):
    given = {
        "features": torch.zeros(2, 4, 3, 3),
        "lam": 0.5,
        "partner": torch.tensor([1, 0]),
        "size": (6, 6),
    } | change
    with pytest.raises(ValueError, match=words):
        ml.MixBlock(4)(**given)


@pytest.mark.parametrize("options", [{"channels": 1}, {"channels": 4, "mode": "cubic"}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match="reduction|mode"):
        ml.MixBlock(**options)


def test_mask_loss_is_per_image():
    masks = torch.tensor([0.9, 0.1, 0.55]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    lam = torch.tensor([0.5, 0.5, 0.5])
    assert mask_loss(masks, lam).item() == pytest.approx((0.3 + 0.3 + 0) / 3, abs=1e-6)
    whole = F.relu((masks.mean() - 0.5).abs() - 0.01).item()
    assert mask_loss(masks, lam, margin=0.01, batch_mean=True).item() == pytest.approx(whole, abs=1e-7)
