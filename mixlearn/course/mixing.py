"""Exercises of chapter 2: shares, mixed labels, their losses, accuracy, a training step and calibration."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixlearn.course.judge import Samples, written
from mixlearn.course.run import Net, Seed, Sgd

CYCLE = [2, 0, 3, 4, 1]  # a partner's partner is not the image itself


def share(lam: Tensor, like: Tensor) -> Tensor:
    """λ (B,) shaped to multiply (B, …)."""
    return lam.view(-1, *(1,) * (like.dim() - 1))


def mean_of(lam: Tensor) -> Tensor:
    """The mean λ in place of each one's own."""
    return lam.mean().expand(len(lam))


def drawn_pair(g: Generator, classes: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (5, classes), labels, partners and λ; images 0 and 2, partners, have one class."""
    labels = torch.tensor([1, 3, 1, 0, 4]) % classes
    lam = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45]) + 0.05 * torch.rand(5, generator=g)
    return 2 * torch.randn(5, classes, generator=g), labels, torch.tensor(CYCLE), lam


# ------------------------------------------------------------------------------------------------ draws of λ
def _observe_lam(_: Any, value: Any) -> Samples:
    lam = torch.as_tensor(value).double()
    return {"λ": lam.unique(), "the spread of λ in one call": lam.std(), "the mean λ of one call": lam.mean()}


@written(
    chapter=2,
    level=1,
    points=1,
    inputs=lambda g: [(40, alpha, Seed(0)) for alpha in (1.0, 0.3, 3.0)],
    observe=_observe_lam,
    draws=100,
    slack={"λ": 1e-4},
    hint="Draw the histogram of 10,000 λ for α = 0.2, 1 and 5. Is it symmetric, and where is it high?",
)
def sample_lam(n: int, alpha: float, generator: Generator) -> Tensor:
    """Draw n independent mixing shares λ from Beta(α, α): (n,), float, in [0, 1].

    alpha is between 0.2 and 10. If G₁ and G₂ are independent Gamma(α, 1) variables, G₁ / (G₁ + G₂) is a
    Beta(α, α) variable. `torch._standard_gamma(shapes, generator=generator)` draws a Gamma variable for each
    entry of the tensor `shapes`; torch's `Beta` takes no generator. All draws come from `generator`.

    >>> sample_lam(3, 1.0, torch.Generator().manual_seed(0)).shape
    torch.Size([3])
    """
    first, second = torch._standard_gamma(torch.full((2, n), alpha), generator=generator)
    return first / (first + second)


def _gammas(n: int, a: float, b: float, g: Generator) -> Tensor:
    first, second = (torch._standard_gamma(torch.full((n,), one), generator=g) for one in (a, b))
    return first / (first + second)


wrong = sample_lam.wrong
wrong("alpha-ignored", lambda n, a, g: torch.rand(n, generator=g))
wrong("folded", lambda n, a, g: 0.5 + (sample_lam(n, a, g) - 0.5).abs())
wrong("folded-down", lambda n, a, g: 0.5 - (sample_lam(n, a, g) - 0.5).abs())
wrong("one-for-all", lambda n, a, g: sample_lam(1, a, g).repeat(n))
wrong("alpha-and-one", lambda n, a, g: _gammas(n, a, 1.0, g))
wrong("one-and-alpha", lambda n, a, g: _gammas(n, 1.0, a, g))
wrong("alpha-inverted", lambda n, a, g: _gammas(n, 1 / a, 1 / a, g))
wrong("alpha-plus-one", lambda n, a, g: _gammas(n, a + 1, a, g))
wrong("always-the-same", lambda n, a, g: sample_lam(n, a, torch.Generator().manual_seed(0)))
wrong(
    "clipped-normal",
    lambda n, a, g: (0.5 + torch.randn(n, generator=g) / (2 * (2 * a + 1) ** 0.5)).clamp(0, 1),
)


# --------------------------------------------------------------------------------------------- labels and images
@written(
    chapter=2,
    level=1,
    points=1,
    inputs=lambda g: [
        (torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.75, 0.4]), 3),
        (*drawn_pair(g)[1:], 6),
    ],
    hint="`F.one_hot(labels, num_classes)` gives rows with a single 1. What do you add to what?",
)
def soft_labels(labels: Tensor, partner: Tensor, lam: Tensor, num_classes: int) -> Tensor:
    """The labels of mixed images: λ of the image's own class, and 1 − λ of its partner's.

    labels (B,) are class ids in 0 … C − 1, partner (B,) int64 the index of each image's partner, lam (B,) in
    [0, 1] a share for each image, num_classes is C. Returns (B, C) float; each row sums to 1, also where
    image and partner have the same class.

    >>> soft_labels(torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.75, 0.5]), 3)
    tensor([[0.7500, 0.0000, 0.2500],
            [0.5000, 0.0000, 0.5000]])
    """
    rows = F.one_hot(labels, num_classes).to(lam.dtype)  # (B, C)
    return lam[:, None] * rows + (1 - lam[:, None]) * rows[partner]


def _overwritten(y: Tensor, p: Tensor, lam: Tensor, c: int) -> Tensor:
    rows = torch.zeros(len(y), c).scatter_(1, y[:, None], lam[:, None])
    return rows.scatter_(1, y[p][:, None], 1 - lam[:, None])


def _ids_mixed(y: Tensor, p: Tensor, lam: Tensor, c: int) -> Tensor:
    return F.one_hot((lam * y + (1 - lam) * y[p]).round().long(), c).float()


_either = torch.maximum
wrong = soft_labels.wrong
wrong("lam-exchanged", lambda y, p, w, c: soft_labels(y, p, 1 - w, c))
wrong("not-mixed", lambda y, p, w, c: F.one_hot(y, c).float())
wrong("partner-only", lambda y, p, w, c: F.one_hot(y[p], c).float())
wrong("one-lam", lambda y, p, w, c: soft_labels(y, p, w[:1].expand(len(y)), c))
wrong("mean-lam", lambda y, p, w, c: soft_labels(y, p, mean_of(w), c))
wrong("inverse-partner", lambda y, p, w, c: soft_labels(y, p.argsort(), w, c))
wrong("hard", lambda y, p, w, c: soft_labels(y, p, w.round(), c))
wrong("ids-mixed", _ids_mixed)
wrong("overwritten", _overwritten)
wrong("both-whole", lambda y, p, w, c: _either(F.one_hot(y, c), F.one_hot(y[p], c)).float())


def _mixup_inputs(g: Generator) -> list[tuple[Any, ...]]:
    images, targets = torch.rand(5, 3, 4, 6, generator=g), torch.rand(5, 4, generator=g).softmax(1)
    tiny = torch.tensor([0.0, 8.0, 4.0, 12.0]).view(2, 1, 1, 2)
    first = (tiny, torch.eye(2), torch.tensor([0.75, 0.9]), torch.tensor([1, 0]))
    return [first, (images, targets, drawn_pair(g)[3], torch.tensor(CYCLE))]


@written(
    chapter=2,
    level=1,
    points=2,
    inputs=_mixup_inputs,
    parts=("images", "targets"),
    hint="λ has shape (B,), images (B, C, H, W): give λ three more axes of length 1.",
)
def mixup(images: Tensor, targets: Tensor, lam: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """Mix each image with its partner, and the labels alike: λ x + (1 − λ) x[partner].

    images (B, C, H, W) float, targets (B, classes) soft labels, lam (B,) each image's own share in [0, 1],
    partner (B,) int64 the index of each image's partner in the batch. Returns mixed images (B, C, H, W) and
    mixed targets (B, classes). The inputs are not changed.

    >>> images = torch.tensor([0., 8.]).view(2, 1, 1, 1)
    >>> mixed, targets = mixup(images, torch.eye(2), torch.tensor([0.75, 0.5]), torch.tensor([1, 0]))
    >>> mixed.flatten(), targets
    (tensor([2., 4.]), tensor([[0.7500, 0.2500],
            [0.5000, 0.5000]]))
    """
    mixed = [share(lam, one) * one + (1 - share(lam, one)) * one[partner] for one in (images, targets)]
    return mixed[0], mixed[1]


def _harder(t: Tensor) -> Tensor:
    return F.one_hot(t.argmax(1), t.shape[1]).float()


wrong = mixup.wrong
wrong("lam-exchanged", lambda x, t, w, p: mixup(x, t, 1 - w, p))
wrong("labels-exchanged", lambda x, t, w, p: (mixup(x, t, w, p)[0], mixup(x, t, 1 - w, p)[1]))
wrong("images-exchanged", lambda x, t, w, p: (mixup(x, t, 1 - w, p)[0], mixup(x, t, w, p)[1]))
wrong("labels-not-mixed", lambda x, t, w, p: (mixup(x, t, w, p)[0], t))
wrong("images-not-mixed", lambda x, t, w, p: (x, mixup(x, t, w, p)[1]))
wrong("nothing-mixed", lambda x, t, w, p: (x, t))
wrong("partner-only", lambda x, t, w, p: (mixup(x, t, w, p)[0], t[p]))
wrong("one-lam", lambda x, t, w, p: mixup(x, t, w[:1].expand(len(x)), p))
wrong("mean-lam", lambda x, t, w, p: mixup(x, t, mean_of(w), p))
wrong("lam-permuted", lambda x, t, w, p: mixup(x, t, w[p], p))
wrong("batch-flipped", lambda x, t, w, p: mixup(x, t, w, torch.arange(len(x)).flip(0)))
wrong("inverse-partner", lambda x, t, w, p: mixup(x, t, w, p.argsort()))
wrong("folded", lambda x, t, w, p: mixup(x, t, torch.maximum(w, 1 - w), p))
wrong("hard-labels", lambda x, t, w, p: (mixup(x, t, w, p)[0], _harder(mixup(x, t, w, p)[1])))
wrong("half-labels", lambda x, t, w, p: (mixup(x, t, w, p)[0], (t + t[p]) / 2))


# ----------------------------------------------------------------------------------------- losses and accuracy
@written(
    chapter=2,
    level=1,
    points=1,
    inputs=lambda g: [
        (torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.75, 0.25], [0.4, 0.6]])),
        (3 * torch.randn(5, 4, generator=g), torch.rand(5, 4, generator=g).mul(3).softmax(1)),
    ],
    wanted=(0,),
    hint="For logits of 0 the loss is log C, whatever the targets.",
)
def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy against soft labels: −Σ_c t_c log softmax(z)_c, the mean over the batch.

    logits (B, C) before the softmax, targets (B, C) rows that sum to 1. Returns a scalar tensor in nats,
    through which gradients flow to the logits.

    >>> soft_cross_entropy(torch.zeros(1, 4), torch.tensor([[0.5, 0.5, 0., 0.]]))      # log 4
    tensor(1.3863)
    """
    return -(targets * logits.log_softmax(1)).sum(1).mean()


