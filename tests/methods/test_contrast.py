"""Losses without labels and their learners, each against its formula; twin, processes, resuming."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mixlearn as ml
from experiments.rivals import MaskedImages, MixCo, SimSiam, hidden_patches, masked_pixel_loss, simsiam_loss
from mixlearn.methods.contrast import moco_loss, nt_xent, perceptron, rising
from mixlearn.methods.learner import dealt, interleaved
from mixlearn.methods.learners import MoCo, PatchMix, SimCLR
from mixlearn.methods.patchmix import Encoded, patchmix, patchmix_terms
from tests.apart import apart
from tests.refused import refusals
from tests.seeds import seeded
from tests.sets import Blobs, weights


def some(seed, count=5, length=7):
    return torch.randn(count, length, generator=seeded(seed))


def test_patchmix_asks_for_no_more_than_it_needs():
    plan = patchmix(torch.rand(4, 1, 4, 4), patch=2, generator=seeded()).plan
    q1, qm2, k1, km1, k2 = (some(seed, 4) for seed in range(5))
    queries, keys = (Encoded(q1), Encoded(None, qm2)), (Encoded(k1, km1), Encoded(k2))
    assert len(patchmix_terms(queries, keys, (plan, plan))) == 3
    with pytest.raises(ValueError, match="queries must hold what each term needs"):
        patchmix_terms(queries, keys, (plan, plan), symmetric=True)
    with pytest.raises(ValueError, match="keys must hold what each term needs"):
        patchmix_terms(queries, (Encoded(k1), Encoded(k2)), (plan, plan))


def pixels(predicted, hidden):
    return masked_pixel_loss(predicted, torch.rand(1, 1, 4, 4), hidden, patch=2)


test_bad_input_of_a_loss_is_named = refusals(
    (lambda x: nt_xent(x, x[:2]), r"both views must be \(B, D\), got \(3, 4\) and \(2, 4\)"),
    (lambda x: nt_xent(x, x * math.nan), "features must be finite"),
    (lambda x: moco_loss((x, x), (x[:2], x)), "each query needs a key of its own"),
    (lambda x: simsiam_loss((x, x), (x, x[:, :2])), r"both must be \(B, D\)"),
    (lambda x: simsiam_loss((x * 0, x), (x, x)), "predictions must be finite and not of length 0"),
    (lambda x: hidden_patches(2, 4, ratio=1.0), r"ratio must lie in \(0, 1\), got 1.0"),
    (lambda x: hidden_patches(2, 4, block=3), "block must divide the 4 patches of a row"),
    (lambda x: pixels(x, torch.ones(1, 4)), r"expected predicted \(1, 4, 4\) and hidden \(1, 4\)"),
    (lambda x: pixels(x[None, :1].expand(1, 4, 4), torch.zeros(1, 4).bool()), "at least one patch must"),
    by=lambda call: call(some(1, 3, 4)),
)


IMAGES, LABELS = torch.rand(6, 3, 8, 8, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])
DOUBLE = IMAGES.double()  # where losses by hand are to agree in all digits
NETS = {
    "vit": partial(ml.nets.vit, 4, size=8, patch=2, dim=12, depth=2, heads=2, any_size=True),
    "resnet": partial(ml.nets.resnet, 8, 4, width=4),
}
SMALL = {"hidden": 16, "outside": 8}
CROP = partial(ml.augment.crop_and_flip, padding=1)
CUT = partial(ml.augment.random_resized_crop, least=0.1, most=0.4, size=4)
KINDS = {
    "simclr": partial(SimCLR, **SMALL),
    "moco": partial(MoCo, predictor=16, **SMALL),
    "moco-shared": partial(MoCo, predictor=16, momentum=None, **SMALL),
    "simsiam": partial(SimSiam, predictor=4, **SMALL),
    "mixco": partial(MixCo, predictor=16, **SMALL),
    "imix-shared": partial(MixCo, origin=False, predictor=16, momentum=None, **SMALL),
    "patchmix": partial(PatchMix, parts=3, predictor=16, **SMALL),
    "patchmix-drawn": partial(PatchMix, parts=[2, 4], predictor=16, **SMALL),
    "patchmix-shared": partial(PatchMix, predictor=16, momentum=None, **SMALL),
    "patchmix-both": partial(PatchMix, symmetric=True, predictor=16, **SMALL),
    "patchmix-both-shared": partial(PatchMix, symmetric=True, predictor=16, momentum=None, **SMALL),
    "patchmix-crops": partial(PatchMix, parts=[2, 3], patch=2, predictor=16, small=CUT, crops=3, **SMALL),
    "patchmix-crops-shared": partial(
        PatchMix, patch=2, predictor=16, momentum=None, small=CUT, crops=2, **SMALL
    ),
    "masked": MaskedImages,
    "masked-blocks": partial(MaskedImages, block=4, ratio=0.4),
}
CONTRASTS = [name for name in KINDS if not name.startswith("masked")]


def made(kind, net="vit"):
    """A network whose features of images differ, and its learner, whose twin differs from it."""
    net = NETS[net](generator=seeded())
    for parameter in net.parameters() if hasattr(net, "embed") else ():
        if parameter.dim() > 1:
            parameter.data.mul_(10)
    learner = KINDS[kind](net, augment=CROP, generator=seeded(1))
    if getattr(learner, "twin", None) is not None:
        for parameter in learner.twin.parameters():
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=seeded(2)))
    return net, learner


# ----------------------------------------------------------------------- each term, written out view by view
def pool(net, images):
    positions = net.position
    if images.shape[-1] != net.size:
        side, new = net.size // net.patch, images.shape[-1] // net.patch
        grid = positions[0, 1:].reshape(side, side, -1).permute(2, 0, 1)[None]
        grid = F.interpolate(grid, (new, new), mode="bicubic")[0].permute(1, 2, 0).reshape(new * new, -1)
        positions = torch.cat([positions[:, :1], grid[None]], 1)
    tokens = torch.cat([net.token.expand(len(images), -1, -1), net.embed(images).flatten(2).mT], 1)
    tokens = tokens + positions
    for layer in net.layers:
        tokens = layer(tokens)
    return net.norm(tokens)[:, 0]


def info_nce(q, k, target, temperature):
    logits = F.normalize(q) @ F.normalize(k).T / temperature
    return -(target * logits.log_softmax(1)).sum(1).mean()


def by_hand(kind, net, learner, generator):
    """The terms, one view at a time, with keys from copies that no gradient leaves."""
    twin = learner.twin
    still = copy.deepcopy([net, learner.projector] if twin is None else [twin["net"], twin["projector"]])
    one, two = CROP(DOUBLE, generator=generator), CROP(DOUBLE, generator=generator)

    def ask(view):
        said = learner.projector(pool(net, view))
        return said if learner.predictor is None else learner.predictor(said)

    def key(view):
        return still[1](pool(still[0], view)).detach()

    eye, t = torch.eye(6), learner.temperature
    if kind == "simclr":
        z = F.normalize(torch.cat([ask(one), ask(two)]))
        logits = (z @ z.T / t).masked_fill(torch.eye(12).bool(), -torch.inf)
        return {"contrast": F.cross_entropy(logits, (torch.arange(12) + 6) % 12)}
    if kind.startswith("moco"):
        ways = info_nce(ask(one), key(two), eye, t) + info_nce(ask(two), key(one), eye, t)
        return {"contrast": 2 * t * ways}
    if kind == "simsiam":
        ways = F.cosine_similarity(ask(one), key(two)) + F.cosine_similarity(ask(two), key(one))
        return {"prediction": -ways.mean() / 2}
    if "mix" in kind and "patch" not in kind:
        mixed = ml.mixup(one, generator=generator)
        target = torch.stack(
            [lam * eye[i] + (1 - lam) * eye[p] for i, (lam, p) in
             enumerate(zip(mixed.plan.lam, mixed.plan.partner, strict=True))]
        )  # fmt: skip
        terms = {"origin": info_nce(ask(one), key(two), eye, t)} if learner.origin else {}
        return terms | {"mix_to_origin": info_nce(ask(mixed.images), key(two), target, t)}
    m1, p1 = ml.patchmix(one, patch=2, parts=learner.parts, generator=generator)[::2]
    m2, p2 = ml.patchmix(two, patch=2, parts=len(p1.sources), generator=generator)[::2]
    w1, w2 = p1.source_matrix(), p2.source_matrix()

    def way(a, ma, wa, b, mb, wb):
        return {
            "origin": info_nce(ask(a), key(b), eye, t),
            "mix_to_origin": info_nce(ask(mb), key(a), wb, t) / 2,
            "mix_to_mix": info_nce(ask(mb), key(ma), wb @ wa.T, t) / 2,
        }

    terms = way(one, m1, w1, two, m2, w2)
    if learner.symmetric:
        terms = {name: (term + way(two, m2, w2, one, m1, w1)[name]) / 2 for name, term in terms.items()}
    if learner.small is None:
        return terms
    views = key(one), key(two)
    crops = [CUT(DOUBLE, generator=generator) for _ in range(learner.crops)]
    mixtures = [ml.patchmix(crop, patch=2, parts=len(p1.sources), generator=generator) for crop in crops]
    said = ask(torch.cat(crops)).chunk(learner.crops)  # normalised together, as the authors' code does
    said_mixed = ask(torch.cat([mixed.images for mixed in mixtures])).chunk(learner.crops)
    for name, who, targets in (
        ("crops", said, [eye] * learner.crops),
        ("mixed_crops", said_mixed, [mixed.plan.source_matrix() for mixed in mixtures]),
    ):
        each = [info_nce(q, k, w, t) for q, w in zip(who, targets, strict=True) for k in views]
        terms[name] = sum(each) / learner.crops
    return terms


def gradients(total, *modules):
    for module in modules:
        module.zero_grad(set_to_none=True)
    total.backward()
    return {f"{i}.{name}": p.grad for i, m in enumerate(modules) for name, p in m.named_parameters()}


@pytest.mark.parametrize("kind", CONTRASTS)
def test_terms_and_gradients_are_the_formulas(kind):
    net, learner = (module.double() for module in made(kind))
    terms = learner(net, DOUBLE, LABELS, generator=seeded(3))
    ours = gradients(sum(terms.values()), net, learner)
    expected = by_hand(kind, net, learner, seeded(3))
    theirs = gradients(sum(expected.values()), net, learner)
    assert list(terms) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=0, atol=1e-6)
    for name, slope in theirs.items():
        if name.startswith("0.head") or "twin" in name:
            assert ours[name] is None and slope is None, name
        else:
            torch.testing.assert_close(ours[name], slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["masked", "masked-blocks"])
def test_hidden_patches_are_predicted_from_the_others(kind):
    net, learner = made(kind)
    terms = learner(net, IMAGES, LABELS, generator=seeded(3))
    ours = gradients(terms["pixels"], net, learner)
    g = seeded(3)
    view = CROP(IMAGES, generator=g)
    hidden = hidden_patches(6, 4, ratio=learner.ratio, block=learner.block, generator=g)
    rows = []
    for image, where in zip(view, hidden, strict=True):  # one image, one patch at a time
        patches = net.embed(image[None]).flatten(2).mT[0]
        tokens = [net.token[0, 0], *(learner.token[0, 0] if h else p
                                     for h, p in zip(where, patches, strict=True))]  # fmt: skip
        tokens = torch.stack(tokens)[None] + net.position
        for layer in net.layers:
            tokens = layer(tokens)
        rows.append(learner.decoder(net.norm(tokens)[0, 1:]))
    pixels = ml.patchify(view, 2).flatten(2)
    expected = (torch.stack(rows) - pixels).abs()[hidden].mean()
    torch.testing.assert_close(terms["pixels"], expected, rtol=1e-6, atol=1e-6)
    for name, slope in gradients(expected, net, learner).items():
        if name.startswith("0.head"):
            assert ours[name] is None
        else:
            torch.testing.assert_close(ours[name], slope, rtol=1e-4, atol=1e-6)
    changed = view.clone()
    shown = hidden.view(6, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    changed += shown * torch.rand(6, 1, 8, 8, generator=seeded(9))
    said = []
    for images in (view, changed):  # what is hidden cannot be seen
        other = copy.deepcopy(learner)
        other.augment = lambda _, generator, images=images: CROP(_, generator=generator) * 0 + images
        handle = other.decoder.register_forward_hook(lambda *found: said.append(found[2]))
        other(net, IMAGES, LABELS, generator=seeded(3))
        handle.remove()
    assert torch.equal(said[0], said[1])


# ------------------------------------------------------------------------- passes, gradients, labels, twin
CALLS = {  # rows through the network with and without gradients, and through the twin, in batches
    "simclr": ([2], [], []),
    "moco": ([2], [], [2]),
    "moco-shared": ([2], [], []),
    "simsiam": ([2], [], []),
    "mixco": ([2], [], [1]),
    "imix-shared": ([1], [1], []),
    "patchmix": ([2], [], [3]),
    "patchmix-shared": ([2], [2], []),
    "patchmix-both": ([4], [], [4]),
    "patchmix-crops": ([2, 6], [], [3]),
    "patchmix-both-shared": ([4], [], []),
}


@pytest.mark.parametrize("kind", CALLS)
def test_one_call_for_what_asks_and_one_for_keys(kind):
    net, learner = made(kind)
    with_slope, without, slow = [], [], []

    def count(module, inputs):
        if module is net:
            (with_slope if torch.is_grad_enabled() else without).append(len(inputs[0]) // 6)
        else:
            assert not torch.is_grad_enabled()
            slow.append(len(inputs[0]) // 6)

    for module in [net, *([] if learner.twin is None else [learner.twin["net"]])]:
        module.register_forward_pre_hook(count)
    learner(net, IMAGES, LABELS, generator=seeded(3))
    assert (with_slope, without, slow) == CALLS[kind]


class Sealed:
    """Labels that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError("a label was read")


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_read(kind):
    net, learner = made(kind)
    one = learner(net, IMAGES, Sealed(), generator=seeded(3))
    other = learner(net, IMAGES, generator=seeded(3))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_every_share_holds_every_view():
    shares = []
    net, learner = made("patchmix")

    def spread(images, tap):
        shares.extend(images.tensor_split(2))
        return net(images, tap=tap)

    learner(spread, IMAGES, LABELS, generator=seeded(3))
    g = seeded(3)
    one, two = CROP(IMAGES, generator=g), CROP(IMAGES, generator=g)
    first = ml.patchmix(one, patch=2, parts=3, generator=g)
    second = ml.patchmix(two, patch=2, parts=len(first.plan.sources), generator=g)
    for share, own in zip(shares, (slice(0, 3), slice(3, 6)), strict=True):
        assert torch.equal(share[0::2], one[own]) and torch.equal(share[1::2], second.images[own])


