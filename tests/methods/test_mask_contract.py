"""What every method keeps to: the mixture is its plan's sum, λ its mask's mean; draws are the caller's."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixlearn as ml
from mixlearn.methods.alignmix import AlignPlan
from mixlearn.methods.puzzlemix import PuzzlePlan
from mixlearn.methods.resizemix import ResizePlan
from mixlearn.methods.ricap import CropPlan
from mixlearn.methods.snapmix import SnapPlan
from tests.seeds import seeded


def attended(images, labels=None, **options):
    """SMMix where the images are far from 0."""
    return ml.smmix(images, labels, attention=images.flatten(1, -3).abs().mean(1), **options)


ANY_SIZE = {
    "mixup": ml.mixup,
    "kmixup": partial(ml.kmixup, k=3),
    "cutmix": ml.cutmix,
    "resizemix": ml.resizemix,
    "gridmix": ml.gridmix,
    "gridmix, small windows": partial(ml.gridmix, cells=(1, 3), window=(0.1, 0.4)),
    "fmix": ml.fmix,
    "fmix, soft": partial(ml.fmix, soft=0.2, decay=1.5),
    "fmix, as released": partial(ml.fmix, spectrum="released"),
    "smoothmix": ml.smoothmix,
    "ricap": ml.ricap,
    "hmix": ml.hmix,
    "hmix, nearly a box": partial(ml.hmix, ratio=0.95),
    "gmix": ml.gmix,
    "cowmix": ml.cowmix,
    "cutmix_seg": ml.cutmix_seg,
    "mosaic": partial(ml.mosaic, scale=1.0),
    "saliencymix": ml.saliencymix,
    "saliencymix, one peak": partial(ml.saliencymix, one_peak=True),
    "attentivemix": partial(ml.attentivemix, grid=3),
    "snapmix": ml.snapmix,
    "smmix": attended,
    "guidedmixup": ml.guidedmixup,
    "guidedmixup, drawn": partial(ml.guidedmixup, greedy=False),
    "alignmix": partial(ml.alignmix, epsilon=0.5),
    "alignmix, the image moves": partial(ml.alignmix, moves_partner=False),
}
EVEN_SIZE = {
    "puzzlemix": ml.puzzlemix,
    "puzzlemix, eager to move": partial(ml.puzzlemix, move=0.01, gamma=0.0),
    "puzzlemix, nothing moves": partial(ml.puzzlemix, move=None),
    "comixup": partial(ml.comixup, part=3, grid=2),
}
ALL = {**ANY_SIZE, **EVEN_SIZE}
ROUNDING = {torch.float16: 1e-2, torch.bfloat16: 8e-2, torch.float32: 1e-5, torch.float64: 1e-5}
steady = settings(derandomize=True, max_examples=80)


@st.composite
def calls(draw, methods=tuple(ALL)):
    """A method, images of a size and type that it takes, and the seed to call it with."""
    name = draw(st.sampled_from(methods))
    batch, channels = draw(st.integers(1, 7)), draw(st.sampled_from([1, 3]))
    if name in ANY_SIZE:
        size = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    else:
        size = draw(st.sampled_from([(2, 2), (8, 12), (12, 6), (16, 16)]))
    dtype = draw(st.sampled_from([*ROUNDING]))
    layout = draw(st.sampled_from([torch.contiguous_format, torch.channels_last]))
    seed = draw(st.integers(0, 2**31))
    images = torch.randn(batch, channels, *size, generator=seeded(seed)).to(dtype)
    return ALL[name], images.contiguous(memory_format=layout), seed


def snapped(plan, images):
    """ResizeMix and SnapMix pixel by pixel: the place in the pasted box, scaled to the box taken."""
    out = images.clone()
    for i, source in enumerate(plan.partner.tolist()):
        (x0, y0, x1, y1), (u0, v0, u1, v1) = (
            plan.boxes[i].tolist(),
            plan.taken.expand(len(plan), 4)[i].tolist(),
        )
        for y in range(y0, y1 if u1 > u0 and v1 > v0 else y0):
            for x in range(x0, x1):
                row, column = v0 + (y - y0) * (v1 - v0) // (y1 - y0), u0 + (x - x0) * (u1 - u0) // (x1 - x0)
                out[i, :, y, x] = images[source, :, row, column]
    return out


def tiled(plan, images):
    """RICAP and Mosaic: the pixels of each part's mask, of an image that would fill its place."""
    out = torch.zeros_like(images)
    for k, i in torch.cartesian_prod(*map(torch.arange, plan.sources.shape)).tolist():
        x0, y0, x1, y1 = plan.places[k, i].tolist()
        y, x = plan.masks[k, i, 0].nonzero(as_tuple=True)
        rows, columns = (y - y0) * images.shape[-2] // (y1 - y0), (x - x0) * images.shape[-1] // (x1 - x0)
        out[i][:, y, x] = images[plan.sources[k, i]][:, rows, columns]
    return out


