"""MixSKD: terms against formulas written out, who learns, branches, what is kept, processes."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments.nets import preact_resnet
from experiments.rivals import BYOT
from mixlearn.methods.mixskd import (
    TERMS,
    Branch,
    Critic,
    MixSKD,
    SelfTeacher,
    Views,
    branch_points,
    distillation,
    mixskd_terms,
    stages_of,
)
from tests.apart import apart
from tests.refused import refusals
from tests.seeds import seeded
from tests.sets import Blobs, weights

B, K, C, CLASSES = 5, 3, 6, 4


def drawn_views(seed):
    g = seeded(seed)
    maps = [torch.randn(B, C, 2, 2, generator=g).requires_grad_() for _ in range(K)]
    logits = [(2 * torch.randn(B, CLASSES, generator=g)).requires_grad_() for _ in range(K)]
    return Views(maps, logits)


def made(seed=0, lam=(0.2, 0.9, 0.5, 0.4, 0.7)):
    plan = ml.MixPlan.pair(torch.tensor([1, 2, 3, 4, 0]), torch.tensor(lam))
    teacher = SelfTeacher(C, K, CLASSES, generator=seeded(seed))
    teacher.head.weight.data.mul_(100)  # answers that differ
    critics = nn.ModuleList(Critic(C, generator=seeded(seed + k)) for k in range(K))
    return drawn_views(seed), drawn_views(seed + 1), plan, torch.tensor([0, 1, 2, 3, 0]), teacher, critics


def naive(clean, mixed, plan, labels, teacher, critics, T):
    lam, partner = plan.lam, plan.partner

    def blend(v):
        out = torch.empty_like(v)
        for i in range(B):
            out[i] = lam[i] * v[i] + (1 - lam[i]) * v[partner[i]]
        return out

    def soft(z):
        total = 0.0
        for i in range(B):
            p = z[i].softmax(0)
            total -= lam[i] * p[labels[i]].log() + (1 - lam[i]) * p[labels[partner[i]]].log()
        return total / B

    def kl(target, answer):
        p, q = (target / T).softmax(1), (answer / T).softmax(1)
        return T**2 * (p * (p / q).log()).sum(1).mean()

    bar_maps, bar = [blend(m) for m in clean.maps], [blend(z) for z in clean.logits]
    h_bar, h_hat = teacher(bar_maps), teacher(mixed.maps)
    critic = 0.0
    for d, a, b in zip(critics, bar_maps, mixed.maps, strict=True):
        critic -= torch.sigmoid(d(a)).log().mean() + (1 - torch.sigmoid(d(b))).log().mean()
    return {
        "labels": sum(-z.log_softmax(1)[range(B), labels].mean() for z in clean.logits),
        "mixed": sum(soft(z) for z in mixed.logits) + soft(h_bar) + soft(h_hat),
        "features": sum(((a - b) ** 2).mean() for a, b in zip(bar_maps, mixed.maps, strict=True)),
        "critic": critic,
        "branches": sum(kl(bar[k], mixed.logits[k]) + kl(mixed.logits[k], bar[k]) for k in range(K - 1)),
        "teacher": kl(h_hat, bar[-1]) + kl(h_bar, mixed.logits[-1]),
    }


@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_term_is_its_formula(seed, temperature):
    parts = made(seed)
    expected = naive(*parts, temperature)
    found = mixskd_terms(*parts, temperature=temperature)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), rel=1e-5, abs=1e-6), name


def reached(term, tensors):
    slopes = torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)
    return [s is not None and bool(s.abs().sum() > 0) for s in slopes]


def test_who_learns_from_each_term():
    clean, mixed, plan, labels, teacher, critics = made()
    terms = mixskd_terms(clean, mixed, plan, labels, teacher, critics)
    parts = {
        "clean maps": clean.maps,
        "mixed maps": mixed.maps,
        "clean logits": clean.logits,
        "mixed logits": mixed.logits,
        "teacher": list(teacher.parameters()),
        "critics": list(critics.parameters()),
    }
    everyone, nobody = [True] * K, [False] * K
    found = {
        name: {part: reached(term, list(t)) for part, t in parts.items()} for name, term in terms.items()
    }
    assert found["labels"]["clean logits"] == everyone and found["labels"]["mixed logits"] == nobody
    assert found["mixed"]["mixed logits"] == everyone and found["mixed"]["clean logits"] == nobody
    assert found["mixed"]["clean maps"] == everyone and all(found["mixed"]["teacher"])
    assert found["features"]["clean maps"] == found["features"]["mixed maps"] == everyone
    assert all(found["critic"]["critics"]) and found["critic"]["mixed maps"] == everyone
    assert found["branches"]["clean logits"] == found["branches"]["mixed logits"] == [True, True, False]
    assert found["teacher"]["clean logits"] == found["teacher"]["mixed logits"] == [False, False, True]
    assert not any(found["teacher"]["teacher"]) and found["teacher"]["clean maps"] == nobody


def test_adversarial_maps_move_the_other_way_and_critics_alike():
    slopes = []
    for adversarial in (False, True):
        clean, mixed, *rest, critics = made()
        term = mixskd_terms(clean, mixed, *rest, critics, adversarial=adversarial)["critic"]
        slopes.append(torch.autograd.grad(term, [*clean.maps, *mixed.maps, *critics.parameters()]))
    for k, (plain, turned) in enumerate(zip(*slopes, strict=True)):
        assert torch.allclose(turned, -plain if k < 2 * K else plain, atol=1e-7)


def test_distillation_is_scaled_so_that_gradients_stay():
    student = torch.randn(64, 10, generator=seeded())
    teacher = torch.randn(64, 10, generator=seeded(1))
    sizes = []
    for temperature in (10.0, 100.0):
        given = student.clone().requires_grad_()
        distillation(given, teacher, temperature=temperature).backward()
        sizes.append(float(given.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    plain = distillation(student, teacher, temperature=10.0, scaled=False)
    assert float(plain) * 100 == pytest.approx(float(distillation(student, teacher, temperature=10.0)))


test_bad_input_of_a_loss_is_named = refusals(
    (lambda: distillation(torch.zeros(2, 3), torch.zeros(2, 4)), "student and teacher must both"),
    (
        lambda: distillation(torch.zeros(2, 3), torch.zeros(2, 3), temperature=0),
        r"temperature must lie in \(0, inf\), got 0",
    ),
    (lambda: mixskd_terms(*made()[:5], [Critic(C)]), r"one a branch, got \[3, 3, 3, 3, 1\]"),
)


IMAGES, LABELS = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])


NETS = {
    "resnet": partial(ml.nets.resnet, 8, 4, width=4),
    "bottleneck": partial(ml.nets.resnet, 50, 4, width=2),
    "preact": partial(preact_resnet, 18, 4, width=2),
    "vit": partial(ml.nets.vit, 4, size=16, patch=4, dim=12, depth=4, heads=2),
}


@pytest.mark.parametrize("kind", NETS)
def test_branches_are_like_the_rest_of_the_network(kind):
    net = NETS[kind](generator=seeded())
    kept = {}
    net(IMAGES, tap=lambda name, x: kept.setdefault(name, x))
    for after in branch_points(net):
        branch = Branch(net, after, generator=seeded(after))
        maps, logits = branch(kept[branch.stage])
        own = kept[stages_of(net)[-1]]
        assert maps.flatten(2).shape[1:] == (own.mT if own.dim() == 3 else own.flatten(2)).shape[1:]
        assert logits.shape == (6, 4)
        ours = sum(p.numel() for p in branch.parameters())
        layers = net.layers if hasattr(net, "layers") else net.groups
        last = net.norm if hasattr(net, "layers") else net.last
        parts = [*layers[after:], last, net.head]
        assert ours == sum(p.numel() for part in parts for p in part.parameters())
        theirs = dict(layers[after].named_parameters())
        assert any(not torch.equal(p, theirs[n]) for n, p in branch.rest[0].named_parameters() if p.dim() > 1)


@pytest.mark.parametrize("kind", NETS)
def test_terms_are_those_of_two_passes_put_together(kind):
    net = NETS[kind](generator=seeded()).eval()  # so that a pass does not depend on its batch
    learner = MixSKD(net, generator=seeded(1)).eval()
    terms = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert tuple(terms) == TERMS and all(torch.isfinite(t) for t in terms.values())
    mixed = ml.mixup(IMAGES, LABELS, num_classes=4, alpha=0.2, generator=seeded(2))

    def views(images):
        kept = {}
        logits = net(images, tap=lambda name, x: kept.setdefault(name, x))
        said = [branch(kept[branch.stage]) for branch in learner.side]
        own = kept[learner.final]
        own = own.mT.unsqueeze(3) if own.dim() == 3 else own
        return Views([m for m, _ in said] + [own], [z for _, z in said] + [logits])

    parts = views(IMAGES), views(mixed.images), mixed.plan, LABELS, learner.teacher, list(learner.critics)
    for name, value in mixskd_terms(*parts).items():
        assert torch.allclose(terms[name], value, rtol=1e-4, atol=1e-5), name


def fitted(learner_options=None, **options):
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = MixSKD(net, generator=seeded(1), **learner_options or {})
    before = copy.deepcopy(learner.state_dict())
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), batch_size=3)
    ml.fit(net, loader, learner, epochs=1, progress=False, **options)
    moved = {name for name, value in learner.state_dict().items() if not torch.equal(value, before[name])}
    return net, learner, moved


def test_teacher_critics_and_branches_are_trained_and_kept(tmp_path):
    _, learner, moved = fitted(checkpoint=tmp_path / "run.pt")
    assert {name for name, _ in learner.named_parameters()} <= moved
    saved = torch.load(tmp_path / "run.pt", weights_only=True)["learner"]
    assert set(saved) == set(learner.state_dict())


def test_a_mix_with_a_schedule_is_told_how_far_training_has_come():
    mix = ml.RandomMix([ml.mixup], p=lambda progress: progress)
    fitted({"mix": mix})
    assert mix.probability() > 0


def test_the_released_slips_can_be_repeated():
    _, _, moved = fitted(ablate=("mixed",))
    assert not any(name.startswith("teacher.") for name in moved)  # nobody teaches the teacher
    _, _, moved = fitted({"critics_learn": False})
    assert not any(name.startswith("critics.") for name in moved)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_weights_of_terms_and_mixed_precision(precision):
    net, learner, _ = fitted({"weights": {"critic": 0.0, "labels": 2.0}}, precision=precision)
    terms = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert float(terms["critic"].detach()) == 0.0
    learner.weights["labels"] = 1.0
    again = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert float(terms["labels"].detach()) == pytest.approx(2 * float(again["labels"].detach()), rel=1e-2)


test_bad_input_is_named = refusals(
    (lambda: MixSKD(NETS["resnet"](), weights={"x": 1.0}), ValueError, "weights are of labels, mixed"),
    (lambda: MixSKD(NETS["resnet"](), smoothing=0.1), ValueError, "smoothing must be 0, got 0.1"),
    (lambda: MixSKD(NETS["resnet"](), temperature=-1), ValueError, "temperature must lie in .*, got -1"),
    (lambda: MixSKD(NETS["resnet"](), weights={"critic": -1}), ValueError, "critic must lie in .*got -1"),
    (lambda: stages_of(nn.Linear(1, 1)), TypeError, "needs a network with taps, got Linear"),
    (lambda: Branch(NETS["resnet"](), 3), ValueError, "after must be from 1 to 2, got 3"),
)


@pytest.mark.parametrize("kind", [MixSKD, BYOT])
def test_networks_without_places_to_branch_are_refused(kind):
    with pytest.raises(TypeError, match="branches need a residual network or a ViT, got MLP"):
        kind(ml.nets.mlp(12, (4, 4), 3))
    with pytest.raises(ValueError, match="branches need a network of two stages or more, got 1"):
        kind(ml.nets.vit(4, size=8, patch=4, dim=12, depth=1))


def test_every_share_of_the_double_batch_holds_images_and_their_mixtures():
    net = NETS["resnet"](generator=seeded())
    shares = []

    def spread(images, tap):  # what two devices would be sent
        shares.extend(images.tensor_split(2))
        return net(images, tap=tap)

    MixSKD(net, generator=seeded(1))(spread, IMAGES, LABELS, generator=seeded(2))
    mixed = ml.mixup(IMAGES, LABELS, num_classes=4, alpha=0.2, generator=seeded(2)).images
    for share, own in zip(shares, (slice(0, 3), slice(3, 6)), strict=True):
        assert torch.equal(share[0::2], IMAGES[own]) and torch.equal(share[1::2], mixed[own])


def train(folder, devices, kind="vit"):
    """Two steps on seven images, so that processes have shares of different sizes."""
    net = NETS[kind](generator=seeded())
    learner = MixSKD(net, generator=seeded(1))
    options = {"optimizer": partial(torch.optim.SGD, lr=0.1), "schedule": None, "accelerator": "cpu"}
    options |= {"devices": devices, "strategy": "ddp_fork" if devices > 1 else "auto", "progress": False}
    ml.fit(net, Blobs(14, channels=3, size=16), learner, epochs=1, batch_size=7, **options)
    torch.save(torch.cat([weights(net), weights(learner)]), folder / f"{devices}.pt")


def test_two_processes_do_what_one_does(tmp_path):
    for devices in (1, 2):
        assert apart(train, tmp_path, devices) == 0
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
