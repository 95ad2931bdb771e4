"""Whatever ends a run, going on gives the weights of an unbroken one; a bad checkpoint is refused by name."""

import os
import pickle
import signal
from dataclasses import dataclass
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
from tests.refused import refused
from tests.sets import Blobs, weights


class Interrupting(nn.Module):
    """Mixing with a parameter of its own, that sends this process a signal at a chosen step."""

    def __init__(self, at: int | None = None, number: int = signal.SIGKILL) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.at, self.number, self.calls = at, number, 0
        self.mixing = ml.learners.Mixing(ml.mixup, 4)

    def forward(self, model, images, labels, *, generator):
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), self.number)
        return self.mixing(lambda x: self.scale * model(x), images, labels, generator=generator)


def _net() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return nn.Sequential(
        ml.nets.resnet(8, 8, width=8, channels=1, generator=generator), nn.Dropout(0.3), nn.Linear(8, 4)
    )


def _source(kind: str):
    data = Blobs(40)
    if kind == "memory":
        return data
    generator = torch.Generator() if kind == "loader with a generator" else None
    return DataLoader(data, batch_size=8, shuffle=True, generator=generator)


def _train(
    kind: str, learner: nn.Module, path: Path | None, every: int | None = 3
) -> tuple[torch.Tensor, ml.fit]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _net()
    given = {"augment": ml.augment.crop_and_flip, "ema": 0.9, "accelerator": "cpu", "progress": False}
    if path is not None:
        given |= {"checkpoint": path, "checkpoint_every": every, "resume": True}
    history = ml.fit(net, _source(kind), learner, epochs=3, batch_size=8, **given)
    averaged = torch.cat([value.double().flatten() for value in history.averaged.values()])
    return torch.cat([weights(net), averaged, weights(learner)]), history


@pytest.mark.parametrize("kind", ["memory", "loader", "loader with a generator"])
def test_kill_9_in_mid_epoch_then_resume_gives_equal_weights(kind: str, tmp_path: Path) -> None:
    unbroken, history = _train(kind, Interrupting(), None)
    path = tmp_path / "run.pt"
    assert apart(_train, kind, Interrupting(at=9), path) == -signal.SIGKILL
    place = checkpoints.load(path)["place"]
    assert place == {"step": 6, "epoch": 1, "batch": 1}
    resumed, again = _train(kind, Interrupting(), path)
    assert torch.equal(unbroken, resumed)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in h.epochs] for h in (history, again)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("at", "every", "place"),
    [
        (8, None, {"step": 8, "epoch": 1, "batch": 3}),
        (5, 3, {"step": 5, "epoch": 0, "batch": 5}),  # the last step of an epoch
        (15, 3, {"step": 15, "epoch": 2, "batch": 5}),  # and of the run
    ],
)
def test_ctrl_c_leaves_a_checkpoint_of_the_step_just_done(
    at: int, every: int | None, place: dict[str, int], tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)  # a shell starts what runs in its background with it ignored
    unbroken, _ = _train("memory", Interrupting(), None)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt, match=f"stopped after {at} of 15 steps"):
        _train("memory", Interrupting(at=at, number=signal.SIGINT), path, every=every)
    assert checkpoints.load(path)["place"] == place
    assert signal.getsignal(signal.SIGINT) is before
    resumed, history = _train("memory", Interrupting(), path)
    assert torch.equal(unbroken, resumed) and len(history.epochs) == 3


def test_a_finished_run_is_only_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    first, _ = _train("memory", Interrupting(), path)
    learner = Interrupting()
    again, history = _train("memory", learner, path)
    assert torch.equal(first, again) and learner.calls == 0 and len(history.epochs) == 3


def _die_in_the_middle(path: Path) -> None:
    def half(file) -> None:
        file.write(b"PK" + bytes(100))
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.write_whole(path, half)


def test_killed_while_saving_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"value": torch.ones(3)})

    assert apart(_die_in_the_middle, path) == -signal.SIGKILL
    assert torch.equal(checkpoints.load(path)["value"], torch.ones(3))


