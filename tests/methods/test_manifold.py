"""Mixing inside a network, and the measures beyond accuracy in a run."""

from functools import partial

import pytest
import torch

import mixlearn as ml
from experiments.chapters import boxes
from experiments.examine import examine
from tests.seeds import seeded


def test_random_mix_says_what_it_is():
    mix = ml.RandomMix([partial(ml.cutmix, alpha=0.5), ml.mixup], odds=[3, 1], p=0.5)
    assert repr(mix) == "RandomMix([cutmix(alpha=0.5), mixup], odds=[3.0, 1.0], p=0.5)"
    images, targets, _ = mix(torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), num_classes=3)
    assert targets.shape == (2, 3)


@pytest.mark.parametrize("stage", ["input", "stem", "stage1", "stage2", "pool"])
def test_features_are_mixed_at_the_stage_and_only_there(stage):
    net = ml.nets.resnet(8, 4, width=4, channels=1).eval()
    torch.nn.init.normal_(net.head.weight)  # a fresh head is so flat that no mixture would show
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    boxed = partial(ml.cutmix, lam=0.5, partner=[1, 0, 3, 2])
    blended = partial(ml.mixup, lam=0.3, partner=[1, 0, 3, 2])
    mix = blended if stage == "pool" else boxed  # the pooled features have no pixels
    found = ml.learners.MixingInside(mix, [stage], 4)(net, images, labels, generator=seeded(3))
    draws = seeded(3)
    torch.randint(1, (), generator=draws)

    def tap(name, features):
        if name != stage:
            return features
        mixed = mix(features, labels, num_classes=4, generator=draws)
        tap.targets = mixed.targets
        return mixed.images

    expected = ml.soft_cross_entropy(net(images, tap=tap), tap.targets)
    assert torch.allclose(found["mixed_labels"], expected)
    unmixed = ml.soft_cross_entropy(net(images), torch.eye(4))
    assert not torch.allclose(found["mixed_labels"], unmixed)


def test_progress_reaches_the_mix_of_every_stage():
    mixes = {stage: ml.RandomMix([ml.mixup], p=lambda progress: progress) for stage in ("input", "stage1")}
    ml.learners.MixingInside(mixes, num_classes=4).advance(0.25)
    assert [mix.probability() for mix in mixes.values()] == [0.25, 0.25]
    with pytest.raises(TypeError, match="mix must be a function .*got str"):
        ml.learners.MixingInside({"input": ml.mixup, "stage1": "cutmix"}, num_classes=4)


def test_wrong_stages_are_named():
    net = ml.nets.resnet(8, 4, width=2, channels=1)
    with pytest.raises(ValueError, match=r"taps input, stem, stage1, .* it has no 'stage9'"):
        ml.learners.MixingInside(ml.cutmix, ["stage9"], 4)(net, torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))
    for wrong in ([], "stem"):
        with pytest.raises(ValueError, match="stages must be one or more names of taps"):
            ml.learners.MixingInside(ml.cutmix, wrong, 4)

    def deaf(images, tap):  # has no `stages` to check against, and never calls its tap
        return torch.zeros(len(images), 4)

    with pytest.raises(ValueError, match="the network never called its tap 'stage1'"):
        ml.learners.MixingInside(ml.cutmix, ["stage1"], 4)(deaf, torch.rand(2, 1, 8, 8), torch.tensor([0, 1]))


def test_a_run_is_examined_and_says_so():
    setting = boxes["boxes-fashion-both-smoothed"]
    setting = partial(setting, examine=partial(examine, data="fashion", images=10))
    outcome = setting(seed=0, images=20, epochs=1, width=2, progress=False)
    assert outcome.settings["smoothing"] == 0.1 and "images=10" in outcome.settings["examined"]
    assert outcome.settings["mix"] == "RandomMix([mixup(alpha=1.0), cutmix(alpha=1.0)], p=1.0)"
    assert set(outcome.final["corrupted"]) == {"accuracy"} | {c.__name__ for c in ml.measure.COMMON}
    foreign = [part for part in outcome.final if part.startswith("foreign ")]
    assert foreign == [f"foreign {n}" for n in ("emoji", "photographs", "uniform noise", "normal noise")]
    assert all(0 <= value <= 1 for part in foreign for value in outcome.final[part].values())
    assert set(outcome.final["hidden"]) == {
        f"{w} {s:g}" for w in ("middle", "border") for s in (0.25, 0.5, 0.75)
    }
    assert set(outcome.final["between"]) == {"blend", "box"}
