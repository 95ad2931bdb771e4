"""Mixing inside Lightning: a callback that hands mixed batches to `training_step` and touches nothing else.

The loss stays the user's. Only the batch changes: images are mixed, labels become soft (B, C) rows, which
`F.cross_entropy` takes as they are. Validation, testing and the sanity check see the data untouched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.extras import array
from mixlearn.core.plan import Mixed
from mixlearn.train.mixing import Place, look_up, put

try:
    from lightning.pytorch.callbacks import Callback
except ImportError as missing:
    raise ImportError('ml.lightning needs Lightning: pip install "mixlearn[lab]"') from missing


class MixBatches(Callback):
    """Mix every training batch of a `lightning.Trainer`.

    Args:
        mix: a `RandomMix`, or any function (images, labels, *, generator) → `Mixed`.
        images, labels: where they are in a batch: positions in a list or tuple, keys of a dict. In a nested
            batch, as a CombinedLoader makes it, paths of these: `images=("labelled", 0)`. Each part of a
            batch may have a callback of its own, with a seed of its own. A loader that has run out gives
            None, which stays None.
        seed: of the draws.
        log_every: write a picture (own images, mixtures, partners, differences) to every logger that takes
            images, each so many epochs; 0 writes none.

    Raises:
        TypeError: a batch that is no list, tuple or dict.
        KeyError, IndexError: a batch without the named images or labels.
        ValueError: a schedule of p in a training without end.

    >>> import mixlearn as ml
    >>> callback = ml.lightning.MixBatches(ml.RandomMix([ml.mixup], num_classes=10))
    >>> type(callback).__name__
    'MixBatches'
    """

    def __init__(
        self,
        mix: Callable[..., Mixed],
        *,
        images: Place = 0,
        labels: Place = 1,
        seed: int = 0,
        log_every: int = 1,
    ) -> None:
        self.mix, self.images, self.labels = mix, images, labels
        self.generator = torch.Generator().manual_seed(seed)
        self.log_every = log_every
        self._logged_epoch = -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Stand in front of `training_step`. The sanity check is over by now."""
        step: Any = pl_module.training_step

        @wraps(step)
        def mixed_step(batch: Any, *args: Any, **kwargs: Any) -> Any:
            return step(self._mixed(batch, trainer), *args, **kwargs)

        vars(mixed_step)["stands_before"] = vars(pl_module).get("training_step")
        pl_module.training_step = mixed_step

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Step aside again: a step of this very module comes back, else that of its class shows."""
        own = vars(pl_module)
        if hasattr(own.get("training_step"), "stands_before"):
            before = own.pop("training_step").stands_before
            own.update({} if before is None else {"training_step": before})

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.on_train_end(trainer, pl_module)

    @property
    def state_key(self) -> str:
        """Its name in checkpoints, in which a callback for one part of a nested batch names the part."""
        name = type(self).__qualname__
        return f"{name}{self.images!r}" if isinstance(self.images, tuple) else name

    def state_dict(self) -> dict[str, Any]:
        """The state of the draws, so that a resumed run goes on as it would have."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.generator.set_state(state_dict["generator"].cpu())

    def _mixed(self, batch: Any, trainer: Any) -> Any:
        """A batch of the same kind with mixed images and soft labels. The batch itself is not changed."""
        images, labels = (look_up(batch, place, "MixBatches") for place in (self.images, self.labels))
        if images is None and labels is None:  # of a loader that has run out before the others
            return batch
        if hasattr(self.mix, "progress"):  # for a schedule of p
            self.mix.progress = self._progress(trainer)
        mixed = self.mix(images, labels, generator=self.generator)
        self._log(images, mixed, trainer)
        return put(put(batch, self.images, mixed.images), self.labels, mixed.targets)

    def _progress(self, trainer: Any) -> float:
        """How far training has come, 0 to 1: in steps, or in epochs where the loader has no known length."""
        steps = trainer.estimated_stepping_batches
        if math.isfinite(steps) and steps >= 1:
            return min(trainer.global_step / steps, 1.0)
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            return min(trainer.current_epoch / trainer.max_epochs, 1.0)
        if callable(getattr(self.mix, "p", None)):
            raise ValueError(
                "a schedule of p needs the length of training, got a Trainer without end; "
                "expected max_steps or max_epochs"
            )
        return 0.0

    def _log(self, images: Tensor, mixed: Mixed, trainer: Any) -> None:
        """Once an epoch, the first mixed batch as a picture."""
        if self.log_every < 1 or images.dim() != 4:
            return
        epoch = trainer.current_epoch
        if epoch % self.log_every or epoch == self._logged_epoch:
            return
        self._logged_epoch = epoch
        grid = mixed_grid(images, mixed)
        for logger in trainer.loggers:
            add_image = getattr(logger.experiment, "add_image", None)
            if callable(add_image):
                add_image("mixed batch", grid, global_step=trainer.global_step)
            elif hasattr(logger, "log_image"):
                logger.log_image(
                    "mixed batch", [array(grid.permute(1, 2, 0), "a log")], step=trainer.global_step
                )


def mixed_grid(images: Tensor, mixed: Mixed, count: int = 8) -> Tensor:
    """Four rows of pictures: own image, mixture, partner, difference between mixture and own image.

    Of three channels and more the first three are shown as red, green and blue, of fewer the first as grey.

    Args:
        images: (B, C, H, W) as they were before mixing, in any units; the grid is scaled to [0, 1].
        mixed: what came of them.
        count: how many columns at most.

    Returns:
        (3 or 1, 4 H, n W) in [0, 1], on the CPU, n = min(B, count).

    >>> import mixlearn as ml
    >>> images = torch.rand(4, 3, 8, 8)
    >>> mixed_grid(images, ml.mixup(images)).shape
    torch.Size([3, 32, 32])
    """
    shown = 3 if images.shape[1] >= 3 else 1
    images, mixtures = images[:, :shown], mixed.images[:, :shown]
    partner = images[mixed.plan.partner][:count]
    own, mixture = images[:count], mixtures[:count]
    low, high = images.amin(), images.amax()
    scale = (high - low).clamp_min(1e-12)
    rows = [(part - low) / scale for part in (own, mixture, partner)]
    rows.append((mixture - own).abs() / scale)
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1).clamp(0, 1).float().cpu()