def test_a_save_that_fails_leaves_the_old_checkpoint_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"value": 1})
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        checkpoints.save(path, {"value": lambda: None})
    assert checkpoints.load(path)["value"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["run.pt"]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def test_truncated_and_foreign_files_are_refused_by_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.pt"
    _train("memory", Interrupting(), path)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        with pytest.raises(
            CheckpointError, match=rf"run\.pt is truncated or no checkpoint of mixlearn \({size} bytes\)"
        ):
            _train("memory", Interrupting(), path)
    path.write_bytes(pickle.dumps({"model": Evil()}))
    with pytest.raises(CheckpointError, match=r"run\.pt is truncated or no checkpoint"):
        _train("memory", Interrupting(), path)
    torch.save({"model": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"run\.pt is damaged, or no checkpoint"):
        _train("memory", Interrupting(), path)
    assert not (tmp_path / "was-run").exists()
    torch.save(nn.Linear(1, 1).state_dict(), path)
    with pytest.raises(CheckpointError, match=r"run\.pt is no checkpoint of mixlearn: its format is None"):
        _train("memory", Interrupting(), path)


def test_a_flipped_byte_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    checkpoints.save(path, {"value": torch.arange(10000.0)})
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    refused(lambda: checkpoints.load(path), r"run\.pt is damaged", CheckpointError)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "belongs to a run with seed = 0, this one has 1"),
        ({"epochs": 5}, "belongs to a run with epochs = 2, this one has 5"),
        ({"batch_size": 4}, "belongs to a run with batch_size = 8, this one has 4"),
        ({"model": nn.Linear(3, 3)}, "holds another network or optimiser: .*Missing key"),
        ({"data": Blobs(24)}, "belongs to a run with images = 16, this one has 24"),
        ({"learner": ml.learners.Mixing(ml.mixup, 4)}, r"learner = 'Plain\(\)', .* has 'Mixing\(mixup\)'"),
        (
            {"optimizer": partial(torch.optim.SGD, lr=0.5)},
            r"'SGD\(lr=0.1, mom.* has 'SGD\(lr=0.5\)'",
        ),
        ({"schedule": None}, "schedule = 'cosine', this one has 'None'"),
        ({"augment": ml.augment.crop_and_flip}, "augment = 'None', this one has 'crop_and_flip'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(change: dict, words: str, tmp_path: Path) -> None:
    given = {"epochs": 2, "batch_size": 8, "seed": 0, "accelerator": "cpu", "progress": False}
    given |= {"checkpoint": tmp_path / "run.pt", "resume": True}
    given |= {"model": ml.nets.mlp(64, (4,), 4), "data": Blobs(16), "learner": ml.learners.Plain()}
    ml.fit(**given)
    with pytest.raises(CheckpointError, match=words):
        ml.fit(**given | {"model": ml.nets.mlp(64, (4,), 4)} | change)


class Nameless:
    """A learner whose repr holds its address, with a progress of its own."""

    def __call__(self, model, images, labels, *, generator):
        return {"labels": nn.functional.cross_entropy(model(images), labels)}


@dataclass
class Moving(Nameless):
    progress: float = 0.0

    def advance(self, progress: float) -> None:
        self.progress = progress


@pytest.mark.parametrize("kind", [Nameless, Moving])
def test_addresses_and_progress_do_not_tell_runs_apart(kind: type, tmp_path: Path) -> None:
    given = {"epochs": 2, "accelerator": "cpu", "progress": False, "checkpoint": tmp_path / "run.pt"}
    learners = [kind(), kind()]
    for learner in (*learners, learners[0]):
        history = ml.fit(ml.nets.mlp(64, (4,), 4), Blobs(16), learner, resume=True, **given)
        assert len(history.epochs) == 2
    with pytest.raises(CheckpointError, match=rf"learner = '.*{kind.__name__}.*', this one has 'Plain"):
        ml.fit(ml.nets.mlp(64, (4,), 4), Blobs(16), ml.learners.Plain(), resume=True, **given)
    state = checkpoints.load(tmp_path / "run.pt")  # as older ones are
    for name in ("learner", "optimizer", "schedule", "augment"):
        del state["settings"][name]
    checkpoints.save(tmp_path / "run.pt", state)
    ml.fit(ml.nets.mlp(64, (4,), 4), Blobs(16), ml.learners.Plain(), resume=True, **given)
