"""What users bring to `fit`: samplers, streams, dicts, unlabelled images, odd last batches, frozen parts."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

import mixlearn as ml
from mixlearn.methods.learners import Mixing, Plain
from mixlearn.train import checkpoint as checkpoints
from tests.apart import apart
from tests.refused import refused
from tests.sets import Blobs, weights
from tests.train.quick_fit import quick, small_net

BLOBS = Blobs(48)
ROWS = TensorDataset(BLOBS.images, BLOBS.labels)


class Seeing(Plain):
    """Notes the images that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def __call__(self, model, images, labels, *, generator=None):
        self.seen.append(images.clone())
        return super().__call__(model, images, labels, generator=generator)


class Pairs:
    """Batches of two images of one class."""

    def __iter__(self):
        for place in (0, 8, 16, 24, 32):
            yield [place, place + 4]

    def __len__(self) -> int:
        return 5


class Endless(Pairs):
    """Batches without end; it notices when far more of them are drawn than are used."""

    def __iter__(self):
        for _ in range(1000):
            yield [0, 4]
        raise AssertionError("all batches were drawn at once")


class Stream(IterableDataset):
    """Images in a row, without a length."""

    def __iter__(self):
        yield from ROWS


class Rows(Dataset):
    """Samples made from a blob in some form."""

    def __init__(self, form) -> None:
        self.form = form

    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, i: int):
        return self.form(*ROWS[i])


def share_out(folder: Path, devices: int, kind: str) -> None:
    """Train with a loader in several processes; keep what the network was given, and the weights."""
    learner, net = Seeing(), small_net()
    if kind == "batch sampler":
        data = DataLoader(ROWS, batch_sampler=Pairs())
    elif kind == "stream":
        data = DataLoader(Stream(), batch_size=16 // devices)
    else:
        odd = [place for place in range(48) if place % 3 == 0][:15]  # 15 draws: the last batch is uneven
        data = DataLoader(ROWS, batch_size=4 // devices, sampler=odd)
    strategy = {"strategy": "ddp_fork"} if devices > 1 else {}
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        quick(net, data, _Kept(learner, folder / f"{kind}-{devices}.pt"), devices=devices, **strategy)
    torch.save(weights(net), folder / f"{kind}-{devices}-weights.pt")


class _Kept:
    def __init__(self, learner: Seeing, path: Path) -> None:
        self.learner, self.path = learner, path

    def __call__(self, model, images, labels, *, generator):
        terms = self.learner(model, images, labels, generator=generator)
        torch.save(self.learner.seen, self.path)
        return terms


@pytest.mark.parametrize("kind", ["sampler", "stream"])
def test_two_processes_share_out_what_one_would_draw(kind: str, tmp_path: Path) -> None:
    assert apart(share_out, tmp_path, 2, kind) == 0
    share_out(tmp_path, 1, kind)
    one, two = (torch.load(tmp_path / f"{kind}-{n}.pt") for n in (1, 2))
    assert len(one) == len(two) and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    ends = [torch.load(tmp_path / f"{kind}-{n}-weights.pt") for n in (1, 2)]
    torch.testing.assert_close(ends[1], ends[0], rtol=0, atol=1e-6)


def test_two_processes_share_out_the_batches_of_a_batch_sampler(tmp_path: Path) -> None:
    """Each takes a batch; the one that is left over at the end is split."""
    assert apart(share_out, tmp_path, 2, "batch sampler") == 0
    seen = torch.load(tmp_path / "batch sampler-2.pt")
    assert [len(images) for images in seen] == [4, 4, 2] * 2
    assert torch.equal(seen[1], BLOBS.images[[16, 20, 24, 28]])


def endless(code: int) -> None:
    """The first batches are trained on, whatever comes after them."""
    data = DataLoader(ROWS, batch_sampler=Endless())
    with pytest.raises(Exception, match="broken off"):
        quick(small_net(), data, Stopped(3), devices=2, strategy="ddp_fork")
    raise SystemExit(code)


def test_two_processes_draw_batches_as_they_need_them() -> None:
    assert apart(endless, 44) == 44


def test_a_sampler_of_ones_own_decides_what_is_seen() -> None:
    learner, chosen = Seeing(), WeightedRandomSampler([1.0] * 8 + [0.0] * 40, 24)
    quick(small_net(), DataLoader(ROWS, 8, sampler=chosen), learner)
    rare = {tuple(image.flatten().tolist()) for image in BLOBS.images[:8]}
    given = {tuple(image.flatten().tolist()) for images in learner.seen for image in images}
    assert given <= rare and len(learner.seen) == 6
    learner = Seeing()
    quick(small_net(), DataLoader(ROWS, batch_sampler=Pairs()), learner, epochs=1)
    assert torch.equal(torch.cat(learner.seen[:2]), BLOBS.images[[0, 4, 8, 12]])


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_stream_of_unknown_length(wrapped: bool) -> None:
    rates: list[float] = []

    def optimizer(parameters):
        made = torch.optim.SGD(parameters, lr=0.1)
        made.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        return made

    data = DataLoader(Stream(), 16) if wrapped else Stream()
    history = quick(small_net(), data, Plain(), optimizer=optimizer, validate=DataLoader(Stream(), 16))
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 3)  # the cosine moves with the epochs
    assert len(history.epochs) == 2 and history.last["accuracy"] > 0.25


FORMS = {
    "three entries": lambda image, label: (image, label, 7),
    "names of Hugging Face": lambda image, label: {"pixel_values": image, "labels": label, "id": "x"},
    "other names": lambda image, label: {"image": image, "label": label},
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_any_form_train_and_validate(form: str) -> None:
    plain, net = small_net(), small_net()
    quick(plain, DataLoader(ROWS, 16), Plain())
    data = Rows(FORMS[form])
    history = quick(
        net, DataLoader(data, 16), Plain(), validate={"rows": data, "loader": DataLoader(data, 9)}
    )
    assert torch.equal(weights(net), weights(plain))
    expected = ml.measure.evaluate(net, BLOBS)["accuracy"]
    assert history.last["rows/accuracy"] == history.last["loader/accuracy"] == expected


def test_other_keys_are_named() -> None:
    data = DataLoader(Rows(lambda image, label: {"photo": image, "name": label}), 16)
    with pytest.raises(TypeError, match=r"got a dict of photo, name; a dict needs keys such as 'image'"):
        quick(small_net(), data, Plain())


@pytest.mark.parametrize("form", [lambda image, label: image, lambda image, label: (image,)])
def test_images_alone_are_for_learners_without_labels(form) -> None:
    net = ml.nets.resnet(8, 4, width=4, channels=1)
    before = weights(net)
    quick(net, DataLoader(Rows(form), 16), ml.learners.SimCLR(net, hidden=8, outside=4), epochs=1)
    assert not torch.equal(weights(net), before)
    with pytest.raises(TypeError, match=r"must give \(images, labels\), .* learners that read no labels"):
        quick(net, DataLoader(Rows(form), 16), Plain())


def normed() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))


