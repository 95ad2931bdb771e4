"""AutoMix: who receives which gradient, the twin, the schedules, and that the quick step is the plain one."""

import math
from functools import partial

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments import recipes
from experiments.chapters import automix
from experiments.rivals import Averaged
from mixlearn.methods.learners import AutoMix
from mixlearn.methods.twin import Twin, slow_down
from mixlearn.nets.taps import WithHead

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(seed=0, **options):
    net = ml.nets.resnet(8, 4, width=4, generator=seeded(seed))
    learner = AutoMix(net, stage="stage2", image_size=16, generator=seeded(seed + 1), **options)
    for parameter in learner.block.parameters():  # masks that are not all ½
        parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=seeded(2)))
    return net, learner


def gradients(module):
    return [p.grad for p in module.parameters()]


def touched(module):
    return any(g is not None and bool(g.abs().sum() > 0) for g in gradients(module))


@pytest.mark.parametrize("plainly", [False, True])
@pytest.mark.parametrize(
    ("term", "net", "own_head", "mix_head", "block"),
    [
        ("clean", True, True, False, False),
        ("mixed", True, False, True, False),
        ("generator", False, False, False, True),
        ("mask", False, False, False, True),
    ],
)
def test_each_term_reaches_whom_it_should(term, net, own_head, mix_head, block, plainly):
    model, learner = made(plainly=plainly, margin=0.0)
    learner(model, IMAGES, LABELS, generator=seeded())[term].backward()
    body = nn.ModuleList([model.stem, model.groups])
    assert touched(body) == net and touched(model.head) == own_head
    assert touched(learner.mix_head) == mix_head and touched(learner.block) == block
    assert all(g is None for g in gradients(learner.twin))


def test_the_quick_step_has_the_plain_steps_gradients():
    found = []
    for plainly in (False, True):
        model, learner = made(plainly=plainly)
        terms = learner(model, IMAGES, LABELS, generator=seeded(4))
        torch.stack(list(terms.values())).sum().backward()
        parts = [p for p in (*model.parameters(), *learner.parameters()) if p.requires_grad]
        found.append(torch.cat([p.grad.flatten() for p in parts]))
    assert (found[0] - found[1]).abs().max() < 1e-5 and found[0].abs().max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"joint": True}, {"plainly": True}])
def test_part_by_part_gives_the_gradients_of_the_whole(options):
    found = []
    for apart in (False, True):
        model, learner = made(**options)
        drawn = seeded(4)
        if apart:
            for part in learner.in_parts(model, IMAGES, LABELS, generator=drawn):
                sum(part.values()).backward()
        else:
            sum(learner(model, IMAGES, LABELS, generator=drawn).values()).backward()
        parts = [p for p in (*model.parameters(), *learner.parameters()) if p.requires_grad]
        found.append(torch.cat([p.grad.flatten() for p in parts]))
    assert (found[0] - found[1]).abs().max() < 1e-6 and found[0].abs().max() > 1e-3


def test_no_two_parts_share_a_graph_or_keep_one():
    model, learner = made()
    kept = []
    for part in learner.in_parts(model, IMAGES, LABELS, generator=seeded()):
        sum(part.values()).backward()
        with pytest.raises(RuntimeError, match="second time"):  # nothing was retained
            sum(part.values()).backward()
        kept.append(list(part))
    assert kept == [["generator", "mask"], ["mixed"], ["clean"]]


@pytest.mark.parametrize("ablate", [("clean",), ("generator", "mask"), ("mask", "mixed")])
def test_fit_takes_each_part_and_leaves_out_what_is_ablated(ablate):
    data = torch.utils.data.TensorDataset(IMAGES, LABELS)
    model, learner = made()
    before = [p.detach().clone() for p in learner.block.parameters()]
    history = ml.fit(
        model, torch.utils.data.DataLoader(data, 6), learner, epochs=1, ablate=ablate, progress=False
    )
    assert set(history.last) >= {"clean", "mixed", "generator", "mask"}
    moved = any(not torch.equal(a, b) for a, b in zip(before, learner.block.parameters(), strict=True))
    assert moved == (ablate != ("generator", "mask"))
    with pytest.raises(ValueError, match="ablate names"):
        ml.fit(model, torch.utils.data.DataLoader(data, 6), learner, epochs=1, ablate=("x",), progress=False)


