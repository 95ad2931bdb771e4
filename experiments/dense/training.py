"""Training by steps on pictures of any size: each step's draws depend on the seed and its number alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixlearn.core.checks import is_count
from mixlearn.core.extras import need
from mixlearn.train import checkpoint as checkpoints
from mixlearn.train.checkpoint import interrupts as Interrupts
from mixlearn.train.checkpoint import own_randomness, seed_rng
from mixlearn.train.fit import History, Optimizer
from mixlearn.train.loaders import epoch_seed
from mixlearn.train.logs import Progress, peak_memory
from mixlearn.train.schedules import Pace, Schedule

View = Callable[..., tuple[Tensor, Any]]  # (image, target, *, generator) → (image, target)


@dataclass(frozen=True)
class Viewed(Dataset[tuple[Tensor, Any]]):
    """Pictures seen through a view whose draws are numbered.

    Args:
        data: gives images and targets.
        view: (image, target, *, generator) → what is trained on.
        seed: of the draws, with the number that comes with an index.

    >>> view = lambda image, target, *, generator: (torch.rand(1, generator=generator), target)
    >>> seen = Viewed([(0, "a"), (0, "b")], view, seed=0)
    >>> seen[0, 5][1], seen[1, 5][0] == seen[0, 5][0], seen[0, 6][0] == seen[0, 5][0]
    ('a', tensor([True]), tensor([False]))
    """

    data: Any
    view: View
    seed: int

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Any]:
        index, number = place
        image, target = self.data[index]
        return self.view(
            image, target, generator=torch.Generator().manual_seed(epoch_seed(self.seed, number))
        )


class Steps(Sampler[list[tuple[int, int]]]):
    """For each step to come which pictures it takes, each with the number of its draws.

    Args:
        count: pictures. batch_size: of a step; what is left over of a pass waits for the next one.
        start, stop: the first step and the one after the last. seed: of the order.

    >>> passes = list(Steps(5, 2, start=0, stop=4, seed=0))
    >>> [[number for _, number in batch] for batch in passes]
    [[0, 1], [2, 3], [4, 5], [6, 7]]
    >>> passes[1:] == list(Steps(5, 2, start=1, stop=4, seed=0))
    True
    """

    def __init__(self, count: int, batch_size: int, *, start: int, stop: int, seed: int) -> None:
        if not 1 <= batch_size <= count:
            raise ValueError(f"batch_size must be between 1 and the {count} pictures, got {batch_size}")
        self.count, self.batch_size, self.start, self.stop, self.seed = count, batch_size, start, stop, seed

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size, order = self.batch_size, []
        for step in range(self.start, self.stop):
            turn, place = divmod(step, self.count // size)
            if not place or step == self.start:
                generator = torch.Generator().manual_seed(epoch_seed(self.seed, turn))
                order = torch.randperm(self.count, generator=generator).tolist()
            chosen = order[place * size : (place + 1) * size]
            yield [(index, step * size + j) for j, index in enumerate(chosen)]


def train_steps(
    model: Any,
    data: Any,
    loss: Callable[[Any, Any], Tensor],
    *,
    view: View,
    collate: Callable[[list[Any]], Any],
    steps: int,
    batch_size: int,
    optimizer: Optimizer,
    schedule: Schedule,
    seed: int = 0,
    workers: int = 0,
    accelerator: str = "auto",
    precision: Any = "32-true",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    progress: bool | str = True,
) -> History:
    """Train a model in place, on one device, and be able to go on after any end.

    Args:
        model: what is trained; weights that need no gradient stay.
        data: a Dataset of images and targets.
        loss: (model, batch) → what is to become small.
        view: (image, target, *, generator) → what is trained on.
        collate: a list of those → a batch.
        steps: of the whole run.
        batch_size: pictures of a step.
        optimizer: makes an optimiser from parameters.
        schedule: (step, steps) → factor of the learning rate.
        seed: of the order, the views and the model's own draws.
        workers: processes that read pictures.
        accelerator, precision: as for Lightning Fabric.
        checkpoint: file written every `checkpoint_every` steps, at the end and at Ctrl-C.
        checkpoint_every: steps; also those after which a row of the history tells the mean loss.
        resume: go on from `checkpoint` if it is there; on a CPU to the same weights, bit for bit.
        progress: show a bar; words are shown in front of it.

    Returns:
        `History`, whose rows tell "step", "loss", "rate" and "seconds".

    Raises:
        ValueError: no steps, or a batch that is empty or larger than the data.
        FloatingPointError: a loss that is not finite; it names the step.
        CheckpointError: a damaged checkpoint, or one of other settings.
        KeyboardInterrupt: Ctrl-C, after the step and the checkpoint were finished.

    >>> data = [(torch.ones(2), 1.0), (-torch.ones(2), -1.0)]
    >>> history = train_steps(
    ...     torch.nn.Linear(2, 1),
    ...     data,
    ...     lambda model, batch: (model(batch[0]) - 1).square().mean(),
    ...     view=lambda image, target, *, generator: (image, target),
    ...     collate=torch.utils.data.default_collate,
    ...     steps=3,
    ...     batch_size=2,
    ...     optimizer=torch.optim.Adam,
    ...     schedule=lambda step, steps: 1.0,
    ...     accelerator="cpu",
    ...     progress=False,
    ... )
    >>> [row["step"] for row in history.epochs]
    [3]
    """
    for name, given in (("steps", steps), ("checkpoint_every", checkpoint_every)):
        if not is_count(given):
            raise ValueError(f"{name} must be a positive integer, got {given!r}")
    if resume and checkpoint is None:
        raise ValueError("resume needs checkpoint=, the file to keep the run in")
    fabric = need("lightning.fabric", "training").Fabric(
        accelerator=accelerator, devices=1, precision=precision
    )
    wrapped = fabric.setup_module(model)
    inner = optimizer([weight for weight in model.parameters() if weight.requires_grad])
    stepper = fabric.setup_optimizers(inner)
    pace = Pace(inner, schedule)
    settings = {"steps": steps, "batch_size": batch_size, "pictures": len(data), "seed": seed}
    history, done, losses = History(), 0, (0, 0.0)  # of losses since the last row, how many and their sum
    if resume and checkpoint is not None and Path(checkpoint).exists():
        done, losses = _restore(checkpoint, settings, model, inner, fabric, history)

    def save() -> None:
        if checkpoint is not None:
            state = {"model": model.state_dict(), "optimizer": inner.state_dict()}
            state["precision"] = fabric.strategy.precision.state_dict()
            place = {"done": done, "losses": losses, "rows": history.epochs, "seconds": history.seconds}
            checkpoints.save(checkpoint, {"settings": settings, "place": place, **state})

    order = Steps(len(data), batch_size, start=done, stop=steps, seed=seed)
    loader: Any = DataLoader(
        Viewed(data, view, seed),
        batch_sampler=order,
        num_workers=workers,
        worker_init_fn=_undisturbed,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),  # else it would draw from the default one
    )
    label, each = progress if isinstance(progress, str) else "", len(data) // batch_size
    bar = Progress(steps, done, shown=bool(progress), label=label)
    already, started = history.seconds, time.perf_counter()
    model.train()
    try:
        with Interrupts() as interrupts, own_randomness(fabric.device):
            for batch in loader:
                seed_rng(epoch_seed(seed, done), fabric.device)
                pace.set(done, steps)
                small = loss(wrapped, fabric.to_device(batch))
                value = float(small.detach())
                if not torch.isfinite(small):
                    raise FloatingPointError(f"the loss of step {done + 1} of {steps} is {value}")
                fabric.backward(small)
                stepper.step()
                stepper.zero_grad()
                done, losses = done + 1, (losses[0] + 1, losses[1] + value)
                bar.step()
                history.seconds = already + time.perf_counter() - started
                if done % checkpoint_every == 0 or done == steps:
                    row = {"step": done, "loss": losses[1] / losses[0]}
                    row |= {"rate": inner.param_groups[0]["lr"], "seconds": round(history.seconds, 3)}
                    history.epochs.append(row)
                    losses = 0, 0.0
                    bar.epoch((done - 1) // each + 1, (steps - 1) // each + 1, row)
                    save()
                if interrupts.asked:
                    save()
                    words = f"; go on with resume=True from {checkpoint}" if checkpoint else ""
                    raise KeyboardInterrupt(f"stopped after {done} of {steps} steps{words}")
    finally:
        bar.close()
    history.peak_memory = peak_memory(fabric.device)
    return history


def _undisturbed(worker: int) -> None:
    """Leave Ctrl-C to the process that trains, which still needs the pictures of its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _restore(
    path: Any, settings: dict[str, Any], model: Any, optimizer: Any, fabric: Any, history: History
) -> tuple[int, tuple[int, float]]:
    """Take up the state of a checkpoint; the steps that it has done, and the losses since the last row."""
    state = checkpoints.load(path)
    if state["settings"] != settings:
        raise checkpoints.CheckpointError(
            f"{path} belongs to a run with {state['settings']}, this one has {settings}"
        )
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as wrong:
        words = " ".join(str(wrong).split())[:300]
        raise checkpoints.CheckpointError(f"{path} holds another model or optimiser: {words}") from wrong
    fabric.strategy.precision.load_state_dict(state["precision"])
    place = state["place"]
    history.epochs, history.seconds = place["rows"], place["seconds"]
    return place["done"], place["losses"]
