"""What of a run goes into its checkpoint, and how a run takes it up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixlearn.core.processes import stack_all
from mixlearn.train import checkpoints

if TYPE_CHECKING:
    from mixlearn.train.loop import Loop


def settings(loop: Loop) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that goes on from it."""
    job = loop.job
    return {
        "epochs": job.epochs,
        "batch_size": loop.feed.batch_size,
        "images": loop.feed.size,
        "seed": job.seed,
        "ablate": list(job.ablate),
        "ema": job.ema,
        "processes": loop.world,
    }


def save(loop: Loop) -> None:
    """Write the checkpoint, if one was asked for; never one whose losses are not finite."""
    if loop.job.checkpoint is None:
        return
    loop.watch.look()
    rng = _get_rng(loop.device)
    if loop.world > 1:
        rng = {name: stack_all(value.to(loop.device), loop.world).cpu() for name, value in rng.items()}
    if loop.rank == 0:
        checkpoints.save(
            loop.job.checkpoint,
            {
                "settings": settings(loop),
                "model": loop.job.model.state_dict(),
                "learner": None if loop.own_learner is None else loop.own_learner.state_dict(),
                "optimizer": loop.optimizer.state_dict(),
                "precision": loop.fabric.strategy.precision.state_dict(),
                "average": None if loop.average is None else loop.average.weights,
                "draws": loop.draws.get_state(),
                "rng": rng,
                "watch": loop.watch.state(),
                "place": {"step": loop.step, "epoch": loop.epoch, "batch": loop.batch},
                "history": {"epochs": loop.history.epochs, "seconds": loop.history.seconds},
            },
        )
    loop.fabric.barrier()


def restore(loop: Loop, path: str | os.PathLike[str]) -> None:
    """Take up the state of a checkpoint.

    Raises:
        CheckpointError: a truncated or foreign file, other settings, another network or optimiser.
    """
    state = checkpoints.load(path)
    for name, value in settings(loop).items():
        found = state["settings"].get(name)
        if found != value:
            raise checkpoints.CheckpointError(
                f"{path} belongs to a run with {name} = {found!r}, this one has {value!r}"
            )
    try:
        loop.job.model.load_state_dict(state["model"])
        if loop.own_learner is not None:
            loop.own_learner.load_state_dict(state["learner"] or {})
        loop.optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, TypeError, KeyError) as wrong:
        message = " ".join(str(wrong).split())[:300]
        raise checkpoints.CheckpointError(f"{path} holds another network or optimiser: {message}") from wrong
    loop.fabric.strategy.precision.load_state_dict(state["precision"])
    if loop.average is not None:
        for name, value in state["average"].items():
            loop.average.weights[name].copy_(value)
    loop.draws.set_state(state["draws"])
    loop.step, loop.epoch, loop.batch = (state["place"][name] for name in ("step", "epoch", "batch"))
    loop.history.epochs, loop.history.seconds = state["history"]["epochs"], state["history"]["seconds"]
    loop.watch.restore(state["watch"], loop.device)
    loop.rng = state["rng"] if loop.batch else None


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's default generators as they were found; the network's dropout draws from them."""
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        yield


def seed_rng(seed: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of the device, and no other."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def set_rng(state: dict[str, Tensor], device: torch.device, rank: int) -> None:
    """Put torch's default generators where a checkpoint found them."""
    # A copy: torch reads past the end of a state that is a view into a larger tensor.
    mine = {name: value[rank].clone() if value.dim() == 2 else value for name, value in state.items()}
    torch.set_rng_state(mine["cpu"])
    if "cuda" in mine and device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], device)


def _get_rng(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state
