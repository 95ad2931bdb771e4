"""Judging mixtures, and controls of learned masks: true masks, AutoMix's pipeline around any mixing."""

import pytest
import torch

import mixlearn as ml
from experiments import judging, oracles
from experiments.data import on_black, with_objects, with_wrong_labels
from experiments.judging import judged, measured, pairs, teach, true_labels, true_masks, truth
from experiments.oracles import Piped, learned_from, oracle
from mixlearn.data.sets import Data, ImageSet
from mixlearn.methods.automix import MixBlock
from tests.seeds import seeded

SIDE, CLASSES = 16, 4
LABELS = torch.arange(24) % CLASSES
CORNERS = torch.zeros(24, 1, SIDE, SIDE)
for one, place in enumerate(torch.randint(SIDE - 6, (24, 2), generator=seeded()).tolist()):
    CORNERS[one, :, place[0] : place[0] + 6, place[1] : place[1] + 6] = 1


@pytest.fixture
def few() -> Data:
    """Squares with known masks, on noise."""
    images = torch.randint(256, (24, 3, SIDE, SIDE), generator=seeded(1), dtype=torch.uint8)
    part = ImageSet(images, LABELS, (0.5,) * 3, (0.25,) * 3, masks=(255 * CORNERS).byte())
    return Data("squares", tuple("abcd"), part, {"test": part}, part.mean, part.std, "0")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch):
    """A judge that was never trained."""
    made = ml.nets.resnet(8, CLASSES, width=16, stem=ml.nets.strided_stem, generator=seeded())
    monkeypatch.setattr(judging, "judge", lambda folder: made.eval().requires_grad_(False))
    return made


def test_true_masks_show_each_object_whole(few: Data) -> None:
    images, partner = few.train.batch(range(24))[0], pairs(LABELS)
    options = {"objects": CORNERS, "partner": partner, "num_classes": CLASSES}
    mixed = true_masks(images, LABELS, lam=0.3, **options)
    own, other = CORNERS.bool(), CORNERS[partner].bool()
    for where, value in ((own & ~other, 1.0), (other & ~own, 0.0), (~own & ~other, 0.3), (own & other, 0.3)):
        assert torch.allclose(mixed.plan.masks[0][where], torch.tensor(value))
    seen = true_labels(images, LABELS, lam=0.3, generator=seeded(), **options)
    shown = ml.measure.visible(seen.plan, CORNERS)
    torch.testing.assert_close(seen.plan.lam, shown[0] / shown.sum(0), atol=1e-3, rtol=1e-3)


def test_what_the_judge_is_asked() -> None:
    images, partner = torch.rand(24, 3, SIDE, SIDE, generator=seeded()), pairs(LABELS)
    assert bool((LABELS[partner] != LABELS).all())
    mixed = ml.cutmix(images, LABELS, boxes=[[0, 0, 8, 16]], partner=partner, num_classes=CLASSES)
    right = measured(mixed, (mixed.targets + 1e-9).log(), CORNERS)
    assert bool((right["top 2"] == 1).all()) and float(right["kl"].abs().max()) < 1e-4
    wrong = measured(mixed, -(mixed.targets + 1e-9).log(), CORNERS)
    assert bool((wrong["top 2"] == 0).all()) and float(wrong["kl"].min()) > 1
    place = (CORNERS[0] * (1 - CORNERS[int(partner[0])]))[0].bool()
    assert float(right["own"][0]) == pytest.approx(float(mixed.plan.masks[0, 0, 0][place].mean()))


@pytest.mark.parametrize(("mix", "drawn"), [(ml.cutmix, False), (ml.resizemix, True), (ml.smoothmix, True)])
def test_the_same_seed_is_judged_alike(few: Data, net, mix, drawn: bool) -> None:
    first, again = (judged(mix, data=few, count=24, drawn=drawn).final for _ in range(2))
    for part in first:
        assert {k: v for k, v in first[part].items() if k != "cost"} == {
            k: v for k, v in again[part].items() if k != "cost"
        }
    assert list(first) == ["judge", *(["λ drawn"] if drawn else ["λ 0.3", "λ 0.5", "λ 0.7"]), "all"]
    assert 0 <= first["all"]["top 2"] <= 1 and first["all"]["cost"] > 0


def test_a_block_learns_against_a_frozen_judge(few: Data, net) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    block, steps = MixBlock(32, std=0.3, generator=seeded()), []
    start = block.value.weight.clone()
    teach(block, net.eval().requires_grad_(False), few.train, steps=2, watch=steps.append)
    assert steps == [0, 1, 2] and not torch.equal(block.value.weight, start)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    stated = judged(MixBlock, data=few, teaching={"steps": 2}, dry=True).settings
    assert stated == judged(MixBlock, data=few, teaching={"steps": 2}, count=24).settings | {"pairs": 2000}


