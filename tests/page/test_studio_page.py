"""The mask studio's arithmetic in the page, run by node, against Python."""

import base64
import re
from functools import partial

import pytest
import torch

import mixlearn as ml
from mixlearn.page.studio_net import mask_score, normalised, scored, studio_bytes, studio_net
from tests.page import node

in_node = partial(node.in_node, ("net", "paint"))


def test_the_page_computes_the_same_network(designers):
    g = torch.Generator().manual_seed(0)
    places = [[3, 40], [500, 77], [9, 1000]]
    masks = torch.randint(0, 256, (3, 32, 32), generator=g).byte()
    masks[1, :, 20:] = 255
    given = {
        "net": base64.b64encode(studio_bytes()).decode(),
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
        plan = ml.MixPlan.masked(torch.tensor([1, 0]), 1 - mask[None, None] / 255)
        images, labels = designers.batch(pair)  # the package's own way, in single precision
        single = mask_score(studio_net()(plan.mix(images)), plan.soften(labels, 10))[0]
        assert each["score"] == pytest.approx(float(single), abs=1e-2)


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
    dab = in_node(f"return [...js.dab(new Uint8Array(1024), 32, 10, 20, {brush})];")
    first = painted(10, 20, size, blur)
    assert (torch.tensor(dab).view(32, 32) - first).abs().max() <= 0
    if not blur:
        assert set(dab) == {0, 255}
    line = in_node(f"return [...js.stroke(new Uint8Array(1024), 32, [10, 20], [14, 18], {brush})];")
    along = [(10, 20), (11, 20), (12, 19), (13, 19), (14, 18)]  # a pixel apart, halves upwards
    expected = torch.stack([painted(x, y, size, blur) for x, y in along]).amax(0)
    assert torch.equal(torch.tensor(line).view(32, 32).double(), expected)
    rubbed = in_node(
        f"return [...js.dab(new Uint8Array(1024).fill(200), 32, 10, 20, {{...{brush}, erase: true}})];"
    )
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
