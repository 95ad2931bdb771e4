"""The plane lab: its arithmetic in node against torch and SciPy, and its state in Python."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize, stats

import mixlearn as ml
from tests.page import node
from tests.refused import refusals

in_node = partial(node.in_node, ("plane",))
RIDGE, STRENGTHS = 1e-4, {"jitter": 0.2, "alpha": 0.7}
LAB = ml.widgets.plane_lab()
POINTS, LABELS = torch.tensor(LAB.points).double(), torch.tensor(LAB.labels)


def features(points):
    """A one, and 64 hinges whose directions and offsets are spread evenly."""
    k = torch.arange(1, 65).double()
    angle, offset = 2 * math.pi * (k * 0.7548776662466927).frac(), 2.4 * (k * 0.5698402909980532).frac() - 1.2
    across, up = points[:, :1], points[:, 1:]
    hinges = (across * angle.cos() + up * angle.sin() + offset).clamp(min=0)
    return torch.cat([torch.ones(len(points), 1), hinges], 1).double()


def given(way):
    """The examples of a way, made with torch, SciPy and the package."""
    labels, n = F.one_hot(LABELS, 2).double(), len(POINTS)
    if way == "jitter":
        radii = stats.rayleigh(scale=0.2).ppf([0.125, 0.375, 0.625, 0.875])
        turns = torch.arange(4)[None] / 4 + torch.arange(4)[:, None] / 16  # ring, quarter
        angles, radii = 2 * math.pi * turns.double(), torch.tensor(radii)[:, None]
        moves = torch.stack([radii * angles.cos(), radii * angles.sin()], -1).view(16, 2)
        moved = (POINTS[:, None] + moves).flatten(0, 1)
        return moved, labels.repeat_interleave(16, 0)[:, 1], torch.ones(len(moved)).double()
    if way == "Mixup":  # every point with every partner, at each of the shares
        found = [
            ml.mixup(POINTS, labels, lam=torch.tensor(lam), partner=torch.arange(n).roll(k))
            for lam in stats.beta(0.7, 0.7).ppf([0.125, 0.375, 0.625, 0.875])
            for k in range(n)
        ]
        mixed = torch.cat([each.images for each in found]), torch.cat([each.targets for each in found])
        return mixed[0], mixed[1][:, 1], torch.ones(len(mixed[0])).double()
    return POINTS, labels[:, 1], torch.ones(n).double()


def trained(way):
    """The weights with the smallest loss, by SciPy's trust region."""
    points, targets, counts = given(way)
    rows, counts = features(points), counts / counts.sum()
    ridge = torch.full((65,), RIDGE).double()
    ridge[0] = 1e-9

    def loss(w):
        z = rows @ torch.from_numpy(w)
        each = F.binary_cross_entropy_with_logits(z, targets, reduction="none")
        return float((counts * each).sum() + (ridge * torch.from_numpy(w).square()).sum() / 2)

    def slope(w):
        pull = counts * ((rows @ torch.from_numpy(w)).sigmoid() - targets)
        return (rows.T @ pull + ridge * torch.from_numpy(w)).numpy()

    def bend(w):
        p = (rows @ torch.from_numpy(w)).sigmoid()
        return ((rows.T * (counts * p * (1 - p))) @ rows + ridge.diag()).numpy()

    options = {"method": "trust-exact", "jac": slope, "hess": bend, "options": {"gtol": 1e-10}}
    return torch.from_numpy(optimize.minimize(loss, np.zeros(65), **options).x)


def test_features_are_those_of_torch():
    found = in_node(f"return {LAB.points}.map((p) => js.features(p, js.hinges(64)));")
    assert torch.allclose(torch.tensor(found).double(), features(POINTS), atol=1e-6)


def test_shares_and_moves_are_quantiles():
    for alpha in (0.1, 0.7, 1.0, 4.0):
        middles = stats.beta(alpha, alpha).ppf([0.125, 0.375, 0.625, 0.875])
        assert in_node(f"return js.shares({alpha});") == pytest.approx(list(middles), abs=1e-9)
    moves = torch.tensor(in_node("return js.moves(0.2);"))
    assert len(moves) == 16 and moves.mean(0).abs().max() < 1e-6
    assert moves.square().mean().sqrt() == pytest.approx(
        0.2, rel=0.1
    )  # the tail beyond the last ring is missing


