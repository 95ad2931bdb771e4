"""AutoMix and SAMix: blocks against their formulas, a step recomputed by hand, gradients, twin, processes."""

import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import mixlearn as ml
from experiments.nets import preact_resnet
from mixlearn.core import processes
from mixlearn.methods.learner import Twin
from mixlearn.methods.learners import AutoMix, SAMix
from mixlearn.methods.samix import SAMixBlock, adjusted
from mixlearn.nets.taps import WithHead, pooled, staged
from tests.apart import apart
from tests.refused import refused
from tests.seeds import seeded
from tests.sets import Blobs, weights

IMAGES, LABELS = torch.rand(6, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0, 1])
NETS = {
    "resnet": (partial(ml.nets.resnet, 18, 4, width=2), "stage3"),
    "preact": (partial(preact_resnet, 18, 4, width=2), "stage3"),
    "vit": (partial(ml.nets.vit, 4, size=16, dim=12, depth=2), "block1"),
}


def drawn(block, scale=0.5, seed=3):
    """The same block with weights and biases that matter."""
    for parameter in block.parameters():
        parameter.data.copy_(scale * torch.randn(parameter.shape, generator=seeded(seed)))
    return block


def made(kind=AutoMix, **options):
    """A learner whose twin differs from its network, and whose masks are not all ½."""
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    learner = kind(net, stage="stage2", image_size=16, generator=seeded(1), **options)
    drawn(learner.block, seed=2)
    for parameter in net.parameters():
        parameter.data.mul_(1.3).add_(0.02)
    return net, learner


def touched(module):
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


# ------------------------------------------------------------------------------------------ the Mix Blocks
def by_formula(block, features, lam, partner, size):
    """One pair, one place and one channel after the other, in float64; nearest enlargement."""
    batch, channels, h, w = features.shape
    look, value = ((one.weight.double(), one.bias.double()) for one in (block.look, block.value))
    masks = torch.zeros(batch, 1, *size, dtype=torch.float64)
    for i in range(batch):
        first, second = (features[k].double().flatten(1) for k in (i, int(partner[i])))
        if block.embed:
            share = float(lam[i])
            first = torch.cat([first, torch.full((1, h * w), share, dtype=torch.float64)])
            second = torch.cat([second, torch.full((1, h * w), 1 - share, dtype=torch.float64)])
        queries, keys = (look[0] @ part + look[1][:, None] for part in (first, second))
        values = (value[0] @ second + value[1])[0]
        scores = torch.zeros(h * w, dtype=torch.float64)
        for p in range(h * w):
            near = torch.stack([queries[:, p] @ keys[:, q] for q in range(h * w)])
            shares = (near / math.sqrt(queries.shape[0])).softmax(0)
            scores[p] = (shares * values).sum() if block.attend else values[p]
        grid = scores.view(h, w)
        for row in range(size[0]):
            for column in range(size[1]):
                score = grid[row * h // size[0], column * w // size[1]]
                masks[i, 0, row, column] = 1 - 1 / (1 + torch.exp(-score))
    return masks


@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("attend", [True, False])
@pytest.mark.parametrize("shape", [(3, 6, 2, 2), (2, 5, 3, 2)])
def test_masks_are_the_formula(shape, attend, embed):
    block = drawn(ml.MixBlock(shape[1], embed=embed, attend=attend))
    features, partner = torch.randn(shape, generator=seeded(1)), torch.arange(shape[0]).roll(1)
    lam, size = torch.rand(shape[0], generator=seeded(2)), (4 * shape[2], 2 * shape[3])
    masks = block(features, lam, partner, size)
    assert (masks - by_formula(block, features, lam, partner, size)).abs().max() < 1e-6
    low, high = (block(features, share, partner, size) for share in (0.1, 0.9))
    assert torch.equal(low, high) == (not embed), "λ is read where it is embedded"


def test_symmetric_masks_of_both_orders_sum_to_one():
    features, partner = torch.randn(2, 4, 3, 3, generator=seeded()), torch.tensor([1, 0])
    lam = torch.tensor([0.3, 0.7])
    masks = drawn(ml.MixBlock(4, symmetric=True))(features, lam, partner, (6, 6))
    assert torch.allclose(masks[0] + masks[1], torch.ones(1, 6, 6), atol=1e-6)
    plain = drawn(ml.MixBlock(4))(features, lam, partner, (6, 6))
    assert (plain[0] + plain[1] - 1).abs().max() > 0.01, "the published form is not symmetric"


def test_masks_are_made_in_float32_at_least():
    block = ml.MixBlock(4, std=0.5, generator=seeded()).double()
    features = torch.randn(3, 4, 2, 2, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    lam, partner = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64), torch.tensor([1, 2, 0])
    assert block(features, lam, partner, (4, 4)).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda seen: block(seen, lam, partner, (4, 4)), features)
    block, features = drawn(ml.MixBlock(4)), features.detach().float()
    whole = block(features, 0.4, partner, (6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(features, 0.4, partner, (6, 6)), whole)
    assert block(features.half(), 0.4, partner, (6, 6)).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": torch.zeros(2, 5, 3, 3)}, r"\(B, 4, h, w\), got \(2, 5, 3, 3\)"),
        ({"size": (7, 6)}, "3 × 3 places must divide the image, got 7 × 6"),
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
        ({"partner": torch.tensor([0, 2])}, "partner must lie in 0…1 for 2 images, got 2"),
    ],
)
def test_bad_input_of_a_block_is_named(change, words):
    given = {"features": torch.zeros(2, 4, 3, 3), "lam": 0.5, "partner": torch.tensor([1, 0]), "size": (6, 6)}
    refused(lambda: ml.MixBlock(4)(**given | change), words)
    refused(lambda: ml.MixBlock(4, mode="cubic"), "reduction|mode")


