"""Exercises of chapter 7: patches of several images, losses that find them again, and nearest neighbours."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixlearn.course.judge import written
from mixlearn.course.mixing import soft_cross_entropy


# ------------------------------------------------------------------------------------------------------ patches
@written(
    chapter=7,
    level=1,
    points=1,
    inputs=lambda g: [
        (torch.arange(8.0).view(1, 1, 2, 4), 2),
        (torch.rand(3, 2, 4, 6, generator=g), 2),
        (torch.rand(2, 3, 9, 6, generator=g), 3),
    ],
    hint="Cut rows and columns into two axes each, then bring the two that count patches together.",
)
def patchify(images: Tensor, patch: int) -> Tensor:
    """Cut images into square patches, row by row from the top left.

    images (B, C, H, W), patch the side p of a patch in pixels, which divides H and W. Returns (B, N, C, p, p)
    with N = (H / p) (W / p): patch 1 is to the right of patch 0.

    >>> patchify(torch.arange(16.).view(1, 1, 4, 4), 2)[0, 1, 0]
    tensor([[2., 3.],
            [6., 7.]])
    """
    rows, columns = images.shape[2] // patch, images.shape[3] // patch
    cut = images.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # (B, C, rows, p, columns, p)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


wrong = patchify.wrong
wrong("columns-first", lambda x, p: patchify(x.mT, p).mT)
wrong("only-reshaped", lambda x, p: x.reshape(len(x), -1, x.shape[1], p, p))
wrong("patches-transposed", lambda x, p: patchify(x, p).mT)
wrong("channels-last", lambda x, p: patchify(x, p).movedim(2, -1))
wrong("channels-before-patches", lambda x, p: patchify(x, p).transpose(1, 2))
wrong("flattened", lambda x, p: patchify(x, p).flatten(2))
wrong("overlapping", lambda x, p: x.unfold(2, p, 1).unfold(3, p, 1).permute(0, 2, 3, 1, 4, 5).flatten(1, 2))
wrong("grid-kept", lambda x, p: patchify(x, p).unflatten(1, (x.shape[2] // p, x.shape[3] // p)))
wrong("batch-and-patches-joined", lambda x, p: patchify(x, p).flatten(0, 1))


def _patchmix_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 3).clone()
    images, groups = torch.rand(5, 2, 4, 6, generator=g), torch.tensor([0, 2, 1, 3, 0, 1])
    return [(tiny, torch.tensor([0, 1, 2, 1, 0, 0]), 1), (images, groups, 2)]


@written(
    chapter=7,
    level=2,
    points=3,
    inputs=_patchmix_inputs,
    hint="The group of each pixel is the group of its patch. `images.roll(-1, 0)` brings each image its next one.",
)
def patchmix(images: Tensor, groups: Tensor, patch: int) -> Tensor:
    """Mix patches of consecutive images of the batch; each patch keeps its place.

    images (B, C, H, W), patch the side of a patch in pixels, which divides H and W; groups (N,) int64 gives
    each patch, row by row, a number g at least 0, the same for all images. Mixture i has its patches of group
    g from image (i + g) mod B. Returns mixtures (B, C, H, W); the input is not changed.

    >>> images = torch.arange(3.).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    >>> patchmix(images, torch.tensor([0, 1]), 2)[2, 0]                        # the next of the last is the first
    tensor([[2., 2., 0., 0.],
            [2., 2., 0., 0.]])
    """
    return _shifted(images, groups.view(-1, images.shape[3] // patch), patch)


def _shifted(x: Tensor, grid: Tensor, patch: int, wrong: str = "") -> Tensor:
    """Mixtures from the groups of patches (rows, columns), with one thing wrong."""
    pixels = grid.repeat_interleave(patch, 0).repeat_interleave(patch, 1)  # (H, W)
    if wrong == "pixels-not-patches":
        pixels = grid.repeat(patch, patch)
    mixed = torch.zeros_like(x)
    for g in range(int(grid.max()) + 1):
        order = (torch.arange(len(x)) + g) % len(x)
        if wrong == "clamped":
            order = (torch.arange(len(x)) + g).clamp(max=len(x) - 1)
        if wrong == "group-as-index":
            order = torch.full((len(x),), g)
        source = {
            "backwards": x.roll(g, 0),
            "next-only": x.roll(-min(g, 1), 0),
            "twice-as-far": x.roll(-2 * g, 0),
        }
        mixed = torch.where(pixels == g, source.get(wrong, x[order]), mixed)
    return mixed


def _grid(x: Tensor, groups: Tensor, patch: int) -> Tensor:
    return groups.view(-1, x.shape[3] // patch)


def _columns_first(x: Tensor, g: Tensor, p: int) -> Tensor:
    return g.view(x.shape[3] // p, -1).T


for _name in ("pixels-not-patches", "clamped", "group-as-index", "backwards", "next-only", "twice-as-far"):
    patchmix.wrong(_name, lambda x, g, p, _name=_name: _shifted(x, _grid(x, g, p), p, _name))
wrong = patchmix.wrong
wrong("columns-first", lambda x, g, p: _shifted(x, _columns_first(x, g, p), p))
wrong("nothing-mixed", lambda x, g, p: x)
wrong("own-missing", lambda x, g, p: patchmix(x, g + 1, p))
wrong("groups-reversed", lambda x, g, p: patchmix(x, g.max() - g, p))
wrong("one-channel", lambda x, g, p: torch.cat([patchmix(x, g, p)[:, :1], x[:, 1:]], 1))
wrong("groups-from-the-end", lambda x, g, p: patchmix(x, g.flip(0), p))


def _sources(g: Generator) -> list[tuple[Any, ...]]:
    three = torch.tensor([[0, 1, 2, 3, 4], [2, 0, 3, 4, 1], [2, 4, 0, 1, 3]])
    return [(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3), (three, 5), (three[[0, 1, 1, 2]], 5)]


@written(
    chapter=7,
    level=2,
    points=2,
    inputs=_sources,
    parts=("W", "WWt"),
    hint="What do two mixtures have in common? Sum over all images the product of their shares.",
)
def patchmix_targets(sources: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """How much of each image a mixture has, and how much two mixtures have in common.

    sources (M, B) int64: mixture i is made of the images sources[0, i] … sources[M − 1, i], a share 1 / M of
    each; an image that is there twice has two shares. batch is B. Returns W (B, B), with W[i, j] the share of
    image j in mixture i, rows summing to 1, and W · Wᵀ (B, B), the targets of mixtures that look for mixtures.

    >>> W, common = patchmix_targets(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
    >>> W[0], common[0]
    (tensor([0.5000, 0.5000, 0.0000]), tensor([0.5000, 0.2500, 0.2500]))
    """
    shares = F.one_hot(sources, batch).float().mean(0)
    return shares, shares @ shares.T


def _of(shares: Tensor) -> tuple[Tensor, Tensor]:
    return shares, shares @ shares.T


def _set(s: Tensor, b: int) -> Tensor:
    return (F.one_hot(s, b).sum(0) > 0).float()


def _w(s: Tensor, b: int) -> Tensor:
    return F.one_hot(s, b).float().mean(0)


wrong = patchmix_targets.wrong
wrong("w-for-wwt", lambda s, b: (_w(s, b), _w(s, b)))
wrong("product-transposed", lambda s, b: (_w(s, b), _w(s, b).T @ _w(s, b)))
wrong("w-squared", lambda s, b: (_w(s, b), _w(s, b) @ _w(s, b)))
wrong("w-transposed", lambda s, b: _of(_w(s, b).T))
wrong("only-w-transposed", lambda s, b: (_w(s, b).T, _of(_w(s, b))[1]))
wrong("counts-not-shares", lambda s, b: _of(_w(s, b) * len(s)))
wrong("share-of-batch", lambda s, b: _of(_w(s, b) * len(s) / b))
wrong("overwritten", lambda s, b: _of(_set(s, b) / len(s)))
wrong("repeats-once", lambda s, b: _of(_set(s, b) / _set(s, b).sum(1, keepdim=True)))
wrong("own-only", lambda s, b: (torch.eye(b), torch.eye(b)))
wrong("identity-for-wwt", lambda s, b: (_w(s, b), torch.eye(b)))
wrong("elementwise", lambda s, b: (_w(s, b), _w(s, b) * _w(s, b).T))
wrong("own-removed", lambda s, b: (_w(s, b), _of(_w(s, b))[1].fill_diagonal_(0)))


# ------------------------------------------------------------------------------------------------------- losses
def _unit(*shape: int, g: Generator) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=g), dim=-1)


def _views(g: Generator) -> tuple[Tensor, Tensor]:
    first = _unit(5, 3, g=g)
    return first, F.normalize(first + 0.5 * torch.randn(5, 3, generator=g), dim=1)


@written(
    chapter=7,
    level=2,
    points=3,
    inputs=lambda g: [(torch.eye(3), torch.eye(3)[[0, 2, 1]], 1.0), (*_views(g), 0.5), (*_views(g), 0.2)],
    wanted=(0, 1),
    hint="Stack both views: (2B, D). Each row has 2B − 1 candidates; which one is its own, and which is right?",
)
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss: each of 2B views finds the other view of its image among 2B − 1 others.

    first and second (B, D) hold unit vectors, features of two views of B images. Similarities are scalar
    products divided by the temperature. For each of the 2B vectors: minus the log of the softmax over the
    other 2B − 1 vectors (all but itself) at the other view of the same image. Returns the mean over all 2B, a
    scalar tensor; gradients reach both inputs.

    >>> nt_xent(torch.eye(3), torch.eye(3), 1.0)                                        # log(1 + 4 / e)
    tensor(0.9048)
    """
    return _nt_xent(first, second, temperature)


def _nt_xent(a: Tensor, b: Tensor, t: float, wrong: str = "") -> Tensor:
    """The loss with one thing wrong: the catalogue's entries differ in single lines of it."""
    views, n = torch.cat([a, b]), len(a)
    if wrong == "second-stopped":
        views = torch.cat([a, b.detach()])
    scale = {"temperature-multiplied": t, "temperature-missing": 1.0, "temperature-squared": 1 / t**2}
    logits = views @ views.T * scale.get(wrong, 1 / t)  # (2B, 2B)
    own = torch.eye(2 * n, dtype=torch.bool)
    if wrong != "own-left-in":
        logits = logits.masked_fill(own, 0.0 if wrong == "own-set-to-zero" else -torch.inf)
    right = torch.arange(2 * n).roll(n)
    if wrong == "neighbours-paired":
        right = torch.arange(2 * n).view(-1, 2).flip(1).flatten()
    if wrong == "next-image":
        right = torch.arange(2 * n).roll(n - 1)
    if wrong == "same-view-left-out":
        logits = logits.masked_fill(torch.block_diag(*torch.ones(2, n, n)) > 0, -torch.inf)
    if wrong == "positive-left-out":
        candidates = logits.scatter(1, right[:, None], -torch.inf)
        return (candidates.logsumexp(1) - logits.gather(1, right[:, None])[:, 0]).mean()
    losses = F.cross_entropy(logits, right, reduction="none")  # (2B,)
    if wrong == "one-way":
        return losses[:n].mean()
    if wrong in ("sum", "sum-of-views"):
        return losses.sum() if wrong == "sum" else losses.sum() / n
    if wrong == "no-log":
        return -losses.neg().exp().mean()
    return -losses.mean() if wrong == "sign" else losses.mean()


for _name in (
    *(
        "second-stopped",
        "temperature-multiplied",
        "temperature-missing",
        "temperature-squared",
        "own-left-in",
    ),
    *("own-set-to-zero", "neighbours-paired", "next-image", "same-view-left-out", "positive-left-out"),
    *("one-way", "sum", "sum-of-views", "no-log", "sign"),
):
    nt_xent.wrong(_name, lambda *a, _name=_name: _nt_xent(*a, wrong=_name))


def _contrast_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    queries, keys = torch.randn(4, 3, generator=g), 2 * torch.randn(6, 3, generator=g)
    targets = torch.rand(4, 6, generator=g).mul(4).softmax(1)
    return [(*tiny, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]), 1.0), (queries, keys, targets, 0.3)]


