"""The training loop behind `fit`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixlearn.lab import checkpoints
from mixlearn.lab.averages import WeightAverage
from mixlearn.lab.feeds import Batch, as_feed, epoch_seed
from mixlearn.lab.fit import History, Job
from mixlearn.lab.interrupts import Interrupts
from mixlearn.lab.logs import as_logs, image_grid
from mixlearn.lab.processes import Shared, any_process, average_gradients
from mixlearn.lab.progress import Progress
from mixlearn.lab.watch import Watch, check_images, total_loss


class Interrupted(NamedTuple):
    """A run that Ctrl-C ended between two steps."""

    words: str


class Loop:
    """The state of one run: all that a checkpoint holds, and what reads and writes it."""

    def __init__(self, fabric: Any, job: Job) -> None:
        self.fabric, self.job = fabric, job
        self.device, self.rank, self.world = fabric.device, fabric.global_rank, fabric.world_size
        if job.channels_last:
            job.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.trained = nn.ModuleList(m for m in (job.model, job.learner) if isinstance(m, nn.Module))
        wrapped = fabric.setup_module(job.model)
        self.own_learner = job.learner if isinstance(job.learner, nn.Module) else None
        if self.own_learner is not None:
            fabric.to_device(self.own_learner)
        parameters = [p for p in self.trained.parameters() if p.requires_grad]
        self.optimizer = job.optimizer(parameters)
        self.stepper = fabric.setup_optimizers(self.optimizer)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.model = Shared(wrapped, self.rank, self.world) if self.world > 1 else wrapped
        self.wrapped = wrapped
        self.feed = as_feed(job.data, job.batch_size, job.seed, self.rank, self.world, self.device)
        self.total = job.epochs * len(self.feed)
        self.average = None if job.ema is None else WeightAverage(job.model, job.ema)
        self.draws = torch.Generator().manual_seed(epoch_seed(job.seed, 0))
        self.history = History()
        self.step = self.epoch = self.batch = 0  # steps, epochs and batches of this epoch done
        self.watch = self._new_watch()
        self.rng: dict[str, Any] | None = None
        self.logs = as_logs(job.log) if self.rank == 0 else []
        self.shown: Tensor | None = None

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
            with Interrupts() as interrupts, _own_randomness(self.device):
                while self.epoch < job.epochs:
                    started = time.perf_counter()
                    torch.manual_seed(epoch_seed(job.seed, self.epoch) + self.rank)
                    if not self._one_epoch(bar, interrupts, started):
                        return self._interrupted()
                    bar.epoch(self.epoch, job.epochs, self.history.last)
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
                _set_rng(self.rng, self.device, self.rank)
                self.rng = None
            self._one_step(batch)
            bar.step()
            self.history.seconds = already + time.perf_counter() - started
            stop = interrupts.asked
            if self.world > 1:
                stop = any_process(stop, self.device)
            if stop:
                return False
            if job.checkpoint_every and self.step % job.checkpoint_every == 0:
                self.save()
        self.rng = None
        self.watch.look()
        self._end_epoch()
        self.history.seconds = already + time.perf_counter() - started
        self.history.last["seconds"] = round(
            self.history.seconds - sum(e.get("seconds", 0.0) for e in self.history.epochs[:-1]), 3
        )
        for log in self.logs:
            log.epochs(self.history.epochs)
        self.save()
        return True

    def _one_step(self, batch: Batch) -> None:
        job, where = self.job, self.where()
        if self.device.type == "cpu":
            check_images(batch, where)
        images, labels = batch.images.to(self.device), batch.labels.to(self.device)
        if job.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        if job.augment is not None:
            images = job.augment(images, generator=self.draws)
        factor = 1.0 if job.schedule is None else job.schedule(self.step, self.total)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with self._watching_input():
            terms = job.learner(self.model, images, labels, generator=self.draws)
        loss = total_loss(terms, job.ablate)
        try:
            self.watch.add(where, terms, len(images))
        except FloatingPointError:
            check_images(batch, where)
            raise
        self.fabric.backward(loss)
        if self.own_learner is not None and self.world > 1:
            average_gradients(self.own_learner, self.world)
        if job.clip is not None:
            self.fabric.clip_gradients(self.trained, self.stepper, max_norm=job.clip)
        self.stepper.step()
        self.stepper.zero_grad()
        if self.average is not None:
            self.average.update(job.model)
        self.step += 1
        self.batch += 1

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

    def _end_epoch(self) -> None:
        job, means = self.job, self.watch.means()
        kept = sum(value for name, value in means.items() if name not in job.ablate)
        rate = self.optimizer.param_groups[0]["lr"]
        found: dict[str, float] = {"epoch": self.epoch + 1, "loss": kept, **means, "rate": rate}
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

    def settings(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the run that goes on from it."""
        job = self.job
        return {
            "epochs": job.epochs,
            "batch_size": self.feed.batch_size,
            "images": self.feed.size,
            "seed": job.seed,
            "ablate": list(job.ablate),
            "ema": job.ema,
            "processes": self.world,
        }

    def save(self) -> None:
        """Write the checkpoint, if one was asked for."""
        if self.job.checkpoint is None:
            return
        self.watch.look()
        rng = _get_rng(self.device)
        if self.world > 1:
            rng = {name: self.fabric.all_gather(value.to(self.device)).cpu() for name, value in rng.items()}
        if self.rank == 0:
            checkpoints.save(
                self.job.checkpoint,
                {
                    "settings": self.settings(),
                    "model": self.job.model.state_dict(),
                    "learner": None if self.own_learner is None else self.own_learner.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "average": None if self.average is None else self.average.weights,
                    "draws": self.draws.get_state(),
                    "rng": rng,
                    "watch": self.watch.state(),
                    "place": {"step": self.step, "epoch": self.epoch, "batch": self.batch},
                    "history": {"epochs": self.history.epochs, "seconds": self.history.seconds},
                },
            )
        self.fabric.barrier()

    def restore(self, path: str | Path) -> None:
        """Take up the state of a checkpoint."""
        state = checkpoints.load(path)
        for name, value in self.settings().items():
            if state["settings"].get(name) != value:
                raise checkpoints.CheckpointError(
                    f"{path} belongs to a run with {name} = {state['settings'].get(name)!r}, this one has {value!r}"
                )
        try:
            self.job.model.load_state_dict(state["model"])
            if self.own_learner is not None:
                self.own_learner.load_state_dict(state["learner"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, TypeError) as wrong:
            message = " ".join(str(wrong).split())[:300]
            raise checkpoints.CheckpointError(
                f"{path} holds another network or optimiser: {message}"
            ) from wrong
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            for name, value in state["average"].items():
                self.average.weights[name].copy_(value)
        self.draws.set_state(state["draws"])
        self.step, self.epoch, self.batch = (state["place"][name] for name in ("step", "epoch", "batch"))
        self.history = History(epochs=state["history"]["epochs"], seconds=state["history"]["seconds"])
        self.watch.restore(state["watch"], self.device)
        self.rng = state["rng"] if self.batch else None

    def _interrupted(self) -> Interrupted:
        words = f"stopped after {self.step} of {self.total} steps"
        if self.job.checkpoint is not None:
            self.save()
            words += f"; go on with resume=True from {self.job.checkpoint}"
        return Interrupted(words)


def train(fabric: Any, job: Job) -> History | Interrupted:
    """Set a run up on the device, go on from its checkpoint where asked, and run it."""
    loop = Loop(fabric, job)
    if job.resume and job.checkpoint is not None and Path(job.checkpoint).exists():
        loop.restore(job.checkpoint)
    return loop.run()


def measure_all(model: nn.Module, sets: Any, call: Any = None) -> dict[str, float]:
    """`measure.evaluate` of one test set, or of each in a dict under "name/measure"."""
    from mixlearn.measure import evaluate

    sets = sets if isinstance(sets, dict) else {"": sets}
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    found = {}
    for name, data in sets.items():
        measured = evaluate(call or model, data, device=device)
        found.update({f"{name}/{key}" if name else key: value for key, value in measured.items()})
    return found


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak: of the accelerator, else of this process since it started."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's default generators as they were found; the network's dropout draws from them."""
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        yield


def _get_rng(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_rng(state: dict[str, Tensor], device: torch.device, rank: int) -> None:
    mine = {name: value[rank] if value.dim() == 2 else value for name, value in state.items()}
    torch.set_rng_state(mine["cpu"])
    if "cuda" in mine and device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], device)
