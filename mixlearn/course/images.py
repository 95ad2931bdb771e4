"""Solutions and inputs of chapters 2 to 4; `exercises.md` holds the texts and the wrong answers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixlearn.course.exercise import Cases, Samples, written
from mixlearn.course.run import Net, Seed, Sgd

CYCLE = [2, 0, 3, 4, 1]  # a partner's partner is not the image itself
HEIGHT, WIDTH, ROWS, COLUMNS = 100, 160, 24, 40  # of images for boxes, and of masks


def pair(g: Generator, classes: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (5, classes), labels, partners and λ; images 0 and 2, partners, have one class."""
    labels = torch.tensor([1, 3, 1, 0, 4])
    lam = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45]) + 0.05 * torch.rand(5, generator=g)
    return 2 * torch.randn(5, classes, generator=g), labels, torch.tensor(CYCLE), lam


def of_lam(_: tuple[object, ...], value: Tensor) -> Samples:
    lam = value.double()
    return {"λ": lam.unique(), "the spread of λ in one call": lam.std(), "the mean λ of one call": lam.mean()}


@written(lambda g: [(40, a, Seed(0)) for a in (1.0, 0.3, 3.0)], observe=of_lam, draws=100, slack={"λ": 1e-4})
def sample_lam(n: int, alpha: float, generator: Generator) -> Tensor:
    first, second = torch._standard_gamma(torch.full((2, n), alpha), generator=generator)
    return first / (first + second)


PAIR = torch.tensor([0, 2]), torch.tensor([1, 0]), torch.tensor([0.75, 0.4])


@written(lambda g: [(*PAIR, 3), (*pair(g)[1:], 6)])
def soft_labels(labels: Tensor, partner: Tensor, lam: Tensor, num_classes: int) -> Tensor:
    rows = F.one_hot(labels, num_classes).to(lam.dtype)  # (B, C)
    return lam[:, None] * rows + (1 - lam[:, None]) * rows[partner]


def for_mixup(g: Generator) -> Cases:
    images, targets = torch.rand(5, 3, 4, 6, generator=g), torch.rand(5, 4, generator=g).softmax(1)
    tiny = torch.tensor([0.0, 8.0, 4.0, 12.0]).view(2, 1, 1, 2)
    first = (tiny, torch.eye(2), torch.tensor([0.75, 0.9]), torch.tensor([1, 0]))
    return [first, (images, targets, pair(g)[3], torch.tensor(CYCLE))]


@written(for_mixup)
def mixup(images: Tensor, targets: Tensor, lam: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    share = lam.view(-1, 1, 1, 1)
    mixed = share * images + (1 - share) * images[partner]
    return mixed, lam[:, None] * targets + (1 - lam[:, None]) * targets[partner]


def for_soft(g: Generator) -> Cases:
    tiny = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.75, 0.25], [0.4, 0.6]])
    return [tiny, (3 * torch.randn(5, 4, generator=g), torch.rand(5, 4, generator=g).mul(3).softmax(1))]


@written(for_soft, wanted=(0,))
def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


TWO = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]), torch.tensor([1, 0]), PAIR[2]


@written(lambda g: [TWO, pair(g)], wanted=(0,))
def pair_cross_entropy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    own, other = (F.cross_entropy(logits, ids, reduction="none") for ids in (labels, labels[partner]))
    return (lam * own + (1 - lam) * other).mean()


def for_accuracy(g: Generator) -> Cases:
    _, labels, partner, lam = pair(g)
    named = torch.tensor([1, int(labels[partner[1]]), 5, int(labels[partner[3]]), 4])
    return [TWO, (4 * F.one_hot(named, 6) + torch.rand(5, 6, generator=g), labels, partner, lam)]


@written(for_accuracy)
def mixed_accuracy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    named = logits.argmax(1)  # (B,)
    return (lam * (named == labels) + (1 - lam) * (named == labels[partner])).mean()