@pytest.mark.parametrize("kind", ["moco", "patchmix", "mixco"])
def test_the_twin_follows_as_published(kind):
    net, learner = NETS["vit"](generator=seeded()), None
    learner = KINDS[kind](net, generator=seeded(1))
    start = weights(learner.twin["net"])
    assert torch.equal(start, weights(net))
    expected = start
    for step in range(5):
        learner.advance(step / 5)
        for parameter in net.parameters():
            parameter.data.add_(torch.randn(parameter.shape, generator=seeded(step)))
        learner.after_step(net)
        m = 1 - 0.004 * (1 + math.cos(math.pi * step / 5)) / 2
        expected = m * expected + (1 - m) * weights(net)
    torch.testing.assert_close(weights(learner.twin["net"]), expected, rtol=0, atol=1e-6)
    assert rising(0.0) == pytest.approx(0.996) and rising(1.0) == 1.0
    learner = KINDS[kind](net, momentum=0.75)
    learner.advance(0.5)
    assert learner.twin.momentum == 0.75


def test_which_network_is_handed_on_is_declared():
    net, learner = made("moco")
    assert learner.deployed(net) is learner.twin["net"]
    assert KINDS["moco"](net, deploy="network").deployed(net) is net
    assert KINDS["simclr"](net).deployed(net) is net
    assert MaskedImages(net).deployed(net) is net