def test_samix_block_is_the_formula():
    block = drawn(SAMixBlock(4)).eval()
    features, partner = torch.randn(3, 4, 2, 2, generator=seeded(2)), torch.tensor([2, 0, 1])
    lam = torch.tensor([0.2, 0.5, 0.9])
    masks = block(features, lam, partner, (8, 8))
    for i in range(3):
        share = (4 / 3 * lam[i] ** 3 - 2 * lam[i] ** 2 + 1.25 * lam[i]) / (1.25 - 2 / 3)
        own = features[i].flatten(1).T * (1 + share)
        other = features[partner[i]].flatten(1).T * (2 - share)
        queries, keys = (
            torch.cat([own, other], 1) @ one.weight.T + one.bias for one in (block.look, block.key)
        )
        hidden = block.norm(other @ block.hidden.weight.T + block.hidden.bias)
        values = F.elu(hidden) @ block.value.weight.T + block.value.bias
        scores = ((queries @ keys.T / 2**0.5).softmax(1) @ values).view(1, 1, 2, 2)
        mask = 1 - F.interpolate(scores, size=(8, 8), mode="bilinear").sigmoid()
        assert (masks[i : i + 1] - mask).abs().max() < 1e-6


@pytest.mark.parametrize("wanted", [0.0, 0.01, 0.4, 1.0])
def test_adjusted_masks_have_the_mean_and_stay_masks(wanted):
    masks = torch.rand(5, 1, 6, 4, generator=seeded())
    before = masks.clone()
    found = adjusted(masks, torch.tensor([wanted]))
    assert torch.allclose(found.mean((1, 2, 3)), torch.full((5,), wanted), atol=1e-5)
    assert found.min() >= 0 and found.max() <= 1 and torch.equal(masks, before)


# ------------------------------------------------------------------------------------------ the mask loss


def test_the_mask_loss_takes_lam_as_a_block_does():
    masks = torch.rand(3, 1, 4, 4, generator=seeded())
    for lam in (torch.tensor(0.1), torch.tensor([0.1]), torch.full((3,), 0.1)):
        assert torch.equal(ml.mask_loss(masks, 0.1), ml.mask_loss(masks, lam))
    with pytest.raises(ValueError, match=r"lam must be one number or \(3,\), got shape \(2,\)"):
        ml.mask_loss(masks, torch.zeros(2))


def test_the_mask_loss_fades_as_a_cosine_and_does_not_compound():
    net, learner = made(margin=0.0, momentum=1.0)
    held = float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach())
    for progress in (0.5, 0.5, 0.25, 1.0):  # told twice, it does not fall twice
        learner.advance(progress)
        now = float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach())
        assert now == pytest.approx(held * (1 + math.cos(math.pi * progress)) / 2, rel=1e-3, abs=1e-8)
    learner.fade = False
    now = float(learner(net, IMAGES, LABELS, generator=seeded())["mask"].detach())
    assert now == pytest.approx(held, rel=1e-3)


