"""Make mixlearn/page/assets/ledger.json: which loss term of MixSKD teaches what, as autograd has it.

    python data/make_ledger.py           # seconds, on one CPU core

A tiny network with MixSKD's parts has its values and weights moved a little, one place after another: a term
that changes depends on the place. Autograd says whether a gradient comes back.
"""

import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixlearn.core.plan import MixPlan
from mixlearn.methods.mixskd import TERMS, MixSKD, Views, as_map, mixskd_terms
from mixlearn.nets.resnet import resnet
from mixlearn.page.ledger import FILE, PARTS, VALUES, Arrow, parts_of

STEP = 3e-3  # of the moves
ROUNDING, NEAR = 0.02, 0.2  # slopes that rounding alone may give; how near those are that agree
Slopes = dict[str, dict[str, float]]
_Watch = Callable[[str, Sequence[Tensor]], list[Tensor]]


class _Between(Views):
    """What the branches say of the images, with a watch on what is interpolated."""

    watch: _Watch

    def blended(self, plan: MixPlan) -> Views:
        return _watched("interpolated", super().blended(plan), self.watch)


def _watched(lane: str, views: Views, watch: _Watch) -> Views:
    logits = [
        *watch(f"{lane} branch logits", views.logits[:-1]),
        *watch(f"{lane} own logits", views.logits[-1:]),
    ]
    return Views(watch(f"{lane} maps", views.maps), logits)


class _Teacher(nn.Module):
    """A self-teacher with a watch on its answers."""

    def __init__(self, teacher: nn.Module, watch: _Watch) -> None:
        super().__init__()
        self.teacher, self.watch = teacher, watch
        self.kept: dict[str, list[Tensor]] = {}

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        lane = "mixed" if maps is self.kept["mixed maps"] else "interpolated"
        return self.watch(f"teacher on {lane}", [self.teacher(maps)])[0]


class TinyNet:
    """A tiny network with MixSKD's parts, whose values and weights can be moved."""

    def __init__(self, critics_learn: bool = True) -> None:
        draws = torch.Generator().manual_seed(3)
        self.net = resnet(8, 3, width=4, generator=draws).double().eval()
        self.learner = MixSKD(self.net, critics_learn=critics_learn, generator=draws).double().eval()
        self.learner.teacher.head.weight.data *= 100  # its first answers are all but even
        self.images = 3 * torch.randn(4, 3, 8, 8, generator=draws).double()
        self.labels, lam = torch.tensor([0, 1, 2, 0]), torch.tensor([0.7, 0.4, 0.8, 0.3]).double()
        self.plan = MixPlan.pair(torch.tensor([1, 2, 3, 0]), lam)
        self.parts = parts_of(self.net, self.learner)
        self.kept: dict[str, list[Tensor]] = {}
        self.terms()
        self.ways = {
            place: [torch.randn(value.shape, generator=draws).double() for value in values]
            for place, values in self._places().items()
        }

    def terms(self, nudged: str = "", step: float = 0.0, adversarial: bool = False) -> dict[str, Tensor]:
        """The terms of one batch, with the values of one place moved."""
        self.kept = {}

        def watch(place: str, values: Sequence[Tensor]) -> list[Tensor]:
            ways = self.ways[place] if place == nudged else [torch.zeros(())] * len(values)
            self.kept[place] = [value + step * way for value, way in zip(values, ways, strict=True)]
            return self.kept[place]

        clean, mixed = self._said(self.images), self._said(self.plan.mix(self.images))
        between = _Between(clean.maps, watch("clean logits", clean.logits))
        between.watch = watch
        teacher = _Teacher(self.learner.teacher, watch)
        teacher.kept = self.kept
        rest = self.plan, self.labels, teacher, list(self.learner.critics)
        return mixskd_terms(between, _watched("mixed", mixed, watch), *rest, adversarial=adversarial)

    def _places(self) -> dict[str, list[Tensor]]:
        return {place: self.kept[place] for place in VALUES} | self.parts

    def _said(self, images: Tensor) -> Views:
        """What all branches say of images; the network itself comes last."""
        seen: dict[str, Tensor] = {}
        answers = self.net(images, tap=lambda name, features: seen.setdefault(name, features))
        said = [branch(seen[branch.stage]) for branch in self.learner.side]  # type: ignore[index]
        said.append((as_map(seen[self.learner.final]), answers))
        return Views([maps for maps, _ in said], [logits for _, logits in said])

    def autograd(self, adversarial: bool) -> Slopes:
        """How fast each term rises along the way of each place, as autograd has it."""
        terms, places = self.terms(adversarial=adversarial), self._places()
        return {
            name: {place: self._slope(term, values, place) for place, values in places.items()}
            for name, term in terms.items()
        }

    def _slope(self, term: Tensor, values: list[Tensor], place: str) -> float:
        if not values[0].requires_grad:
            return 0.0
        grads = torch.autograd.grad(term, values, retain_graph=True, allow_unused=True)
        pairs = zip(grads, self.ways[place], strict=True)
        return sum(float((grad * way).sum()) for grad, way in pairs if grad is not None)

    @torch.no_grad()
    def moved(self) -> Slopes:
        """The same by finite differences, which no stopping of gradients touches."""
        found: Slopes = {name: {} for name in TERMS}
        for place in (*VALUES, *PARTS):
            up, down = (self._at(place, sign * STEP) for sign in (1, -1))
            for name in TERMS:
                found[name][place] = float(up[name] - down[name]) / (2 * STEP)
        return found

    def _at(self, place: str, step: float) -> dict[str, Tensor]:
        """The terms with one place moved."""
        if place in VALUES:
            return self.terms(place, step)
        before = [weight.clone() for weight in self.parts[place]]
        for weight, way in zip(self.parts[place], self.ways[place], strict=True):
            weight += step * way
        found = self.terms()
        for weight, old in zip(self.parts[place], before, strict=True):
            weight.copy_(old)
        return found


def arrow(moved: float, plain: float, slope: float, value: bool) -> Arrow:
    """From the slope that a move shows, and those of autograd, not adversarial and as asked."""
    if not slope:
        return Arrow("detached" if abs(moved) > ROUNDING else "none", 0, False)
    stopped = value and abs(abs(slope) - abs(moved)) > NEAR * abs(moved)
    return Arrow("gradient", -1 if slope * plain < 0 else 1, stopped)


def table() -> dict[str, dict[str, dict[str, Arrow]]]:
    """The arrows that there are, by "01" for not adversarial and critics that learn, term and place."""
    moved, plain = TinyNet().moved(), TinyNet().autograd(False)
    found: dict[str, dict[str, dict[str, Arrow]]] = {}
    for adversarial in (False, True):
        for critics_learn in (False, True):
            slopes = TinyNet(critics_learn).autograd(adversarial)
            rows = {
                term: {
                    place: arrow(moved[term][place], plain[term][place], slopes[term][place], place in VALUES)
                    for place in (*VALUES, *PARTS)
                }
                for term in TERMS
            }
            found[f"{adversarial:d}{critics_learn:d}"] = {
                term: {place: each for place, each in row.items() if each.state != "none"}
                for term, row in rows.items()
            }
    return found


def main() -> None:
    """Write the table, a line for each term."""
    forms = []
    for form, rows in table().items():
        lines = [f'  "{term}": {json.dumps(row)}' for term, row in rows.items()]
        forms.append(f' "{form}": {{\n' + ",\n".join(lines) + "\n }")
    FILE.write_text("{\n" + ",\n".join(forms) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
