"""Rivals of the methods: terms against naive twins, who learns, recipes, resuming, bad input."""

import copy
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mixlearn as ml
from experiments import recipes
from experiments.rivals import (
    BYOT,
    CSKD,
    PSKD,
    TFKD,
    Averaged,
    same_class,
)
from experiments.training import told
from mixlearn.methods.learners import DDGSD, Mixing, Plain
from tests.apart import apart
from tests.seeds import seeded
from tests.sets import Blobs, weights

IMAGES, LABELS = torch.rand(6, 1, 8, 8, generator=seeded(1)), torch.tensor([0, 1, 2, 0, 0, 1])


CROPS = ml.augment.crop_and_flip


def net_of(seed=0, depth=8):
    """A network whose answers differ: its head is drawn larger."""
    net = ml.nets.resnet(depth, 4, width=4, channels=1, generator=seeded(seed))
    net.head.weight.data.mul_(5)
    return net


def kl(target, answer, T=1.0):
    """KL(target ‖ answer) of logits at a temperature, by its definition, averaged over rows."""
    total = 0.0
    for t, a in zip(target, answer, strict=True):
        p, q = (t / T).exp() / (t / T).exp().sum(), (a / T).exp() / (a / T).exp().sum()
        total = total + (p * (p / q).log()).sum()
    return total / len(target)


def entropy(logits, labels=LABELS):
    return -sum(
        row.exp()[k].log() - row.exp().sum().log() for row, k in zip(logits, labels, strict=True)
    ) / len(labels)


def read(net, images=IMAGES):
    """The answers and all that the taps show."""
    kept = {}
    logits = net(images, tap=lambda name, x: kept.setdefault(name, x))
    return logits, kept


def equal(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value), rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("student", [1.0, 20.0])
def test_tfkd_learns_from_the_teacher_of_its_definition(student):
    logits = 2 * torch.randn(6, 4, generator=seeded())
    rows = torch.tensor([[0.97 if k == label else 0.01 for k in range(4)] for label in LABELS.tolist()])
    expected = {
        "labels": 0.8 * entropy(logits),
        "answers": 0.2 * kl(rows.log() / 20, logits / student),
    }
    learner = TFKD(right=0.97, weight=0.2, student_temperature=student)
    equal(learner(lambda x: x, logits, LABELS), expected)
    released = TFKD(right=0.97, weight=0.2, student_temperature=student, released=True)
    equal(
        released(lambda x: x, logits, LABELS), expected | {"answers": 0.2 * kl(rows / 20, logits / student)}
    )


def test_cskd_learns_from_partners_and_the_lonely_learn_nothing():
    logits = (2 * torch.randn(6, 4, generator=seeded())).requires_grad_()
    terms = CSKD(temperature=2.0, weight=3.0)(lambda x: x, logits, LABELS, generator=seeded(5))
    partner = same_class(LABELS, seeded(5)).tolist()
    assert partner[2] == -1 and all(
        LABELS[k] == LABELS[i] and k != i for i, k in enumerate(partner) if k >= 0
    )
    pairs = [(i, k) for i, k in enumerate(partner) if k >= 0]
    z = logits.detach()
    apart = 4 * sum(kl(z[k : k + 1], z[i : i + 1], 2) for i, k in pairs) / 6
    equal(terms, {"labels": entropy(z), "answers": 3 * apart})
    (slope,) = torch.autograd.grad(terms["answers"], logits)
    p = (z / 2).softmax(1)
    for i, k in enumerate(partner):  # that of the learner alone, though most are partners too
        expected = 3 * 2 * (p[i] - p[k]) / 6 if k >= 0 else torch.zeros(4)
        assert torch.allclose(slope[i], expected, atol=1e-6)


