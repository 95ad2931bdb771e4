"""One-hot, smoothed and soft labels, their losses, and accuracy on mixed images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlearn.core.checks import as_count, as_ids, check_batch, check_ids, check_labels, is_integer, readable
from mixlearn.core.fast import sent

if TYPE_CHECKING:
    from mixlearn.core.plan import MixPlan

Weights = Tensor | Sequence[float] | None


def one_hot(
    labels: Tensor, num_classes: int, dtype: torch.dtype = torch.float32, *, ignore_index: int | None = None
) -> Tensor:
    """Class ids (B,) as rows (B, C) with a single 1; maps of ids (B, H, W) as (B, C, H, W).

    Args:
        labels: (B, …) integer ids in 0…C−1.
        num_classes: C, the number of classes.
        dtype: of the result.
        ignore_index: an id that becomes zeros, such as 255 in maps; None for none.

    >>> one_hot(torch.tensor([2, 255]), 3, ignore_index=255)
    tensor([[0., 0., 1.],
            [0., 0., 0.]])
    """
    if not is_integer(labels):
        way = "use labels.long() if they are"
        raise TypeError(f"labels must be integer class ids, got {labels.dtype}; {way}")
    classes, ids = as_count(num_classes, "num_classes", 1), labels.long()[:, None]  # (B, 1, …)
    check_ids(ids, classes, ignore_index)
    kept = torch.ones_like(ids, dtype=torch.bool) if ignore_index is None else ids != ignore_index
    rows = torch.zeros(len(ids), classes, *labels.shape[1:], dtype=dtype, device=labels.device)
    return rows.scatter_(1, ids * kept, kept.to(dtype))  # (B, C, …)


def smooth(targets: Tensor, epsilon: float) -> Tensor:
    """Label smoothing: give every class ε/C and shrink the rest to 1 − ε.

    Args:
        targets: (B, C) rows that sum to 1, or (B, C, H, W). Rows of zeros, which are ignored, stay.
        epsilon: ε in [0, 1], the mass that is spread evenly.

    Source: Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7.

    >>> smooth(torch.tensor([[1., 0., 0., 0.]]), 0.1)
    tensor([[0.9250, 0.0250, 0.0250, 0.0250]])
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must lie in [0, 1], got {epsilon}")
    if targets.dim() < 2:
        raise ValueError(f"targets must have shape (B, C), got {tuple(targets.shape)}")
    return targets * (1 - epsilon) + epsilon / targets.shape[1] * (targets != 0).any(1, keepdim=True)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """torch's cross-entropy of labels that were not mixed, for ids of any integer type or soft labels."""
    if logits.dim() == 2:
        soft = getattr(labels, "ndim", 1) == 2
        check_labels(labels, len(logits), logits.shape[1], None if soft else -100)
        if soft:
            _warn_of_multi_hot(labels)
    return F.cross_entropy(logits, as_ids(labels), label_smoothing=smoothing)


def soft_cross_entropy(
    logits: Tensor, targets: Tensor, *, weight: Weights = None, ignore_index: int | None = None
) -> Tensor:
    """Cross-entropy against soft labels, −Σ_c ỹ_c log softmax(z)_c, averaged over the batch.

    With class weights v it is the weighted mean Σ_ic v_c ỹ_ic (−log p_ic) / Σ_ic v_c ỹ_ic over images i and
    classes c; for one-hot labels this is `F.cross_entropy(logits, ids, weight=v)`. (Where rows do not sum to
    1, as SnapMix's, it is multiplied by their mean sum, so that equal weights change nothing.)

    Args:
        logits: (B, C), or (B, C, H, W) for maps, before the softmax, any float type; computed in float32 at
            least.
        targets: of the same shape, each row, or pixel, summing to 1 over C.
        weight: (C,) class weights v ≥ 0; None counts all alike.
        ignore_index: a class whose share of each label does not count, in the sum or in the denominator. Give
            an id outside 0…C−1, such as −100, too if `plan.soften` or `one_hot` has left it out: rows then
            count by what remains of them, and rows of zeros not at all.

    Returns:
        A scalar in nats; NaN where nothing counts, as in torch.

    >>> loss = soft_cross_entropy(torch.zeros(1, 4), torch.tensor([[.5, .5, 0., 0.]]))
    >>> f"{loss:.4f}"                                    # log 4
    '1.3863'
    """
    logits, targets = _promoted(logits, targets)
    _warn_of_multi_hot(targets)
    if weight is None and ignore_index is None:
        return F.cross_entropy(logits, targets)
    counted = targets * _class_weights(weight, ignore_index, logits)  # (B, C, …)
    mean = -(counted * logits.log_softmax(1)).sum() / counted.sum()
    return mean if ignore_index is not None else mean * targets.sum(1).mean()


