"""The loops that readers copy: each runs, learns something, and shows the network mixed images alone."""

import importlib.util
from pathlib import Path

import pytest
import torch

import mixlearn as ml

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_trains(path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(
        ml, "cutmix", lambda images, labels, **given: seen.append(cutmix(images, labels, **given)) or seen[-1]
    )
    accuracy = load(path).main(epochs=2, images=256)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["epoch 1", "epoch 2"]
    assert 0 < accuracy <= 100
    assert seen, "CutMix was never drawn"
    for mixed in seen:
        assert torch.allclose(mixed.targets.sum(1), torch.ones(len(mixed.targets)))
        assert int((mixed.targets > 0).sum(1).max()) == 2


cutmix = ml.cutmix


def test_there_are_both():
    assert [path.stem for path in EXAMPLES] == ["timm_loop", "torchvision_loop"]