wrong = soft_cross_entropy.wrong
wrong("softmax-twice", lambda z, t: soft_cross_entropy(z.softmax(1), t))
wrong("wrong-axis", lambda z, t: -(t * z.log_softmax(0)).sum(1).mean())
wrong("mean-over-classes", lambda z, t: -(t * z.log_softmax(1)).mean())
wrong("sum-over-batch", lambda z, t: -(t * z.log_softmax(1)).sum())
wrong("sign", lambda z, t: (t * z.log_softmax(1)).sum(1).mean())
wrong("no-log", lambda z, t: -(t * z.softmax(1)).sum(1).mean())
wrong("no-softmax", lambda z, t: -(t * z).sum(1).mean())
wrong("hard-labels", lambda z, t: F.cross_entropy(z, t.argmax(1)))
wrong("binary", lambda z, t: F.binary_cross_entropy_with_logits(z, t))
wrong("divergence", lambda z, t: F.kl_div(z.log_softmax(1), t, reduction="batchmean"))
wrong("targets-and-logits-exchanged", lambda z, t: -(z.softmax(1) * t.log()).sum(1).mean())


@written(
    chapter=2,
    level=2,
    points=2,
    inputs=lambda g: [
        (
            torch.tensor([[2.0, 0.0], [1.0, 0.0]]),
            torch.tensor([0, 1]),
            torch.tensor([1, 0]),
            torch.tensor([0.75, 0.4]),
        ),
        drawn_pair(g),
    ],
    wanted=(0,),
    hint="`F.cross_entropy(…, reduction='none')` gives one loss for each image.",
)
def pair_cross_entropy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """The loss of mixed images without soft labels: λ CE(z, y) + (1 − λ) CE(z, y[partner]), averaged.

    logits (B, C) of the mixtures, labels (B,) class ids of the images, partner (B,) int64, lam (B,) a share
    for each image. Each image's two losses are weighed by its own λ before the mean over the batch is taken.
    Returns a scalar tensor.

    >>> z, y = torch.tensor([[2., 0.], [0., 0.]]), torch.tensor([0, 1])
    >>> pair_cross_entropy(z, y, torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    tensor(0.6600)
    """
    own, other = (F.cross_entropy(logits, ids, reduction="none") for ids in (labels, labels[partner]))
    return (lam * own + (1 - lam) * other).mean()


