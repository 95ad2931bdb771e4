"""The pages on why mixing works hold what their cells find: the cells are run, and each claim is compared."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.page import node
from tests.prose import held, prose, run

WHY, LIMITS = prose("03_why"), prose("03_why_calibration")


@pytest.fixture(scope="module")
def why() -> dict[str, Any]:
    return run("03_why")


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    return run("03_why_calibration")


# ------------------------------------------------------------------------------------------ the expansion
def test_smoothing_is_what_is_left_of_mixup(why: dict[str, Any]) -> None:
    y, pools, mean = why["y"], why["pools"], why["mean_label"]
    smoothed = 0.75 * y[0] + 0.25 / 3
    equal, unequal, same = (mean(pool) for pool in pools.values())
    assert (equal - smoothed).abs().max() < 0.005 and torch.equal(same, y[0])
    rare = pools["class 2 has four points"]
    assert len(rare) == 44 and int(y[rare, 2].sum()) == 4
    assert (unequal - 0.75 * y[0] - 0.25 * y[rare].mean(0)).abs().max() < 0.005
    assert (unequal - smoothed).abs().max() > 0.05


def slope(spread: list[float], error: list[float], first: int = -4) -> float:
    """The power of the standard deviation with which an error falls."""
    return math.log(error[-1] / error[first]) / math.log(spread[-1] / spread[first])


def test_orders_of_the_remainder(why: dict[str, Any]) -> None:
    smooth, kinked, rare = why["orders"].values()
    plain, two, four = smooth[1].values()
    assert [round(slope(smooth[0], error), 1) for error in (plain, two)] == [0.9, 2.0]
    assert slope(smooth[0], four) > 2.8
    _, two, four = kinked[1].values()
    assert abs(slope(kinked[0], two) - 2) < 0.15 and 1.6 < slope(kinked[0], four) < 2.4
    powers = [slope(rare[0], error, -3) for error in rare[1].values()]
    assert all(abs(power - 2) < 0.15 for power in powers), powers
    last = [error[-1] for error in rare[1].values()]
    assert last == sorted(last, reverse=True), "more terms still help"
    short = []
    for law in (why["even"](1.0), why["even"](0.5)):
        risk = why["measured"](why["smooth_net"], *law).mean()
        short.append(1 - sum(why["predicted"](why["smooth_net"], *law).values()).mean() / risk)
    said = "the formula is {:.0f} % too low, at half the shares {:.1f} %"
    assert said.format(*(100 * float(share) for share in short)) in WHY


def test_the_best_slope_is_that_of_the_linear_fit(why: dict[str, Any]) -> None:
    """A − S is least where H J C = Kᵀ: moving J from there in any direction raises it."""
    g = torch.Generator().manual_seed(0)
    points = torch.randn(50, 4, generator=g).double()
    labels = torch.randn(50, 3, generator=g).double().softmax(1)
    dx, dy = points - points.mean(0), labels - labels.mean(0)
    C, K, p = dx.T @ dx, dx.T @ dy, labels.mean(0)
    H = p.diag() - p[:, None] * p
    J = torch.linalg.pinv(H) @ K.T @ C.inverse()
    assert torch.allclose(H @ J, torch.linalg.lstsq(dx, dy).solution.T)

    def part(J: torch.Tensor) -> torch.Tensor:
        return (H @ J @ C @ J.T).trace() / 2 - (J @ K).trace()

    moved = [part(J + 0.1 * torch.randn(3, 4, generator=g).double()) for _ in range(20)]
    assert min(moved) > part(J)


def test_measured_is_the_loss_of_mixup(why: dict[str, Any]) -> None:
    """All pairs on a grid of shares against random batches."""
    net, x, y = why["smooth_net"], why["x"], why["y"]
    torch.manual_seed(1)
    with torch.no_grad():
        batches = [why["mix"](x, y, 1.0) for _ in range(400)]
        drawn = torch.stack([torch.nn.functional.cross_entropy(net(a), b) for a, b in batches])
    error = 4 * drawn.std() / 20
    assert abs(drawn.mean() - why["measured"](net, *why["even"](1.0)).mean()) < error < 0.02


def test_jacobian(why: dict[str, Any]) -> None:
    plain, smooth, mixed = why["jacobians"].values()  # sizes and penalties of three seeds
    assert max(smooth[0]) < min(mixed[0]) and max(mixed[0]) < min(plain[0])
    assert max(mixed[1]) < min(smooth[1]) and max(smooth[1]) < min(plain[1])


def test_the_noise_of_a_mask(why: dict[str, Any]) -> None:
    """The covariance of mixtures of one point under a mask with its own share for each coordinate."""
    torch.manual_seed(0)
    x = why["x"]
    M = (torch.rand(400_000, 1) > torch.tensor([0.3, 0.6])).double()  # the same draw cuts both
    mixtures = M * x[0] + (1 - M) * x[torch.randint(60, (400_000,))]
    u, kept = x[0] - x.mean(0), 1 - M
    expected = M.T.cov(correction=0) * torch.outer(u, u)
    expected += kept.T @ kept / len(M) * (x - x.mean(0)).T.cov(correction=0)
    assert (mixtures.T.cov() - expected).abs().max() < 0.01


# ------------------------------------------------------------------------------------------ intrusion
def test_intruders_take_the_class(why: dict[str, Any]) -> None:
    right = {}
    for (name, alpha), net in why["trained"].items():
        fresh = why["moons"](why["blobs"][name], 2, 2000, 1000)[0][-1000:]
        right[name, alpha] = (net(fresh).argmax(1) == 2).double().mean().item()
    assert right["between", 8.0] == 0 and right["between", 1.0] > 0.95
    assert all(share == 1 for (name, alpha), share in right.items() if name == "aside" or alpha is None)
    between = why["moons"]((0.0, 0.0), seed=1)
    for alpha, percent in ((1.0, 3), (8.0, 9)):
        share, vote, _ = why["votes"](*between, (0.0, 0.0), alpha)
        assert f"{share:.0%}" == f"{percent}%" and f"{percent} % at $\\alpha = {alpha:.0f}$" in WHY
        assert (vote.argmax() == 2) == (alpha == 1.0)
    assert why["votes"](*why["moons"]((3.0, 0.0), seed=1), (3.0, 0.0), 8.0)[0] == 0


def test_the_vote_is_the_answer_of_a_network_that_can_give_it(why: dict[str, Any]) -> None:
    apart = {(alpha, name): max(abs(p - why["answers"][alpha, "vote"]) for p in why["answers"][alpha, name])
             for alpha in (1.0, 8.0) for name in ("ReLU", "linear")}  # fmt: skip
    assert max(apart[1.0, "ReLU"], apart[8.0, "ReLU"], apart[8.0, "linear"]) < 0.1 < 0.25
    assert min(why["answers"][1.0, "vote"] - p for p in why["answers"][1.0, "linear"]) > 0.25


def test_the_triangles_of_the_widget(why: dict[str, Any]) -> None:
    points, labels = why["spots"].clone(), why["which"]
    points[labels == 2, 1] -= 0.7  # onto the line between the others
    found = {}
    for alpha in (1, 4):
        found[alpha] = node.in_node(
            ("plane",),
            """const made = [0, 1, 2].map((own) => js.examples(given.points, given.labels, "Mixup",
                { jitter: 0.2, alpha: given.alpha }, own)).map((one) => js.fit(one));
            const chances = js.shared(made.map((w) => js.surface(w, 9)));
            const third = given.points.filter((_, i) => given.labels[i] === 2);
            return js.verdict(made, third, third.map(() => 2), chances).right;""",
            {"points": points.tolist(), "labels": labels.tolist(), "alpha": alpha},
        )
    assert found == {1: 4, 4: 0}
    assert "keep their side at $\\alpha = 1$ and lose it at $\\alpha = 4$" in WHY


# ------------------------------------------------------------------------------------------ calibration
def test_temperature_is_the_fair_rival(limits: dict[str, Any]) -> None:
    plain, scaled, mixup, both = limits["table"].values()  # seeds × (ECE, NLL, accuracy, AUROC, T)
    assert f"{plain[:, 0].mean():.0%}" == "11%" and f"{scaled[:, 0].mean():.0%}" == "1%"
    assert "falls from 11 % to 1 %" in LIMITS and 1.8 < scaled[:, -1].mean() < 2.2
    assert (
        held(f"Mixup gets to {100 * mixup[:, 0].mean():.1f} % without", LIMITS) and both[:, 0].mean() < 0.02
    )
    assert (scaled[:, 1] < torch.minimum(mixup[:, 1], both[:, 1]) - 0.02).all()
    assert (mixup[:, 1] < plain[:, 1]).all()
    right = "{:.1f} % with Mixup, {:.1f} % without".format(*(100 * w[:, 2].mean() for w in (mixup, plain)))
    assert held(right, LIMITS)
    found = {"Mixup": mixup[:, 3].mean(), "no mixing": plain[:, 3].mean()}
    assert held("its AUROC is {Mixup:.2f}, without mixing {no mixing:.2f}".format(**found), LIMITS)


def test_calibrated_on_mixtures_and_modest_on_images(limits: dict[str, Any]) -> None:
    images, labels = limits["few"]
    rows = torch.nn.functional.one_hot(labels, 10).float()
    g = torch.Generator().manual_seed(5)
    net = limits["nets"]["Mixup"][0]
    assert abs(limits["gap"](net, *limits["mix"](images, rows, g))) < 0.05
    assert limits["gap"](net, images, rows) < -0.07
    assert (net(images).argmax(1) == labels).float().mean() > 0.95


def test_broken_conditions(limits: dict[str, Any]) -> None:
    test, few, nets = limits["test"], limits["few"], limits["nets"]
    for (net, *_), plain in zip(nets.values(), (0.11, 0.02), strict=True):
        T = limits["temperature"](net(few[0]), few[1])
        assert T < 0.5
        assert limits["scores"](net(test[0]) / T, test[1])[0] > plain + 0.05
    few_epochs = [limits["train"](mixing, 0, epochs=3) for mixing in (False, True)]
    calibration = limits["ml"].measure.calibration
    gaps = [calibration(net(test[0]), test[1]).gap for net in few_epochs]
    assert abs(gaps[0]) < 0.02 and gaps[1] < -0.04


def test_ensemble_of_mixed_networks_is_underconfident(limits: dict[str, Any]) -> None:
    images, labels = limits["test"]
    p = torch.stack([net(images).softmax(1) for net in limits["nets"]["Mixup"]]).mean(0)
    found = limits["ml"].measure.calibration(p.log(), labels)
    single = limits["table"]["Mixup, T = 1"][:, 0].mean()
    assert found.gap < -0.02 and found.ece / single > 1.8 and "twice the calibration error" in LIMITS
    right = 100 * float((p.argmax(1) == labels).double().mean())
    one = 100 * float(limits["table"]["Mixup, T = 1"][:, 2].mean())
    assert held(f"more accurate than one, {right:.1f} against {one:.1f} %", LIMITS)
    plain, mixed = (100 * limits["after"][way] for way in ("no mixing", "Mixup"))
    assert held(f"calibration error is {mixed:.1f} %, and without mixing {plain:.1f} %", LIMITS)


# ------------------------------------------------------------------------------------------ margins, time
def test_margins(limits: dict[str, Any]) -> None:
    equal, unequal = (0.25, 0.25), (0.15, 0.9)
    places, accuracy = limits["middle"][equal, "Mixup"]
    assert all(abs(place - 1.5) < 0.1 for place in places) and accuracy > 0.9995
    places = limits["middle"][equal, "no mixing"][0]
    assert held(f"Without mixing it lies between {min(places):.2f} and {max(places):.2f}.", LIMITS)
    places, accuracy = limits["middle"][unequal, "Mixup"]
    assert all(abs(place - 1.5) < 0.25 for place in places) and len(places) == 10
    plain = limits["middle"][unequal, "no mixing"][0]
    said = "without mixing is at {:.2f} to {:.2f}, Mixup's at {:.2f} to {:.2f}"
    assert held(said.format(min(plain), max(plain), min(places), max(places)), LIMITS)
    lost = limits["lost"]
    assert not lost.clear and f"{-lost.mean:.2f} points lower" in LIMITS and f"(± {lost.half:.2f};" in LIMITS
    assert accuracy < limits["middle"][unequal, "no mixing"][1] - 0.002
    r = torch.linspace(0, 3, 30_001).double()
    first = -(r**2) / (2 * 0.15**2) - 2 * math.log(0.15)
    second = -((3 - r) ** 2) / (2 * 0.9**2) - 2 * math.log(0.9)
    assert f"{r[(second > first).int().argmax()]:.2f}" == "0.57" and "at 0.57 on the line" in LIMITS


def test_over_training(limits: dict[str, Any]) -> None:
    curved, linear = limits["over"]["curved truth", "Mixup"], limits["over"]["linear truth", "Mixup"]
    plain = limits["over"]["linear truth", "no mixing"]
    assert round(curved[-1] / min(curved)) == 4 and 0 < curved.index(min(curved)) < 30
    right = limits["over"]["curved truth", "mixtures, right labels"]
    assert right[-1] == min(right) < limits["over"]["curved truth", "no mixing"][-1]
    assert all(a > b for a, b in zip(curved, limits["over"]["curved truth", "no mixing"], strict=True))
    assert plain[10] < linear[10]
    assert linear == sorted(linear, reverse=True) and 7 < plain[-1] / linear[-1] < 12
    assert 190 * 8 == 1520 and "1,520 mixtures" in LIMITS
    grown, gained = [], []
    for seed in range(1, 5):
        ends = {(name, way): limits["over_train"](truth, mixing, limits["times"], seed=seed)
                for name, truth in limits["truths"].items()
                for way, mixing in limits["ways"].items()}  # fmt: skip
        mixed = ends["curved truth", "Mixup"]
        grown.append(mixed[-1] / min(mixed))
        gained.append(ends["linear truth", "no mixing"][-1] / ends["linear truth", "Mixup"][-1])
        assert all(a > b for a, b in zip(mixed, ends["curved truth", "no mixing"], strict=True))
    assert held(f"to {min(grown):.1f} to {max(grown):.0f} times", LIMITS)
    assert held(f"20 examples {min(gained):.0f} to {max(gained):.0f} times", LIMITS)
    assert curved[0] / limits["over"]["curved truth", "no mixing"][0] < 1.015


def test_the_labels_error_is_of_the_stated_order() -> None:
    def truth(x: torch.Tensor) -> torch.Tensor:
        return (2 * x[0]).sin() + x[0] * x[1] ** 2

    x, d = torch.tensor([0.3, -0.4]).double(), torch.tensor([0.5, 0.8]).double()
    bend = torch.func.hessian(truth)(x)
    rest = []
    for size in (0.1, 0.05, 0.025):
        step, t = size * d, 0.3
        wrong = (1 - t) * truth(x) + t * truth(x + step) - truth(x + t * step)
        rest.append(abs(wrong - t * (1 - t) / 2 * step @ bend @ step).item())
    assert rest[0] / rest[1] > 6 and rest[1] / rest[2] > 6
