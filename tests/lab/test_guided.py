"""Learners that ask the network, methods by stage, and what a transformer attends to."""

import math

import pytest
import torch

import mixlearn as ml
from mixlearn.lab import experiments
from mixlearn.lab.recipes.vit import small_vit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_net(**options):
    net = ml.nets.resnet(8, 4, width=4, channels=1, generator=seeded(), **options)
    torch.nn.init.normal_(net.head.weight, generator=seeded(1))
    return net


IMAGES, LABELS = torch.rand(6, 1, 8, 8, generator=seeded(2)), torch.arange(6) % 4


def test_guided_mixes_by_the_gradient_of_the_network_and_leaves_it_alone():
    net = small_net()
    running = net.stem[1].running_mean.clone()
    seen = []

    def mix(images, labels, *, saliency, **options):
        seen.append(saliency)
        return ml.puzzlemix(images, labels, saliency=saliency, **options)

    loss = ml.learners.Guided(mix, num_classes=4)(net, IMAGES, LABELS, generator=seeded(3))["mixed_labels"]
    assert torch.equal(seen[0], ml.gradient_saliency(net, IMAGES, LABELS)) or not torch.equal(
        running, net.stem[1].running_mean
    )
    assert net.training and net.stem[1].training
    loss.backward()
    assert net.head.weight.grad.abs().sum() > 0
    maps = ml.gradient_saliency(small_net(), IMAGES, LABELS)
    mixed = ml.puzzlemix(IMAGES, LABELS, num_classes=4, saliency=maps, generator=seeded(3))
    expected = ml.soft_cross_entropy(small_net()(mixed.images), mixed.targets)
    assert torch.allclose(loss, expected, atol=1e-5)


def test_guided_takes_any_guide():
    learner = ml.learners.Guided(ml.snapmix, experiments.class_activation, num_classes=4, smoothing=0.1)
    assert repr(learner) == "Guided(snapmix, class_activation)"
    assert learner(small_net(), IMAGES, LABELS, generator=seeded())["mixed_labels"].isfinite()


def test_each_stage_has_its_method():
    calls = []

    def counted(name):
        def mix(values, labels, **options):
            calls.append((name, tuple(values.shape)))
            return ml.mixup(values, labels, **options)

        return mix

    learner = ml.learners.MixingInside({"input": counted("a"), "stage3": counted("b")}, num_classes=4)
    for seed in range(8):
        learner(small_net(), IMAGES, LABELS, generator=seeded(seed))
    assert set(calls) == {("a", (6, 1, 8, 8)), ("b", (6, 16, 2, 2))}
    with pytest.raises(ValueError, match=r"stages are named by mix already, \['input'\]; got \['stem'\]"):
        ml.learners.MixingInside({"input": ml.mixup}, ["stem"])
    with pytest.raises(ValueError, match="stages must be one or more names"):
        ml.learners.MixingInside({})


def test_alignmix_trains_inside_a_network():
    learner = ml.learners.MixingInside({"stage3": ml.alignmix}, num_classes=4)
    net = small_net()
    learner(net, IMAGES, LABELS, generator=seeded())["mixed_labels"].backward()
    assert net.stem[0].weight.grad.abs().sum() > 0


def test_the_attention_of_the_class_token_is_that_of_the_last_layer():
    net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, heads=3, channels=1, generator=seeded())
    kept = {}
    net(IMAGES, tap=lambda name, tokens: kept.setdefault(name, tokens))
    attention = net.class_attention(kept["block1"])
    layer, tokens = net.layers[-1], kept["block1"]
    qkv = layer.qkv(layer.attend_norm(tokens)).view(6, 5, 3, 3, 4)
    for image in range(6):
        heads = []
        for head in range(3):
            scores = qkv[image, 0, 0, head] @ qkv[image, :, 1, head].T / 2
            heads.append(scores.softmax(0)[1:])
        assert torch.allclose(attention[image].flatten(), torch.stack(heads).mean(0), atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2])
def test_transmix_weighs_labels_by_attention(depth):
    net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=depth, channels=1, generator=seeded())
    torch.nn.init.normal_(net.head.weight, generator=seeded(1))
    assert repr(ml.learners.TransMixing(ml.cutmix)) == "TransMixing(cutmix)"
    assert repr(ml.learners.TransMixing(ml.cutmix, share=1.0)) == "TransMixing(cutmix, share=1.0)"
    learner = ml.learners.TransMixing(ml.cutmix, num_classes=4)
    found = learner(net, IMAGES, LABELS, generator=seeded(5))["mixed_labels"]
    mixed = ml.cutmix(IMAGES, LABELS, num_classes=4, generator=seeded(5))
    kept = {}
    logits = net(mixed.images, tap=lambda name, tokens: kept.setdefault(name, tokens))
    attention = net.class_attention(kept["patches" if depth == 1 else "block1"])
    targets = ml.transmix(mixed.plan, attention).soften(LABELS, 4)
    assert torch.allclose(found, ml.soft_cross_entropy(logits, targets))
    assert not torch.allclose(found, ml.soft_cross_entropy(logits, mixed.targets))
    with pytest.raises(TypeError, match="TransMix needs a network with class_attention, .* got ResNet"):
        learner(small_net(), IMAGES, LABELS)


def test_the_small_transformer_and_the_masks_train():
    settings = experiments.masks()
    assert len(settings) == 2 * 14
    for name in ("masks-fashion-alignmix", "masks-fashion-comixup", "masks-fashion-vit-transmix"):
        outcome = settings[name](seed=0, epochs=1, images=40, progress=False)
        assert math.isfinite(outcome.history.epochs[0]["loss"])
    outcome = settings["masks-emoji-vit-cutmix"](seed=0, epochs=1, images=40, progress=False)
    assert outcome.settings["mix"] == "RandomMix([cutmix], p=0.5)"
    with pytest.raises(ValueError, match="name must be 'fashion' or 'emoji', got 'cifar'"):
        small_vit(name="cifar")
