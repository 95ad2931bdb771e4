"""ICT and MixMatch: each term by the release's formula, written out, and labels that are missing."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import mixlearn as ml
from mixlearn.methods.ict import partner_within
from mixlearn.methods.learners import ICT, MixMatch
from tests.refused import refusals, refused
from tests.seeds import seeded

IMAGES = torch.rand(10, 3, 8, 8, generator=seeded())
LABELS = torch.tensor([0, -100, 3, -100, -100, 1, 2, -100, -100, -100])
KNOWN = LABELS >= 0
SOFT = ml.one_hot(LABELS, 4, ignore_index=-100)


def net(seed=1):
    return ml.nets.resnet(8, 4, width=4, generator=seeded(seed)).eval()


def noise(images, *, generator=None):
    """A view: the images under a little noise."""
    return images + 0.1 * torch.randn(images.shape, generator=generator)


def test_partners_stay_within_their_group_and_any_permutation_there_is_as_likely():
    counts = torch.zeros(10, 10)
    for seed in range(1500):
        partner = partner_within(KNOWN, generator=seeded(seed))
        assert torch.equal(KNOWN[partner], KNOWN) and torch.equal(partner.sort().values, torch.arange(10))
        counts[torch.arange(10), partner] += 1
    same = (KNOWN[:, None] == KNOWN).float()
    assert torch.allclose(counts / 1500, same / same.sum(1, keepdim=True), atol=0.05)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.25, 0.9])
def test_ict_is_the_releases_two_losses(progress):
    student, learner = net(), ICT(net(2), weight=100.0)
    learner.advance(progress)
    learner.twin.eval()["net"].eval()
    before = IMAGES.clone()
    terms = learner(student, IMAGES, LABELS, generator=seeded(5))
    g = seeded(5)
    partner = partner_within(KNOWN, generator=g)
    lam = float(ml.sample_lam(1, 1.0, generator=g))
    mixed = lam * IMAGES + (1 - lam) * IMAGES[partner]
    logits, answers = student(mixed), learner.deployed(student)(IMAGES)
    supervised = [
        lam * F.cross_entropy(logits[i : i + 1], LABELS[i : i + 1])
        + (1 - lam) * F.cross_entropy(logits[i : i + 1], LABELS[partner[i]].view(1))
        for i in KNOWN.nonzero().flatten().tolist()
    ]
    assert torch.allclose(terms["mixed_labels"], sum(supervised) / 4, atol=1e-5)
    target = lam * answers + (1 - lam) * answers[partner]
    squared = F.mse_loss(logits.softmax(1), target.softmax(1), reduction="sum") / 4 / 10  # classes, images
    rise = 1.0 if progress >= 0.25 else math.exp(-5 * (1 - progress / 0.25) ** 2)
    assert torch.allclose(terms["consistency"], 100 * rise * squared, rtol=1e-4, atol=1e-7)
    assert torch.equal(IMAGES, before)
    soft = learner(student, IMAGES, SOFT, generator=seeded(5))
    assert all(torch.allclose(soft[name], terms[name]) for name in terms)


def test_icts_gradient_reaches_the_student_alone_and_its_twin_follows():
    student, learner = net(), ICT(net(2), momentum=0.75, mix=ml.cutmix, ramp=0.0)
    sum(learner(student, IMAGES, LABELS, generator=seeded(1)).values()).backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in student.parameters())
    assert all(weight.grad is None for weight in learner.parameters())
    twin, before = learner.twin["net"].head.weight, learner.twin["net"].head.weight.clone()
    learner.after_step(student)
    assert torch.allclose(twin, 0.75 * before + 0.25 * student.head.weight)


def by_hand(student, labels, generator, views=2, align=None):
    """MixMatch's two terms, before weights, row by row as the paper has them."""
    shown = [noise(IMAGES, generator=generator) for _ in range(views)]
    mine, others = [i for i in range(10) if labels[i] >= 0], [i for i in range(10) if labels[i] < 0]
    rows, targets = [shown[0][i] for i in mine], [F.one_hot(labels[i], 4).float() for i in mine]
    for view in shown:
        for i in others:
            p = torch.stack([student(v[i : i + 1]).softmax(1)[0] for v in shown]).mean(0)
            p = p if align is None else p * align / (p * align).sum()
            rows.append(view[i])
            targets.append((p**2 / (p**2).sum()).detach())  # T = ½
    lam = ml.sample_lam(len(rows), 0.75, generator=generator)
    partner = ml.sample_partner(len(rows), generator=generator).tolist()
    cross, squared = [], []
    for i, j in enumerate(partner):
        share = max(lam[i], 1 - lam[i])
        z = student((share * rows[i] + (1 - share) * rows[j])[None])[0]
        target = share * targets[i] + (1 - share) * targets[j]
        if i < len(mine):
            cross.append(-(target * z.log_softmax(0)).sum())
        else:
            squared.append((target - z.softmax(0)).square().mean())
    return [sum(part) / max(1, len(part)) for part in (cross, squared)]


