"""`fit`: one loop that trains any network with any learner, on any device, and can resume.

`fit` checks its arguments. `Training.train` runs the epochs, `one_epoch` the batches, `one_step` one step.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mixlearn.core.checks import is_count
from mixlearn.core.extras import need
from mixlearn.core.fast import sent
from mixlearn.core.processes import Shared, any_process, average_gradients, check_share
from mixlearn.nets.taps import logits_of
from mixlearn.train import checkpoint as checkpoints
from mixlearn.train.checkpoint import get_rng, interrupts, own_randomness, seed_rng, set_rng
from mixlearn.train.loaders import Batch, Place, as_feed, epoch_seed, measure_all
from mixlearn.train.logs import image_grid, log_epoch
from mixlearn.train.schedules import Pace, Schedule, Schedules, cosine
from mixlearn.train.terms import (
    Hooks,
    Watch,
    WeightAverage,
    adapted,
    check_ablate,
    check_images,
    checked_terms,
    frozen,
    takes_one_image,
    total_loss,
    unused_apart,
)

try:
    from lightning.fabric import Fabric
except ImportError as missing:
    raise ImportError('ml.fit needs Lightning: pip install "mixlearn[lab]"') from missing

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
    accumulate: int = 1,
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
    """Train a network in place, on mixed images or plain ones, and return what happened.

    Modules in evaluation mode or without gradients stay so. If the network returns a dict, its "logits" are
    used. `validate` measures the network that predicts in the end (`deployed`).

    Args:
        model: images (B, C, H, W) → whatever the learner reads.
        data: an `ImageSet`, a Dataset, or a DataLoader of (images, labels, …), of dicts, or of images alone
            for a learner that reads no labels. `batch_size` counts the images of all processes together; a
            DataLoader brings its own, for each, and its sampler's draws are shared out. The first process
            reads a stream for all. If its length is unknown, the schedule moves once an epoch.
        learner: `learner(model, images, labels, *, generator)` → dict of loss terms, which are added up.
        epochs: passes over the data.
        optimizer: a class or function that makes an optimiser from parameters; None takes `sgd`.
        schedule: (step, steps) → factor of the learning rate, or one for each group of the optimiser; a
            `WithDecay` has one of the weight decay too; None keeps the rate.
        augment: `augment(images, *, generator)` on each batch, before the learner.
        precision, accelerator, devices, strategy: as for Lightning Fabric. For two processes on one CPU:
            `accelerator="cpu", devices=2, strategy="ddp_fork"`. Under `torchrun` its processes are used.
        ema: decay of a moving average of the weights, e.g. 0.999; less in the first steps.
        clip: largest norm of all gradients together.
        accumulate: batches whose gradients are averaged, image by image, for one step.
        seed: of the order, the draws and the network's own randomness (dropout).
        validate: an `ImageSet`, a Dataset, a DataLoader, or a dict of them, measured after each
            `validate_every` epochs and after the last. "ema/…" measures the same with averaged weights in
            place of the network's, or, where a twin predicts, the averaged network.
        checkpoint: file written after each epoch, every `checkpoint_every` steps, and at Ctrl-C.
        resume: go on from `checkpoint` if it is there. On a CPU the weights become those of an unbroken run,
            bit for bit; on a GPU too where its kernels are deterministic.
        ablate: loss terms that are logged but not added.
        log: a folder (for `metrics.csv` and pictures of mixed images), a Lightning logger, or several.
        progress: show a bar; words are shown in front of it.
        channels_last: memory layout of the network; None takes it with 16-bit precision.

    Raises:
        TypeError, ValueError: a bad argument, a last batch that is too small for the processes or for batch
            normalisation, or an image that is not finite (it names epoch, batch and images).
        FloatingPointError: a loss that is not finite (it names epoch, step and terms).
        CheckpointError: a truncated file, one that is no checkpoint, or a checkpoint of other settings.
        KeyboardInterrupt: Ctrl-C, after the step and the checkpoint were finished.

    >>> from torch.utils.data import TensorDataset
    >>> from mixlearn.methods.learners import Plain
    >>> data = TensorDataset(torch.randn(16, 2), torch.arange(16) % 2)
    >>> history = fit(nn.Linear(2, 2), data, Plain(), epochs=2, batch_size=8, progress=False)
    >>> len(history.epochs), "labels" in history.last
    (2, True)
    """
    job = SimpleNamespace(**locals())  # all arguments by their names
    _check(job)
    spread = torchrun()
    if spread is not None and strategy == "auto":
        strategy = "ddp"
    given = {"accelerator": accelerator, "precision": precision, "strategy": strategy}
    given["devices"], given["num_nodes"] = spread or (devices, 1)
    with unused_apart(learner, model):
        return _launch(Fabric(**given), job)


def _check(job: SimpleNamespace) -> None:
    counts = ["epochs", "batch_size", "validate_every", "accumulate"]
    for name in counts if job.checkpoint_every is None else [*counts, "checkpoint_every"]:
        if not is_count(getattr(job, name)):
            raise ValueError(f"{name} must be a positive integer, got {getattr(job, name)!r}")
        setattr(job, name, int(getattr(job, name)))
    if not is_count(job.seed, None):
        raise ValueError(f"seed must be an integer, got {job.seed!r}")
    if (job.resume or job.checkpoint_every) and job.checkpoint is None:
        raise ValueError("resume and checkpoint_every need checkpoint=, the file to keep the run in")
    if job.clip is not None and not job.clip > 0:
        raise ValueError(f"clip must be a positive norm, got {job.clip}")
    if isinstance(job.ablate, str):
        raise TypeError(f"ablate must be a tuple, got the string {job.ablate!r}; write ({job.ablate!r},)")
    ways = {"optimizer": "partial(torch.optim.SGD, lr=…)", "schedule": "mixlearn.train.schedules.cosine"}
    for name, way in (ways | {"augment": "ml.augment.crop_and_flip"}).items():
        if (given := getattr(job, name)) is not None and not callable(given):
            what = repr(given) if isinstance(given, str) else f"a {type(given).__name__} that is made already"
            raise TypeError(f"{name} must be a class or function to call, got {what}; write {name}={way}")
    job.optimizer, job.ablate = job.optimizer or sgd, tuple(job.ablate)
    check_ablate(job.ablate, Hooks(job.learner).term_names)
    if job.channels_last is None:
        job.channels_last = str(job.precision).startswith(("16", "bf16"))


def _launch(fabric: Any, job: SimpleNamespace) -> History:
    """Train in this process, or in forked or spawned ones whose weights are then copied back here."""
    launcher = fabric.strategy.launcher
    if launcher is None or not launcher.__class__.__name__.startswith("_MultiProcessing"):
        fabric.launch()
        return Training(fabric, job).train()
    # Weights come back through a file: the launcher's pipe holds 64 KiB and is read only at the end.
    with tempfile.TemporaryDirectory() as folder, interrupts():  # the processes take Ctrl-C, save and return
        fabric.launch(_in_process, job, Path(folder))
        state = torch.load(Path(folder) / "result.pt", weights_only=True)
    job.model.load_state_dict(state["model"])
    if state["learner"] is not None:
        job.learner.load_state_dict(state["learner"])
    if state["stopped"] is not None:
        raise KeyboardInterrupt(state["stopped"])
    return History(**state["history"])


def _in_process(fabric: Any, job: SimpleNamespace, folder: Path) -> None:
    history, stopped = History(), None
    try:
        history = Training(fabric, job).train()
    except KeyboardInterrupt as stop:
        stopped = str(stop)
    if fabric.global_rank == 0:
        learner = job.learner.state_dict() if isinstance(job.learner, nn.Module) else None
        state = {"model": job.model.state_dict(), "learner": learner, "history": vars(history)}
        torch.save(state | {"stopped": stopped}, folder / "result.pt")


class Training:
    """One run: what it trains, and how far it has come, which is what its checkpoint holds."""

    def __init__(self, fabric: Any, job: SimpleNamespace) -> None:
        self.fabric, self.job, self.hooks = fabric, job, Hooks(job.learner)
        self.device, self.rank, self.world = fabric.device, fabric.global_rank, fabric.world_size
        if job.channels_last:
            job.model.to(memory_format=torch.channels_last)
        modules = [part for part in (job.model, job.learner) if isinstance(part, nn.Module)]
        self.trained, self.own = nn.ModuleList(modules), modules[1:]  # own: the learner's weights
        self.frozen = [part for whole in modules for part in frozen(whole)]
        wrapped = fabric.setup_module(job.model)
        self.model = Shared(wrapped, self.rank, self.world) if self.world > 1 else wrapped
        for learner in self.own:
            fabric.to_device(learner)
        self.optimizer = job.optimizer([p for p in self.trained.parameters() if p.requires_grad])
        self.stepper = fabric.setup_optimizers(self.optimizer)
        self.pace = Pace(self.optimizer, job.schedule)
        place = Place(job.seed, self.rank, self.world, self.device)
        self.feed = as_feed(job.data, job.batch_size, place, self.hooks.reads_labels)
        self.steps: int | None = None  # of the whole run, where that is known
        if self.feed.length is not None:
            self.steps = job.epochs * -(-self.feed.length // job.accumulate)
        self.average = None if job.ema is None else WeightAverage(job.model, job.ema)
        self.draws = torch.Generator().manual_seed(epoch_seed(job.seed, 0))
        self.history = History()
        self.step = self.epoch = self.batch = 0  # steps, epochs, and batches of this epoch done
        self.rng: dict[str, Tensor] | None = None  # the network's, where a run goes on within an epoch
        self.watch = Watch(self.device)
        logs = job.log if isinstance(job.log, (list, tuple)) else [] if job.log is None else [job.log]
        self.logs = logs if self.rank == 0 else []
        self.shown: Tensor | None = None  # the first images of this epoch to learn from, for the logs
        self.settings = checkpoints.settings_of(self)  # before the learner changes
        self._check_last_batch()

    def train(self) -> History:
        """All epochs that are still to do."""
        job = self.job
        if job.resume and Path(job.checkpoint).exists():
            checkpoints.restore(self, job.checkpoint)
        words = job.progress if isinstance(job.progress, str) else ""
        bar = Progress(self.steps, self.step, bool(job.progress) and self.rank == 0, words)
        hooks = [job.model.register_forward_pre_hook(self._keep)] if self.logs else []
        hooked = adapted(job.learner, self.fabric.autocast, hooks)
        with closing(bar), interrupts() as self.interrupts, own_randomness(self.device), hooked:
            while self.epoch < job.epochs:
                self.one_epoch(bar)
                bar.epoch(self.epoch, job.epochs, self.history.last)
            self.stop_if_asked()
        self.history.averaged = None if self.average is None else self.average.weights
        self.history.peak_memory = peak_memory(self.device)
        return self.history

    def one_epoch(self, bar: Progress) -> None:
        """Train one epoch, or what is left of it, then measure, log and save."""
        job, history = self.job, self.history
        began = time.perf_counter() - history.seconds
        seed_rng(epoch_seed(job.seed, self.epoch) + self.rank, self.device)
        self._train_mode()
        batches = self.feed.epoch(self.epoch, self.batch)
        while group := list(islice(batches, job.accumulate)):
            if self.rng is not None:
                set_rng(self.rng, self.device)
                self.rng = None
            self.one_step(group)
            bar.step()
            history.seconds = time.perf_counter() - began
            self.stop_if_asked()
            if job.checkpoint_every and self.step % job.checkpoint_every == 0:
                self.save()
        self.rng = None
        self.watch.look()
        means = self.watch.means()
        row = {"epoch": self.epoch + 1, **means}
        row["loss"] = sum(mean for name, mean in means.items() if name not in job.ablate)
        row["rate"] = self.optimizer.param_groups[0]["lr"]
        self.epoch, self.batch, self.watch = self.epoch + 1, 0, Watch(self.device)
        if job.validate is not None and (self.epoch % job.validate_every == 0 or self.epoch == job.epochs):
            row |= self.validated()
        history.seconds = time.perf_counter() - began
        row["seconds"] = round(history.seconds - sum(before["seconds"] for before in history.epochs), 3)
        history.epochs.append(row)
        self._log()
        self.save()

    def one_step(self, group: list[Batch]) -> None:
        """One step of the optimiser, by the gradients of one batch or of several."""
        job = self.job
        done, total = (self.epoch, job.epochs) if self.steps is None else (self.step, self.steps)
        self.pace.set(min(done, total), total)
        self.hooks.advance(min(done / total, 1.0))
        count = sum(len(batch.images) for batch in group)
        for batch in group:
            where = f"epoch {self.epoch + 1}, batch {self.batch + 1} (step {self.step + 1})"
            images, labels, good = self._prepared(batch, where)
            terms = self.gradients(images, labels, len(images) / count)
            self.watch.add(where, batch.ids, good, terms)
            self.batch += 1
        if self.world > 1:
            for learner in self.own:
                average_gradients(learner, self.world)
        if job.clip is not None:
            options = {"max_norm": job.clip, "error_if_nonfinite": False}
            self.fabric.clip_gradients(self.trained, self.stepper, **options)
        self.stepper.step()
        self.stepper.zero_grad()
        self.step += 1
        if self.average is not None:
            self.average.update(job.model, self.step)
        self.hooks.after_step(job.model)

    def gradients(self, images: Tensor, labels: Tensor | None, share: float) -> dict[str, Tensor]:
        """The terms of a batch, once their gradients are taken: of all together, or part by part where the
        learner makes them so. Processes that share their gradients do so once a step."""
        terms: dict[str, Tensor] = {}
        ablate, in_parts = self.job.ablate, self.hooks.in_parts if self.world == 1 else None
        made = (in_parts or self.job.learner)(self.model, images, labels, generator=self.draws)
        for part in map(checked_terms, made if in_parts else [made]):
            if kept := {name: term for name, term in part.items() if name not in ablate}:
                self.fabric.backward(share * total_loss(kept, ()))
            terms |= {name: term.detach() for name, term in part.items()}
        total_loss(terms, ablate)  # says what is wrong with `ablate`
        return terms

    def validated(self) -> dict[str, float]:
        """The first process measures the network that predicts in the end, and the averaged weights."""
        model, sets = self.job.model, self.job.validate
        result: dict[str, float] = {}
        if self.rank == 0:
            predicting = self.hooks.deployed(model)
            result = measure_all(predicting, sets, partial(self._logits, predicting))
            if self.average is not None:
                predicting, weights = self.average.within(predicting, model)
                averaged = partial(functional_call, predicting, weights, tie_weights=False)
                measured = measure_all(predicting, sets, partial(self._logits, averaged))
                result |= {f"ema/{name}": value for name, value in measured.items()}
        self.fabric.barrier()
        return result

    def stop_if_asked(self) -> None:
        """Save and end the run if Ctrl-C was pressed, in any process."""
        asked = self.interrupts.asked
        if not (any_process(asked, self.device) if self.world > 1 else asked):
            return
        self.save()
        words = f"stopped after {self.step} of {self.steps or 'unknown'} steps"
        if self.job.checkpoint is not None:
            words += f"; go on with resume=True from {self.job.checkpoint}"
        raise KeyboardInterrupt(words)

    def save(self) -> None:
        """Write the checkpoint, if one was asked for; never one whose losses are not finite."""
        if self.job.checkpoint is None:
            return
        self.watch.look()
        rng = get_rng(self.device, self.world)
        if self.rank == 0:
            checkpoints.save(self.job.checkpoint, checkpoints.state_of(self) | {"rng": rng})
        self.fabric.barrier()

    def _train_mode(self) -> None:
        for module in self.trained:
            module.train()
        for module in self.frozen:
            module.training = False

    def _prepared(self, batch: Batch, where: str) -> tuple[Tensor, Tensor | None, Tensor]:
        """Images and labels on the device, augmented, and (B,) which images are finite."""
        job, images = self.job, sent(batch.images, self.device)
        labels = None if batch.labels is None else sent(batch.labels, self.device)
        good = images.isfinite().flatten(1).all(1)
        if self.device.type == "cpu":  # elsewhere looked at later, so that nothing waits
            check_images(good, batch.ids, where)
        if job.channels_last and images.dim() == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        if job.augment is not None:
            images = job.augment(images, generator=self.draws)
        return images, labels, good

    def _logits(self, model: Callable[[Tensor], Any], images: Tensor) -> Tensor:
        if self.job.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self.fabric.autocast():
            logits: Tensor = logits_of(model(images))
        return logits

    def _log(self) -> None:
        data, grid = self.job.data, None
        if self.shown is not None:
            grid = image_grid(self.shown, getattr(data, "mean", None), getattr(data, "std", None))
        for log in self.logs:
            log_epoch(log, self.history.epochs, grid)
        self.shown = None

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note the first images of an epoch from which the network learns."""
        images = inputs[0] if inputs and torch.is_grad_enabled() else None
        if self.shown is None and isinstance(images, Tensor) and images.dim() == 4:
            self.shown = images[:64].detach().cpu()

    def _check_last_batch(self) -> None:
        """Refuse before training starts what would fail at the end of an epoch."""
        images, way = self.feed.last, "choose another batch_size, or give a DataLoader with drop_last=True"
        if images is None:
            return
        if self.world > 1:
            check_share(images, self.world)
        if images == 1 and self.hooks.compares:
            raise ValueError(f"the last batch holds one image, with nothing to be compared with; {way}")
        if images < 2 * self.world:
            self._train_mode()
            with own_randomness(self.device), self.fabric.autocast():
                fine = takes_one_image(self.job.model, sent(self.feed.one(), self.device))
            if not fine:
                raise ValueError(f"the last batch has one image a process, too few for batch norm; {way}")


