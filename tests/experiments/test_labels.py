"""Chapter 10's data: few labels, labels taken away, uneven classes; and what is measured of them."""

from functools import partial

import pytest
import torch

import mixlearn as ml
from experiments.chapters import chapter_10
from experiments.data import half_labelled, long_tailed
from experiments.examine import examine_classes, examine_scenes
from mixlearn.methods.ict import UNKNOWN
from tests.seeds import seeded
from tests.sets import Blobs


def test_half_of_the_images_have_a_label_and_all_are_there_without() -> None:
    part = ml.data.load("fashion").train.subset(60, generator=seeded())
    known = part.subset(20, generator=seeded(1))
    both = half_labelled(part, known)
    assert torch.equal(both.images[:60], part.images) and set(both.labels[:60].tolist()) == {UNKNOWN}
    for k in range(60):
        assert (
            torch.equal(both.images[60 + k], known.images[k % 20])
            and both.labels[60 + k] == known.labels[k % 20]
        )
    alone = half_labelled(part, known, alone=True)
    assert len(alone) == 120 and torch.equal(alone.labels.bincount(), 6 * known.labels.bincount())


def test_a_tail_has_the_counts_and_another_draw_other_images() -> None:
    part = ml.data.load("fashion").train
    counts = chapter_10.COUNTS
    assert counts[0] == 1000 and counts[-1] == 10 and sum(counts) == 2480
    one, again, other = (long_tailed(part, counts, seeded(seed)) for seed in (0, 0, 1))
    assert one.labels.bincount().tolist() == list(counts)
    assert torch.equal(one.images, again.images) and not torch.equal(one.images, other.images)


@pytest.mark.parametrize(
    "name", ["few-40-ict", "few-40-mixmatch", "divide-found", "divide-true", "uneven-balanced"]
)
def test_settings_train(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = chapter_10.few | chapter_10.divided | chapter_10.uneven
    seen: list[torch.Tensor] = []
    original = chapter_10.half_labelled
    monkeypatch.setattr(
        chapter_10,
        "half_labelled",
        lambda *given, **options: seen.append(given[1].labels) or original(*given, **options),
    )
    outcome = settings[name](epochs=1, width=2, batch_size=512, accelerator="cpu", progress=False)
    assert 0 <= outcome.final["test"]["accuracy"] <= 1
    if name.startswith("few"):
        assert seen[0].bincount().tolist() == [4] * 10 and outcome.settings["images"] == 4000
    if name == "divide-true":
        assert 480 < len(seen[0]) < 620  # half, and a tenth of the others by chance
    if name.startswith("uneven"):
        parts = [outcome.final[part]["accuracy"] for part in ("commonest", "between", "rarest")]
        mean = (3 * parts[0] + 4 * parts[1] + 3 * parts[2]) / 10  # the test set is even
        assert mean == pytest.approx(outcome.final["test"]["accuracy"], abs=1e-4)


def test_rare_classes_are_the_last() -> None:
    class Says(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.full((len(images),), 9), 10).float()

    found = examine_classes(Says(), data="fashion", counts=chapter_10.COUNTS)
    assert found["commonest"]["accuracy"] == found["between"]["accuracy"] == 0
    assert found["rarest"]["accuracy"] == pytest.approx(1 / 3, abs=0.01)


def test_each_way_of_mixing_scenes_is_measured_with_its_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []

    def segment(net, *, train, test, epochs, mix, unlabelled):
        asked.append((len(train), epochs, 0 if unlabelled is None else len(unlabelled)))
        return {"miou": 0.5}

    monkeypatch.setattr("experiments.examine.segment", segment)
    monkeypatch.setattr("experiments.examine.emoji_scenes", partial(_scenes, {}))
    given = {"mixes": {"plain": None, "cutmix": ml.cutmix_seg}, "few": 10}
    assert examine_scenes(Blobs(4), **given) == {"plain": {"miou": 0.5}, "cutmix": {"miou": 0.5}}
    examine_scenes(Blobs(4), **given, consistent=True)
    assert asked == [(10, 360, 0), (10, 360, 0), (10, 180, 0), (10, 180, 590)]


def _scenes(made: dict, part: str, count: int, *, generator: torch.Generator) -> ml.data.scenes.Scenes:
    one = ml.data.scenes.emoji_scenes(part, 1, size=32, generator=generator)
    many = {name: getattr(one, name) * count for name in ("boxes", "labels", "masks")}
    return ml.data.scenes.Scenes(
        one.images.expand(count, -1, -1, -1), **many, mean=one.mean, std=one.std, classes=one.classes
    )
