"""The training loop behind `fit`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixlearn.core.fast import sent
from mixlearn.core.processes import Shared, any_process, average_gradients
from mixlearn.train.averages import WeightAverage
from mixlearn.train.feeds import Batch, as_feed, epoch_seed
from mixlearn.train.fit import History, Job
from mixlearn.train.interrupts import Interrupts
from mixlearn.train.logs import as_logs, image_grid
from mixlearn.train.measuring import measure_all, peak_memory
from mixlearn.train.pace import Pace
from mixlearn.train.progress import Progress
from mixlearn.train.saving import own_randomness, restore, save, seed_rng, set_rng
from mixlearn.train.watch import Watch, check_images, finite, total_loss


class Interrupted(NamedTuple):
    """A run that Ctrl-C ended between two steps."""

    words: str


class Loop:
    """The state of one run: all that a checkpoint holds, and what reads and writes it."""

    def __init__(self, fabric: Any, job: Job) -> None:
        self.fabric, self.job = fabric, job
        self.device, self.rank, self.world = fabric.device, fabric.global_rank, fabric.world_size
        if job.channels_last:
            job.model.to(memory_format=torch.channels_last)
        self.trained = nn.ModuleList(m for m in (job.model, job.learner) if isinstance(m, nn.Module))
        wrapped = fabric.setup_module(job.model)
        self.own_learner = job.learner if isinstance(job.learner, nn.Module) else None
        if self.own_learner is not None:
            fabric.to_device(self.own_learner)
        parameters = [p for p in self.trained.parameters() if p.requires_grad]
        self.optimizer = job.optimizer(parameters)
        self.stepper = fabric.setup_optimizers(self.optimizer)
        self.pace = Pace(self.optimizer, job.schedule)
        self.model = Shared(wrapped, self.rank, self.world) if self.world > 1 else wrapped
        self.feed = as_feed(job.data, job.batch_size, job.seed, self.rank, self.world, self.device)
        self.total = job.epochs * len(self.feed)
        self.average = None if job.ema is None else WeightAverage(job.model, job.ema)
        self.draws = torch.Generator().manual_seed(epoch_seed(job.seed, 0))
        self.history = History()
        self.step = self.epoch = self.batch = 0  # steps, epochs and batches of this epoch done
        self.watch = self._new_watch()
        self.rng: dict[str, Any] | None = None
        self.logs = as_logs(job.log) if self.rank == 0 else []

    def _new_watch(self) -> Watch:
        return Watch(1 if self.device.type == "cpu" else 16)

    def where(self) -> str:
        return f"epoch {self.epoch + 1}, batch {self.batch + 1} (step {self.step + 1})"

    def run(self) -> History | Interrupted:
        """All epochs that are still to do."""
        job = self.job
        label = job.progress if isinstance(job.progress, str) else ""
        bar = Progress(self.total, self.step, shown=bool(job.progress) and self.rank == 0, label=label)
        try:
            with Interrupts() as interrupts, own_randomness(self.device), self._told_precision():
                while self.epoch < job.epochs:
                    started = time.perf_counter()
                    seed_rng(epoch_seed(job.seed, self.epoch) + self.rank, self.device)
                    if not self._one_epoch(bar, interrupts, started):
                        return self._interrupted()
                    bar.epoch(self.epoch, job.epochs, self.history.last)
                if self._asked(interrupts):
                    return self._interrupted()
        finally:
            bar.close()
        self.history.averaged = None if self.average is None else self.average.weights
        self.history.peak_memory = peak_memory(self.device)
        return self.history

    def _one_epoch(self, bar: Progress, interrupts: Interrupts, started: float) -> bool:
        """Train one epoch, or what is left of it; False where Ctrl-C ended it."""
        job, already = self.job, self.history.seconds
        for module in self.trained:
            module.train()
        for batch in self.feed.epoch(self.epoch, self.batch):
            if self.rng is not None:  # resumed within the epoch
                set_rng(self.rng, self.device, self.rank)
                self.rng = None
            self._one_step(batch)
            bar.step()
            self.history.seconds = already + time.perf_counter() - started
            if self._asked(interrupts):
                return False
            if job.checkpoint_every and self.step % job.checkpoint_every == 0:
                save(self)
        self.rng = None
        self.watch.look()
        self._end_epoch()
        self.history.seconds = already + time.perf_counter() - started
        before = sum(row["seconds"] for row in self.history.epochs[:-1])
        self.history.last["seconds"] = round(self.history.seconds - before, 3)
        for log in self.logs:
            log.epochs(self.history.epochs)
        save(self)
        return True

    def _asked(self, interrupts: Interrupts) -> bool:
        """Whether Ctrl-C was pressed, in any process."""
        return any_process(interrupts.asked, self.device) if self.world > 1 else interrupts.asked

    def _one_step(self, batch: Batch) -> None:
        job, where = self.job, self.where()
        images, labels = sent(batch.images, self.device), sent(batch.labels, self.device)
        good = finite(images)
        if self.device.type == "cpu":  # elsewhere looked at later, so that nothing waits
            check_images(good, batch.ids, where)
        if job.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        if job.augment is not None:
            images = job.augment(images, generator=self.draws)
        self.pace.set(self.step, self.total)
        if hasattr(job.learner, "advance"):
            job.learner.advance(self.step / max(self.total, 1))
        with self._watching_input():
            terms = self._gradients(images, labels)
        self.watch.add(where, batch, good, terms)
        if self.own_learner is not None and self.world > 1:
            average_gradients(self.own_learner, self.world)
        if job.clip is not None:
            self.fabric.clip_gradients(
                self.trained, self.stepper, max_norm=job.clip, error_if_nonfinite=False
            )
        self.stepper.step()
        self.stepper.zero_grad()
        if self.average is not None:
            self.average.update(job.model)
        if hasattr(job.learner, "after_step"):
            job.learner.after_step(job.model)
        self.step += 1
        self.batch += 1

    def _gradients(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms of a batch, once their gradients are taken: of all together, or part by part where the
        learner makes them so. Processes that share their gradients do so once a step."""
        learner, ablate = self.job.learner, self.job.ablate
        parts = getattr(learner, "in_parts", None)
        if parts is None or self.world > 1:
            terms: dict[str, Tensor] = learner(self.model, images, labels, generator=self.draws)
            self.fabric.backward(total_loss(terms, ablate))
            return terms
        terms = {}
        for part in parts(self.model, images, labels, generator=self.draws):
            if kept := {name: term for name, term in part.items() if name not in ablate}:
                self.fabric.backward(total_loss(kept, ()))
            terms |= {name: term.detach() for name, term in part.items()}
        total_loss(terms, ablate)  # says what is wrong with `ablate`
        return terms

    @contextmanager
    def _watching_input(self) -> Iterator[None]:
        """Keep what the network is shown first in an epoch, mixed as it is, for the logs."""
        if not self.logs or self.batch:
            yield
            return
        kept: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if not kept and inputs and isinstance(inputs[0], Tensor) and inputs[0].dim() == 4:
                kept.append(inputs[0][:64].detach().cpu())

        hook = self.job.model.register_forward_pre_hook(keep)
        try:
            yield
        finally:
            hook.remove()
        data = self.job.data
        if kept:
            grid = image_grid(kept[0], getattr(data, "mean", ()) or (), getattr(data, "std", ()) or ())
            for log in self.logs:
                log.images(self.epoch + 1, grid)

    @contextmanager
    def _told_precision(self) -> Iterator[None]:
        """Let a learner that asks for it run its own passes, outside the network, in the run's precision."""
        before = getattr(self.job.learner, "autocast", None)
        if before is not None:
            self.job.learner.autocast = self.fabric.autocast
        try:
            yield
        finally:
            if before is not None:
                self.job.learner.autocast = before

    def _end_epoch(self) -> None:
        job, means = self.job, self.watch.means()
        kept = sum(value for name, value in means.items() if name not in job.ablate)
        rate = self.optimizer.param_groups[0]["lr"]
        found: dict[str, float] = {"epoch": self.epoch + 1, **means, "loss": kept, "rate": rate}
        self.epoch, self.batch, self.watch = self.epoch + 1, 0, self._new_watch()
        if job.validate is not None and (self.epoch % job.validate_every == 0 or self.epoch == job.epochs):
            found.update(self._validated())
        self.history.epochs.append(found)

    def _validated(self) -> dict[str, float]:
        """The measures of the first process on each test set."""
        found: dict[str, float] = {}
        if self.rank == 0:
            found = measure_all(self.job.model, self.job.validate, self._evaluating)
            if self.average is not None:
                with self.average.within(self.job.model):
                    averaged = measure_all(self.job.model, self.job.validate, self._evaluating)
                found.update({f"ema/{name}": value for name, value in averaged.items()})
        self.fabric.barrier()
        return found

    def _evaluating(self, images: Tensor) -> Tensor:
        if self.job.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.fabric.autocast():
            logits: Tensor = self.job.model(images)
        return logits

    def _interrupted(self) -> Interrupted:
        words = f"stopped after {self.step} of {self.total} steps"
        if self.job.checkpoint is not None:
            save(self)
            words += f"; go on with resume=True from {self.job.checkpoint}"
        return Interrupted(words)


def train(fabric: Any, job: Job) -> History | Interrupted:
    """Set a run up on the device, go on from its checkpoint where asked, and run it."""
    loop = Loop(fabric, job)
    if job.resume and job.checkpoint is not None and Path(job.checkpoint).exists():
        restore(loop, job.checkpoint)
    return loop.run()
