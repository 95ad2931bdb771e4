"""Situations that users of mixing libraries run into: labels, losses, and how images are handed in."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.functional import classification as peers

import mixlearn as ml
from experiments import rivals
from mixlearn.measure import calibration, evaluate, multilabel, prediction_quality
from tests.refused import refused
from tests.seeds import seeded

METHODS = [
    *(ml.mixup, ml.cutout, ml.cutmix, ml.resizemix, ml.gridmix, ml.fmix, ml.smoothmix, ml.saliencymix),
    *(ml.attentivemix, ml.snapmix, ml.puzzlemix, ml.comixup, ml.alignmix, ml.patchmix),
]
BOXES_AND_MASKS = [mix for mix in METHODS if mix is not ml.mixup]


def mixture(batch=6, classes=4, seed=0):
    """Logits, ids and a plan whose shares differ from image to image."""
    g = seeded(seed)
    labels = torch.arange(batch) % classes
    plan = ml.mixup(torch.rand(batch, 2), per_image=True, generator=g).plan
    return torch.randn(batch, classes, generator=g), labels, plan


# ------------------------------------------------------------------------ ids that say nothing, class weights
def pair_loop(logits, labels, plan, weight=None, ignore=-100):
    """The weighted mean over all parts of all images, one after the other."""
    top = bottom = 0.0
    for i in range(len(labels)):
        for k in range(len(plan.sources)):
            label = int(labels[plan.sources[k, i]])
            if label != ignore:
                counts = float(plan.weights[k, i]) * (1.0 if weight is None else float(weight[label]))
                top += counts * -float(logits[i].double().log_softmax(0)[label])
                bottom += counts
    return top / bottom


WEIGHT = torch.tensor([0.5, 2.0, 0.0, 1.5])


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ignored", [-100, 1, None])
def test_ignored_ids_leave_the_sum_and_the_denominator(weight, ignored):
    logits, labels, plan = mixture()
    if ignored is not None and ignored not in labels:
        labels[[1, 4]] = ignored
    options = {"weight": weight, "ignore_index": -100 if ignored is None else ignored}
    loss = ml.pair_cross_entropy(logits, labels, plan, **options)
    assert float(loss) == pytest.approx(pair_loop(logits, labels, plan, weight, options["ignore_index"]))
    targets = plan.soften(labels, 4, ignore_index=options["ignore_index"])
    assert torch.allclose(ml.soft_cross_entropy(logits, targets, **options), loss)
    if weight is None:  # so that labels without a mark are never averaged in as zeros
        unmarked = ml.pair_cross_entropy(logits, labels.clamp(0, 3), plan)
        assert (ignored is None) == torch.allclose(loss, unmarked)


def test_soften_keeps_what_remains_of_a_label():
    plan = ml.MixPlan.pair(torch.tensor([1, 2, 0]), torch.tensor([0.75, 0.5, 1.0]))
    targets = plan.soften(torch.tensor([0, -100, -100]), 2, ignore_index=-100)
    assert targets.tolist() == [[0.75, 0.0], [0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match=r"labels must lie in 0…1 .* got -100; plan.soften .* ignore_index="):
        plan.soften(torch.tensor([0, -100, 1]), 2)
    smoothed = ml.smooth(targets, 0.2)
    assert not smoothed[1:].any() and smoothed[0].tolist() == pytest.approx([0.7, 0.1])


def test_what_losses_refuse():
    logits, labels, plan = mixture()
    with pytest.raises(ValueError, match=r"one number for each of 4 classes, got shape \(3,\)"):
        ml.pair_cross_entropy(logits, labels, plan, weight=torch.ones(3))
    with pytest.raises(ValueError, match="at least 0, got"):
        ml.soft_cross_entropy(logits, plan.soften(labels, 4), weight=[1.0, 1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match=r"targets must lie in \[0, 1\], got -1 to 1"):
        ml.soft_bce(torch.zeros(1, 3), torch.tensor([[1.0, -1.0, 0.0]]))
    for loss in (ml.pair_cross_entropy, ml.mixed_accuracy):
        with pytest.raises(ValueError, match="got -1; .* take ignore_index="):
            loss(logits, torch.tensor([0, 1, 2, 3, -1, 0]), plan)
        with pytest.raises(ValueError, match=r"class ids .* got .*\(6, 4\).*soft"):
            loss(logits, torch.full((6, 4), 0.25), plan)


# ------------------------------------------------------------------------------------ training accuracy
def test_training_accuracy_from_logits_and_soft_targets_alone():
    logits, labels, plan = mixture(batch=50)
    targets = plan.soften(labels, 4)
    alone = ml.mixed_accuracy(logits, targets)
    assert torch.allclose(alone, ml.mixed_accuracy(logits, labels, plan))
    by_hand = sum(float(row[logit.argmax()]) for row, logit in zip(targets, logits, strict=True)) / 50
    assert float(alone) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match=r"already go alone: mixed_accuracy\(logits, targets\)"):
        ml.mixed_accuracy(logits, targets, plan)
    refused(lambda: ml.mixed_accuracy(logits, labels), "are class ids, which need the plan")
    labels[:10] = -100
    rest = ml.mixed_accuracy(logits, labels, plan)
    assert torch.allclose(rest, ml.mixed_accuracy(logits, plan.soften(labels, 4, ignore_index=-100)))
    kept = plan.weights * (labels[plan.sources] >= 0)
    right = labels[plan.sources] == logits.argmax(1)
    assert torch.allclose(rest, (kept * right).sum() / kept.sum())


# --------------------------------------------------------------------------------------- losses over maps
@pytest.mark.parametrize("weight", [None, WEIGHT[:3]])
def test_soft_losses_over_maps(weight):
    g = seeded()
    images, maps = torch.rand(4, 3, 5, 6, generator=g), torch.randint(3, (4, 5, 6), generator=g)
    logits = torch.randn(4, 3, 5, 6, generator=g)
    maps[0, :2] = 255
    rows = ml.one_hot(maps, 3, ignore_index=255)
    assert (
        rows.shape == logits.shape and not rows[0, :, :2].any() and bool((rows.sum(1) == (maps < 255)).all())
    )
    expected = F.cross_entropy(logits, maps, weight=weight, ignore_index=255)
    options = {"weight": weight, "ignore_index": 255}
    assert torch.allclose(ml.soft_cross_entropy(logits, rows, **options), expected)
    full = ml.one_hot(maps.clamp(max=2), 3)
    assert torch.allclose(ml.soft_cross_entropy(logits, full), F.cross_entropy(logits, maps.clamp(max=2)))
    targets = ml.mixup(images, lam=0.7, partner=[1, 2, 3, 0]).plan.mix(rows)
    top = bottom = 0.0
    for i, c, y, x in np.ndindex(*targets.shape):
        counts = float(targets[i, c, y, x]) * (1.0 if weight is None else float(weight[c]))
        top -= counts * float(logits[i, :, y, x].log_softmax(0)[c])
        bottom += counts
    assert float(ml.soft_cross_entropy(logits, targets, **options)) == pytest.approx(top / bottom, rel=1e-4)
    bce = ml.soft_bce(logits, targets, weight=weight)
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((0, 2, 3))
    assert torch.allclose(bce, (each * (1 if weight is None else weight)).mean())
    with pytest.raises(ValueError, match=r"got \(4, 3, 5, 6\) and \(4, 5, 6\); maps of class ids .*one_hot"):
        ml.soft_cross_entropy(logits, maps)


# --------------------------------------------------------------------------------- several classes at once
SEVERAL = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize("mix", [ml.mixup, ml.cutmix, partial(ml.mixup, lam=1.0), ml.patchmix])
def test_several_classes_in_a_softmax_loss_give_a_warning(mix):
    mixed = mix(torch.rand(4, 1, 8, 8), SEVERAL, generator=seeded())
    with pytest.warns(UserWarning, match=r"should sum to 1 in each row, got up to .* use soft_bce"):
        ml.soft_cross_entropy(torch.zeros(4, 3), mixed.targets)
    with pytest.warns(UserWarning, match="soft_bce"):
        ml.learners.Plain()(nn.Identity(), torch.zeros(4, 3), SEVERAL)
    learner = ml.learners.Mixing(mix)
    with pytest.warns(UserWarning, match="soft_bce"):
        learner(lambda x: x.flatten(1)[:, :3], torch.rand(4, 1, 8, 8), SEVERAL, generator=seeded())


def test_labels_of_one_class_give_no_warning():
    """Those of SnapMix neither, whose two weights may sum to more than 1."""
    labels, most = torch.arange(12) % 5, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(15):
            for mix in (ml.snapmix, ml.comixup, ml.cutmix):
                images = torch.rand(12, 3, 8, 8, generator=seeded(seed))
                targets = mix(images, labels, num_classes=5, generator=seeded(seed)).targets
                most = max(most, float(targets.sum(1).max()))
                ml.soft_cross_entropy(torch.zeros(12, 5), ml.smooth(targets, 0.1))
    assert most > 1.1


@pytest.mark.parametrize("ties", [False, True])
def test_measures_of_several_classes_are_those_of_torchmetrics(ties):
    g = seeded(3)
    truth = (torch.rand(200, 6, generator=g) < torch.linspace(0.02, 0.7, 6)).long()
    logits = torch.randn(200, 6, generator=g) + truth
    logits = logits.round() if ties else logits
    found = multilabel(logits, truth)
    each = peers.multilabel_average_precision(logits.sigmoid(), truth, 6, average=None)
    assert torch.allclose(found.average_precision.float(), each, atol=1e-5)
    assert found.mean_average_precision == pytest.approx(float(each.mean()), abs=1e-5)
    named = (logits >= 0).long()
    assert found.subset_accuracy == pytest.approx(float(peers.multilabel_exact_match(named, truth, 6)))
    assert found.f1 == pytest.approx(float(peers.multilabel_f1_score(named, truth, 6, average="micro")))
    none = multilabel(logits, truth * torch.tensor([0, 1, 1, 1, 1, 1]))
    assert none.average_precision[0].isnan() and none.mean_average_precision == pytest.approx(
        float(each[1:].mean()), abs=1e-5
    )


# ----------------------------------------------------------------------------------- measures of class ids
@pytest.mark.parametrize(
    "measure", [calibration, prediction_quality, lambda x, y: evaluate(lambda z: z, [(x, y)])]
)
@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (torch.tensor([0, -100, 1]), ValueError, r"0…2, got -100 to 1; leave out .* keep = labels >= 0"),
        (torch.tensor([0, 3, 1]), ValueError, "0…2, got 0 to 3"),
        (torch.tensor([[0], [1], [2]]), ValueError, r"\(3, 1\); drop the last axis: labels.squeeze\(1\)"),
        (torch.tensor([0.0, 1.0, 2.0]), TypeError, "must be integer class ids, got torch.float32"),
    ],
)
def test_measures_name_wrong_labels(measure, labels, error, words):
    refused(lambda: measure(torch.randn(3, 3), labels), words, error)


# ------------------------------------------------------------------------------------ ids of any integer type
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_class_ids_of_any_integer_type(dtype):
    logits, labels, plan = mixture()
    narrow = labels.to(dtype)
    for loss in (ml.pair_cross_entropy, ml.mixed_accuracy):
        assert torch.equal(loss(logits, narrow, plan), loss(logits, labels, plan))
    assert torch.equal(plan.soften(narrow, 4), plan.soften(labels, 4))
    assert torch.equal(ml.one_hot(narrow, 4), ml.one_hot(labels, 4))
    one, other = (evaluate(lambda x: x, [(logits, ids)]) for ids in (narrow, labels))
    assert one == other
    images, net = torch.rand(6, 3, 8, 8), ml.nets.resnet(8, 4, width=4)
    assert torch.equal(ml.gradient_saliency(net, images, narrow), ml.gradient_saliency(net, images, labels))
    maps = [ml.feature_attention(net, images, labels=ids) for ids in (narrow, labels)]
    assert torch.equal(*maps)
    assert ml.measure.fgsm(net, images, narrow).equal(ml.measure.fgsm(net, images, labels))


def test_every_learner_takes_ids_of_any_integer_type():
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 3, 1, 3])

    def net():
        torch.manual_seed(1)
        return ml.nets.resnet(8, 4, width=4)

    made = {
        "Plain": lambda one: ml.learners.Plain(),
        "Mixing": lambda one: ml.learners.Mixing(ml.mixup, num_classes=4),
        "BYOT": lambda one: rivals.BYOT(one, generator=seeded()),
        "CSKD": lambda one: rivals.CSKD(),
        "TFKD": lambda one: rivals.TFKD(),
        "PSKD": lambda one: rivals.PSKD(one, epochs=2),
        "DDGSD": lambda one: ml.learners.DDGSD(ml.augment.crop_and_flip),
        "MixSKD": lambda one: ml.learners.MixSKD(one, generator=seeded()),
    }
    for name, make in made.items():
        terms = []
        for ids in (labels, labels.to(torch.uint8)):
            one = net()
            terms.append(make(one)(one, images, ids, generator=seeded()))
        assert terms[0].keys() == terms[1].keys(), name
        assert all(torch.equal(value, terms[1][key]) for key, value in terms[0].items()), name


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (torch.tensor([[0], [1], [2], [0]]), ValueError, r"got \(4, 1\); .*: labels.squeeze\(1\)"),
        (torch.eye(4).long()[:, :3], TypeError, r"labels.float\(\) for one-hot .* labels.argmax\(1\)"),
        (torch.eye(4)[:, :3] > 0, TypeError, r"labels.float\(\) for one-hot or multi-hot rows"),
        (torch.zeros(4, 8, 8).long(), ValueError, r"got \(4, 8, 8\); .*like images: plan.mix\(maps\)"),
        ([0, 1, 2, 0], TypeError, r"got list; convert them first, .*torch.as_tensor\(labels\)"),
        (torch.zeros(4), TypeError, r"got torch.float32; use labels.long\(\) if they are ids"),
    ],
)
def test_labels_of_another_shape_or_type_name_the_way_out(labels, error, words):
    images = torch.rand(4, 3, 8, 8)
    for mix in (ml.mixup, ml.cutmix, ml.snapmix, ml.RandomMix([ml.mixup], p=0.0)):
        if isinstance(labels, list) and isinstance(mix, ml.RandomMix):
            continue  # a batch of a loader is a tensor
        with pytest.raises(error, match=words):
            mix(images, labels, num_classes=3)
    refused(lambda: ml.learners.Plain()(lambda x: x.flatten(1)[:, :3], images, labels), words, error)


# ------------------------------------------------------------------------------------- numbers of any kind
CLASSES = [np.int64(5), np.uint8(5), torch.tensor(5), torch.tensor([0, 4, 2]).max() + 1, np.array(5)]


@pytest.mark.parametrize("classes", CLASSES, ids=lambda given: type(given).__name__)
def test_num_classes_may_be_of_numpy_or_a_tensor(classes):
    images, labels = torch.rand(6, 3, 16, 16), torch.arange(6) % 5
    for mix in METHODS:
        given = mix(images, labels, num_classes=classes, generator=seeded())
        assert torch.equal(given.targets, mix(images, labels, num_classes=5, generator=seeded()).targets)
    soft = torch.eye(5)[labels]
    assert ml.mixup(images, soft, num_classes=classes).targets.shape == (6, 5)
    assert ml.RandomMix([ml.mixup], num_classes=classes)(images, labels).targets.shape == (6, 5)
    learner = ml.learners.Mixing(ml.mixup, num_classes=classes)
    assert learner(lambda x: x.flatten(1)[:, :5], images, labels)["mixed_labels"] > 0
    assert torch.equal(ml.one_hot(labels, classes), ml.one_hot(labels, 5))
    for net in (ml.nets.resnet(8, classes, width=4), ml.nets.vit(classes, size=16, patch=8, dim=12, depth=1)):
        assert net(images).shape == (6, 5) and type(net.head.out_features) is int
    for wrong in (np.int64(0), torch.tensor(2.5), torch.tensor([5]), np.bool_(True), "5"):
        with pytest.raises(ValueError, match="num_classes must be a positive int, got"):
            ml.mixup(images, labels, num_classes=wrong)


def as_numpy(value):
    if isinstance(value, tuple):
        return tuple(as_numpy(one) for one in value)
    if isinstance(value, list):
        return [as_numpy(one) for one in value]
    return np.int64(value) if isinstance(value, int) else np.float32(value)


@pytest.mark.parametrize(
    ("mix", "options"),
    [
        (ml.mixup, {"alpha": 0.25}),
        (ml.mixup, {"lam": [0.25, 0.5, 0.75, 1.0], "partner": [1, 2, 3, 0]}),
        (ml.cutout, {"size": 5, "holes": 2}),
        (ml.cutout, {"boxes": [1, 2, 5, 6], "fill": 0.5}),
        (ml.cutmix, {"lam": 0.5, "boxes": [1, 2, 5, 6], "label_from": "asked"}),
        (ml.resizemix, {"scale": (0.25, 0.5)}),
        (ml.gridmix, {"cells": (2, 4), "window": (0.5, 1.0)}),
        (ml.fmix, {"decay": 2.5, "soft": 0.25}),
        (ml.smoothmix, {"spread": (0.25, 0.5)}),
        (ml.saliencymix, {"lam": 0.5}),
        (ml.attentivemix, {"grid": 4}),
        (ml.snapmix, {"alpha": 2.0}),
        (ml.puzzlemix, {"blocks": [2, 4], "beta": 1.0, "gamma": 0.5, "eta": 0.25, "move": 0.5}),
        (ml.comixup, {"grid": 2, "part": 3, "beta": 0.5, "gamma": 1.0, "threshold": 0.5, "sweeps": 2}),
        (ml.alignmix, {"epsilon": 0.5, "steps": 10}),
        (ml.patchmix, {"patch": 4, "parts": [2, 3]}),
    ],
)
def test_every_option_may_be_a_number_of_numpy(mix, options):
    images, labels = torch.rand(4, 3, 16, 16, generator=seeded()), torch.arange(4)
    numbers = {name: value if isinstance(value, str) else as_numpy(value) for name, value in options.items()}
    one, other = (mix(images, labels, num_classes=4, generator=seeded(), **o) for o in (options, numbers))
    assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("mix", [ml.mixup, ml.cutmix, ml.fmix, ml.comixup])
def test_alpha_0_says_how_to_mix_nothing(mix):
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    with pytest.raises(ValueError, match="got 0.0; to mix nothing, pass lam=1, set p=0 in a RandomMix"):
        mix(images, alpha=np.float32(0))
    off = ml.RandomMix([mix], p=0, num_classes=4)(images, labels)
    assert torch.equal(off.images, images) and torch.equal(off.targets, torch.eye(4))
    assert torch.equal(ml.cutmix(images, lam=1).images, images)


# --------------------------------------------------------------------------------- how images are handed in
@pytest.mark.parametrize("mix", BOXES_AND_MASKS)
@pytest.mark.parametrize("shape", [(2, 48, 32, 3), (2, 28, 28, 1)])
def test_images_with_colours_last_are_refused(mix, shape):
    words = rf"got \({', '.join(map(str, shape))}\), which looks like .*images.permute\(0, 3, 1, 2\)"
    refused(lambda: mix(torch.rand(shape)), words)
    right = torch.rand(shape).permute(0, 3, 1, 2)
    options = {"patch": 2} if mix is ml.patchmix else {}
    assert mix(right, **options).images.shape == right.shape


@pytest.mark.parametrize(
    "shape",
    [
        *((2, 3, 224, 3), (2, 1, 64, 1), (2, 4, 64, 4)),  # narrow images
        *((2, 512, 4, 4), (2, 2048, 8, 4), (2, 64, 12, 3), (2, 3, 3, 3), (2, 64, 1, 1)),  # features
        *((2, 8, 8, 3), (2, 16, 3), (2, 5, 3, 32, 3)),  # small, and of other dimensions
    ],
)
def test_shapes_that_are_legitimate_pass(shape):
    images, options = torch.rand(shape), {"boxes": [0, 0, 1, 1], "partner": [1, 0]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ml.cutmix(images, **options).images.shape == shape


@pytest.mark.parametrize("mix", [ml.mixup, ml.cutmix, ml.puzzlemix, ml.RandomMix([ml.mixup])])
def test_lists_and_arrays_of_images_name_the_way_out(mix):
    sizes = [torch.rand(3, 8, 8), torch.rand(3, 9, 8), torch.rand(3, 8, 8)]
    words = r"got list of 3 images of different sizes: \(3, 8, 8\), \(3, 9, 8\); resize or crop .*torch.stack"
    refused(lambda: mix(sizes), words, TypeError)
    with pytest.raises(TypeError, match=r"got list; make one tensor of the list with torch.stack\(images\)"):
        mix(sizes[::2])
    with pytest.raises(TypeError, match=r"got ndarray; convert it first, .* torch.as_tensor\(images\)"):
        mix(np.zeros((2, 3, 8, 8)))


# ------------------------------------------------------------------------------------ what erased pixels get
def test_cutout_fills_with_a_number_or_a_colour():
    images = torch.zeros(2, 3, 4, 6)
    grey = ml.cutout(images, boxes=[2, 1, 5, 3], fill=0.5).images
    assert bool((grey[:, :, 1:3, 2:5] == 0.5).all()) and float(grey.sum()) == 2 * 3 * 6 * 0.5
    for colour in ([0.25, 0.5, 0.75], torch.tensor([0.25, 0.5, 0.75]), np.array([0.25, 0.5, 0.75])):
        mixed = ml.cutout(images, boxes=[2, 1, 5, 3], fill=colour)
        assert mixed.images[0, :, 1, 2].tolist() == [0.25, 0.5, 0.75] and float(mixed.images.sum()) == 18
        assert torch.equal(mixed.plan.mix(images, fill=colour), mixed.images)
    bright = torch.rand(2, 3, 4, 6) + 2
    assert torch.equal(
        ml.cutout(bright, boxes=[2, 1, 5, 3], fill=0).images, ml.cutout(bright, boxes=[2, 1, 5, 3]).images
    )
    with pytest.raises(
        ValueError, match=r"one number, or one for each channel .* got shape \(2,\) for \(2, 3, 4, 6\)"
    ):
        ml.cutout(images, fill=[0.0, 1.0])
    half = ml.cutout(images.half(), boxes=[2, 1, 5, 3], fill=0.5).images
    assert half.dtype == torch.float16 and half.max() == 0.5


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_erased_pixels_of_class_maps_get_the_id_that_is_ignored(dtype):
    maps = torch.randint(9, (3, 8, 8), generator=seeded()).to(dtype)
    boxes = [[1, 2, 5, 6], [0, 0, 3, 3], [4, 4, 8, 8]]
    plan = ml.cutout(torch.rand(3, 3, 8, 8), boxes=boxes).plan
    spelt = ml.MixPlan(plan.sources, plan.masks, plan.weights)
    for one in (plan, spelt):
        erased = one.mix(maps, fill=255)
        assert erased.dtype == dtype
        for row, mask, (x0, y0, x1, y1) in zip(erased, maps, boxes, strict=True):
            assert bool((row[y0:y1, x0:x1] == 255).all()) and int((row == 255).sum()) == (x1 - x0) * (y1 - y0)
            assert torch.equal(row[row != 255], mask[row != 255])
        assert int(one.mix(maps).max()) < 255
        with pytest.raises(TypeError, match="fill must be a whole number for values of type .* got 0.5"):
            one.mix(maps, fill=0.5)
    with pytest.raises(ValueError, match="fill must fit the type of the values, torch.int8, got 255"):
        plan.mix(maps.to(torch.int8), fill=255)


@pytest.mark.parametrize("mix", METHODS)
def test_every_plan_takes_a_fill_and_whole_ones_leave_it_out(mix):
    images = torch.rand(4, 3, 16, 16, generator=seeded())
    plan = mix(images, generator=seeded(1)).plan
    filled, plain = plan.mix(images, fill=7), plan.mix(images)
    if mix is ml.cutout:
        assert torch.equal(filled == 7, (plan.masks[0] == 0).expand_as(filled))
    else:
        assert torch.equal(filled, plain)