wrong = pair_cross_entropy.wrong
wrong("lam-exchanged", lambda z, y, p, w: pair_cross_entropy(z, y, p, 1 - w))
wrong("mean-first", lambda z, y, p, w: pair_cross_entropy(z, y, p, mean_of(w)))
wrong("one-lam", lambda z, y, p, w: pair_cross_entropy(z, y, p, w[:1]))
wrong("partner-ignored", lambda z, y, p, w: F.cross_entropy(z, y))
wrong(
    "logits-permuted",
    lambda z, y, p, w: (
        w * F.cross_entropy(z, y, reduction="none") + (1 - w) * F.cross_entropy(z[p], y, reduction="none")
    ).mean(),
)
wrong(
    "both-permuted",
    lambda z, y, p, w: (
        w * F.cross_entropy(z, y, reduction="none") + (1 - w) * F.cross_entropy(z[p], y[p], reduction="none")
    ).mean(),
)
wrong("sum-over-batch", lambda z, y, p, w: pair_cross_entropy(z, y, p, w) * len(z))
wrong("softmax-twice", lambda z, y, p, w: pair_cross_entropy(z.softmax(1), y, p, w))
wrong("own-only", lambda z, y, p, w: (w * F.cross_entropy(z, y, reduction="none")).mean())
wrong("unweighted", lambda z, y, p, w: F.cross_entropy(z, y) + F.cross_entropy(z, y[p]))
wrong("inverse-partner", lambda z, y, p, w: pair_cross_entropy(z, y, p.argsort(), w))


