"""Exercises of chapters 5 and 6: masks that are learned, a slow twin, and networks that teach themselves."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixlearn.course.judge import written
from mixlearn.course.mixing import CYCLE, mean_of, pair_cross_entropy, share, soft_cross_entropy, soft_labels


# --------------------------------------------------------------------------------------------------- Mix Block
def _block_inputs(g: Generator) -> list[tuple[Any, ...]]:
    cases = []
    for batch, channels, h, w, depth, size in ((2, 2, 1, 2, 2, (2, 4)), (5, 4, 2, 3, 3, (4, 6))):
        features = torch.randn(batch, channels, h, w, generator=g)
        lam, partner = (
            torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45])[:batch],
            torch.tensor(CYCLE if batch > 2 else [1, 0]),
        )
        look, value = torch.randn(depth, channels + 1, generator=g), torch.randn(channels + 1, generator=g)
        cases.append((features, lam, partner, look, value, *size))
    return cases


@written(
    chapter=5,
    level=3,
    points=3,
    inputs=_block_inputs,
    wanted=(3, 4),
    hint="Write the shapes at line ends: tokens (B, hw, C + 1), queries (B, hw, D), attention (B, hw, hw).",
)
def mix_block(
    features: Tensor, lam: Tensor, partner: Tensor, look: Tensor, value: Tensor, height: int, width: int
) -> Tensor:
    """AutoMix's masks: attention of each image's places to those of its partner.

    features (B, C, h, w); lam (B,) each image's share, partner (B,) int64; look (D, C + 1) and value (C + 1,)
    are weights without a bias. The h · w places of an image, row by row, are its tokens z (B, hw, C + 1): C
    features, and last λ at every place. z′ are the features of the partner with 1 − λ (of the image) as the
    last number. Queries Q = z lookᵀ, keys K = z′ lookᵀ, both (B, hw, D), values V = z′ value (B, hw). Then
    P = softmax(Q Kᵀ / √D) over the partner's places, s = P V (B, hw), enlarged to (B, 1, height, width) by
    repeating pixels (nearest), and sigmoid(s) is the mask of the partner. Returns the image's own mask, the
    rest: (B, 1, height, width) in (0, 1). height and width are multiples of h and w.

    >>> weights = torch.zeros(2, 4), torch.zeros(4)
    >>> mix_block(torch.rand(2, 3, 1, 1), torch.tensor([0.2, 0.7]), torch.tensor([1, 0]), *weights, 1, 1)
    tensor([[[[0.5000]]],
    <BLANKLINE>
    <BLANKLINE>
            [[[0.5000]]]])
    """
    return _block(features, lam, partner, look, value, height, width)


def _block(
    x: Tensor, lam: Tensor, p: Tensor, look: Tensor, value: Tensor, height: int, width: int, wrong: str = ""
) -> Tensor:
    """The masks with one thing wrong: the catalogue's entries differ in single lines of it."""
    batch, _, h, w = x.shape
    tokens = x.flatten(2).mT  # (B, hw, C)
    if wrong == "columns-first":
        tokens = x.mT.flatten(2).mT
    own = 1 - lam if wrong == "lam-exchanged" else mean_of(lam) if wrong == "mean-lam" else lam
    other = own if wrong == "lam-for-both" else 1 - own
    if wrong == "partners-lam":
        other = 1 - own[p]
    if wrong == "lam-missing":
        own, other = 0 * own, 0 * other
    p = p.argsort() if wrong == "inverse-partner" else p
    first, second = (
        torch.cat([part, share(lam, part).expand(-1, h * w, 1)], 2)
        for part, lam in ((tokens, own), (tokens[p], other))
    )  # (B, hw, C + 1)
    query, key = first @ look.T, (first if wrong == "attends-to-itself" else second) @ look.T  # (B, hw, D)
    values = (first if wrong == "own-values" else second) @ value  # (B, hw)
    scale = {"not-scaled": 1, "scaled-by-depth": len(look), "scaled-by-width": look.shape[1] ** 0.5}
    scores = query @ key.mT / scale.get(wrong, len(look) ** 0.5)  # (B, hw, hw)
    attention = scores.softmax(1 if wrong == "wrong-axis" else 2)
    if wrong == "no-softmax":
        attention = scores
    s = (attention @ values[..., None]).view(batch, 1, h, w)
    large = F.interpolate(s, (height, width), mode="bilinear" if wrong == "bilinear" else "nearest")
    if wrong == "no-sigmoid":
        return 1 - large
    return large.sigmoid() if wrong == "partners-mask" else 1 - large.sigmoid()


