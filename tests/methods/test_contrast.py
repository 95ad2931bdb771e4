"""Losses without labels, each against its formula written out number by number; hidden patches."""

import math

import pytest
import torch

import mixlearn as ml
from experiments.rivals import hidden_patches, masked_pixel_loss
from mixlearn.methods.contrast import mixco_terms, moco_loss, nt_xent, simsiam_loss
from mixlearn.methods.patchmix import Encoded, crop_terms, patchmix, patchmix_terms
from tests.seeds import seeded


def some(seed, count=5, length=7):
    return torch.randn(count, length, generator=seeded(seed))


def cosine(a, b):
    """Of two rows, in plain numbers."""
    a, b = a.tolist(), b.tolist()
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def cross_entropy(queries, keys, target, temperature):
    """Mean over queries of −Σ target · log softmax, `target(i, j)` a function."""
    total = 0.0
    for i, query in enumerate(queries):
        scores = [cosine(query, key) / temperature for key in keys]
        every = math.log(sum(math.exp(score) for score in scores))
        total -= sum(target(i, j) * (score - every) for j, score in enumerate(scores))
    return total / len(queries)


def same(i, j):
    return float(i == j)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
def test_nt_xent_is_equation_1(temperature):
    first, second = some(1), some(2)
    rows, count, total = torch.cat([first, second]), 5, 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        below = sum(math.exp(cosine(rows[i], rows[k]) / temperature) for k in range(2 * count) if k != i)
        total -= cosine(rows[i], rows[j]) / temperature - math.log(below)
    found = nt_xent(first, second, temperature=temperature)
    assert float(found) == pytest.approx(total / (2 * count), abs=1e-6)
    assert torch.isclose(found, nt_xent(second, 3 * first, temperature=temperature))


@pytest.mark.parametrize("scaled", [True, False])
def test_moco_is_both_ways_times_twice_the_temperature(scaled):
    (q1, q2), (k1, k2) = (some(1), some(2)), (some(3), some(4))
    expected = cross_entropy(q1, k2, same, 0.3) + cross_entropy(q2, k1, same, 0.3)
    found = moco_loss((q1, q2), (k1, k2), temperature=0.3, scaled=scaled)
    assert float(found) == pytest.approx(expected * (0.6 if scaled else 1.0), abs=1e-6)


def test_simsiam_is_minus_the_mean_cosine_and_stops_gradients():
    p1, p2, z1, z2 = (some(seed).requires_grad_() for seed in range(1, 5))
    found = simsiam_loss((p1, p2), (z1, z2))
    ways = [-sum(cosine(p, z) for p, z in zip(*pair, strict=True)) / 5 for pair in ((p1, z2), (p2, z1))]
    assert float(found.detach()) == pytest.approx(sum(ways) / 2, abs=1e-6)
    found.backward()
    assert z1.grad is None and z2.grad is None
    assert all(float(p.grad.abs().max()) > 0 for p in (p1, p2))


@pytest.mark.parametrize("per_image", [True, False])
def test_mixco_asks_for_both_by_lambda(per_image):
    images = torch.rand(5, 3, 4, 4, generator=seeded())
    plan = ml.mixup(images, per_image=per_image, generator=seeded(3)).plan
    query, mixed, keys = some(1), some(2), some(4)
    terms = mixco_terms(query, mixed, keys, plan, temperature=0.3)

    def share(i, j):
        lam, partner = float(plan.lam[i]), int(plan.partner[i])
        return lam * (i == j) + (1 - lam) * (j == partner)

    assert list(terms) == ["origin", "mix_to_origin"]
    assert float(terms["origin"]) == pytest.approx(cross_entropy(query, keys, same, 0.3), abs=1e-6)
    assert float(terms["mix_to_origin"]) == pytest.approx(cross_entropy(mixed, keys, share, 0.3), abs=1e-6)
    assert list(mixco_terms(None, mixed, keys, plan)) == ["mix_to_origin"]


def shares_of(plan, patch):
    """Who supplies what of each mixture, counted patch by patch."""
    batch, (height, width) = len(plan), plan.size
    ids = torch.arange(float(batch)).view(batch, 1, 1, 1).expand(batch, 1, height, width)
    picked = ml.patchify(plan.mix(ids), patch)[:, :, 0, 0, 0]
    return [[float((picked[i] == j).float().mean()) for j in range(batch)] for i in range(batch)]


