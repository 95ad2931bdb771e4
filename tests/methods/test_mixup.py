"""Mixup: given and drawn, on odd shapes, and with everything wrong that a caller can hand in."""

import math

import pytest
import torch

import mixlearn as ml
from tests.refused import refusals


def test_the_same_plan_mixes_maps_of_any_kind():
    images, depth = torch.rand(4, 3, 6, 6), torch.rand(4, 6, 6)
    mixed = ml.mixup(images, lam=0.7, partner=[3, 2, 1, 0])
    assert torch.allclose(mixed.plan.mix(depth), 0.7 * depth + 0.3 * depth.flip(0), atol=1e-6)
    with pytest.raises(TypeError, match="torch.int64 cannot be averaged .* one-hot them first"):
        mixed.plan.mix(torch.zeros(4, 6, 6, dtype=torch.long))


def test_autocast_and_compile_give_the_same():
    images = torch.rand(6, 3, 8, 8)
    arguments = {"lam": 0.3, "partner": torch.tensor([1, 2, 3, 4, 5, 0])}
    plain = ml.mixup(images, **arguments).images
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(ml.mixup(images, **arguments).images, plain, atol=1e-6)
    graph = torch.compile(lambda x: ml.mixup(x, **arguments).images, backend="eager")
    assert torch.allclose(graph(images), plain, atol=1e-6)


def test_second_derivatives_exist():
    images = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    arguments = {"lam": 0.3, "partner": [1, 2, 0]}
    assert torch.autograd.gradcheck(lambda x: ml.mixup(x, **arguments).images, images)
    assert torch.autograd.gradgradcheck(lambda x: ml.mixup(x, **arguments).images ** 2, images)


RIGHT = {"images": torch.rand(4, 3, 2, 2), "labels": torch.arange(4), "num_classes": 10}
test_errors_name_what_came_and_what_was_expected = refusals(
    ({"lam": [0.2, 0.3]}, ValueError, r"lam must be one number or 4 numbers.*got shape \(2,\)"),
    ({"alpha": math.nan}, ValueError, "alpha must be positive and finite, got nan"),
    ({"partner": [0, 1]}, ValueError, r"partner must have shape \(4,\) for 4 images, got \(2,\)"),
    ({"partner": [0.0, 1.0, 2.0, 3.0]}, TypeError, "partner must hold integer indices"),
    ({"labels": torch.tensor([0, 1, 2, 10])}, ValueError, r"labels must lie in 0…9 .*got 10"),
    (
        {"labels": torch.zeros(4)},
        TypeError,
        "labels of shape .* must be integer class ids, got torch.float32",
    ),
    ({"labels": torch.zeros(3, dtype=torch.long)}, ValueError, r"to go with 4 images, got \(3,\)"),
    ({"num_classes": None}, ValueError, "num_classes is needed"),
    ({"num_classes": 0}, ValueError, "num_classes must be a positive int, got 0"),
    ({"labels": torch.eye(4), "num_classes": 10}, ValueError, "4 columns but num_classes is 10"),
    (
        {"images": torch.zeros(4, 3, 2, 2, dtype=torch.uint8)},
        TypeError,
        "floating point, got torch.uint8",
    ),
    ({"images": torch.zeros(4)}, ValueError, r"shape \(B, …\).*got \(4,\)"),
    ({"images": torch.zeros(0, 3, 2, 2)}, ValueError, r"B ≥ 1.*got \(0, 3, 2, 2\)"),
    ({"images": [[1.0]]}, TypeError, "images must be a torch.Tensor, got list"),
    by=lambda wrong: ml.mixup(**RIGHT | wrong),
)
