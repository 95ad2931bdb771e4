"""The bins lab: one network's predictions in a reliability diagram, with as many bins as one likes."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import check_predictions
from mixlearn.page.host import ASSETS
from mixlearn.page.widget import one_of, widget, within

FILE = ASSETS / "bins.json"  # written by data/make_bins.py
MOST, LEAST = 100, 10  # bins; predictions


def bins_lab(
    bins: int = 15,
    kind: str = "width",
    *,
    used: int | None = None,
    logits: Tensor | None = None,
    labels: Tensor | None = None,
) -> Any:
    """Change the bins of a reliability diagram, and see what that does to the calibration error.

    Beside it is what a calibrated network with the same confidences gets on average: its answers are drawn,
    each right with the probability of its confidence.

    Args:
        bins: how many to begin with, 1 to 100.
        kind: "width" for bins of equal width, as in `ml.measure.calibration`, or "mass" for bins that hold
            equally many predictions.
        used: how many of the predictions, from the first on; None takes all.
        logits: (N, C) of your own network, N at least 10. None takes the predictions of the mask studio's
            classifier for the 2,200 test images of Emoji Scenes, in random order.
        labels: (N,) integer class ids, if there are logits.

    Returns:
        A widget with the traits `bins`, `kind` and `used`.

    >>> bins_lab(30, used=500).alt
    'Bins lab: 500 predictions in 30 bins of equal width'
    """
    if (logits is None) != (labels is None):
        raise ValueError("logits and labels belong together: give both or neither")
    signed = json.loads(FILE.read_text()) if logits is None or labels is None else predicted(logits, labels)
    rules = {
        "bins": within(1, MOST),
        "kind": one_of(("width", "mass")),
        "used": within(LEAST, len(signed)),
    }
    state = {"predictions": signed, "bins": bins, "kind": kind, "used": len(signed) if used is None else used}
    for name, rule in rules.items():
        if wrong := rule(None, state[name]):
            raise ValueError(f"{name} must {wrong}, got {state[name]!r}")
    words = f"Bins lab: {state['used']} predictions in {bins} bins of equal {kind}"
    return widget("bins_lab", state, "", words, rules)


def predicted(logits: Tensor, labels: Tensor) -> list[float]:
    """The confidence of each prediction, to four places, and negative where the prediction is wrong.

    >>> predicted(torch.tensor([[0.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 0]))
    [0.5, -0.9999]
    """
    check_predictions(logits, labels)
    sure, named = logits.detach().double().softmax(1).max(1)
    return torch.where(named == labels, sure, -sure).mul(1e4).round().div(1e4).tolist()