def _accuracy_inputs(g: Generator) -> list[tuple[Any, ...]]:
    _, labels, partner, lam = drawn_pair(g)
    named = torch.tensor([1, int(labels[partner[1]]), 5, int(labels[partner[3]]), 4])
    logits = 4 * F.one_hot(named, 6) + torch.rand(5, 6, generator=g)
    tiny = torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    return [
        (tiny, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.75, 0.4])),
        (logits, labels, partner, lam),
    ]


@written(
    chapter=2,
    level=2,
    points=2,
    inputs=_accuracy_inputs,
    hint="What does an image earn whose prediction is its own class, its partner's, both, or neither?",
)
def mixed_accuracy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """Accuracy on mixed images: the mean share of the label that the predicted class has.

    logits (B, C) of the mixtures, labels (B,) class ids, partner (B,) int64, lam (B,). An image earns λ if
    the prediction is its own class, 1 − λ if it is its partner's, and 1 if both have this class. Returns a
    scalar in [0, 1], as a tensor or a float.

    >>> z = torch.tensor([[2., 0.], [1., 0.]])                                   # both say class 0
    >>> mixed_accuracy(z, torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.75, 0.5]))
    tensor(0.6250)
    """
    named = logits.argmax(1)  # (B,)
    return (lam * (named == labels) + (1 - lam) * (named == labels[partner])).mean()


