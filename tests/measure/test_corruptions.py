"""All common corruptions: what each keeps to, what they refuse, and the accuracy on them."""

import pytest
import torch

import mixlearn as ml
from mixlearn import measure
from tests.seeds import seeded


@pytest.mark.parametrize("corruption", measure.COMMON, ids=lambda each: each.__name__)
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 40, 24)])
def test_each_changes_the_images_more_and_more_and_repeats_itself(corruption, shape, images):
    clean = torch.nn.functional.interpolate(images[: shape[0], : shape[1]], size=shape[2:], mode="bilinear")
    before = clean.clone()
    changes = []
    for severity in range(1, 6):
        one, two = (measure.corrupt(clean, corruption, severity, generator=seeded(1)) for _ in range(2))
        assert torch.equal(one, two) and one.shape == clean.shape
        assert bool(((one >= 0) & (one <= 1)).all())
        assert torch.allclose(one * 255, (one * 255).round(), atol=1e-4)
        changes.append(float((one - clean).square().mean()))
    assert torch.equal(clean, before)
    assert min(changes) > 0
    if corruption is not measure.elastic_transform:  # its published severities are no ladder
        assert changes[4] > changes[0]


def test_bad_input_is_named(images):
    with pytest.raises(ValueError, match="severity must be a whole number from 1 to 5, got 6"):
        measure.corrupt(images, measure.fog, 6)
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got -2 to 3; restore normalised"):
        measure.corrupt(torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2), measure.fog)
    with pytest.raises(
        ValueError, match=r"\(B, 1, H, W\) or \(B, 3, H, W\), got \(6, 3, 32, 32\) torch.uint8"
    ):
        measure.corrupt((images * 255).byte(), measure.fog)


def test_robustness_is_the_accuracy_on_each_set(images):
    test = ml.data.load("fashion").test.subset(40, generator=seeded())

    def model(values):
        return torch.stack([values.mean((1, 2, 3)) * k for k in range(10)], 1)

    found = measure.robustness(
        model, test, corruptions=[measure.fog, measure.contrast], severities=[2, 5], seed=4
    )
    assert found.names == ("fog", "contrast") and found.accuracy.shape == (2, 2)
    again = measure.corrupted(test, measure.contrast, 5, seed=4)
    values, labels = again.batch(slice(None))
    assert float(found.accuracy[1, 1]) == pytest.approx(
        float((model(values).argmax(1) == labels).double().mean())
    )
    assert found.of("fog") == pytest.approx(float(found.accuracy[0].mean()))
    assert found.mean == pytest.approx(float(found.accuracy.mean()))
