"""Training on an accelerator, simulated on the CPU: the same numbers, and no step waits."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mixlearn as ml
from experiments import rivals
from mixlearn.methods import learners
from mixlearn.methods.augment import contrastive_view, crop_and_flip
from tests.accelerator import alone, counted, on_cpu, on_device
from tests.seeds import seeded

SMALL = {"hidden": 8, "outside": 4}
views = partial(contrastive_view, mean=(0.5,) * 3, std=(0.2,) * 3)


def resnet() -> nn.Module:
    return ml.nets.resnet(8, 4, width=4, generator=seeded(1))


def vit() -> nn.Module:
    return ml.nets.vit(4, size=8, patch=4, dim=12, depth=4, heads=2, generator=seeded(1))


def few(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The learner, shown only every other label."""

    def made(net: Any) -> Any:
        learner = make(net)

        def hide(learner: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
            model, images, labels = given
            return model, images, labels.where(torch.arange(6, device=labels.device) % 2 == 0, -100)

        learner.register_forward_pre_hook(hide)
        return learner

    return made


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    "AdAutoMix": (resnet, lambda net: learners.AdAutoMix(net, stage="stage2", image_size=8)),
    "AugMix": (resnet, lambda net: learners.AugMix(ml.augmix)),
    "AutoMix": (resnet, lambda net: learners.AutoMix(net, stage="stage2", image_size=8)),
    "AutoMix, joint": (resnet, lambda net: learners.AutoMix(net, stage="stage2", image_size=8, joint=True)),
    "Averaged": (resnet, lambda net: rivals.Averaged(net, ml.mixup)),
    "BYOT": (resnet, rivals.BYOT),
    "CSKD": (resnet, lambda net: rivals.CSKD()),
    "DDGSD": (resnet, lambda net: learners.DDGSD(crop_and_flip)),
    "Decoupled": (resnet, lambda net: learners.Decoupled(ml.cutmix, 4)),
    "Guided": (resnet, lambda net: learners.Guided(ml.saliencymix, num_classes=4)),
    "Guided, GuidedMixup": (resnet, lambda net: learners.Guided(ml.guidedmixup, num_classes=4)),
    "Guided, PuzzleMix": (resnet, lambda net: learners.Guided(ml.puzzlemix, num_classes=4)),
    "ICT": (resnet, few(learners.ICT)),
    "MixCo": (resnet, lambda net: rivals.MixCo(net, predictor=8, **SMALL)),
    "MixMatch": (resnet, few(lambda net: learners.MixMatch(crop_and_flip, prior=[1, 2, 3, 4], labelled=3))),
    "MixMatch, counting": (resnet, few(lambda net: learners.MixMatch(crop_and_flip))),
    "MixSKD": (resnet, learners.MixSKD),
    "Mixing": (resnet, lambda net: learners.Mixing(ml.cutmix, 4, 0.1)),
    "Mixing, RandomMix": (
        resnet,
        lambda net: learners.Mixing(ml.RandomMix([ml.cutmix, ml.mixup], num_classes=4, p=0.5)),
    ),
    "MixingInside": (
        resnet,
        lambda net: learners.MixingInside({"input": ml.mixup, "stage2": ml.alignmix}, num_classes=4),
    ),
    "MoCo": (resnet, lambda net: learners.MoCo(net, predictor=8, **SMALL)),
    "PSKD": (resnet, lambda net: rivals.PSKD(net, epochs=2)),
    "PatchMix": (vit, lambda net: learners.PatchMix(net, predictor=8, parts=(2, 3), symmetric=True, **SMALL)),
    "Plain": (resnet, lambda net: learners.Plain(smoothing=0.1)),
    "RegMixup": (resnet, lambda net: learners.RegMixup(4)),
    "SAMix": (resnet, lambda net: learners.SAMix(net, stage="stage2", image_size=8, adjust=1.0)),
    "SMMix": (vit, lambda net: learners.SMMix(4, odds=1.0)),
    "SMMix, by turns": (vit, lambda net: learners.SMMix(4)),
    "SimCLR": (resnet, lambda net: learners.SimCLR(net, augment=views, **SMALL)),
    "SimSiam": (resnet, lambda net: rivals.SimSiam(net, predictor=2, **SMALL)),
    "TFKD": (resnet, lambda net: rivals.TFKD()),
    "TransMixing": (vit, lambda net: learners.TransMixing(ml.cutmix, num_classes=4)),
}

# A step of each of the others waits for nothing. PuzzleMix's two searches end when the values say so;
# MixMatch counts labels unless it is told.
WAITS = {"Guided, PuzzleMix": 1, "MixMatch, counting": 1}
STEPS = 2


