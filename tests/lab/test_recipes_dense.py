"""Full-size transfer on small fake sets: what is trained, what stays, and going on after an end."""

from __future__ import annotations

import os
import signal
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

import mixlearn as ml
from experiments.dense import models as dense_models
from experiments.dense.models import STAGES, FeaturePyramid, Stages, deeplab, dilate, faster_rcnn, taken
from experiments.dense.sets import ade20k, coco, voc
from experiments.dense.training import Steps, train_steps
from experiments.dense.views import cut_out, listed, mirrored, scaled
from experiments.recipes import dense as recipes_dense
from experiments.recipes.dense import detect_pictures, polynomial, segment_pictures
from mixlearn.nets.resnet import imagenet_stem, torchvision_resnet
from mixlearn.nets.taps import Tapped
from mixlearn.train.checkpoints import CheckpointError
from tests.lab.dense_sets import fake_ade, fake_coco, fake_voc
from tests.lab.sets import weights
from tests.seeds import seeded

QUICK: dict[str, Any] = {"accelerator": "cpu", "workers": 0, "progress": False}


def net(seed: int = 0) -> Any:
    return ml.nets.resnet(18, 10, width=4, stem=imagenet_stem, generator=seeded(seed))


# ------------------------------------------------------------------------------------------ networks
def test_dilation_is_torchvisions() -> None:
    """The same weights in a network that torchvision dilated itself."""
    parts = torchvision.models.resnet
    plain = parts.ResNet(parts.Bottleneck, [1, 1, 2, 2], num_classes=3, width_per_group=8).eval()
    theirs = parts.ResNet(
        parts.Bottleneck,
        [1, 1, 2, 2],
        num_classes=3,
        width_per_group=8,
        replace_stride_with_dilation=[False, True, True],
    ).eval()
    theirs.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 64, generator=seeded())
    found = Stages(dilate(Tapped(plain)))(images)
    expected = Stages(Tapped(theirs))(images)
    for name, features in expected.items():
        assert torch.equal(found[name], features)
    assert found["3"].shape[-2:] == found["1"].shape[-2:] == (8, 8)


def test_dilated_blocks_see_what_they_saw() -> None:
    """At every fourth place the dilated last stage shows what the plain one shows, far from the border."""
    torch.manual_seed(0)
    plain, images = net().eval(), torch.randn(1, 3, 512, 512, generator=seeded())
    before = Stages(plain)(images)["3"]
    after = Stages(dilate(plain))(images)["3"]
    inside = slice(5, -5)
    torch.testing.assert_close(after[..., ::4, ::4][..., inside, inside], before[..., inside, inside])


def test_a_copy_is_taken_without_its_head() -> None:
    backbone = net().requires_grad_(False)
    for held in (True, False):
        copy: Any = taken(backbone, held=held)
        trained = {name.split(".")[1] for name, weight in copy.named_parameters() if weight.requires_grad}
        frozen = {name.split(".")[0] for name, weight in copy.named_parameters() if not weight.requires_grad}
        assert trained >= ({"1", "2", "3"} if held else {"0", "1", "2", "3"})
        assert ("0" in trained) is not held and "head" in frozen
    assert not any(weight.requires_grad for weight in backbone.parameters())


def test_the_stem_is_trained_where_nothing_is_held() -> None:
    backbone: Any = net()
    assert all(weight.requires_grad for weight in taken(backbone, held=False).stem.parameters())
    assert not any(weight.requires_grad for weight in taken(backbone, held=True).stem.parameters())


def test_networks_of_torchvision_are_taken_with_and_without_taps() -> None:
    bare = torchvision.models.resnet18(num_classes=3)
    tapped = torchvision_resnet("resnet18", 3, weights=None, generator=seeded())
    for one in (bare, tapped):
        model = deeplab(one, 4).eval()
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 32, 32)
        held = faster_rcnn(one, 2, size=32, longest=32).backbone.body.net.net
        assert not held.conv1.weight.requires_grad and not held.layer1[0].conv1.weight.requires_grad
        assert held.layer2[0].conv1.weight.requires_grad and not held.fc.weight.requires_grad


@pytest.mark.parametrize("build", [faster_rcnn, deeplab])
def test_other_networks_are_refused(build: Any) -> None:
    for other in (ml.nets.resnet(8, 10, width=4), ml.nets.vit(4, dim=12, depth=1), nn.Linear(2, 2)):
        with pytest.raises(
            ValueError, match=f"taps stage1, stage2, stage3, stage4, got a {type(other).__name__}"
        ):
            build(other, 3)