for _name in (
    *("columns-first", "lam-exchanged", "mean-lam", "lam-for-both", "partners-lam", "lam-missing"),
    *("inverse-partner", "attends-to-itself", "own-values", "not-scaled", "scaled-by-depth", "wrong-axis"),
    *("scaled-by-width", "no-softmax", "bilinear", "no-sigmoid", "partners-mask"),
):
    mix_block.wrong(_name, lambda *a, _name=_name: _block(*a, wrong=_name))


# --------------------------------------------------------------------------------------------------- mask loss
def _mask_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = torch.tensor([0.9, 0.7, 0.1, 0.1]).view(2, 1, 1, 2)
    masks = torch.rand(5, 1, 3, 4, generator=g) * torch.tensor([0.3, 1.0, 1.9, 0.9, 1.1]).view(5, 1, 1, 1)
    lam = torch.tensor([0.6, 0.1, 0.3, 0.46, 0.9])
    return [(tiny, torch.tensor([0.5, 0.3]), 0.1), (masks, lam, 0.08), (masks, lam, 0.34)]


@written(
    chapter=5,
    level=1,
    points=2,
    inputs=_mask_inputs,
    wanted=(0,),
    hint="Two images whose masks miss their λ in opposite directions: what should the loss be?",
)
def mask_loss(masks: Tensor, lam: Tensor, margin: float) -> Tensor:
    """How far the mean of each mask is from its λ, beyond a margin, averaged over the batch.

    masks (B, 1, H, W) in [0, 1], the image's own share of each pixel; lam (B,). For each image by itself:
    max(|mean of its mask − λ| − margin, 0); then the mean over the batch. Returns a scalar tensor, through
    which gradients flow to the masks.

    >>> mask_loss(torch.tensor([0.9, 0.1]).view(2, 1, 1, 1), torch.tensor([0.5, 0.5]), 0.1)
    tensor(0.3000)
    """
    return ((masks.mean((1, 2, 3)) - lam).abs() - margin).clamp(min=0).mean()


def _off(m: Tensor, w: Tensor) -> Tensor:
    return m.mean((1, 2, 3)) - w


wrong = mask_loss.wrong
wrong("batch-mean", lambda m, w, d: (_off(m, w).mean().abs() - d).clamp(min=0))
wrong("margin-after-mean", lambda m, w, d: (_off(m, w).abs().mean() - d).clamp(min=0))
wrong("margin-missing", lambda m, w, d: mask_loss(m, w, 0.0))
wrong("margin-added", lambda m, w, d: mask_loss(m, w, -d))
wrong("negative-kept", lambda m, w, d: (_off(m, w).abs() - d).mean())
wrong("absolute-again", lambda m, w, d: (_off(m, w).abs() - d).abs().mean())
wrong("all-or-nothing", lambda m, w, d: (_off(m, w).abs() * (_off(m, w).abs() > d)).mean())
wrong("too-much-only", lambda m, w, d: (_off(m, w) - d).clamp(min=0).mean())
wrong("too-little-only", lambda m, w, d: (-_off(m, w) - d).clamp(min=0).mean())
wrong("squared", lambda m, w, d: (_off(m, w).abs() - d).clamp(min=0).square().mean())
wrong("lam-exchanged", lambda m, w, d: mask_loss(m, 1 - w, d))
wrong("one-lam", lambda m, w, d: mask_loss(m, w[:1], d))
wrong("mean-lam", lambda m, w, d: mask_loss(m, mean_of(w), d))
wrong("each-pixel", lambda m, w, d: ((m - share(w, m)).abs() - d).clamp(min=0).mean())
wrong("sum-over-batch", lambda m, w, d: mask_loss(m, w, d) * len(m))
wrong("sum-over-pixels", lambda m, w, d: ((m.sum((1, 2, 3)) - w).abs() - d).clamp(min=0).mean())


