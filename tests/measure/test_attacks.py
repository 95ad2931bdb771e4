"""FGSM and PGD: the step is the formula's, the ball is one of pixels, and the network is left as it was."""

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.5)


def normalised(pixels):
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def as_pixels(images):
    return images * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)


@pytest.fixture
def net():
    return ml.nets.resnet(8, 4, width=4, generator=seeded())


PIXELS, LABELS = torch.rand(5, 3, 12, 12, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0])


def test_one_step_is_the_formula(net):
    net.eval()
    images = normalised(PIXELS)
    shown = images.clone().requires_grad_()
    F.cross_entropy(net(shown), LABELS).backward()
    expected = normalised((PIXELS + 8 / 255 * shown.grad.sign()).clamp(0, 1))
    found = ml.measure.fgsm(net, images, LABELS, mean=MEAN, std=STD)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("start", [True, False])
def test_steps_stay_in_the_ball_of_pixels(net, start):
    images = normalised(PIXELS)
    options = {"epsilon": 0.03, "step": 0.02, "steps": 7, "start": start, "mean": MEAN, "std": STD}
    found = ml.measure.pgd(net, images, LABELS, **options, generator=seeded(2))
    moved = as_pixels(found)
    assert (moved - PIXELS).abs().max() <= 0.03 + 1e-6
    assert moved.min() >= -1e-6 and moved.max() <= 1 + 1e-6
    net.eval()
    assert F.cross_entropy(net(found), LABELS) > F.cross_entropy(net(images), LABELS)


def test_the_network_and_the_images_are_left_as_they_were(net):
    images = normalised(PIXELS)
    before, weights = images.clone(), {k: v.clone() for k, v in net.state_dict().items()}
    net.head.weight.requires_grad_(False)
    ml.measure.pgd(net, images, LABELS, steps=2, mean=MEAN, std=STD, generator=seeded())
    assert torch.equal(images, before) and net.training and all(m.training for m in net.modules())
    assert all(torch.equal(v, weights[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_attacked_accuracy_takes_the_sets_own_mean_and_falls():
    few = ml.data.load("fashion").train.subset(200, generator=seeded())
    net = ml.nets.resnet(8, 10, width=4, channels=1, generator=seeded())
    ml.fit(net, few, ml.learners.Plain(), epochs=8, batch_size=20, progress=False)
    clean = ml.measure.evaluate(net, few)["accuracy"]
    fast = ml.measure.attacked(net, few)
    slow = ml.measure.attacked(net, few, ml.measure.pgd, steps=5, generator=seeded())
    assert ml.measure.attacked(net, few, epsilon=0.0) == pytest.approx(clean, abs=0.02)
    assert clean > 0.5 and slow <= fast + 0.02 and fast < clean


@pytest.mark.parametrize(
    ("options", "words"),
    [({"epsilon": -1}, "epsilon ≥ 0"), ({"std": (1.0, 0.0, 1.0)}, "std must be positive")],
)
def test_bad_options_are_named(net, options, words):
    refused(lambda: ml.measure.pgd(net, normalised(PIXELS), LABELS, **options), words)


def test_normalised_images_without_their_mean_are_refused(net):
    with pytest.raises(ValueError, match="give the mean and std by which they were normalised"):
        ml.measure.attacked(net, [(normalised(PIXELS), LABELS)])
