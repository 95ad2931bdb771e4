"""`fit`: train any network with any learner, on any device, and be able to go on after any end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.checks import is_count
from mixlearn.core.extras import need
from mixlearn.core.processes import torchrun
from mixlearn.train.schedules import Schedule, Schedules, cosine
from mixlearn.train.unused import set_aside

Optimizer = Callable[[Iterable[Any]], torch.optim.Optimizer]


def sgd(
    parameters: Iterable[Any],
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    nesterov: bool = True,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with the settings usual for small images; change them with `partial`."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)


@dataclass
class History:
    """What a run did.

    `epochs` holds a dict an epoch: "epoch", "loss", each loss term, "rate", "seconds", and the measures of
    `validate`. `averaged` holds the averaged weights where `ema` was given. `seconds` counts training and
    validation, over all sittings; `peak_memory` is in bytes (of the accelerator, else of this process).
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    averaged: dict[str, Tensor] | None = None
    seconds: float = 0.0
    peak_memory: int = 0

    @property
    def last(self) -> dict[str, float]:
        """The last epoch."""
        if not self.epochs:
            raise ValueError("the history holds no epoch yet")
        return self.epochs[-1]


@dataclass
class Job:
    """The arguments of `fit`, as the loop reads them."""

    model: nn.Module
    data: Any
    learner: Any
    epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule | Schedules | None
    augment: Callable[..., Tensor] | None
    ema: float | None
    clip: float | None
    seed: int
    validate: Any
    validate_every: int
    checkpoint: str | os.PathLike[str] | None
    checkpoint_every: int | None
    resume: bool
    ablate: tuple[str, ...]
    log: Any
    progress: bool | str
    channels_last: bool


