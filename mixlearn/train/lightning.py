"""Mixing inside Lightning: `MixBatches` mixes what a LightningModule is trained on, `LearnerModule` is one.

With `MixBatches` the loss stays the user's. Only the batch changes: images are mixed, labels become soft
(B, C) rows, which `F.cross_entropy` takes as they are. Validation, testing and the sanity check see the data
untouched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.plan import Mixed
from mixlearn.nets.taps import logits_of
from mixlearn.train.fit import Optimizer, sgd
from mixlearn.train.loaders import as_pair
from mixlearn.train.logs import image_grid, log_picture
from mixlearn.train.mixing import Place, look_up, put
from mixlearn.train.schedules import Pace, Schedule, Schedules, cosine
from mixlearn.train.terms import Hooks, total_loss, unused_apart

try:
    from lightning.pytorch import LightningModule
    from lightning.pytorch.callbacks import Callback
except ImportError as missing:
    raise ImportError('ml.lightning needs Lightning: pip install "mixlearn[lab]"') from missing


class LearnerModule(LightningModule):
    """A network and a learner for a `lightning.Trainer`: its precision, devices, accumulation and loggers.

    Each term is logged by its name. Validation logs "accuracy" and "nll". Among several processes each mixes
    its own batch; in `fit` all mix the whole batch together.

    Args:
        model: images (B, C, H, W) → whatever the learner reads; in validation logits (B, classes).
        learner, optimizer, schedule, augment, ablate, seed: as for `fit`.

    >>> import mixlearn as ml
    >>> module = LearnerModule(nn.Linear(2, 2), ml.learners.Mixing(ml.mixup, num_classes=2))
    >>> module(torch.zeros(4, 2)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        model: nn.Module,
        learner: Any,
        *,
        optimizer: Optimizer = sgd,
        schedule: Schedule | Schedules | None = cosine,
        augment: Callable[..., Tensor] | None = None,
        ablate: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.learner, self.optimizer, self.schedule = model, learner, optimizer, schedule
        self.augment, self.ablate, self.hooks = augment, tuple(ablate), Hooks(learner)
        self.generator = torch.Generator().manual_seed(seed)
        self._apart = ExitStack()
        self._pace: Pace | None = None

    def forward(self, images: Tensor) -> Any:
        """The network's outputs for images (B, C, H, W)."""
        return self.model(images)

    def setup(self, stage: str) -> None:
        """Keep parts that the learner leaves unused out of training."""
        if stage == "fit":
            self._apart.enter_context(unused_apart(self.learner, self.model))

    def teardown(self, stage: str) -> None:
        """Let those parts train again."""
        self._apart.close()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser of all weights that learn, the learner's own too."""
        made = self.optimizer([weight for weight in self.parameters() if weight.requires_grad])
        self._pace = Pace(made, self.schedule)
        return made

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The sum of the learner's terms for a batch."""
        images, labels = as_pair(batch, self.hooks.reads_labels)
        if self.augment is not None:
            images = self.augment(images, generator=self.generator)
        done, total = _place(self.trainer)
        assert self._pace is not None
        self._pace.set(done, max(total, 1))
        self.hooks.advance(done / max(total, 1))
        terms = self.learner(self.model, images, labels, generator=self.generator)
        loss = total_loss(terms, self.ablate)
        self.log_dict({name: term.detach() for name, term in terms.items()}, batch_size=len(images))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step of the optimiser, then what the learner does after it."""
        super().optimizer_step(*args, **kwargs)
        self.hooks.after_step(self.model)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log accuracy and NLL of a batch."""
        images, labels = as_pair(batch)
        logits = logits_of(self.hooks.deployed(self.model)(images))
        measures = {"accuracy": (logits.argmax(1) == labels).float().mean()}
        measures["nll"] = F.cross_entropy(logits, labels)  # type: ignore[arg-type]
        self.log_dict(measures, batch_size=len(images), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the state of the generator."""
        checkpoint["draws"] = self.generator.get_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the state of the generator."""
        self.generator.set_state(checkpoint["draws"].cpu())


class MixBatches(Callback):
    """Mix every training batch of a `lightning.Trainer`.

    Args:
        mix: a `RandomMix`, or any function (images, labels, *, generator) → `Mixed`.
        images, labels: where they are in a batch: positions in a list or tuple, keys of a dict. In a nested
            batch, as a CombinedLoader makes it, paths of these: `images=("labelled", 0)`. Each part of a
            batch may have a callback of its own, with a seed of its own. A loader that has run out gives
            None, which stays None.
        seed: of the draws.
        log_every: give a picture of mixed images to every logger that takes images, each so many epochs; 0
            gives none.

    Raises:
        TypeError: a batch that is no list, tuple or dict.
        KeyError, IndexError: a batch without the named images or labels.
        ValueError: a schedule of p in a training without end.

    >>> import mixlearn as ml
    >>> callback = ml.lightning.MixBatches(ml.RandomMix([ml.mixup], num_classes=10))
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
        self._shows = False  # a picture of the next batch

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Wrap the module's `training_step`. The sanity check is over by now."""
        step: Any = pl_module.training_step

        @wraps(step)
        def mixed_step(batch: Any, *args: Any, **kwargs: Any) -> Any:
            return step(self._mixed(batch, trainer), *args, **kwargs)

        vars(mixed_step)["stands_before"] = vars(pl_module).get("training_step")
        pl_module.training_step = mixed_step

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Show the first batch of every epoch whose turn it is."""
        self._shows = self.log_every > 0 and trainer.current_epoch % self.log_every == 0

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Give the module its own `training_step` back."""
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
            done, total = _place(trainer)
            if not total and callable(getattr(self.mix, "p", None)):
                raise ValueError(
                    "a schedule of p needs the length of training, got a Trainer without end; "
                    "expected max_steps or max_epochs"
                )
            self.mix.progress = done / max(total, 1)
        mixed = self.mix(images, labels, generator=self.generator)
        if self._shows and mixed.images.dim() == 4:
            self._shows = False
            for logger in trainer.loggers:
                log_picture(logger, "mixed batch", image_grid(mixed.images), trainer.global_step)
        return put(put(batch, self.images, mixed.images), self.labels, mixed.targets)


def _place(trainer: Any) -> tuple[int, int]:
    """How far training has come, of how much: in steps, or in epochs where the loader has no known length.

    (0, 0) where training has no end.
    """
    steps = trainer.estimated_stepping_batches
    if math.isfinite(steps) and steps >= 1:
        return min(trainer.global_step, int(steps)), int(steps)
    epochs = max(trainer.max_epochs or 0, 0)
    return min(trainer.current_epoch, epochs), epochs
