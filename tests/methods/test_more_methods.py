"""RICAP, HMix, GMix, RegMixup, Decoupled Mixup, AugMix, PixMix, MoEx, MixStyle: each against its formula."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

import mixlearn as ml
from mixlearn.methods import augmix as module
from mixlearn.methods import pixmix as other_module
from mixlearn.methods.augmix import CHANGES, apply_change
from mixlearn.methods.decoupled import decoupled_cross_entropy
from tests.refused import refused
from tests.seeds import seeded

IMAGES, IDS = torch.rand(6, 3, 16, 16, generator=seeded()), torch.tensor([0, 1, 2, 3, 0, 1])
PARTNER = torch.tensor([4, 5, 0, 1, 2, 3])


# ------------------------------------------------------------------------------------------------- RICAP
def test_ricap_puts_four_whole_crops_around_one_point():
    places = torch.arange(20.0 * 12).view(1, 1, 20, 12) + 1000 * torch.arange(5.0).view(5, 1, 1, 1)
    starts = []
    for seed in range(80):
        images, targets, plan = ml.ricap(places, torch.arange(5), num_classes=5, generator=seeded(seed))
        y, x = (int(plan.masks[0, 0, 0].any(d).sum()) for d in (1, 0))
        if not y * x:
            continue
        areas = [y * x, y * (12 - x), (20 - y) * x, (20 - y) * (12 - x)]
        assert torch.allclose(plan.weights[:, 3], torch.tensor(areas) / 240)
        assert targets[3].sum() == pytest.approx(1) and float(targets[3, 3]) >= areas[0] / 240 - 1e-6
        for k, (rows, columns) in enumerate(
            [(r, c) for r in (slice(0, y), slice(y, 20)) for c in (slice(0, x), slice(x, 12))]
        ):
            crop = images[3, 0, rows, columns]
            if crop.numel():
                source, first = divmod(int(crop[0, 0]), 1000)
                row, column = divmod(first, 12)
                assert source == int(plan.sources[k, 3])
                height, width = crop.shape
                whole = places[source, 0, row : row + height, column : column + width]
                assert torch.equal(crop, whole)  # cut out in one piece, within the source
                starts.append((k, row - (y if k > 1 else 0), column - (x if k % 2 else 0)))
    for corner in range(4):
        for axis in (1, 2):
            moved = {start[axis] for start in starts if start[0] == corner}
            assert len(moved) > 5, "from anywhere, not from its own corner"


# ------------------------------------------------------------------------------------------- HMix and GMix
@pytest.mark.parametrize("lam", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_hmix_is_a_box_in_a_blend_that_keeps_lam(lam, ratio):
    known = {"lam": lam, "partner": PARTNER}
    mixed = ml.hmix(IMAGES, ratio=ratio, generator=seeded(2), **known)
    boxes = ml.sample_boxes(1 - ratio * (1 - lam), 16, 16, generator=seeded(2))
    x0, y0, x1, y1 = boxes[0].tolist()
    room = 1 - (x1 - x0) * (y1 - y0) / 256
    share = min(lam / room, 1) if room else 1.0
    expected = share * IMAGES + (1 - share) * IMAGES[PARTNER]
    expected[..., y0:y1, x0:x1] = IMAGES[PARTNER][..., y0:y1, x0:x1]
    assert torch.allclose(mixed.images, expected, atol=1e-6)
    assert float(mixed.plan.lam[0]) == pytest.approx(min(lam, room), abs=1e-6)
    if ratio == 0:
        assert torch.allclose(mixed.images, ml.mixup(IMAGES, **known).images, atol=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.4, 0.5, 0.8, 1.0])
def test_gmix_is_a_spot_of_the_smaller_share(lam):
    size, plan = (64, 48), ml.gmix(torch.rand(2, 1, 64, 48), lam=lam, generator=seeded(5)).plan
    cy, cx = (
        int(u * n) for u, n in zip(torch.rand(2, 1, 1, generator=ahead(5)).flatten(), size, strict=True)
    )
    small = min(lam, 1 - lam)
    for y, x in [(0, 0), (cy, cx), (cy, max(cx - 9, 0)), (63, 10)]:
        distance = ((y - cy) / 64) ** 2 + ((x - cx) / 48) ** 2
        spot = math.exp(-math.pi * distance / small) if small else 0.0
        own = float(plan.masks[0, 0, 0, y, x])
        assert own == pytest.approx(spot if lam < 0.5 else 1 - spot, abs=1e-5)
    inside = ml.gmix(torch.rand(64, 1, 64, 64), lam=0.04, per_image=True, generator=seeded()).plan.lam
    assert float(inside.max()) == pytest.approx(0.04, abs=1e-3), "its mean is λ where it is not cut off"


def ahead(seed):
    """A generator after the draw of partners of two images."""
    generator = seeded(seed)
    ml.sample_partner(2, generator=generator)
    return generator


# ----------------------------------------------------------------------------- RegMixup and Decoupled Mixup
def test_regmixup_adds_mixups_loss_to_the_plain_one():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded(1)).eval()  # so that batches do not touch each other
    learner = ml.learners.RegMixup(4, alpha=20.0, weight=0.5, smoothing=0.1)
    found = learner(net, IMAGES, IDS, generator=seeded(3))
    mixed = ml.mixup(IMAGES, IDS, num_classes=4, alpha=20.0, generator=seeded(3))
    plain = F.cross_entropy(net(IMAGES), IDS, label_smoothing=0.1)
    second = ml.soft_cross_entropy(net(mixed.images), ml.smooth(mixed.targets, 0.1))
    assert torch.allclose(found["labels"], plain) and torch.allclose(found["mixed_labels"], 0.5 * second)


def test_decoupled_is_the_formula_and_leaves_out_what_is_one_class():
    logits = torch.randn(6, 4, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    partner, lam = torch.tensor([1, 0, 3, 2, 5, 0]), torch.tensor([0.3, 1.0, 0.6, 0.5, 0.2, 0.7])
    ids = torch.tensor([0, 1, 2, 2, 3, 1])
    plan = ml.MixPlan.pair(partner, lam)
    terms = []
    for i, j in enumerate(partner.tolist()):
        p = logits[i].softmax(0)
        a, b = int(ids[i]), int(ids[j])
        hard = -(p[a] / (1 - p[b])).log() - (p[b] / (1 - p[a])).log()
        terms.append(hard if a != b and lam[i] < 1 else 0 * hard)
    expected, found = sum(terms) / 6, decoupled_cross_entropy(logits, ids, plan)
    assert torch.allclose(found, expected) and len([t for t in terms if t > 0]) == 3
    (one,), (two,) = (torch.autograd.grad(loss, logits) for loss in (expected, found))
    assert torch.allclose(one, two)
    three = ml.ricap(IMAGES, generator=seeded()).plan
    refused(lambda: decoupled_cross_entropy(logits, ids, three), "a plan of two parts and class ids .* got 4")
    refused(
        lambda: decoupled_cross_entropy(logits, logits, plan), r"class ids \(B,\), got 2 parts and .*6, 4"
    )


def test_decoupled_learner_adds_it_to_the_loss_on_mixtures():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded()).eval()
    mix = partial(ml.cutmix, per_image=True)
    found = ml.learners.Decoupled(mix, 4, 0.3)(net, IMAGES, IDS, generator=seeded(3))
    mixed = mix(IMAGES, IDS, num_classes=4, generator=seeded(3))
    assert torch.allclose(found["mixed_labels"], ml.soft_cross_entropy(net(mixed.images), mixed.targets))
    second = decoupled_cross_entropy(net(mixed.images), IDS, mixed.plan)
    assert torch.allclose(found["decoupled"], 0.3 * second) and second > 0


# ---------------------------------------------------------------------------------------- AugMix and PixMix
def released(name, image, level, sign):
    """The change as the authors make it, with PIL."""
    width, height = image.size
    whole, far = int(level * 3), int(level * width / 30)
    way = {"resample": Image.BILINEAR}
    matrix = {
        "shear_x": (1, sign * level * 0.03, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, sign * level * 0.03, 1, 0),
        "translate_x": (1, 0, sign * far, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, sign * int(level * height / 30)),
    }
    if name in matrix:
        return image.transform(image.size, Image.AFFINE, matrix[name], **way)
    if name == "rotate":
        return image.rotate(sign * whole, **way)
    if name == "posterize":
        return ImageOps.posterize(image, 4 - int(level * 0.4))
    if name == "solarize":
        return ImageOps.solarize(image, 256 - int(level * 25.6))
    return getattr(ImageOps, name)(image)


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_those_of_the_released_code(name):
    photo = ml.data.photos(size=48).images[0, :, :, :36]
    photo = (photo * 255).round() / 255
    for level, sign in ((2.9, 1), (1.3, -1), (7.5, 1)):
        known = pil_to_tensor(released(name, to_pil_image(photo), level, sign))[:, 2:-2, 2:-2] / 255
        found = apply_change(name, photo[None], torch.tensor([level]), torch.tensor([sign]))[0, :, 2:-2, 2:-2]
        apart = (found - known).abs()
        assert float((apart < 0.02).float().mean()) > 0.97


def test_augmix_is_a_mean_of_the_image_and_of_chains(monkeypatch):
    steps = []

    def change(pixels, chosen, severity, generator):
        steps.append(chosen)
        return torch.where(chosen.view(-1, 1, 1, 1), pixels / 2, pixels)

    monkeypatch.setattr(module, "changed", change)
    images = torch.full((4000, 1, 1, 1), 0.8)
    kept = ml.augmix(images, generator=seeded()).flatten() / 0.8
    lengths = torch.stack(steps).view(3, 3, -1).sum(1)  # of the three chains
    assert len(steps) == 9 and lengths.unique().tolist() == [1, 2, 3]
    g = seeded()
    shares = torch.empty(3, 4000).exponential_(generator=g)
    shares = shares / shares.sum(0)
    m = 1 - torch.rand(4000, generator=g)
    assert torch.allclose(kept, m + (1 - m) * (shares * 0.5**lengths).sum(0), atol=1e-5)
    assert abs(float(m.mean()) - 0.5) < 0.02 and abs(float(shares[0].var()) - 1 / 18) < 0.005  # Dirichlet(1)


def test_augmix_takes_normalised_images_and_draws_for_each():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    scale = [torch.tensor(v).view(3, 1, 1) for v in (mean, std)]
    plain = ml.augmix(IMAGES, generator=seeded(1))
    wide = ml.augmix((IMAGES - scale[0]) / scale[1], mean=mean, std=std, generator=seeded(1))
    assert torch.allclose(wide * scale[1] + scale[0], plain, atol=1e-5)
    assert float(plain.min()) >= 0 and float(plain.max()) <= 1
    many = ml.augmix(IMAGES[:1].expand(40, -1, -1, -1), generator=seeded(2))
    assert len(many.unique(dim=0)) > 35
    assert ml.augmix(IMAGES[:, :1].bfloat16(), generator=seeded()).dtype == torch.bfloat16
    refused(lambda: ml.augmix(IMAGES[:, :2]), r"\(B, 1 or 3, H, W\), got \(6, 2, 16, 16\)")


def test_augmix_learner_is_cross_entropy_and_a_jensen_shannon_divergence():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded()).eval()
    torch.nn.init.normal_(net.head.weight)
    found = ml.learners.AugMix(ml.augmix, weight=2.0)(net, IMAGES, IDS, generator=seeded(4))
    g = seeded(4)
    views = [IMAGES, ml.augmix(IMAGES, generator=g), ml.augmix(IMAGES, generator=g)]
    answers = [net(view).softmax(1) for view in views]
    middle = (sum(answers) / 3).log()
    divergence = sum(F.kl_div(middle, answer, reduction="batchmean") for answer in answers) / 3
    assert torch.allclose(found["consistency"], 2 * divergence, atol=1e-6) and divergence > 1e-4
    assert torch.allclose(found["labels"], F.cross_entropy(net(IMAGES), IDS))


def test_pixmix_adds_and_multiplies_as_often_as_drawn(monkeypatch):
    asked = []

    def change(pixels, chosen, severity, generator):
        asked.append(chosen)
        assert torch.equal(pixels, IMAGES), "always of the image itself"
        return pixels / 2

    monkeypatch.setattr(other_module, "changed", change)
    pictures, g, rounds = torch.rand(5, 3, 16, 16, generator=seeded(8)), seeded(3), 4
    found = ml.pixmix(IMAGES, pictures, beta=2.0, rounds=rounds, generator=seeded(3))
    count, mixed = torch.randint(rounds + 1, (6,), generator=g), IMAGES / 2
    assert torch.equal(asked[0], torch.rand(6, generator=g) < 0.5)
    drawn = torch.randint(5, (6,), generator=g)
    for step in range(rounds):
        own, adds, both = torch.rand(3, 6, generator=g) < 0.5
        u, v = torch.rand(2, 6, generator=g) ** 0.5
        assert torch.equal(asked[1 + step], own)
        for i in range(6):
            if count[i] > step:
                a, b = (u[i], 1 - v[i]) if both[i] else (1 + (1 - u[i]), -(1 - v[i]))
                one, two = mixed[i], IMAGES[i] / 2 if own[i] else pictures[drawn[i]]
                if adds[i]:
                    mixed[i] = ((a * (2 * one - 1) + b * (2 * two - 1) + 1) / 2).clamp(0, 1)
                else:
                    mixed[i] = ((2 * one) ** a * (2 * two).clamp(min=1e-37) ** b / 2).clamp(0, 1)
    assert torch.allclose(found, mixed, atol=1e-5) and set(count.tolist()) >= {0, 3}
    monkeypatch.undo()
    assert ml.pixmix(IMAGES * 0, pictures * 0, generator=seeded(1)).isfinite().all()
    refused(lambda: ml.pixmix(IMAGES, 255 * pictures), r"pictures must lie in \[0, 1\], got .* to 25")


def test_changes_are_drawn_for_each_image_up_to_the_severity(monkeypatch):
    seen = []

    def apply(name, pixels, level, sign):
        seen.extend(zip([name] * len(level), level.tolist(), sign.tolist(), strict=True))
        return pixels + 1

    monkeypatch.setattr(module, "apply_change", apply)
    chosen = torch.rand(900, generator=seeded(1)) < 0.8
    found = module.changed(torch.zeros(900, 1, 1, 1), chosen, 5.0, seeded(2))
    assert torch.equal(found.flatten() == 1, chosen)
    names, levels, signs = zip(*seen, strict=True)
    assert set(names) == set(CHANGES) and set(signs) == {-1.0, 1.0}
    assert 0.1 <= min(levels) < 0.3 and 4.8 < max(levels) <= 5.0


def test_what_augmix_and_moex_refuse():
    refused(lambda: ml.augmix(2 * IMAGES), r"must lie in \[0, 1\], got .* check mean and std")
    refused(lambda: ml.augmix(IMAGES, std=(0.0,)), "mean and std must hold 1 or 3 numbers")
    refused(lambda: ml.augmix(IMAGES[:, :1], mean=(0, 0, 0), std=(1, 1, 1)), "must hold 1 or 1 numbers")
    refused(lambda: ml.augmix(IMAGES, width=0, severity=-5), "severity must")
    refused(lambda: ml.moex(IMAGES[:, :1]), "2 channels or more, got .*6, 1, 16")
    with pytest.raises(TypeError, match="lam must be a number"):
        ml.moex(IMAGES, lam=None)
    refused(lambda: ml.mixstyle(IMAGES[..., :1, :1]), "2 places or more")


# --------------------------------------------------------------------------------------- MoEx and MixStyle
def test_moex_gives_each_place_the_partners_moments():
    found = ml.moex(IMAGES, IDS, num_classes=4, partner=PARTNER, lam=0.8)
    wide = IMAGES.double()
    std = (wide.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    mean = wide.mean(1, keepdim=True)
    expected = std[PARTNER] * (wide - mean) / std + mean[PARTNER]
    assert torch.allclose(found.images.double(), expected, atol=1e-4)
    assert torch.allclose(found.targets, 0.8 * ml.one_hot(IDS, 4) + 0.2 * ml.one_hot(IDS[PARTNER], 4))
    assert torch.allclose(found.plan.lam_drawn, torch.tensor(0.8))
    whole = ml.moex(IMAGES, partner=range(6)).images
    assert torch.allclose(whole, IMAGES, atol=1e-5)


def test_mixstyle_mixes_moments_of_channels_and_stops_their_gradient():
    lam, features = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), IMAGES.clone().requires_grad_()
    found = ml.mixstyle(features, IDS, num_classes=4, partner=PARTNER, lam=lam)
    mean = IMAGES.mean((2, 3), keepdim=True)
    std = (IMAGES.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    share = lam.view(6, 1, 1, 1)
    to_mean, to_std = (share * one + (1 - share) * one[PARTNER] for one in (mean, std))
    assert torch.allclose(found.images, to_std * (IMAGES - mean) / std + to_mean, atol=1e-5)
    assert torch.equal(found.targets, ml.one_hot(IDS, 4)), "labels stay"
    (slope,) = torch.autograd.grad(found.images.sum(), features)
    assert torch.allclose(slope, (to_std / std).expand_as(slope), atol=1e-5)
    drawn = ml.mixstyle(torch.rand(500, 1, 2, 2), generator=seeded()).plan.lam_drawn
    assert len(drawn.unique()) > 100 and float(((drawn < 0.1) | (drawn > 0.9)).float().mean()) > 0.7


# --------------------------------------------------------------------------------------------- in training
@pytest.mark.parametrize(
    "learner",
    [
        ml.learners.RegMixup(4),
        ml.learners.Decoupled(ml.RandomMix([ml.hmix, ml.gmix], num_classes=4)),
        ml.learners.AugMix(ml.augmix),
        ml.learners.MixingInside({"stem": ml.moex, "stage1": ml.mixstyle}, num_classes=4),
        ml.learners.Mixing(ml.ricap, 4),
    ],
    ids=repr,
)
def test_its_terms_are_as_named_and_reach_every_weight(learner):
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    terms = learner(net, IMAGES, IDS, generator=seeded(1))
    assert tuple(terms) == learner.term_names and all(term > 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(weight.grad.isfinite().all() and weight.grad.any() for weight in net.parameters())
