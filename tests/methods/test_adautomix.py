"""AdAutoMix: the block against the authors' procedure written out, the terms, who learns from which."""

import pytest
import torch
import torch.nn.functional as F

import mixlearn as ml
from mixlearn.methods.adautomix import AdMixBlock
from tests.refused import refused
from tests.seeds import seeded

IMAGES, IDS = torch.rand(6, 3, 8, 8, generator=seeded()), torch.tensor([0, 1, 2, 3, 0, 1])


def made(**options):
    net = ml.nets.resnet(8, 4, width=4, generator=seeded(1)).eval()
    learner = ml.learners.AdAutoMix(net, stage="stage2", image_size=8, generator=seeded(2), **options)
    for layer in (learner.block.look, learner.block.key, learner.block.value):
        torch.nn.init.normal_(layer.weight, generator=seeded(4))
    learner.twin["net"].eval()
    return net, learner


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("embed", [False, True])
def test_the_block_attends_to_all_others_together(count, embed):
    block = AdMixBlock(6, embed=embed, std=1.0, generator=seeded(1))
    torch.nn.init.normal_(block.value.weight, generator=seeded(2))
    features = torch.randn(5, 6, 4, 4, generator=seeded(3))
    sources = torch.stack(
        [torch.arange(5), *(torch.randperm(5, generator=seeded(k)) for k in range(count - 1))]
    )
    lam = torch.rand(count, generator=seeded(9))
    lam = lam / lam.sum()
    tokens = []
    for i in range(count):
        z = features[sources[i]].flatten(2).mT
        tokens.append(torch.cat([z, lam[i].expand(5, 16, 1)], 2) if embed else z)
    q, k, v = ([layer(z) for z in tokens] for layer in (block.look, block.key, block.value))
    scores = []
    for i in range(count):
        alike = sum(q[i] @ k[j].mT for j in range(count) if j != i) / 3**0.5
        scores.append((alike.softmax(2) @ v[i]).view(5, 1, 4, 4))
    expected = F.interpolate(torch.cat(scores, 1), size=(8, 8), mode="bilinear").softmax(1)
    found = block(features, lam, sources, (8, 8))
    assert found.shape == (count, 5, 1, 8, 8)
    assert torch.allclose(found[:, :, 0].transpose(0, 1), expected, atol=1e-5)


@pytest.mark.parametrize("hard", [True, False])
def test_the_terms_are_those_of_the_release(hard):
    net, learner = made(images=3, beta=0.3, ratio=0.25, smoothing=0.1)
    if not hard:
        learner.after_step(net)
    found = learner(net, IMAGES, IDS, generator=seeded(7))
    g, twin, head = seeded(7), learner.twin["net"], learner.twin["mix_head"]
    drawn = []
    for _ in range(2):
        lam = ml.sample_lam(3, 1.0, generator=g)
        others = [ml.sample_partner(6, generator=g) for _ in range(2)]
        drawn.append((lam / lam.sum(), torch.stack([torch.arange(6), *others])))
    kept, rows = {}, ml.one_hot(IDS, 4)
    twin(IMAGES, tap=lambda name, z: kept.setdefault(name, z))

    def judged(net, head, lam, sources, masks):
        mixed = sum(masks[i] * IMAGES[sources[i]] for i in range(3))
        target = sum(lam[i] * rows[sources[i]] for i in range(3))
        pooled = {}
        net(mixed, tap=lambda name, z: pooled.setdefault(name, z))
        logits = head(pooled["pool"])
        return logits, -(ml.smooth(target, 0.1) * logits.log_softmax(1)).sum(1).mean()

    lam, sources = drawn[0]
    logits, loss = judged(twin, head, lam, sources, learner.block(kept["stage2"], lam, sources, (8, 8)))
    if hard:
        pooled = {}
        twin(IMAGES, tap=lambda name, z: pooled.setdefault(name, z))
        clean = head(pooled["pool"])
        near = sum(lam[i] * torch.cosine_similarity(logits, clean[sources[i]], dim=1) for i in range(3))
        loss = -0.3 * loss + 0.7 * near.mean()
    assert torch.allclose(found["generator"], loss, atol=1e-5)
    lam, sources = drawn[1]
    assert 0.03 < lam[0] < 0.97
    masks = learner.block(kept["stage2"], lam, sources, (8, 8))
    assert torch.allclose(found["mixed"], judged(net, learner.mix_head, lam, sources, masks)[1], atol=1e-5)
    blend = judged(net, learner.mix_head, lam, sources, lam.view(3, 1, 1, 1, 1))[1]
    assert torch.allclose(found["blended"], 0.25 * blend, atol=1e-5)
    assert torch.allclose(
        found["clean"], 0.75 * F.cross_entropy(net(IMAGES), IDS, label_smoothing=0.1), atol=1e-5
    )


def test_block_and_network_learn_from_their_own_terms_alone():
    net, learner = made()
    parts = [net.stem[0].weight, learner.mix_head.weight, learner.block.look.weight]
    reached = {}
    for part in learner.in_parts(net, IMAGES, IDS, generator=seeded(7)):
        for name, term in part.items():
            slopes = torch.autograd.grad(term, parts, allow_unused=True)
            reached[name] = [bool(slope is not None and slope.any()) for slope in slopes]
    assert reached == {
        "generator": [False, False, True],
        "mixed": [True, True, False],
        "blended": [True, True, False],
        "clean": [True, False, False],
    }
    turns = []
    for _ in range(4):
        turns.append(learner._hard)
        learner.after_step(net)
    assert turns == [True, False, True, False]


def test_plain_blends_near_the_ends_and_what_it_refuses():
    net, learner = made(plain_beyond=0.5)
    terms = learner(net, IMAGES, IDS, generator=seeded(7))
    assert torch.allclose(2 * terms["blended"], terms["mixed"])
    refused(lambda: made(images=1), "images must be at least 2, got 1")
    refused(lambda: made(beta=1.5), r"beta must lie in \[0, 1\], got 1.5")
    refused(
        lambda: made(margin=0.1, joint=True), "no mask loss and always a twin, got joint, margin", TypeError
    )


def test_a_resumed_learner_takes_the_step_whose_turn_it_is():
    net, learner = made()
    learner.after_step(net)
    _, other = made()
    other.load_state_dict(learner.state_dict())
    terms = [one(net, IMAGES, IDS, generator=seeded(7))["generator"] for one in (learner, other, made()[1])]
    assert torch.equal(terms[0], terms[1]) and not torch.equal(terms[0], terms[2])