def aligned(plan, features):
    """AlignMix position by position: a weighted mean of the one that moves."""
    out = torch.zeros_like(features)
    width = features.shape[-1]
    for i, j in enumerate(plan.partner.tolist()):
        share = plan.alignment[i].double()
        for p in range(share.shape[0]):
            own, other = (features[k].flatten(1)[:, p] for k in (i, j))
            if plan.moves_partner:
                other = (share[p] * features[j].flatten(1)).sum(1)
            else:
                own = (share[:, p] * features[i].flatten(1)).sum(1)
            out[i, :, p // width, p % width] = plan.lam[i].double() * own + (1 - plan.lam[i].double()) * other
    return out


def rebuilt(plan, images):
    """The mixture by the definition, in float64."""
    wide = images.double()
    if isinstance(plan, ResizePlan):
        return snapped(plan, wide)
    if isinstance(plan, CropPlan):
        return tiled(plan, wide)
    if isinstance(plan, AlignPlan):
        return aligned(plan, wide)
    parts = plan.parts(wide) if isinstance(plan, PuzzlePlan) else wide[plan.sources]
    return (plan.masks.double() * parts).sum(0)


@steady
@given(calls())
def test_the_mixture_is_the_sum_of_its_parts(call):
    mix, images, seed = call
    before = images.clone()
    mixed = mix(images, generator=seeded(seed))
    assert mixed.images.shape == images.shape and mixed.images.dtype == images.dtype
    assert torch.allclose(mixed.images.double(), rebuilt(mixed.plan, images), atol=ROUNDING[images.dtype])
    assert torch.equal(images, before) and mixed.images.data_ptr() != images.data_ptr()
    assert torch.equal(mixed.plan.mix(images), mixed.images) and mixed.targets is None
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    assert not last or mixed.images.is_contiguous(memory_format=torch.channels_last)


@steady
@given(calls(), st.booleans())
def test_masks_weights_and_labels_agree(call, soft):
    mix, images, seed = call
    batch = len(images)
    ids = torch.arange(batch) % 4
    labels = torch.rand(batch, 4, generator=seeded(seed)).softmax(1) if soft else ids
    before = labels.clone()
    targets, plan = mix(images, labels, num_classes=None if soft else 4, generator=seeded(seed))[1:]
    assert torch.equal(plan.sources[0], torch.arange(batch)) and len(plan) == batch
    assert torch.allclose(plan.masks.sum(0), torch.ones(()), atol=1e-6)
    assert plan.masks.min() >= 0 and plan.masks.max() <= 1
    assert plan.weights.min() >= 0 and plan.weights.max() <= 1
    if not isinstance(plan, SnapPlan):
        assert torch.allclose(plan.weights.sum(0), torch.ones(()), atol=1e-6)
        assert torch.allclose(plan.masks.mean((2, 3, 4)), plan.weights, atol=1e-6)
        assert torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-5)
    assert torch.equal(targets, plan.soften(labels, 4)) and torch.equal(labels, before)
    own = labels if soft else ml.one_hot(ids, 4)
    assert torch.allclose(targets, (plan.weights[..., None] * own[plan.sources]).sum(0), atol=1e-6)


