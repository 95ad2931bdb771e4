"""DivideMix's split, Remix and UniMix: each against the released procedure, written out."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import mixlearn as ml
from tests.refused import refusals, refused
from tests.seeds import seeded

IMAGES, IDS = torch.rand(12, 3, 8, 8, generator=seeded()), torch.tensor([0, 0, 0, 1, 2, 0, 0, 1, 3, 0, 0, 0])
COUNTS = [900, 300, 299, 10]


# --------------------------------------------------------------------------------------------- DivideMix
def gaussian_mixture(losses, rng):
    """scikit-learn's GaussianMixture of two components as DivideMix calls it, k-means first."""
    x = losses.astype(np.float64)
    x = (x - x.min()) / (x.max() - x.min())
    centres = rng.choice(np.unique(x), 2, replace=False)
    for _ in range(300):
        near = np.abs(x[:, None] - centres).argmin(1)
        centres = np.array([x[near == k].mean() for k in (0, 1)])
    resp, bound = np.eye(2)[near], -np.inf

    def maximised(resp):
        n = resp.sum(0)
        mean = resp.T @ x / n
        return n / len(x), mean, np.array([resp[:, k] @ (x - mean[k]) ** 2 / n[k] for k in (0, 1)]) + 5e-4

    def logs(parts):
        share, mean, variance = parts
        return np.log(share) - 0.5 * np.log(2 * np.pi * variance) - (x[:, None] - mean) ** 2 / (2 * variance)

    parts = maximised(resp)
    for _ in range(10):
        each = logs(parts)
        norm = np.logaddexp(each[:, 0], each[:, 1])
        parts, before, bound = maximised(np.exp(each - norm[:, None])), bound, norm.mean()
        if abs(bound - before) < 1e-2:
            break
    each = logs(parts)
    return np.exp(each - np.logaddexp(each[:, 0], each[:, 1])[:, None])[:, parts[1].argmin()]


def losses_of(seed, wrong=0.3, n=400):
    """Losses of which a share is of wrong labels, and which those are."""
    g = seeded(seed)
    bad = torch.rand(n, generator=g) < wrong
    return torch.where(bad, 3 + torch.randn(n, generator=g), 0.4 * torch.randn(n, generator=g).abs()), bad


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("wrong", [0.2, 0.5, 0.7])
def test_clean_probability_is_the_releases_gaussian_mixture(seed, wrong):
    losses, bad = losses_of(seed, wrong)
    found = ml.clean_probability(losses)
    expected = gaussian_mixture(losses.numpy(), np.random.default_rng(seed))
    assert torch.allclose(found, torch.as_tensor(expected).float(), atol=1e-5)
    assert found.dtype == torch.float32 and ((found > 0.5) != bad).float().mean() > 0.93


