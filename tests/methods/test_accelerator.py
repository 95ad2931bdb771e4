"""Mixing on an accelerator, simulated on the CPU: the same results, and the host waits for nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mixlearn as ml
from mixlearn.methods.alignmix import sinkhorn
from mixlearn.methods.decoupled import decoupled_cross_entropy
from mixlearn.methods.graph_cut import cut
from mixlearn.methods.puzzlemix import puzzle_energy, transport
from mixlearn.methods.ricap import CropPlan
from tests.accelerator import alone, counted, on_cpu, on_device
from tests.refused import refused
from tests.seeds import seeded

PARTNER, LAM = [1, 2, 3, 4, 5, 0], [0.1, 0.3, 0.5, 0.6, 0.8, 1.0]
BOXES = [[0, 0, 4, 4], [3, 2, 16, 9], [5, 5, 5, 9], [0, 0, 16, 16], [1, 8, 9, 13], [10, 0, 12, 16]]
COUNTS = [60, 30, 20, 2]
each = partial(dict, per_image=True)
pairs = partial(dict, partner=PARTNER)


def real(
    method: Callable[..., ml.Mixed], images: Tensor, ids: Tensor, num_classes: int, **options: Any
) -> ml.Mixed:
    """A method for real labels, of one-hot ones."""
    return method(images, nn.functional.one_hot(ids, num_classes).float(), **options)


def attended(images: Tensor, labels: Tensor, **options: Any) -> ml.Mixed:
    """SMMix where the images are bright."""
    bright = nn.functional.adaptive_avg_pool2d(images, 4).mean(1)
    return ml.smmix(images, labels, attention=bright, **options)


def of_objects(images: Tensor, labels: Tensor, **options: Any) -> ml.Mixed:
    """Copy-Paste of what is bright and what is dark."""
    bright = images.mean(1, keepdim=True) > 0.5
    return ml.copy_paste(images, labels, masks=list(torch.cat([bright, ~bright], 1)), **options)


def in_classes(images: Tensor, labels: Tensor, generator: torch.Generator, **_: Any) -> ml.Mixed:
    """ClassMix of bands of brightness; the labels of whole images beside it."""
    maps = (images.mean(1) * 4).long()
    mixed = ml.classmix(images, maps, num_classes=4, ignore_index=2, generator=generator)
    with_maps = torch.nn.functional.one_hot(mixed.targets, 4).float().mean((1, 2))  # type: ignore[arg-type]
    return mixed._replace(targets=with_maps)


CASES: dict[str, tuple[Callable[..., ml.Mixed], dict[str, Any]]] = {
    "alignmix": (ml.alignmix, {}),
    "alignmix, given": (ml.alignmix, pairs(lam=LAM, moves_partner=False, epsilon=1.0)),
    "attentivemix": (ml.attentivemix, {}),
    "attentivemix, given": (ml.attentivemix, pairs(lam=LAM, grid=4)),
    "classmix": (in_classes, {}),
    "comixup": (ml.comixup, {}),
    "copy_paste": (of_objects, {}),
    "cowmix": (ml.cowmix, {}),
    "cowmix, given": (ml.cowmix, pairs(lam=LAM, sigma=(1.0, 2.0))),
    "cutmix_seg": (ml.cutmix_seg, pairs()),
    "mosaic": (ml.mosaic, {}),
    "mosaic, each its own": (ml.mosaic, each(scale=0.7)),
    "comixup, in parts": (ml.comixup, {"part": 4, "grid": 2}),
    "cutmix": (ml.cutmix, {}),
    "cutmix, each its own": (ml.cutmix, each(fold=True)),
    "cutmix, given": (ml.cutmix, pairs(lam=LAM)),
    "cutmix, boxes": (ml.cutmix, pairs(boxes=BOXES)),
    "cutout, holes": (ml.cutout, {"size": 5, "holes": 3}),
    "cutout, boxes": (ml.cutout, {"size": 5, "boxes": BOXES}),
    "fmix": (ml.fmix, {}),
    "fmix, given": (ml.fmix, pairs(lam=LAM, spectrum="released")),
    "gmix": (ml.gmix, {}),
    "gmix, given": (ml.gmix, pairs(lam=LAM)),
    "cmixup": (partial(real, ml.cmixup), {}),
    "gridmix": (ml.gridmix, {}),
    "gridmix, given": (ml.gridmix, pairs(lam=LAM)),
    "guidedmixup": (ml.guidedmixup, {}),
    "guidedmixup, drawn": (ml.guidedmixup, {"greedy": False}),
    "hmix": (ml.hmix, {}),
    "hmix, given": (ml.hmix, pairs(lam=LAM)),
    "kmixup": (ml.kmixup, {"k": 4}),
    "mixstyle": (ml.mixstyle, {}),
    "mixup": (ml.mixup, {}),
    "mixup, given": (ml.mixup, pairs(lam=LAM)),
    "moex": (ml.moex, {}),
    "patchmix": (ml.patchmix, {}),
    "patchmix, in parts": (ml.patchmix, {"parts": 3}),
    "puzzlemix": (ml.puzzlemix, {}),
    "puzzlemix, given": (ml.puzzlemix, pairs(lam=LAM, blocks=[4])),
    "puzzlemix, none moves": (ml.puzzlemix, {"move": None}),
    "remix": (partial(ml.remix, counts=COUNTS), {}),
    "remix, CutMix": (partial(ml.remix, counts=COUNTS, mix=ml.cutmix), each(alpha=2.0)),
    "resizemix": (ml.resizemix, {}),
    "resizemix, boxes": (ml.resizemix, pairs(boxes=BOXES)),
    "ricap": (ml.ricap, {}),
    "ricap, each its own": (ml.ricap, each(alpha=2.0)),
    "saliencymix": (ml.saliencymix, {}),
    "smmix": (attended, {}),
    "saliencymix, given": (ml.saliencymix, pairs(lam=LAM)),
    "saliencymix, one peak": (ml.saliencymix, {"one_peak": True}),
    "smoothmix": (ml.smoothmix, {}),
    "smoothmix, each its own": (ml.smoothmix, each(inverted=True)),
    "snapmix": (ml.snapmix, {}),
    "snapmix, given": (ml.snapmix, pairs(lam=LAM)),
    "unimix": (partial(ml.unimix, counts=COUNTS), {}),
    "unimix, given": (partial(ml.unimix, counts=COUNTS), pairs(lam=LAM)),
}

# The calls that cannot do without a wait, how many there are, and why.
WAITS = {
    # its matching ends when the distances say so
    "kmixup": 1,
    # its two searches end when the values say so; what both need is read at once
    "puzzlemix": 1,
    "puzzlemix, given": 1,
    "puzzlemix, none moves": 1,
}
WHOLE = (ml.alignmix, ml.moex, ml.mixstyle)  # they mix (B, C, H, W) alone


def batch(name: str = "") -> tuple[Tensor, Tensor]:
    size = 8 if name.startswith("alignmix") else 16  # its plan has a weight for each two pixels
    return torch.rand(6, 3, size, size, generator=seeded(0)), torch.tensor([0, 1, 2, 3, 2, 1])


def same(ours: Any, theirs: Any, what: str, exact: bool = True) -> None:
    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(on_cpu(ours), theirs, msg=lambda words: f"{what}: {words}", **tolerance)


def mixes(name: str) -> None:
    """The same mixture and plan; the plan, made there or sent there, is applied without a wait."""
    method, options = CASES[name]
    images, labels = batch(name)
    moved, ids = on_device((images, labels))
    plain = method(images, labels, num_classes=4, generator=seeded(3), **options)
    with counted() as waits:
        mixed = method(moved, ids, num_classes=4, generator=seeded(3), **options)
    assert len(waits) == WAITS.get(name, 0), waits
    assert {mixed.images.device.type, mixed.targets.device.type, mixed.plan.device.type} == {"simulated"}
    assert mixed.images.stride() == plain.images.stride()
    same(mixed.images, plain.images, "images")
    same(mixed.targets, plain.targets, "targets")
    sent, own, plain = plain.plan.to(moved.device), mixed.plan, plain.plan
    soft, maps = torch.rand(6, 4, generator=seeded(1)), images if method in WHOLE else images[:, 0]
    (there, answers), back = on_device((maps, soft)), own.to("cpu")
    with counted() as waits:
        results = [
            (plan.mix(there), plan.blend(answers), plan.soften(ids, 4), plan.source_matrix())
            for plan in (own, sent)
        ]
        ids_mixed = plan_of_ids(own, ids, images.shape[-1])
    assert not waits, waits
    expected = (plain.mix(maps), plain.blend(soft), plain.soften(labels, 4), plain.source_matrix())
    for found in (*results, (back.mix(maps), back.blend(soft), back.soften(labels, 4), back.source_matrix())):
        same(found, expected, "mix, blend, soften, source_matrix")
    if ids_mixed is not None:
        same(ids_mixed, plan_of_ids(plain, labels, images.shape[-1]), "class ids")
    for part in ("sources", "weights", "lam", "lam_drawn", "partner", "masks", "boxes"):
        expected = getattr(plain, part)
        if expected is None:
            assert getattr(own, part) is None
        else:
            same(getattr(own, part), expected, part)


# How often a λ that lies on the device is read: by what makes boxes or masks of it on the CPU.
LAM_READS = {
    "mixup": 0, "cowmix": 1, "cutmix": 1, "gridmix": 1, "fmix": 1, "saliencymix": 0, "snapmix": 1,
    "attentivemix": 0, "alignmix": 0, "hmix": 1, "gmix": 1, "mixstyle": 0, "kmixup": 0,
}  # fmt: skip


def lam_lies_there(name: str) -> None:
    method = getattr(ml, name)
    images, labels = batch(name)
    for lam in (torch.tensor(0.4), torch.linspace(0.1, 0.9, 6)):
        given = {"num_classes": 4, "partner": [1, 2, 3, 4, 5, 0]}
        plain = method(images, labels, lam=lam, generator=seeded(3), **given)
        moved = on_device((images, labels, lam))
        with counted() as waits:
            mixed = method(*moved[:2], lam=moved[2], generator=seeded(3), **given)
        assert len(waits) == LAM_READS[name], waits
        same(mixed.images, plain.images, "images")
        same(mixed.targets, plain.targets, "targets")


def plan_of_ids(plan: ml.MixPlan, ids: Tensor, size: int) -> Tensor | None:
    """A map of class ids mixed, by the plans that look at no mask for it."""
    copies = isinstance(plan, (ml.BoxPlan, ml.PatchPlan, CropPlan))
    return plan.mix(ids[:, None, None].expand(6, size, size)) if copies else None


def masks_are_read_for_class_ids() -> None:
    """A map of ids under soft masks has no answer, so the masks are looked at: one wait."""
    images, _ = batch()
    ids = torch.arange(6)[:, None, None].expand(6, 16, 16).contiguous()
    plan = ml.fmix(on_device(images), generator=seeded(3)).plan
    with counted() as waits:
        mixed = plan.mix(on_device(ids))
    assert len(waits) == 1, waits
    same(mixed, ml.fmix(images, generator=seeded(3)).plan.mix(ids), "ids")
    with pytest.raises(TypeError, match="cannot be averaged"):
        ml.mixup(on_device(images), lam=0.5).plan.mix(on_device(ids))


def losses_and_accuracy() -> None:
    logits, labels = torch.randn(6, 4, generator=seeded(0)), batch()[1]
    plan = ml.mixup(batch()[0], per_image=True, generator=seeded(1)).plan

    def all_of(logits: Tensor, labels: Tensor, plan: ml.MixPlan) -> list[Tensor]:
        logits = logits.clone().requires_grad_(True)
        targets = ml.smooth(plan.soften(labels, 4), 0.1)
        losses = [
            ml.soft_cross_entropy(logits, targets),
            ml.soft_bce(logits, targets),
            ml.pair_cross_entropy(logits, labels, plan),
            decoupled_cross_entropy(logits, labels, plan),
            ml.contrastive_loss(logits, logits.detach() + 1, plan.source_matrix()),
            ml.mixed_accuracy(logits, labels, plan),
        ]
        (slope,) = torch.autograd.grad(sum(losses[:-1]), logits)
        masks = torch.linspace(0, 1, 6 * 16, device=logits.device).view(6, 1, 4, 4)
        return [loss.detach() for loss in losses] + [slope, ml.mask_loss(masks, plan.lam)]

    expected = all_of(logits, labels, plan)
    there, ids = on_device((logits, labels))
    with counted() as waits:
        found = all_of(there, ids, plan.to(there.device))
    assert not waits, waits
    same(found, expected, "losses", exact=False)


def saliency_maps() -> None:
    images, labels = batch()
    net, moved = (ml.nets.resnet(8, 4, width=4, generator=seeded(0)) for _ in range(2))
    on_device(moved)
    there, ids = on_device((images, labels))

    def all_of(net: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
        return [
            ml.spectral_residual(images),
            ml.gradient_saliency(net, images, labels),
            ml.feature_attention(net, images),
            ml.feature_attention(net, images, labels=labels),
        ]

    with counted() as waits:
        found = all_of(moved, there, ids)
    assert not waits, waits
    same(found, all_of(net, images, labels), "saliency", exact=False)


def changed_copies() -> None:
    """AugMix and PixMix, whose pictures may lie on either side."""
    images, _ = batch()
    pictures, there = torch.rand(3, 3, 16, 16, generator=seeded(1)), on_device(images)

    def both(images: Tensor, pictures: Tensor) -> list[Tensor]:
        return [ml.augmix(images, generator=seeded(2)), ml.pixmix(images, pictures, generator=seeded(2))]

    with counted() as waits:
        found = [both(there, pictures), both(there, on_device(pictures))]
    assert not waits, waits
    same(found, [both(images, pictures)] * 2, "changed copies", exact=False)


def labels_that_are_few_or_wrong() -> None:
    """Partners and refined labels without a wait; the split of the losses fetches them."""
    losses, p = torch.tensor([0.1, 0.2, 2.0, 0.1, 2.2, 0.3]), torch.rand(6, 4, generator=seeded(0))

    def both(labels: Tensor, p: Tensor, clean: Tensor) -> list[Tensor]:
        return [ml.balanced_partner(labels, generator=seeded(1)), ml.refine_labels(labels, clean, p)]

    labels = batch()[1]
    with counted() as waits:
        clean = ml.clean_probability(on_device(losses))
        assert len(waits) == 1 and clean.device.type == "simulated", waits
        found = both(*on_device((labels, p)), clean)
    assert len(waits) == 1, waits
    same(found, both(labels, p, ml.clean_probability(losses)), "labels", exact=False)


def solvers() -> None:
    """Solvers that stop early on the CPU: the same answers, hard cases too; what is read, and how often."""
    points = torch.randn(3, 2, 9, 5, generator=seeded(0)) * torch.tensor([0.1, 1, 9]).view(3, 1, 1, 1)
    for scale in (0.05, 20.0):
        cost = torch.cdist(points[:, 0], points[:, 1]).square() * scale
        for steps in (1, 100):
            with counted() as waits:
                found = sinkhorn(on_device(cost), 0.1, steps)
            assert not waits
            same(found, sinkhorn(cost, 0.1, steps), "sinkhorn")
    for n, lam, beta, most in ((4, 0.5, 1.2, 1), (16, 0.5, 20.0, 3)):
        own, other = torch.rand(2, 5, n, n, generator=seeded(n)).square()
        own, other = (part / part.sum((1, 2), keepdim=True) for part in (own, other))
        terms = puzzle_energy(own, other, torch.tensor([lam]), beta=beta)
        for steps in (8, 200):
            with counted() as waits:
                found = cut(*on_device(tuple(terms)), steps=steps)
            assert len(waits) <= most + 1, waits
            same(found, cut(*terms, steps=steps), "cut")
    own, seen = torch.rand(2, 5, 4, 4, generator=seeded(0))
    with counted() as waits:
        found = transport(*on_device((own, seen > 0.5)), 0.1)
    assert len(waits) == 1, waits
    same(found, transport(own, seen > 0.5, 0.1), "transport")


def waits_are_seen() -> None:
    """The simulation itself: a wait of each kind is counted, and what would fail on a GPU fails."""
    there, device = on_device(torch.arange(4.0)), torch.device("simulated")
    for wait in (
        lambda: there[0].item(),
        lambda: there.tolist(),
        lambda: bool(there.all()),
        lambda: there.nonzero(),
        lambda: there[there > 1],
        lambda: there.cpu(),
        lambda: torch.ones(3).to(device),
        lambda: torch.tensor([1.0], device=device),
        lambda: there[torch.tensor([0, 1])],
    ):
        with counted() as waits:
            wait()
        assert len(waits) == 1, waits
    with counted() as waits:
        (
            torch.ones(3).to(device, non_blocking=True),
            torch.zeros(2, device=device),
            there.where(there > 1, 0.0),
        )
        there.masked_fill(there > 1, 0.0), there[torch.arange(2, device=device)], there.sum().backward
    assert not waits, waits
    refused(lambda: there + torch.ones(4), "same device", RuntimeError)
    refused(lambda: torch.rand(3, device=device, generator=seeded(0)), "generator", RuntimeError)


@pytest.mark.parametrize("name", CASES)
def test_a_method_mixes_as_on_the_cpu_and_waits_for_nothing(name: str) -> None:
    alone(mixes, name)


@pytest.mark.parametrize("name", LAM_READS)
def test_a_lam_on_the_device_is_taken_as_it_is(name):
    alone(lam_lies_there, name)


@pytest.mark.parametrize(
    "check",
    [
        masks_are_read_for_class_ids,
        losses_and_accuracy,
        saliency_maps,
        changed_copies,
        labels_that_are_few_or_wrong,
        solvers,
        waits_are_seen,
    ],
    ids=lambda check: check.__name__,
)
def test_on_an_accelerator(check: Callable[[], None]) -> None:
    alone(check)
