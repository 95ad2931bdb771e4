"""PS-KD: a network that learns from what it would have said at the end of the epoch before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mixlearn.core.labels import soft_cross_entropy
from mixlearn.core.scalars import is_count
from mixlearn.lab.learners.twin import Twin
from mixlearn.methods.distill import past_targets


class PSKD(nn.Module):
    """Labels refined by the network's own past: progressive self-knowledge distillation.

    Its term is "labels", soft cross-entropy against `past_targets`. The answers in them are those of a
    snapshot of the network, taken at the end of each epoch, to the same images as they are in this batch.
    Their share a grows from epoch to epoch; in the first there is no past, and a = 0. To predict, use the
    network itself.

    Args:
        net: the network that is to be trained. Only copied.
        epochs: E, as many as `fit` is given.
        end: a in the last epoch; in epoch e = 1, 2, … it is `end` · e / E.
        image_size, generator: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: the targets are the method's own.

    Raises:
        ValueError: epochs that are not a positive number, a share outside [0, 1], or smoothing.

    Source: Kim et al., *Self-Knowledge Distillation with Progressive Refinement of Targets*, ICCV 2021.
    Public code keeps, in place of a snapshot, what the network said of another crop during that epoch.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = PSKD(net, epochs=4)
    >>> shares = []
    >>> for step in range(8):
    ...     learner.advance(step / 8)
    ...     terms = learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1]))
    ...     shares.append(round(learner.share, 2))
    >>> list(terms), shares
    (['labels'], [0.0, 0.0, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8])
    """

    def __init__(
        self,
        net: Any,
        *,
        epochs: int,
        end: float = 0.8,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not is_count(epochs):
            raise ValueError(f"epochs must be a positive integer, got {epochs!r}")
        if not 0 <= end <= 1:
            raise ValueError(f"end must lie in [0, 1], got {end}")
        if smoothing:
            raise ValueError(f"PSKD's targets are its own; smoothing must be 0, got {smoothing}")
        self.epochs, self.end = epochs, end
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        self.past = Twin({"net": net}, momentum=0.0).eval()  # follows at once
        self.epoch = self.taken = 0  # epochs done now, and when the snapshot was taken

    @property
    def share(self) -> float:
        """a of this epoch."""
        return self.end * (self.epoch + 1) / self.epochs if self.epoch else 0.0

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        self.epoch = min(int(progress * self.epochs + 1e-9), self.epochs - 1)

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy against labels and what the network said of the images before.

        Args:
            model, images, labels, generator: as for any learner.
        """
        if self.epoch != self.taken:
            self._take(getattr(model, "module", model))
        past: Tensor | None = None
        if self.share:
            with torch.no_grad(), self.autocast():
                past = self.past["net"](images)
        logits = model(images)
        known = torch.zeros_like(logits) if past is None else past
        return {"labels": soft_cross_entropy(logits, past_targets(labels, known, self.share))}

    def _take(self, net: nn.Module) -> None:
        """Make the snapshot the network as it is now: no step of this epoch has been taken."""
        self.past.follow({"net": net})
        if dist.is_available() and dist.is_initialized():  # processes have running means of their own
            for buffer in self.past.buffers():
                dist.broadcast(buffer, 0)
        self.taken = self.epoch

    def train(self, mode: bool = True) -> PSKD:
        """Set the mode of all but the snapshot, which predicts as in a test."""
        super().train(mode)
        self.past.eval()
        return self

    def get_extra_state(self) -> Tensor:
        """When the snapshot was taken, for a checkpoint."""
        return torch.tensor(self.taken)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up when the snapshot was taken."""
        self.taken = int(state)
