"""The emoji scenes are whole, balanced and honest in their splits."""

from collections.abc import Iterator

import pytest
import torch

import mixlearn as ml
from mixlearn.data.sets import Data, ImageSet
from tests.data.host import DATA


@pytest.fixture(scope="module")
def emoji() -> Data[ImageSet]:
    return ml.data.load("emoji", size=64)


def parts(data: Data[ImageSet]) -> Iterator[tuple[str, ImageSet]]:
    yield "train", data.train
    yield from data.tests.items()


def column(part: ImageSet, key: str) -> set[str]:
    assert part.sources is not None
    return {row[key] for row in part.sources}


def test_emoji_scenes_are_balanced_and_whole(emoji: Data[ImageSet]) -> None:
    assert len(emoji.classes) == 10
    for name, part in parts(emoji):
        each = 720 if name == "train" else 110
        assert part.labels.bincount(minlength=10).tolist() == [each] * 10
        assert part.images.shape[1:] == (3, 64, 64)
        assert part.masks is not None and part.masks.shape == (len(part), 1, 64, 64)
        assert part.sources is not None
        assert [row["class"] for row in part.sources] == [emoji.classes[k] for k in part.labels.tolist()]
    assert emoji.test is emoji.tests["concepts"]
    small = ml.data.load("emoji")
    direct = torch.nn.functional.avg_pool2d(emoji.train.images[:50].double(), 2)
    assert float((small.train.images[:50].double() - direct).abs().max()) <= 0.5
    assert small.sha256 == emoji.sha256 and small.train.names == emoji.train.names


def test_concepts_of_the_test_part_never_occur_in_training(emoji: Data[ImageSet]) -> None:
    train, concepts = column(emoji.train, "code point"), column(emoji.tests["concepts"], "code point")
    assert not train & concepts
    assert column(emoji.tests["concepts"], "set") <= column(emoji.train, "set")
    kin = (DATA / "emoji_classes.txt").read_text(encoding="utf8").splitlines()
    groups = [
        {f"U+{one.split(' ')[0].upper()}" for one in line.split(" + ")}
        for line in kin
        if line[:1] not in ("", "#", "[")
    ]
    assert not [group for group in groups if group & train and group & concepts]
    for k in range(10):
        rows = emoji.tests["concepts"].sources or []
        assert len({row["concept"] for row in rows if row["class"] == emoji.classes[k]}) >= 4


def test_the_designer_of_the_other_test_part_never_occurs_in_training(emoji: Data[ImageSet]) -> None:
    assert column(emoji.tests["designers"], "set") == {"twemoji"}
    assert "twemoji" not in column(emoji.train, "set") | column(emoji.tests["concepts"], "set")
    assert column(emoji.tests["designers"], "code point") <= column(emoji.train, "code point")


def test_backgrounds_never_cross_the_split(emoji: Data[ImageSet]) -> None:
    train = column(emoji.train, "photograph")
    assert len(train) >= 15
    for part in emoji.tests.values():
        assert not train & column(part, "photograph")
        assert part.sources is not None
        for row in part.sources:
            assert row["licence"].lower() in ("public domain", "cc0-1.0"), row


def test_masks_and_boxes_fit_the_drawings(emoji: Data[ImageSet]) -> None:
    for _, part in parts(emoji):
        assert part.masks is not None and part.boxes is not None
        share = part.masks.float().mean((1, 2, 3)) / 255
        assert float(share.min()) > 0.02 and float(share.max()) < 0.95
        x0, y0, x1, y1 = part.boxes.unbind(1)
        assert bool((x0 >= 0).all() & (y0 >= 0).all() & (x1 <= 64).all() & (y1 <= 64).all())
        longer = torch.maximum(x1 - x0, y1 - y0).float() / 64
        assert float(longer.min()) > 0.3 and float(longer.mean()) > 0.6
        solid = part.masks[:, 0] >= 128
        k = int(share.argmin())
        assert bool(solid[k, :, x0[k] : x1[k]].any(0)[[0, -1]].all())
        assert not bool(solid[k, :, : x0[k]].any()) and not bool(solid[k, :, x1[k] :].any())
        assert not bool(solid[k, : y0[k]].any()) and not bool(solid[k, y1[k] :].any())
