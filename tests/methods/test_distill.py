"""DDGSD against naive twins; what is learnt from is held fixed; bad input."""

import math

import pytest
import torch

import mixlearn as ml
from mixlearn.methods.distill import ddgsd_terms
from mixlearn.methods.learners import DDGSD
from tests.refused import refusals
from tests.seeds import seeded

B, CLASSES, C = 5, 4, 6


LABELS = torch.tensor([0, 1, 2, 3, 0])
IMAGES = torch.rand(B, 1, 8, 8, generator=seeded(1))


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


def test_half_precision_is_summed_in_full():
    logits = tuple(z.detach().bfloat16() for z in pair(0, CLASSES))
    features = tuple(f.detach().bfloat16() for f in pair(1, C))
    terms = ddgsd_terms(logits, features, LABELS)
    assert all(term.dtype == torch.float32 for term in terms.values())


ZERO = torch.zeros(B, CLASSES)


CROPS = ml.augment.crop_and_flip


def net_of(seed=0, depth=8):
    """A network whose answers differ: its head is drawn larger."""
    net = ml.nets.resnet(depth, 4, width=4, channels=1, generator=seeded(seed))
    net.head.weight.data.mul_(5)
    return net


@pytest.mark.parametrize("released", [False, True])
def test_the_learner_takes_two_augmentations(released):
    net, draws, logits, features = net_of().eval(), seeded(3), [], []
    for _ in range(2):
        kept = {}
        views = CROPS(IMAGES, generator=draws)
        logits.append(net(views, tap=lambda name, x: kept.setdefault(name, x)))  # noqa: B023
        features.append(kept["pool"])
    options = {"temperature": 3.0, "weight": 2.0, "released": released}
    found = DDGSD(CROPS, **options)(net, IMAGES, LABELS, generator=seeded(3))
    expected = ddgsd_terms(logits, features, LABELS, **options)
    assert list(found) == list(DDGSD.term_names)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


test_bad_input_is_named = refusals(
    (lambda: DDGSD(CROPS, weight=-1), ValueError, "weight must lie in .*, got -1"),
    (lambda: ddgsd_terms((ZERO, ZERO[:2]), (ZERO, ZERO), LABELS), ValueError, "student and teacher must"),
    (lambda: DDGSD("crops"), TypeError, "augment must be a function .*, got str"),
    (lambda: DDGSD(CROPS)(ml.nets.mlp(64, (4,), 4), IMAGES, LABELS), ValueError, "no tap 'pool'"),
)