@pytest.mark.parametrize("kind", [AutoMix, SAMix])
@pytest.mark.parametrize("together", [False, True])
def test_decided_masks_are_asked_for_by_their_variance(kind, together):
    found, seen = {}, []
    for variance in (0.0, 3.0):
        net, learner = made(kind, variance=variance, mask_weight=0.2, batch_mean=together)
        learner.block.register_forward_hook(lambda *given: seen.append(given[2].detach()))
        found[variance] = learner(net, IMAGES, LABELS, generator=seeded())["mask"].item()
    mean = seen[0].mean() if together else seen[0].mean((1, 2, 3), keepdim=True)
    spread = float((seen[0] - mean).square().mean())
    assert found[0.0] - found[3.0] == pytest.approx(0.2 * 3 * spread, abs=1e-6) and spread > 1e-4


# -------------------------------------------------------------------------------------- a step, its parts
def soft(logits, labels, partner, lam, smoothing):
    rows = F.one_hot(labels, 4).float()
    rows = lam * rows + (1 - lam) * rows[partner]
    rows = rows * (1 - smoothing) + smoothing / 4
    return -(rows * logits.log_softmax(1)).sum(1).mean()


@pytest.mark.parametrize("seed", [3, 4])
def test_the_four_terms_are_the_formulas(seed):
    net, learner = made(smoothing=0.1, mask_weight=0.7, margin=0.0)
    terms = learner(net, IMAGES, LABELS, generator=seeded(seed))
    g = seeded(seed)  # the block's λ and partners first, then the network's
    draws = [(ml.sample_lam(1, 2.0, generator=g), ml.sample_partner(6, generator=g)) for _ in range(2)]
    (lam_m, partner_m), (lam_b, partner_b) = draws
    twin, head = learner.twin["net"], learner.twin["mix_head"]
    features, kept = [], {}
    twin(IMAGES, tap=lambda name, x: features.append(x) or x if name == "stage2" else x)
    judged, taught = (learner.block(features[0], lam, partner, (16, 16)) for lam, partner in draws)

    def last(model, head, masks, partner):
        mixed = masks * IMAGES + (1 - masks) * IMAGES[partner]
        model(mixed, tap=lambda name, x: kept.update({name: x}) or x)
        return head(kept["pool"])

    expected = {
        "clean": F.cross_entropy(net(IMAGES), LABELS, label_smoothing=0.1),
        "mixed": soft(last(net, learner.mix_head, taught, partner_b), LABELS, partner_b, lam_b, 0.1),
        "generator": soft(last(twin, head, judged, partner_m), LABELS, partner_m, lam_m, 0.1),
        "mask": 0.7 * (judged.mean((1, 2, 3)) - lam_m).abs().mean(),
    }
    for name, value in expected.items():
        assert float(terms[name].detach()) == pytest.approx(float(value.detach()), abs=2e-5), name


@pytest.mark.parametrize("plainly", [False, True])
@pytest.mark.parametrize(
    ("term", "net", "own_head", "mix_head", "block"),
    [
        ("clean", True, True, False, False),
        ("mixed", True, False, True, False),
        ("generator", False, False, False, True),
        ("mask", False, False, False, True),
    ],
)
def test_each_term_reaches_whom_it_should(term, net, own_head, mix_head, block, plainly):
    model, learner = made(plainly=plainly, margin=0.0)
    learner(model, IMAGES, LABELS, generator=seeded())[term].backward()
    body = nn.ModuleList([model.stem, model.groups])
    assert touched(body) == net and touched(model.head) == own_head
    assert touched(learner.mix_head) == mix_head and touched(learner.block) == block
    assert all(p.grad is None for p in learner.twin.parameters())


def gradient(apart=False, **options):
    """The gradient of a step, of the whole or part by part."""
    model, learner = made(**options)
    if apart:
        for part in learner.in_parts(model, IMAGES, LABELS, generator=seeded(4)):
            sum(part.values()).backward()
    else:
        sum(learner(model, IMAGES, LABELS, generator=seeded(4)).values()).backward()
    parts = [p for p in (*model.parameters(), *learner.parameters()) if p.requires_grad]
    return torch.cat([p.grad.flatten() for p in parts])


@pytest.mark.parametrize("options", [{}, {"joint": True}, {"plainly": True}])
def test_part_by_part_gives_the_gradients_of_the_whole(options):
    whole, apart = gradient(**options), gradient(apart=True, **options)
    assert (whole - apart).abs().max() < 1e-6 and whole.abs().max() > 1e-3
    assert options != {"plainly": True} or (whole - gradient()).abs().max() < 1e-5