def test_a_last_batch_that_is_too_small_is_refused_before_training() -> None:
    learner, net, seventeen = Seeing(), normed(), TensorDataset(BLOBS.images[:17], BLOBS.labels[:17])
    before = weights(net)
    for data in (seventeen, DataLoader(seventeen, 16)):
        with pytest.raises(
            ValueError, match=r"one image a process, too few for batch norm; .*drop_last=True"
        ):
            quick(net, data, learner)
    assert learner.seen == [] and torch.equal(weights(net), before)
    quick(net, DataLoader(seventeen, 16, drop_last=True), learner, epochs=1)
    quick(small_net(), seventeen, learner, epochs=1)  # without batch norm one image will do
    conv = ml.nets.resnet(8, 4, width=4, channels=1)  # whose batch norm sees more than one pixel
    quick(conv, seventeen, learner, epochs=1)
    assert [len(images) for images in learner.seen] == [16, 16, 1, 16, 1]
    with pytest.raises(ValueError, match="holds one image, with nothing to be compared with"):
        quick(conv, seventeen, ml.learners.SimCLR(conv, hidden=8, outside=4))
    with pytest.raises(ValueError, match="data gives no batch, with 17 images and batch_size 20"):
        quick(net, DataLoader(seventeen, 20, drop_last=True), learner)


def too_few(code: int) -> None:
    with pytest.raises(Exception, match="a batch must hold an image for each of 2 processes, got 1"):
        quick(small_net(), Blobs(17), Seeing(), devices=2, strategy="ddp_fork")
    raise SystemExit(code)


def test_a_last_batch_with_fewer_images_than_processes_is_refused() -> None:
    assert apart(too_few, 43) == 43