def soft_bce(
    logits: Tensor, targets: Tensor, *, weight: Weights = None, pos_weight: Weights = None
) -> Tensor:
    """Binary cross-entropy with one sigmoid a class, averaged over images and classes.

    It takes several labels at once, and is linear in the target, so it may be mixed. Some recipes binarise
    first, `(targets > 0.2).float()`, so that each class with some share counts as present.

    Args:
        logits: (B, C), or (B, C, H, W) for maps, before the sigmoid.
        targets: of the same shape, in [0, 1].
        weight: (C,), multiplies the terms of each class; the mean is still over all, as in torch.
        pos_weight: (C,), multiplies the share of each target that says yes, as in torch.

    >>> f"{soft_bce(torch.zeros(2, 3), torch.full((2, 3), .5)):.4f}"     # log 2
    '0.6931'
    """
    logits, targets = _promoted(logits, targets)
    if readable(targets):
        low, high = (float(v) for v in torch.aminmax(targets.detach()))
        if not (low >= -1e-4 and high <= 1.0001):
            way = "a mark for unknown such as −1 cannot be mixed, and SnapMix's labels need clamp(max=1)"
            raise ValueError(f"targets must lie in [0, 1], got {low:g} to {high:g}; {way}")
    each = None if weight is None else _class_weights(weight, None, logits)
    positive = None if pos_weight is None else _class_weights(pos_weight, None, logits)
    return F.binary_cross_entropy_with_logits(logits, targets, each, pos_weight=positive)


def pair_cross_entropy(
    logits: Tensor, labels: Tensor, plan: MixPlan, *, weight: Weights = None, ignore_index: int = -100
) -> Tensor:
    """Soft cross-entropy from class ids and a plan: Σₖ wₖ · CE(z, y[sₖ]), averaged over the batch.

    Equal to `soft_cross_entropy(logits, plan.soften(labels))`, since cross-entropy is linear in its target.
    With class weights v, and with labels that are ignored, it is Σ wₖᵢ v_y CE(zᵢ, y) / Σ wₖᵢ v_y with
    y = y[sₖᵢ], over parts whose label counts, times the mean sum of the plan's weights (1 but in SnapMix).

    Args:
        logits, labels, plan: (B, C); (B,) ids of any integer type; the plan that mixed the batch.
        weight: (C,) class weights v ≥ 0; None counts all alike.
        ignore_index: the id of labels that do not count, neither in the sum nor in the denominator.

    Returns:
        A scalar in nats; NaN where no label counts, as in torch.

    >>> from mixlearn.core.plan import MixPlan
    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([.75, .5]))
    >>> logits, labels = torch.tensor([[2., 0., 1.], [0., 1., 0.]]), torch.tensor([0, 2])
    >>> two = pair_cross_entropy(logits, labels, plan)
    >>> torch.allclose(two, soft_cross_entropy(logits, plan.soften(labels, 3)))
    True
    """
    if logits.dim() != 2 or labels.is_floating_point():
        given = f"{tuple(logits.shape)} and {labels.dtype} {tuple(labels.shape)}"
        way = "for soft labels use soft_cross_entropy(logits, plan.soften(labels))"
        raise ValueError(f"expected logits (B, C) and class ids (B,), got {given}; {way}")
    check_batch(logits, len(plan), "logits")
    check_labels(labels, len(plan), logits.shape[1], ignore_index)
    logits, ids = logits.to(torch.promote_types(logits.dtype, torch.float32)), labels.long()
    each = _class_weights(weight, ignore_index, logits)  # (C,)
    kept = ids != ignore_index
    counts = each[ids * kept] * kept  # (B,), of each label
    losses = [
        F.cross_entropy(logits, ids[source], each, ignore_index=ignore_index, reduction="none")
        for source in plan.sources
    ]  # K × (B,)
    mean = (plan.weights * torch.stack(losses)).sum() / (plan.weights * counts[plan.sources]).sum()
    return mean * (plan.weights.sum() / len(plan))


