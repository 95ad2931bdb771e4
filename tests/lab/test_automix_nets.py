"""AutoMix and SAMix on every family of networks, in 16 bits, and shared between processes."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torchvision
from torch import nn

import mixlearn as ml
from experiments.nets import resnext, wide_resnet
from experiments.training import block_apart
from mixlearn.core import processes
from mixlearn.methods.learners import AutoMix, SAMix
from mixlearn.nets.taps import pooled, staged
from tests.lab.apart import apart
from tests.lab.sets import Blobs, weights
from tests.seeds import seeded

NETS = {
    "resnet": (partial(ml.nets.resnet, 18, 4, width=2), "stage3"),
    "preact": (partial(ml.nets.preact_resnet, 18, 4, width=2), "stage3"),
    "resnext": (partial(resnext, 50, 4, groups=2, group_width=1, width=2), "stage3"),
    "wrn": (partial(wide_resnet, 10, 4, width=1), "stage2"),
    "pyramid": (partial(ml.nets.pyramidnet, 11, 4, alpha=6), "stage2"),
    "vit": (partial(ml.nets.vit, 4, size=16, dim=12, depth=2), "block1"),
    "torchvision": (partial(ml.nets.torchvision_resnet, "resnet18", 4, weights=None), "stage2"),
}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", [AutoMix, SAMix])
@pytest.mark.parametrize("name", NETS)
def test_one_epoch_moves_every_part(name: str, kind: Any, precision: str) -> None:
    make, stage = NETS[name]
    net = make(generator=seeded())
    learner = kind(net, stage=stage, image_size=16, momentum=0.5, generator=seeded(1))
    parts = (net, learner.block, learner.mix_head, learner.twin)
    before = [torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]
    history = ml.fit(
        net,
        Blobs(12, channels=3, size=16),
        learner,
        epochs=1,
        batch_size=6,
        precision=precision,
        accelerator="cpu",
        progress=False,
    )
    assert {"clean", "mixed", "generator", "mask"} <= set(history.last)
    after = [torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]
    assert all(part.isfinite().all() and part.dtype == torch.float32 for part in after)
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize(("precision", "kind"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_twins_passes_have_the_precision_of_the_run(precision: str, kind: torch.dtype) -> None:
    net = ml.nets.resnet(8, 4, width=2, generator=seeded())
    learner = AutoMix(net, stage="stage2", image_size=16, plain_beyond=0.0)
    seen: dict[str, list[torch.dtype]] = {}
    parts = {"net": net, "twin": learner.twin["net"], "head": learner.twin["mix_head"]}
    parts |= {"mix_head": learner.mix_head, "block": learner.block}
    for name, part in parts.items():
        first = part.stem[0] if hasattr(part, "stem") else part
        first.register_forward_hook(lambda m, i, out, name=name: seen.setdefault(name, []).append(out.dtype))
    data = Blobs(6, channels=3, size=16)
    ml.fit(net, data, learner, epochs=1, precision=precision, accelerator="cpu", progress=False)
    assert seen == {
        name: [kind] * (1 if "head" in name else 2) for name in ("net", "twin", "head", "mix_head")
    } | {"block": [torch.float32] * 2}
    assert learner.autocast is nullcontext, "it is as it was before"


class Watched(AutoMix):
    """Keeps the learner's and the network's state of each process after each step."""

    folder = Path()

    def after_step(self, model: nn.Module) -> None:
        super().after_step(model)
        rank = dist.get_rank() if dist.is_initialized() else 0
        state = {"learner": self.state_dict(), "net": model.state_dict()}
        torch.save(state, self.folder / f"{rank}.pt")


class WatchedSAMix(Watched, SAMix):
    """The same of SAMix."""


def train(kind: type[Watched], name: str, folder: Path, devices: int) -> None:
    """Two steps on seven images, so that processes have slices of different sizes."""
    make, stage = NETS[name]
    net = make(generator=seeded())
    learner = kind(net, stage=stage, image_size=16, momentum=0.5, plain_beyond=0.0, generator=seeded(1))
    learner.folder = folder
    sgd = partial(torch.optim.SGD, lr=0.1)
    optimizer, schedule = block_apart(learner, sgd, None, {"lr": 10.0})
    ml.fit(
        net,
        Blobs(14, channels=3, size=16),
        learner,
        epochs=1,
        batch_size=7,
        optimizer=optimizer,
        schedule=schedule,
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        progress=False,
    )
    torch.save(torch.cat([weights(net), weights(learner)]), folder / "end.pt")


def _kept(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    """All numbers of one process by their names."""
    state = torch.load(folder / f"{rank}.pt", weights_only=True)
    return {f"{part}.{name}": value for part, found in state.items() for name, value in found.items()}


@pytest.mark.parametrize("kind", [Watched, WatchedSAMix])
def test_two_processes_do_what_one_does(kind: type[Watched], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, devices in ((one, 1), (two, 2)):
        folder.mkdir()
        assert apart(train, kind, "vit", folder, devices) == 0
    alone, first, second = _kept(one, 0), _kept(two, 0), _kept(two, 1)
    assert any(name.startswith("learner.twin.") for name in first) and first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.load(two / "end.pt"), torch.load(one / "end.pt"), rtol=1e-4, atol=1e-5)


def test_processes_agree_where_each_normalises_its_own_slice(tmp_path: Path) -> None:
    assert apart(train, Watched, "resnet", tmp_path, 2) == 0
    first, second = _kept(tmp_path, 0), _kept(tmp_path, 1)
    for name, value in first.items():  # running means are those of a slice, as always without SyncBatchNorm
        assert "running_" in name or torch.equal(value, second[name]), name
    assert any(name.startswith("learner.twin.") and "running_" not in name for name in first)


@pytest.mark.parametrize("name", ["resnet", "torchvision"])
def test_only_the_stage_that_is_looked_at_is_gathered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, stage = NETS[name]
    net, gathered = make(generator=seeded()), []

    class Gather:
        @staticmethod
        def apply(features: torch.Tensor, sizes: list[int], rank: int) -> torch.Tensor:
            gathered.append(tuple(features.shape[1:]))
            return features

    monkeypatch.setattr(processes, "_Gather", Gather)
    shared, images = processes.Shared(net, 0, 1), torch.rand(2, 3, 32, 32, generator=seeded())
    whole = pooled(shared, images)
    assert gathered == [(net.features,), (4,)]  # and the logits, which are not asked for
    assert whole.shape == (2, net.features)
    gathered.clear()
    found = staged(shared, images, stage, whole=True)
    assert gathered == [tuple(found.shape[1:]), (4,)]


def test_timms_and_torchvisions_networks_are_taken_as_they_are() -> None:
    body = torchvision.models.resnext50_32x4d(num_classes=4)
    net = ml.nets.Tapped(body)
    learner = AutoMix(net, image_size=64)
    assert learner.block.channels == 1024 and learner.mix_head.in_features == 2048
