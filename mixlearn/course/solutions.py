"""The solutions, and edits of them are the wrong answers: `exercises.md` holds those, and the texts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


def sample_lam(n: int, alpha: float, generator: Generator) -> Tensor:
    first, second = torch._standard_gamma(torch.full((2, n), alpha), generator=generator)
    return first / (first + second)


def soft_labels(labels: Tensor, partner: Tensor, lam: Tensor, num_classes: int) -> Tensor:
    rows = F.one_hot(labels, num_classes).to(lam.dtype)  # (B, C)
    return lam[:, None] * rows + (1 - lam[:, None]) * rows[partner]


def mixup(images: Tensor, targets: Tensor, lam: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    share = lam.view(-1, 1, 1, 1)
    mixed = share * images + (1 - share) * images[partner]
    return mixed, lam[:, None] * targets + (1 - lam[:, None]) * targets[partner]


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def pair_cross_entropy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    own, other = (F.cross_entropy(logits, ids, reduction="none") for ids in (labels, labels[partner]))
    return (lam * own + (1 - lam) * other).mean()


def mixed_accuracy(logits: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    named = logits.argmax(1)  # (B,)
    return (lam * (named == labels) + (1 - lam) * (named == labels[partner])).mean()


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


def ece(probs: Tensor, labels: Tensor, bins: int) -> float:
    sure, named = probs.double().max(1)
    right, total = (named == labels).double(), 0.0
    for b in range(bins):
        inside = (sure > b / bins) & (sure <= (b + 1) / bins)
        if inside.any():
            gap = right[inside].mean() - sure[inside].mean()
            total += float(inside.double().mean() * gap.abs())
    return total


def sample_box(lam: float, height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    side = (1 - lam) ** 0.5
    w, h = round(side * width), round(side * height)
    x, y = (torch.rand(2, generator=generator) * torch.tensor([width, height])).long().tolist()
    x0, y0 = x - w // 2, y - h // 2
    return max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)


def cutmix(images: Tensor, targets: Tensor, box: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    x0, y0, x1, y1 = box.tolist()
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = images[partner][:, :, y0:y1, x0:x1]
    lam = 1 - (x1 - x0) * (y1 - y0) / (images.shape[2] * images.shape[3])
    return mixed, lam * targets + (1 - lam) * targets[partner]


def cutout(images: Tensor, centres: Tensor, size: int) -> Tensor:
    erased = images.clone()
    for image, (x, y) in zip(erased, centres.tolist(), strict=True):
        x0, y0 = x - size // 2, y - size // 2
        image[:, max(y0, 0) : y0 + size, max(x0, 0) : x0 + size] = 0
    return erased


def resizemix(
    images: Tensor, targets: Tensor, tau: float, partner: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    height, width = images.shape[2:]
    h, w = round(tau * height), round(tau * width)
    y0, x0 = (int(torch.randint(n, (), generator=generator)) for n in (height - h + 1, width - w + 1))
    mixed = images.clone()
    mixed[:, :, y0 : y0 + h, x0 : x0 + w] = F.interpolate(images[partner], (h, w), mode="nearest")
    lam = 1 - h * w / (height * width)
    return mixed, lam * targets + (1 - lam) * targets[partner]


def fmix_mask(lam: float, height: int, width: int, generator: Generator) -> Tensor:
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)
    frequency = (down**2 + across**2).sqrt().clamp_min(1 / max(height, width))
    noise = torch.randn(height, width, generator=generator)
    cloud = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency**3, s=(height, width))
    mask = torch.zeros(height * width)
    mask[cloud.flatten().argsort(descending=True)[: round(lam * height * width)]] = 1
    return mask.view(height, width)


def saliency_box(saliency: Tensor, lam: float) -> tuple[int, int, int, int]:
    height, width = saliency.shape
    y, x = divmod(int(saliency.argmax()), width)
    w, h = round((1 - lam) ** 0.5 * width), round((1 - lam) ** 0.5 * height)
    x0, y0 = x - w // 2, y - h // 2
    return max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)


def mask_energy(mask: Tensor, own: Tensor, other: Tensor, beta: float) -> Tensor:
    hidden = (mask * other + (1 - mask) * own).sum()
    return hidden + beta * (mask.diff(dim=0).square().sum() + mask.diff(dim=1).square().sum())


def sinkhorn(cost: Tensor, epsilon: float, steps: int) -> Tensor:
    kernel, mass = -cost.double() / epsilon, math.log(len(cost))
    right = torch.zeros_like(kernel[:1])
    for _ in range(steps):
        left = -torch.logsumexp(kernel + right, 1, keepdim=True) - mass
        right = -torch.logsumexp(kernel + left, 0, keepdim=True) - mass
    return (left + kernel + right).exp().to(cost.dtype)


def mix_block(
    features: Tensor, lam: Tensor, partner: Tensor, look: Tensor, value: Tensor, height: int, width: int
) -> Tensor:
    batch, _, h, w = features.shape
    places = features.flatten(2).mT  # (B, hw, C)
    ones = torch.ones_like(places[..., :1])
    first = torch.cat([places, lam[:, None, None] * ones], 2)  # (B, hw, C + 1)
    second = torch.cat([places[partner], (1 - lam)[:, None, None] * ones], 2)
    scores = (first @ look.T) @ (second @ look.T).mT / len(look) ** 0.5  # (B, hw, hw)
    s = scores.softmax(2) @ (second @ value)[..., None]  # (B, hw, 1)
    large = F.interpolate(s.view(batch, 1, h, w), (height, width), mode="nearest")
    return 1 - large.sigmoid()


def mask_loss(masks: Tensor, lam: Tensor, margin: float) -> Tensor:
    off = (masks.mean((1, 2, 3)) - lam).abs() - margin
    return off.clamp(min=0).mean()


def ema_update(slow: dict[str, Tensor], fast: dict[str, Tensor], momentum: float) -> dict[str, Tensor]:
    mixed = {}
    for name, old in slow.items():
        new = fast[name]
        mixed[name] = momentum * old + (1 - momentum) * new if old.is_floating_point() else new.clone()
    return mixed


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
    mixture = masks * images + (1 - masks) * images[partner]
    clean = F.cross_entropy(images.flatten(1) @ weight.T, labels)
    losses = []
    for seen, net in ((mixture.detach(), weight), (mixture, slow.detach())):
        logits = seen.flatten(1) @ net.T
        own, other = (F.cross_entropy(logits, ids, reduction="none") for ids in (labels, labels[partner]))
        losses.append((lam * own + (1 - lam) * other).mean())
    return clean, losses[0], losses[1], 0.1 * mask_loss(masks, lam, margin)


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_p = (teacher.detach() / temperature).log_softmax(1)
    log_q = (student / temperature).log_softmax(1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean()


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
    w = lam[:, None]
    share, rows = w[..., None, None], F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    between = w * logits + (1 - w) * logits[partner]
    between_maps = share * maps + (1 - share) * maps[partner]
    soft = w * rows + (1 - w) * rows[partner]
    counted = [F.cross_entropy(one, soft) for one in (mixed, from_between, from_mixed)]
    features = (between_maps - mixed_maps).square().mean()
    branches = distillation(between, mixed, temperature) + distillation(mixed, between, temperature)
    crossed = distillation(between, from_mixed, temperature) + distillation(mixed, from_between, temperature)
    return F.cross_entropy(logits, labels), torch.stack(counted).sum(), features, branches, crossed


def patchify(images: Tensor, patch: int) -> Tensor:
    rows, columns = images.shape[2] // patch, images.shape[3] // patch
    cut = images.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # (B, C, rows, p, columns, p)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def patchmix(images: Tensor, groups: Tensor, patch: int) -> Tensor:
    grid = groups.view(-1, images.shape[3] // patch)
    pixels = grid.repeat_interleave(patch, 0).repeat_interleave(patch, 1)  # (H, W)
    source = (torch.arange(len(images))[:, None, None] + pixels) % len(images)  # (B, H, W)
    return images.gather(0, source[:, None].expand_as(images))


def patchmix_targets(sources: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    shares = F.one_hot(sources, batch).float().mean(0)
    return shares, shares @ shares.T


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    views = torch.cat([first, second])  # (2B, D)
    logits = views @ views.T / temperature  # (2B, 2B)
    logits = logits.masked_fill(torch.eye(len(views), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(views)).roll(len(first)))


def contrastive_loss(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float) -> Tensor:
    cosines = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T  # (B, K)
    return -(targets * (cosines / temperature).log_softmax(1)).sum(1).mean()


def knn_predict(bank: Tensor, labels: Tensor, queries: Tensor, k: int, temperature: float) -> Tensor:
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T  # (M, N)
    near, which = cosines.topk(k)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[which], (near / temperature).exp())
    return votes.argmax(1)
