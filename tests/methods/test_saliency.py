"""Maps of what is worth looking at: from the spectrum, from gradients, from features."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.methods.saliency import normalised, saliency_of
from mixlearn.nets.taps import evaluation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(channels=3):
    """Layers that behave otherwise in training: batch normalisation and dropout."""
    layers = (nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 48, 5))


def is_a_map(maps, images):
    shape = (len(images), 1, *images.shape[-2:])
    sums = torch.allclose(maps.sum((1, 2, 3)), torch.ones(len(images)), atol=1e-4)
    return maps.shape == shape and bool((maps >= 0).all()) and sums


# ------------------------------------------------------------------------------------------ the spectrum
@pytest.mark.parametrize("size", [(32, 32), (40, 64), (96, 48)])
def test_an_odd_patch_is_found(size):
    height, width = size
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    for seed, (y, x) in enumerate([(6, 8), (20, 22), (height - 12, width - 9)]):
        image = 0.1 * torch.rand(1, 3, height, width, generator=seeded(seed))
        image = image + torch.sin(0.8 * columns + 0.3 * rows)
        image[..., y : y + 5, x : x + 5] = torch.randn(1, 3, 5, 5, generator=seeded(seed)).sign() * 2
        maps = ml.spectral_residual(image)
        row, column = divmod(int(maps[0, 0].argmax()), width)
        assert abs(row - y - 2) <= 4 and abs(column - x - 2) <= 4
        inside = float(maps[0, 0, max(y - 4, 0) : y + 9, max(x - 4, 0) : x + 9].sum())
        assert inside > 3 * 13 * 13 / (height * width)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 7), (3, 1, 5, 4), (2, 3, 70, 130)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_maps_of_any_image_sum_to_one(shape, dtype):
    for images in (torch.randn(shape, generator=seeded()), torch.zeros(shape), torch.full(shape, 1e-3)):
        images = images.to(dtype)
        assert is_a_map(ml.spectral_residual(images).float(), images)


def test_each_image_has_its_own_map_whatever_its_units():
    images = torch.rand(4, 3, 32, 32, generator=seeded())
    maps = ml.spectral_residual(images)
    for i in range(4):
        assert torch.allclose(ml.spectral_residual(images[i : i + 1])[0], maps[i], atol=1e-6)
    assert torch.allclose(ml.spectral_residual(255 * images), maps, atol=1e-5)


# ------------------------------------------------------------------------------------------ gradients
def test_a_gradient_is_its_size_over_channels():
    model, images, labels = network().eval(), torch.rand(4, 3, 6, 8, generator=seeded()), torch.arange(4)
    kept = images.clone()
    found = ml.gradient_saliency(model, images, labels)
    given = images.clone().requires_grad_()
    F.cross_entropy(model(given), labels).backward()
    known = given.grad.square().mean(1, keepdim=True).sqrt()
    assert torch.allclose(found, known / known.sum((1, 2, 3), keepdim=True), atol=1e-6)
    assert is_a_map(found, images) and torch.equal(images, kept) and not images.requires_grad
    other = ml.gradient_saliency(model, images, labels, loss=lambda logits, ids: logits[:, 0].sum())
    assert not torch.allclose(other, found) and not found.requires_grad


def test_a_network_is_left_as_it_was():
    model = network()
    model[1].eval()  # frozen on purpose, among others that train
    (model[0].weight.sum() * 2).backward()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = torch.rand(2, 3, 6, 8), torch.tensor([0, 1])
    with torch.no_grad():  # the caller's mode does not matter
        once, again = (ml.gradient_saliency(model, images, labels) for _ in range(2))
    assert torch.equal(once, again)  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    grads = [parameter.grad for parameter in model.parameters()]
    assert torch.equal(grads[0], torch.full_like(grads[0], 2.0)) and all(g is None for g in grads[1:])
    with pytest.raises(RuntimeError):  # an error inside leaves no mark either
        ml.gradient_saliency(model, torch.rand(2, 4, 6, 8), labels)
    assert [module.training for module in model.modules()] == modes
    with evaluation(model):
        assert not any(module.training for module in model.modules())


def test_gradients_that_vanish_still_make_maps():
    images, labels = torch.rand(2, 1, 4, 4, generator=seeded()), torch.tensor([0, 1])
    weight = torch.rand(16, 2, generator=seeded(1))
    maps = [
        ml.gradient_saliency(lambda x, s=s: s * (x.flatten(1) @ weight), images, labels)
        for s in (1e-2, 1e-14)
    ]
    assert all(is_a_map(each, images) for each in maps) and torch.allclose(*maps, atol=1e-3)
    none = ml.gradient_saliency(lambda x: 0 * x.flatten(1)[:, :2], images, labels)
    assert torch.allclose(none, torch.full_like(none, 1 / 16))
    tiny = torch.tensor([1e-20, 3e-20]).view(1, 1, 1, 2)
    assert torch.allclose(normalised(tiny).flatten(), torch.tensor([0.25, 0.75]))


# ------------------------------------------------------------------------------------------ features
@pytest.mark.parametrize("size", [(32, 32), (16, 24)])
def test_feature_attention_is_the_mean_or_the_class_activation(size):
    net = ml.nets.resnet(8, 7, width=4, generator=seeded())
    images, labels = torch.rand(3, 3, *size, generator=seeded()), torch.tensor([6, 0, 2])
    modes = [module.training for module in net.modules()]
    maps = {ids is None: ml.feature_attention(net, images, labels=ids) for ids in (None, labels)}
    assert [module.training for module in net.modules()] == modes and any(modes)
    kept = {}
    net.eval()
    with torch.no_grad():
        net(images, tap=lambda name, features: kept.setdefault(name, features))
    features = kept["stage3"]
    for i in range(3):
        for plain in (True, False):
            weight = torch.ones(features.shape[1]) if plain else net.head.weight[labels[i]].detach()
            low = sum(w * channel for w, channel in zip(weight, features[i], strict=True))
            low = (low - low.min())[None, None]
            full = F.interpolate(low, size=size, mode="bilinear")
            assert torch.allclose(maps[plain][i : i + 1], full / full.sum(), atol=1e-5)
    assert all(is_a_map(each, images) and not each.requires_grad for each in maps.values())
    assert ml.feature_attention(net, images, "stage1").shape == (3, 1, *size)


# ------------------------------------------------------------------------------------------ bad input
def test_bad_input_is_named():
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"images must have shape \(B, C, H, W\), got \(2, 3, 4, 8, 8\)"):
        ml.spectral_residual(torch.rand(2, 3, 4, 8, 8))
    with pytest.raises(TypeError, match="images must be floating point, got torch.uint8"):
        ml.spectral_residual(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="images must be floating point, got torch.int64"):
        ml.gradient_saliency(network(), torch.zeros(2, 3, 6, 8, dtype=torch.long), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"saliency must have shape \(2, 1, 8, 8\), got \(2, 3, 8, 8\)"):
        saliency_of(images, images)
    with pytest.raises(ValueError, match=r"saliency must have shape \(2, 1, 8, 8\), got \(2, 8, 8\)"):
        saliency_of(lambda x: x.mean(1), images)
    net = ml.nets.resnet(8, 10, width=4)
    with pytest.raises(ValueError, match=r"the network has the taps input, .*stage3.*, it has no 'stage9'"):
        ml.feature_attention(net, torch.rand(2, 3, 32, 32), "stage9")