def mixed_accuracy(
    logits: Tensor, labels: Tensor, plan: MixPlan | None = None, *, ignore_index: int = -100
) -> Tensor:
    """Accuracy on mixed images: the share of all labels, by their weight, that equal the prediction.

    A perfect network reaches the mean of the largest share, not 1: it names one class of each mixture.

    Args:
        logits: (B, C), or (B, C, H, W) with soft targets of maps.
        labels: with a plan, (B,) integer ids as they were before mixing; without, the soft targets of the
            mixtures, of the shape of the logits.
        plan: the plan that mixed the batch; None where the targets are mixed already.
        ignore_index: the id of labels that do not count, neither in the sum nor in the denominator.

    Returns:
        A scalar in [0, 1], on the device of the logits; NaN where no label counts.

    >>> from mixlearn.core.plan import MixPlan
    >>> plan = MixPlan.pair(torch.tensor([1, 0]), torch.tensor([.75, .5]))
    >>> mixed_accuracy(torch.tensor([[9., 0.], [9., 0.]]), torch.tensor([0, 1]), plan).item()
    0.625
    """
    if plan is None:
        if labels.dim() != logits.dim():
            way = f"expected soft targets {tuple(logits.shape)} or mixed_accuracy(logits, labels, plan)"
            given = f"labels {tuple(labels.shape)} are class ids, which need the plan that mixed the batch"
            raise ValueError(f"{given}; {way}")
        logits, shares = _promoted(logits, labels)
        return shares.gather(1, logits.argmax(1, keepdim=True)).sum() / shares.sum()
    if labels.dim() > 1 and labels.is_floating_point():
        given = f"got {tuple(labels.shape)} {labels.dtype}"
        way = "soft targets that are mixed already go alone: mixed_accuracy(logits, targets)"
        raise ValueError(f"with a plan, labels must be class ids (B,) from before mixing, {given}; {way}")
    check_batch(logits, len(plan), "logits")
    check_labels(labels, len(plan), logits.shape[1], ignore_index)
    weights = plan.weights * (labels != ignore_index)[plan.sources]  # (K, B)
    return (weights * (labels[plan.sources] == logits.argmax(1))).sum() / weights.sum()


def _promoted(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and soft targets of one shape, (B, C) or (B, C, …), in float32 at least."""
    if logits.dim() < 2 or logits.shape != targets.shape:
        way = "class ids become targets by plan.soften(labels, num_classes)"
        if logits.dim() > 2 and targets.dim() == logits.dim() - 1:
            way = "maps of class ids become targets by ml.one_hot(maps, num_classes), then plan.mix"
        shapes = f"(B, C), or (B, C, H, W) for maps, got {tuple(logits.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"logits and targets must both have shape {shapes}; {way}")
    dtype = torch.promote_types(torch.promote_types(logits.dtype, targets.dtype), torch.float32)
    return logits.to(dtype), targets.to(dtype)


def _warn_of_multi_hot(targets: Tensor) -> None:
    """Warn where rows name several classes in full: a softmax shares one unit of probability among all.

    SnapMix's two weights may sum to more than 1 too, but only of two classes, neither of which has all.
    """
    over = targets.detach().sum(1) > 1.01 if readable(targets) else torch.tensor(False)
    if not bool(over.any()):
        return
    rows = targets.detach().movedim(1, -1)[over]  # (n, C)
    least = rows.amin(1, keepdim=True)
    rows = rows - least * (least < 0.5 / rows.shape[1])  # without what smoothing gives to all
    several = (rows > 1e-3).sum(1)
    if bool(((several > 2) | ((several == 2) & (rows.amax(1) > 0.999))).any()):
        most = float(targets.detach().sum(1).max())
        given = f"should sum to 1 in each row, got up to {most:g}, as labels of several classes do"
        way = "use soft_bce, in a learner Mixing(mix, loss=ml.soft_bce), or divide each row by its sum"
        warnings.warn(f"targets of a softmax loss {given}; {way}", stacklevel=3)


def _class_weights(weight: Weights, ignore_index: int | None, logits: Tensor) -> Tensor:
    """How much each class counts, (C,) shaped to multiply logits (B, C, …); 0 for a class that is ignored."""
    classes = logits.shape[1]
    each = logits.new_ones(classes)
    if weight is not None:
        each = sent(torch.as_tensor(weight), logits.device).to(logits.dtype)
    if tuple(each.shape) != (classes,):
        shape = tuple(each.shape)
        raise ValueError(f"weight must hold one number for each of {classes} classes, got shape {shape}")
    if readable(each) and not bool(((each >= 0) & each.isfinite()).all()):
        raise ValueError(f"weight must be finite and at least 0, got {each.tolist()[:8]}")
    if ignore_index is not None and 0 <= ignore_index < classes:
        each = each * (torch.arange(classes, device=each.device) != ignore_index)
    return each.view(-1, *(1,) * (logits.dim() - 2))