def test_projector_and_predictor_are_those_published():
    learner = MoCo(NETS["vit"]())
    shapes = [tuple(p.shape) for n, p in learner.named_parameters() if "twin" not in n and p.dim() == 2]
    assert shapes == [(4096, 12), (4096, 4096), (256, 4096), (4096, 256), (256, 4096)]
    norms = [m for n, m in learner.named_modules() if isinstance(m, nn.BatchNorm1d) and "twin" not in n]
    assert [m.affine for m in norms] == [True, True, False, True, False]
    assert not any("bias" in n and isinstance(learner.get_submodule(n[:-5]), nn.Linear)
                   for n, _ in learner.named_parameters() if "twin" not in n)  # fmt: skip
    last = SimSiam(NETS["vit"]()).predictor[-1]
    assert isinstance(last, nn.Linear) and last.bias is not None
    same = [perceptron((4, 5, 3), generator=seeded(2)).state_dict() for _ in range(2)]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])


# -------------------------------------------------------------------------------------------------- in `fit`
def fitted(kind, net, data=None, **options):
    net, learner = made(kind, net)
    start = copy.deepcopy(net.state_dict())
    options = {"epochs": 1, "batch_size": 6, "accelerator": "cpu", "progress": False} | options
    history = ml.fit(net, data or Blobs(12, channels=3), learner, **options)
    return net, learner, start, history