# ----------------------------------------------------------------------------------------------------- the twin
def _ema_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = {"weight": torch.tensor([1.0, 2.0]), "seen": torch.tensor(3)}
    slow, fast = (
        {"weight": torch.randn(3, 2, generator=g), "mean": torch.rand(3, generator=g)} for _ in range(2)
    )
    slow["seen"], fast["seen"] = torch.tensor(10), torch.tensor(27)
    return [(tiny, {"weight": torch.tensor([3.0, -2.0]), "seen": torch.tensor(9)}, 0.75), (slow, fast, 0.9)]


@written(
    chapter=5,
    level=1,
    points=1,
    inputs=_ema_inputs,
    hint="With a momentum of 0.999 the twin hardly moves in one step. Which of the two is weighed by 0.999?",
)
def ema_update(slow: dict[str, Tensor], fast: dict[str, Tensor], momentum: float) -> dict[str, Tensor]:
    """One step of a slow twin, an exponential moving average: m · slow + (1 − m) · fast, tensor by tensor.

    slow and fast are dicts of tensors with the same names and shapes, such as `state_dict()` gives. Entries of
    whole numbers, such as a counter of batches, are not averaged: they are taken from `fast`. Returns a new
    dict with all names; neither input is changed.

    >>> ema_update({"w": torch.tensor([1., 2.])}, {"w": torch.tensor([3., -2.])}, 0.75)
    {'w': tensor([1.5000, 1.0000])}
    """
    mixed = {}
    for name, old in slow.items():
        new = fast[name]
        mixed[name] = momentum * old + (1 - momentum) * new if old.is_floating_point() else new.clone()
    return mixed


def _each(s: dict[str, Tensor], f: dict[str, Tensor], how: Any) -> dict[str, Tensor]:
    return {name: how(one, f[name]) if one.is_floating_point() else f[name] for name, one in s.items()}


wrong = ema_update.wrong
wrong("momentum-exchanged", lambda s, f, m: ema_update(s, f, 1 - m))
wrong("fast-copied", lambda s, f, m: f)
wrong("slow-kept", lambda s, f, m: s)
wrong("fast-not-weighed", lambda s, f, m: _each(s, f, lambda a, b: m * a + b))
wrong("slow-not-weighed", lambda s, f, m: _each(s, f, lambda a, b: a + (1 - m) * b))
wrong("moved-away", lambda s, f, m: _each(s, f, lambda a, b: a - (1 - m) * (b - a)))
wrong("half-half", lambda s, f, m: ema_update(s, f, 0.5))
wrong("twice", lambda s, f, m: ema_update(ema_update(s, f, m), f, m))
wrong("momentum-alone", lambda s, f, m: _each(s, f, lambda a, b: m * a))
wrong("counter-averaged", lambda s, f, m: {k: m * a + (1 - m) * f[k] for k, a in s.items()})
wrong("counter-rounded", lambda s, f, m: {k: (m * a + (1 - m) * f[k]).to(a.dtype) for k, a in s.items()})
wrong(
    "counter-kept",
    lambda s, f, m: ema_update(s, f, m) | {k: a for k, a in s.items() if not a.is_floating_point()},
)
wrong(
    "counter-missing", lambda s, f, m: {k: a for k, a in ema_update(s, f, m).items() if a.is_floating_point()}
)


# ------------------------------------------------------------------------------------------------------ AutoMix
def _automix_inputs(g: Generator) -> list[tuple[Any, ...]]:
    images, masks = torch.randn(5, 1, 2, 3, generator=g), torch.rand(5, 1, 2, 3, generator=g)
    masks = masks * torch.tensor([0.3, 1.0, 1.0, 0.5, 1.0]).view(5, 1, 1, 1)
    lam, labels = torch.tensor([0.9, 0.1, 0.65, 0.75, 0.35]), torch.tensor([0, 2, 1, 2, 3])
    pair = masks, lam, torch.tensor(CYCLE)
    return [(images, labels, *pair, *torch.randn(2, 4, 6, generator=g), margin) for margin in (0.1, 0.05)]