def trained(name: str, there: bool) -> tuple[Any, Any, list[str]]:
    """The terms of each step, the weights after all, and the waits of the steps."""
    torch.manual_seed(0)
    net, learner = CASES[name][0](), None
    learner = CASES[name][1](net)
    images, labels = torch.rand(6, 3, 8, 8, generator=seeded(0)), torch.tensor([0, 1, 2, 3, 0, 1])
    if there:
        images, labels = on_device((images, labels))
        for module in (net, learner, getattr(learner, "teacher", None)):
            if isinstance(module, nn.Module):
                on_device(module)
    both = nn.ModuleList(module for module in (net, learner) if isinstance(module, nn.Module))
    weights = [weight for weight in both.parameters() if weight.requires_grad]
    optimizer, generator, seen = torch.optim.SGD(weights, lr=0.1, momentum=0.9), seeded(3), []
    with counted() as waits:
        for step in range(STEPS):
            if hasattr(learner, "advance"):
                learner.advance(step / STEPS)
            terms = learner(net, images, labels, generator=generator)
            sum(terms.values()).backward()
            optimizer.step()
            optimizer.zero_grad()
            if hasattr(learner, "after_step"):
                learner.after_step(net)
            seen.append({term: value.detach() for term, value in terms.items()})
    return on_cpu(seen), on_cpu([value.detach() for value in both.state_dict().values()]), waits


def learns(name: str) -> None:
    terms, weights, waits = trained(name, there=True)
    assert len(waits) == STEPS * WAITS.get(name, 0), waits
    expected_terms, expected_weights, _ = trained(name, there=False)
    torch.testing.assert_close(terms, expected_terms, rtol=3e-4, atol=1e-5)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-3, atol=3e-4)


def fits(name: str, batches: int, there: bool) -> tuple[list[dict[str, float]], int]:
    """The epochs of a run, and how often it waited."""
    from lightning.fabric.accelerators import Accelerator
    from lightning.fabric.strategies import SingleDeviceStrategy

    class Simulated(Accelerator):
        def setup_device(self, device: torch.device) -> None: ...

        def teardown(self) -> None: ...

        parse_devices = get_parallel_devices = staticmethod(lambda devices: [0])
        auto_device_count = is_available = staticmethod(lambda: 1)
        name = staticmethod(lambda: "simulated")

    torch.manual_seed(0)
    net = resnet()
    images, labels = torch.rand(6 * batches, 3, 8, 8, generator=seeded(0)), torch.arange(6 * batches) % 4
    data, device = TensorDataset(images, labels), torch.device("simulated:0")
    where: dict[str, Any] = {"accelerator": "cpu"}
    if there:
        where = {"strategy": SingleDeviceStrategy(device=device, accelerator=Simulated())}
    with counted() as waits:
        where |= {"augment": crop_and_flip, "ema": 0.9, "clip": 1.0, "progress": False}
        where |= {"epochs": 2, "batch_size": 6, "validate": DataLoader(data, batch_size=5)}
        history = ml.fit(net, data, CASES[name][1](net), **where)
    epochs = [{key: value for key, value in row.items() if key != "seconds"} for row in history.epochs]
    return epochs, len(waits)


def whole_runs(name: str) -> None:
    """A run waits where it begins, and for what it reports after an epoch, however many steps there are."""
    plain, _ = fits(name, 2, there=False)
    found, few = fits(name, 2, there=True)
    _, many = fits(name, 3, there=True)
    assert few == many
    torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-4)


def evaluation() -> None:
    net, moved = resnet(), on_device(resnet())
    images, labels = torch.rand(24, 3, 8, 8, generator=seeded(0)), torch.arange(24) % 4
    batches = list(zip(images.split(7), labels.split(7), strict=True))
    with counted() as waits:
        found = ml.measure.evaluate(moved, batches)
    assert len(waits) == 1, waits  # for all logits together
    assert found == pytest.approx(ml.measure.evaluate(net, batches), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_step_learns_as_on_the_cpu_and_waits_for_nothing(name: str) -> None:
    alone(learns, name)


def test_every_learner_is_tried() -> None:
    tried = {name.split(",")[0] for name in CASES}
    built_on = {"Learner", "Contrast"}
    assert tried == set(learners.__all__) - built_on | set(learners._RIVALS)


@pytest.mark.parametrize("name", ["Mixing", "AutoMix", "MoCo"])
def test_fit_waits_for_nothing_within_an_epoch(name: str) -> None:
    alone(whole_runs, name)


def test_evaluation_waits_once() -> None:
    alone(evaluation)