@pytest.mark.parametrize("kind", [*CONTRASTS, "masked"])
@pytest.mark.parametrize("net", NETS)
def test_each_trains_all_but_the_head(kind, net):
    if kind == "masked" and net == "resnet":
        pytest.raises(TypeError, made, kind, net)
        return
    net, learner, start, history = fitted(kind, net)
    assert math.isfinite(history.last["loss"])
    for name, parameter in net.named_parameters():
        if name.startswith("head"):
            assert torch.equal(parameter, start[name]) and parameter.requires_grad, name
        else:
            assert not torch.equal(parameter, start[name]), name
    fresh = made(kind, "vit" if hasattr(net, "embed") else "resnet")[1].state_dict()
    assert all(not torch.equal(p, fresh[name]) for name, p in learner.named_parameters())


class Broken(RuntimeError):
    """What ends a run in these tests."""


@pytest.mark.parametrize("kind", ["patchmix", "masked"])
def test_going_on_gives_the_weights_of_an_unbroken_run(kind, tmp_path):
    settings = {"epochs": 2, "checkpoint_every": 1}
    whole = fitted(kind, "vit", checkpoint=tmp_path / "whole.pt", **settings)
    net, learner = made(kind)
    calls, forward = [], learner.forward

    def breaking(*given, **more):
        calls.append(1)
        if len(calls) == 4:
            raise Broken
        return forward(*given, **more)

    learner.forward = breaking
    path = tmp_path / "run.pt"
    same = {"batch_size": 6, "accelerator": "cpu", "progress": False, "checkpoint": path} | settings
    with pytest.raises(Broken):
        ml.fit(net, Blobs(12, channels=3), learner, **same)
    assert net.head.weight.requires_grad, "given back although the run broke"
    net, learner, _, history = fitted(kind, "vit", checkpoint=path, resume=True, **settings)
    assert torch.equal(weights(net), weights(whole[0])) and torch.equal(weights(learner), weights(whole[1]))
    assert [row["loss"] for row in history.epochs] == [row["loss"] for row in whole[3].epochs]