def test_byot_is_its_formula_and_holds_its_end_fixed():
    net = net_of().eval()
    learner = BYOT(net, temperature=2.0, weight=0.5, generator=seeded(1)).eval()
    for branch in learner.side:
        branch.head.weight.data.mul_(5)
    terms = learner(net, IMAGES, LABELS)
    own, kept = read(net)
    said = [branch(kept[branch.stage]) for branch in learner.side]
    assert [branch.stage for branch in learner.side] == ["stage1", "stage2"]
    answers = [z for _, z in said]
    apart = [(maps - kept["stage3"]).square().flatten().mean() for maps, _ in said]
    expected = {
        "labels": entropy(own) + sum(entropy(z) for z in answers),
        "answers": 4 * sum(kl(own, z, 2) for z in answers),
        "features": 0.5 * sum(apart),
    }
    equal(terms, {name: value.detach() for name, value in expected.items()})
    parts = {
        "before": [*net.stem.parameters(), *net.groups[0].parameters()],
        "end": list(net.groups[2].parameters()),
        "head": list(net.head.parameters()),
        "branches": [p for branch in learner.side for p in branch.rest.parameters()],
        "heads of branches": [p for branch in learner.side for p in branch.head.parameters()],
    }
    learns = {
        name: {
            part
            for part, ps in parts.items()
            if any(
                s is not None and bool(s.any())
                for s in torch.autograd.grad(term, ps, retain_graph=True, allow_unused=True)
            )
        }
        for name, term in terms.items()
    }
    assert learns == {
        "labels": set(parts),
        "answers": {"before", "branches", "heads of branches"},
        "features": {"before", "branches"},
    }


