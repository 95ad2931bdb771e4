"""The book's GPU cells need what they say, fit their cards, and run: two steps of each, small networks."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import voc

import mixlearn as ml
from mixlearn.methods import learners
from mixlearn.train.fit import History, fit
from tests import gpu
from tests.data.test_cifar import packed
from tests.prose import cells, prose

SIZES = {True: "small", False: "full"}
EVERY = [pytest.param(page, small, id=f"{page}-{SIZES[small]}") for page in gpu.PAGES for small in SIZES]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with all data sets, each a few pictures, to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path))
    gpu.write_folders(tmp_path), gpu.write_birds(tmp_path), gpu.write_objects(tmp_path)
    for name in ("cifar10", "cifar100"):
        archive = packed(name, monkeypatch)
        (tmp_path / archive.kind.filename).write_bytes(archive.packed)
    monkeypatch.setattr(voc, "download_and_extract_archive", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a card")
    for depth in (18, 50):
        real = getattr(models, f"resnet{depth}")
        monkeypatch.setattr(models, f"resnet{depth}", lambda weights, real=real: real())


def execute(page: str, small: bool, before: Any = None, shrunk: Any = ()) -> dict[str, Any]:
    """Run the cells of a page one after the other; `before` is told each."""
    space: dict[str, Any] = {"__name__": "cells"}
    for name, code in gpu.scripts(page):
        code = re.sub(r"^SMALL(,.*)? = True", rf"SMALL\1 = {small}", code, flags=re.MULTILINE)
        for old, new in shrunk:
            code = re.sub(rf"\b{old}\b", new, code)
        if before is not None and before(name, code, space):
            continue
        exec(compile(code, f"{page}, {name}", "exec"), space)
    return space


# ----------------------------------------------------------------------------------- what is said is so
@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("page", "small"), EVERY)
def test_cells_need_what_they_say_and_fit_their_card(
    page: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs: list[tuple[float, float]] = []  # of the cell that runs: bytes and operations of each training
    found: dict[str, tuple[str, float, float]] = {}  # of each cell

    def measured(net: Any, data: Any, learner: Any, **given: Any) -> History:
        loader = isinstance(data, DataLoader)
        shape = (data.dataset if loader else data)[0][0].shape
        batch = data.batch_size if loader else given["batch_size"]
        one = gpu.need(net, learner, given["optimizer"], shape, batch)
        needs.append((one.memory, one.flops * gpu.images_of(given["checkpoint"], small) * given["epochs"]))
        return History([{"epoch": 1, "loss": 0.0}])

    def before(name: str, code: str, space: dict[str, Any]) -> bool:
        space["keep"] = lambda *_, **__: None
        if needs:
            found[cell[0]] = (cell[1], max(m for m, _ in needs), sum(f for _, f in needs))
            needs.clear()
        cell[:] = [name, code]
        return name == "gpu-cifar-judged"

    cell: list[str] = []
    monkeypatch.setattr(ml, "fit", measured, raising=False)
    monkeypatch.setattr(ml, "measure", MagicMock(), raising=False)
    before("end", "", execute(page, small, before))
    assert set(found) == {name for name, code in gpu.scripts(page) if "# Full: " in code}
    wrong = []
    for name, (code, memory, flops) in found.items():
        said = gpu.stated(code, small)
        seconds = flops / (gpu.SHARE * gpu.FLOPS[said.card])
        true = [
            said.memory == pytest.approx(memory / gpu.GIB, rel=0.15),
            said.seconds == pytest.approx(seconds, rel=0.15),
            1.1 * memory + gpu.GIB < 0.93 * said.size * gpu.GIB,  # what libraries take, and gaps
            not small or seconds <= 600,
        ]
        if not all(true):
            wrong.append(f"{name}: {memory / gpu.GIB:.3f} GiB, {seconds / 60:.2f} minutes; {true}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", gpu.PAGES)
def test_each_training_states_its_needs_and_keeps_a_record(page: str) -> None:
    for name, code in gpu.scripts(page):
        if "ml.fit(" in code and "def transfer" not in code and name != "before":
            assert gpu.HEAD.search(code), code[:80]
            assert '"cuda"' in code or "**gpu" in code
            assert "checkpoint" in code
    kept = "".join(code for name, code in gpu.scripts(page) if name not in ("before", "keep-record"))
    assert kept.count("keep(") >= kept.count("ml.fit(")


def test_the_record_keeper_is_the_same_everywhere() -> None:
    assert len({dict(gpu.scripts(page))["keep-record"] for page in gpu.PAGES}) == 1


def test_the_table_is_that_of_the_cells() -> None:
    def short(time: str, unit: str) -> str:
        number = time if float(time) < 2 else f"{float(time):.0f}"
        return f"{number} {({'minutes': 'min', 'hours': 'h'}).get(unit, unit)}"

    text = prose("gpu").replace("\xa0", " ")
    rows = [row for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) if re.search(r"\d GiB", row)]
    said = []
    for page in gpu.PAGES:
        for _, code in gpu.scripts(page):
            if head := gpu.HEAD.search(code):
                card, size, memory, *time, less, minutes, unit = head.groups()
                epochs = re.search(r"epochs.* if SMALL else \(?(\d+)", code)
                assert epochs, code[:80]
                need = f"{memory} GiB | {short(*time)} | {less} GiB | {short(minutes, unit)}"
                said.append(f"{epochs[1]} | {card} {size} GB | {need}")
    assert sorted(re.sub(r"^.*? \| (\d × )?", "", row) for row in rows) == sorted(said)


def test_the_sums_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, Any] = {}
    code = {cell["id"]: "".join(cell["source"]) for cell in cells("gpu", "code")}
    exec(code["gpu-first-sum"], space)
    exec(code["gpu-second-sum"], space)
    found = re.findall(r"([\d.]+) (?:MiB|hours)", capsys.readouterr().out)
    total = float(found[1]) + 100 * float(found[2]) / 2
    text = prose("gpu")
    assert f"{float(found[1]):.0f} + 100 × {float(found[2]) / 2} = {total:.0f} MiB, or" in text
    assert f"or {total / 1024:.2f} GiB" in text and "4.3 hours. Small: T4, 0.38 GiB" in code["gpu-cifar10"]
    assert found[-1] == "4.3" and gpu.SHARE * gpu.FLOPS["T4"] == 6.5e12


def test_numbers_in_prose_about_patchmix() -> None:
    net = ml.nets.vit(10, size=32, patch=2, dim=768, depth=12, heads=12)
    view = partial(ml.augment.contrastive_view, mean=(0.5,) * 3, std=(0.2,) * 3)
    adam = partial(torch.optim.AdamW, lr=1e-3)
    base = gpu.need(net, learners.PatchMix(net, augment=view), adam, (3, 32, 32), 512).memory / gpu.GIB
    said = re.findall(r"needs? about (\d+) GiB", prose("07_patchmix_details") + prose("gpu"))
    net = ml.nets.vit(1000, size=224, patch=16, dim=384, depth=12, heads=12, any_size=True)
    small = partial(view, size=96)
    learner = learners.PatchMix(net, augment=view, small=small)
    cropped = gpu.need(net, learner, adam, (3, 224, 224), 1024)
    whole = cropped.memory / gpu.GIB
    uncropped = gpu.need(net, learners.PatchMix(net, augment=view), adam, (3, 224, 224), 1024)
    assert 1.9 < cropped.flops / uncropped.flops < 2.1
    told = "sixteen more queries for each image, at about twice the arithmetic"
    assert told in prose("07_patchmix_details")
    assert [float(number) for number in said] == pytest.approx([base, whole, whole], rel=0.05)


def test_the_count_is_that_of_a_layer_by_hand() -> None:
    """Linear, 1000 → 1000: weights, gradient and momentum, then per image what is saved and made."""
    net = torch.nn.Sequential()
    net.head = torch.nn.Linear(1000, 1000, bias=False)
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    few, many = (gpu.need(net, ml.learners.Plain(), sgd, (1000,), batch) for batch in (1000, 3000))
    assert few.flops == many.flops == 4e6  # forward, and back to the weights alone
    assert 3 * 4e6 < few.memory < many.memory
    assert 4 * 1000 < (many.memory - few.memory) / 2000 < 24 * 1000  # half and single precision


# --------------------------------------------------------------------------------------------- dry runs
class Few(DataLoader[Any]):
    """A loader with batches of four and no workers."""

    def __init__(self, data: Any, batch_size: int = 4, num_workers: int = 0, **given: Any) -> None:
        super().__init__(data, 4, **given)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("page", "small"), EVERY)
def test_cells_run(page: str, small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def short(net: Any, data: Any, learner: Any, **given: Any) -> History:
        assert (given.pop("accelerator"), given.pop("precision")) == ("cuda", "16-mixed")
        given["epochs"] = 1  # of two batches
        if not isinstance(data, Few):
            given["batch_size"] = len(data) // 2
        history = fit(net, data, learner, accelerator="cpu", progress=False, **given)
        again = fit(net, data, learner, accelerator="cpu", progress=False, **given)
        assert history.epochs == again.epochs  # the checkpoint was found
        steps.append(len(history.epochs))
        return history

    tiny = {"hidden": 8, "outside": 4, "predictor": 8}
    monkeypatch.setattr(ml, "fit", short, raising=False)
    monkeypatch.setattr(torch.utils.data, "DataLoader", Few)
    monkeypatch.setattr(ml.nets, "resnet", partial(ml.nets.resnet, width=8))
    vit = ml.nets.vit
    monkeypatch.setattr(ml.nets, "vit", lambda *a, **g: vit(*a, **g | {"dim": 24, "depth": 2}))
    monkeypatch.setattr(learners, "PatchMix", partial(learners.PatchMix, **tiny))
    execute(page, small, shrunk=[("224", "32"), ("100, 200", "50, 100")])
    kept = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert steps and len(kept) == len(steps)
    for name in kept:
        words = str(ml.runs.load(name, tmp_path).card())
        assert "peak memory" in words and "a card" in words


def test_a_box_follows_its_crop(tmp_path: Path) -> None:
    """The bird at 10…30 × 8…20 of 40 × 36 pixels, seen in the whole picture, mirrored, twice as large."""
    from torchvision.transforms import v2

    gpu.write_birds(tmp_path)
    space: dict[str, Any] = {"__name__": "cells"}
    parts = dict(gpu.scripts("gpu"))
    code = parts["gpu-cub-data"].split("\n\n\npart = ")[0]
    exec(f"from pathlib import Path\nimport torch\nfrom torchvision.transforms import v2\n{code}", space)
    change = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Resize((72, 80)), v2.PILToTensor()])
    birds = space["Birds"](tmp_path / "CUB_200_2011", "1", change)
    image, label, box = birds[0]
    assert len(birds) == 8 and image.shape == (3, 72, 80) and label == 1
    assert box.tolist() == [20, 16, 60, 40] and type(box) is torch.Tensor