# -------------------------------------------------------------------------------------------- two processes
TOGETHER = {  # what is trained: one step at rate 1, which moves weights by the gradient itself, or two
    **dict.fromkeys(("simclr", "moco", "simsiam", "patchmix-shared", "masked"), (7, 1.0)),
    "patchmix": (14, 0.01),
    "patchmix-crops": (14, 0.01),
    "masked-blocks": (14, 0.01),
}


def train(folder, devices):
    """Seven images a step, so that processes have shares of different sizes."""
    found = {}
    for kind, (count, rate) in TOGETHER.items():
        given = {"devices": devices, "strategy": "ddp_fork" if devices > 1 else "auto", "schedule": None}
        given["optimizer"] = partial(torch.optim.SGD, lr=rate, weight_decay=0.1)
        data = Blobs(count, channels=3)
        net, learner, start, history = fitted(kind, "vit", data, batch_size=7, **given)
        head = torch.equal(net.head.weight, start["head.weight"])
        moved = max(float((p - start[n]).abs().max()) for n, p in net.named_parameters())
        terms = {name: value for name, value in history.last.items() if name != "seconds"}
        parts = {"net": weights(net), "learner": weights(learner)}
        found[kind] = parts | {"moved": moved, "terms": terms, "head": head}
    torch.save(found, folder / f"{devices}.pt")