@steady
@given(calls())
def test_one_seed_one_result_and_no_other_draws(call):
    mix, images, seed = call
    state = torch.get_rng_state()
    once, again = (mix(images, generator=seeded(seed)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(once.images, again.images) and torch.equal(once.plan.weights, again.plan.weights)
    torch.manual_seed(seed)
    assert torch.equal(mix(images).images, once.images)  # without one, torch's own


@steady
@given(calls())
def test_a_plan_on_its_own_device_is_the_same(call):
    mix, images, seed = call
    plan = mix(images, generator=seeded(seed)).plan
    moved = plan.to("cpu")
    assert type(moved) is type(plan) and torch.equal(moved.mix(images), plan.mix(images))
    names = {"sources", "masks", "weights", "boxes", "lam_drawn", *vars(plan)}
    for name in (name for name in names if not name.startswith("_")):
        one, other = getattr(plan, name), getattr(moved, name)
        assert type(one) is type(other)
        assert torch.allclose(one, other, atol=1e-6) if isinstance(one, torch.Tensor) else one == other


NO_LAM = ("guidedmixup", "guidedmixup, drawn", "smmix")  # shares follow from the maps, or from a side
OWN_DRAWS = (
    "resizemix",
    "smoothmix",
    "ricap",
    "mosaic",
    "cutmix_seg",
    "comixup",
    *NO_LAM,
)  # no λ of a Beta distribution


@pytest.mark.parametrize("name", [name for name in ALL if name not in OWN_DRAWS])
def test_lam_and_partners_given_are_obeyed(name):
    images, partner = torch.rand(5, 3, 8, 12, generator=seeded()), torch.tensor([4, 2, 2, 0, 4])
    lam = torch.tensor([0.0, 0.3, 0.5, 0.8, 1.0])
    for given_lam, asked in ((0.3, torch.full((5,), 0.3)), (lam, lam), (lam.tolist(), lam)):
        for per_image in (False, True):
            known = {"lam": given_lam, "partner": partner, "per_image": per_image, "generator": seeded(1)}
            plan = ALL[name](images, **known).plan
            assert torch.equal(plan.partner, partner) and torch.allclose(plan.lam_drawn, asked)
    assert partner.tolist() == [4, 2, 2, 0, 4] and torch.equal(lam, torch.tensor([0.0, 0.3, 0.5, 0.8, 1.0]))
    assert torch.equal(ALL[name](images, partner=[4, 2, 2, 0, 4]).plan.partner, partner)


@pytest.mark.parametrize("name", [name for name in ALL if name not in (*NO_LAM, "comixup", "cutmix_seg")])
def test_one_draw_for_the_batch_or_one_an_image(name):
    images = torch.rand(9, 1, 16, 16, generator=seeded())
    once = ALL[name](images, generator=seeded(2)).plan
    each = ALL[name](images, per_image=True, generator=seeded(2)).plan
    assert len(once.lam_drawn.unique()) == 1 or name == "smoothmix"
    assert len(each.lam_drawn.unique()) > 5
    if name.startswith(("gridmix", "fmix", "smoothmix", "ricap", "hmix", "gmix", "cowmix", "mosaic")):
        assert len(once.masks[0].unique(dim=0)) == 1 and len(each.masks[0].unique(dim=0)) > 6


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_the_sum(name):
    images = torch.rand(3, 2, 4, 4, dtype=torch.float64, generator=seeded(), requires_grad=True)
    towards = torch.rand(images.shape, dtype=torch.float64, generator=seeded(1))
    each = {} if name in ("comixup", *NO_LAM) else {"per_image": True}
    mixed = ALL[name](images, generator=seeded(3), **each)
    assert not mixed.plan.weights.requires_grad and not mixed.plan.masks.requires_grad
    (found,) = torch.autograd.grad((mixed.images * towards).sum(), images)
    (known,) = torch.autograd.grad((rebuilt(mixed.plan, images) * towards).sum(), images)
    assert torch.allclose(found, known, atol=1e-6) and bool(found.any())
