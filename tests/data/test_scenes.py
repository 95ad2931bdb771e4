"""Scenes of several emoji: their boxes, masks and labels are those of what they show."""

import pytest
import torch
from torch.nn import functional as F

import mixlearn as ml
from mixlearn.data.scenes import SEEN, SIDES, Scenes, _composed, _taken_apart, emoji_scenes
from mixlearn.data.sets import ImageSet
from tests.refused import refusals
from tests.seeds import seeded


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return emoji_scenes("concepts", 40, size=96, generator=seeded())


def blocks(seed: int = 0) -> ImageSet:
    """Grey squares on black, and on white: what becomes of each pixel can be told by its value."""
    images = torch.zeros(8, 3, 64, 64, dtype=torch.uint8)
    images[4:] = 255
    masks = torch.zeros(8, 1, 64, 64, dtype=torch.uint8)
    masks[:, :, 20:44, 16:48] = 255
    for k in range(8):
        images[k, :, 20:44, 16:48] = 60 + 20 * k
    return ImageSet(images, torch.arange(8), (0.5,) * 3, (0.5,) * 3, masks=masks)


def test_boxes_are_tight_around_what_is_seen_and_no_pixel_shows_two(scenes: Scenes) -> None:
    assert {len(labels) for labels in scenes.labels} == {1, 2, 3, 4, 5}
    for boxes, masks in zip(scenes.boxes, scenes.masks, strict=True):
        assert bool((masks.sum(0) <= 1).all())
        for (x0, y0, x1, y1), mask in zip(boxes.tolist(), masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            assert [x0, y0] == [int(columns.min()), int(rows.min())]
            assert [x1, y1] == [int(columns.max()) + 1, int(rows.max()) + 1]


def test_objects_have_the_sizes_that_were_asked_for() -> None:
    single = emoji_scenes("train", 100, size=64, objects=(1, 1), generator=seeded(1))
    boxes = torch.cat(single.boxes)
    assert len(boxes) == 100
    longer = (boxes[:, 2:] - boxes[:, :2]).amax(1)
    assert SIDES[0] * 64 - 4 <= int(longer.min()) and int(longer.max()) <= SIDES[1] * 64 + 1
    assert int(longer.min()) < 17 and int(longer.max()) > 27  # and uses the range
    corner = boxes[:, :2].float()
    assert bool((corner.amin(0) < 6).all() & (corner.amax(0) > 40).all())  # all over the scene
    assert len(torch.cat(single.labels).unique()) == 10


def test_each_pixel_shows_the_object_of_its_mask() -> None:
    """Squares of one grey each, so that an image, its masks and its labels must agree."""
    shares = []
    for seed in range(30):
        image, masks, labels = _composed(blocks(), 4, 64, seeded(seed))
        assert 1 <= len(masks) == len(labels) <= 4
        for mask, label in zip(masks, labels.tolist(), strict=True):
            middle = F.avg_pool2d(mask[None].float(), 5, stride=1, padding=2)[0] == 1
            if bool(middle.any()):
                assert (image[:, middle].int() - (60 + 20 * label)).abs().max() <= 1
            ys, xs = mask.nonzero().unbind(1)
            box = int(ys.max() - ys.min() + 1) * int(xs.max() - xs.min() + 1)
            shares.append(float(mask.sum()) / box)
        outside = F.max_pool2d(masks.any(0)[None].float(), 5, stride=1, padding=2)[0] == 0
        assert set(image[:, outside].unique().tolist()) <= {0, 255}
    assert min(shares) < 0.99  # something was covered


def test_every_object_stays_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solid squares: what is seen of one is at least its share of the square it was."""
    from mixlearn.data import scenes as data_scenes

    cuts: list[int] = []

    def noted(*given: object) -> torch.Tensor:
        cut = scaled(*given)
        cuts.append(int((cut[3] >= 0.5).sum()))
        return cut

    scaled = data_scenes._scaled
    monkeypatch.setattr(data_scenes, "_scaled", noted)
    hidden = 0
    for seed in range(30):
        cuts.clear()
        _, masks, labels = _composed(blocks(), 5, 64, seeded(seed))
        if len(labels) == 5:  # none was left out, so that cuts and masks belong together
            seen = [int(mask.sum()) / area for mask, area in zip(masks, cuts, strict=True)]
            assert all(SEEN <= share <= 1 for share in seen)
            hidden += sum(share < 1 for share in seen)
    assert hidden > 5


def test_nothing_remains_of_an_object_in_its_background_nor_of_it_around_the_object() -> None:
    backgrounds, drawings = _taken_apart(blocks(), torch.arange(8))
    assert torch.equal(backgrounds[:4], torch.zeros_like(backgrounds[:4]))
    assert torch.allclose(backgrounds[4:], torch.full_like(backgrounds[4:], 255))
    greys = torch.arange(60.0, 220, 20).view(8, 1, 1, 1)
    assert torch.allclose(drawings[:, :3], greys.expand(-1, 3, 64, 64), atol=1e-3)


def test_one_seed_gives_one_set_and_the_shipped_images_are_left_alone() -> None:
    before = ml.data.load("emoji", size=64).tests["designers"]  # in memory once, for all who load it
    images, masks = before.images.clone(), before.masks.clone()  # type: ignore[union-attr]
    first, again, other = (emoji_scenes("designers", 3, size=48, generator=seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.images, again.images) and not torch.equal(first.images, other.images)
    for a, b in zip(first.masks, again.masks, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(before.images, images) and torch.equal(before.masks, masks)  # type: ignore[arg-type]


def test_a_batch_is_normalised_and_named(scenes: Scenes) -> None:
    images, targets = scenes.batch([3, 0])
    for k, i in enumerate((3, 0)):
        back = images[k] * torch.tensor(scenes.std)[:, None, None] + torch.tensor(scenes.mean)[:, None, None]
        assert torch.equal((back * 255).round().byte(), scenes.images[i])
        assert (
            targets[k]["boxes"].dtype == torch.float32
            and targets[k]["boxes"].tolist() == scenes.boxes[i].tolist()
        )
        assert torch.equal(targets[k]["labels"], scenes.labels[i]) and torch.equal(
            targets[k]["masks"], scenes.masks[i]
        )
    assert len(scenes) == 40 and len(scenes.batch(slice(None, None, 7))[1]) == 6
    last = scenes.batch(torch.tensor([-1]))[1][0]["labels"]
    assert torch.equal(last, scenes.labels[39])


test_what_makes_no_scene_is_refused = refusals(
    ({"part": "test"}, "part must be one of train, concepts, designers, got 'test'"),
    ({"count": 0}, "count must be at least 1, got 0"),
    ({"size": 31}, "size must be at least 32, got 31"),
    ({"objects": (0, 2)}, r"objects must be a range \(least, most\) from at least 1, got \(0, 2\)"),
    by=lambda given: emoji_scenes(**given),
)  # type: ignore[arg-type]
