"""MixSKD's terms against a naive twin that writes each formula out; who learns from each; bad input."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.distill import distillation, mean_discrepancy
from mixlearn.methods.mixskd import Critic, SelfTeacher, Views, mixskd_terms
from tests.seeds import seeded

B, K, C, CLASSES = 5, 3, 6, 4


def views(seed):
    g = seeded(seed)
    maps = [torch.randn(B, C, 2, 2, generator=g).requires_grad_() for _ in range(K)]
    logits = [(2 * torch.randn(B, CLASSES, generator=g)).requires_grad_() for _ in range(K)]
    return Views(maps, logits)


def made(seed=0, lam=(0.2, 0.9, 0.5, 0.4, 0.7)):
    plan = ml.MixPlan.pair(torch.tensor([1, 2, 3, 4, 0]), torch.tensor(lam))
    teacher = SelfTeacher(C, K, CLASSES, generator=seeded(seed))
    teacher.head.weight.data.mul_(100)  # answers that differ
    critics = nn.ModuleList(Critic(C, generator=seeded(seed + k)) for k in range(K))
    return views(seed), views(seed + 1), plan, torch.tensor([0, 1, 2, 3, 0]), teacher, critics


def naive(clean, mixed, plan, labels, teacher, critics, T):
    lam, partner = plan.lam, plan.partner

    def blend(v):
        out = torch.empty_like(v)
        for i in range(B):
            out[i] = lam[i] * v[i] + (1 - lam[i]) * v[partner[i]]
        return out

    def soft(z):
        total = 0.0
        for i in range(B):
            p = z[i].softmax(0)
            total -= lam[i] * p[labels[i]].log() + (1 - lam[i]) * p[labels[partner[i]]].log()
        return total / B

    def kl(target, answer):
        p, q = (target / T).softmax(1), (answer / T).softmax(1)
        return T**2 * (p * (p / q).log()).sum(1).mean()

    bar_maps, bar = [blend(m) for m in clean.maps], [blend(z) for z in clean.logits]
    h_bar, h_hat = teacher(bar_maps), teacher(mixed.maps)
    critic = 0.0
    for d, a, b in zip(critics, bar_maps, mixed.maps, strict=True):
        critic -= torch.sigmoid(d(a)).log().mean() + (1 - torch.sigmoid(d(b))).log().mean()
    return {
        "labels": sum(-z.log_softmax(1)[range(B), labels].mean() for z in clean.logits),
        "mixed": sum(soft(z) for z in mixed.logits) + soft(h_bar) + soft(h_hat),
        "features": sum(((a - b) ** 2).mean() for a, b in zip(bar_maps, mixed.maps, strict=True)),
        "critic": critic,
        "branches": sum(kl(bar[k], mixed.logits[k]) + kl(mixed.logits[k], bar[k]) for k in range(K - 1)),
        "teacher": kl(h_hat, bar[-1]) + kl(h_bar, mixed.logits[-1]),
    }


@pytest.mark.parametrize("seed", [0, 10, 20])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_term_is_its_formula(seed, temperature):
    parts = made(seed)
    expected = naive(*parts, temperature)
    found = mixskd_terms(*parts, temperature=temperature)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5, abs=1e-6), name


def reached(term, tensors):
    slopes = torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)
    return [s is not None and bool(s.abs().sum() > 0) for s in slopes]


def test_who_learns_from_each_term():
    clean, mixed, plan, labels, teacher, critics = made()
    terms = mixskd_terms(clean, mixed, plan, labels, teacher, critics)
    parts = {
        "clean maps": clean.maps,
        "mixed maps": mixed.maps,
        "clean logits": clean.logits,
        "mixed logits": mixed.logits,
        "teacher": list(teacher.parameters()),
        "critics": list(critics.parameters()),
    }
    everyone, nobody = [True] * K, [False] * K
    found = {
        name: {part: reached(term, list(t)) for part, t in parts.items()} for name, term in terms.items()
    }
    assert found["labels"]["clean logits"] == everyone and found["labels"]["mixed logits"] == nobody
    assert found["mixed"]["mixed logits"] == everyone and found["mixed"]["clean logits"] == nobody
    assert found["mixed"]["clean maps"] == everyone and all(found["mixed"]["teacher"])
    assert found["features"]["clean maps"] == found["features"]["mixed maps"] == everyone
    assert all(found["critic"]["critics"]) and found["critic"]["mixed maps"] == everyone
    assert found["branches"]["clean logits"] == found["branches"]["mixed logits"] == [True, True, False]
    assert found["teacher"]["clean logits"] == found["teacher"]["mixed logits"] == [False, False, True]
    assert not any(found["teacher"]["teacher"]) and found["teacher"]["clean maps"] == nobody


def test_what_is_learnt_from_is_held_fixed():
    one, other = torch.randn(3, 4, generator=seeded()).requires_grad_(), torch.randn(3, 4).requires_grad_()
    distillation(one, other).backward()
    assert one.grad is not None and other.grad is None


def test_adversarial_maps_move_the_other_way_and_critics_alike():
    slopes = []
    for adversarial in (False, True):
        clean, mixed, *rest, critics = made()
        term = mixskd_terms(clean, mixed, *rest, critics, adversarial=adversarial)["critic"]
        slopes.append(torch.autograd.grad(term, [*clean.maps, *mixed.maps, *critics.parameters()]))
    for k, (plain, turned) in enumerate(zip(*slopes, strict=True)):
        assert torch.allclose(turned, -plain if k < 2 * K else plain, atol=1e-7)


def test_a_share_of_each_image_counts():
    lam = (0.2, 0.9, 0.5, 0.4, 0.7)
    one = mixskd_terms(*made(lam=lam))
    other = mixskd_terms(*made(lam=(0.9, 0.2, 0.5, 0.4, 0.7)))
    for name in ("mixed", "features", "branches", "teacher", "critic"):
        assert abs(float((one[name] - other[name]).detach())) > 1e-4, name
    assert torch.equal(one["labels"], other["labels"])


def test_a_mixture_that_is_the_image_itself_has_nothing_to_learn_from_its_features():
    clean, _, _, labels, teacher, critics = made()
    plan = ml.MixPlan.pair(torch.arange(B), torch.ones(B))
    terms = mixskd_terms(clean, clean, plan, labels, teacher, critics)
    assert float(terms["features"].detach()) == 0.0 and abs(float(terms["branches"].detach())) < 1e-6


def test_distillation_is_scaled_so_that_gradients_stay():
    student = torch.randn(64, 10, generator=seeded())
    teacher = torch.randn(64, 10, generator=seeded(1))
    sizes = []
    for temperature in (10.0, 100.0):
        given = student.clone().requires_grad_()
        distillation(given, teacher, temperature=temperature).backward()
        sizes.append(float(given.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    plain = distillation(student, teacher, temperature=10.0, scaled=False)
    assert float(plain) * 100 == pytest.approx(float(distillation(student, teacher, temperature=10.0)))


def test_mean_discrepancy_is_zero_for_equal_means_alone():
    features = torch.randn(8, 3, generator=seeded())
    assert float(mean_discrepancy(features, features.flip(0))) < 1e-12
    assert float(mean_discrepancy(features, features + 1)) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distillation(torch.zeros(2, 3), torch.zeros(2, 4)), "student and teacher must both"),
        (
            lambda: distillation(torch.zeros(2, 3), torch.zeros(2, 3), temperature=0),
            "must be positive, got 0",
        ),
        (lambda: mean_discrepancy(torch.zeros(2, 3), torch.zeros(2, 4)), r"got \(2, 3\) and \(2, 4\)"),
        (lambda: mixskd_terms(*made()[:5], [Critic(C)]), r"one a branch, got \[3, 3, 3, 3, 1\]"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_half_precision_is_summed_in_full():
    clean, mixed, plan, labels, teacher, critics = made()
    low = [Views([m.bfloat16() for m in v.maps], [z.bfloat16() for z in v.logits]) for v in (clean, mixed)]
    terms = mixskd_terms(*low, plan, labels, teacher.bfloat16(), critics.bfloat16())
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert float(F.relu(terms["labels"]).detach()) > 0
