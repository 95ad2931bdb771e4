"""k-Mixup, C-Mixup and GuidedMixup: who is mixed, each against its formula or the authors' procedure."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torchvision.transforms.functional import gaussian_blur

import mixlearn as ml
from mixlearn.methods.guidedmixup import blurred, unlike
from mixlearn.methods.kmixup import closest
from tests.refused import refused
from tests.seeds import seeded

IMAGES, IDS = torch.rand(14, 3, 16, 16, generator=seeded()), torch.arange(14) % 4


# ----------------------------------------------------------------------------------------------- k-Mixup
@pytest.mark.parametrize("k", [1, 2, 4, 7, 9, 14, 99])
def test_kmixup_deals_each_group_its_partners_at_least_cost(k):
    drawn = ml.sample_partner(14, generator=seeded(5))
    found = closest(IMAGES, drawn, k)
    for start in range(0, 14, k):
        mine = slice(start, min(start + k, 14))
        assert found[mine].sort().values.equal(drawn[mine].sort().values)
        apart = (IMAGES[mine, None] - IMAGES[None, drawn[mine]]).double().square().sum((2, 3, 4))
        rows, columns = linear_sum_assignment(apart.numpy())
        paid = (IMAGES[mine] - IMAGES[found[mine]]).double().square().sum()
        assert float(paid) == pytest.approx(float(apart[rows, columns].sum()), rel=1e-5)
    mixed = ml.kmixup(IMAGES, IDS, num_classes=4, k=k, generator=seeded(5))
    assert torch.equal(mixed.plan.partner, found)
    same = ml.mixup(IMAGES, IDS, num_classes=4, lam=mixed.plan.lam, partner=found)
    assert torch.equal(mixed.images, same.images) and torch.equal(mixed.targets, same.targets)


def test_kmixup_of_one_is_mixup_and_of_the_batch_mixes_nothing():
    one, known = (
        method(IMAGES, generator=seeded(3)) for method in (lambda x, **o: ml.kmixup(x, k=1, **o), ml.mixup)
    )
    assert torch.equal(one.images, known.images)
    assert torch.equal(ml.kmixup(IMAGES, k=14, generator=seeded(3)).plan.partner, torch.arange(14))
    many = torch.rand(320, 1, 4, 4, generator=seeded(1))
    alone = [ml.kmixup(many, k=32, generator=seeded(s)).plan.partner == torch.arange(320) for s in range(8)]
    assert abs(float(torch.stack(alone).float().mean()) - 32 / 320) < 0.02, "k / B find themselves"


# ---------------------------------------------------------------------------------------------- C-Mixup
def test_cmixup_draws_partners_by_a_gaussian_kernel_of_the_labels():
    labels = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [5.0, 5.0]], dtype=torch.float64)
    images, h, counts = torch.zeros(4, 1), 1.5, torch.zeros(4, 4)
    for seed in range(4000):
        counts[
            torch.arange(4), ml.cmixup(images, labels, bandwidth=h, generator=seeded(seed)).plan.partner
        ] += 1
    odds = torch.tensor(
        [[float(torch.exp(-((a - b) ** 2).sum() / (2 * h**2))) for b in labels] for a in labels]
    )
    assert torch.allclose(counts / 4000, odds / odds.sum(1, keepdim=True), atol=0.025)


def test_cmixup_is_mixup_with_those_partners():
    labels = torch.randn(14, 1, generator=seeded(1))
    mixed = ml.cmixup(IMAGES, labels, bandwidth=0.2, per_image=True, generator=seeded(2))
    partner, lam = mixed.plan.partner, mixed.plan.lam[:, None]
    assert torch.allclose(mixed.targets, lam * labels + (1 - lam) * labels[partner], atol=1e-6)
    assert torch.equal(mixed.images, ml.mixup(IMAGES, lam=mixed.plan.lam, partner=partner).images)
    assert float((labels - labels[partner]).abs().mean()) < 0.25
    known = ml.cmixup(IMAGES, labels, lam=0.3, partner=list(range(13, -1, -1)))
    assert torch.allclose(known.targets, 0.3 * labels + 0.7 * labels.flip(0), atol=1e-6)
    net, learner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 1)), None
    learner = ml.learners.Mixing(ml.cmixup, loss=F.mse_loss)
    expected = ml.cmixup(IMAGES, labels, generator=seeded(4))
    loss = learner(net, IMAGES, labels, generator=seeded(4))["mixed_labels"]
    assert torch.allclose(loss, F.mse_loss(net(expected.images), expected.targets))


def test_what_cmixup_refuses():
    for labels in (IDS, IDS.float(), IDS[:9, None].float()):
        refused(
            lambda labels=labels: ml.cmixup(IMAGES, labels),
            r"labels must be real numbers \(14, D\).* got torch",
        )
    refused(
        lambda: ml.cmixup(IMAGES, IDS[:, None].float(), bandwidth=0.0), r"bandwidth must lie in \(0, inf\)"
    )


# ------------------------------------------------------------------------------------------ GuidedMixup
def released_cycle(apart):
    """The pairing of the authors' code, in numpy: a greedy cycle through all images."""
    apart, count = apart.copy(), len(apart)
    np.fill_diagonal(apart, -np.inf)
    row, column = divmod(int(apart.argmax()), count)
    first, partner = row, np.zeros(count, int)
    partner[row] = column
    apart[:, row] = -np.inf
    for _ in range(count - 2):
        row, column = column, int(apart[column].argmax())
        partner[row] = column
        apart[:, row] = -np.inf
    partner[column] = first
    return partner