@written(
    chapter=5,
    level=3,
    points=4,
    inputs=_automix_inputs,
    parts=("clean", "mixed", "generator", "mask"),
    wanted=(2, 5, 6),
    hint="Make a table: one row for each term, one column each for weight, slow and masks. Who learns?",
)
def automix_terms(
    images: Tensor,
    labels: Tensor,
    masks: Tensor,
    lam: Tensor,
    partner: Tensor,
    weight: Tensor,
    slow: Tensor,
    margin: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """AutoMix's four losses, for linear networks: who learns from which?

    images (B, C, H, W), labels (B,) class ids, masks (B, 1, H, W) the image's own share of each pixel, lam (B,)
    and partner (B,) of the mixtures. The network is weight (K, CHW), its slow twin slow (K, CHW), both with
    the logits `images.flatten(1) @ weight.T`. A mixture is m x + (1 − m) x[partner]. The loss of a mixture is
    λ CE(z, y) + (1 − λ) CE(z, y[partner]), with the given λ, averaged over the batch. Returns four scalars:

    - clean: cross-entropy of the network on the images as they are;
    - mixed: the loss of the network on mixtures; the masks do not learn from it;
    - generator: the loss of the slow twin on the same mixtures; the masks learn from it, the twin does not;
    - mask: 0.1 times the mean of max(|mean of the mask − λ| − margin, 0) over images; the masks learn.

    Only clean and mixed reach weight, only generator and mask reach masks, and nothing reaches slow.

    >>> net = torch.zeros(4, 2)
    >>> images, pair, masks = torch.rand(2, 1, 1, 2), torch.tensor([1, 0]), torch.full((2, 1, 1, 2), 0.75)
    >>> terms = automix_terms(images, pair, masks, torch.tensor([0.5, 0.5]), pair, net, net, 0.05)
    >>> [round(float(term), 3) for term in terms]                            # log 4 three times, 0.1 · 0.2
    [1.386, 1.386, 1.386, 0.02]
    """
    return _automix(images, labels, masks, lam, partner, weight, slow, margin)


def _automix(
    x: Tensor,
    y: Tensor,
    m: Tensor,
    lam: Tensor,
    p: Tensor,
    net: Tensor,
    slow: Tensor,
    margin: float,
    wrong: str = "",
) -> Any:
    """The terms with one thing wrong: the catalogue's entries differ in single lines of it."""
    shares = {
        "lam-exchanged": 1 - lam,
        "label-by-mask": m.detach().mean((1, 2, 3)),
        "mean-lam": mean_of(lam),
        "labels-not-mixed": torch.ones_like(lam),
    }.get(wrong, lam)
    seen = 1 - m if wrong == "masks-exchanged" else m
    mixture = seen * x + (1 - seen) * x[p]
    stopped = mixture if wrong == "mixed-reaches-masks" else mixture.detach()
    judge = slow if wrong == "twin-learns" else slow.detach()
    judge = net if wrong == "network-judges" else net.detach() if wrong == "network-judges-stopped" else judge
    judged = mixture.detach() if wrong == "masks-do-not-learn" else mixture
    learner = {"twin-on-mixtures": slow.detach(), "network-stopped": net.detach()}.get(wrong, net)
    clean = F.cross_entropy((stopped if wrong == "clean-on-mixtures" else x).flatten(1) @ net.T, y)
    mixed = pair_cross_entropy(stopped.flatten(1) @ learner.T, y, p, shares)
    generator = pair_cross_entropy(judged.flatten(1) @ judge.T, y, p, shares)
    masked = m.detach() if wrong == "mask-term-stopped" else m
    off = masked.mean((1, 2, 3)) - lam
    off = (1 - m).mean((1, 2, 3)) - lam if wrong == "mask-loss-of-partner" else off
    off = off.mean() if wrong == "batch-mean" else off
    mask = (off.abs() - (0 if wrong == "margin-missing" else margin)).clamp(min=0).mean()
    return clean, mixed, generator, mask * (1.0 if wrong == "mask-weight-missing" else 0.1)


for _name in (
    *("lam-exchanged", "label-by-mask", "mean-lam", "labels-not-mixed", "masks-exchanged", "twin-learns"),
    *("mixed-reaches-masks", "network-judges", "network-judges-stopped", "masks-do-not-learn"),
    *("twin-on-mixtures", "network-stopped", "clean-on-mixtures", "mask-term-stopped", "batch-mean"),
    *("mask-loss-of-partner", "margin-missing", "mask-weight-missing"),
):
    automix_terms.wrong(_name, lambda *a, _name=_name: _automix(*a, wrong=_name))


# ------------------------------------------------------------------------------------------------- distillation
@written(
    chapter=6,
    level=2,
    points=2,
    inputs=lambda g: [
        (torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 3.0, 1.0]]), 2.0),
        (*(3 * torch.randn(2, 4, 5, generator=g)), 3.0),
    ],
    wanted=(0, 1),
    hint="For equal logits the loss is 0. Which of the two may move to make it smaller?",
)
def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) of predictions softened by T; only the student learns.

    student and teacher (B, C) are logits. With p = softmax(teacher / T) and q = softmax(student / T) it is
    T² Σ_c p_c (log p_c − log q_c), summed over classes, the mean over the batch. No gradient reaches the
    teacher. Returns a scalar tensor.

    >>> round(float(distillation(torch.tensor([[0., 0.]]), torch.tensor([[2., 0.]]), 2.0)), 3)
    0.444
    """
    return temperature**2 * _divergence(student / temperature, teacher.detach() / temperature)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    log_p, log_q = teacher.log_softmax(1), student.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1).mean()


wrong = distillation.wrong
wrong("temperature-not-squared", lambda s, t, k: distillation(s, t, k) / k**2)
wrong("temperature-once", lambda s, t, k: distillation(s, t, k) / k)
wrong("temperature-in-denominator", lambda s, t, k: distillation(s, t, k) / k**4)
wrong("teacher-learns", lambda s, t, k: k**2 * _divergence(s / k, t / k))
wrong("student-stopped", lambda s, t, k: k**2 * _divergence(s.detach() / k, t / k))
wrong("directions-exchanged", lambda s, t, k: k**2 * _divergence(t.detach() / k, s / k))
wrong("cross-entropy", lambda s, t, k: k**2 * soft_cross_entropy(s / k, (t.detach() / k).softmax(1)))
wrong("mean-over-classes", lambda s, t, k: distillation(s, t, k) / s.shape[1])
wrong("sum-over-batch", lambda s, t, k: distillation(s, t, k) * len(s))
wrong("student-not-softened", lambda s, t, k: k**2 * _divergence(s, t.detach() / k))
wrong("teacher-not-softened", lambda s, t, k: k**2 * _divergence(s / k, t.detach()))
wrong("not-softened", lambda s, t, k: k**2 * _divergence(s, t.detach()))
wrong("temperature-multiplied", lambda s, t, k: k**2 * _divergence(s * k, t.detach() * k))
wrong(
    "no-log",
    lambda s, t, k: k**2 * F.kl_div((s / k).softmax(1), (t.detach() / k).softmax(1), reduction="batchmean"),
)
wrong("squared-distance", lambda s, t, k: F.mse_loss(s, t.detach()))
wrong("sign", lambda s, t, k: -distillation(s, t, k))


# ------------------------------------------------------------------------------------------------------- MixSKD
def _mixskd_inputs(g: Generator) -> list[tuple[Any, ...]]:
    lam, labels = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45]), torch.tensor([0, 2, 1, 2, 3])
    cases = []
    for temperature in (2.0, 3.0):
        logits, mixed, between, teacher = 2 * torch.randn(4, 5, 4, generator=g)
        maps = torch.randn(2, 5, 2, 2, 3, generator=g)
        cases.append((logits, mixed, *maps, between, teacher, labels, lam, torch.tensor(CYCLE), temperature))
    return cases


@written(
    chapter=6,
    level=3,
    points=4,
    inputs=_mixskd_inputs,
    parts=("labels", "mixed", "features", "branches", "teacher"),
    wanted=(0, 1, 2, 3, 4, 5),
    hint="First write λ v + (1 − λ) v[partner] for logits and maps. Then: in each term, who teaches whom?",
)
def mixskd_terms(
    logits: Tensor,
    mixed: Tensor,
    maps: Tensor,
    mixed_maps: Tensor,
    from_between: Tensor,
    from_mixed: Tensor,
    labels: Tensor,
    lam: Tensor,
    partner: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """MixSKD's losses for a network of one branch, without the critic: interpolations and mixtures teach each other.

    logits and maps, (B, K) and (B, C, h, w), are of the images; mixed and mixed_maps, of the same shapes, of
    their mixtures. Interpolated ones are λ v + (1 − λ) v[partner], for logits (before any softmax) and maps,
    with lam (B,), partner (B,). from_between and from_mixed (B, K) are the logits of the self-teacher, which
    was given the interpolated maps and the mixtures' maps. labels (B,) are class ids. With D(student, teacher)
    = T² · KL as in `distillation`, mean over the batch, no gradient to the teacher, it returns five scalars:

    - labels: cross-entropy of logits and labels;
    - mixed: the sum of three cross-entropies against soft labels λ y + (1 − λ) y[partner]: of mixed, of
      from_between and of from_mixed;
    - features: the mean, over all elements, of the squared difference of interpolated and mixed maps;
      gradients reach both;
    - branches: D(interpolated logits, mixed) + D(mixed, interpolated logits);
    - teacher, crosswise: D(interpolated logits, from_mixed) + D(mixed, from_between).

    >>> zero, maps, pair = torch.zeros(2, 4), torch.rand(2, 1, 1, 1), torch.tensor([1, 0])
    >>> terms = mixskd_terms(zero, zero, maps, maps, zero, zero, pair, torch.tensor([1.0, 1.0]), pair, 3.0)
    >>> [round(float(term), 3) for term in terms]                                     # log 4, 3 log 4
    [1.386, 4.159, 0.0, 0.0, 0.0]
    """
    a = logits, mixed, maps, mixed_maps, from_between, from_mixed
    return _mixskd(*a, labels, lam, partner, temperature)


def _mixskd(
    z: Tensor,
    mz: Tensor,
    f: Tensor,
    mf: Tensor,
    tb: Tensor,
    tm: Tensor,
    y: Tensor,
    lam: Tensor,
    p: Tensor,
    t: float,
    wrong: str = "",
) -> Any:
    """The terms with one thing wrong: the catalogue's entries differ in single lines of it."""
    w = {"lam-exchanged": 1 - lam, "mean-lam": mean_of(lam)}.get(wrong, lam)
    p = p.argsort() if wrong == "inverse-partner" else p
    between, fmap = (share(w, v) * v + (1 - share(w, v)) * v[p] for v in (z, f))
    between = z if wrong == "logits-not-interpolated" else between
    fmap = f if wrong == "maps-not-interpolated" else fmap
    if wrong == "probabilities-interpolated":
        between = (w[:, None] * z.softmax(1) + (1 - w[:, None]) * z[p].softmax(1)).log()
    soft = soft_labels(y, p, lam if wrong == "labels-not-mixed" else w, z.shape[1])
    soft = F.one_hot(y, z.shape[1]).to(z.dtype) if wrong == "labels-not-mixed" else soft

    def teach(student: Tensor, teacher: Tensor) -> Tensor:
        teacher = teacher if wrong == "teacher-learns" else teacher.detach()
        scale = 1 if wrong == "temperature-not-squared" else t**2
        if wrong == "directions-exchanged":
            return scale * _divergence(teacher / t, student / t)
        return scale * _divergence(student / t, teacher / t)

    counted = [mz] if wrong == "teacher-untrained" else [mz, tb] if wrong == "one-teacher" else [mz, tb, tm]
    of_maps = F.mse_loss(fmap.detach() if wrong == "features-one-way" else fmap, mf)
    of_maps = of_maps * f[0].numel() if wrong == "features-summed" else of_maps
    branches = teach(between, mz) + (0 if wrong == "branches-one-way" else teach(mz, between))
    pairs = ((between, tb), (mz, tm)) if wrong == "not-crosswise" else ((between, tm), (mz, tb))
    teacher = teach(*pairs[0]) + (0 if wrong == "one-student" else teach(*pairs[1]))
    labels = F.cross_entropy(mz if wrong == "labels-on-mixtures" else z, y)
    return labels, sum(soft_cross_entropy(one, soft) for one in counted), of_maps, branches, teacher


for _name in (
    *("lam-exchanged", "mean-lam", "inverse-partner", "logits-not-interpolated", "maps-not-interpolated"),
    *("probabilities-interpolated", "labels-not-mixed", "teacher-learns", "temperature-not-squared"),
    *("directions-exchanged", "teacher-untrained", "one-teacher", "features-one-way", "features-summed"),
    *("branches-one-way", "not-crosswise", "one-student", "labels-on-mixtures"),
):
    mixskd_terms.wrong(_name, lambda *a, _name=_name: _mixskd(*a, wrong=_name))
