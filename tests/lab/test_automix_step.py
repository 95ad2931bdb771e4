"""AutoMix's step recomputed by hand, from the same draws; its twin's running means; 16 bits; odd batches."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mixlearn as ml
from experiments import recipes
from experiments.rivals import Averaged
from mixlearn.methods.learner import Twin
from mixlearn.methods.learners import AutoMix, SAMix
from tests.seeds import seeded

IMAGES, LABELS = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])


def made(kind=AutoMix, **options):
    """A learner whose twin differs from its network, and whose masks are not all ½."""
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = kind(net, stage="stage2", image_size=16, margin=0.0, generator=seeded(1), **options)
    for parameter in learner.block.parameters():
        parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=seeded(2)))
    for parameter in net.parameters():
        parameter.data.mul_(1.3).add_(0.02)
    return net, learner


def soft(logits, labels, partner, lam, smoothing):
    rows = F.one_hot(labels, 4).float()
    rows = lam * rows + (1 - lam) * rows[partner]
    rows = rows * (1 - smoothing) + smoothing / 4
    return -(rows * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_four_terms_are_the_formulas(seed):
    net, learner = made(smoothing=0.1, mask_weight=0.7)
    terms = learner(net, IMAGES, LABELS, generator=seeded(seed))
    g = seeded(seed)  # the block's λ and partners first, then the network's
    draws = [(ml.sample_lam(1, 2.0, generator=g), ml.sample_partner(6, generator=g)) for _ in range(2)]
    (lam_m, partner_m), (lam_b, partner_b) = draws
    twin, head = learner.twin["net"], learner.twin["mix_head"]
    features, kept = [], {}
    twin(IMAGES, tap=lambda name, x: features.append(x) or x if name == "stage2" else x)
    judged, taught = (learner.block(features[0], lam, partner, (16, 16)) for lam, partner in draws)

    def last(model, head, masks, partner):
        mixed = masks * IMAGES + (1 - masks) * IMAGES[partner]
        model(mixed, tap=lambda name, x: kept.update({name: x}) or x)
        return head(kept["pool"])

    expected = {
        "clean": F.cross_entropy(net(IMAGES), LABELS, label_smoothing=0.1),
        "mixed": soft(last(net, learner.mix_head, taught, partner_b), LABELS, partner_b, lam_b, 0.1),
        "generator": soft(last(twin, head, judged, partner_m), LABELS, partner_m, lam_m, 0.1),
        "mask": 0.7 * (judged.mean((1, 2, 3)) - lam_m).abs().mean(),
    }
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), abs=2e-5), name


def test_an_averaged_twins_running_means_are_averages_whatever_it_sees():
    net, learner = made(momentum=0.9)
    bare = ml.nets.resnet(8, 4, width=4)
    bare.load_state_dict(learner.twin["net"].state_dict())
    expected = {name: b.clone() for name, b in bare.named_buffers() if b.is_floating_point()}
    for step in range(4):
        learner(net, IMAGES + step, LABELS, generator=seeded(step))
        learner.after_step(net)
        now = dict(net.named_buffers())
        expected = {name: 0.9 * b + 0.1 * now[name] for name, b in expected.items()}
    found = dict(learner.twin["net"].named_buffers())
    assert all(torch.allclose(found[name], b, atol=1e-6) for name, b in expected.items())
    control = Averaged(net, momentum=0.9)  # by the same rule
    assert {m.momentum for m in control.twin.modules() if isinstance(m, nn.BatchNorm2d)} == {0.0}


@pytest.mark.parametrize("options", [{"buffers": "own"}, {"plainly": True}, {"joint": True}])
def test_layers_after_the_stage_see_as_many_batches_as_those_before(options):
    net, learner = made(**options)
    learner(net, IMAGES, LABELS, generator=seeded())
    seer = net if learner.twin is None else learner.twin["net"]
    counts = [int(m.num_batches_tracked) for m in seer.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(set(counts)) == 1 and counts[0] == (3 if learner.twin is None else 2)


@pytest.mark.parametrize("kind", [AutoMix, SAMix, partial(AutoMix, joint=True)])
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_trains_in_mixed_precision_with_a_last_batch_of_one(kind, precision):
    net, learner = made(kind)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES[:5], LABELS[:5]), batch_size=2)
    history = ml.fit(net, loader, learner, epochs=1, precision=precision, progress=False)
    assert all(torch.isfinite(p).all() for p in learner.parameters())
    assert history.last["loss"] > 0
    assert learner.deployed(net)(IMAGES).shape == (6, 4)


def test_samix_adjusts_as_often_as_it_says():
    net, learner = made(SAMix, adjust=0.25, plain_beyond=0.0)
    g, hits = seeded(7), 0
    features, partner, lam = torch.randn(6, 8, 8, 8, generator=seeded()), torch.arange(6), torch.tensor([0.3])
    for _ in range(200):
        learner._chance = torch.rand((), generator=g).item()
        hits += bool(
            (learner._taught(features, lam, partner, (16, 16)).mean((1, 2, 3)) - 0.3).abs().max() < 1e-5
        )
    assert 30 <= hits <= 70


def test_a_learner_that_was_built_before_is_refused_by_recipes():
    net, learner = made()
    with pytest.raises(TypeError, match="give the class, or a partial of it"):
        recipes.fashion(learner, images=20, epochs=1, progress=False)


def test_a_twin_of_sixteen_bits_is_refused():
    with pytest.raises(TypeError, match=r"32 bits .* got torch\.bfloat16"):
        Twin({"layer": nn.Linear(2, 2).bfloat16()})


@pytest.mark.parametrize(
    "options", [{"margin": -1.0}, {"mask_weight": -5}, {"plain_beyond": 0.7}, {"smoothing": 3}]
)
def test_bad_numbers_are_named(options):
    with pytest.raises(ValueError, match="expected margin ≥ 0, mask_weight ≥ 0"):
        AutoMix(ml.nets.resnet(8, 4, width=4), stage="stage2", image_size=16, **options)