def test_labels_are_compared_with_true_masks(few: Data) -> None:
    known = Data("emoji", few.classes, few.train, {"designers": few.train}, few.mean, few.std, "0")
    found = {mix: truth(mix, data=known, count=24).final for mix in (ml.mixup, ml.smoothmix, ml.puzzlemix)}
    assert found[ml.mixup]["drawn"]["error"] < 1e-6 and "half" not in found[ml.smoothmix]
    assert found[ml.mixup]["half"] == pytest.approx({"own": 0.5, "partner": 0.5, "bias": 0}, abs=1e-6)
    assert found[ml.smoothmix] == truth(ml.smoothmix, data=known, count=24).final
    seen = truth(ml.cutmix, data=known, count=24).final["half"]
    assert 0 < seen["own"] < 1 and 0 < seen["partner"] < 1
    guided = truth(
        ml.saliencymix, data=known, count=24, guide=lambda net, images, labels: CORNERS[: len(images)]
    )
    assert guided.settings["images"] == 24 and "guide" in guided.settings


def test_piped_trains_on_both_and_predicts_with_its_twin(few: Data) -> None:
    net = ml.nets.resnet(8, CLASSES, width=4, generator=seeded())
    shown = with_objects(few)
    images, labels = shown.train.batch(range(24))
    assert images.shape[1] == 4 and torch.equal(images[:, 3:], CORNERS)
    assert list(Piped(net)(net, images, labels)) == ["clean"]
    learner = Piped(net, oracle, generator=seeded())
    terms = learner(net, images, labels, generator=seeded())
    assert list(terms) == ["clean", "mixed"] and learner.deployed(net) is learner.twin["net"]
    terms["mixed"].backward()
    assert net.head.weight.grad is None and learner.mix_head.weight.grad is not None


@pytest.mark.parametrize("own", [False, True])
def test_masks_are_learned_beforehand_and_then_fixed(few: Data, net, monkeypatch, own: bool) -> None:
    taught, used = [], []
    monkeypatch.setattr(oracles, "judge", lambda folder: net)
    monkeypatch.setattr(oracles, "loaded", lambda name: few)
    monkeypatch.setattr(
        oracles, "teach", lambda block, net, seen, seed: taught.append((net, len(seen), seed))
    )

    def recipe(mix, **options):
        used.append((mix.keywords["mix"], options))

    teacher = (lambda seed: judging.Outcome(net, None, {}, {}, {})) if own else None
    learned_from(recipe, mix=Piped, seed=3, images=8, teacher=teacher, epochs=1)
    learned_from(recipe, mix=Piped, seed=3, images=8, teacher=teacher, epochs=1, dry=True)
    assert taught == [
        (net, 8 if own else 24, 3)
    ]  # the judge's block sees all images, a network's own its own
    (mix, options), (words, planned) = used
    assert repr(mix) == repr(words) and ("the judge" in repr(mix)) != own
    assert options == {"seed": 3, "images": 8, "epochs": 1, "checkpoint": None}
    assert planned == {"seed": 3, "images": 8, "epochs": 1, "dry": True}
    images, labels = few.train.batch(range(24))
    mixed, again = (mix(images, labels, num_classes=CLASSES, generator=seeded()) for _ in range(2))
    assert torch.equal(mixed.images, again.images) and len(set(mixed.plan.lam.tolist())) == 1
    assert not mixed.images.requires_grad and mixed.plan.masks.shape[-1] == SIDE


def test_all_but_the_object_becomes_black(few: Data) -> None:
    black = on_black(few)
    inside = (CORNERS > 0).expand(-1, 3, -1, -1)
    assert torch.equal(black.train.images[inside], few.train.images[inside])
    assert not black.train.images[~inside].any() and black.name == "garments"
    values = black.train.batch(range(24))[0]
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


def test_wrong_labels_are_drawn_once_and_more_include_fewer(few) -> None:
    before = few.train.labels.clone()
    some, many = (with_wrong_labels(few, percent) for percent in (20, 80))
    classes = len(few.classes)
    for noisy, percent in ((some, 20), (many, 80)):
        share = (noisy.train.labels != before).float().mean().item()
        expected = percent / 100 * (1 - 1 / classes)
        assert abs(share - expected) < 4 * (expected * (1 - expected) / len(before)) ** 0.5
        assert noisy.name.endswith(f"-wrong-{percent}") and noisy.test is few.test
    changed = some.train.labels != before
    assert torch.equal(some.train.labels[changed], many.train.labels[changed])
    assert torch.equal(few.train.labels, before)
    assert torch.equal(with_wrong_labels(few, 20).train.labels, some.train.labels)
    with pytest.raises(ValueError, match="percent must lie between 0 and 100, got 0"):
        with_wrong_labels(few, 0)
