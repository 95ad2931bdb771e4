"""MixSKD's learner: branches like the network's own rest, who is trained, what is kept, and what predicts."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

import mixlearn as ml
from experiments.chapters import dense, mixskd
from experiments.nets import wide_resnet
from experiments.rivals import BYOT
from mixlearn.methods.mixskd import TERMS, Branch, MixSKD, Views, branch_points, mixskd_terms, stages_of
from tests.lab.apart import apart
from tests.lab.sets import Blobs, weights
from tests.seeds import seeded

IMAGES, LABELS = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])
NETS = {
    "resnet": partial(ml.nets.resnet, 8, 4, width=4),
    "bottleneck": partial(ml.nets.resnet, 50, 4, width=2),
    "preact": partial(ml.nets.preact_resnet, 18, 4, width=2),
    "wide": partial(wide_resnet, 10, 4, width=1),
    "torchvision": partial(ml.nets.torchvision_resnet, "resnet18", 4, weights=None),
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
    saved = set(keys(torch.load(tmp_path / "run.pt", weights_only=False)))
    for name, _ in learner.named_parameters():
        assert any(key.endswith(name) for key in saved), name


def keys(part):
    """All keys of nested dicts."""
    for key, value in part.items() if isinstance(part, dict) else ():
        yield str(key)
        yield from keys(value)


def test_the_released_slips_can_be_repeated():
    _, _, moved = fitted(ablate=("mixed",))
    assert not any(name.startswith("teacher.") for name in moved)  # nobody teaches the teacher
    _, _, moved = fitted({"critics_learn": False})
    assert not any(name.startswith("critics.") for name in moved)


def test_the_network_alone_predicts():
    net, learner, _ = fitted()
    fresh = ml.nets.resnet(8, 4, width=4)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh.eval()(IMAGES), net.eval()(IMAGES))
    assert not hasattr(learner, "deployed")


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_weights_of_terms_and_mixed_precision(precision):
    net, learner, _ = fitted({"weights": {"critic": 0.0, "labels": 2.0}}, precision=precision)
    terms = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert float(terms["critic"].detach()) == 0.0
    learner.weights["labels"] = 1.0
    again = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert float(terms["labels"].detach()) == pytest.approx(2 * float(again["labels"].detach()), rel=1e-2)


def test_mixing_by_boxes_of_each_image_works_too():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = MixSKD(net, partial(ml.cutmix, per_image=True), generator=seeded(1))
    terms = learner(net, IMAGES, LABELS, generator=seeded(2))
    assert all(torch.isfinite(t) for t in terms.values())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MixSKD(NETS["resnet"](), weights={"x": 1.0}), ValueError, "weights are of labels, mixed"),
        (lambda: MixSKD(NETS["resnet"](), smoothing=0.1), ValueError, "smoothing must be 0, got 0.1"),
        (lambda: stages_of(nn.Linear(1, 1)), TypeError, "needs a network with taps, got Linear"),
        (lambda: Branch(NETS["resnet"](), 3), ValueError, "after must be from 1 to 2, got 3"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


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
    ml.fit(
        net,
        Blobs(14, channels=3, size=16),
        learner,
        epochs=1,
        batch_size=7,
        optimizer=partial(torch.optim.SGD, lr=0.1),
        schedule=None,
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        progress=False,
    )
    torch.save(torch.cat([weights(net), weights(learner)]), folder / f"{devices}.pt")


def test_two_processes_do_what_one_does(tmp_path):
    for devices in (1, 2):
        assert apart(train, tmp_path, devices) == 0
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)


def test_every_setting_of_the_experiment_is_what_it_says():
    said = {name: setting(dry=True).settings for name, setting in mixskd.items()}
    assert len(said) == 39 and len({str(words) for words in said.values()}) == 39
    for name in ("fashion", "emoji"):
        released = "MixSKD(critics_learn=False, weights={'critic': 0.5})"
        assert said[f"mixskd-{name}-released"]["mix"] == released
        assert said[f"mixskd-{name}-released"]["ablated"] == "mixed"
        words = said[f"mixskd-{name}-labels-and-mixed"]["ablated"]
        assert all((term in words) == (term not in ("labels", "mixed")) for term in TERMS)
        for term in TERMS:
            assert said[f"mixskd-{name}-no-{term}"]["ablated"] == term
    for way, setting in dense.items():  # the same networks, looked at otherwise
        same = said[way.replace("dense", "mixskd")]
        assert {**setting(dry=True).settings, "examined": same["examined"]} == same
    assert said["mixskd-emoji-ddgsd"]["augment"] == "none", "it has its own"
    assert said["mixskd-fashion-pskd"]["mix"] == f"PSKD(epochs={said['mixskd-fashion-pskd']['epochs']})"


def test_branches_of_torchvisions_and_timms_networks_learn():
    for net in (ml.nets.torchvision_resnet("resnet18", 4, weights=None), ml.nets.Tapped(timm_resnet())):
        learner = MixSKD(net, generator=seeded(1))
        assert [branch.stage for branch in learner.side] == ["stage1", "stage2", "stage3"]
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), batch_size=3)
        before = weights(net).clone()
        ml.fit(net, loader, learner, epochs=1, progress=False)
        assert not torch.equal(weights(net), before)
        assert "groups" not in dict(net.named_children())  # nothing is trained or saved twice


def timm_resnet():
    import timm

    return timm.create_model("resnet18", num_classes=4)