# ------------------------------------------------------------------------------------------ views
def test_parts_of_pictures_keep_image_and_labels_together() -> None:
    labels = torch.zeros(40, 60, dtype=torch.int64)
    labels[10:30, 20:50] = 1
    image = labels.expand(3, -1, -1).float()
    middle = 0.5 * (scaled(torch.zeros(3, 2, 2), 2)[0, 0, 0] + scaled(torch.ones(3, 2, 2), 2)[0, 0, 0])
    parts, shown = set(), []
    for seed in range(30):
        part, known = cut_out(image, labels, size=32, generator=seeded(seed))
        assert part.shape == (3, 32, 32) and known.shape == (32, 32)
        there = known != 255
        agree = (part[0] > middle) == (known == 1)
        assert float(agree[there].float().mean()) > 0.93 and not part[:, ~there].any()
        parts.add(tuple(known.flatten().tolist()))
        shown.append(float(there.float().mean()))
    assert len(parts) == 30 and min(shown) < 0.8 and max(shown) == 1
    again = cut_out(image, labels, size=32, generator=seeded(29))
    assert torch.equal(again[0], part) and torch.equal(image, labels.expand(3, -1, -1).float())


def test_objects_that_are_not_to_be_found_are_not_trained_on(tmp_path: Path) -> None:
    image, target = coco(fake_coco(tmp_path))[0]
    seen = [mirrored(image, target, generator=seeded(seed)) for seed in range(8)]
    turned = [not torch.equal(one, image) for one, _ in seen]
    assert any(turned) and not all(turned)
    for (_, found), flip in zip(seen, turned, strict=True):
        assert found["boxes"].tolist() == [[20, 3, 30, 11] if flip else [2, 3, 12, 11]]
        assert found["labels"].tolist() == [1] and set(found) == {"boxes", "labels"}
    images, targets = listed([(image, target)])
    assert targets[0]["labels"].tolist() == [2, 1] and target["labels"].tolist() == [1, 0]
    assert targets[0]["iscrowd"].tolist() == [0, 1] and torch.equal(images[0], image)


# ------------------------------------------------------------------------------------------ steps
def test_each_pass_shows_each_picture_once_in_an_order_of_its_own() -> None:
    batches = list(Steps(6, 2, start=0, stop=9, seed=1))
    passes = [[index for batch in batches[k : k + 3] for index, _ in batch] for k in (0, 3, 6)]
    assert all(sorted(order) == list(range(6)) for order in passes) and passes[0] != passes[1]
    numbers = [number for batch in batches for _, number in batch]
    assert numbers == list(range(18))
    assert list(Steps(6, 2, start=4, stop=9, seed=1)) == batches[4:]
    assert list(Steps(6, 2, start=0, stop=9, seed=2)) != batches
    with pytest.raises(ValueError, match="batch_size must be between 1 and the 6 pictures, got 7"):
        Steps(6, 7, start=0, stop=1, seed=0)


def test_the_rate_falls_to_zero() -> None:
    rates = [polynomial(step, 10) for step in range(11)]
    assert rates[0] == 1 and rates[-1] == 0 and rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.5**0.9)


