"""Small inputs of the exercises, which `exercises.md` lists; and what is observed of answers that draw."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, arange, eye, nn, tensor  # noqa: F401, for lines of inputs

Arguments = tuple[Any, ...]
Samples = dict[str, Tensor]  # of statistics: independent values
LABELS, LAM = tensor([0, 2, 1, 2, 3]), tensor([0.9, 0.3, 0.65, 0.2, 0.45])
PARTNER, SWAPPED = tensor([2, 0, 3, 4, 1]), tensor([1, 0])  # of five images and of two
# Images (3, 1, 24, 32) for which every way of resizing agrees.
RAMPS = 10 * arange(24.0)[:, None] + 3 * arange(32.0) + 1000 * arange(3)[:, None, None, None]
TEXT = Path(__file__).with_name("exercises.md").read_text(encoding="utf-8")
SECTIONS = {name: rest for name, _, rest in (part.partition("\n") for part in TEXT.split("\n## ")[1:])}
INPUTS = {
    name: [compile(f"({line})", name, "eval") for line in re.findall("^input: (.*)", rest, re.M)]
    for name, rest in SECTIONS.items()
}


def calls(name: str, seed: int, draws: int = 0) -> Iterator[tuple[Any, ...]]:
    """Fresh arguments of all calls of an exercise. Answers that draw get them `draws` times and once more."""
    for k in (0, *range(draws)):
        names = {**globals(), "g": Source(seed, 7919 * seed + k)}
        for line in INPUTS[name]:
            yield tuple(one.clone() if isinstance(one, Tensor) else one for one in eval(line, names))


class Source:
    """Random tensors for the lines of inputs, as `g`; `draw` is the seed of generators among the inputs."""

    def __init__(self, seed: int, draw: int) -> None:
        self.generator, self.draw = Generator().manual_seed(seed), draw
        self.rand, self.randn = (partial(one, generator=self.generator) for one in (torch.rand, torch.randn))

    def fresh(self) -> Generator:
        return Generator().manual_seed(self.draw)

    def pair(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (5, 6), labels, partners and λ; images 0 and 2, partners, have one class."""
        return 2 * self.randn(5, 6), tensor([1, 3, 1, 0, 4]), PARTNER, LAM + 0.05 * self.rand(5)

    def hits(self) -> tuple[Tensor, ...]:
        """The same with logits that name the own class, the partner's, another …"""
        _, labels, partner, lam = self.pair()
        named = tensor([1, int(labels[partner[1]]), 5, int(labels[partner[3]]), 4])
        return 4 * F.one_hot(named, 6) + self.rand(5, 6), labels, partner, lam

    def network(self, rate: float) -> tuple[nn.Module, torch.optim.Optimizer]:
        layer = nn.utils.skip_init(nn.Linear, 4, 3, bias=False)
        layer.weight.data = 0.03 * self.randn(3, 4)
        layer.weight.grad = torch.full((3, 4), 0.5)  # left over from an earlier step
        model = nn.Sequential(nn.Flatten(), layer, nn.BatchNorm1d(3, affine=False))
        return model, torch.optim.SGD([layer.weight], rate)

    def predictions(self) -> tuple[Tensor, Tensor]:
        """Probabilities and labels, some right; some confidences are edges of bins that floats hold."""
        probs = (2 * self.randn(60, 4)).softmax(1)
        labels = (probs.argmax(1) + (self.rand(60) < 0.35)) % 4  # doubtful where sure, and sure where not
        probs[:3] = tensor([[0, 1, 0, 0], [0.625, 0.125, 0.125, 0.125], [0.125, 0.75, 0.125, 0]])
        labels[:6] = probs[:6].argmax(1)
        return probs, labels

    def saliency(self, row: int, column: int) -> Tensor:
        found = self.rand(8, 12) * torch.linspace(1, 0.01, 12)
        found[row, column] = 2.0
        return found

    def twin(self, weight: Tensor, seen: int) -> dict[str, Tensor]:
        return {"weight": weight, "running_mean": self.rand(3), "seen": tensor(seen)}

    def views(self) -> tuple[Tensor, Tensor]:
        first = F.normalize(self.randn(5, 3), dim=1)
        return first, F.normalize(first + 0.5 * self.randn(5, 3), dim=1)

    def bank(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, labels and queries, of which no vote is so close that a rounding decides."""
        bank, queries = ((0.3 + 3 * self.rand(n, 1)) * self.randn(n, 3) for n in (30, 400))
        classes = tensor([0] * 12 + [1] * 6 + [2] * 6 + [3] * 6)
        labels = classes[torch.randperm(30, generator=self.generator)]
        near, which = (F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T).topk(10)
        votes = torch.zeros(400, 4).scatter_add_(1, labels[which[:, :9]], (near[:, :9] / 0.4).exp())
        first, second = votes.topk(2).values.T
        return bank, labels, queries[(first > 1.001 * second) & (near[:, 8] > near[:, 9] + 1e-4)]


# ------------------------------------------------- statistics of an answer that draws, of n calls of one case
def of_lam(_: Arguments, lam: Tensor) -> Samples:  # (n, 40)
    each = torch.cat([one.unique() for one in lam])
    return {"λ": each, "the spread of λ in one call": lam.std(1), "the mean λ of one call": lam.mean(1)}


def of_box(case: Arguments, *corners: Tensor) -> Samples:  # (n,) each
    (lam, height, width, _), (x0, y0, x1, y1) = case, corners
    beyond = torch.stack([-x0, -y0, x1 - width, y1 - height, x0 - x1, y0 - y1]).amax(0).clamp(min=0)
    if lam == 1:  # an empty box has no place
        return {"overhang": beyond, "area": (x1 - x0) * (y1 - y0)}
    found = {"overhang": beyond, "width": x1 - x0, "height": y1 - y0, "at the border": (x1 == width).double()}
    return found | {"x0": x0, "y0": y0, "x1": x1, "y1": y1, "x0/W − y0/H": x0 * height / width - y0}


def of_resized(case: Arguments, mixed: Tensor, labels: Tensor) -> Samples:  # (n, 3, 1, 24, 32), (n, 3, 3)
    images, targets, tau, partner, _ = case
    foreign = (mixed - images).abs().amax(2) > 0.01  # (n, B, H, W)
    lam = 1 - foreign.double().mean((2, 3))[..., None]
    expected = lam * targets + (1 - lam) * targets[partner]
    lines = foreign[:, 0].any(1), foreign[:, 0].any(2)  # columns (n, W), rows (n, H)
    low, size = torch.stack([one.int().argmax(1) for one in lines], 1), tensor([32, 24])
    high = size - torch.stack([one.flip(1).int().argmax(1) for one in lines], 1)
    place = low / (size - (high - low)).clamp(min=1)
    off = [
        (one[..., y0:y1, x0:x1] - F.interpolate(images[partner].double(), (y1 - y0, x1 - x0))).abs().max()
        for one, (x0, y0), (x1, y1) in zip(mixed, low.tolist(), high.tolist(), strict=True)
    ]
    return {
        "the sides": (high - low - tau * size).flatten(),
        "the place": place.flatten(),
        "the last place": place.amax(0) if tau > 0.8 else torch.ones(2),  # 4 and 5 places: all occur
        "how far x and y are apart": place[:, 0] - place[:, 1],
        "what is pasted": torch.stack(off),
        "the label beside the pixels": (labels - expected).abs().amax((1, 2)),
        "the own share": labels[:, 0, 0],
    }


def of_mask(_: Arguments, mask: Tensor) -> Samples:  # (n, 24, 40)
    down, across = ((mask.diff(dim=k) != 0).double().mean((1, 2)) for k in (1, 2))
    return {
        "the share of ones": mask.mean((1, 2)),
        "the distance from 0 and 1": torch.minimum(mask.abs(), (1 - mask).abs()).amax((1, 2)),
        "edges from row to row": down,
        "edges from column to column": across,
        "how much more edges lie across than down": (down - across) / (down + across).clamp(min=1e-9),
        "a pixel of the mask": mask[:, 3, 5],
        "what half a turn keeps": (mask == mask.flip(1, 2).roll((1, 1), (1, 2))).double().mean((1, 2)),
    }


PIXELS = dict.fromkeys(("width", "height", "x0", "y0", "x1", "y1", "x0/W − y0/H"), 2.5)
RESIZED = {"the sides": 1.01, "the place": 0.01, "what is pasted": 30.0, "the label beside the pixels": 1e-4}
LAWS: dict[str, tuple[Callable[..., Samples] | None, int, dict[str, float]]] = {  # see `Exercise`
    "sample_lam": (of_lam, 100, {"λ": 1e-4}),
    "sample_box": (of_box, 220, PIXELS),
    "resizemix": (of_resized, 100, RESIZED | {"the own share": 0.05}),
    "fmix_mask": (of_mask, 100, {"the share of ones": 1.01 / 960}),  # a pixel of 24 × 40
}
