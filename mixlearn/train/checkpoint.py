"""Resuming after an interruption: what a checkpoint holds, files written whole, random states, Ctrl-C."""

from __future__ import annotations

import os
import pickle
import re
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mixlearn.core.checks import in_words
from mixlearn.core.processes import stack_all

FORMAT = "mixlearn checkpoint 1"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read, or that belongs to another run."""


def save(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, and dicts, lists or tuples of them; the folder is made if need be."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda file: torch.save({"format": FORMAT, **state}, file))


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, with `weights_only=True`: the file cannot run code.

    Raises:
        CheckpointError: a truncated or damaged file, or one that is no checkpoint of mixlearn.
        FileNotFoundError: no such file.
    """
    target = Path(path)
    size = target.stat().st_size
    try:
        with zipfile.ZipFile(target) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise CheckpointError(f"{target} is truncated or no checkpoint of mixlearn ({size} bytes)") from error
    if damaged is not None:
        raise CheckpointError(f"{target} is damaged: its part {damaged} fails its checksum")
    try:
        state = torch.load(target, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{target} is damaged, or no checkpoint of mixlearn: {first}") from error
    given = state.get("format") if isinstance(state, dict) else None
    if given != FORMAT:
        words = f"its format is {given!r}, expected {FORMAT!r}"
        raise CheckpointError(f"{target} is no checkpoint of mixlearn: {words}")
    return dict(state)


def state_of(run: Any) -> dict[str, Any]:
    """How far a `Training` has come, but for the random states of its processes."""
    average = None if run.average is None else run.average.weights
    state: dict[str, Any] = {"learner": None}
    state |= {name: part.state_dict() for name, part in _parts(run).items()}
    state |= {"settings": run.settings, "draws": run.draws.get_state(), "average": average}
    state["watch"] = {"sums": run.watch.sums, "images": run.watch.images}
    state["place"] = {"step": run.step, "epoch": run.epoch, "batch": run.batch}
    return state | {"history": {"epochs": run.history.epochs, "seconds": run.history.seconds}}


def restore(run: Any, path: str | os.PathLike[str]) -> None:
    """Bring a `Training` to the state of a checkpoint."""
    state = load(path)
    for name, value in run.settings.items():
        saved = state["settings"].get(name, value)  # older checkpoints hold fewer
        if saved != value:
            words = f"belongs to a run with {name} = {saved!r:.300}, this one has {value!r:.300}"
            raise CheckpointError(f"{path} {words}; go on with the settings of that run, or name a new file")
    try:
        for name, part in _parts(run).items():
            part.load_state_dict(state[name] or {})
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        words = f"holds another network or optimiser: {' '.join(str(error).split())[:300]}"
        raise CheckpointError(f"{path} {words}") from error
    if run.average is not None:
        for name, value in state["average"].items():
            run.average.weights[name].copy_(value)
    run.draws.set_state(state["draws"])
    vars(run).update(state["place"])
    vars(run.history).update(state["history"])
    run.watch.images = state["watch"]["images"]
    run.watch.sums = {name: value.to(run.device) for name, value in state["watch"]["sums"].items()}
    if run.batch:  # a copy: torch reads past the end of a state that is a view into a larger tensor
        rng = state["rng"]
        run.rng = {name: v[run.rank].clone() if v.dim() == 2 else v for name, v in rng.items()}


def _parts(run: Any) -> dict[str, Any]:
    """The parts of a run that have a state_dict."""
    parts = {"model": run.job.model, "optimizer": run.optimizer, "precision": run.fabric.strategy.precision}
    return parts | dict(zip(["learner"], run.own, strict=False))


def settings_of(run: Any) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that goes on from it."""
    job, options = run.job, {name: value for name, value in run.optimizer.defaults.items() if value}
    parts = {name: getattr(job, name) for name in ("learner", "schedule", "augment")}
    parts["optimizer"] = partial(run.optimizer.__class__, **options)
    varying = r" at 0x\w+|\bprogress=[\d.e-]+"  # from one process, or step, to the next
    settings = {name: getattr(job, name) for name in ("epochs", "seed", "ema", "accumulate")}
    settings |= {"batch_size": run.feed.batch_size, "images": run.feed.size, "processes": run.world}
    settings |= {k: " ".join(re.sub(varying, "", in_words(part)).split()) for k, part in parts.items()}
    return settings | {"ablate": list(job.ablate)}


def write_whole(target: Path, write: Callable[[Any], object]) -> None:
    """Let `write` fill a new file beside the target, flush it to the disk, then move it there in one act.

    A process killed at any moment leaves the old file or the new one, never a part of one.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def interrupts() -> Iterator[SimpleNamespace]:
    """Within, the first Ctrl-C is only noted in `asked`; a second one interrupts at once.

    Outside the main thread Python delivers no signal, and this does nothing.
    """
    state = SimpleNamespace(asked=False)

    def note(number: int, frame: object) -> None:
        if state.asked:
            raise KeyboardInterrupt
        state.asked = True

    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's default generators as they were; the network's dropout draws from them."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_rng(seed: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of the device, and no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def get_rng(device: torch.device, world: int) -> dict[str, Tensor]:
    """The states of torch's default generators, in several processes those of all, one a row."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if world > 1:
        return {name: stack_all(value.to(device), world).cpu() for name, value in state.items()}
    return state


def set_rng(state: dict[str, Tensor], device: torch.device) -> None:
    """Put torch's default generators where a checkpoint left them."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
