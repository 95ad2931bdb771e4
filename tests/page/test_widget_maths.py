"""The arithmetic that runs in the page, in node, against Python."""

from functools import partial

import pytest
import torch
from scipy import integrate, stats

import mixlearn as ml
from mixlearn.core.boxes import box_area, boxes_to_masks
from tests.page import node

ALPHAS = [0.05, 0.2, 0.4, 1.0, 2.0, 8.0]


in_node = partial(node.in_node, ("mix", "boxes"))


def test_bytes_are_those_of_the_plan():
    g = torch.Generator().manual_seed(0)
    own, partner = torch.randint(0, 256, (2, 400), generator=g).tolist()
    shares, images = [0.0, 0.25, 0.5, 0.63, 1.0], torch.tensor([own, partner]).double()
    mixed = f"[...js.mixBytes([...Array(400)], {own}, {partner}, lam)]"
    for lam, found in zip(shares, in_node(f"return {shares}.map((lam) => {mixed});"), strict=True):
        expected = ml.mixup(images, lam=torch.tensor(lam, dtype=torch.float64), partner=[1, 0]).images[0]
        assert (torch.tensor(found) - expected).abs().max() <= 0.5 + 1e-6


def test_the_sentence_is_that_of_the_plan():
    shares = [0.0, 0.005, 0.125, 0.37, 0.5, 0.625, 0.63, 0.995, 1.0]
    found = in_node(f'return {shares}.map((share) => js.describe(share, "cat", "dog"));')
    plans = [ml.MixPlan.pair(torch.tensor([1, 0]), torch.full((2,), share)) for share in shares]
    assert found == [plan.describe(0, ["cat", "dog"]) for plan in plans]
    assert in_node('return js.describe(0.3, "cat", "cat");') == "100 % cat"


@pytest.mark.parametrize("alpha", ALPHAS)
def test_density_and_tail(alpha):
    grid = [0.001, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999]
    density, below, unmixed, smaller = in_node(
        f"""const grid = {grid};
        return [grid.map((x) => js.betaDensity(x, {alpha})), grid.map((x) => js.betaBelow(x, {alpha})),
        js.looksUnmixed({alpha}, 0.95), js.meanSmallerShare({alpha})];"""
    )
    beta = stats.beta(alpha, alpha)
    assert density == pytest.approx(list(beta.pdf(grid)), rel=1e-9)
    assert below == pytest.approx(list(beta.cdf(grid)), rel=1e-9)
    assert unmixed == pytest.approx(2 * beta.cdf(0.05), rel=1e-9)
    mean = 2 * integrate.quad(lambda x: x * beta.pdf(x), 0, 0.5, points=[1e-6, 1e-3])[0]
    assert smaller == pytest.approx(mean, rel=1e-4)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_draws_follow_the_density(alpha):
    draws = in_node(
        f"const r = js.uniform(7); return Array.from({{length: 4000}}, () => js.betaDraw({alpha}, r));"
    )
    inner = [x for x in draws if 1e-9 < x < 1 - 1e-9]
    beta = stats.beta(alpha, alpha)
    low, high = beta.cdf(1e-9), beta.cdf(1 - 1e-9)
    assert stats.kstest(inner, lambda x: (beta.cdf(x) - low) / (high - low)).pvalue > 1e-3
    assert (4000 - len(inner)) / 4000 == pytest.approx(2 * low, abs=0.02)


SHAPES = [(128, 128), (127, 127), (96, 128), (33, 33)]


