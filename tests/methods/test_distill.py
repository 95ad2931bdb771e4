"""Losses of self-distillation against naive twins; what is learnt from is held fixed; bad input."""

import math

import pytest
import torch

from mixlearn.methods.distill import ddgsd_terms, past_targets, same_class, virtual_teacher
from tests.seeds import seeded

B, CLASSES, C = 5, 4, 6
LABELS = torch.tensor([0, 1, 2, 3, 0])


def pair(seed, length):
    g = seeded(seed)
    return tuple((2 * torch.randn(B, length, generator=g)).requires_grad_() for _ in range(2))


def naive_ddgsd(logits, features, T, weight, released, smoothing):
    z = [[[float(v) for v in row] for row in part.detach()] for part in logits]
    f = [[[float(v) for v in row] for row in part.detach()] for part in features]

    def softmax(row, T=1.0):
        e = [math.exp(v / T) for v in row]
        return [v / sum(e) for v in e]

    def entropy(row, label):
        right = [smoothing / CLASSES + (1 - smoothing) * (k == label) for k in range(CLASSES)]
        return -sum(r * math.log(p) for r, p in zip(right, softmax(row), strict=True))

    def kl(target, answer):
        return sum(p * math.log(p / q) for p, q in zip(softmax(target, T), softmax(answer, T), strict=True))

    right = sum(entropy(part[i], int(LABELS[i])) for part in z for i in range(B)) / (2 * B)
    answers = sum(T**2 * (kl(z[1][i], z[0][i]) + kl(z[0][i], z[1][i])) for i in range(B)) / B
    means = [[sum(row[c] for row in part) / B for c in range(C)] for part in f]
    apart = sum((a - b) ** 2 for a, b in zip(*means, strict=True))
    if released:
        right, apart = right / 2, ((sum(means[0]) - sum(means[1])) / C) ** 2
    return {"labels": right, "answers": answers, "features": weight * apart}


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize(("T", "weight", "smoothing"), [(4.0, 5e-4, 0.0), (1.0, 2.0, 0.0), (2.0, 1.0, 0.3)])
def test_ddgsd_is_its_formulas(released, T, weight, smoothing):
    logits, features = pair(0, CLASSES), pair(1, C)
    options = {"temperature": T, "weight": weight, "smoothing": smoothing, "released": released}
    found = ddgsd_terms(logits, features, LABELS, **options)
    expected = naive_ddgsd(logits, features, T, weight, released, smoothing)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(value, rel=1e-6, abs=1e-6), name


def slopes(term, tensors):
    found = torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)
    return [None if s is None or not bool(s.any()) else s for s in found]


def test_ddgsd_holds_fixed_what_is_learnt_from():
    logits, features = pair(0, CLASSES), pair(1, C)
    terms = ddgsd_terms(logits, features, LABELS, weight=1.0)
    told = {name: [s is not None for s in slopes(term, [*logits, *features])] for name, term in terms.items()}
    assert told == {
        "labels": [True, True, False, False],
        "answers": [True, True, False, False],
        "features": [False, False, True, True],
    }
    own, _ = slopes(terms["answers"], logits)  # that of one way alone: the other way gives it none
    T = 4.0
    alone = T * ((logits[0] / T).softmax(1) - (logits[1] / T).softmax(1)) / B
    assert torch.allclose(own, alone, atol=1e-6)


def test_the_released_feature_term_misses_what_moves_between_channels():
    one = torch.randn(B, C, generator=seeded())
    other = one + torch.tensor([3.0, -3.0, 0, 0, 0, 0])
    said = (torch.zeros(B, CLASSES),) * 2
    found = [
        float(ddgsd_terms(said, (one, other), LABELS, weight=1.0, released=k)["features"])
        for k in (False, True)
    ]
    assert found[0] == pytest.approx(18.0, rel=1e-5) and found[1] < 1e-10


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_virtual_teacher_is_its_formula(classes):
    labels = torch.arange(6) % classes
    for T in (1.0, 20.0):
        for released in (False, True):
            found = virtual_teacher(labels, classes, right=0.99, temperature=T, released=released)
            for i, label in enumerate(labels.tolist()):
                p = [0.99 if k == label else 0.01 / (classes - 1) for k in range(classes)]
                e = [math.exp(v / T) if released else v ** (1 / T) for v in p]
                assert found[i].tolist() == pytest.approx([v / sum(e) for v in e], rel=1e-5, abs=1e-6)
    assert torch.allclose(virtual_teacher(labels, classes, temperature=1.0).amax(1), torch.tensor(0.99))


def test_past_targets_blend_labels_and_answers_and_stop_the_gradient():
    answers = pair(2, CLASSES)[0]
    found = past_targets(LABELS, answers, 0.3)
    assert not found.requires_grad
    for i in range(B):
        e = [math.exp(float(v)) for v in answers[i].detach()]
        row = [0.7 * (k == int(LABELS[i])) + 0.3 * e[k] / sum(e) for k in range(CLASSES)]
        assert found[i].tolist() == pytest.approx(row, abs=1e-6)
    assert torch.equal(past_targets(LABELS, answers, 0.0).argmax(1), LABELS)


def test_partners_are_others_of_the_class_each_with_the_same_chance():
    labels = torch.tensor([3, 1, 3, 0, 3, 1, 3])
    g, met = seeded(), {}
    for _ in range(600):
        partner = same_class(labels, g)
        for i, k in enumerate(partner.tolist()):
            if k < 0:
                assert int((labels == labels[i]).sum()) == 1
            else:
                assert k != i and labels[k] == labels[i]
                met[i, k] = met.get((i, k), 0) + 1
    assert partner[3] == -1 and partner[1] == 5 and partner[5] == 1
    four = (0, 2, 4, 6)
    assert {k for k in met if k[0] in four} == {(i, k) for i in four for k in four if i != k}
    assert all(150 < met[i, k] < 250 for i in four for k in four if i != k)  # of 600, a third each
    assert torch.equal(same_class(labels, seeded(7)), same_class(labels, seeded(7)))


def test_half_precision_is_summed_in_full():
    logits = tuple(z.detach().bfloat16() for z in pair(0, CLASSES))
    features = tuple(f.detach().bfloat16() for f in pair(1, C))
    terms = ddgsd_terms(logits, features, LABELS)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert past_targets(LABELS, logits[0], 0.5).dtype == torch.float32


ZERO = torch.zeros(B, CLASSES)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ddgsd_terms((ZERO,), (ZERO, ZERO), LABELS), "two each, one of each augmentation, got 1 and"),
        (lambda: ddgsd_terms((ZERO, ZERO[:2]), (ZERO, ZERO), LABELS), "student and teacher must both"),
        (lambda: ddgsd_terms((ZERO, ZERO), (ZERO, ZERO[0]), LABELS), "equally many features"),
        (lambda: virtual_teacher(LABELS, 1), "num_classes must be at least 2, got 1"),
        (lambda: virtual_teacher(LABELS, 4, right=1.0), r"right must lie in \(0, 1\), got 1.0"),
        (lambda: virtual_teacher(LABELS, 4, temperature=0), "temperature must be positive, got 0"),
        (lambda: past_targets(LABELS, ZERO, 1.5), r"share must lie in \[0, 1\], got 1.5"),
        (lambda: past_targets(LABELS, ZERO[:2], 0.5), r"for 5 labels, got \(2, 4\)"),
        (lambda: same_class(ZERO), r"labels must have shape \(B,\), got \(5, 4\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