@pytest.mark.parametrize("way", ["none", "jitter", "Mixup"])
def test_the_fit_is_that_of_torch(way):
    state = {"points": LAB.points, "labels": LAB.labels, "way": way, "strengths": STRENGTHS}
    chances, again, verdict, milliseconds = in_node(
        """const made = () => js.examples(given.points, given.labels, given.way, given.strengths);
        const train = (start) => js.fit(made(), start);
        const w = train(null);
        for (let i = 0; i < 3; i++) train(w);
        const start = process.cpuUsage();
        const again = train(w.map((v) => v + 0.01));
        const spent = process.cpuUsage(start).user / 1000;
        const chances = js.surface(w, 41);
        return [[...chances], [...js.surface(again, 41)],
            js.verdict([w], given.points, given.labels, js.shared([chances])), spent];""",
        state,
    )
    side = torch.linspace(-1, 1, 41).double()
    w = trained(way)
    expected = (features(torch.cartesian_prod(side, side).flip(1)) @ w).sigmoid()
    assert torch.allclose(torch.tensor(chances).double(), expected, atol=2e-4)
    assert torch.allclose(torch.tensor(again).double(), expected, atol=2e-4)  # from other weights
    right = int(((features(POINTS) @ w > 0) == (LABELS == 1)).sum())
    unsure = (torch.maximum(expected, 1 - expected) < 0.9).double().mean().item()
    assert verdict["right"] == right and verdict["unsure"] == pytest.approx(unsure, abs=2e-3)
    assert milliseconds < 500, "a drag would stutter"  # a tenth of it where nothing else runs


def test_what_the_chapter_says_of_the_three_ways():
    """Without augmentation every point is learned, the wrong ones too; Mixup overrules both wrong ones."""
    state = {"points": LAB.points, "labels": LAB.labels}
    none, jitter, mixup = in_node(
        """return ["none", "jitter", "Mixup"].map((way) => {
            const w = js.fit(js.examples(given.points, given.labels, way, { jitter: 0.2, alpha: 1 }));
            return js.verdict([w], given.points, given.labels, js.shared([js.surface(w, 81)]));
        });""",
        state,
    )
    assert none["right"] == 24 and mixup["right"] == 22
    assert none["unsure"] < 0.4 < 0.55 < min(jitter["unsure"], mixup["unsure"])


def test_the_border_is_where_both_are_equally_likely():
    segments = in_node(
        """const ramp = Array.from({ length: 25 }, (_, i) => (i % 5) / 4 - 0.05);
        return js.border(ramp, 5);"""
    )
    assert len(segments) == 4
    for x0, y0, x1, y1 in segments:  # the ramp is ½ at 0.55 of the way across
        assert x0 == pytest.approx(0.1) and x1 == pytest.approx(0.1) and abs(y1 - y0) == pytest.approx(0.5)


def test_three_models_are_fitted_one_for_each_class():
    """Class 2 has no part in a model of class 1; the answers are divided by their sum."""
    state = {"points": LAB.points, "labels": [i % 3 for i in range(24)], "strengths": STRENGTHS}
    targets, chances, right = in_node(
        """const made = [0, 1, 2].map((own) =>
            js.examples(given.points, given.labels, "Mixup", given.strengths, own));
        const models = made.map((one) => js.fit(one));
        const chances = js.shared(models.map((w) => js.surface(w, 9)));
        return [made.map((one) => one.targets), chances.map((p) => [...p]),
            js.verdict(models, given.points, given.labels, chances).right];""",
        state,
    )
    assert torch.allclose(torch.tensor(targets).sum(0), torch.ones(len(targets[0])))
    assert torch.allclose(torch.tensor(chances).sum(0), torch.ones(81))
    assert 8 < right < 24


def test_intrusion_counts_mixtures_in_the_disc():
    g = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 6 + [1] * 5 + [2] * 4)
    places = torch.tensor([(-0.6, 0.0), (0.6, 0.1), (0.1, 0.0)]).double()[labels]
    points = places + 0.12 * torch.randn(15, 2, generator=g).double()
    for alpha in (0.3, 1.0, 6.0):
        found = in_node("return js.intrusion(...given);", [points.tolist(), labels.tolist(), alpha])
        lam = torch.from_numpy(stats.beta(alpha, alpha).ppf((np.arange(4000) + 0.5) / 4000))
        for third in range(3):
            a, b = (points[labels == c] for c in range(3) if c != third)
            disc = points[labels == third] - points[labels == third].mean(0)
            lam_ = lam[:, None, None, None]
            mixed = lam_ * a[:, None] + (1 - lam_) * b - points[labels == third].mean(0)
            share = (mixed.norm(dim=-1) <= disc.norm(dim=1).max()).double().mean().item()
            assert found[third] == pytest.approx(share, abs=2e-3), (alpha, third)
        assert found[2] > 0.2 > max(found[:2])


TWO = {"points": [(0, 0), (0.5, 0.5)], "labels": [0, 1]}
test_wrong_arguments = refusals(
    ({"points": TWO["points"]}, "points and labels belong together"),
    ({"points": [(0, 0)], "labels": [0]}, "points must hold 2…40 points, got 1"),
    ({**TWO, "points": [(0, 0), (0.5, 2)]}, r"points must hold 2 pairs of numbers in \[−1, 1\]"),
    ({**TWO, "labels": [0, 3]}, "labels must hold 2 classes, 0, 1 or 2"),
    ({"augmentation": "cutmix"}, "augmentation must be one of none, jitter, Mixup, got 'cutmix'"),
    ({"jitter": 0}, r"jitter must lie in \[0.001, 100\], got 0.0"),
    ({"alpha": math.nan}, r"alpha must lie in \[0.001, 100\], got nan"),
    by=lambda arguments: ml.widgets.plane_lab(**arguments),
)