def frequency(boxes, height, width):
    """How often each pixel lies in the boxes (n, 4)."""
    x0, y0, x1, y1 = (corner[:, None] for corner in boxes.unbind(1))
    down, across = torch.arange(height), torch.arange(width)
    down, across = ((down >= y0) & (down < y1)).float(), ((across >= x0) & (across < x1)).float()
    return (down.T @ across).double() / len(boxes)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_sides_are_those_of_sample_boxes(height, width):
    """A box that never meets the border shows its sides: the largest of many throws."""
    grid = [k / 64 for k in range(65)]
    found = in_node(f"return {grid}.map((lam) => js.boxSides(lam, {height}, {width}));")
    g = torch.Generator().manual_seed(0)
    for lam, (across, down) in zip(grid, found, strict=True):
        boxes = ml.sample_boxes(torch.full((4000,), lam), height, width, generator=g)
        sides = (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
        assert sides == [across, down]
    assert in_node("return js.boxSides(0.75, 33, 127);") == [64, 16]  # 63.5 and 16.5: halves to even


def test_a_box_is_clipped_as_in_python():
    g = torch.Generator().manual_seed(0)
    asked = torch.cat(
        [torch.randint(-40, 140, (200, 2), generator=g), torch.randint(0, 129, (200, 2), generator=g)], 1
    )
    found = torch.tensor(in_node(f"return {asked.tolist()}.map((box) => js.clipBox(box, 96, 128));"))
    corners = torch.cat([asked[:, :2], asked[:, :2] + asked[:, 2:]], 1)
    expected = torch.minimum(corners.clamp(min=0), torch.tensor([128, 96, 128, 96]))
    assert torch.equal(found, expected)
    kept = in_node(f"return {expected.tolist()}.map((box) => js.keptShare(box, 96, 128));")
    assert kept == pytest.approx((1 - box_area(expected).double() / (96 * 128)).tolist(), abs=1e-12)
    pasted = ml.cutmix(torch.zeros(200, 1, 96, 128), boxes=expected, partner=range(200))
    assert kept == pytest.approx(pasted.plan.lam.tolist(), abs=1e-6)


def test_a_held_box_is_one_that_cutmix_could_draw():
    g = torch.Generator().manual_seed(1)
    wild = torch.randint(-300, 300, (500, 4), generator=g).tolist()
    held = in_node(f"return {wild}.map((box) => js.holdBox(box, 33, 128));")
    for x, y, w, h in held:
        assert 0 <= w <= 128 and 0 <= h <= 33
        assert 0 <= x + w // 2 < 128 and 0 <= y + h // 2 < 33
    assert in_node(f"return {held}.map((box) => js.holdBox(box, 33, 128));") == held


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_thrown_boxes_fall_where_sample_boxes_lets_them_fall(height, width, alpha):
    n = 20_000
    counts, means = in_node(
        f"""const random = js.uniform(3), heat = js.heatMap({height}, {width}), means = [0, 0];
        for (let i = 0; i < {n}; i++) {{
          const lam = js.betaDraw({alpha}, random);
          const cut = js.clipBox(js.throwBox(lam, {height}, {width}, random), {height}, {width});
          heat.add(cut);
          means[0] += lam / {n}; means[1] += js.keptShare(cut, {height}, {width}) / {n};
        }}
        return [[...heat.counts()], means];"""
    )
    found = torch.tensor(counts).double().view(height, width) / n
    g = torch.Generator().manual_seed(0)
    lam = ml.sample_lam(100_000, alpha, generator=g)
    boxes = ml.sample_boxes(lam, height, width, generator=g)
    often = frequency(boxes, height, width)
    deviation = (often * (1 - often) * (1 / n + 1 / 100_000)).sqrt()
    assert ((found - often).abs() < 5 * deviation).all()
    kept = 1 - box_area(boxes).double() / (height * width)
    for mean, draws in zip(means, (lam.double(), kept), strict=True):
        assert abs(mean - float(draws.mean())) < 5 * float(draws.std()) * (1 / n + 1 / 100_000) ** 0.5


def test_the_heat_map_counts():
    boxes = torch.tensor([[0, 0, 3, 2], [1, 1, 4, 5], [2, 2, 2, 5], [3, 4, 4, 5], [0, 0, 4, 5]])
    found = in_node(
        f"const h = js.heatMap(5, 4); {boxes.tolist()}.forEach((box) => h.add(box)); return [...h.counts()];"
    )
    assert found == boxes_to_masks(boxes, 5, 4).sum(dim=(0, 1)).long().flatten().tolist()


def test_the_mean_kept_share():
    """The thin curve is the mean over uniform centres: by integration, and by boxes on a fine grid."""
    grid = [0.0, 0.2, 0.5, 0.75, 0.9, 1.0]
    curve = in_node(f"return {grid}.map(js.meanKept);")
    for lam, mean in zip(grid, curve, strict=True):
        r = (1 - lam) ** 0.5
        length = integrate.quad(lambda c, r=r: min(c + r / 2, 1) - max(c - r / 2, 0), 0, 1, limit=200)[0]
        assert mean == pytest.approx(1 - length**2, abs=1e-6)
        boxes = ml.sample_boxes(
            torch.full((100_000,), lam), 2000, 2000, generator=torch.Generator().manual_seed(0)
        )
        kept = 1 - box_area(boxes).double() / 2000**2
        assert mean == pytest.approx(float(kept.mean()), abs=5 * float(kept.std()) / 100_000**0.5 + 2e-3)
    whole = in_node("return Array.from({length: 4000}, (_, i) => js.meanKept((i + 0.5) / 4000) / 4000);")
    assert sum(whole) == pytest.approx(0.679, abs=5e-4)  # the answer to the question: 163 / 240


def test_pictures_are_resampled_and_pasted_as_in_the_copied_code():
    g = torch.Generator().manual_seed(0)
    own, partner = torch.randint(0, 256, (2, 8, 8, 4), generator=g)
    for height, width in ((5, 11), (8, 8), (16, 3)):
        rows, columns = torch.arange(height) * 8 // height, torch.arange(width) * 8 // width
        both = torch.stack([own, partner])[:, rows][:, :, columns].permute(0, 3, 1, 2)
        expected = ml.cutmix(both.float(), boxes=[[1, 2, 3, 5]], partner=[1, 0]).images[0]
        found = in_node(
            f"""const at = (list) => js.nearest(Uint8ClampedArray.from(list), 8, {height}, {width});
            const [own, partner] = [at({own.flatten().tolist()}), at({partner.flatten().tolist()})];
            return [...js.pasteBox(own, partner, [1, 2, 3, 5], {width})];"""
        )
        assert torch.equal(torch.tensor(found).view(height, width, 4).permute(2, 0, 1).float(), expected)


def test_the_sentence_of_a_box_is_that_of_the_plan():
    boxes = [[0, 0, 8, 4], [3, 2, 9, 16], [5, 5, 5, 9], [0, 0, 12, 16]]
    said = 'js.describeBox(js.keptShare(box, 16, 12), "cat", "dog", box)'
    for box, found in zip(boxes, in_node(f"return {boxes}.map((box) => {said});"), strict=True):
        plan = ml.cutmix(torch.zeros(2, 1, 16, 12), boxes=[box], partner=[1, 0]).plan
        assert found == plan.describe(0, ["cat", "dog"])