class Shaky(nn.Module):
    """A linear layer with dropout and running means."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        for weight in self.inner.parameters():
            nn.init.normal_(weight, 0, 0.3, generator=seeded(weight.numel()))

    def forward(self, batch: Tensor) -> Tensor:
        found: Tensor = self.inner(batch)
        return found


def noisy(image: Tensor, target: int, *, generator: torch.Generator) -> tuple[Tensor, int]:
    return image + torch.randn(image.shape, generator=generator), target


class Trial:
    """A short run, which something may end at its third step."""

    data = [(torch.full((4,), float(i)), i) for i in range(7)]

    def __init__(self, end: Any = None) -> None:
        self.end, self.count = end, 0

    def loss(self, model: Any, batch: Any) -> Tensor:
        self.count += 1
        if self.end is not None and self.count == 3:
            self.end()
        return F.mse_loss(model(batch[0])[:, 0], batch[1].float())

    def run(self, model: nn.Module, **options: Any) -> Any:
        given: dict[str, Any] = {"steps": 6, "batch_size": 2, "view": noisy, "schedule": polynomial}
        given |= {"optimizer": torch.optim.Adam, "collate": torch.utils.data.default_collate}
        return train_steps(model, self.data, self.loss, **{**given, **QUICK, **options})


@pytest.mark.parametrize("every", [1, 2, 4])
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, every: int) -> None:
    whole, broken, again = Shaky(), Shaky(), Shaky()
    state = torch.random.get_rng_state()
    history = Trial().run(whole, checkpoint_every=every)
    file = tmp_path / "run.ckpt"

    def fails() -> None:
        raise RuntimeError("the power is gone")

    with pytest.raises(RuntimeError, match="the power is gone"):
        Trial(fails).run(broken, checkpoint=file, checkpoint_every=every)
    assert file.exists() is (every <= 2)
    rest = Trial()
    resumed = rest.run(again, checkpoint=file, checkpoint_every=every, resume=True)
    assert rest.count == (4 if every <= 2 else 6)
    assert torch.equal(weights(again), weights(whole)) and not torch.equal(weights(broken), weights(whole))
    kept = [[(row["step"], row["loss"], row["rate"]) for row in one.epochs] for one in (history, resumed)]
    assert kept[0] == kept[1] and kept[0][-1][0] == 6
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_ends_a_run_between_two_steps(tmp_path: Path, workers: int) -> None:
    whole, again, file = Shaky(), Shaky(), tmp_path / "run.ckpt"
    Trial().run(whole)

    def pressed() -> None:
        for process in (*active_children(), None):  # a terminal tells all of them
            os.kill(os.getpid() if process is None else process.pid or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped after 3 of 6 steps; go on with resume=True"):
        Trial(pressed).run(Shaky(), checkpoint=file, workers=workers)
    rest = Trial()
    rest.run(again, checkpoint=file, resume=True)
    assert rest.count == 3 and torch.equal(weights(again), weights(whole))


def test_a_row_counts_its_losses_however_often_rows_come(tmp_path: Path) -> None:
    file = tmp_path / "run.ckpt"
    whole = Trial().run(Shaky(), checkpoint_every=4)

    def pressed() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped after 3 of 6 steps"):
        Trial(pressed).run(Shaky(), checkpoint=file, checkpoint_every=10)
    resumed = Trial().run(Shaky(), checkpoint=file, checkpoint_every=2, resume=True)
    assert [row["step"] for row in resumed.epochs] == [4, 6]
    assert resumed.epochs[0]["loss"] == pytest.approx(whole.epochs[0]["loss"])


def test_processes_that_read_pictures_change_nothing() -> None:
    alone, helped = Shaky(), Shaky()
    Trial().run(alone)
    Trial().run(helped, workers=2)
    assert torch.equal(weights(alone), weights(helped))


def test_other_runs_checkpoints_and_bad_losses_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.ckpt"
    Trial().run(Shaky(), checkpoint=file)
    with pytest.raises(CheckpointError, match="belongs to a run with .*'seed': 0.*'seed': 1"):
        Trial().run(Shaky(), checkpoint=file, resume=True, seed=1)
    with pytest.raises(CheckpointError, match="holds another model or optimiser"):
        Trial().run(nn.Linear(4, 1), checkpoint=file, resume=True)
    with pytest.raises(ValueError, match="resume needs checkpoint="):
        Trial().run(Shaky(), resume=True)
    with pytest.raises(ValueError, match="steps must be a positive integer, got 0"):
        Trial().run(Shaky(), steps=0)
    broken = Shaky()
    with torch.no_grad():
        broken.inner[3].bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss of step 1 of 6 is nan"):
        Trial().run(broken)


# ------------------------------------------------------------------------------------------ recipes
@pytest.mark.parametrize("name", ["coco", "voc"])
def test_two_steps_of_detection(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_models, "FeaturePyramid", partial(FeaturePyramid, channels=8))
    fake_coco(tmp_path / "coco"), fake_voc(tmp_path / "VOCdevkit")
    backbone = net()
    before, state = weights(backbone), torch.random.get_rng_state()
    found = detect_pictures(
        backbone, name, root=tmp_path, steps=2, batch_size=2, size=48, longest=64, **QUICK
    )
    assert list(found.final["test"]) == ["map", "map50"] and 0 <= found.final["test"]["map"] <= 1
    assert found.history.last["step"] == 2 and found.settings["steps"] == 2
    assert f"lr={0.02 if name == 'coco' else 0.01}" in found.settings["optimizer"]
    assert torch.equal(weights(backbone), before)
    assert torch.equal(torch.random.get_rng_state(), state)
    copy: Any = found.model.backbone.body.net
    for new, old in zip(copy.buffers(), backbone.buffers(), strict=True):  # running means
        assert torch.equal(new, old)
    for part in ("stem", "head"):
        assert torch.equal(weights(getattr(copy, part)), weights(getattr(backbone, part)))
    assert torch.equal(weights(copy.groups[0]), weights(backbone.groups[0]))
    for new, old in zip(copy.groups[1:].parameters(), backbone.groups[1:].parameters(), strict=True):
        assert not torch.equal(new, old)


def test_detection_is_trained_on_pictures_that_show_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def noted(model: Any, data: Any, *given: Any, **options: Any) -> Any:
        seen.append((len(data), options["steps"], options["schedule"]))
        raise InterruptedError

    monkeypatch.setattr(recipes_dense, "train_steps", noted)
    data = coco(fake_coco(tmp_path, count=9), masks=False)
    with pytest.raises(InterruptedError):
        detect_pictures(net(), data=(data, data), batch_size=2)
    count, steps, schedule = seen[0]
    assert count == 8 and steps == 12 * 4  # the last picture shows nothing
    rates = [round(schedule(step, steps), 9) for step in (0, 5, 31, 32, 43, 44)]
    assert rates[1:] == [1, 1, 0.1, 0.1, 0.01] and rates[0] < 1
    empty = type(data)("empty", data.files[-1:], lambda index, size: data.read(8, size), data.classes)
    with pytest.raises(ValueError, match="shows no objects to train on"):
        detect_pictures(net(), data=(empty, data))
    for wrong in ("epochs", "batch_size"):
        with pytest.raises(ValueError, match=f"{wrong} must be a positive integer, got 0"):
            detect_pictures(net(), data=(data, data), **{wrong: 0})


@pytest.mark.parametrize("name", ["voc", "ade20k"])
def test_two_steps_of_segmentation(name: str, tmp_path: Path) -> None:
    fake_voc(tmp_path / "VOCdevkit", (2012,)), fake_ade(tmp_path / "ADEChallengeData2016")
    backbone = net()
    before = weights(backbone)
    found = segment_pictures(backbone, name, root=tmp_path, steps=2, batch_size=2, size=32, **QUICK)
    assert list(found.final["test"]) == ["miou", "accuracy"] and found.history.last["step"] == 2
    assert found.model.head[-1].out_channels == (21 if name == "voc" else 3)
    assert torch.equal(weights(backbone), before)
    copy: Any = found.model.body.net
    assert torch.equal(weights(copy.head), weights(backbone.head))
    for part in (*STAGES, "stem"):
        new, old = (
            one.stem if part == "stem" else one.groups[STAGES.index(part)] for one in (copy, backbone)
        )
        for changed, kept in zip(new.parameters(), old.parameters(), strict=True):
            assert not torch.equal(changed, kept)


def test_resumed_segmentation_equals_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = fake_voc(tmp_path / "VOCdevkit", (2012,))
    data = voc(base, "trainaug", show="pixels"), voc(base, "val", show="pixels")
    given: dict[str, Any] = {"data": data, "steps": 4, "batch_size": 2, "size": 24, **QUICK}
    whole = segment_pictures(net(), **given)
    kept = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 2}
    loss, calls = recipes_dense._segmentation_loss, []

    def breaks(model: Any, batch: Any) -> Tensor:
        calls.append(batch)
        if len(calls) == 4:
            raise RuntimeError("the power is gone")
        return loss(model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(recipes_dense, "_segmentation_loss", breaks)
        with pytest.raises(RuntimeError, match="the power is gone"):
            segment_pictures(net(), **given, **kept)
    again = segment_pictures(net(), **given, **kept, resume=True)
    assert torch.equal(weights(again.model), weights(whole.model)) and again.final == whole.final


def test_pixels_that_do_not_count_are_without_loss() -> None:
    labels = torch.full((2, 4, 4), 255)
    logits = torch.randn(2, 3, 4, 4, generator=seeded()), torch.randn(2, 3, 4, 4, generator=seeded(1))
    assert recipes_dense._segmentation_loss(lambda images: logits, (None, labels)) == 0
    labels[0, 0, :2] = torch.tensor([1, 2])
    counted = [F.cross_entropy(one[:1, :, 0, :2], labels[:1, 0, :2]) for one in logits]
    found = recipes_dense._segmentation_loss(lambda images: logits, (None, labels))
    torch.testing.assert_close(found, counted[0] + 0.4 * counted[1])


def test_other_sets_and_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name must be one of coco, voc, got 'ade20k'"):
        detect_pictures(net(), "ade20k")
    with pytest.raises(ValueError, match="name must be one of voc, ade20k, got 'coco'"):
        segment_pictures(net(), "coco")
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1"):
        segment_pictures(net(), batch_size=1)
    data = ade20k(fake_ade(tmp_path))
    with pytest.raises(ValueError, match="batch_size must be between 1 and the 2 pictures, got 16"):
        segment_pictures(net(), data=(data, data), **QUICK)
    with pytest.raises(FileNotFoundError, match="cocodataset"):
        detect_pictures(net(), root=tmp_path)