def test_guidedmixup_pairs_and_weighs_as_released():
    for count in (1, 2, 3, 14):
        maps = torch.rand(count, 1, 16, 16, generator=seeded(count)) ** 4
        soft = gaussian_blur(maps, [7, 7], [3.0, 3.0])
        assert torch.allclose(blurred(maps), soft, atol=1e-6)
        soft = soft / soft.sum((2, 3), keepdim=True)
        if count > 1:
            apart = (soft[:, None] - soft[None]).flatten(2).norm(dim=2).numpy()
            assert unlike(soft).tolist() == released_cycle(apart).tolist()
        partner = unlike(soft)
        own = soft / (soft + soft[partner])
        found = ml.guidedmixup(IMAGES[:count], IDS[:count], num_classes=4, saliency=maps)
        assert torch.allclose(found.images, own * IMAGES[:count] + (1 - own) * IMAGES[partner], atol=1e-5)
        rows, share = ml.one_hot(IDS[:count], 4), own.mean((1, 2, 3))[:, None]
        assert torch.allclose(found.targets, share * rows + (1 - share) * rows[partner], atol=1e-5)
    drawn = ml.guidedmixup(IMAGES, greedy=False, generator=seeded(6)).plan.partner
    assert torch.equal(drawn, ml.sample_partner(14, generator=seeded(6)))
    assert ml.guidedmixup(IMAGES, partner=[3] * 14).plan.partner.tolist() == [3] * 14


def test_guidedmixup_halves_what_neither_looks_at_and_takes_a_networks_gradient():
    maps = torch.zeros(2, 1, 16, 16)
    maps[0, 0, :2, :2] = maps[1, 0, 14:, 14:] = 1.0
    plan = ml.guidedmixup(IMAGES[:2], saliency=maps).plan
    own = plan.masks[0, 0, 0]
    assert own[0, 0] == 1 and own[15, 15] == 0 and own[0, 15] == 0.5
    net = ml.nets.resnet(8, 4, width=4, generator=seeded(1)).eval()
    loss = ml.learners.Guided(ml.guidedmixup, num_classes=4)(net, IMAGES, IDS)["mixed_labels"]
    mixed = ml.guidedmixup(IMAGES, IDS, num_classes=4, saliency=ml.gradient_saliency(net, IMAGES, IDS))
    assert torch.allclose(loss, ml.soft_cross_entropy(net(mixed.images), mixed.targets))


# ------------------------------------------------------------------------------------------------ SMMix
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_smmix_lays_the_most_attended_square_over_the_least(size):
    images, attention = IMAGES[..., :12], torch.rand(14, 4, 3, generator=seeded(2))  # patches of 4 × 4 pixels
    side, grid = (size / 3, size / 3), [(r, c) for r in range(5 - size) for c in range(4 - size)]
    if size == 4:
        refused(lambda: ml.smmix(images, attention=attention, side=side), r"0 < least ≤ most ≤ 1, got \(1.33")
        return
    mixed = ml.smmix(images, IDS, attention=attention, num_classes=4, side=side, generator=seeded(9))
    partner, share = mixed.plan.partner.tolist(), 1 - size**2 / 12
    for i, j in enumerate(partner):
        inside = [
            {at: float(attention[k, at[0] : at[0] + size, at[1] : at[1] + size].sum()) for at in grid}
            for k in (i, j)
        ]
        (r, c), (u, v) = min(grid, key=inside[0].get), max(grid, key=inside[1].get)
        expected = images[i].clone()
        long = 4 * size
        expected[:, 4 * r : 4 * r + long, 4 * c : 4 * c + long] = images[
            j, :, 4 * u : 4 * u + long, 4 * v : 4 * v + long
        ]
        assert torch.equal(mixed.images[i], expected)
    rows = ml.one_hot(IDS, 4)
    assert torch.allclose(mixed.targets, share * rows + (1 - share) * rows[partner], atol=1e-6)
    assert torch.allclose(mixed.plan.masks.mean((2, 3, 4)), mixed.plan.weights, atol=1e-6)


