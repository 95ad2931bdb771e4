"""MixBatches in Lightning: what is trained on, scheduled, resumed and shown."""

from collections import namedtuple
from functools import partial

import lightning
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import mixlearn as ml
from mixlearn.train.fit import sgd
from mixlearn.train.schedules import cosine
from tests.refused import refusals, refused
from tests.seeds import seeded

Pair = namedtuple("Pair", ["images", "labels"])
KINDS = {
    "list": (lambda x, y: [x, y], {}),
    "tuple": (lambda x, y: (x, y), {}),
    "namedtuple": (Pair, {}),
    "dict": (lambda x, y: {"img": x, "id": y}, {"images": "img", "labels": "id"}),
}


class Classifier(lightning.LightningModule):
    def __init__(self, read):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4))
        self.read, self.trained, self.validated = read, [], []

    def training_step(self, batch, batch_idx):
        images, labels = self.read(batch)
        self.trained.append((type(batch), labels.shape))
        return F.cross_entropy(self.net(images), labels)

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.read(batch)[1].shape)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_lightning_trains_on_mixtures_and_validates_on_images(kind, tmp_path):
    make, keys = KINDS[kind]

    def collate(samples):
        return make(torch.stack([s[0] for s in samples]), torch.stack([s[1] for s in samples]))

    data = TensorDataset(torch.rand(16, 3, 4, 4, generator=seeded()), torch.arange(16) % 4)
    loader = DataLoader(data, 8, collate_fn=collate)
    read = (lambda b: (b["img"], b["id"])) if kind == "dict" else (lambda b: (b[0], b[1]))
    model = Classifier(read)
    logger = lightning.pytorch.loggers.TensorBoardLogger(tmp_path)
    callback = ml.lightning.MixBatches(ml.RandomMix([ml.mixup, ml.cutmix], num_classes=4), **keys)
    trainer = quiet(max_epochs=2, callbacks=[callback], logger=logger, num_sanity_val_steps=1)
    trainer.fit(model, loader, loader)
    assert model.trained == [(type(make(0, 0)), torch.Size([8, 4]))] * 4
    assert model.validated == [torch.Size([8])] * 5  # one in the sanity check, two an epoch
    assert "training_step" not in vars(model)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
    events.Reload()
    pictures = events.Images("mixed batch")
    assert len(pictures) == 2 and pictures[0].width == 8 * 4 and pictures[0].height == 4


test_unreadable_batches_are_named = refusals(
    ("text", TypeError, "list, tuple or dict, the batch is a str"),
    ({"a": 1}, KeyError, r"a dict of \['a'\], it has no 0"),
    ([torch.rand(2, 3)], IndexError, "a list of 1, it has no 1"),
    by=lambda batch: ml.lightning.MixBatches(ml.mixup, log_every=0)._mixed(batch, None),
)


def test_a_resumed_callback_draws_on():
    one = ml.lightning.MixBatches(ml.mixup, log_every=0, seed=4)
    batch = [torch.rand(4, 3), torch.eye(4)]
    one._mixed(batch, None)
    two = ml.lightning.MixBatches(ml.mixup, log_every=0, seed=9)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one._mixed(batch, None)[0], two._mixed(batch, None)[0])


def quiet(**settings):
    """A trainer that writes nothing."""
    usual = {"accelerator": "cpu", "logger": False, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
    off = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    return lightning.Trainer(**{**usual, **off, **settings})


class Stream(IterableDataset):
    """Three batches of eight images, which nobody knows beforehand."""

    def __iter__(self):
        return ((torch.rand(3, 4, 4), i % 4) for i in range(24))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_epochs": 4}, [0.0] * 3 + [0.25] * 3 + [0.5] * 3 + [0.75] * 3),
        ({"max_steps": 5}, [0.0, 0.2, 0.4, 0.6, 0.8]),
        ({"max_epochs": -1, "max_steps": 4}, [0.0, 0.25, 0.5, 0.75]),
    ],
)
def test_a_schedule_advances_over_a_stream(settings, expected):
    seen = []
    mix = ml.RandomMix([ml.mixup], p=lambda progress: seen.append(progress) or 1.0, num_classes=4)
    trainer = quiet(callbacks=[ml.lightning.MixBatches(mix)], **settings)
    trainer.fit(Classifier(tuple), DataLoader(Stream(), 8))
    assert seen == pytest.approx(expected)


def test_a_schedule_needs_an_end():
    mix = ml.RandomMix([ml.mixup], p=lambda progress: progress, num_classes=4)
    trainer, model = quiet(callbacks=[ml.lightning.MixBatches(mix)], max_epochs=-1), Classifier(tuple)
    with pytest.raises(ValueError, match="needs the length of training, .* expected max_steps or max_epochs"):
        trainer.fit(model, DataLoader(Stream(), 8))
    assert model.trained == [] and "training_step" not in vars(model)
    mix = ml.RandomMix([ml.mixup], p=0.5, num_classes=4)
    batch = [torch.rand(4, 3, 4, 4), torch.arange(4)]
    assert ml.lightning.MixBatches(mix, log_every=0)._mixed(batch, trainer)[1].shape == (4, 4)


def test_a_step_of_the_module_itself_comes_back():
    model, calls = Classifier(tuple), []
    own = model.training_step

    def watched(batch, batch_idx):
        calls.append(batch[1].shape)
        return own(batch, batch_idx)

    model.training_step = watched
    callback = ml.lightning.MixBatches(ml.RandomMix([ml.mixup], num_classes=4))
    data = DataLoader(TensorDataset(torch.rand(16, 3, 4, 4), torch.arange(16) % 4), 8)
    quiet(callbacks=[callback], max_epochs=1).fit(model, data)
    assert calls == [torch.Size([8, 4])] * 2 and vars(model)["training_step"] is watched
    callback.on_exception(None, model, KeyboardInterrupt())  # before training, say
    assert vars(model)["training_step"] is watched


