"""Learners that ask the network, methods by stage, and what a transformer attends to."""

import math

import lightning
import pytest
import torch

import mixlearn as ml
from experiments.chapters.chapter_4 import class_activation, masks
from experiments.recipes import small_vit
from tests.refused import refused
from tests.seeds import seeded


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
    learner = ml.learners.Guided(ml.snapmix, class_activation, num_classes=4, smoothing=0.1)
    assert repr(learner) == "Guided(snapmix, class_activation, smoothing=0.1)"
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
    refused(lambda: ml.learners.MixingInside({}), "stages must be one or more names")


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
    settings = masks
    assert len(settings) == 2 * 14 + 1
    for name in ("masks-fashion-alignmix", "masks-fashion-comixup", "masks-fashion-vit-transmix"):
        outcome = settings[name](seed=0, epochs=1, images=40, progress=False)
        assert math.isfinite(outcome.history.epochs[0]["loss"])
    outcome = settings["masks-emoji-vit-cutmix"](seed=0, epochs=1, images=40, progress=False)
    assert outcome.settings["mix"] == "RandomMix([cutmix], p=0.5)"
    refused(lambda: small_vit(name="cifar"), "name must be 'fashion' or 'emoji', got 'cifar'")


def fabric_step(learner, precision, net, images=IMAGES):
    """The loss of one step in a loop of Fabric, as a user writes it, and the network that took it."""
    fabric = lightning.Fabric(accelerator="cpu", precision=precision)
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), 0.1))
    loss = learner(model, images, LABELS, generator=seeded(3))["mixed_labels"]
    fabric.backward(loss)
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("method", [ml.puzzlemix, ml.snapmix])
def test_guided_trains_in_a_loop_of_fabric(method, precision):
    net = small_net()
    before = net.head.weight.detach().clone()
    loss = fabric_step(ml.learners.Guided(method, num_classes=4), precision, net)
    plain = ml.learners.Guided(method, num_classes=4)(small_net(), IMAGES, LABELS, generator=seeded(3))
    if precision != "bf16-true":  # whose weights are rounded too
        assert float(loss) == pytest.approx(float(plain["mixed_labels"].detach()), rel=0.02)
    assert loss.isfinite() and not torch.equal(net.head.weight.float(), before)


def test_guided_hands_saliency_to_those_methods_of_a_random_mix_that_take_it():
    calls = []

    def guide(model, images, labels):
        calls.append(len(images))
        return ml.gradient_saliency(model, images, labels)

    mix = ml.RandomMix([ml.puzzlemix, ml.mixup], p=0.6, num_classes=4)
    learner, kinds = ml.learners.Guided(mix, guide), set()
    for seed in range(8):
        calls.clear()
        found = learner(small_net(), IMAGES, LABELS, generator=seeded(seed))["mixed_labels"]
        maps = ml.gradient_saliency(small_net(), IMAGES, LABELS)
        mixed = mix(IMAGES, LABELS, saliency=maps, generator=seeded(seed))
        assert torch.allclose(
            found, ml.soft_cross_entropy(small_net()(mixed.images), mixed.targets), atol=1e-5
        )
        kind = "none" if bool((mixed.plan.lam == 1).all()) else type(mixed.plan).__name__
        assert calls == ([6] if kind == "PuzzlePlan" else [])  # no pass for maps that nobody reads
        kinds.add(kind)
    assert kinds == {"none", "PuzzlePlan", "MixPlan"}
    found = ml.learners.Guided(ml.RandomMix([ml.puzzlemix, ml.cutmix], num_classes=4, per_image=True), guide)
    assert found(small_net(), IMAGES, LABELS, generator=seeded())["mixed_labels"].isfinite()


@pytest.mark.parametrize("mix", [ml.mixup, ml.RandomMix([ml.mixup, ml.cutmix], num_classes=4)])
def test_guided_refuses_methods_that_do_not_look(mix):
    with pytest.raises(
        TypeError, match=r"mix must take saliency=, as ml.puzzlemix does, got .*ml.learners.Mix"
    ):
        ml.learners.Guided(mix)


def staged_tokens(net, images):
    """What enters the last layer of a transformer of two."""
    kept = {}
    net(images, tap=lambda name, tokens: kept.setdefault(name, tokens))
    return kept["block1"]


@pytest.mark.parametrize("p", [0.5, 1.0])
@pytest.mark.parametrize("per_image", [False, True])
def test_transmix_takes_a_random_mix_that_knows_the_classes(p, per_image):
    net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, channels=1, generator=seeded())
    torch.nn.init.normal_(net.head.weight, generator=seeded(1))
    mix = ml.RandomMix([ml.cutmix, ml.mixup], p=p, num_classes=4, per_image=per_image)
    for seed in range(2):
        found = ml.learners.TransMixing(mix)(net, IMAGES, LABELS, generator=seeded(seed))["mixed_labels"]
        mixed = mix(IMAGES, LABELS, generator=seeded(seed))
        logits, tokens = net(mixed.images), staged_tokens(net, mixed.images)
        plan = ml.transmix(mixed.plan, net.class_attention(tokens))
        assert torch.allclose(found, ml.soft_cross_entropy(logits, plan.soften(LABELS, 4)), atol=1e-6)
    soft = ml.learners.TransMixing(ml.cutmix)(net, IMAGES, torch.eye(4)[LABELS], generator=seeded())
    hard = ml.learners.TransMixing(ml.cutmix, num_classes=4)(net, IMAGES, LABELS, generator=seeded())
    assert torch.allclose(soft["mixed_labels"], hard["mixed_labels"])