def test_clean_probability_knows_neither_order_nor_unit_and_draws_nothing():
    losses, _ = losses_of(7)
    found, state = ml.clean_probability(losses), torch.get_rng_state()
    order = torch.randperm(400, generator=seeded())
    assert torch.allclose(
        ml.clean_probability(losses[order].double() * 7 - 2).float(), found[order], atol=1e-5
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert ml.clean_probability(torch.tensor([0.0, 1.0])).round().tolist() == [1, 0]


def test_refined_labels_are_equations_3_and_4_and_zeros_elsewhere():
    clean = torch.tensor([1.0, 0.8, 0.51, 0.5, 0.0])
    p, labels = torch.rand(5, 3, generator=seeded()).softmax(1), torch.tensor([0, 1, 2, 0, 1])
    for given in (labels, ml.one_hot(labels, 3)):
        found = ml.refine_labels(given, clean, p, temperature=0.5)
        for i in range(3):
            mean = clean[i] * ml.one_hot(labels, 3)[i] + (1 - clean[i]) * p[i]
            assert torch.allclose(found[i], mean**2 / (mean**2).sum(), atol=1e-6)
        assert found[3:].count_nonzero() == 0
    kept = ml.refine_labels(labels, clean, p, threshold=0.0)
    assert kept.sum(1).round(decimals=5).tolist() == [1, 1, 1, 1, 0]


def test_divided_labels_train_mixmatch():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    labels = ml.refine_labels(IDS, torch.linspace(0, 1, 12), torch.full((12, 4), 0.25))
    learner = ml.learners.MixMatch(ml.augment.crop_and_flip)
    history = ml.fit(net, TensorDataset(IMAGES, labels), learner, epochs=1, batch_size=6, progress=False)
    assert {"mixed_labels", "guessed"} <= set(history.last)


test_what_the_split_refuses = refusals(
    (lambda: ml.clean_probability(torch.ones(3)), "losses must be finite and differ, got 1 to 1"),
    (lambda: ml.clean_probability(torch.tensor([0.0, torch.nan])), "finite and differ, got nan"),
    (lambda: ml.clean_probability(torch.tensor([0.0, torch.inf])), "finite and differ, got 0 to inf"),
    (lambda: ml.clean_probability(torch.ones(0)), "finite and differ"),
    (lambda: ml.clean_probability(torch.ones(3, 2)), r"losses must be \(N,\) float, got \(3, 2\)"),
    (lambda: ml.clean_probability(torch.arange(3)), r"got \(3,\) torch.int64; F.cross_entropy"),
    (
        lambda: ml.refine_labels(IDS, torch.ones(12), torch.ones(11, 4)),
        r"must be \(N,\) and \(N, C\), got \(12,\) and \(11, 4\)",
    ),
    (lambda: ml.refine_labels(IDS, torch.ones(12), torch.ones(12, 3)), r"labels must lie in 0…2"),
    (
        lambda: ml.refine_labels(IDS, torch.ones(12), torch.ones(12, 4), threshold=2.0),
        r"threshold must lie in \[0, 1\], got 2.0",
    ),
)


# ------------------------------------------------------------------------------------------------- Remix
@pytest.mark.parametrize(("kappa", "tau"), [(3.0, 0.5), (2.0, 0.8), (100.0, 0.5), (3.0, 0.0)])
@pytest.mark.parametrize("mix", [ml.mixup, ml.cutmix], ids=["mixup", "cutmix"])
def test_remix_gives_the_label_to_the_rarer_class_by_the_papers_three_cases(mix, kappa, tau):
    """As ntucllab/imbalanced-DL has it, pair by pair."""
    seen = set()
    for seed in range(12):
        known = mix(IMAGES, IDS, num_classes=4, per_image=True, generator=seeded(seed))
        mixed = ml.remix(
            IMAGES, IDS, counts=COUNTS, mix=mix, kappa=kappa, tau=tau, per_image=True, generator=seeded(seed)
        )
        assert torch.equal(mixed.images, known.images)
        assert torch.equal(mixed.plan.masks, known.plan.masks)
        for i, j in enumerate(known.plan.partner.tolist()):
            ratio, lam = COUNTS[IDS[i]] / COUNTS[IDS[j]], float(known.plan.lam[i])
            share = 0.0 if ratio >= kappa and lam < tau else lam
            share = 1.0 if ratio <= 1 / kappa and 1 - lam < tau else share
            seen.add("moved" if share != lam else "kept")
            row = share * ml.one_hot(IDS, 4)[i] + (1 - share) * ml.one_hot(IDS, 4)[j]
            assert torch.allclose(mixed.targets[i], row, atol=1e-6)
            assert float(mixed.plan.lam[i]) == pytest.approx(share, abs=1e-6)
    assert ("moved" in seen) == (tau > 0 and kappa < 90) and "kept" in seen


def test_remix_and_unimix_train_and_are_taken_by_a_random_mix():
    for method in (ml.remix, ml.unimix):
        one = partial(method, counts=COUNTS)
        mix = ml.RandomMix([one, ml.cutmix], num_classes=4)
        net = ml.nets.resnet(8, 4, width=4)
        for way in (one, mix):
            assert ml.learners.Mixing(way, num_classes=4 if way is one else None)(net, IMAGES, IDS)
        before = IMAGES.clone(), IDS.clone()
        first, again = (one(IMAGES, IDS, generator=seeded(3)) for _ in range(2))
        assert torch.equal(first.images, again.images) and torch.equal(first.targets, again.targets)
        assert torch.equal(IMAGES, before[0]) and torch.equal(IDS, before[1])


# ------------------------------------------------------------------------------------------------ UniMix
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_balanced_partners_have_the_releases_odds(power):
    many = IDS.repeat(2000)
    for counts in (COUNTS, None):
        drawn = ml.balanced_partner(many, counts=counts, power=power, generator=seeded(1))
        size = torch.tensor(COUNTS if counts else many.bincount().tolist(), dtype=torch.float64)
        odds = (size[many] ** -power).double()  # numpy.power(cls_num[labels], τ), τ = −power
        shares = torch.zeros(4, dtype=torch.float64).scatter_add_(0, many, odds / odds.sum())
        assert torch.allclose(many[drawn].bincount(minlength=4) / len(many), shares.float(), atol=0.012)
    if power == 1.0:
        assert torch.allclose(shares, torch.full((4,), 0.25, dtype=torch.float64))


def test_unimix_is_the_releases_factor_and_sampler():
    g = seeded(4)
    partner = ml.balanced_partner(IDS, counts=COUNTS, power=0.5, generator=g)
    beta = ml.sample_lam(12, 0.8, generator=g)
    mixed, lam = ml.unimix(IMAGES, IDS, counts=COUNTS, generator=seeded(4)), []
    for i, j in enumerate(partner.tolist()):
        n_i, n_j = COUNTS[IDS[i]], COUNTS[IDS[j]]
        t = float(beta[i]) + n_j / (n_i + n_j)
        lam.append(t - 1 if t > 1 else t)
    own = torch.tensor(lam)[:, None, None, None]
    assert torch.allclose(mixed.images, own * IMAGES + (1 - own) * IMAGES[partner], atol=1e-6)
    rows, own = ml.one_hot(IDS, 4), own.view(-1, 1)
    assert torch.allclose(mixed.targets, own * rows + (1 - own) * rows[partner], atol=1e-6)


def test_what_they_refuse():
    for method in (ml.remix, ml.unimix):
        for counts, labels, words in (
            ([1, 2], IDS, r"labels must lie in 0…1 \(num_classes=2\), got 3"),
            (
                [[1, 2, 3, 4]],
                IDS,
                r"class ids \(B,\) and counts \(C,\), got \(12,\) and \(1, 4\); labels.bin",
            ),
            (COUNTS, ml.one_hot(IDS, 4), r"class ids \(B,\) and counts \(C,\), got \(12, 4\) and \(4,\)"),
        ):
            refused(lambda m=method, c=counts, y=labels: m(IMAGES, y, counts=c), words)
        words = r"counts \(5,\), got \(12,\) and \(4,\)"
        refused(lambda m=method: m(IMAGES, IDS, counts=COUNTS, num_classes=5), words)
        refused(lambda m=method: m(IMAGES, IDS, counts=COUNTS, alpha=0.0), "alpha must be positive")
    refused(lambda: ml.remix(IMAGES, IDS, counts=COUNTS, kappa=0.5), r"kappa must lie in \[1, inf\), got 0.5")
    refused(lambda: ml.remix(IMAGES, IDS, counts=COUNTS, tau=2.0), r"tau must lie in \[0, 1\], got 2.0")
    refused(lambda: ml.remix(IMAGES, IDS, counts=COUNTS, mix=ml.ricap), "plans of two parts, got 4")
    refused(lambda: ml.balanced_partner(IDS, power=-1.0), r"power must lie in \[0, inf\), got -1.0")
    refused(lambda: ml.unimix(IMAGES, IDS, counts=COUNTS, partner=[0]), r"partner must have shape \(12,\)")