class Telling(nn.Module):
    """A network that returns a dict, as those of Hugging Face do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, images):
        return {"loss": None, "logits": self.net(images)}


def test_networks_that_return_dicts() -> None:
    def own(model, images, labels, *, generator):
        return {"labels": F.cross_entropy(model(images)["logits"], labels)}

    for learner in (Plain(), Mixing(ml.mixup, 4), own):
        net = Telling()
        history = quick(net, BLOBS, learner, epochs=6, validate=BLOBS)
        assert history.last["accuracy"] > 0.9
        assert set(net(BLOBS.images)) == {"loss", "logits"}


def test_an_optimiser_that_is_made_already_is_refused() -> None:
    net = small_net()
    made = torch.optim.AdamW(net.parameters())
    with pytest.raises(
        TypeError, match=r"class or function .* got a AdamW that is made already; write optim"
    ):
        quick(net, BLOBS, Plain(), optimizer=made)
    quick(net, BLOBS, Plain(), optimizer=torch.optim.AdamW)


@pytest.mark.parametrize("whole_in_eval", [False, True])
def test_what_is_frozen_stays_frozen(whole_in_eval: bool) -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout()), normed()[3]
    )
    net[0].requires_grad_(False)
    net.train(not whole_in_eval)
    net[0].eval()
    before = weights(net[0])
    quick(net, BLOBS, Plain(), validate=BLOBS)
    assert torch.equal(weights(net[0]), before)
    assert not any(m.training for m in net[0].modules()) and net[1].training
    assert [p.requires_grad for p in net.parameters()] == [False] * 4 + [True] * 2


class Taught(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.teacher = normed().eval().requires_grad_(False)

    def forward(self, model, images, labels, *, generator):
        return {"like": F.mse_loss(model(images), self.teacher(images))}


def test_a_learners_teacher_stays_in_evaluation_mode() -> None:
    learner = Taught()
    before = weights(learner)
    quick(small_net(), BLOBS, learner)
    assert torch.equal(weights(learner), before) and not learner.teacher.training


@pytest.mark.parametrize("count", [48, 40])  # 40: the last step has one batch alone, or a smaller one
def test_accumulated_batches_take_the_step_of_one(count: int) -> None:
    data, nets = Blobs(count), [small_net(), small_net(), small_net()]
    sgd = partial(torch.optim.SGD, lr=0.1)
    histories = [
        quick(net, data, Plain(), batch_size=size, accumulate=parts, optimizer=sgd, ema=0.9)
        for net, size, parts in zip(nets, (32, 16, 8), (1, 2, 4), strict=True)
    ]
    for net, history in zip(nets[1:], histories[1:], strict=True):
        torch.testing.assert_close(weights(net), weights(nets[0]), rtol=0, atol=1e-6)
        assert history.last["loss"] == pytest.approx(histories[0].last["loss"], rel=1e-5)
        assert history.last["rate"] == histories[0].last["rate"]


class Stopped(Seeing):
    """Breaks a run off at a step, as a crash would, so it calls itself as the learner that goes on does."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def __repr__(self) -> str:
        return "Seeing()"

    def __call__(self, model, images, labels, *, generator=None):
        if len(self.seen) == self.at:
            raise RuntimeError("broken off")
        return super().__call__(model, images, labels, generator=generator)


def mixing_loader(workers: int, stay: bool) -> DataLoader:
    collate = ml.MixCollate(ml.RandomMix([ml.mixup], num_classes=4), seed=3)
    return DataLoader(ROWS, 8, shuffle=True, collate_fn=collate, num_workers=workers, persistent_workers=stay)


@pytest.mark.parametrize(("workers", "stay"), [(0, False), (2, False), (2, True)])
def test_mixing_loaders_mix_on_as_if_unbroken(workers: int, stay: bool, tmp_path: Path) -> None:
    def train(learner: Seeing, **options) -> torch.Tensor:
        net = nn.Sequential(small_net(), nn.Dropout(0.2))
        quick(net, mixing_loader(workers, stay), learner, **options)
        return weights(net)

    whole, first, second = Seeing(), Stopped(8), Seeing()
    unbroken = train(whole)
    options = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 2, "resume": True}
    refused(lambda: train(first, **options), "broken off", RuntimeError)
    assert checkpoints.load(tmp_path / "run.pt")["place"] == {"step": 8, "epoch": 1, "batch": 2}
    resumed = train(second, **options)
    assert torch.equal(torch.cat(first.seen + second.seen), torch.cat(whole.seen))
    assert torch.equal(resumed, unbroken)
    assert not torch.equal(whole.seen[0], whole.seen[6])


class Jittered(Dataset):
    """Images that are changed at random as they are read, by torch's default generator."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int):
        return ROWS[i][0] + torch.randn(1), ROWS[i][1]


def test_random_transforms_go_on_as_if_unbroken(tmp_path: Path) -> None:
    def train(learner: Seeing, **options) -> torch.Tensor:
        net = nn.Sequential(small_net(), nn.Dropout(0.2))
        quick(net, DataLoader(Jittered(), 8, shuffle=True), learner, **options)
        return weights(net)

    unbroken = train(Seeing())
    options = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 1, "resume": True}
    refused(lambda: train(Stopped(5), **options), "broken off", RuntimeError)
    assert torch.equal(train(Seeing(), **options), unbroken)
