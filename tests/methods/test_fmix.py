"""FMix: clouds whose power falls with frequency alike in all directions, and masks of the share asked for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixlearn as ml
from mixlearn.methods.fmix import clouds, highest, released_clouds
from tests.seeds import seeded

steady = settings(derandomize=True, max_examples=60)


def power(fields):
    """The mean power of (n, 1, H, W) fields at each frequency, and the frequencies in cycles a pixel."""
    height, width = fields.shape[-2:]
    down, across = torch.fft.fftfreq(height).double(), torch.fft.fftfreq(width).double()
    return torch.fft.fft2(fields.double()).abs().square().mean((0, 1)), down[:, None].abs(), across.abs()


def slope(frequency, values):
    """Of the straight line through logarithms, by least squares."""
    x, y = frequency.log(), values.log()
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


def radial(fields, rings=12):
    """Power averaged over rings, less where the edge of the square cuts them: (frequencies, means)."""
    measured, down, across = power(fields)
    frequency = (down.square() + across.square()).sqrt()
    edges = torch.linspace(math.log(2 / max(fields.shape[-2:])), math.log(0.5), rings + 1).exp().double()
    found = [(frequency >= low) & (frequency < high) for low, high in zip(edges, edges[1:], strict=False)]
    found = [ring for ring in found if ring.any()]
    logs = [(frequency[ring].log().mean(), measured[ring].log().mean()) for ring in found]
    return torch.stack([f for f, _ in logs]).exp(), torch.stack([p for _, p in logs]).exp()


@pytest.mark.parametrize(("decay", "size"), [(1.0, (64, 64)), (3.0, (64, 64)), (2.0, (63, 33))])
def test_power_falls_as_the_frequency_to_minus_twice_the_decay(decay, size):
    fields = clouds(200, *size, decay, generator=seeded(1))
    assert abs(slope(*radial(fields)) / (-2 * decay) - 1) < 0.05
    assert float(fields.mean((2, 3)).abs().max() / fields.std()) < 1e-4


@pytest.mark.parametrize("size", [(48, 80)])
def test_every_direction_is_alike(size):
    measured, down, across = power(clouds(600, *size, 3.0, generator=seeded(2)))
    along = {"down": (down[1 : size[0] // 2, 0], measured[1 : size[0] // 2, 0])}
    along["across"] = (across[1 : size[1] // 2], measured[0, 1 : size[1] // 2])
    for frequency, values in along.values():
        inside = frequency >= 2 / max(size)
        assert abs(slope(frequency[inside], values[inside]) / -6 - 1) < 0.05
    whitened = {name: (values * frequency**6)[2:].log().mean() for name, (frequency, values) in along.items()}
    diagonal = torch.arange(2, min(size) // 2)
    slanted = (down[diagonal, 0].square() + across[diagonal].square()).sqrt()
    whitened["slanted"] = (measured[diagonal, diagonal] * slanted**6).log().mean()
    for name in ("across", "slanted"):
        assert abs(float(whitened[name] - whitened["down"])) < 0.05, name


def test_the_released_clouds_hold_two_frequencies_across_and_half_of_those_down():
    measured, _, _ = power(released_clouds(300, 32, 24, 3.0, generator=seeded()))
    even, _, _ = power(clouds(300, 32, 24, 3.0, generator=seeded()))
    assert float(even.flatten()[1:].min() / even.max()) > 1e-9
    assert float(measured[:, 2:-1].max() / measured.max()) < 1e-12  # nothing finer across
    assert float(measured[13:20].max() / measured.max()) < 1e-12  # nor in half of the frequencies down
    uneven = {}
    for make in (clouds, released_clouds):
        fields = make(400, 32, 32, 2.0, generator=seeded(3))
        down, across = (fields.diff(dim=d).square().mean() for d in (2, 3))
        uneven[make] = abs(float((down / across).log()))
    assert 3 * uneven[clouds] < 0.15 < uneven[released_clouds]


@steady
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(0, 1, width=32),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.integers(0, 2**31),
)
def test_the_area_is_the_share_within_a_pixel(height, width, lam, soft, seed):
    images = torch.zeros(3, 1, height, width)
    plan = ml.fmix(images, lam=lam, soft=soft, generator=seeded(seed)).plan
    kept = plan.masks[0].double().sum((1, 2, 3))
    assert bool(((kept - lam * height * width).abs() < 1 + 1e-3).all())
    assert bool(((kept - kept.round()).abs() < 1e-3).all())  # a soft edge keeps the mean of a hard one
    assert torch.allclose(plan.lam, plan.masks[0].mean((1, 2, 3)), atol=1e-6)
    if not soft:
        assert bool(((plan.masks == 0) | (plan.masks == 1)).all())


def test_masks_are_the_highest_pixels_and_soft_ones_a_ramp():
    fields = clouds(4, 20, 30, generator=seeded())
    share = torch.tensor([0.1, 0.4, 0.5, 0.95])
    hard = highest(fields, share, generator=seeded(1)).bool()
    soft = highest(fields, share, 0.2, generator=seeded(1))
    for field, kept, ramp, lam in zip(fields, hard, soft, share.tolist(), strict=True):
        assert float(field[kept].min()) > float(field[~kept].max())
        order = field.flatten().argsort(descending=True)
        assert bool((ramp.flatten()[order].diff() <= 0).all())
        between = float(((ramp > 0) & (ramp < 1)).float().mean())
        assert abs(between - 2 * min(0.2, lam, 1 - lam)) < 0.01
