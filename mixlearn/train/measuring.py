"""What a network did on test sets, and how much memory the process took."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.measure import evaluate
from mixlearn.nets.taps import evaluation


def measure_all(
    model: nn.Module, sets: Any, call: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """`measure.evaluate` of one test set, or of each in a dict under "name/measure".

    Args:
        model: put into evaluation mode and back.
        sets: an `ImageSet`, a DataLoader, or a dict of them.
        call: what computes the logits in place of the model itself.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    found = {}
    with evaluation(model):
        for name, data in (sets if isinstance(sets, dict) else {"": sets}).items():
            measured = evaluate(call or model, data, device=device)
            found.update({f"{name}/{key}" if name else key: value for key, value in measured.items()})
    return found


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak: of the accelerator, else of this process since it started (0 where not told)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