def test_no_two_parts_share_a_graph_or_keep_one():
    model, learner = made()
    names = []
    for part in learner.in_parts(model, IMAGES, LABELS, generator=seeded()):
        sum(part.values()).backward()
        with pytest.raises(RuntimeError, match="second time"):  # nothing was retained
            sum(part.values()).backward()
        names.append(list(part))
    assert names == [["generator", "mask"], ["mixed"], ["clean"]]


def test_nobody_is_its_own_partner_where_that_is_asked():
    for allowed in (True, False):
        partners, (net, learner) = [], made(fixed_points=allowed)
        learner.block.register_forward_hook(lambda *given: partners.append(given[1][2]))  # noqa: B023
        for seed in range(6):
            learner(net, IMAGES[:3], LABELS[:3], generator=seeded(seed))
        own = [bool((partner == torch.arange(3)).any()) for partner in partners]
        assert len(own) > 6 and any(own) == allowed
    refused(lambda: learner(net, IMAGES[:1], LABELS[:1]), "a batch of 1 image has no partner but itself")


def test_extreme_shares_make_a_plain_mixup_and_samix_adjusts_by_its_odds():
    features, lam = torch.randn(6, 8, 8, 8, generator=seeded()), torch.tensor([0.3])
    learner = made(plain_beyond=0.5)[1]
    masks = learner._net_masks(features, lam, torch.arange(6), (16, 16))
    assert torch.equal(masks, torch.full((6, 1, 16, 16), 0.3))
    net, learner = made(SAMix, adjust=0.25, plain_beyond=0.0)
    learner(net, IMAGES, LABELS, generator=seeded(1))
    assert learner._chance == torch.rand((), generator=seeded(1)).item()
    for chance in (0.1, 0.24, 0.26, 0.9):
        learner._chance = chance
        means = learner._net_masks(features, lam, torch.arange(6), (16, 16)).mean((1, 2, 3))
        assert bool((means - lam).abs().max() < 1e-5) == (chance < 0.25)


# ------------------------------------------------------------------------------------------------ the twin
def test_the_twin_follows_in_closed_form():
    net, learner = made(momentum=0.9)
    start = [p.detach().clone() for p in learner.twin["net"].parameters()]
    for _ in range(5):
        learner.after_step(net)
    for slow, first, fast in zip(learner.twin["net"].parameters(), start, net.parameters(), strict=True):
        assert torch.allclose(slow, 0.9**5 * first + (1 - 0.9**5) * fast, atol=1e-5)
        assert not slow.requires_grad
    refused(lambda: Twin({"layer": nn.Linear(2, 2).bfloat16()}), r"32 bits .* got torch\.bfloat16", TypeError)


def test_an_averaged_twins_running_means_are_averages_whatever_it_sees():
    net, learner = made(momentum=0.9)
    twin = dict(learner.twin["net"].named_buffers())
    expected = {name: b.clone() for name, b in twin.items() if b.is_floating_point()}
    for step in range(4):
        learner(net, IMAGES + step, LABELS, generator=seeded(step))
        learner.after_step(net)
        now = dict(net.named_buffers())
        expected = {name: 0.9 * b + 0.1 * now[name] for name, b in expected.items()}
    assert all(torch.allclose(twin[name], b, atol=1e-6) for name, b in expected.items())
    layer = nn.BatchNorm1d(2)
    own = Twin({"layer": layer}, momentum=0.5, buffers="own")
    layer(torch.full((4, 2), 10.0))
    own.follow({"layer": layer})
    assert torch.equal(own["layer"].running_mean, torch.zeros(2))


