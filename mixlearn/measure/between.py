"""On the line from one image to another: what a network answers, and how far from linear it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlearn.core.checks import check_generator
from mixlearn.measure.evaluate import InMemory, batches, predict
from mixlearn.measure.features import Reading
from mixlearn.methods.mixup import mixup


class Between(NamedTuple):
    """Means over pairs, each (steps,) float64: one for each value of λ from 0 to 1.

    Args:
        lam: λ, the share of the first image.
        misses: share of mixtures whose answer is the class of neither image, in [0, 1].
        cross_entropy: to the soft label, in nats.
        divergence: KL(p ‖ q) in nats, p the softmax of the interpolated logits, q that of the mixture's.
        logits: how far the mixture's logits lie from the interpolated ones, in units of the mean distance
            between the logits of the two images. 0 at both ends, and throughout for a linear network.
        features: the same of a stage's features; None where no stage was named.
    """

    lam: Tensor
    misses: Tensor
    cross_entropy: Tensor
    divergence: Tensor
    logits: Tensor
    features: Tensor | None

    def at(self, lam: float) -> dict[str, float]:
        """Every measure at one λ in [0, 1], interpolated between the two nearest that were looked at."""
        if not 0 <= lam <= 1:
            raise ValueError(f"lam must lie in [0, 1], got {lam}")
        place = lam * (len(self.lam) - 1)
        before = min(int(place + 1e-9), len(self.lam) - 2)
        rest = place - before
        return {name: float(torch.lerp(line[before], line[before + 1], rest)) for name, line in self._lines()}

    def means(self) -> dict[str, float]:
        """Every measure averaged over λ by the trapezoidal rule: the number of steps matters little."""
        step = 1 / (len(self.lam) - 1)
        return {name: float(torch.trapezoid(line, dx=step)) for name, line in self._lines()}

    def _lines(self) -> list[tuple[str, Tensor]]:
        return [(name, line) for name, line in self._asdict().items() if name != "lam" and line is not None]


def between(
    model: Any,
    data: Any,
    *,
    steps: int = 11,
    stage: str | None = None,
    count: int = 500,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
) -> Between:
    """Walk from image to image through their mixtures: misses, loss, and the distance from linear behaviour.

    Each pair is a random image and a random one of another class. At every λ the pixels are mixed as Mixup
    does, λ a + (1 − λ) b, and the network's answer f is compared with λ f(a) + (1 − λ) f(b).

    Args:
        model: images (B, C, H, W) → logits (B, classes). Its mode is restored afterwards.
        data: an `ImageSet`, or any iterable of (images, labels) batches, which is then held in memory.
        steps: values of λ, evenly spaced from 0 to 1, at least 2.
        stage: the tap whose features are compared too, averaged over places; "pool" is what the head is
            given. None looks at logits alone.
        count: how many pairs.
        batch_size: mixtures at a time.
        generator: draws the pairs, on the CPU; None uses torch's default one.

    Returns:
        A `Between`. Where the answers to all images are the same, distances are 0, or infinite if a mixture
        gets another.

    Raises:
        ValueError: fewer than two classes, labels beyond the logits, answers that are not finite.

    Source: Zhang et al., *mixup: Beyond Empirical Risk Minimization*, ICLR 2018, figure 2, for misses;
    Yang et al., *MixSKD*, ECCV 2022, for the wish that answers and features interpolate as the pixels do.

    >>> weight = torch.tensor([[1., -1.], [0., 2.]])
    >>> images, labels = torch.tensor([[2., 0.], [0., 2.]]).view(2, 1, 1, 2), torch.tensor([0, 1])
    >>> found = between(lambda x: x.flatten(1) @ weight, [(images, labels)], steps=3, count=4)
    >>> found.logits.tolist(), found.misses.tolist()
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    """
    if steps < 2 or count < 1 or batch_size < 1:
        raise ValueError(
            f"expected at least 2 steps, 1 pair and batches of 1, got {steps}, {count} and {batch_size}"
        )
    check_generator(generator)
    read, labels = _at_hand(data)
    first, second = unlike_pairs(labels, count, generator)
    lam = torch.linspace(0, 1, steps, dtype=torch.float64)
    reading = None if stage is None else Reading(model, stage)
    walk = _mixtures(read, first, second, lam.tolist(), batch_size)
    outputs = predict(model if reading is None else reading, walk).logits
    if not bool(outputs.isfinite().all()):
        raise ValueError("logits and features must be finite, got NaN or infinity")
    outputs = outputs.double().unflatten(0, (steps, count))  # (steps, count, classes + features)
    logits = outputs if reading is None else outputs[..., : reading.classes]
    one, other = labels[first], labels[second]
    if int(torch.maximum(one, other).max()) >= logits.shape[2]:
        raise ValueError(f"labels must lie in 0…{logits.shape[2] - 1}, got {int(labels.max())}")
    named = logits.argmax(2)
    log_q, log_p = logits.log_softmax(2), _straight(logits, lam).log_softmax(2)
    own, partner = (log_q.gather(2, who.expand(steps, -1)[..., None])[..., 0] for who in (one, other))
    share = lam[:, None]
    return Between(
        lam,
        ((named != one) & (named != other)).double().mean(1),
        -(share * own + (1 - share) * partner).mean(1),
        (log_p.exp() * (log_p - log_q)).sum(2).mean(1).clamp_min(0),
        _off(logits, lam),
        None if reading is None else _off(outputs[..., reading.classes :], lam),
    )


def unlike_pairs(
    labels: Tensor, count: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Indices (count,) of any images, and (count,) of any of the other classes, all equally likely."""
    if labels.dim() != 1:
        raise ValueError(f"labels must have shape (N,), got {tuple(labels.shape)}")
    _, which, sizes = labels.unique(return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError(f"expected images of two classes or more, got {len(sizes)}")
    order = which.argsort(stable=True)  # class by class
    start = sizes.cumsum(0) - sizes
    first = torch.randint(len(labels), (count,), generator=generator)
    mine = which[first]
    others = len(labels) - sizes[mine]
    drawn = torch.rand(count, generator=generator, dtype=torch.float64)
    place = torch.minimum((drawn * others).long(), others - 1)
    place = place + sizes[mine] * (place >= start[mine])  # over the block of one's own class
    return first, order[place]


def _at_hand(data: Any | Iterable[Any]) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """How to read images by their indices, and all labels."""
    if isinstance(data, InMemory):
        labels = getattr(data, "labels", None)
        if labels is None:
            labels = torch.cat([torch.as_tensor(some) for _, some in batches(data, 512)])
        return (lambda index: data.batch(index)[0]), labels.cpu()
    parts = [(images, torch.as_tensor(labels)) for images, labels in data]
    if not parts:
        raise ValueError("data must hold images of two classes or more, got none")
    images = torch.cat([images for images, _ in parts])
    return images.__getitem__, torch.cat([labels for _, labels in parts]).cpu()


def _mixtures(
    read: Callable[[Tensor], Tensor], first: Tensor, second: Tensor, shares: list[float], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each share in turn the mixtures of all pairs, batch by batch."""
    for share in shares:
        for own, other in zip(first.split(size), second.split(size), strict=True):
            images = read(torch.cat([own, other]))
            partner = torch.arange(len(images)).roll(len(own))
            yield mixup(images, lam=share, partner=partner).images[: len(own)], own


def _straight(values: Tensor, lam: Tensor) -> Tensor:
    """The line between the two ends of values (steps, count, F)."""
    share = lam[:, None, None]
    return share * values[-1] + (1 - share) * values[0]


def _off(values: Tensor, lam: Tensor) -> Tensor:
    """(steps,) distances from that line, in units of the mean distance between its ends."""
    apart = (values - _straight(values, lam)).norm(dim=2).mean(1)
    scale = (values[-1] - values[0]).norm(dim=1).mean()
    return (apart / scale).nan_to_num(nan=0.0, posinf=torch.inf)
