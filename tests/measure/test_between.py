"""From image to image: linear models, known models, and a loop over pairs and λ."""

import math

import pytest
import torch
from torch import nn

import mixlearn as ml
from mixlearn.measure.between import unlike_pairs
from tests.refused import refused
from tests.seeds import seeded

measure = ml.measure


@pytest.fixture(scope="module")
def few():
    return ml.data.load("fashion").test.subset(60, generator=seeded())


@pytest.fixture(scope="module")
def net():
    made = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    with torch.no_grad():
        made.head.weight.mul_(20)  # answers that differ, as a trained network's do
    return made.eval()


class Linear(nn.Module):
    """Linear in the pixels, with taps."""

    stages = ("input", "pool")

    def __init__(self, classes=10):
        super().__init__()
        self.head = nn.Linear(50, classes)
        self.register_buffer("first", torch.randn(784, 50, generator=seeded(5)) / 28)

    def forward(self, images, tap=lambda name, features: features):
        return self.head(tap("pool", images.flatten(1) @ self.first))


def test_a_linear_network_is_on_the_line(few):
    found = measure.between(Linear(), few, stage="pool", count=50, generator=seeded())
    assert found.lam.tolist() == pytest.approx([k / 10 for k in range(11)])
    for off in (found.logits, found.features, found.divergence):
        assert off.shape == (11,) and off.dtype == torch.float64 and float(off.abs().max()) < 1e-6


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def looped(net, data, first, second, steps):
    """Pair by pair, with the arithmetic of the definitions."""
    lines = {name: [0.0] * steps for name in ("misses", "cross_entropy", "divergence", "logits", "features")}
    scales = {"logits": 0.0, "features": 0.0}

    def look(image):
        seen = {}
        logits = net(image[None], tap=lambda name, one: seen.setdefault(name, one))[0].double()
        return {"logits": logits, "features": seen["stage2"][0].double().mean((1, 2))}

    with torch.no_grad():
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            (a, one), (b, other) = data[i], data[j]
            fa, fb = look(a), look(b)
            for key in scales:
                scales[key] += float((fa[key] - fb[key]).norm()) / len(first)
            for k in range(steps):
                lam = k / (steps - 1)
                mixed = look(lam * a + (1 - lam) * b)
                straight = {key: lam * fa[key] + (1 - lam) * fb[key] for key in scales}
                q, p = (x["logits"].softmax(0).tolist() for x in (mixed, straight))
                lines["misses"][k] += (q.index(max(q)) not in (one, other)) / len(first)
                lines["cross_entropy"][k] -= (lam * math.log(q[one]) + (1 - lam) * math.log(q[other])) / len(
                    first
                )
                lines["divergence"][k] += kl(p, q) / len(first)
                for key in scales:
                    lines[key][k] += float((mixed[key] - straight[key]).norm()) / len(first)
    for key, scale in scales.items():
        lines[key] = [value / scale for value in lines[key]]
    return lines


def test_as_a_loop_has_it(net, few):
    found = measure.between(net, few, steps=5, stage="stage2", count=12, batch_size=5, generator=seeded(3))
    first, second = unlike_pairs(few.labels, 12, seeded(3))
    for name, line in looped(net, few, first, second, 5).items():
        assert getattr(found, name).tolist() == pytest.approx(line, rel=1e-4, abs=1e-5), name
    assert float(found.logits[1:-1].min()) > 0.01 and float(found.divergence[1:-1].min()) > 0


def test_a_network_that_bends_by_a_known_amount():
    """f(x) = (x², 0) between 0 and 1: off the line by λ − λ²; a third class in the middle."""
    images, labels = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1])

    def bent(x):
        x = x.flatten()
        return torch.stack([x**2, torch.zeros_like(x)], 1)

    def third(x):
        x = x.flatten()
        return torch.stack([1 - x, x, torch.where((x > 0.2) & (x < 0.8), 2.0, -2.0)], 1)

    found = measure.between(bent, [(images, labels)], steps=5, count=6, generator=seeded())
    assert found.logits.tolist() == pytest.approx([0, 3 / 16, 1 / 4, 3 / 16, 0]) and found.features is None
    assert found.at(0.5)["logits"] == pytest.approx(1 / 4)
    assert found.at(0.375)["logits"] == pytest.approx(7 / 32)  # half way from 3/16 to 1/4
    assert found.means()["logits"] == pytest.approx((3 / 16 + 1 / 4 + 3 / 16) / 4)
    assert "features" not in found.means() and "lam" not in found.means()
    missed = measure.between(third, [(images, labels)], steps=5, count=6, generator=seeded())
    assert missed.misses.tolist() == [0, 1, 1, 1, 0]
    fine = measure.between(bent, [(images, labels)], steps=101, count=2, generator=seeded())
    assert fine.means()["logits"] == pytest.approx(1 / 6, abs=1e-4)  # ∫ λ − λ²
    assert fine.at(0.3)["logits"] == pytest.approx(0.21) and fine.at(1.0)["logits"] == 0


def test_pairs_are_of_different_classes_and_all_are_equally_likely():
    labels = torch.tensor([2, 0, 2, 7, 0, 2])
    first, second = unlike_pairs(labels, 12000, seeded())
    assert bool((labels[first] != labels[second]).all())
    for i in range(6):
        strangers = (labels != labels[i]).nonzero()[:, 0]
        met = torch.bincount(second[first == i], minlength=6).double()
        assert set(met.nonzero()[:, 0].tolist()) == set(strangers.tolist())
        share = met[strangers] / met.sum()
        assert float((share - 1 / len(strangers)).abs().max()) < 0.05
    assert float((torch.bincount(first).double() / 12000 - 1 / 6).abs().max()) < 0.02
    again = unlike_pairs(labels, 12000, seeded())
    assert torch.equal(first, again[0]) and torch.equal(second, again[1])


def test_one_draw_one_result_whatever_the_batches(net, few):
    state = torch.random.get_rng_state()
    one, other = (
        measure.between(net, few, steps=3, stage="pool", count=30, batch_size=size, generator=seeded())
        for size in (4, 30)
    )
    for name in one._fields:
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=1e-5), name
    assert torch.equal(torch.random.get_rng_state(), state)
    images, labels = few.batch(slice(None))
    loader = list(zip(images.split(25), labels.split(25), strict=True))
    batched = measure.between(net, loader, steps=3, stage="pool", count=30, generator=seeded())
    assert torch.allclose(one.logits, batched.logits, atol=1e-5) and torch.equal(one.misses, batched.misses)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 1}, "2 steps, 1 pair and batches of 1, got 1, 500 and 128"),
        ({"stage": "pool"}, "taps none, it has no 'pool'"),
        ({"data": [(torch.zeros(2, 1, 1, 1), torch.tensor([3, 3]))]}, "two classes or more, got 1"),
        ({"data": [(torch.zeros(2, 1, 1, 1), torch.tensor([0, 2]))]}, "0…1, got 2"),
        ({"model": lambda x: torch.full((len(x), 2), torch.nan)}, "finite, got NaN"),
    ],
)
def test_bad_input_is_named(change, words):
    given = {"model": lambda x: torch.cat([x, -x], 1)[..., 0, 0]}
    given["data"] = [(torch.zeros(2, 1, 1, 1), torch.tensor([0, 1]))]
    given |= change
    refused(lambda: measure.between(given.pop("model"), given.pop("data"), **given), words)