def fit(
    model: nn.Module,
    data: Any,
    learner: Any,
    *,
    epochs: int,
    batch_size: int = 128,
    optimizer: Optimizer | None = None,
    schedule: Schedule | Schedules | None = cosine,
    augment: Callable[..., Tensor] | None = None,
    precision: Any = "32-true",
    accelerator: str = "auto",
    devices: int | str = 1,
    strategy: Any = "auto",
    ema: float | None = None,
    clip: float | None = None,
    seed: int = 0,
    validate: Any = None,
    validate_every: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    ablate: Sequence[str] = (),
    log: Any = None,
    progress: bool | str = True,
    channels_last: bool | None = None,
) -> History:
    """Train a network in place.

    Args:
        model: images (B, C, H, W) → whatever the learner reads.
        data: an `ImageSet`, a DataLoader of (images, labels), or a Dataset. `batch_size` counts the images
            of all processes together; a DataLoader brings its own, for each process.
        learner: `learner(model, images, labels, *, generator)` → dict of loss terms, which are added up.
        epochs: passes over the data.
        optimizer: makes an optimiser from parameters; None takes `sgd`.
        schedule: (step, steps) → factor of the learning rate, or one for each group of the optimiser; a
            `WithDecay` has one of the weight decay too; None keeps the rate.
        augment: `augment(images, *, generator)` on each batch, before the learner.
        precision, accelerator, devices, strategy: as for Lightning Fabric. For two processes on one CPU:
            `accelerator="cpu", devices=2, strategy="ddp_fork"`. Under `torchrun` its processes are used.
            Gradients are those of one process on the whole batch (`mixlearn.core.processes` says how).
        ema: decay of a moving average of the weights, e.g. 0.999.
        clip: largest norm of all gradients together.
        seed: of the order, the draws and the network's own randomness (dropout).
        validate: an `ImageSet`, a DataLoader, or a dict of them, measured after each `validate_every`
            epochs and after the last (with the averaged weights too, under "ema/…").
        checkpoint: file written after each epoch, every `checkpoint_every` steps, and at Ctrl-C.
        resume: go on from `checkpoint` if it is there. On a CPU the weights become those of an unbroken run,
            bit for bit; on a GPU too where its kernels are deterministic.
        ablate: loss terms that are logged but not added.
        log: a folder (CSV and mixed-image grids), a log, or several; see `mixlearn.train.logs`.
        progress: show a bar; words are shown in front of it.
        channels_last: memory layout of the network; None takes it with 16-bit precision.

    Returns:
        `History`: the epochs, the averaged weights, time and memory.

    Raises:
        ValueError: a bad argument, or an image that is not finite (it names epoch, batch and images).
        FloatingPointError: a loss that is not finite (it names epoch, step and terms).
        CheckpointError: a truncated or foreign checkpoint, or one of other settings.
        KeyboardInterrupt: Ctrl-C, after the step and the checkpoint were finished.

    >>> from torch.utils.data import TensorDataset
    >>> from mixlearn.methods.learners import Plain
    >>> data = TensorDataset(torch.randn(16, 2), torch.arange(16) % 2)
    >>> history = fit(nn.Linear(2, 2), data, Plain(), epochs=2, batch_size=8, progress=False)
    >>> len(history.epochs), "labels" in history.last
    (2, True)
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("validate_every", validate_every)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive integer, got {value!r}")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1 step, got {checkpoint_every}")
    if (resume or checkpoint_every) and checkpoint is None:
        raise ValueError("resume and checkpoint_every need checkpoint=, the file to keep the run in")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be a positive norm, got {clip}")
    if isinstance(ablate, str):
        raise TypeError(
            f"ablate must be a sequence of term names, got the string {ablate!r}; write ({ablate!r},)"
        )
    job = Job(
        model=model,
        data=data,
        learner=learner,
        epochs=int(epochs),
        batch_size=int(batch_size),
        optimizer=optimizer or sgd,
        schedule=schedule,
        augment=augment,
        ema=ema,
        clip=clip,
        seed=seed,
        validate=validate,
        validate_every=int(validate_every),
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        ablate=tuple(ablate),
        log=log,
        progress=progress,
        channels_last=str(precision).startswith(("16", "bf16")) if channels_last is None else channels_last,
    )
    fabric = _fabric(precision, accelerator, devices, strategy)
    with set_aside(learner, model):
        return _launch(fabric, job)


def _fabric(precision: Any, accelerator: str, devices: Any, strategy: Any) -> Any:
    Fabric = need("lightning.fabric", "ml.fit").Fabric
    make = partial(Fabric, accelerator=accelerator, precision=precision)
    spread = torchrun()
    if spread is not None:
        here, machines = spread
        return make(devices=here, num_nodes=machines, strategy="ddp" if strategy == "auto" else strategy)
    return make(devices=devices, strategy=strategy)


def _launch(fabric: Any, job: Job) -> History:
    """Run the loop in this process, or in forked or spawned ones whose weights are then copied back here."""
    from mixlearn.train.interrupts import Interrupts
    from mixlearn.train.loop import Interrupted, train

    launcher = fabric.strategy.launcher
    if launcher is None or not launcher.__class__.__name__.startswith("_MultiProcessing"):
        fabric.launch()
        history = train(fabric, job)
        if isinstance(history, Interrupted):
            raise KeyboardInterrupt(history.words)
        return history
    # Weights come back through a file: the launcher's pipe holds 64 KiB and is read only at the end.
    with tempfile.TemporaryDirectory() as folder, Interrupts():  # the processes take Ctrl-C, save and return
        fabric.launch(_in_process, job, Path(folder))
        state = torch.load(Path(folder) / "result.pt", weights_only=True)
    job.model.load_state_dict(state["model"])
    if state["learner"] is not None:
        job.learner.load_state_dict(state["learner"])
    if state["words"] is not None:
        raise KeyboardInterrupt(state["words"])
    return History(**state["history"])


def _in_process(fabric: Any, job: Job, folder: Path) -> None:
    from mixlearn.train.loop import Interrupted, train

    result = train(fabric, job)
    if fabric.global_rank == 0:
        words = result.words if isinstance(result, Interrupted) else None
        history = {} if isinstance(result, Interrupted) else dict(vars(result))
        learnt = job.learner.state_dict() if isinstance(job.learner, nn.Module) else None
        state = {"words": words, "history": history, "model": job.model.state_dict(), "learner": learnt}
        torch.save(state, folder / "result.pt")
