"""The plane lab: points of two or three classes, three ways to augment them, and what a model answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixlearn.page.widget import Rule, one_of, widget, within

WAYS, MOST = ("none", "jitter", "Mixup"), 40
STRENGTH = within(1e-3, 100)
# Twenty-four points on two sides of a line; two of them have the label of the other side.
BELOW = [
    *[(-0.84, 0.42), (-0.62, 0.18), (-0.88, -0.1), (-0.3, -0.06), (-0.56, -0.34), (-0.9, -0.62)],
    *[(-0.24, -0.46), (-0.6, -0.82), (-0.1, -0.84), (0.22, -0.6), (0.52, -0.88), (-0.36, 0.16)],
]
ABOVE = [
    *[(-0.5, 0.9), (-0.16, 0.54), (0.14, 0.86), (0.2, 0.18), (0.46, 0.58), (0.8, 0.86)],
    *[(0.84, 0.4), (0.5, -0.14), (0.86, -0.06), (0.78, -0.5), (-0.1, 0.26), (0.32, -0.3)],
]
WRONG = (4, 16)  # (-0.56, -0.34) and (0.46, 0.58)


def plane_lab(
    augmentation: str = "none",
    *,
    points: Sequence[Sequence[float]] | None = None,
    labels: Sequence[int] | None = None,
    jitter: float = 0.2,
    alpha: float = 1.0,
    together: bool = False,
) -> Any:
    """Move points of two or three classes, and see what a model trained on them predicts in between.

    The model is logistic regression on 64 fixed hinges max(0, a·x + b): a network of two layers of which the
    last one is trained, by Newton's method, on the points, on 16 moved copies of each, or on all mixtures of
    two at four shares λ. Three classes have a model each. Under Mixup the lab then also says how many
    mixtures of two classes land among the points of the third.

    Args:
        augmentation: "none", "jitter" or "Mixup", to begin with.
        points: (N, 2) numbers in [−1, 1], up to 40 points; None takes 24, two of which have a wrong label.
        labels: (N,) their classes: 0 or 1, or 0, 1 and 2.
        jitter: standard deviation of the noise.
        alpha: of Mixup's Beta(α, α).
        together: whether a point that is moved takes its whole class along.

    Returns:
        A widget with the traits `augmentation`, `points`, `labels`, `jitter`, `alpha` and `together`.

    >>> plane_lab("Mixup", points=[(-0.5, 0), (0.5, 0)], labels=[0, 1]).alt
    'Plane lab: 2 points of two classes, trained with Mixup'
    """
    if (points is None) != (labels is None):
        raise ValueError("points and labels belong together: give both or neither")
    if points is None or labels is None:
        points = BELOW + ABOVE
        labels = [int(i >= len(BELOW)) ^ int(i in WRONG) for i in range(len(points))]
    rules: dict[str, Rule] = {
        "augmentation": one_of(WAYS),
        "points": lambda lab, value: _places(value, len(lab.points)),
        "labels": lambda lab, value: _classes(value, len(lab.labels)),
        "jitter": STRENGTH,
        "alpha": STRENGTH,
    }
    state = {
        "points": [[float(v) for v in point] for point in points],
        "labels": [int(label) for label in labels],
        "augmentation": augmentation,
        "jitter": float(jitter),
        "alpha": float(alpha),
        "together": bool(together),
    }
    if not 2 <= len(points) <= MOST:
        raise ValueError(f"points must hold 2…{MOST} points, got {len(points)}")
    wrong = {
        "points": _places(state["points"], len(points)),
        "labels": _classes(state["labels"], len(points)),
        "augmentation": rules["augmentation"](None, augmentation),
        "jitter": STRENGTH(None, jitter),
        "alpha": STRENGTH(None, alpha),
    }
    for name, problem in wrong.items():
        if problem:
            raise ValueError(f"{name} must {problem}, got {state[name]!r}")
    many = "three" if 2 in labels else "two"
    how = "without augmentation" if augmentation == "none" else f"with {augmentation}"
    words = f"Plane lab: {len(points)} points of {many} classes, trained {how}"
    return widget("plane_lab", state, "", words, rules)


def _places(points: Any, count: int) -> str | None:
    """Why these are no places of `count` points."""
    fine = len(points) == count and all(len(p) == 2 and all(-1 <= v <= 1 for v in p) for p in points)
    return None if fine else f"hold {count} pairs of numbers in [−1, 1]"


def _classes(labels: Any, count: int) -> str | None:
    fine = len(labels) == count and all(label in (0, 1, 2) for label in labels)
    return None if fine else f"hold {count} classes, 0, 1 or 2"