@pytest.mark.parametrize("options", [{"buffers": "own"}, {"plainly": True}, {"joint": True}])
def test_layers_after_the_stage_see_as_many_batches_as_those_before(options):
    net, learner = made(**options)
    learner(net, IMAGES, LABELS, generator=seeded())
    seer = net if learner.twin is None else learner.twin["net"]
    counts = [int(m.num_batches_tracked) for m in seer.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(set(counts)) == 1 and counts[0] == (3 if learner.twin is None else 2)


def test_who_predicts_is_declared_before():
    for deploy, head in (("twin", "clean"), ("twin", "mixed"), ("network", "clean"), ("network", "mixed")):
        net, learner = made(deploy=deploy, deploy_head=head)
        found = learner.deployed(net)
        inner = found.net if isinstance(found, WithHead) else found
        assert (inner is net) == (deploy == "network")
        assert isinstance(found, WithHead) == (head == "mixed")
        assert found(IMAGES).shape == (6, 4)


# ------------------------------------------------------------------------------ in `fit`, on several networks
@pytest.mark.parametrize(
    ("name", "kind", "precision"),
    [
        ("resnet", AutoMix, "32-true"),
        ("preact", SAMix, "bf16-mixed"),
        ("preact", partial(AutoMix, joint=True), "bf16-mixed"),
        ("vit", SAMix, "32-true"),
    ],
)
def test_one_epoch_moves_every_part(name, kind, precision):
    make, stage = NETS[name]
    net = make(generator=seeded())
    learner = kind(net, stage=stage, image_size=16, momentum=0.5, generator=seeded(1))
    parts = [net, learner.block, learner.mix_head, *([] if learner.twin is None else [learner.twin])]
    before = [torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]
    data = Blobs(13, channels=3, size=16)  # with a last batch of one
    options = {"batch_size": 6, "precision": precision, "accelerator": "cpu", "progress": False}
    history = ml.fit(net, data, learner, epochs=1, **options)
    assert {"clean", "mixed", "mask"} <= set(history.last)
    after = [torch.cat([p.detach().flatten() for p in part.parameters()]) for part in parts]
    assert all(part.isfinite().all() and part.dtype == torch.float32 for part in after)
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_averaged_weights_are_measured_in_the_part_that_predicts():
    data = Blobs(12, channels=3, size=16)
    net, learner = made(deploy="network", deploy_head="mixed")
    last = ml.fit(net, data, learner, epochs=1, ema=0.0, validate=data, progress=False).last
    assert (last["nll"], last["accuracy"]) == (last["ema/nll"], last["ema/accuracy"])
    assert last["nll"] != ml.measure.evaluate(net, data)["nll"]


def test_the_log_shows_mixtures_although_joint_training_looks_at_images_first(monkeypatch, tmp_path):
    net, learner = made(joint=True, fixed_points=False)
    data, shown = Blobs(12, channels=3, size=16), []
    monkeypatch.setattr("mixlearn.train.fit.image_grid", lambda images, *scale: shown.append(images))
    ml.fit(net, data, learner, epochs=1, log=tmp_path, progress=False)
    assert not (shown[0][:, None] == data.images).flatten(2).all(2).any()


def test_a_network_may_have_a_module_of_its_own_called_module():
    net = ml.nets.resnet(8, 4, width=4, generator=seeded())
    net.module = nn.Identity()
    learner = AutoMix(net, stage="stage2", image_size=16)
    assert ml.fit(net, Blobs(6, channels=3, size=16), learner, epochs=1, progress=False).epochs


def test_settings_stand_in_the_learner_s_words_before_and_after_training():
    net, learner = made(alpha=0.5)
    before = repr(learner)
    learner.advance(0.5)
    learner.eval()
    assert "stage='stage2', alpha=0.5, smoothing=0.0" in before and repr(learner) == before


def test_a_twin_that_was_evaluated_trains_on_as_before():
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), 6)
    ways = []
    for evaluated in (False, True):
        model, learner = made()
        if evaluated:
            learner.deployed(model).eval()
        ml.fit(model, data, learner, epochs=2, progress=False)
        ways.append(torch.cat([weights(model), weights(learner)]))
    assert torch.equal(*ways)


@pytest.mark.parametrize("ablate", [("clean",), ("generator", "mask")])
def test_fit_takes_each_part_and_leaves_out_what_is_ablated(ablate):
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES, LABELS), 6)
    model, learner = made()
    before = weights(learner.block)
    history = ml.fit(model, data, learner, epochs=1, ablate=ablate, progress=False)
    assert set(history.last) >= {"clean", "mixed", "generator", "mask"}
    assert torch.equal(before, weights(learner.block)) == (ablate == ("generator", "mask"))