# -------------------------------------------------------------------------------------------- PS-KD
def test_pskd_learns_from_the_network_as_it_was_after_the_epoch_before():
    net = net_of()
    learner = PSKD(net, epochs=3, end=0.6).train()
    optimizer = torch.optim.SGD([*net.parameters(), *learner.parameters()], lr=0.1)
    snapshot = None
    for step in range(6):
        if step % 2 == 0 and step:
            snapshot = copy.deepcopy(net).eval()
        learner.advance(step / 6)
        rehearsal = copy.deepcopy(net)  # a pass in training moves the running means
        own = rehearsal(IMAGES).detach()
        terms = learner(net, IMAGES, LABELS)
        a = (0.0, 0.4, 0.6)[step // 2]
        expected = (1 - a) * entropy(own)
        if snapshot is not None:
            p = snapshot(IMAGES).detach().softmax(1)
            expected = expected - a * (p * own.log_softmax(1)).sum(1).mean()
            assert torch.equal(weights(learner.past["net"]), weights(snapshot))
        equal(terms, {"labels": expected})
        optimizer.zero_grad()
        terms["labels"].backward()
        optimizer.step()
        assert not learner.past.training and all(p.grad is None for p in learner.parameters())
    assert not torch.equal(weights(learner.past["net"]), weights(net))


def test_pskd_knows_its_epoch_whatever_the_rounding():
    learner = PSKD(nn.Linear(1, 1), epochs=1)
    for epochs in (1, 3, 7, 40, 100, 205, 300):
        learner.epochs = epochs
        for steps in (1, 3, 7, 32, 391, 20_019):
            for step in (e * steps + k for e in range(epochs) for k in {0, steps - 1}):
                learner.advance(step / (epochs * steps))
                assert learner.epoch == step // steps
    learner.advance(1.0)
    assert learner.epoch == 299


def fitted(learner_of, epochs, path=None, seed=0, **options):
    net, data = net_of(), Blobs(16)
    learner = learner_of(net)
    ml.fit(
        net,
        data,
        learner,
        epochs=epochs,
        batch_size=8,
        accelerator="cpu",
        progress=False,
        seed=seed,
        checkpoint=path,
        **options,
    )
    return net, learner


class Breaking(PSKD):
    """Stops with an error at a chosen call."""

    at, calls = 0, 0

    def _get_name(self):  # to a checkpoint it is the learner that goes on
        return "PSKD"

    def forward(self, model, images, labels, *, generator=None):
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("stopped here")
        return super().forward(model, images, labels, generator=generator)


@pytest.mark.parametrize("at", [3, 4, 5, 6])  # before and within the second and the third epoch
def test_pskd_goes_on_as_if_never_stopped(at, tmp_path):
    unbroken, whole = fitted(lambda net: PSKD(net, epochs=3), 3)

    def breaking(net):
        learner = Breaking(net, epochs=3)
        learner.at = at
        return learner

    path = tmp_path / "run.pt"
    with pytest.raises(RuntimeError, match="stopped here"):
        fitted(breaking, 3, path, checkpoint_every=1)
    resumed, learner = fitted(lambda net: PSKD(net, epochs=3), 3, path, resume=True)
    assert torch.equal(weights(unbroken), weights(resumed))
    assert torch.equal(weights(whole), weights(learner)) and learner.taken == 2


class Telling(PSKD):
    """Writes down each process's snapshot."""

    def _take(self, net):
        super()._take(net)
        torch.save(weights(self.past), Path(self.folder) / f"past{os.environ['LOCAL_RANK']}.pt")


def together(folder: Path, devices: int) -> None:
    """Two epochs of PS-KD in one process or in several, without batch normalisation and with it."""
    for batch_norm in (False, True) if devices > 1 else (False,):
        net = ml.nets.vit(4, size=8, patch=4, dim=12, depth=2, heads=3, channels=1, generator=seeded())
        learner = PSKD(net, epochs=2)
        if batch_norm:
            net = net_of()
            learner = Telling(net, epochs=2)
            learner.folder = str(folder)
        ml.fit(
            net,
            Blobs(15),
            learner,
            epochs=2,
            batch_size=15,
            optimizer=partial(torch.optim.SGD, lr=0.5),
            schedule=None,
            accelerator="cpu",
            devices=devices,
            strategy="ddp_fork" if devices > 1 else "auto",
            progress=False,
        )
        if not batch_norm:
            torch.save(weights(net), folder / f"{devices}.pt")


def test_pskd_in_two_processes_is_that_of_one(tmp_path):
    assert apart(together, tmp_path, 2) == 0
    together(tmp_path, 1)
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    pasts = [torch.load(tmp_path / f"past{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert torch.equal(*pasts)  # with the same running means, though each process saw its share of the batch


# ------------------------------------------------------------------------------- in recipes and in `fit`
WAYS = {
    "ddgsd": (DDGSD(CROPS), "DDGSD(augment=crop_and_flip, temperature=4.0, weight=0.0005, released=False)"),
    "tfkd": (
        TFKD(),
        "TFKD(right=0.99, temperature=20.0, weight=0.1, student_temperature=1.0, released=False)",
    ),
    "cskd": (CSKD(weight=2.0), "CSKD(temperature=4.0, weight=2.0)"),
    "plain": (Plain(), "Plain()"),
    "pskd": (partial(PSKD, epochs=2), "PSKD(epochs=2)"),
    "byot": (BYOT, "BYOT"),
    "averaged": (partial(Averaged, mix=CSKD()), "Averaged(mix=CSKD(temperature=4.0, weight=1.0))"),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_trains_by_a_recipe_which_says_what_it_was(way):
    mix, words = WAYS[way]
    given = {"data": Blobs(32), "epochs": 2, "batch_size": 8, "width": 4, "progress": False}
    outcome = recipes.fashion(mix, accelerator="cpu", images=24, **given)
    assert outcome.settings["mix"] == words
    again = recipes.fashion(mix, accelerator="cpu", images=24, **given)
    assert torch.equal(weights(outcome.model), weights(again.model))
    losses = [epoch["loss"] for epoch in outcome.history.epochs]
    assert all(loss == loss for loss in losses) and set(outcome.final) == {"same", "again"}
    assert "labels" in outcome.history.last and sum(p.numel() for p in outcome.model.parameters()) == sum(
        p.numel() for p in ml.nets.resnet(8, 4, width=4, channels=1).parameters()
    )


@pytest.mark.parametrize("way", ["ddgsd", "cskd"])
def test_the_recipes_smoothing_reaches_the_labels_and_the_given_learner_stays(way):
    given = WAYS[way][0]
    known = told(given, 4, 0.3)
    assert (given.num_classes, given.smoothing, known.num_classes, known.smoothing) == (None, 0.0, 4, 0.3)
    assert "smoothing=0.3" in repr(known) and "smoothing" not in repr(given)
    net = net_of().eval()
    said = []

    def model(images, **taps):
        said.append(net(images, **taps))
        return said[-1]

    plain, smoothed = (one(model, IMAGES, LABELS, generator=seeded(2)) for one in (given, known))
    assert torch.equal(plain["answers"], smoothed["answers"])
    for terms, share in ((plain, 0.0), (smoothed, 0.3)):
        logits = said[0].log_softmax(1)
        rows = F.one_hot(LABELS.repeat_interleave(len(logits) // 6), 4) * (1 - share) + share / 4
        expected = -(rows * logits).sum(1).mean()
        assert float(terms["labels"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


# ------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: TFKD(right=1.0), ValueError, r"right must lie in \(0, 1\), got 1.0"),
        (lambda: TFKD(student_temperature=-1), ValueError, "student_temperature must be positive .*got -1"),
        (
            lambda: CSKD(temperature=0)(lambda x: x, torch.eye(6), LABELS),
            ValueError,
            r"temperature must lie in .*, got 0",
        ),
        (lambda: PSKD(net_of(), epochs=0), ValueError, "epochs must be a positive integer .*got 0"),
        (lambda: PSKD(net_of(), epochs=2, smoothing=0.1), ValueError, "smoothing must be 0, got 0.1"),
        (lambda: BYOT(nn.Linear(1, 1)), TypeError, "a network with taps, got Linear"),
        (
            lambda: told(TFKD(), 4, 0.1),
            ValueError,
            "TFKD's targets are its own; smoothing must be 0, got 0.1",
        ),
        (lambda: told(Mixing(ml.mixup, smoothing=0.2), 4, 0.0), ValueError, "0.0 for the run and 0.2 in its"),
        (
            lambda: recipes.fashion(TFKD(), data=Blobs(8), smoothing=0.1, accelerator="cpu"),
            ValueError,
            "TFKD's targets are its own",
        ),
        (
            lambda: recipes.fashion(PSKD(net_of(), epochs=2), data=Blobs(8), accelerator="cpu"),
            TypeError,
            "PSKD is built for the network to be trained",
        ),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_partners_are_others_of_the_class_each_with_the_same_chance():
    labels = torch.tensor([3, 1, 3, 0, 3, 1, 3])
    g, met = seeded(), {}
    for _ in range(600):
        partner = same_class(labels, g)
        for i, k in enumerate(partner.tolist()):
            if k < 0:
                assert int((labels == labels[i]).sum()) == 1
            else:
                assert k != i and labels[k] == labels[i]
                met[i, k] = met.get((i, k), 0) + 1
    assert partner[3] == -1 and partner[1] == 5 and partner[5] == 1
    four = (0, 2, 4, 6)
    assert {k for k in met if k[0] in four} == {(i, k) for i in four for k in four if i != k}
    assert all(150 < met[i, k] < 250 for i in four for k in four if i != k)  # of 600, a third each
    assert torch.equal(same_class(labels, seeded(7)), same_class(labels, seeded(7)))


def test_the_control_trains_as_its_learner_and_predicts_with_the_twin():
    net = net_of()
    control = Averaged(net, partial(ml.mixup, alpha=1.0), momentum=0.5, smoothing=0.1)
    bare = ml.learners.Mixing(partial(ml.mixup, alpha=1.0), 4, 0.1)
    ours, theirs = (
        one(net.eval(), IMAGES, LABELS, generator=seeded(1))["mixed_labels"] for one in (control, bare)
    )
    assert torch.equal(ours, theirs)
    before = net.head.bias.detach().clone()
    net.head.bias.data.add_(2.0)
    control.after_step(net)
    assert torch.allclose(control.deployed(net).head.bias, before + 1.0)
    assert [p for p in control.parameters() if p.requires_grad] == []
    scheduled = Averaged(net, momentum=lambda progress: progress)
    scheduled.advance(0.75)
    assert scheduled.twin.momentum == 0.75
