"""Solutions and inputs of chapters 5 to 7; `exercises.md` holds the texts and the wrong answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixlearn.course.exercise import Cases, written
from mixlearn.course.images import CYCLE

LAM = torch.tensor([0.9, 0.3, 0.65, 0.2, 0.45])


def for_block(g: Generator) -> Cases:
    cases: Cases = []
    for batch, channels, h, w, depth, size in ((2, 2, 1, 2, 2, (2, 4)), (5, 4, 2, 3, 3, (4, 6))):
        look, value = torch.randn(depth, channels + 1, generator=g), torch.randn(channels + 1, generator=g)
        partner = torch.tensor(CYCLE if batch > 2 else [1, 0])
        features = torch.randn(batch, channels, h, w, generator=g)
        cases.append((features, LAM[:batch], partner, look, value, *size))
    return cases


@written(for_block, wanted=(3, 4))
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


def for_mask(g: Generator) -> Cases:
    tiny = torch.tensor([0.9, 0.7, 0.1, 0.1]).view(2, 1, 1, 2)
    masks = torch.rand(5, 1, 3, 4, generator=g) * torch.tensor([0.3, 1.0, 1.9, 0.9, 1.1]).view(5, 1, 1, 1)
    lam = torch.tensor([0.6, 0.1, 0.3, 0.46, 0.9])
    return [(tiny, torch.tensor([0.5, 0.3]), 0.1), (masks, lam, 0.08), (masks, lam, 0.42)]


@written(for_mask, wanted=(0,))
def mask_loss(masks: Tensor, lam: Tensor, margin: float) -> Tensor:
    off = (masks.mean((1, 2, 3)) - lam).abs() - margin
    return off.clamp(min=0).mean()


def for_twin(g: Generator) -> Cases:
    tiny, other = (
        {"weight": torch.tensor(w), "seen": torch.tensor(n)} for w, n in (([1.0, 2], 3), ([3.0, -2], 9))
    )
    slow, fast = (
        {
            "weight": torch.randn(3, 2, generator=g),
            "mean": torch.rand(3, generator=g),
            "seen": torch.tensor(n),
        }
        for n in (10, 27)
    )
    return [(tiny, other, 0.75), (slow, fast, 0.9)]


@written(for_twin)
def ema_update(slow: dict[str, Tensor], fast: dict[str, Tensor], momentum: float) -> dict[str, Tensor]:
    mixed = {}
    for name, old in slow.items():
        new = fast[name]
        mixed[name] = momentum * old + (1 - momentum) * new if old.is_floating_point() else new.clone()
    return mixed


def for_automix(g: Generator) -> Cases:
    images, masks = torch.randn(5, 1, 2, 3, generator=g), torch.rand(5, 1, 2, 3, generator=g)
    masks = masks * torch.tensor([0.3, 1.0, 1.0, 0.5, 1.0]).view(5, 1, 1, 1)
    lam, labels = torch.tensor([0.9, 0.1, 0.65, 0.75, 0.35]), torch.tensor([0, 2, 1, 2, 3])
    given = images, labels, masks, lam, torch.tensor(CYCLE)
    return [(*given, *torch.randn(2, 4, 6, generator=g), margin) for margin in (0.1, 0.05)]


@written(for_automix, wanted=(2, 5, 6))
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
    off = (masks.mean((1, 2, 3)) - lam).abs() - margin
    return clean, losses[0], losses[1], 0.1 * off.clamp(min=0).mean()


# ------------------------------------------------------------------------------ chapter 6: self-distillation
def for_distillation(g: Generator) -> Cases:
    tiny = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 3.0, 1.0]]), 2.0
    return [tiny, (*(3 * torch.randn(2, 4, 5, generator=g)), 3.0)]


@written(for_distillation, wanted=(0, 1))
def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_p = (teacher.detach() / temperature).log_softmax(1)
    log_q = (student / temperature).log_softmax(1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean()


def for_mixskd(g: Generator) -> Cases:
    cases: Cases = []
    for temperature in (2.0, 3.0):
        logits, mixed, *teacher = 2 * torch.randn(4, 5, 4, generator=g)
        maps = torch.randn(2, 5, 2, 2, 3, generator=g)
        labels = torch.tensor([0, 2, 1, 2, 3])
        cases.append((logits, mixed, *maps, *teacher, labels, LAM, torch.tensor(CYCLE), temperature))
    return cases


@written(for_mixskd, wanted=(0, 1, 2, 3, 4, 5))
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
    def teach(student: Tensor, teacher: Tensor) -> Tensor:
        return distillation(student, teacher, temperature)

    w = lam[:, None]
    share, rows = w[..., None, None], F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    between = w * logits + (1 - w) * logits[partner]
    between_maps = share * maps + (1 - share) * maps[partner]
    soft = w * rows + (1 - w) * rows[partner]
    counted = [F.cross_entropy(one, soft) for one in (mixed, from_between, from_mixed)]
    features = (between_maps - mixed_maps).square().mean()
    branches = teach(between, mixed) + teach(mixed, between)
    crossed = teach(between, from_mixed) + teach(mixed, from_between)
    return F.cross_entropy(logits, labels), torch.stack(counted).sum(), features, branches, crossed


# ------------------------------------------------------------------- chapter 7: patches and their neighbours
def for_patchify(g: Generator) -> Cases:
    tiny, images = torch.arange(8.0).view(1, 1, 2, 4), torch.rand(3, 2, 4, 6, generator=g)
    return [(tiny, 2), (images, 2), (torch.rand(2, 3, 9, 6, generator=g), 3)]


@written(for_patchify)
def patchify(images: Tensor, patch: int) -> Tensor:
    rows, columns = images.shape[2] // patch, images.shape[3] // patch
    cut = images.unflatten(3, (columns, patch)).unflatten(2, (rows, patch))  # (B, C, rows, p, columns, p)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def for_patchmix(g: Generator) -> Cases:
    tiny = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 3).clone()
    images, groups = torch.rand(5, 2, 4, 6, generator=g), torch.tensor([0, 2, 1, 3, 0, 1])
    return [(tiny, torch.tensor([0, 1, 2, 1, 0, 0]), 1), (images, groups, 2)]


@written(for_patchmix)
def patchmix(images: Tensor, groups: Tensor, patch: int) -> Tensor:
    grid = groups.view(-1, images.shape[3] // patch)
    pixels = grid.repeat_interleave(patch, 0).repeat_interleave(patch, 1)  # (H, W)
    mixed = torch.zeros_like(images)
    for g in range(int(groups.max()) + 1):
        mixed = torch.where(pixels == g, images.roll(-g, 0), mixed)
    return mixed


def for_targets(_: Generator) -> Cases:
    three = torch.tensor([[0, 1, 2, 3, 4], [2, 0, 3, 4, 1], [2, 4, 0, 1, 3]])
    return [(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3), (three, 5), (three[[0, 1, 1, 2]], 5)]


@written(for_targets)
def patchmix_targets(sources: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    shares = F.one_hot(sources, batch).float().mean(0)
    return shares, shares @ shares.T


def for_nt_xent(g: Generator) -> Cases:
    cases: Cases = [(torch.eye(3), torch.eye(3)[[0, 2, 1]], 1.0)]
    for temperature in (0.5, 0.2):
        first = F.normalize(torch.randn(5, 3, generator=g), dim=1)
        second = F.normalize(first + 0.5 * torch.randn(5, 3, generator=g), dim=1)
        cases.append((first, second, temperature))
    return cases


@written(for_nt_xent, wanted=(0, 1))
def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    views = torch.cat([first, second])  # (2B, D)
    logits = views @ views.T / temperature  # (2B, 2B)
    logits = logits.masked_fill(torch.eye(len(views), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(views)).roll(len(first)))


def for_contrast(g: Generator) -> Cases:
    tiny = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    queries, keys = torch.randn(4, 3, generator=g), 2 * torch.randn(6, 3, generator=g)
    targets = torch.rand(4, 6, generator=g).mul(4).softmax(1)
    return [(*tiny, torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]), 1.0), (queries, keys, targets, 0.3)]


@written(for_contrast, wanted=(0, 1))
def contrastive_loss(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float) -> Tensor:
    cosines = F.normalize(queries, dim=1) @ F.normalize(keys, dim=1).T  # (B, K)
    return -(targets * (cosines / temperature).log_softmax(1)).sum(1).mean()


def for_knn(g: Generator) -> Cases:
    bank, queries = (
        torch.randn(n, 3, generator=g) * (0.3 + 3 * torch.rand(n, 1, generator=g)) for n in (30, 400)
    )
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 6 + [3] * 6)[torch.randperm(30, generator=g)]
    near, which = (F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T).topk(10)
    votes = (
        torch.zeros(400, 4).scatter_add_(1, labels[which[:, :9]], (near[:, :9] / 0.4).exp()).topk(2).values
    )
    clear = (votes[:, 0] > 1.001 * votes[:, 1]) & (
        near[:, 8] > near[:, 9] + 1e-4
    )  # so that no rounding decides
    tiny = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([2, 0, 0])
    return [(*tiny, torch.tensor([[2.0, 0.5], [0.5, 2.0]]), 2, 0.2), (bank, labels, queries[clear], 9, 0.4)]


@written(for_knn)
def knn_predict(bank: Tensor, labels: Tensor, queries: Tensor, k: int, temperature: float) -> Tensor:
    cosines = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T  # (M, N)
    near, which = cosines.topk(k)
    votes = torch.zeros(len(queries), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[which], (near / temperature).exp())
    return votes.argmax(1)