def for_step(g: Generator) -> Cases:
    lam, partner = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45, 0.8] * 4), torch.arange(24).roll(5)
    cases: Cases = []
    for rate in (2.0, 3.0, 1.0):
        images, labels = torch.randn(24, 1, 2, 2, generator=g), torch.randint(3, (24,), generator=g)
        cases.append((Net(torch.randn(3, 4, generator=g), 0.5), Sgd(rate), images, labels, lam, partner))
    return cases


@written(for_step)
def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    lam: Tensor,
    partner: Tensor,
) -> tuple[float, float]:
    optimizer.zero_grad()
    share = lam.view(-1, 1, 1, 1)
    mixed = share * images + (1 - share) * images[partner]
    logits = model(mixed)
    own, other = (F.cross_entropy(logits, ids, reduction="none") for ids in (labels, labels[partner]))
    loss = (lam * own + (1 - lam) * other).mean()
    loss.backward()
    optimizer.step()
    named = logits.argmax(1)
    accuracy = (lam * (named == labels) + (1 - lam) * (named == labels[partner])).mean()
    return float(loss.detach()), float(accuracy)


def for_ece(g: Generator) -> Cases:
    tiny = torch.tensor([[0.5, 0.3, 0.2], [0.25, 0.0, 0.75], [0.0, 1.0, 0.0], [0.4, 0.35, 0.25]])
    probs = (2 * torch.randn(60, 4, generator=g)).softmax(1)
    labels = torch.multinomial(probs.sqrt(), 1, generator=g)[:, 0]
    probs[:3] = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.625, 0.125, 0.125, 0.125], [0.125, 0.75, 0.125, 0.0]])
    labels[:6] = probs[:6].argmax(1)
    return [(tiny, torch.tensor([0, 2, 0, 1]), 4), (probs, labels, 8)]  # edges that floats hold exactly


@written(for_ece)
def ece(probs: Tensor, labels: Tensor, bins: int) -> float:
    sure, named = probs.double().max(1)
    right, total = (named == labels).double(), 0.0
    for b in range(bins):
        inside = (sure > b / bins) & (sure <= (b + 1) / bins)
        if inside.any():
            gap = right[inside].mean() - sure[inside].mean()
            total += float(inside.double().mean() * gap.abs())
    return total


# ------------------------------------------------------------------------------------------ chapter 3: boxes
def of_box(case: tuple[object, ...], value: Tensor) -> Samples:
    x0, y0, x1, y1 = (float(one) for one in value)
    outside = max(-x0, -y0, x1 - WIDTH, y1 - HEIGHT, x0 - x1, y0 - y1, 0.0)
    found = {"the distance outside the image": outside, "width": x1 - x0, "height": y1 - y0}
    return found | {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "x0/W − y0/H": x0 * HEIGHT / WIDTH - y0}


LOOSE = dict.fromkeys(("width", "height", "x0", "y0", "x1", "y1", "x0/W − y0/H"), 2.5)  # pixels


@written(
    lambda g: [(lam, HEIGHT, WIDTH, Seed(0)) for lam in (0.75, 0.19, 1.0)],
    observe=of_box,
    draws=150,
    slack=LOOSE,
)
def sample_box(lam: float, height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    side = (1 - lam) ** 0.5
    w, h = round(side * width), round(side * height)
    x, y = (torch.rand(2, generator=generator) * torch.tensor([width, height])).long().tolist()
    x0, y0 = x - w // 2, y - h // 2
    return max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)


def for_cutmix(g: Generator) -> Cases:
    tiny = torch.tensor([0.0, 8.0]).view(2, 1, 1, 1).expand(2, 1, 2, 4).clone()
    images, targets = torch.rand(5, 3, 6, 10, generator=g), torch.rand(5, 4, generator=g).softmax(1)
    cases: Cases = [(tiny, torch.eye(2), torch.tensor([0, 0, 1, 2]), torch.tensor([1, 0]))]
    for box in ([7, 1, 10, 3], [1, 2, 9, 6], [2, 3, 2, 5]):  # the last is empty
        cases.append((images, targets, torch.tensor(box), torch.tensor(CYCLE)))
    return cases