@pytest.mark.parametrize("labels", [LABELS, LABELS.clamp(min=0), torch.full_like(LABELS, -100)])
@pytest.mark.parametrize("views", [1, 3])
def test_mixmatch_is_the_papers_two_losses(labels, views):
    student, learner = net(), MixMatch(noise, views=views, labelled=int((labels >= 0).sum()))
    for progress, rise in ((0.0, 0.0), (1 / 128, 0.5), (0.5, 1.0)):
        learner.advance(progress)
        terms = learner(student, IMAGES, labels, generator=seeded(6))
        cross, squared = by_hand(student, labels, seeded(6), views)
        assert torch.allclose(terms["mixed_labels"], torch.as_tensor(cross), atol=1e-5)
        assert torch.allclose(terms["guessed"], 75 * rise * torch.as_tensor(squared), atol=1e-5)
    soft = MixMatch(noise, views=views, ramp=0.0)(
        student, IMAGES, ml.one_hot(labels, 4, ignore_index=-100), generator=seeded(6)
    )
    assert all(torch.allclose(soft[name], terms[name]) for name in terms)
    sum(terms.values()).backward()
    assert all(weight.grad.isfinite().all() for weight in student.parameters())


def test_remixmatchs_alignment_divides_by_the_last_128_mean_guesses():
    student, learner, g = net(), MixMatch(noise, prior=[10, 20, 30, 40], ramp=0.0), seeded(7)
    seen = [torch.full((4,), 0.25)] * 128
    for step in range(3):
        now = g.clone_state()
        shown = [noise(IMAGES, generator=now) for _ in range(2)]
        mean = sum(student(view[~KNOWN]).softmax(1) for view in shown) / 2
        align = (1e-6 + torch.tensor([0.1, 0.2, 0.3, 0.4])) / (1e-6 + torch.stack(seen[-128:]).mean(0))
        cross, squared = by_hand(student, LABELS, g.clone_state(), align=align)
        terms = learner(student, IMAGES, LABELS, generator=g)
        assert torch.allclose(terms["guessed"], 75 * squared, atol=1e-5), step
        assert torch.allclose(terms["mixed_labels"], cross, atol=1e-5)
        seen.append(mean.mean(0).detach())
    assert (
        torch.allclose(learner.seen, torch.stack(seen[-128:]), atol=1e-6) and "seen" in learner.state_dict()
    )


@pytest.mark.parametrize(
    "make", [ICT, lambda model: MixMatch(ml.augment.crop_and_flip, prior=torch.ones(4), ramp=0.1)]
)
def test_fit_takes_labels_that_are_missing_as_ids_or_as_rows_of_zeros(make):
    for labels in (LABELS, SOFT):
        student = ml.nets.resnet(8, 4, width=4, generator=seeded())
        learner = make(student)
        history = ml.fit(
            student, TensorDataset(IMAGES, labels), learner, epochs=2, batch_size=4, progress=False
        )
        assert set(learner.term_names) <= set(history.last) and math.isfinite(history.last["loss"])
        assert isinstance(learner.deployed(student), nn.Module)


def test_words_name_the_settings_so_that_a_checkpoint_knows_them():
    assert "ICT(\n  mixup, weight=9.0, ramp=0.25\n" in repr(ICT(net(), weight=9.0))
    words = "views=3, temperature=0.5, alpha=0.75, weight=75.0, ramp=0.015625, labelled=None, prior=None"
    assert repr(MixMatch(noise, views=3)) == f"MixMatch(noise, {words})"


def test_batches_without_a_label_and_other_counts_than_said():
    none = torch.full_like(LABELS, -100)
    student, learner = net(), ICT(net(), ramp=0.0)
    terms = learner(student, IMAGES, none, generator=seeded())
    sum(terms.values()).backward()
    assert terms["mixed_labels"] == 0 and all(w.grad.isfinite().all() for w in student.parameters())
    words = "expected 3 labels a batch, got 4; labelled=None counts"
    refused(lambda: MixMatch(noise, labelled=3)(student, IMAGES, LABELS), words)
    words = "prior must have 4 numbers, one a class, got 3"
    refused(lambda: MixMatch(noise, prior=[1, 1, 1])(student, IMAGES, LABELS), words)
    for learner in (ICT(net()), MixMatch(noise)):
        words = r"labels must lie in 0…3 \(num_classes=4\), got 4"
        refused(lambda learner=learner: learner(student, IMAGES, LABELS.clamp(max=0) + 4 * KNOWN), words)


test_options = refusals(
    (lambda: ICT(net(), weight=-1.0), r"weight must lie in \[0, inf\), got -1.0"),
    (lambda: ICT(net(), ramp=2.0), r"ramp must lie in \[0, 1\], got 2.0"),
    (lambda: ICT(net(), mix=0.5), TypeError, r"mix must be a function \(images, \*, partner, .* got float"),
    (lambda: MixMatch(0.5), TypeError, r"augment must be a function .* got float"),
    (lambda: MixMatch(noise, views=0), "views must be at least 1, got 0"),
    (lambda: MixMatch(noise, temperature=0.0), r"temperature must lie in \(0, inf\), got 0.0"),
    (lambda: MixMatch(noise, alpha=0.0), "alpha must be positive and finite, got 0.0"),
    (lambda: MixMatch(noise, prior=[1.0, -1.0]), r"shares or counts, at least 0, got \[1.0, -1.0\]"),
)