wrong = mixed_accuracy.wrong
wrong("lam-exchanged", lambda z, y, p, w: mixed_accuracy(z, y, p, 1 - w))
wrong("own-label-only", lambda z, y, p, w: (z.argmax(1) == y).float().mean())
wrong("own-share-only", lambda z, y, p, w: (w * (z.argmax(1) == y)).mean())
wrong("either-counts", lambda z, y, p, w: ((z.argmax(1) == y) | (z.argmax(1) == y[p])).float().mean())
wrong("larger-share-only", lambda z, y, p, w: (z.argmax(1) == torch.where(w >= 0.5, y, y[p])).float().mean())
wrong("mean-first", lambda z, y, p, w: mixed_accuracy(z, y, p, mean_of(w)))
wrong("one-lam", lambda z, y, p, w: mixed_accuracy(z, y, p, w[:1]))
wrong("sum-over-batch", lambda z, y, p, w: mixed_accuracy(z, y, p, w) * len(z))
wrong("percent", lambda z, y, p, w: mixed_accuracy(z, y, p, w) * 100)
wrong(
    "same-class-once",
    lambda z, y, p, w: torch.where(z.argmax(1) == y, w, (1 - w) * (z.argmax(1) == y[p])).mean(),
)
wrong(
    "predictions-permuted",
    lambda z, y, p, w: (w * (z.argmax(1) == y) + (1 - w) * (z.argmax(1)[p] == y)).mean(),
)


# ---------------------------------------------------------------------------------------------- a training step
def _step_inputs(g: Generator) -> list[tuple[Any, ...]]:
    lam, partner = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45, 0.8] * 4), torch.arange(24).roll(5)
    cases = []
    for rate in (2.0, 3.0, 1.0):
        images, labels = torch.randn(24, 1, 2, 2, generator=g), torch.randint(3, (24,), generator=g)
        cases.append((Net(torch.randn(3, 4, generator=g), 0.5), Sgd(rate), images, labels, lam, partner))
    return cases


@written(
    chapter=2,
    level=2,
    points=3,
    inputs=_step_inputs,
    hint="Old gradients away, predict, loss, new gradients, step. Where does the accuracy belong?",
)
def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    lam: Tensor,
    partner: Tensor,
) -> tuple[float, float]:
    """One step of training with Mixup: mix, predict, measure, and move the weights once.

    model maps images (B, 1, H, W) to logits (B, C); optimizer holds its weights, and gradients may be left
    over from an earlier step. labels (B,) are class ids, lam (B,) each image's own share, partner (B,) int64.
    The loss is the cross-entropy of the mixtures λ x + (1 − λ) x[partner] against λ y + (1 − λ) y[partner],
    averaged over the batch. Returns the loss and the mixed accuracy as floats, both of the one prediction that
    was made before the step; the accuracy is the mean share of the label that the predicted class has, as in
    `mixed_accuracy`.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> images, pair = torch.rand(2, 1, 2, 2), torch.tensor([1, 0])
    >>> loss, accuracy = train_step(model, optimizer, images, pair, torch.tensor([0.5, 0.5]), pair)
    >>> accuracy
    0.5
    """
    return _step(model, optimizer, images, labels, lam, partner)


def _step(
    model: nn.Module, optimizer: Any, x: Tensor, y: Tensor, lam: Tensor, p: Tensor, wrong: str = ""
) -> tuple[float, float]:
    """The step with one thing wrong: the catalogue's entries differ in single lines of it."""
    if wrong not in ("gradients-kept", "old-gradients-followed"):
        optimizer.zero_grad()
    w = 1 - lam if wrong == "lam-exchanged" else mean_of(lam) if wrong == "mean-lam" else lam
    logits = model(x if wrong == "images-not-mixed" else mixup(x, x, w, p)[0])
    loss = F.cross_entropy(logits, y) if wrong == "labels-not-mixed" else pair_cross_entropy(logits, y, p, w)
    if wrong == "softmax-twice":
        loss = pair_cross_entropy(logits.softmax(1), y, p, w)
    if wrong == "old-gradients-followed":
        optimizer.step()
    (loss * len(x) if wrong == "sum-over-batch" else loss).backward()
    if wrong not in ("weights-not-moved", "old-gradients-followed"):
        optimizer.step()
    if wrong == "step-twice":
        optimizer.step()
    logits = model(mixup(x, x, w, p)[0]) if wrong in ("measured-after", "accuracy-after") else logits
    logits = model(x) if wrong == "accuracy-on-clean" else logits
    if wrong == "measured-after":
        loss = pair_cross_entropy(logits, y, p, w)
    hits = (logits.argmax(1) == y).float().mean()
    accuracy = hits if wrong in ("own-label-only", "accuracy-on-clean") else mixed_accuracy(logits, y, p, w)
    return float(loss.detach()), float(accuracy)