class Progress:
    """A bar in a terminal or a notebook, elsewhere (a log file) one line an epoch; `words` go in front."""

    def __init__(self, total: int | None, done: int, shown: bool, words: str) -> None:
        shell = sys.modules.get("IPython")
        notebook = shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
        self.words, self.lines = words, shown
        self.bar: Any = None
        if shown and (notebook or sys.stderr.isatty()):
            options = {"unit": "step", "dynamic_ncols": True, "mininterval": 0.3}
            tqdm = need("tqdm.auto", "a progress bar").tqdm
            self.bar = tqdm(total=total, initial=done, desc=words, **options)

    def step(self) -> None:
        if self.bar is not None:
            self.bar.update(1)

    def epoch(self, number: int, of: int, measures: dict[str, float]) -> None:
        """Show the numbers of the epoch just ended."""
        keys = [key for key in ("loss", "accuracy", "mean_average_precision") if key in measures]
        line = f"epoch {number}/{of}, " + ", ".join(f"{key} {measures[key]:.3f}" for key in keys)
        if self.bar is not None:
            self.bar.set_postfix_str(line)
        elif self.lines:
            print(f"{self.words}: {line}" if self.words else line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak: of the accelerator, else of this process since it started (0 if not known)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def torchrun() -> tuple[int, int] | None:
    """(processes here, machines) if `torchrun` started this process among several, otherwise None."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    return here, world // here