class Several(lightning.LightningModule):
    """Trains on two loaders at once and notes what it is given."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4))
        self.given = []

    def training_step(self, batch, batch_idx):
        self.given.append(batch)
        batches = batch.values() if isinstance(batch, dict) else batch
        pairs = [one for one in batches if one is not None]
        return sum(F.cross_entropy(self.net(one[0]), one[1]) for one in pairs)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def loader(count, seed=0):
    images = torch.rand(count, 3, 4, 4, generator=seeded(seed))
    return DataLoader(TensorDataset(images, torch.arange(count) % 4), 8)


@pytest.mark.parametrize("form", ["dict", "list"])
def test_a_part_of_a_combined_loader_is_mixed(form):
    first, second = ("near", "far") if form == "dict" else (0, 1)
    loaders = [loader(16), loader(16, 1)]
    combined = CombinedLoader(dict(zip(("near", "far"), loaders, strict=True)) if form == "dict" else loaders)
    mix = ml.RandomMix([ml.mixup], num_classes=4)
    model = Several()
    callback = ml.lightning.MixBatches(mix, images=(first, 0), labels=(first, 1))
    quiet(callbacks=[callback], max_epochs=1).fit(model, combined)
    expected = mix(*next(iter(loaders[0])), generator=seeded())
    assert len(model.given) == 2 and type(model.given[0]) is (dict if form == "dict" else list)
    assert torch.equal(model.given[0][first][0], expected.images)
    assert torch.equal(model.given[0][first][1], expected.targets)
    assert torch.equal(model.given[0][second][1], torch.arange(8) % 4)


def test_each_part_of_a_combined_loader_may_have_a_callback_and_run_out():
    combined = CombinedLoader({"near": loader(24), "far": loader(8)}, "max_size")
    model = Several()
    callbacks = [
        ml.lightning.MixBatches(ml.RandomMix([method], num_classes=4), images=(name, 0), labels=(name, 1))
        for name, method in (("near", ml.mixup), ("far", ml.cutmix))
    ]
    quiet(callbacks=callbacks, max_epochs=1).fit(model, combined)
    assert [batch["near"][1].shape for batch in model.given] == [(8, 4)] * 3
    assert model.given[0]["far"][1].shape == (8, 4)
    assert model.given[1]["far"] is None and model.given[2]["far"] is None
    assert "training_step" not in vars(model)


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (("near", 0), KeyError, r"a dict of \['far'\], it has no 'near'; name the places: MixBatches"),
        (("far", 2), IndexError, r"the batch\['far'\] is a list of 2, it has no 2"),
        (("far", 0, 0), TypeError, r"list, tuple or dict, the batch\['far'\]\[0\] is a Tensor"),
    ],
)
def test_wrong_paths_are_named(place, error, words):
    callback = ml.lightning.MixBatches(ml.mixup, log_every=0, images=place, labels=("far", 1))
    refused(lambda: callback._mixed({"far": [torch.rand(4, 3), torch.eye(4)]}, None), words, error)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: ml.learners.Mixing(ml.RandomMix([ml.mixup], p=lambda progress: progress, num_classes=4)),
        lambda net: ml.learners.MoCo(net, hidden=8, outside=4, predictor=8),
        lambda net: ml.learners.AutoMix(net, stage="stage2", image_size=8),
    ],
    ids=["Mixing", "MoCo", "AutoMix"],
)
def test_any_learner_trains_in_a_trainer(make):
    """The schedule, progress, the twin and what is not used follow as in `fit`."""
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = make(net)
    images = torch.rand(24, 3, 8, 8, generator=seeded())
    data = DataLoader(TensorDataset(images, torch.arange(24) % 4), 8)
    module = ml.lightning.LearnerModule(net, learner, optimizer=partial(sgd, lr=0.05))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = quiet(max_epochs=2)
    trainer.fit(module, data, data)
    moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
    assert "model.stem.0.weight" in moved
    expected = ml.measure.evaluate(learner.deployed(net), data)
    assert float(trainer.callback_metrics["nll"]) == pytest.approx(expected["nll"], rel=1e-5)
    assert module.optimizers().param_groups[0]["lr"] == pytest.approx(0.05 * cosine(5, 6))
    assert all(weight.requires_grad for weight in net.head.parameters())
    assert ("model.head.weight" in moved) == getattr(learner, "reads_labels", True)
    if getattr(learner, "twin", None) is not None:
        assert any(name.startswith("learner.twin") for name in moved)


def test_a_learner_takes_the_steps_that_fit_takes():
    nets = [ml.nets.mlp(48, (8,), 4, generator=seeded()) for _ in range(2)]
    data, plain = loader(32), partial(torch.optim.SGD, lr=0.1)
    options = {"optimizer": plain, "ablate": ("none",)}
    with pytest.raises(ValueError, match=r"ablate names \['none'\]"):
        quiet(max_epochs=1).fit(ml.lightning.LearnerModule(nets[0], ml.learners.Plain(), **options), data)
    module = ml.lightning.LearnerModule(nets[0], ml.learners.Mixing(ml.mixup, 4), optimizer=plain)
    trainer = quiet(max_epochs=2, accumulate_grad_batches=2)
    trainer.fit(module, data)
    learner = ml.learners.Mixing(ml.mixup, 4)
    options = {"epochs": 2, "accumulate": 2, "accelerator": "cpu", "progress": False, "optimizer": plain}
    ml.fit(nets[1], data, learner, **options)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)
