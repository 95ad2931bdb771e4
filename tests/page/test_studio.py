"""The mask studio: its network folded and packed, its arithmetic in the page (by node), and its widget."""

import base64
import re
from functools import partial
from io import BytesIO

import pytest
import torch
from PIL import Image
from torch import nn

import mixlearn as ml
from mixlearn.nets.resnet import resnet
from mixlearn.page.studio import method_masks, shipped_methods
from mixlearn.page.studio_net import (
    FILE,
    PAIRS,
    folded,
    mask_score,
    normalised,
    scored,
    studio_facts,
    studio_net,
    unpacked,
)
from tests.data.test_shipped import script
from tests.page import node
from tests.refused import refusals

in_node = partial(node.in_node, ("net", "paint"))


def busy(net):
    """The network with running statistics and scales that are not those of a new one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -1, 1),
                (module.running_mean, -1, 1),
                (module.running_var, 0.5, 2),
            ):
                nn.init.uniform_(value.data, low, high)
    return net.eval()


@pytest.mark.parametrize("width", [4, 12])
def test_folding_changes_nothing(width):
    net, images = busy(resnet(8, 5, width=width)), torch.randn(4, 3, 32, 32)
    found = folded(net)
    assert torch.allclose(found(images), net(images), atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())  # the given one is unchanged


def test_a_file_holds_the_network_in_half_precision():
    net = folded(busy(resnet(8, 5, width=4)))
    found, facts = unpacked(script("packing").packed(net, "abcde", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)))
    for name, value in net.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.half().float()), name
    assert facts.classes == tuple("abcde") and facts.std == (0.2, 0.25, 0.3)


def test_the_network_that_ships(designers):
    assert FILE.stat().st_size <= 120_000
    facts = studio_facts()
    data = ml.data.load("emoji")
    assert facts.classes == data.classes and facts.mean == data.mean and facts.std == data.std
    net = studio_net()
    assert not net.training and all(torch.equal(p, p.half().float()) for p in net.parameters())
    assert float(ml.measure.evaluate(net, designers)["accuracy"]) > 0.6


def test_the_score_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 9.0, 0.0]]).double()
    p = logits.softmax(1)
    targets = torch.tensor([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]]).double()
    divergence = 0.75 * (0.75 / p[0, 0]).log() + 0.25 * (0.25 / p[0, 1]).log()
    expected = torch.stack([100 * torch.exp(-divergence), 100 * p[1, 1]])  # one class: its own probability
    assert torch.allclose(mask_score(logits, targets), expected)
    assert mask_score(targets[:1].clamp_min(1e-30).log(), targets[:1]).item() == pytest.approx(100)


def test_the_page_computes_the_same_network(designers):
    g = torch.Generator().manual_seed(0)
    places = [[3, 40], [500, 77], [9, 1000]]
    masks = torch.randint(0, 256, (3, 32, 32), generator=g).byte()
    masks[1, :, 20:] = 255
    given = {
        "net": base64.b64encode(FILE.read_bytes()).decode(),
        "pairs": [designers.images[pair].flatten(1).tolist() for pair in places],
        "labels": [designers.labels[pair].tolist() for pair in places],
        "masks": masks.flatten(1).tolist(),
    }
    found = in_node(
        """const net = js.readNet(js.fromBase64(given.net));
        return given.pairs.map(([own, partner], i) => {
          const image = js.underMask(own, partner, given.masks[i]), lam = js.ownShare(given.masks[i]);
          const logits = js.forward(net, image, 32, 32);
          const score = js.maskScore(logits, ...given.labels[i], lam);
          return { image: [...image], lam, p: js.softmax(logits), score };
        });""",
        given,
    )
    for each, pair, mask in zip(found, places, masks, strict=True):
        mixture, lam, score = scored(designers.images[pair], designers.labels[pair], mask)
        assert each["lam"] == pytest.approx(lam, abs=1e-12)
        assert each["image"] == pytest.approx((mixture / 255).flatten().tolist(), abs=1e-12)
        p = studio_net().double()(normalised(mixture)[None]).softmax(1)[0]
        assert each["p"] == pytest.approx(p.tolist(), abs=1e-9)
        assert each["score"] == pytest.approx(score, abs=1e-7)


def test_the_page_reads_half_precision():
    bits = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xC000, 0x7BFF, 0x7C00, 0xFC00, 0x3555]
    expected = torch.tensor(bits, dtype=torch.int32).to(torch.uint16).view(torch.float16).tolist()
    found = in_node("return given.map((bits) => String(js.fromHalf(bits)));", bits)
    assert [float(value.replace("Infinity", "inf")) for value in found] == expected
    assert in_node("return js.toBase64(js.fromBase64(given));", "AAEC/w==") == "AAEC/w=="


def painted(column, row, size, blur, side=32):
    """A dab on an empty mask, by the formula."""
    y, x = torch.meshgrid(torch.arange(side).double(), torch.arange(side).double(), indexing="ij")
    beyond = (torch.hypot(x - column, y - row) - size / 2).clamp(min=0)
    weight = torch.exp(-(beyond**2) / (2 * blur**2)) if blur else (beyond == 0).double()
    return (255 * weight).round()


@pytest.mark.parametrize(("size", "blur"), [(1, 0), (2, 0), (7, 0), (7, 1.5), (15, 5)])
def test_a_dab_of_the_brush(size, blur):
    brush = f"{{size: {size}, blur: {blur}, erase: false}}"
    dab, line, rubbed = in_node(
        f"""const brush = {brush}, empty = () => new Uint8Array(1024);
        return [js.dab(empty(), 32, 10, 20, brush), js.stroke(empty(), 32, [10, 20], [14, 18], brush),
            js.dab(empty().fill(200), 32, 10, 20, {{...brush, erase: true}})].map((mask) => [...mask]);"""
    )
    first = painted(10, 20, size, blur)
    assert (torch.tensor(dab).view(32, 32) - first).abs().max() <= 0
    if not blur:
        assert set(dab) == {0, 255}
    along = [(10, 20), (11, 20), (12, 19), (13, 19), (14, 18)]  # a pixel apart, halves upwards
    expected = torch.stack([painted(x, y, size, blur) for x, y in along]).amax(0)
    assert torch.equal(torch.tensor(line).view(32, 32).double(), expected)
    assert torch.equal(torch.tensor(rubbed).view(32, 32).double(), (255 - first).clamp(max=200))


def test_shares_of_a_mask():
    mask = torch.randint(0, 256, (1024,), generator=torch.Generator().manual_seed(1))
    share, turned, even = in_node(
        """const mask = Uint8Array.from(given);
        return [js.ownShare(mask), js.ownShare(js.inverted(mask)), js.ownShare(js.filled(1024, 0.4))];""",
        mask.tolist(),
    )
    assert share == pytest.approx(1 - mask.double().mean().item() / 255, abs=1e-12)
    assert turned == pytest.approx(1 - share, abs=1e-12)
    assert even == pytest.approx(0.4, abs=0.5 / 255)


def test_the_edge_of_a_mask():
    path = in_node(
        "const m = new Uint8Array(16); m[5] = 255; m[6] = 128; m[9] = 127; return js.edgePath(m, 4);"
    )
    steps = set(re.findall(r"M(\d) (\d)([hv])1", path))
    top = {("1", "1", "h"), ("2", "1", "h"), ("1", "2", "h"), ("2", "2", "h")}
    assert steps == top | {("1", "1", "v"), ("3", "1", "v")}


@pytest.fixture(scope="module")
def widget(designers):
    return ml.widgets.mask_studio()


def test_the_pairs_that_ship_are_named_right(widget, designers):
    net = studio_net()
    assert 4 <= len(widget.pairs) <= 6
    for pair in widget.pairs:
        images, labels = designers.batch(pair["places"])
        assert pair["labels"] == labels.tolist() == net(images).argmax(1).tolist()
        assert pair["words"] == [designers.names[place] for place in pair["places"]]


def test_the_masks_are_those_of_the_methods(designers):
    """The sheet that the page gets against direct calls of the package."""
    places = list(PAIRS[0])
    methods = {"box": ml.cutmix, "cloud": partial(ml.fmix, soft=0.2)}
    told = ml.widgets.mask_studio(methods=methods, pairs=[places], seed=3).pairs[0]
    file = BytesIO(base64.b64decode(told["masks"].split(",")[1]))
    sheet = torch.frombuffer(bytearray(Image.open(file).convert("L").tobytes()), dtype=torch.uint8)
    sheet = sheet.view(2, 32, 9, 32).movedim(2, 1)
    images, _ = designers.batch(places)
    for row, method in zip(sheet, methods.values(), strict=True):
        for k, mask in enumerate(row):
            g = torch.Generator().manual_seed(3)
            plan = method(images, lam=(k + 1) / 10, partner=[1, 0], generator=g).plan
            assert torch.equal(mask, (255 * (1 - plan.masks[0, 0, 0])).round().byte())


def test_the_methods_that_ship_come_near_the_target(designers):
    pixels, labels = designers.images[list(PAIRS[0])], designers.labels[list(PAIRS[0])]
    shares = [0.3, 0.5, 0.7]
    masks = method_masks(normalised(pixels).float(), labels, shipped_methods(), shares, 54)
    assert masks.shape == (5, 3, 32, 32)
    lam = 1 - masks.double().mean((2, 3)) / 255
    assert (lam[:, 1:] >= lam[:, :-1]).all() and (lam[:, 2] > lam[:, 0]).all()  # more asked, more kept
    assert (lam[:4].mean(1) - 0.5).abs().max() < 0.1  # PuzzleMix weighs λ against what it would hide
    assert (lam[2] - torch.tensor(shares)).abs().max() < 1e-3  # FMix keeps what is asked


def test_in_a_kernel(widget):
    assert widget.lam == pytest.approx(0.59375) and 0 < widget.score <= 100
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "score")
    mask = base64.b64encode(bytes([51] * 1024)).decode()
    widget.set_state({"mask": mask, "lam": 0.8, "score": 12.5})  # what the page sends
    assert seen == [12.5] and (widget.lam, widget.mask) == (0.8, mask)
    assert f'"mask": "{mask}"' in widget.html()
    with pytest.raises(Exception, match="lam must not be set: it follows mask, got 0.5"):
        widget.lam = 0.5


def test_it_begins_with_the_mask_that_is_given(designers):
    mask = torch.linspace(0, 1, 1024).view(32, 32)
    widget = ml.widgets.mask_studio(mask=mask, methods={"box": ml.cutmix}, pairs=PAIRS[:2])
    assert widget.lam == pytest.approx(0.5, abs=1e-3)
    place = list(PAIRS[0])
    found = scored(designers.images[place], designers.labels[place], (255 * mask).round().byte())
    assert (widget.lam, widget.score) == found[1:]


def moved(images, labels=None, *, lam, partner, generator, num_classes=None):
    return ml.Mixed(images.flip(3), None, ml.mixup(images, lam=lam, partner=partner).plan)


def three(images, labels=None, **options):
    plan = ml.MixPlan(
        torch.tensor([[0, 1]] * 3), torch.full((3, 2, 1, 1, 1), 1 / 3), torch.full((3, 2), 1 / 3)
    )
    return ml.Mixed(plan.mix(images), None, plan)


test_errors_name_what_came = refusals(
    ({"target": 1.5}, r"target must lie in \[0, 1\], got 1.5"),
    ({"pair": "cat + unicorn"}, r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"),
    ({"pairs": []}, "at least one pair of places, got none"),
    ({"pairs": [(0, 99_999)]}, r"two places from 0 to 1099, got \(0, 99999\)"),
    ({"pairs": [(0, 1, 2)]}, r"two places from 0 to 1099, got \(0, 1, 2\)"),
    ({"pairs": [(0, 1)]}, r"of two classes, got two of 'ground vehicle' at \(0, 1\)"),
    ({"pairs": [PAIRS[0]] * 2}, r"pairs must have different names, got .* \+ "),
    ({"methods": {}}, "methods must hold at least one mixing function, got none"),
    ({"methods": {"flip": moved}}, "'flip' must give the image and its partner under one mask"),
    ({"methods": {"three": three}}, "'three' must mix two parts, got 3"),
    ({"mask": torch.zeros(8, 8)}, r"mask must be \(32, 32\) in \[0, 1\], got \(8, 8\)"),
    ({"mask": torch.full((32, 32), 2.0)}, "with values from 2 to 2"),
    by=lambda given: ml.widgets.mask_studio(**{"methods": {"box": ml.cutmix}, "pairs": PAIRS[:1]} | given),
)


def test_images_of_another_size_are_refused(designers):
    large = ml.data.load("emoji", size=64).tests["designers"]
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, 32, 32\), got \(1100, 3, 64, 64\)"):
        ml.widgets.mask_studio(images=large)