for _name in (
    *("gradients-kept", "lam-exchanged", "mean-lam", "images-not-mixed", "labels-not-mixed", "softmax-twice"),
    *("old-gradients-followed", "weights-not-moved", "step-twice", "sum-over-batch", "measured-after"),
    *("accuracy-after", "accuracy-on-clean", "own-label-only"),
):
    train_step.wrong(_name, lambda *a, _name=_name: _step(*a, wrong=_name))


# --------------------------------------------------------------------------------------------------- calibration
def _ece_inputs(g: Generator) -> list[tuple[Any, ...]]:
    tiny = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.0, 1.0, 0.0], [0.4, 0.35, 0.25]])
    probs = (2 * torch.randn(60, 4, generator=g)).softmax(1)
    labels = torch.multinomial(probs.sqrt(), 1, generator=g)[:, 0]
    labels[:6] = probs[:6].argmax(1)
    probs[:3] = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.6, 0.2, 0.1, 0.1], [0.1, 0.8, 0.1, 0.0]])
    return [(tiny, torch.tensor([0, 1, 1, 0]), 4), (probs, labels, 5)]


@written(
    chapter=2,
    level=2,
    points=2,
    inputs=_ece_inputs,
    hint="Loop over the bins: who is in it, how sure are they on average, how often are they right?",
)
def ece(probs: Tensor, labels: Tensor, bins: int) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, on average over predictions.

    probs (N, C) rows that sum to 1, labels (N,) class ids. The confidence of a prediction is its largest
    probability; it is right if that class is the label. Predictions are sorted into bins of equal width by
    confidence: bin b of `bins` holds those in (b / bins, (b + 1) / bins], open below and closed above. Returns
    Σ_b n_b / N · |accuracy in b − mean confidence in b| in [0, 1]; empty bins count nothing.

    >>> ece(torch.tensor([[0.9, 0.1], [0.3, 0.7]]), torch.tensor([0, 0]), 10)       # (0.1 + 0.7) / 2
    0.4
    """
    return round(_ece(*probs.max(1), labels, bins), 6)


def _ece(sure: Tensor, named: Tensor, labels: Tensor, bins: int, wrong: str = "") -> float:
    """The error with one thing wrong: the catalogue's entries differ in single lines of it."""
    right, total = (named == labels).double(), 0.0
    sure, gaps = sure.double(), []
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (sure > low + 1e-7) & (sure <= high + 1e-7)
        if wrong in ("closed-below", "one-is-lost"):
            inside = (sure >= low - 1e-7) & (sure < high - 1e-7 + (wrong == "closed-below" and b == bins - 1))
        if wrong == "equal-counts":
            inside = torch.zeros_like(sure, dtype=torch.bool)
            inside[sure.argsort()[len(sure) * b // bins : len(sure) * (b + 1) // bins]] = True
        if inside.any():
            confidence = (low + high) / 2 if wrong == "middle-of-bin" else sure[inside].mean()
            gap = right[inside].mean() - confidence
            gaps.append(
                float(gap if wrong == "signed" else gap.square() if wrong == "squared" else gap.abs())
            )
            total += gaps[-1] * float(inside.double().mean())
    others = {
        "bins-not-weighted": sum(gaps) / max(len(gaps), 1),
        "empty-bins-counted": sum(gaps) / bins,
        "largest-gap": max(gaps, default=0.0),
        "counts-not-shares": total * len(sure),
        "percent": 100 * total,
    }
    return others.get(wrong, total)


for _name in (
    *(
        "closed-below",
        "one-is-lost",
        "equal-counts",
        "middle-of-bin",
        "signed",
        "squared",
        "bins-not-weighted",
    ),
    *("empty-bins-counted", "largest-gap", "counts-not-shares", "percent"),
):
    ece.wrong(_name, lambda p, y, b, _name=_name: _ece(*p.max(1), y, b, _name))
ece.wrong("one-bin", lambda p, y, b: _ece(*p.max(1), y, 1))
ece.wrong("softmax-again", lambda p, y, b: _ece(*p.softmax(1).max(1), y, b))
ece.wrong("true-class", lambda p, y, b: _ece(p.gather(1, y[:, None])[:, 0], p.argmax(1), y, b))
ece.wrong("accuracy-is-confidence", lambda p, y, b: float((p.argmax(1) != y).float().mean()))