def test_two_processes_do_what_one_does(tmp_path):
    for devices in (1, 2):
        assert apart(train, tmp_path, devices) == 0
    ones, twos = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    for kind in TOGETHER:
        one, two = ones[kind], twos[kind]
        assert one["moved"] > 1e-3 and one["head"] and two["head"], kind
        for part in ("net", "learner"):
            torch.testing.assert_close(two[part], one[part], rtol=1e-5, atol=1e-5, msg=f"{part} of {kind}")
        assert list(one["terms"]) == list(two["terms"])
        for name, value in one["terms"].items():
            assert two["terms"][name] == pytest.approx(value, abs=1e-5), (kind, name)


# ----------------------------------------------------------------------------------------------- bad input
VIT = NETS["vit"]()
FIXED = ml.nets.vit(4, size=8, patch=2, dim=12, depth=2, heads=2)


test_bad_input_is_named = refusals(
    (lambda: SimCLR(nn.Linear(1, 1)), TypeError, "SimCLR needs a network with `features` and a tap"),
    (lambda: MoCo(VIT, augment=3), TypeError, "augment must be a function"),
    (lambda: MoCo(VIT, smoothing=0.1), ValueError, "MoCo reads no labels; smoothing must be 0, got 0.1"),
    (lambda: MoCo(VIT, hidden=0), ValueError, "of the layers must be a positive integer, got 0"),
    (lambda: SimSiam(VIT, predictor=None), ValueError, "without a predictor, got None"),
    (lambda: MixCo(VIT, mix="mixup"), TypeError, "mix must be a function"),
    (lambda: PatchMix(VIT, small=4), TypeError, "small must be a function .* got int"),
    (lambda: PatchMix(VIT, small=CUT, crops=0), ValueError, "crops must be at least 1, got 0"),
    (lambda: KINDS["patchmix-crops"](FIXED)(FIXED, IMAGES), ValueError, r"images must be 8 × 8, got"),
    (lambda: MaskedImages(VIT, block=3), ValueError, "block must be whole patches of 2 pixels, got 3"),
    (lambda: MaskedImages(NETS["resnet"]()), TypeError, "a transformer's patches .*got ResNet"),
    (lambda: dealt(LABELS, 4), ValueError, "4 batches of one length cannot have 6 rows together"),
    (lambda: interleaved(IMAGES, IMAGES, LABELS), ValueError, "both batches must have one shape"),
    (lambda: KINDS["moco"](VIT)(VIT, IMAGES[:1]), ValueError, "compares the images of a batch, got 1"),
    (lambda: PatchMix(VIT, parts=17, **SMALL)(VIT, IMAGES), ValueError, "parts must lie in 1…16"),
)
