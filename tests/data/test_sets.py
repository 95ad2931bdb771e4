"""Images in memory: normalising, drawing, choosing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlearn.data.sets import Data, ImageSet, channel_statistics
from tests.refused import refused


def make(count: int = 40, channels: int = 3, classes: int = 4, seed: int = 0) -> ImageSet:
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, 6, 5), generator=g).byte()
    labels = torch.randint(0, classes, (count,), generator=g)
    mean, std = channel_statistics(images)
    masks = torch.randint(0, 256, (count, 1, 6, 5), generator=g).byte()
    boxes = torch.arange(4 * count).view(count, 4)
    names = tuple(f"image {k}" for k in range(count))
    return ImageSet(images, labels, mean, std, masks, boxes, names, [{"at": str(k)} for k in range(count)])


def test_a_batch_is_normalised_as_the_formula_says() -> None:
    data = make()
    index = torch.tensor([5, 0, 5, 39])
    images, labels = data.batch(index)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (data.mean, data.std))
    expected = (data.images[index].double() / 255 - mean) / std
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(labels, data.labels[index])
    torch.testing.assert_close(data.restore(images), data.images[index].float() / 255, atol=1e-6, rtol=0)


def test_slices_lists_tensors_and_single_images_agree() -> None:
    data = make()
    for index in ([3, 4, 5], torch.tensor([3, 4, 5]), slice(3, 6)):
        images, labels = data.batch(index)
        for k in range(3):
            one, label = data[3 + k]
            assert torch.equal(images[k], one)
            assert int(labels[k]) == label


def test_the_bytes_are_not_changed_by_reading() -> None:
    data = make()
    before = data.images.clone()
    data.batch(slice(None))[0].zero_()
    data[0][0].zero_()
    assert torch.equal(data.images, before)


def test_taking_keeps_everything_together() -> None:
    data = make()
    part = data.take([7, 2])
    assert torch.equal(part.images, data.images[[7, 2]])
    assert part.masks is not None and torch.equal(part.masks, data.masks[[7, 2]])  # type: ignore[index]
    assert part.boxes is not None and torch.equal(part.boxes, data.boxes[[7, 2]])  # type: ignore[index]
    assert part.names == ("image 7", "image 2")
    assert part.sources is not None and [row["at"] for row in part.sources] == ["7", "2"]
    assert part.mean == data.mean


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 1000), st.data())
def test_a_subset_is_stratified_to_within_one(
    count: int, classes: int, seed: int, data: st.DataObject
) -> None:
    whole = make(count, 1, classes, seed)
    n = data.draw(st.integers(1, count))
    part = whole.subset(n, generator=torch.Generator().manual_seed(seed))
    assert len(part) == n
    assert part.names is not None and len(set(part.names)) == n
    have = part.labels.bincount(minlength=classes).double()
    fair = whole.labels.bincount(minlength=classes).double() * n / count
    assert float((have - fair).abs().max()) < 1


def test_the_same_generator_draws_the_same_subset() -> None:
    data = make()
    before = torch.random.get_rng_state()
    a, b = (data.subset(9, generator=torch.Generator().manual_seed(3)).names for _ in range(2))
    c = data.subset(9, generator=torch.Generator().manual_seed(4)).names
    assert a == b != c and torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("n", [0, 41])
def test_a_subset_of_impossible_size_is_refused(n: int) -> None:
    refused(lambda: make().subset(n), rf"between 1 and 40.*got {n}")


def test_statistics_match_a_direct_computation() -> None:
    images = make(50).images
    mean, std = channel_statistics(images)
    direct = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean), direct.mean((0, 2, 3)), check_dtype=False)
    torch.testing.assert_close(torch.tensor(std), direct.std((0, 2, 3), correction=0), check_dtype=False)


def test_parts_that_disagree_are_refused() -> None:
    data = make()
    with pytest.raises(TypeError, match="uint8, got .*float32"):
        ImageSet(data.images.float(), data.labels, data.mean, data.std)
    with pytest.raises(TypeError, match="int64, got .*int32"):
        ImageSet(data.images, data.labels.int(), data.mean, data.std)
    with pytest.raises(ValueError, match="labels must be 40, one an image, got 39"):
        ImageSet(data.images, data.labels[:39], data.mean, data.std)
    with pytest.raises(ValueError, match="names must be 40, one an image, got 1"):
        ImageSet(data.images, data.labels, data.mean, data.std, names=("one",))
    refused(lambda: ImageSet(data.images, data.labels, (0.5,), (0.5,)), "mean and std must be 3 numbers")
    refused(lambda: ImageSet(data.images, data.labels, data.mean, (0.5, 0.0, 0.5)), "std positive")


def test_the_main_test_part_is_the_first() -> None:
    a, b = make(), make(seed=1)
    data = Data("two", ("x", "y"), a, {"first": b, "second": a}, (0.0,), (1.0,), "")
    assert data.test is b
    assert repr(data) == "Data('two', 2 classes; train 40, first 40, second 40)"