@pytest.mark.parametrize(("precision", "kind"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_the_twins_passes_have_the_precision_of_the_run(precision, kind):
    net = ml.nets.resnet(8, 4, width=2, generator=seeded())
    learner = AutoMix(net, stage="stage2", image_size=16, plain_beyond=0.0)
    seen = {}
    parts = {"net": net, "twin": learner.twin["net"], "head": learner.twin["mix_head"]}
    parts |= {"mix_head": learner.mix_head, "block": learner.block}
    for name, part in parts.items():
        first = part.stem[0] if hasattr(part, "stem") else part
        first.register_forward_hook(lambda m, i, out, name=name: seen.setdefault(name, []).append(out.dtype))
    data = Blobs(6, channels=3, size=16)
    ml.fit(net, data, learner, epochs=1, precision=precision, accelerator="cpu", progress=False)
    assert seen == {
        name: [kind] * (1 if "head" in name else 2) for name in ("net", "twin", "head", "mix_head")
    } | {"block": [torch.float32] * 2}
    assert learner.autocast is nullcontext, "it is as it was before"


class Watched(SAMix):
    """Keeps the learner's and the network's state of each process after each step."""

    folder = Path()

    def after_step(self, model):
        super().after_step(model)
        rank = dist.get_rank() if dist.is_initialized() else 0
        torch.save({"learner": self.state_dict(), "net": model.state_dict()}, self.folder / f"{rank}.pt")


def train(name, folder, devices):
    """Two steps on seven images, so that processes have slices of different sizes."""
    make, stage = NETS[name]
    net = make(generator=seeded())
    learner = Watched(net, stage=stage, image_size=16, momentum=0.5, plain_beyond=0.0, generator=seeded(1))
    learner.folder = folder
    options = {"optimizer": partial(torch.optim.SGD, lr=0.1), "accelerator": "cpu", "progress": False}
    options |= {"devices": devices, "strategy": "ddp_fork" if devices > 1 else "auto"}
    ml.fit(net, Blobs(14, channels=3, size=16), learner, epochs=1, batch_size=7, **options)
    torch.save(torch.cat([weights(net), weights(learner)]), folder / "end.pt")


def kept(folder, rank):
    """All numbers of one process by their names."""
    state = torch.load(folder / f"{rank}.pt", weights_only=True)
    return {f"{part}.{name}": value for part, found in state.items() for name, value in found.items()}


def test_two_processes_do_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, devices in ((one, 1), (two, 2)):
        folder.mkdir()
        assert apart(train, "vit", folder, devices) == 0
    alone, first, second = kept(one, 0), kept(two, 0), kept(two, 1)
    assert any(name.startswith("learner.twin.") for name in first) and first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.load(two / "end.pt"), torch.load(one / "end.pt"), rtol=1e-4, atol=1e-5)


def test_only_the_stage_that_is_looked_at_is_gathered(monkeypatch):
    make, stage = NETS["resnet"]
    net, gathered = make(generator=seeded()), []

    class Gather:
        @staticmethod
        def apply(features, sizes, rank):
            gathered.append(tuple(features.shape[1:]))
            return features

    monkeypatch.setattr(processes, "_Gather", Gather)
    shared, images = processes.Shared(net, 0, 1), torch.rand(2, 3, 32, 32, generator=seeded())
    whole = pooled(shared, images)
    assert gathered == [(net.features,), (4,)]  # and the logits, which are not asked for
    assert whole.shape == (2, net.features)
    gathered.clear()
    features = staged(shared, images, stage, whole=True)
    assert gathered == [tuple(features.shape[1:]), (4,)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": "stage9"}, "it has no 'stage9'"),
        ({"stage": "stage3", "image_size": 18}, "must divide images of 18 × 18"),
        ({"alpha": 0.0}, "alpha must be positive and finite, got 0.0"),
        ({"deploy": "both"}, "deploy must be 'twin' or 'network', got 'both'"),
        ({"deploy_head": "k"}, "deploy_head must be 'clean' or 'mixed', got 'k'"),
        ({"momentum": 1.5}, r"momentum must lie in \[0, 1\], got 1.5"),
        ({"buffers": "none"}, "buffers must be 'averaged' or 'own', got 'none'"),
        ({"plain_beyond": 0.7}, r"plain_beyond must lie in \[0, 0.5\], got 0.7"),
        ({"mask_weight": -1.0}, r"mask_weight must lie in \[0, inf\), got -1.0"),
        ({"momentum": lambda progress: 2.0}, r"momentum must lie in \[0, 1\], got 2.0"),
        ({"adjust": 2}, r"adjust must lie in \[0, 1\], got 2"),
    ],
)
def test_bad_options_are_named(options, words):
    kind = SAMix if "adjust" in options else AutoMix
    with pytest.raises(ValueError, match=words):
        kind(ml.nets.resnet(8, 4, width=4), **{"stage": "stage2", "image_size": 16} | options)