@written(for_cutmix)
def cutmix(images: Tensor, targets: Tensor, box: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    x0, y0, x1, y1 = box.tolist()
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = images[partner][:, :, y0:y1, x0:x1]
    lam = 1 - (x1 - x0) * (y1 - y0) / (images.shape[2] * images.shape[3])
    return mixed, lam * targets + (1 - lam) * targets[partner]


def for_cutout(g: Generator) -> Cases:
    tiny, images = 1 + torch.rand(1, 1, 4, 6, generator=g), 1 + torch.rand(4, 2, 7, 11, generator=g)
    centres = torch.tensor([[0, 2], [5, 3], [10, 6], [6, 0]])
    return [(tiny, torch.tensor([[2, 1]]), 2), (images, centres, 4), (images, centres.flip(0), 3)]


@written(for_cutout)
def cutout(images: Tensor, centres: Tensor, size: int) -> Tensor:
    erased = images.clone()
    for image, (x, y) in zip(erased, centres.tolist(), strict=True):
        x0, y0 = x - size // 2, y - size // 2
        image[:, max(y0, 0) : y0 + size, max(x0, 0) : x0 + size] = 0
    return erased


def for_resizemix(g: Generator) -> Cases:
    ramp = 10 * torch.arange(24.0)[:, None] + 3 * torch.arange(32.0)  # (24, 32): every way of resizing agrees
    images = torch.stack([ramp + 1000 * k for k in range(3)])[:, None]
    return [(images, torch.eye(3), tau, torch.tensor([2, 0, 1]), Seed(0)) for tau in (0.5, 0.25)]


def of_resized(case: tuple[Tensor, ...], value: tuple[Tensor, Tensor]) -> Samples:
    images, targets, tau, partner, _ = case
    mixed, labels = value[0].double(), value[1].double()
    foreign = (mixed - images).abs().amax(1) > 0.01  # (B, H, W)
    rows, columns = (foreign[0].any(k).nonzero()[:, 0].tolist() or [0] for k in (1, 0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    small = F.interpolate(images[partner].double(), (y1 - y0, x1 - x0), mode="nearest")
    lam = 1 - foreign.double().mean((1, 2))[:, None]
    expected = lam * targets + (1 - lam) * targets[partner]
    place = torch.tensor([x0 / max(32 - (x1 - x0), 1), y0 / max(24 - (y1 - y0), 1)])
    return {
        "the sides": torch.tensor([x1 - x0 - tau * 32, y1 - y0 - tau * 24]),
        "the place": place,
        "how far x and y are apart": place[0] - place[1],
        "what is pasted": (mixed[:, :, y0:y1, x0:x1] - small).abs().amax((1, 2, 3)),
        "the label beside the pixels": (labels - expected).abs().max(),
        "the own share": labels.diagonal()[:1],
    }


LOOSELY = {"the sides": 1.01, "the label beside the pixels": 1e-3, "the place": 0.01, "the own share": 0.05}


@written(for_resizemix, observe=of_resized, draws=80, slack=LOOSELY | {"what is pasted": 30})
def resizemix(
    images: Tensor, targets: Tensor, tau: float, partner: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    height, width = images.shape[2:]
    h, w = round(tau * height), round(tau * width)
    y0 = int(torch.randint(height - h + 1, (), generator=generator))
    x0 = int(torch.randint(width - w + 1, (), generator=generator))
    mixed = images.clone()
    mixed[:, :, y0 : y0 + h, x0 : x0 + w] = F.interpolate(images[partner], (h, w), mode="nearest")
    lam = 1 - h * w / (height * width)
    return mixed, lam * targets + (1 - lam) * targets[partner]


# ------------------------------------------------------------------------------------------ chapter 4: masks
def of_mask(_: tuple[object, ...], mask: Tensor) -> Samples:
    mask = mask.double()
    down, across = ((mask.diff(dim=k) != 0).double().mean() for k in (0, 1))
    return {
        "the share of ones": mask.mean(),
        "the distance from 0 and 1": torch.minimum(mask.abs(), (1 - mask).abs()).max(),
        "edges from row to row": down,
        "edges from column to column": across,
        "how much more edges lie across than down": (down - across) / (down + across).clamp(min=1e-9),
        "a pixel of the mask": mask[3, 5],
    }


ONE = {"the share of ones": 1.01 / (ROWS * COLUMNS)}  # pixel


@written(
    lambda g: [(lam, ROWS, COLUMNS, Seed(0)) for lam in (0.3, 0.75)], observe=of_mask, draws=100, slack=ONE
)
def fmix_mask(lam: float, height: int, width: int, generator: Generator) -> Tensor:
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    frequency = (down**2 + across**2).sqrt().clamp_min(1 / max(height, width))
    noise = torch.randn(height, width, generator=generator)
    cloud = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency**3, s=(height, width))
    mask = torch.zeros(height * width)
    mask[cloud.flatten().argsort(descending=True)[: round(lam * height * width)]] = 1
    return mask.view(height, width)


def for_saliency(g: Generator) -> Cases:
    cases: Cases = []
    for row, column, lam in ((5, 7, 0.75), (1, 10, 0.4375), (6, 0, 0.75), (4, 4, 0.9375)):
        saliency = torch.rand(8, 12, generator=g) * torch.linspace(1, 0.01, 12)
        saliency[row, column] = 2.0
        cases.append((saliency, lam))
    return cases


@written(for_saliency)
def saliency_box(saliency: Tensor, lam: float) -> tuple[int, int, int, int]:
    height, width = saliency.shape
    y, x = divmod(int(saliency.argmax()), width)
    w, h = round((1 - lam) ** 0.5 * width), round((1 - lam) ** 0.5 * height)
    x0, y0 = x - w // 2, y - h // 2
    return max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)


def for_energy(g: Generator) -> Cases:
    own, other = torch.rand(2, 4, 5, generator=g)
    mask = torch.tensor([[0, 1, 1, 0.5, 0], [1, 1, 0.5, 0, 0], [1, 0.5, 0, 0, 1], [1, 1, 0, 0.5, 1]])
    tiny = torch.tensor([[[1.0, 0.5], [0.0, 1.0]], [[0.4, 0.1], [0.2, 0.3]], [[0.1, 0.6], [0.5, 0.2]]])
    return [(*tiny, 0.4), (mask, own, other, 0.3)]


@written(for_energy)
def mask_energy(mask: Tensor, own: Tensor, other: Tensor, beta: float) -> Tensor:
    hidden = (mask * other + (1 - mask) * own).sum()
    return hidden + beta * (mask.diff(dim=0).square().sum() + mask.diff(dim=1).square().sum())


def for_sinkhorn(g: Generator) -> Cases:
    cost, far = torch.rand(5, 5, generator=g), 2.1 + 0.3 * torch.rand(4, 4, generator=g)
    far[torch.arange(4), torch.tensor([2, 0, 3, 1])] = 2.0
    return [(torch.tensor([[0.0, 1.0], [0.5, 0.2]]), 0.5, 100), (cost, 0.25, 200), (far, 0.002, 50)]


@written(for_sinkhorn)
def sinkhorn(cost: Tensor, epsilon: float, steps: int) -> Tensor:
    kernel, mass = -cost.double() / epsilon, math.log(len(cost))
    right = torch.zeros_like(kernel[:1])
    for _ in range(steps):
        left = -torch.logsumexp(kernel + right, 1, keepdim=True) - mass
        right = -torch.logsumexp(kernel + left, 0, keepdim=True) - mass
    return (left + kernel + right).exp().to(cost.dtype)
