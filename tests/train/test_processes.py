"""Two gloo processes give the gradient of one process on the same whole batch."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import mixlearn as ml
from mixlearn.train import checkpoint as checkpoints
from mixlearn.train.checkpoint import CheckpointError
from tests.apart import apart
from tests.sets import Blobs, weights

ROOT = Path(__file__).resolve().parents[2]


class Manifold(nn.Module):
    """Mixes hidden features across the whole batch, with a parameter and a term of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, model, images, labels, *, generator):
        plan = ml.mixup(images, per_image=True, generator=generator).plan
        mixed = model(images, tap=lambda name, h: plan.blend(h) if name == "block1" else h)
        clean = model(images)
        return {
            "mixed": ml.soft_cross_entropy(self.scale * mixed, plan.soften(labels, 4)),
            "clean": nn.functional.cross_entropy(clean, labels),
            "contrast": 0.1 * (clean @ clean.T).square().mean(),
            "weight": 1e-2 * self.scale.square(),
        }


def _net() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, heads=3, channels=1, generator=generator)


def train(source: str, folder: Path, devices: int, epochs: int = 1, resume: bool = False) -> None:
    """Train with rate 1 and no momentum, so that the first step moves the weights by the gradient itself."""
    net, learner, data = _net(), Manifold(), Blobs(15 if epochs == 1 else 30)
    if source == "loader":
        data = DataLoader(Blobs(16), batch_size=16 // devices)
    given = {"batch_size": 15, "schedule": None, "accelerator": "cpu", "devices": devices, "progress": False}
    given |= {"strategy": "ddp_fork" if devices > 1 else "auto", "validate": Blobs(8), "ema": 0.5}
    given |= {"optimizer": partial(torch.optim.SGD, lr=1.0 if epochs == 1 else 0.05), "resume": resume}
    path = folder / "run.pt" if resume else None
    history = ml.fit(net, data, learner, epochs=epochs, checkpoint=path, **given)
    if int(os.environ.get("RANK", "0")) == 0:
        state = {"weights": torch.cat([weights(net), weights(learner)]), "epochs": history.epochs}
        torch.save(state | {"averaged": history.averaged}, folder / f"{source}-{devices}.pt")


def _trained(folder: Path, name: str) -> dict:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def _start() -> torch.Tensor:
    return torch.cat([weights(_net()), weights(Manifold())])


@pytest.mark.parametrize("source", ["memory", "loader"])
def test_two_processes_give_the_gradient_of_one(source: str, tmp_path: Path) -> None:
    assert apart(train, source, tmp_path, 2) == 0
    train(source, tmp_path, 1)
    one, two = (_trained(tmp_path, f"{source}-{n}") for n in (1, 2))
    assert float((one["weights"] - _start()).abs().max()) > 1e-2
    torch.testing.assert_close(two["weights"], one["weights"], rtol=0, atol=1e-6)
    for name in ("loss", "mixed", "clean", "contrast", "weight", "accuracy", "nll"):
        assert two["epochs"][0][name] == pytest.approx(one["epochs"][0][name], abs=1e-5)
    for name, value in one["averaged"].items():
        torch.testing.assert_close(two["averaged"][name], value, rtol=0, atol=1e-6)


def guided(folder: Path, devices: int) -> None:
    net, learner = _net(), ml.learners.Guided(ml.puzzlemix, num_classes=4)
    given = {"epochs": 2, "batch_size": 15, "accelerator": "cpu", "devices": devices, "progress": False}
    given["optimizer"] = partial(torch.optim.SGD, lr=0.5)
    ml.fit(net, Blobs(15), learner, strategy="ddp_fork" if devices > 1 else "auto", **given)
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save({"weights": weights(net)}, folder / f"guided-{devices}.pt")


def test_every_process_mixes_by_the_saliency_of_the_whole_batch(tmp_path: Path) -> None:
    assert apart(guided, tmp_path, 2) == 0
    guided(tmp_path, 1)
    one, two = (_trained(tmp_path, f"guided-{n}")["weights"] for n in (1, 2))
    assert float((one - weights(_net())).abs().max()) > 1e-2
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


def test_several_steps_stay_together_and_resume(tmp_path: Path) -> None:
    assert apart(train, "memory", tmp_path, 2, 2, True) == 0
    first = _trained(tmp_path, "memory-2")
    assert checkpoints.load(tmp_path / "run.pt")["settings"]["processes"] == 2
    assert apart(train, "memory", tmp_path, 2, 2, True) == 0
    again = _trained(tmp_path, "memory-2")
    assert torch.equal(first["weights"], again["weights"])
    train("memory", tmp_path, 1, epochs=2)
    torch.testing.assert_close(first["weights"], _trained(tmp_path, "memory-1")["weights"], rtol=0, atol=1e-5)
    with pytest.raises(CheckpointError, match="belongs to a run with processes = 2, this one has 1"):
        train("memory", tmp_path, 1, epochs=2, resume=True)


class Stopping(Manifold):
    """Sends Ctrl-C to all processes of its session in the seventh step, from the second process alone."""

    calls = 0

    def _get_name(self) -> str:  # to a checkpoint it is the learner that goes on
        return "Manifold"

    def forward(self, model, images, labels, *, generator):
        self.calls += 1
        if self.calls == 7 and os.environ.get("LOCAL_RANK") == "1":
            os.killpg(0, signal.SIGINT)
        return super().forward(model, images, labels, generator=generator)


def _interrupted(folder: Path, learner: nn.Module, code: int) -> None:
    os.setsid()
    net = _net()
    given = {"accelerator": "cpu", "devices": 2, "strategy": "ddp_fork", "progress": False, "epochs": 3}
    given["optimizer"] = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    try:
        ml.fit(net, Blobs(16), learner, batch_size=4, checkpoint=folder / "run.pt", resume=True, **given)
    except KeyboardInterrupt as stop:
        assert str(stop).startswith("stopped after 7 of 12 steps")
        sys.exit(code)
    torch.save(torch.cat([weights(net), weights(learner)]), folder / "end.pt")


def test_ctrl_c_stops_both_after_the_same_step(tmp_path: Path) -> None:
    assert apart(_interrupted, tmp_path, Stopping(), 42) == 42
    assert checkpoints.load(tmp_path / "run.pt")["place"] == {"step": 7, "epoch": 1, "batch": 3}
    assert apart(_interrupted, tmp_path, Manifold(), 0) == 0
    resumed = torch.load(tmp_path / "end.pt")
    (tmp_path / "run.pt").unlink()
    assert apart(_interrupted, tmp_path, Manifold(), 0) == 0
    assert torch.equal(resumed, torch.load(tmp_path / "end.pt"))


def test_torchrun_gives_the_same(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.train.test_processes import train\n"
        "train('memory', Path(sys.argv[1]), 1)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(script), str(tmp_path)], cwd=ROOT, env=environment, check=True, timeout=300)
    under = _trained(tmp_path, "memory-1")
    train("memory", tmp_path, 1)
    torch.testing.assert_close(under["weights"], _trained(tmp_path, "memory-1")["weights"], rtol=0, atol=1e-6)
