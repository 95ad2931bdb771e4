"""Draws: their distribution, their seeds, their errors."""

import math

import pytest
import torch
from scipy import stats

import mixlearn as ml
from tests.refused import refusals
from tests.seeds import seeded


@pytest.mark.parametrize("alpha", [1e-3, 0.05, 0.4, 1.0, 8.0])
def test_lam_is_beta_distributed(alpha):
    lam = ml.sample_lam(20_000, alpha, generator=seeded()).double().numpy()
    assert lam.min() >= 0 and lam.max() <= 1
    inner = lam[(lam > 1e-6) & (lam < 1 - 1e-6)]  # float32 rounds the extremes to 0 and 1
    beta = stats.beta(alpha, alpha)
    low, high = beta.cdf(1e-6), beta.cdf(1 - 1e-6)
    assert stats.kstest(inner, lambda x: (beta.cdf(x) - low) / (high - low)).pvalue > 1e-3
    assert abs((lam <= 1e-6).mean() - low) < 0.02


def test_partners_with_and_without_fixed_points():
    g = seeded()
    fixed = sum(int((ml.sample_partner(16, generator=g) == torch.arange(16)).sum()) for _ in range(2_000))
    assert abs(fixed / 2_000 - 1) < 0.1  # one on average, whatever the size
    seen = {tuple(ml.sample_partner(3, fixed_points=False, generator=g).tolist()) for _ in range(60)}
    assert seen == {(1, 2, 0), (2, 0, 1)}
    assert ml.sample_partner(1).tolist() == [0]


def test_boxes_lie_inside_and_have_the_area_they_may():
    g = seeded()
    for height, width in [(1, 1), (33, 17), (96, 192)]:
        lam = torch.rand(500, generator=g)
        boxes = ml.sample_boxes(lam, height, width, generator=g)
        x0, y0, x1, y1 = boxes.unbind(1)
        assert bool((x0 >= 0).all() and (y0 >= 0).all() and (x1 <= width).all() and (y1 <= height).all())
        assert bool((x1 >= x0).all() and (y1 >= y0).all())
        sides = (1 - lam.double()).sqrt()
        assert bool((ml.box_area(boxes) <= ((sides * height + 0.5) * (sides * width + 0.5))).all())


def test_one_seed_one_draw_and_no_global_state():
    before = torch.random.get_rng_state()
    for draw in (
        lambda g: ml.sample_lam(5, 0.3, generator=g),
        lambda g: ml.sample_partner(9, generator=g),
        lambda g: ml.sample_boxes(torch.rand(4, generator=g), 8, 8, generator=g),
        lambda g: ml.sample_squares(4, 3, 8, 8, generator=g),
    ):
        assert torch.equal(draw(seeded(3)), draw(seeded(3)))
        assert not all(torch.equal(draw(seeded(3)), draw(seeded(s))) for s in range(4, 9))
    assert torch.equal(before, torch.random.get_rng_state())


class Elsewhere:
    device = torch.device("cuda")


test_draws_name_what_is_wrong = refusals(
    *((lambda a=a: ml.sample_lam(3, a), ValueError, "positive and finite") for a in (0, math.nan, math.inf)),
    (lambda: ml.sample_lam(3, "1"), TypeError, "alpha must be a number, got str"),
    (lambda: ml.sample_lam(2, 1.0, generator=Elsewhere()), ValueError, "on the CPU: .* got cuda"),
    (lambda: ml.sample_partner(1, fixed_points=False), ValueError, "has no partner but itself"),
    (lambda: ml.sample_partner(0), ValueError, "n must be at least 1, got 0"),
    (lambda: ml.sample_boxes(1.5, 4, 4), ValueError, r"lam must lie in \[0, 1\], got 1.5"),
    (lambda: ml.sample_boxes(0.5, 0, 4), ValueError, "height must be at least 1, got 0"),
    (lambda: ml.sample_squares(1, -1, 4, 4), ValueError, "size must be at least 0, got -1"),
)
