"""Out-of-distribution detection, against counting."""

import pytest
import torch

import mixlearn as ml
from mixlearn import measure
from tests.seeds import seeded


def counted(known, foreign):
    """The three measures by looking at every pair and every threshold."""
    pairs = [(a > b) + 0.5 * (a == b) for a in known for b in foreign]
    auroc = sum(pairs) / len(pairs)
    tnr = best = 0.0
    for threshold in [*known, *foreign, 2.0, -1.0]:
        kept = sum(a >= threshold for a in known) / len(known)
        refused = sum(b < threshold for b in foreign) / len(foreign)
        best = max(best, (kept + refused) / 2)
        if kept >= 0.95:
            tnr = max(tnr, refused)
    return auroc, tnr, best


@pytest.mark.parametrize("seed", range(3))
def test_detection_is_what_counting_gives(seed):
    generator = seeded(seed)
    known = (torch.rand(60, generator=generator) * 20).round() / 20 * 0.8 + 0.1  # with ties
    foreign = (torch.rand(37, generator=generator) * 20).round() / 20 * 0.7
    found = measure.detection(known, foreign)
    assert list(found) == pytest.approx(counted(known.tolist(), foreign.tolist()), abs=1e-12)


def test_detection_at_its_ends():
    known, foreign = torch.rand(500, generator=seeded(1)), torch.rand(300, generator=seeded(2)) * 0.9
    assert measure.detection(known, known).auroc == pytest.approx(0.5)
    assert measure.detection(known + 1, foreign) == (1.0, 1.0, 1.0)
    assert measure.detection(foreign, known + 1)[:2] == (0.0, 0.0)
    for wrong, words in (
        (torch.zeros(0), r"known must hold scores of shape \(N,\), N ≥ 1, got \(0,\)"),
        (torch.tensor([float("nan")]), "known scores must be finite"),
    ):
        with pytest.raises(ValueError, match=words):
            measure.detection(wrong, foreign)


def test_out_of_distribution_uses_confidence():
    test = ml.data.load("fashion").test.subset(50, generator=seeded())

    def model(values):
        return torch.stack([values.mean((1, 2, 3)), -values.mean((1, 2, 3))], 1)

    strange = measure.noise_images(30, test.images, generator=seeded())
    found = measure.out_of_distribution(model, test, {"noise": strange, "itself": test})
    sure = measure.confidence(model(test.batch(slice(None))[0]))
    assert found["noise"] == measure.detection(sure, measure.confidence(model(strange)))
    assert found["itself"].auroc == pytest.approx(0.5)
    assert measure.noise_images(4, strange, normal=True, generator=seeded()).std() == pytest.approx(
        0.25, abs=0.02
    )


def test_confidence_does_not_tie_where_a_network_is_very_sure():
    lead = torch.tensor([20.0, 25.0, 30.0])
    sure = measure.confidence(torch.stack([lead, torch.zeros(3)], 1))
    assert sure.dtype == torch.float64 and bool((sure.diff() > 0).all())
    assert measure.detection(sure[1:], sure[:1]).auroc == 1.0