def test_the_twin_follows_in_closed_form():
    net, learner = made(momentum=0.9)
    start = [p.detach().clone() for p in learner.twin["net"].parameters()]
    steps = 5
    for parameter in net.parameters():
        parameter.data.add_(1.0)
    for _ in range(steps):
        learner.after_step(net)
    for slow, first, fast in zip(learner.twin["net"].parameters(), start, net.parameters(), strict=True):
        assert torch.allclose(slow, 0.9**steps * first + (1 - 0.9**steps) * fast, atol=1e-5)
        assert not slow.requires_grad


@pytest.mark.parametrize("rule", ["averaged", "own"])
def test_running_means_follow_their_rule(rule):
    layer = nn.BatchNorm1d(2)
    twin = Twin({"layer": layer}, momentum=0.5, buffers=rule)
    layer(torch.full((4, 2), 10.0))
    seen = layer.running_mean.clone()
    twin.follow({"layer": layer})
    assert torch.equal(twin["layer"].running_mean, seen / 2 if rule == "averaged" else torch.zeros(2))
    assert int(twin["layer"].num_batches_tracked) == (1 if rule == "averaged" else 0)


def test_momentum_is_constant_then_a_cosine():
    assert slow_down(0.0999) == 0.999
    for progress in (0.1, 0.3, 0.77, 1.0):
        expected = 0.999999 - (0.999999 - 0.999) * (1 + math.cos(math.pi * progress)) / 2
        assert slow_down(progress) == pytest.approx(expected, abs=1e-12)
    net, learner = made(momentum=lambda progress: progress)
    learner.advance(0.25)
    learner.after_step(net)
    assert learner.twin.momentum == 0.25


def test_the_mask_loss_fades_as_a_cosine_and_does_not_compound():
    net, learner = made(margin=0.0, momentum=1.0)
    held = float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach())
    for progress in (0.5, 0.5, 0.25, 1.0):  # told twice, it does not fall twice
        learner.advance(progress)
        now = float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach())
        assert now == pytest.approx(held * (1 + math.cos(math.pi * progress)) / 2, rel=1e-3, abs=1e-8)
    learner.fade = False
    assert float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach()) == pytest.approx(
        held, rel=1e-3
    )


def test_decided_masks_are_asked_for_by_their_variance():
    found, seen = {}, []
    for variance in (0.0, 3.0):
        net, learner = made(variance=variance, mask_weight=0.2)
        learner.block.register_forward_hook(lambda *given: seen.append(given[2].detach()))
        found[variance] = learner(net, IMAGES, LABELS, generator=seeded())["mask"].item()
    mean = seen[0].mean((1, 2, 3), keepdim=True)
    spread = float((seen[0] - mean).square().mean())
    assert found[0.0] - found[3.0] == pytest.approx(0.2 * 3 * spread, abs=1e-6)


@pytest.mark.parametrize("kind", [AutoMix, ml.learners.SAMix])
def test_with_the_batch_mean_the_variance_is_that_of_all_masks_together(kind):
    found, seen = {}, []
    for variance in (0.0, 2.0):
        net = ml.nets.resnet(8, 4, width=4, generator=seeded())
        learner = kind(
            net, stage="stage2", image_size=16, batch_mean=True, variance=variance, generator=seeded(1)
        )
        for parameter in learner.block.parameters():
            parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=seeded(2)))
        learner.block.register_forward_hook(lambda *given: seen.append(given[2].detach()))
        found[variance] = learner(net, IMAGES, LABELS, generator=seeded())["mask"].item()
    masks = seen[0]
    together = float((masks - masks.mean()).square().mean())
    each = float((masks - masks.mean((1, 2, 3), keepdim=True)).square().mean())
    between = float((masks.mean((1, 2, 3)) - masks.mean()).square().mean())
    assert together == pytest.approx(each + between, abs=1e-6) and between > 1e-4
    assert found[0.0] - found[2.0] == pytest.approx(learner.mask_weight * 2 * together, abs=1e-6)


def test_nobody_is_its_own_partner_where_that_is_asked():
    for allowed in (True, False):
        partners, (net, learner) = [], made(fixed_points=allowed)
        learner.block.register_forward_hook(lambda *given: partners.append(given[1][2]))  # noqa: B023
        for seed in range(20):
            learner(net, IMAGES[:3], LABELS[:3], generator=seeded(seed))
        own = [bool((partner == torch.arange(3)).any()) for partner in partners]
        assert len(own) > 20 and any(own) == allowed
    with pytest.raises(ValueError, match="a batch of 1 image has no partner but itself"):
        learner(net, IMAGES[:1], LABELS[:1])


