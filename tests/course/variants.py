"""Right answers in other forms than the solutions: loops, other draws, other roundings, lists, float64."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F

from mixlearn import course

RIGHT = {}  # name → answers


def right(answer):
    """Register an answer under the exercise that its name begins with."""
    name = max((one for one in course.exercises() if answer.__name__.startswith(one)), key=len)
    RIGHT.setdefault(name, []).append(answer)
    return answer


def also(name, *answers):
    RIGHT.setdefault(name, []).extend(answers)


def uniform(generator):
    return torch.rand((), generator=generator).item()


# ------------------------------------------------------------------------------------------------- chapter 2
@right
def sample_lam_johnk(n, alpha, generator):  # Jöhnk's rejection
    found = torch.empty(0)
    while len(found) < n:
        x, y = torch.rand(2, 30 * n, generator=generator, dtype=torch.float64) ** (1 / alpha)
        found = torch.cat([found, (x / (x + y))[(x + y > 0) & (x + y <= 1)]])
    return found[:n]


@right
def sample_lam_numpy(n, alpha, generator):
    seed = int(torch.randint(2**31, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n))


@right
def sample_lam_stdlib(n, alpha, generator):
    source = random.Random(int(torch.randint(2**31, (), generator=generator)))
    return torch.tensor([source.betavariate(alpha, alpha) for _ in range(n)])


@right
def soft_labels_loop(labels, partner, lam, num_classes):
    rows = torch.zeros(len(labels), num_classes, dtype=torch.float64)
    for i, j in enumerate(partner.tolist()):
        rows[i, labels[i]] += lam[i]
        rows[i, labels[j]] += 1 - lam[i]
    return rows


@right
def soft_labels_eye(labels, partner, lam, num_classes):
    eye = torch.eye(num_classes)
    return torch.lerp(eye[labels[partner]], eye[labels], lam[:, None])


@right
def soft_labels_scatter(labels, partner, lam, num_classes):
    rows = lam.new_zeros(len(labels), num_classes).scatter_add(1, labels[:, None], lam[:, None])
    return rows.scatter_add(1, labels[partner][:, None], 1 - lam[:, None])


@right
def mixup_loop(images, targets, lam, partner):
    mixed = [
        w * a[i] + (1 - w) * a[j]
        for a in (images, targets)
        for i, (w, j) in enumerate(zip(lam.tolist(), partner.tolist(), strict=True))
    ]
    return torch.stack(mixed[: len(images)]), torch.stack(mixed[len(images) :])


@right
def mixup_lerp(images, targets, lam, partner):
    w = lam.double()
    x = torch.lerp(images.double()[partner], images.double(), w[:, None, None, None])
    return [x, torch.lerp(targets.double()[partner], targets.double(), w[:, None])]


@right
def mixup_einsum(images, targets, lam, partner):
    weights = torch.diag(lam)
    weights[torch.arange(len(lam)), partner] += 1 - lam
    return torch.einsum("ij,jchw->ichw", weights, images), weights @ targets


also("soft_cross_entropy", F.cross_entropy)


@right
def soft_cross_entropy_loop(logits, targets):
    losses = [
        -(t * (z - z.logsumexp(0))).sum() for z, t in zip(logits.double(), targets.double(), strict=True)
    ]
    return sum(losses) / len(losses)


@right
def soft_cross_entropy_log(logits, targets):
    return torch.einsum("bc,bc->", targets, logits.logsumexp(-1, True) - logits) / logits.shape[0]


@right
def pair_cross_entropy_soft(logits, labels, partner, lam):
    rows = F.one_hot(labels, logits.shape[1]) * 1.0
    return F.cross_entropy(logits, lam[:, None] * rows + (1 - lam)[:, None] * rows[partner])


@right
def pair_cross_entropy_gather(logits, labels, partner, lam):
    log = logits.log_softmax(1)
    own, other = (log.gather(1, y[:, None]).squeeze(1) for y in (labels, labels[partner]))
    return -torch.mean(other + lam * (own - other))


@right
def pair_cross_entropy_loop(logits, labels, partner, lam):
    total = 0.0
    for i in range(len(logits)):
        a, b = (F.cross_entropy(logits[i : i + 1], labels[k][None]) for k in (i, partner[i]))
        total = total + lam[i] * a + (1 - lam[i]) * b
    return total / len(logits)


@right
def mixed_accuracy_loop(logits, labels, partner, lam):
    named, total = logits.argmax(1).tolist(), 0.0
    for i, j in enumerate(partner.tolist()):
        total += float(lam[i]) * (named[i] == labels[i]).item()
        total += (1 - float(lam[i])) * (named[i] == labels[j]).item()
    return total / len(named)


@right
def mixed_accuracy_soft(logits, labels, partner, lam):
    rows = torch.eye(logits.shape[1])[labels]
    soft = lam[:, None] * rows + (1 - lam[:, None]) * rows[partner]
    return soft.gather(1, logits.argmax(1, keepdim=True)).mean()


@right
def mixed_accuracy_double(logits, labels, partner, lam):
    named = logits.max(dim=1).indices
    hits = torch.stack([named == labels, named == labels[partner]]).double()
    return (hits * torch.stack([lam, 1 - lam])).sum() / len(lam)


@right
def train_step_soft(model, optimizer, images, labels, lam, partner):
    x, w = images.lerp(images[partner], (1 - lam).view(-1, 1, 1, 1)), lam[:, None]
    z = model(x)
    rows = F.one_hot(labels, z.shape[1]).float()
    soft = w * rows + (1 - w) * rows[partner]
    loss = F.cross_entropy(z, soft)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return loss.item(), soft[torch.arange(len(z)), z.argmax(1)].mean().item()


@right
def train_step_grad(model, optimizer, images, labels, lam, partner):
    model.zero_grad()
    z = model(lam.view(-1, 1, 1, 1) * images + (1 - lam).view(-1, 1, 1, 1) * images[partner])
    a, b = (F.nll_loss(z.log_softmax(1), y, reduction="none") for y in (labels, labels[partner]))
    loss = torch.mean(lam * a + (1 - lam) * b)
    named = z.detach().argmax(1)
    for weight, slope in zip(
        model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        weight.grad = slope
    optimizer.step()
    return float(loss.detach()), float(
        (lam * (named == labels) + (1 - lam) * (named == labels[partner])).mean()
    )


@right
def train_step_tensors(model, optimizer, images, labels, lam, partner):
    loss, accuracy = train_step_soft(model, optimizer, images, labels, lam, partner)
    optimizer.zero_grad()
    return [torch.tensor(loss), torch.tensor(accuracy)]


@right
def ece_bucketize(probs, labels, bins):
    sure, named = probs.max(1)
    which = torch.bucketize(sure, torch.arange(1, bins) / bins)
    off = torch.zeros(bins).index_add(0, which, (named == labels).float() - sure)
    return float(off.abs().sum() / len(probs))


@right
def ece_ceil(probs, labels, bins):
    sure = probs.amax(1).double()
    which, right_ = torch.ceil(sure * bins), (probs.argmax(1) == labels).double()
    return sum(((right_ - sure)[which == b].sum()).abs() for b in which.unique()) / len(sure)


@right
def ece_numpy(probs, labels, bins):
    sure, right_ = probs.max(1).values.numpy(), (probs.argmax(1) == labels).numpy()
    edges, total = np.linspace(0, 1, bins + 1), 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (sure > low) & (sure <= high)
        if inside.any():
            total += inside.mean() * abs(right_[inside].mean() - sure[inside].mean())
    return total


# ------------------------------------------------------------------------------------------------- chapter 3
@right
def sample_box_floored(lam, height, width, generator):  # as published: both halves rounded down, y first
    cut = math.sqrt(1 - lam)
    w, h = int(width * cut), int(height * cut)
    y, x = (int(torch.randint(n, (1,), generator=generator)) for n in (height, width))
    clip = np.clip
    return [
        int(clip(x - w // 2, 0, width)),
        int(clip(y - h // 2, 0, height)),
        int(clip(x + w // 2, 0, width)),
        int(clip(y + h // 2, 0, height)),
    ]


@right
def sample_box_tensors(lam, height, width, generator):
    size = torch.tensor([width, height])
    sides = (size * (1 - lam) ** 0.5).ceil().long()
    start = (torch.rand(2, generator=generator, dtype=torch.float64) * size).floor().long() - (sides + 1) // 2
    return torch.cat([start.clamp(min=0), torch.minimum(start + sides, size).clamp(min=0)])


@right
def sample_box_continuous(lam, height, width, generator):  # the centre anywhere, corners rounded
    corners = []
    for size in (width, height):
        centre, half = uniform(generator) * size, size * math.sqrt(1 - lam) / 2
        corners.append((round(max(centre - half, 0)), round(min(centre + half, size))))
    (x0, x1), (y0, y1) = corners
    return torch.tensor(x0), torch.tensor(y0), torch.tensor(x1), torch.tensor(y1)


@right
def cutmix_mask(images, targets, box, partner):
    height, width = images.shape[-2:]
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    inside = (rows >= box[1]) & (rows < box[3]) & (columns >= box[0]) & (columns < box[2])
    lam = 1 - inside.double().mean()
    return torch.where(inside, images[partner], images), lam * targets + (1 - lam) * targets[partner]


@right
def cutmix_loop(images, targets, box, partner):
    out, soft = [], []
    x0, y0, x1, y1 = (int(k) for k in box)
    share = (x1 - x0) * (y1 - y0) / images[0, 0].numel()
    for i, j in enumerate(partner):
        image = images[i].clone()
        image[..., y0:y1, x0:x1] = images[j, ..., y0:y1, x0:x1]
        out.append(image)
        soft.append((1 - share) * targets[i] + share * targets[j])
    return [torch.stack(out), torch.stack(soft)]


@right
def cutmix_double(images, targets, box, partner):
    x0, y0, x1, y1 = box
    out = images.double()
    out[:, :, y0:y1, x0:x1] = images.double()[partner, :, y0:y1, x0:x1]
    lam = 1 - ((x1 - x0) * (y1 - y0)).double() / (out.shape[-1] * out.shape[-2])
    return out, torch.lerp(targets.double()[partner], targets.double(), lam)


@right
def cutout_mask(images, centres, size):
    rows, columns = torch.arange(images.shape[2])[:, None], torch.arange(images.shape[3])
    x, y = (centres[:, k, None, None, None] - size // 2 for k in (0, 1))
    inside = (rows >= y) & (rows < y + size) & (columns >= x) & (columns < x + size)
    return images.masked_fill(inside, 0)


@right
def cutout_pixels(images, centres, size):
    out = images.clone()
    for i, (x, y) in enumerate(centres.tolist()):
        for row in range(y - size // 2, y - size // 2 + size):
            for column in range(x - size // 2, x - size // 2 + size):
                if 0 <= row < out.shape[2] and 0 <= column < out.shape[3]:
                    out[i, :, row, column] = 0
    return out


@right
def cutout_padded(images, centres, size):
    keep = F.pad(torch.ones_like(images[:, :1]), (size,) * 4).double()
    for one, (x, y) in zip(keep, (centres + size - size // 2).tolist(), strict=True):
        one[:, y : y + size, x : x + size] = 0
    return images.double() * keep[:, :, size:-size, size:-size]


def resized(mode, **options):
    def answer(images, targets, tau, partner, generator):
        height, width = images.shape[2:]
        h, w = int(tau * height), int(tau * width)
        x = int(uniform(generator) * (width - w + 1))
        y = int(uniform(generator) * (height - h + 1))
        out = images.clone()
        out[..., y : y + h, x : x + w] = F.interpolate(images[partner], size=(h, w), mode=mode, **options)
        lam = 1 - (h * w) / (height * width)
        return out, lam * targets + (1 - lam) * targets[partner]

    return answer


also(
    "resizemix",
    resized("bilinear"),
    resized("area"),
    resized("nearest-exact"),
    resized("bilinear", antialias=True),
)


# ------------------------------------------------------------------------------------------------- chapter 4
@right
def fmix_mask_complex(lam, height, width, generator):  # complex noise on the half plane
    f = torch.sqrt(torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2)
    f[0, 0] = 1.0
    noise = torch.randn(2, height, width // 2 + 1, generator=generator)
    field = torch.fft.irfft2(torch.complex(*noise) * f**-3.0, s=(height, width))
    edge = field.flatten().sort(descending=True).values[math.floor(lam * height * width)]
    return (field > edge).float()


@right
def fmix_mask_full(lam, height, width, generator):
    noise = torch.randn(height, width, generator=generator, dtype=torch.float64)
    fy, fx = torch.meshgrid(torch.fft.fftfreq(height), torch.fft.fftfreq(width), indexing="ij")
    f = (fy**2 + fx**2).sqrt().clamp(min=1 / max(height, width))
    field = torch.fft.ifft2(torch.fft.fft2(noise) * f**-3).real
    mask = torch.zeros_like(field).flatten()
    mask[field.flatten().topk(math.ceil(lam * height * width)).indices] = 1
    return mask.reshape(height, width)


@right
def fmix_mask_lowest(lam, height, width, generator):  # the lowest pixels have the same law
    field = fmix_mask_field(height, width, generator)
    return (field <= field.flatten().kthvalue(round(lam * height * width)).values) * 1.0


def fmix_mask_field(height, width, generator):
    f = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :])
    f = torch.where(f > 0, f, torch.inf)
    return torch.fft.irfft2(
        torch.fft.rfft2(torch.randn(height, width, generator=generator)) / f**3, s=(height, width)
    )


@right
def saliency_box_loop(saliency, lam):
    height, width = saliency.shape
    y, x = max(((r, c) for r in range(height) for c in range(width)), key=lambda k: float(saliency[k]))
    corners = []
    for centre, size in ((x, width), (y, height)):
        side = int(math.sqrt(1 - lam) * size + 0.5)
        corners.append([max(centre - side // 2, 0), min(centre - side // 2 + side, size)])
    return [corners[0][0], corners[1][0], corners[0][1], corners[1][1]]


@right
def saliency_box_tensor(saliency, lam):
    size = torch.tensor([saliency.shape[1], saliency.shape[0]])
    centre = (saliency == saliency.max()).nonzero()[0].flip(0)
    sides = (size * (1 - lam) ** 0.5).round().long()
    start = centre - sides // 2
    return torch.cat([start.clamp(min=0), torch.minimum(start + sides, size)])


@right
def saliency_box_unravel(saliency, lam):
    y, x = torch.unravel_index(saliency.argmax(), saliency.shape)
    h, w = (round(math.sqrt(1 - lam) * n) for n in saliency.shape)
    low = (x - w // 2, y - h // 2)
    high = ((low[0] + w).clamp(max=saliency.shape[1]), (low[1] + h).clamp(max=saliency.shape[0]))
    return low[0].clamp(min=0), low[1].clamp(min=0), *high


@right
def mask_energy_loop(mask, own, other, beta):
    n, m = mask.shape
    total = 0.0
    for r in range(n):
        for c in range(m):
            total += float(mask[r, c] * other[r, c] + (1 - mask[r, c]) * own[r, c])
            total += beta * float((mask[r, c] - mask[r + 1, c]) ** 2) if r + 1 < n else 0
            total += beta * float((mask[r, c] - mask[r, c + 1]) ** 2) if c + 1 < m else 0
    return total


@right
def mask_energy_double(mask, own, other, beta):
    z, a, b = (one.double() for one in (mask, own, other))
    return torch.lerp(a, b, z).sum() + beta * sum(((z[1:] - z[:-1]) ** 2).sum() for z in (z, z.T))


@right
def mask_energy_convolved(mask, own, other, beta):
    z = mask[None, None]
    kernels = torch.tensor([[[1.0], [-1.0]]])[None], torch.tensor([[[[1.0, -1.0]]]])
    return (own + mask * (other - own)).sum() + beta * sum(F.conv2d(z, k).pow(2).sum() for k in kernels)


@right
def sinkhorn_absorbed(cost, epsilon, steps):  # potentials in units of cost
    f, g = torch.zeros(len(cost), 1), torch.zeros(1, len(cost))
    even = epsilon * math.log(len(cost))
    for _ in range(steps):
        f = f - even - epsilon * ((f + g - cost) / epsilon).logsumexp(1, keepdim=True)
        g = g - even - epsilon * ((f + g - cost) / epsilon).logsumexp(0, keepdim=True)
    return torch.exp((f + g - cost) / epsilon)


@right
def sinkhorn_softmax(cost, epsilon, steps):
    log = -cost.double() / epsilon
    for _ in range(steps):
        log = log.log_softmax(1).log_softmax(0)
    return log.exp() / len(cost)


@right
def sinkhorn_shifted(cost, epsilon, steps):  # u and v, after the least of each row and column is gone
    low = cost.double() - cost.double().amin(1, keepdim=True)
    kernel = torch.exp(-(low - low.amin(0, keepdim=True)) / epsilon)
    v = torch.ones(len(cost), dtype=torch.float64)
    for _ in range(steps):
        u = 1 / (kernel @ v) / len(cost)
        v = 1 / (kernel.T @ u) / len(cost)
    return torch.diag(u) @ kernel @ torch.diag(v)


# ------------------------------------------------------------------------------------------- chapters 5 and 6
@right
def mix_block_attention(features, lam, partner, look, value, height, width):
    n, _, h, w = features.shape
    own, other = (
        torch.cat([x, s.view(n, 1, 1, 1).expand(n, 1, h, w)], 1).flatten(2).transpose(1, 2)
        for x, s in ((features, lam), (features[partner], 1 - lam))
    )
    s = F.scaled_dot_product_attention(own @ look.T, other @ look.T, (other @ value)[..., None])
    s = s.view(n, 1, h, w).repeat_interleave(height // h, 2).repeat_interleave(width // w, 3)
    return torch.sigmoid(-s)


@right
def mix_block_loop(features, lam, partner, look, value, height, width):
    masks = []
    for i, j in enumerate(partner.tolist()):
        a = torch.cat([features[i].flatten(1).T, lam[i].expand(features[i, 0].numel(), 1)], 1)
        b = torch.cat([features[j].flatten(1).T, (1 - lam[i]).expand(features[i, 0].numel(), 1)], 1)
        s = ((a @ look.T @ (b @ look.T).T) / math.sqrt(len(look))).softmax(-1) @ (b @ value)
        grid = s.view(1, 1, *features.shape[2:])
        masks.append(1 - torch.sigmoid(F.interpolate(grid, size=(height, width))))
    return torch.cat(masks)


@right
def mix_block_double(features, lam, partner, look, value, height, width):
    answer = mix_block_attention(
        *(x.double() for x in (features, lam)), partner, look.double(), value.double(), height, width
    )
    return answer


also(
    "mask_loss",
    lambda m, w, d: F.relu((m.flatten(1).mean(1) - w).abs() - d).mean(),
    lambda m, w, d: (
        sum(((one.mean() - k).abs() - d).clamp(min=0) for one, k in zip(m, w, strict=True)) / len(m)
    ),
    lambda m, w, d: F.softshrink(m.double().mean((1, 2, 3)) - w, d).abs().mean(),
)
also(
    "ema_update",
    lambda s, f, m: {k: torch.lerp(f[k], s[k], m) if s[k].is_floating_point() else f[k] for k in s},
    lambda s, f, m: {
        k: (f[k].double() + m * (s[k].double() - f[k].double()))
        if f[k].dtype == torch.float32
        else f[k].clone()
        for k in f
    },
    lambda s, f, m: dict(reversed([(k, s[k] - (1 - m) * (s[k] - f[k]) if s[k].dim() else f[k]) for k in s])),
)


def automix(detach):
    def answer(images, labels, masks, lam, partner, weight, slow, margin):
        def soft(z):
            rows = F.one_hot(labels, z.shape[1]).to(z.dtype)
            return F.cross_entropy(z, lam[:, None] * rows + (1 - lam[:, None]) * rows[partner])

        fixed = masks.detach() if detach else masks.clone().detach_()
        for_net, for_block = (m * images + (1 - m) * images[partner] for m in (fixed, masks))
        twin = slow.detach() if detach else torch.tensor(slow.tolist())
        off = F.relu((masks.mean((1, 2, 3)) - lam).abs() - margin).mean() / 10
        return [
            F.cross_entropy(F.linear(images.flatten(1), weight), labels),
            soft(F.linear(for_net.flatten(1), weight)),
            soft(F.linear(for_block.flatten(1), twin)),
            off,
        ]

    return answer


def automix_double(images, labels, masks, lam, partner, weight, slow, margin):
    a = images.double(), labels, masks.double(), lam.double(), partner, weight.double(), slow.double(), margin
    return automix(True)(*a)


also("automix_terms", automix(True), automix(False), automix_double)


def kl(student, teacher, t):
    return F.kl_div((student / t).log_softmax(1), (teacher / t).softmax(1), reduction="batchmean") * t**2


also("distillation", lambda student, teacher, t: kl(student, teacher.detach(), t))


@right
def distillation_no_grad(student, teacher, temperature):
    with torch.no_grad():
        p = F.softmax(teacher / temperature, -1)
        entropy = -torch.xlogy(p, p).sum(1).mean()
    return temperature**2 * (F.cross_entropy(student / temperature, p) - entropy)


@right
def distillation_loop(student, teacher, temperature):
    losses = [
        kl(s[None], t[None].detach(), temperature)
        for s, t in zip(student.double(), teacher.double(), strict=True)
    ]
    return torch.stack(losses).mean()


def mixskd(blend, double=False):
    def answer(z, mz, f, mf, tb, tm, labels, lam, partner, t):
        if double:
            z, mz, f, mf, tb, tm, lam = (one.double() for one in (z, mz, f, mf, tb, tm, lam))
        between, maps = blend(z, lam, partner), blend(f, lam, partner)
        soft = blend(F.one_hot(labels, z.shape[1]).to(z.dtype), lam, partner)
        mixed = F.cross_entropy(mz, soft) + F.cross_entropy(tb, soft) + F.cross_entropy(tm, soft)
        branches = kl(between, mz.detach(), t) + kl(mz, between.detach(), t)
        crossed = kl(mz, tb.detach(), t) + kl(between, tm.detach(), t)
        return F.cross_entropy(z, labels), mixed, F.mse_loss(mf, maps), branches, crossed

    return answer


def blended(v, lam, partner):
    return torch.lerp(v[partner], v, lam.view(-1, *[1] * (v.dim() - 1)))


def blended_by_matrix(v, lam, partner):
    weights = torch.diag(lam).scatter_add(1, partner[:, None], (1 - lam)[:, None])
    return torch.einsum("ij,j...->i...", weights, v)


also("mixskd_terms", mixskd(blended), mixskd(blended_by_matrix), mixskd(blended, True))


# ------------------------------------------------------------------------------------------------- chapter 7
also(
    "patchify",
    lambda x, p: x.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(1, 2),
    lambda x, p: F.unfold(x, p, stride=p).transpose(1, 2).unflatten(2, (x.shape[1], p, p)),
    lambda x, p: torch.stack(
        [x[:, :, r : r + p, c : c + p] for r in range(0, x.shape[2], p) for c in range(0, x.shape[3], p)], 1
    ),
)


@right
def patchmix_loop(images, groups, patch):
    out, columns = images.clone(), images.shape[3] // patch
    for n, g in enumerate(groups.tolist()):
        r, c = n // columns * patch, n % columns * patch
        for i in range(len(images)):
            out[i, :, r : r + patch, c : c + patch] = images[
                (i + g) % len(images), :, r : r + patch, c : c + patch
            ]
    return out


@right
def patchmix_gather(images, groups, patch):
    rows, columns = (n // patch for n in images.shape[2:])
    pixel = groups.view(rows, columns).kron(torch.ones(patch, patch, dtype=torch.int64))
    source = (torch.arange(len(images))[:, None, None] + pixel) % len(images)
    return images.gather(0, source[:, None].expand_as(images))


@right
def patchmix_masks(images, groups, patch):
    grid = groups.view(1, 1, -1, images.shape[3] // patch).float()
    pixel = F.interpolate(grid, scale_factor=patch, mode="nearest")
    return sum((pixel == g) * images.double().roll(-int(g), 0) for g in groups.unique())


@right
def patchmix_targets_loop(sources, batch):
    w = torch.zeros(batch, batch, dtype=torch.float64)
    for part in sources.tolist():
        for i, j in enumerate(part):
            w[i, j] += 1 / len(sources)
    return w, torch.mm(w, w.t())


@right
def patchmix_targets_scatter(sources, batch):
    w = torch.zeros(batch, batch).scatter_add_(1, sources.T, torch.full(sources.T.shape, 1 / len(sources)))
    return [w, torch.einsum("ik,jk->ij", w, w)]


@right
def patchmix_targets_equal(sources, batch):
    w = (sources[:, :, None] == torch.arange(batch)).sum(0) / sources.shape[0]
    return w, F.linear(w, w)


@right
def nt_xent_loop(first, second, temperature):
    views, n, losses = torch.cat([first, second]), len(first), []
    for i, one in enumerate(views):
        others = [k for k in range(2 * n) if k != i]
        logits = (views[others] @ one) / temperature
        losses.append(logits.logsumexp(0) - logits[others.index((i + n) % (2 * n))])
    return torch.stack(losses).mean()


@right
def nt_xent_blocks(first, second, temperature):  # a huge number in place of −∞
    own = 1e9 * torch.eye(len(first))
    aa, ab, bb = first @ first.T, first @ second.T, second @ second.T
    right_ = torch.arange(len(first))
    a = F.cross_entropy(torch.cat([ab, aa - own], 1) / temperature, right_)
    b = F.cross_entropy(torch.cat([ab.T, bb - own], 1) / temperature, right_)
    return (a + b) / 2


@right
def nt_xent_interleaved(first, second, temperature):
    views = torch.stack([first, second], 1).flatten(0, 1).double()
    similar = torch.exp(views @ views.T / temperature)
    below = similar.sum(1) - similar.diagonal()
    return -(similar[torch.arange(len(views)), torch.arange(len(views)) ^ 1] / below).log().mean()


also(
    "contrastive_loss",
    lambda q, k, t, e: F.cross_entropy(F.cosine_similarity(q[:, None], k[None], dim=2) / e, t),
    lambda q, k, t, e: F.cross_entropy(
        (q / q.norm(dim=1, keepdim=True)).double() @ (k / k.norm(dim=1)[:, None]).double().T / e, t.double()
    ),
    lambda q, k, t, e: torch.stack(
        [
            -(w * ((F.normalize(k) @ F.normalize(one, dim=0)) / e).log_softmax(0)).sum()
            for one, w in zip(q, t, strict=True)
        ]
    ).mean(),
)


@right
def knn_predict_loop(bank, labels, queries, k, temperature):
    named = []
    for q in queries:
        s = F.cosine_similarity(q[None], bank)
        votes = {}
        for n in s.argsort(descending=True)[:k].tolist():
            votes[int(labels[n])] = votes.get(int(labels[n]), 0.0) + math.exp(float(s[n]) / temperature)
        named.append(max(votes, key=votes.get))
    return named


@right
def knn_predict_one_hot(bank, labels, queries, k, temperature):
    s = (queries / queries.norm(dim=1, keepdim=True)).double() @ (
        bank / bank.norm(dim=1, keepdim=True)
    ).double().T
    s = s.masked_fill(s < s.topk(k).values[:, -1:], -torch.inf)
    return ((s / temperature).exp() @ F.one_hot(labels).double()).argmax(1)


@right
def knn_predict_shifted(bank, labels, queries, k, temperature):  # weights of which the nearest has 1
    near, which = torch.sort(F.normalize(queries) @ F.normalize(bank).T, dim=1, descending=True)
    weights = ((near - near[:, :1])[:, :k] / temperature).exp()
    votes = torch.stack(
        [(weights * (labels[which[:, :k]] == c)).sum(1) for c in range(int(labels.max()) + 1)], 1
    )
    return votes.argmax(1).int()