def test_smmix_draws_one_side_for_the_batch_and_refuses_maps_of_other_grids():
    attention = torch.rand(14, 8, 8, generator=seeded())
    sides = [
        round(float(8 * (1 - ml.smmix(IMAGES, attention=attention, generator=seeded(s)).plan.lam[0]) ** 0.5))
        for s in range(60)
    ]
    assert set(sides) == {2, 3, 4, 5, 6}
    for wrong in (attention[:9], attention[:, :5], attention[:, None]):
        refused(
            lambda wrong=wrong: ml.smmix(IMAGES, attention=wrong), r"attention must have shape \(14, n, m\)"
        )


def test_smmix_learner_is_the_three_losses_of_the_release():
    net = ml.nets.vit(4, size=16, patch=4, dim=12, depth=3, heads=2, generator=seeded(1)).eval()
    torch.nn.init.normal_(net.head.weight, generator=seeded(2))
    found = ml.learners.SMMix(4, odds=1.0, smoothing=0.1)(net, IMAGES, IDS, generator=seeded(3))
    kept = {}
    clean = net(IMAGES, tap=lambda name, z: kept.setdefault(name, z)).detach()
    q, k, _ = net.layers[2].attended(kept["block2"])
    weights = (q @ k.mT / 6**0.5).softmax(-1)  # (B, heads, 17, 17)
    attention = weights[:, :, 1:, 1:].mean((1, 2)).unflatten(1, (4, 4)).detach()
    g = seeded(3)
    torch.rand((), generator=g)
    mixed = ml.smmix(IMAGES, IDS, attention=attention, num_classes=4, generator=g)
    lam, partner, kept = mixed.plan.lam[:, None], mixed.plan.partner, {}
    logits = net(mixed.images, tap=lambda name, z: kept.setdefault(name, z))
    assert torch.allclose(found["mixed_labels"], ml.soft_cross_entropy(logits, ml.smooth(mixed.targets, 0.1)))
    p_hat = (lam * clean + (1 - lam) * clean[partner]).softmax(1)
    apart = (p_hat * (p_hat.log() - logits.log_softmax(1))).sum(1).mean()
    assert torch.allclose(found["consistency"], apart, atol=1e-6) and apart > 1e-4
    tokens, patches = net.norm(kept["block3"])[:, 1:], mixed.plan.masks[:, :, 0, ::4, ::4].flatten(2).bool()
    both = []
    for part, ids in ((0, IDS), (1, IDS[partner])):
        means = torch.stack([tokens[i][patches[part, i]].mean(0) for i in range(14)])
        both.append(F.cross_entropy(net.head(means), ids, label_smoothing=0.1))
    assert torch.allclose(found["parts"], sum(both) / 2, atol=1e-6)
    mixup = ml.learners.SMMix(4, odds=0.0)(net, IMAGES, IDS, generator=seeded(3))
    assert mixup["parts"] == mixup["consistency"] == 0
    known = ml.mixup(IMAGES, IDS, num_classes=4, alpha=0.8, generator=ahead(3))
    assert torch.allclose(mixup["mixed_labels"], ml.soft_cross_entropy(net(known.images), known.targets))
    resnet = ml.nets.resnet(8, 4, width=4)
    refused(lambda: ml.learners.SMMix(4)(resnet, IMAGES, IDS), "patch_attention, .* got ResNet", TypeError)


def ahead(seed):
    """A generator after the learner's draw of how to mix."""
    generator = seeded(seed)
    torch.rand((), generator=generator)
    return generator


@pytest.mark.parametrize(
    "learner", [ml.learners.SMMix(4, odds=1.0), ml.learners.Guided(ml.guidedmixup)], ids=repr
)
def test_its_terms_are_as_named_and_reach_every_weight(learner):
    net = ml.nets.vit(4, size=16, patch=4, dim=12, depth=2, heads=2, generator=seeded())
    terms = learner(net, IMAGES, ml.one_hot(IDS, 4), generator=seeded(1))
    assert tuple(terms) == learner.term_names and all(term > 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in net.parameters())