@written(
    chapter=7,
    level=2,
    points=2,
    inputs=_contrast_inputs,
    wanted=(0, 1),
    hint="`F.normalize(x, dim=1)` makes rows of length 1.",
)
def contrastive_loss(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Soft cross-entropy over cosine similarities: which keys belong to each query, in what shares?

    queries (B, D) and keys (K, D) of any length, not 0; targets (B, K) shares of the keys, rows that sum to 1.
    Logits are the cosines of queries and keys divided by the temperature, (B, K). Returns
    −Σ_k t_k log softmax(logits)_k, the softmax over keys, the mean over queries: a scalar tensor. Gradients
    reach queries and keys.

    >>> contrastive_loss(torch.eye(3), 5 * torch.eye(3), torch.eye(3), 1.0)
    tensor(0.5514)
    """
    return soft_cross_entropy(_cosines(queries, keys) / temperature, targets)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


wrong = contrastive_loss.wrong
wrong("not-normalised", lambda q, k, t, e: soft_cross_entropy(q @ k.T / e, t))
wrong("queries-not-normalised", lambda q, k, t, e: soft_cross_entropy(q @ F.normalize(k, dim=1).T / e, t))
wrong("keys-not-normalised", lambda q, k, t, e: soft_cross_entropy(F.normalize(q, dim=1) @ k.T / e, t))
wrong(
    "normalised-over-batch",
    lambda q, k, t, e: soft_cross_entropy(F.normalize(q, dim=0) @ F.normalize(k, dim=0).T / e, t),
)
wrong("wrong-axis", lambda q, k, t, e: -(t * (_cosines(q, k) / e).log_softmax(0)).sum(1).mean())
wrong("temperature-multiplied", lambda q, k, t, e: soft_cross_entropy(_cosines(q, k) * e, t))
wrong("temperature-missing", lambda q, k, t, e: soft_cross_entropy(_cosines(q, k), t))
wrong("hard-labels", lambda q, k, t, e: F.cross_entropy(_cosines(q, k) / e, t.argmax(1)))
wrong("diagonal", lambda q, k, t, e: F.cross_entropy(_cosines(q, k) / e, torch.arange(len(q))))
wrong("sum-over-batch", lambda q, k, t, e: contrastive_loss(q, k, t, e) * len(q))
wrong("mean-over-keys", lambda q, k, t, e: contrastive_loss(q, k, t, e) / len(k))
wrong("softmax-twice", lambda q, k, t, e: soft_cross_entropy((_cosines(q, k) / e).softmax(1), t))
wrong("times-twice-temperature", lambda q, k, t, e: contrastive_loss(q, k, t, e) * 2 * e)
wrong("keys-stopped", lambda q, k, t, e: contrastive_loss(q, k.detach(), t, e))
wrong("queries-stopped", lambda q, k, t, e: contrastive_loss(q.detach(), k, t, e))
wrong("binary", lambda q, k, t, e: F.binary_cross_entropy_with_logits(_cosines(q, k) / e, t))
wrong("sign", lambda q, k, t, e: -contrastive_loss(q, k, t, e))


# --------------------------------------------------------------------------------------------------- neighbours
def _knn_inputs(g: Generator) -> list[tuple[Any, ...]]:
    bank, queries = torch.randn(30, 3, generator=g), torch.randn(400, 3, generator=g)
    bank, queries = (one * (0.3 + 3 * torch.rand(len(one), 1, generator=g)) for one in (bank, queries))
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 6 + [3] * 6)[torch.randperm(30, generator=g)]
    votes, near = _votes(bank, labels, queries, 9, 0.4), _cosines(queries, bank).topk(10).values
    top = votes.topk(2).values
    clear = (top[:, 0] > 1.001 * top[:, 1]) & (near[:, 8] > near[:, 9] + 1e-4)  # so that no rounding decides
    tiny = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([2, 0, 0])
    return [
        (*tiny, torch.tensor([[2.0, 0.5], [0.5, 2.0]]), 2, 0.2),
        (bank, labels, queries[clear][:150], 9, 0.4),
    ]


@written(
    chapter=7,
    level=2,
    points=2,
    inputs=_knn_inputs,
    hint="`topk` gives similarities and indices; `scatter_add_` or a loop over classes adds the votes.",
)
def knn_predict(bank: Tensor, labels: Tensor, queries: Tensor, k: int, temperature: float) -> Tensor:
    """Name each query by a vote of its k nearest neighbours in a bank of features.

    bank (N, F) and queries (M, F) features of any length, not 0; labels (N,) class ids of the bank. Nearest
    means of largest cosine. A neighbour of cosine s gives its class the vote exp(s / temperature); the class
    of most votes wins. There are no ties. Returns (M,) int64 class ids.

    >>> bank, labels = torch.tensor([[1., 0.], [0., 1.], [0.1, 1.]]), torch.tensor([0, 1, 1])
    >>> knn_predict(bank, labels, torch.tensor([[2., 1.], [2., 3.]]), 2, 0.1)
    tensor([0, 1])
    """
    return _votes(bank, labels, queries, k, temperature).argmax(1)


def _votes(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int, temperature: float, wrong: str = ""
) -> Tensor:
    """The votes for each class with one thing wrong: the catalogue's entries differ in single lines of it."""
    cosines = queries @ bank.T if wrong == "not-normalised" else _cosines(queries, bank)
    if wrong == "euclidean":
        cosines = -torch.cdist(queries, bank)
    k = {"one-neighbour": 1, "whole-bank": len(bank), "one-too-few": k - 1, "first-left-out": k + 1}.get(
        wrong, k
    )
    near, which = cosines.topk(k, largest=wrong != "farthest")
    if wrong == "first-left-out":
        near, which = near[:, 1:], which[:, 1:]
    weights = {
        "one-vote-each": torch.ones_like(near),
        "no-exponential": near,
        "temperature-not-divided": near.exp(),
    }
    weight = weights.get(wrong, (near / temperature).exp())
    votes = torch.zeros(len(queries), int(labels.max()) + 1).scatter_add_(1, labels[which], weight)
    if wrong == "mean-vote":
        votes = votes / torch.zeros_like(votes).scatter_add_(1, labels[which], torch.ones_like(near)).clamp(
            min=1
        )
    return votes


for _name in (
    *(
        "not-normalised",
        "euclidean",
        "one-neighbour",
        "whole-bank",
        "one-too-few",
        "farthest",
        "first-left-out",
    ),
    *("temperature-not-divided", "one-vote-each", "no-exponential", "mean-vote"),
):
    knn_predict.wrong(_name, lambda *a, _name=_name: _votes(*a, wrong=_name).argmax(1))
knn_predict.wrong("indices-not-labels", lambda b, y, q, k, e: _cosines(q, b).argmax(1))
knn_predict.wrong("votes-not-classes", lambda b, y, q, k, e: _votes(b, y, q, k, e))
knn_predict.wrong("commonest-class", lambda b, y, q, k, e: y.mode().values.expand(len(q)))