def test_extreme_shares_make_a_plain_mixup():
    net, learner = made(plain_beyond=0.5)
    features = torch.randn(6, 8, 8, 8, generator=seeded())
    masks = learner._taught(features, torch.tensor([0.3]), torch.arange(6), (16, 16))
    assert torch.equal(masks, torch.full((6, 1, 16, 16), 0.3))


def test_one_joint_update_reaches_all_and_has_no_twin():
    net, learner = made(joint=True)
    terms = learner(net, IMAGES, LABELS, generator=seeded())
    assert list(terms) == ["clean", "mixed", "mask"] and learner.twin is None
    terms["mixed"].backward()
    assert touched(net) and touched(learner.block) and touched(learner.mix_head)
    learner.after_step(net)
    assert learner.deployed(net) is net


def test_who_predicts_is_declared_before():
    for deploy, head in (("twin", "clean"), ("twin", "mixed"), ("network", "clean"), ("network", "mixed")):
        net, learner = made(deploy=deploy, deploy_head=head)
        found = learner.deployed(net)
        inner = found.net if isinstance(found, WithHead) else found
        assert (inner is net) == (deploy == "network")
        assert isinstance(found, WithHead) == (head == "mixed")
        assert found(IMAGES).shape == (6, 4)


@pytest.mark.parametrize(
    ("net", "stage"),
    [
        (partial(ml.nets.resnet, 18, 4, width=4), "stage3"),
        (partial(ml.nets.preact_resnet, 18, 4, width=4), "stage2"),
        (partial(ml.nets.vit, 4, size=16, dim=12, depth=2, heads=3), "block1"),
    ],
)
def test_trains_on_several_networks(net, stage):
    model = net(generator=seeded())
    learner = AutoMix(model, stage=stage, image_size=16, momentum=0.9)
    terms = learner(model, IMAGES, LABELS, generator=seeded())
    torch.stack(list(terms.values())).sum().backward()
    assert touched(learner.block) and touched(model)


def test_the_recipe_builds_it_and_measures_who_predicts():
    result = recipes.fashion(
        partial(AutoMix, stage="stage2", momentum=0.9),
        images=64,
        epochs=1,
        batch_size=32,
        width=4,
        test=[(IMAGES[:, :1, :14, :14].repeat(1, 1, 2, 2), LABELS)],
        progress=False,
    )
    assert {"clean", "mixed", "generator", "mask"} <= set(result.history.last)
    assert not any(p.requires_grad for p in result.model.parameters()), "the twin predicts"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": "stage9"}, "it has no 'stage9'"),
        ({"stage": "stage3", "image_size": 18}, "must divide images of 18 × 18"),
        ({"alpha": 0.0}, "alpha must be positive and finite, got 0.0"),
        ({"deploy": "both"}, "deploy must be 'twin' or 'network', got 'both'"),
        ({"deploy_head": "k"}, "deploy_head must be 'clean' or 'mixed', got 'k'"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"buffers": "none"}, "buffers must be 'averaged' or 'own', got 'none'"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        AutoMix(ml.nets.resnet(8, 4, width=4), **{"stage": "stage2", "image_size": 16} | options)


def test_the_control_trains_as_its_learner_and_predicts_with_the_twin():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    control = Averaged(net, partial(ml.mixup, alpha=1.0), momentum=0.5, smoothing=0.1)
    bare = ml.learners.Mixing(partial(ml.mixup, alpha=1.0), 4, 0.1)
    ours, theirs = (
        one(net.eval(), IMAGES, LABELS, generator=seeded(1))["mixed_labels"] for one in (control, bare)
    )
    assert torch.equal(ours, theirs)
    before = net.head.bias.detach().clone()
    net.head.bias.data.add_(2.0)
    control.after_step(net)
    assert torch.allclose(control.deployed(net).head.bias, before + 1.0)
    assert [p for p in control.parameters() if p.requires_grad] == []
    scheduled = Averaged(net, momentum=lambda progress: progress)
    scheduled.advance(0.75)
    assert scheduled.twin.momentum == 0.75


def test_every_setting_of_the_experiment_is_what_it_says():
    settings = automix
    said = {name: setting(dry=True).settings for name, setting in settings.items()}
    assert len(settings) == 30 and len({str(words) for words in said.values()}) == 30
    assert all(words["mix"].startswith(("AutoMix(", "SAMix(", "Averaged(")) for words in said.values())
    assert said["automix-fashion-no-clean"]["ablated"] == "clean"
    assert said["automix-fashion-automix"]["mix"] == (
        "AutoMix(stage='stage2', momentum=slow_down(start=0.9, end=0.9999), block={'std': 0.3})"
    )
