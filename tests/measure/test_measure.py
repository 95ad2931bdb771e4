"""Calibration against a slow hand version and torchmetrics; evaluation leaves the model as it was."""

import pytest
import torch
from torch import nn
from torchmetrics.functional.classification import multiclass_calibration_error

from mixlearn.measure import calibration, evaluate, predict
from tests.refused import refusals, refused


def some(n=500, classes=7, scale=2.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=g)
    logits = scale * torch.randn(n, classes, generator=g)
    logits[torch.arange(n), labels] += 1.5
    return logits, labels


def by_hand(logits, labels, bins):
    sure, said = logits.double().softmax(1).max(1)
    total, error = len(labels), 0.0
    for b in range(bins):
        members = [i for i in range(total) if b / bins < sure[i] <= (b + 1) / bins]
        if members:
            accuracy = sum(float(said[i] == labels[i]) for i in members) / len(members)
            confidence = sum(float(sure[i]) for i in members) / len(members)
            error += len(members) / total * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize(("bins", "scale"), [(1, 1.0), (15, 0.1), (15, 6.0), (40, 1.0)])
def test_ece_is_the_sum_by_hand_and_torchmetrics(bins, scale):
    logits, labels = some(scale=scale)
    found = calibration(logits, labels, bins)
    assert found.ece == pytest.approx(by_hand(logits, labels, bins), abs=1e-9)
    peer = multiclass_calibration_error(logits.softmax(1), labels, num_classes=7, n_bins=bins, norm="l1")
    assert found.ece == pytest.approx(float(peer), abs=1e-5)
    assert int(found.count.sum()) == len(labels)


def test_order_and_empty_bins_do_not_matter():
    logits, labels = some(scale=6.0)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    assert calibration(logits, labels).ece == pytest.approx(calibration(logits[order], labels[order]).ece)
    found = calibration(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 0]))
    assert found.ece == pytest.approx(0.5, abs=1e-3) and int((found.count == 0).sum()) == 14
    assert bool(found.accuracy[:-1].isnan().all()) and found.accuracy[-1] == 0.5


def test_gap_has_a_sign():
    labels = torch.zeros(100, dtype=torch.long)
    sure_and_wrong = torch.tensor([[0.0, 5.0]]).expand(100, 2)
    unsure_and_right = torch.tensor([[0.1, 0.0]]).expand(100, 2)
    assert calibration(sure_and_wrong, labels).gap > 0.9
    assert calibration(unsure_and_right, labels).gap == pytest.approx(
        -calibration(unsure_and_right, labels).ece
    )


test_calibration_names_what_is_wrong = refusals(
    (torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), 15, r"got \(3, 2\) and \(2,\)"),
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 15, "at least one prediction, got none"),
    (torch.zeros(2, 2), torch.zeros(2, dtype=torch.long), 0, "bins must be at least 1, got 0"),
    by=lambda logits, labels, bins: calibration(logits, labels, bins),
)


def test_evaluate_counts_and_restores_the_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(7), nn.Linear(7, 7), nn.Dropout(0.5))
    model[0].eval()  # a frozen layer stays frozen
    logits, labels = some()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parts = [(logits[i : i + 64], labels[i : i + 64]) for i in range(0, 500, 64)]
    found = evaluate(model, parts)
    assert [module.training for module in model] == [False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    said = predict(model, parts)
    assert said.logits.shape == (500, 7)
    assert found["accuracy"] == pytest.approx(float((said.logits.argmax(1) == said.labels).float().mean()))
    assert found["nll"] == pytest.approx(
        float(nn.functional.cross_entropy(said.logits, said.labels)), rel=1e-5
    )
    assert set(found) == {"accuracy", "nll", "ece", "gap"}
    refused(lambda: evaluate(model, []), "at least one image, got none")


def test_evaluate_reads_data_in_memory():
    class Memory:
        def __len__(self):
            return 500

        def batch(self, index):
            return some()[0][index], some()[1][index]

    logits, labels = some()
    one, other = evaluate(nn.Identity(), Memory(), batch_size=33), evaluate(nn.Identity(), [(logits, labels)])
    assert one == pytest.approx(other)