CASES = [(6, 3, 2), (5, 5, 2), (3, 3, 4), (4, 4, 2), (2, 3, 4), (7, 7, 1), (6, 16, 2)]  # B, M, patch


@pytest.mark.parametrize(("batch", "parts", "patch"), CASES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_patchmix_is_three_losses_written_out(batch, parts, patch, symmetric):
    images = torch.rand(batch, 3, 8, 8, generator=seeded())
    plans = [patchmix(images, patch=patch, parts=min(parts, (8 // patch) ** 2), generator=seeded(s)).plan
             for s in (1, 2)]  # fmt: skip
    q, qm, k, km = ([some(10 * n + v, batch) for v in (1, 2)] for n in range(4))
    found = patchmix_terms(
        *(tuple(Encoded(a, b) for a, b in zip(*sides, strict=True)) for sides in ((q, qm), (k, km))),
        tuple(plans),
        temperature=0.3,
        symmetric=symmetric,
    )
    shares = [shares_of(plan, patch) for plan in plans]

    def one_way(a, b):
        w1, w2 = shares[a], shares[b]
        return {
            "origin": cross_entropy(q[a], k[b], same, 0.3),
            "mix_to_origin": 0.5 * cross_entropy(qm[b], k[a], lambda i, j: w2[i][j], 0.3),
            "mix_to_mix": 0.5
            * cross_entropy(
                qm[b], km[a], lambda i, j: sum(x * y for x, y in zip(w2[i], w1[j], strict=True)), 0.3
            ),
        }

    expected = one_way(0, 1)
    if symmetric:
        expected = {name: (value + one_way(1, 0)[name]) / 2 for name, value in expected.items()}
    assert list(found) == list(expected) == ["origin", "mix_to_origin", "mix_to_mix"]
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, abs=1e-6, rel=1e-6), name


def test_patchmix_by_other_shares_in_each_view():
    """Where views are mixed with different numbers of images, mixtures are matched by what they share."""
    images = torch.rand(6, 3, 8, 8, generator=seeded())
    plans = tuple(patchmix(images, patch=2, parts=m, generator=seeded(m)).plan for m in (2, 3))
    (w1, w2), said = [shares_of(plan, 2) for plan in plans], Encoded(some(1, 6), some(2, 6))
    found = patchmix_terms((said, said), (said, said), plans, weight=2.0, temperature=1.0)
    expected = 2 * cross_entropy(
        said.mixed, said.mixed, lambda i, j: sum(x * y for x, y in zip(w2[i], w1[j], strict=True)), 1.0
    )
    assert float(found["mix_to_mix"]) == pytest.approx(expected, abs=1e-6)


def test_patchmix_asks_for_no_more_than_it_needs():
    plan = patchmix(torch.rand(4, 1, 4, 4), patch=2, generator=seeded()).plan
    q1, qm2, k1, km1, k2 = (some(seed, 4) for seed in range(5))
    queries, keys = (Encoded(q1), Encoded(None, qm2)), (Encoded(k1, km1), Encoded(k2))
    assert len(patchmix_terms(queries, keys, (plan, plan))) == 3
    with pytest.raises(ValueError, match="queries must hold what each term asks for"):
        patchmix_terms(queries, keys, (plan, plan), symmetric=True)
    with pytest.raises(ValueError, match="keys must hold what each term asks for"):
        patchmix_terms(queries, (Encoded(k1), Encoded(k2)), (plan, plan))


@pytest.mark.parametrize(("batch", "parts", "patch"), CASES)
def test_small_crops_ask_both_views(batch, parts, patch):
    images = torch.rand(batch, 3, 8, 8, generator=seeded())
    plans = [patchmix(images, patch=patch, parts=min(parts, (8 // patch) ** 2), generator=seeded(s)).plan
             for s in (1, 2, 3)]  # fmt: skip
    keys = some(1, batch), some(2, batch)
    crops = [Encoded(some(10 + n, batch), some(20 + n, batch)) for n in range(3)]
    found = crop_terms(crops, keys, plans, temperature=0.3)
    alone = sum(cross_entropy(crop.images, key, same, 0.3) for crop in crops for key in keys) / 3
    mixed = 0.0
    for crop, plan in zip(crops, plans, strict=True):
        w = shares_of(plan, patch)
        mixed += sum(cross_entropy(crop.mixed, key, lambda i, j, w=w: w[i][j], 0.3) for key in keys) / 3
    assert list(found) == ["crops", "mixed_crops"]
    assert float(found["crops"]) == pytest.approx(alone, abs=1e-6, rel=1e-6)
    assert float(found["mixed_crops"]) == pytest.approx(mixed, abs=1e-6, rel=1e-6)
    with pytest.raises(ValueError, match="each set of crops needs a plan, got 3 sets and 2 plans"):
        crop_terms(crops, keys, plans[:2])
    with pytest.raises(ValueError, match="crops must hold what each term asks for"):
        crop_terms([Encoded(keys[0])], keys, plans[:1])


# --------------------------------------------------------------------------------------- hidden patches
def test_pixels_of_hidden_patches_alone_count():
    images, hidden = torch.rand(3, 2, 4, 6, generator=seeded()), torch.rand(3, 6, generator=seeded(1)) < 0.5
    predicted = torch.rand(3, 6, 8, generator=seeded(2), requires_grad=True)
    total, count = 0.0, 0
    for i in range(3):
        for t in range(6):
            y, x = 2 * (t // 3), 2 * (t % 3)
            pixels = images[i, :, y : y + 2, x : x + 2].flatten().tolist()
            if hidden[i, t]:
                total += sum(abs(p - q) for p, q in zip(predicted[i, t].tolist(), pixels, strict=True))
                count += 8
    found = masked_pixel_loss(predicted, images, hidden, patch=2)
    assert float(found.detach()) == pytest.approx(total / count, abs=1e-6)
    found.backward()
    assert torch.equal(predicted.grad.abs().sum(2) > 0, hidden)


@pytest.mark.parametrize(
    ("side", "block", "ratio", "count"), [(4, 1, 0.6, 10), (8, 2, 0.6, 40), (6, 3, 0.9, 27)]
)
def test_as_many_patches_are_hidden_in_each_image_and_by_blocks(side, block, ratio, count):
    hidden = hidden_patches(200, side, ratio=ratio, block=block, generator=seeded())
    assert hidden.dtype == torch.bool and hidden.shape == (200, side**2)
    assert bool((hidden.sum(1) == count).all())
    grid = hidden.view(200, side // block, block, side // block, block)
    assert torch.equal(grid.all(4).all(2), grid.any(4).any(2))
    often = hidden.float().mean(0)
    assert bool(((often - count / side**2).abs() < 0.15).all())
    assert not torch.equal(hidden[0], hidden[1]) or not torch.equal(hidden[0], hidden[2])
    assert torch.equal(hidden, hidden_patches(200, side, ratio=ratio, block=block, generator=seeded()))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: nt_xent(x, x[:2]), r"both views must be \(B, D\), got \(3, 4\) and \(2, 4\)"),
        (lambda x: nt_xent(x, x, temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda x: nt_xent(x, x * math.nan), "features must be finite"),
        (lambda x: moco_loss((x, x), (x, x), temperature=-1.0), "temperature must be positive, got -1.0"),
        (lambda x: moco_loss((x, x), (x[:2], x)), "each query needs a key of its own"),
        (lambda x: simsiam_loss((x, x), (x, x[:, :2])), r"both must be \(B, D\)"),
        (lambda x: simsiam_loss((x * 0, x), (x, x)), "predictions must be finite and not of length 0"),
        (lambda x: hidden_patches(2, 4, ratio=1.0), r"ratio must lie in \(0, 1\), got 1.0"),
        (lambda x: hidden_patches(2, 4, block=3), "block must divide the 4 patches of a row"),
        (lambda x: hidden_patches(2, 4, block=4), "into 2 or more, got 4"),
        (
            lambda x: masked_pixel_loss(x, torch.rand(1, 1, 4, 4), torch.ones(1, 4), patch=2),
            r"expected predicted \(1, 4, 4\) and hidden \(1, 4\)",
        ),
        (
            lambda x: masked_pixel_loss(
                torch.rand(1, 4, 4), torch.rand(1, 1, 4, 4), torch.zeros(1, 4).bool(), patch=2
            ),
            "at least one patch must be hidden, got none",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(some(1, 3, 4))
