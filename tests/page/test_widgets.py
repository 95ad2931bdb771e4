"""The Python side of the widgets: what every one of them keeps, then the mixer and the box lab."""

import json
import math
import re
import sys
from functools import cache

import pytest
import torch

import mixlearn as ml
from mixlearn.page.host import bundle, script_json
from mixlearn.page.studio_net import PAIRS
from mixlearn.page.widget import StandaloneWidget
from tests.refused import refusals, refused

EVIL = "</script><img src=x onerror=alert(1)>"
W = ml.widgets
EVERY = {  # a widget to make, bytes of its module, bytes of its page
    "lambda_mixer": (W.lambda_mixer, 60_000, 300_000),
    "beta_explorer": (W.beta_explorer, 60_000, 75_000),
    "box_lab": (W.box_lab, 60_000, 300_000),
    "patch_groups": (W.patch_groups, 60_000, 280_000),
    "plane_lab": (W.plane_lab, 60_000, 75_000),
    "mask_studio": (lambda: W.mask_studio(0.5, methods={"box": ml.cutmix}), 60_000, 450_000),
    "mask_film": (lambda: W.mask_film(0.5, epoch=0), 60_000, 850_000),
    "loss_ledger": (W.loss_ledger, 60_000, 80_000),
    "bins_lab": (W.bins_lab, 60_000, 75_000),
    "mosaic_lab": (W.mosaic_lab, 60_000, 200_000),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_module_stands_alone_and_is_small(name):
    make, most, most_page = EVERY[name]
    module = bundle(name)
    assert "\nimport " not in module and module.count("export ") == 1 and "export default" in module
    assert "http:" not in module.replace("http://www.w3.org/2000/svg", "") and "https:" not in module
    declared = re.findall(r"^(?:async )?(?:function|const|class|let) (\w+)", module, re.M)
    assert len(declared) == len(set(declared)) > 20, "the bundle is one module: no name twice"
    assert len(module.encode()) < most and len(make().html().encode()) < most_page


@pytest.mark.parametrize("name", EVERY)
def test_every_widget_works_without_anywidget(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget = EVERY[name][0]()
    assert isinstance(widget, StandaloneWidget)
    state = {key: getattr(widget, key) for key in widget._keys}
    assert json.loads(json.dumps(state)) == state
    assert set(widget._repr_mimebundle_()) == {"text/html", "text/plain"}
    assert f'"seed": {widget.seed}' in widget.html() if "seed" in state else "<noscript>" in widget.html()
    with pytest.raises(AttributeError, match=r'observe needs .*anywidget: pip install "mixlearn\[lab\]"'):
        widget.observe(print, "alpha")


def test_two_equal_widgets_have_different_ids():
    widget = W.beta_explorer()
    assert len({re.search(r'id="([^"]+)"', widget.html())[1] for _ in range(3)}) == 3


def test_hostile_names_stay_text():
    images = torch.rand(2, 3, 8, 8)
    for widget in (
        W.lambda_mixer(images=images, names=[EVIL, "dog"], pair=(EVIL, "dog")),
        W.patch_groups(2, 2, patch=4, images=images, names=[EVIL, "dog"]),
    ):
        page = widget.html()
        assert EVIL not in page and "<img src=x" not in page and page.count("</script>") == 1
    assert json.loads(script_json(EVIL)) == EVIL


def test_one_bundle_holds_the_live_view_and_the_html():
    widget = W.lambda_mixer(0.63)
    still = r'<img src="data:image/webp;base64,[^"]+" alt="λ mixer: a mixture of 63 % dog and 37 % cat"'
    assert re.search(still, widget.html()) and "<noscript>" in widget.html()
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert '"lam": 0.63' in data["text/html"]
    widget.lam = 0.8  # what a kernel sets, the next rendering shows
    assert '"lam": 0.8' in widget.html()
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "lam")
    widget.set_state({"lam": 0.25})  # what the page sends
    assert seen == [0.25] and widget.lam == 0.25
    widget.partner_name = "owl"
    assert (widget.own_name, widget.partner_name) == ("dog", "owl")


test_errors_name_what_came = refusals(
    (W.lambda_mixer, {"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
    (W.lambda_mixer, {"alpha": 0}, "alpha must be positive and finite, got 0"),
    (W.lambda_mixer, {"pair": ("dog", "unicorn")}, "pair must name two of dog, cat.*got 'unicorn'"),
    (W.lambda_mixer, {"images": torch.rand(2, 3, 4, 5)}, r"shape \(N, 3, S, S\), got \(2, 3, 4, 5\)"),
    (W.lambda_mixer, {"images": torch.rand(2, 3, 4, 4), "names": ["a"]}, "each of 2 images, got 1"),
    (W.box_lab, {"box": (0, 0, 129, 8)}, r"at most 128 × 128 and .*, got \(0, 0, 129, 8\)"),
    (W.box_lab, {"box": (9, 0, 8, 8)}, r"got \(9, 0, 8, 8\)"),
    (W.box_lab, {"box": (-60, 0, 50, 8)}, r"got \(-60, 0, 50, 8\)"),
    (W.box_lab, {"box": (0, 0, 8)}, r"box must be \(x0, y0, x1, y1\) in whole pixels.*got \(0, 0, 8\)"),
    (W.box_lab, {"box": (0, 0, 8.5, math.nan)}, r"in whole pixels.*got \(0, 0, 8.5, nan\)"),
    (W.box_lab, {"box": None, "lam": -0.1}, r"lam must lie in \[0, 1\], got -0.1"),
    (W.box_lab, {"size": 0}, "size must be at least 1 pixel, got 0"),
    by=lambda make, arguments: make(**arguments),
)


@pytest.fixture(scope="module", params=["live", "without anywidget"])
def either(request):
    """Makes widgets with and without a kernel, each once: the same values are right in both."""

    @cache
    def made(make):
        with pytest.MonkeyPatch.context() as patch:
            if request.param == "without anywidget":
                patch.setitem(sys.modules, "anywidget", None)
            return make()

    return made


def film():
    return W.mask_film(epoch=0, pairs=PAIRS[:2])


@pytest.mark.parametrize(
    ("make", "name", "value", "words"),
    [
        (W.lambda_mixer, "lam", 1.01, r"lam must lie in \[0, 1\], got 1.01"),
        (W.lambda_mixer, "lam", math.nan, r"lam must lie in \[0, 1\], got nan"),
        (W.lambda_mixer, "own_name", "unicorn", "own_name must be one of dog, cat.*got 'unicorn'"),
        (W.lambda_mixer, "photos", [], r"photos must not change once the widget is made, got \[\]"),
        (W.beta_explorer, "alpha", math.inf, "alpha must be positive and finite, got inf"),
        (W.beta_explorer, "other", math.nan, "other must be positive and finite, got nan"),
        (W.box_lab, "lam", math.nan, r"lam must lie in \[0, 1\], got nan"),
        (W.box_lab, "box", (0, 0, 200, 8), r"box must be .*128 × 128.*got \(0, 0, 200, 8\)"),
        (W.box_lab, "box", (9, 0, 8, 8), r"x0 ≤ x1 and y0 ≤ y1.*got \(9, 0, 8, 8\)"),
        (W.box_lab, "box", (0, 0, 8, math.nan), r"in whole pixels.*got \(0, 0, 8, nan\)"),
        (W.box_lab, "box", 8, "in whole pixels.*got 8"),
        (W.box_lab, "x", 127, r"x must leave the box's sides in 0…128 pixels and its centre.*got 127"),
        (W.box_lab, "canvas_width", 8, r"canvas_width must leave .*got 8"),
        (W.box_lab, "canvas_height", 0, "canvas_height must be at least 1 pixel, got 0"),
        (W.patch_groups, "batch", 7, r"batch must lie in 2…6, got 7"),
        (W.patch_groups, "patch", 96, r"patch must go 2…8 times into 96 pixels, got 96"),
        (W.patch_groups, "order", [0, 1], r"a permutation of 0…8, got \[0, 1\]"),
        (W.patch_groups, "mixture", 4, r"mixture must lie in 0…3, or be -1 for none, got 4"),
        (W.patch_groups, "place", 9, r"place must lie in 0…8, or be -1 for none, got 9"),
        (W.patch_groups, "step", 6, r"step must lie in \[0, 5\], got 6"),
        (
            W.plane_lab,
            "augmentation",
            "cutmix",
            "augmentation must be one of none, jitter, Mixup, got 'cutmix'",
        ),
        (W.plane_lab, "points", [[0, 0]], r"points must hold 24 pairs of numbers in .*, got \[\[0, 0\]\]"),
        (W.plane_lab, "labels", [3] * 24, "labels must hold 24 classes, 0, 1 or 2, got"),
        (W.plane_lab, "jitter", math.nan, r"jitter must lie in \[0.001, 100\], got nan"),
        (W.bins_lab, "bins", 0, r"bins must lie in \[1, 100\], got 0"),
        (W.bins_lab, "predictions", [], r"predictions must not change once the widget is made, got \[\]"),
        (W.mosaic_lab, "centre", [0, 129], r"centre must be \(x, y\) in whole numbers .*, got \[0, 129\]"),
        (W.mosaic_lab, "size", 64, "size must not change once the widget is made, got 64"),
        (W.loss_ledger, "selected", "dis", "selected must be one of labels, mixed.*or empty, got 'dis'"),
        (film, "epoch", 99, r"epoch must be one of 0, 1, .*, got 99"),
        (film, "pair", "cat + unicorn", r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"),
        (film, "mask", "AAAA", "mask must be the base64 of 32 × 32 bytes, got 'AAAA'"),
        (film, "mask", "no mask", "mask must be the base64 of 32 × 32 bytes, got 'no mask'"),
        (film, "score", 50.0, "score must not be set: it follows mask, got 50.0"),
    ],
)
def test_a_trait_out_of_range_is_refused_and_nothing_changes(either, make, name, value, words):
    widget = either(make)
    before = getattr(widget, name)
    refused(lambda: setattr(widget, name, value), words, Exception)
    assert getattr(widget, name) == before


def test_the_box_lab_has_box_and_lam(either):
    widget = W.box_lab((-16, 40, 48, 104))
    assert widget.box == (-16, 40, 48, 104)
    assert 'alt="Box lab: 81 % dog + 19 % cat, box x 0–48, y 40–104"' in widget.html()
    assert widget.lam == 1 - 48 * 64 / 128**2  # what is seen of the box
    widget.box = torch.tensor([0, 0, 64, 128])
    assert widget.lam == 0.5 and (widget.x, widget.y, widget.width, widget.height) == (0, 0, 64, 128)
    widget.lam = 0.75
    assert (widget.box, widget.lam) == ((0, 32, 64, 96), 0.75)
    widget.lam = torch.tensor(0.6)
    assert widget.lam == pytest.approx(0.6, abs=0.005)  # whole pixels
    pasted = ml.cutmix(torch.zeros(2, 3, 128, 128), boxes=[*widget.box], partner=[1, 0])
    assert widget.lam == pasted.plan.lam[0]
    for lam, area in ((1.0, 0), (0.0, 128**2)):
        widget.lam = lam
        x0, y0, x1, y1 = widget.box
        assert widget.lam == lam and (x1 - x0) * (y1 - y0) == area
    assert f'"width": {widget.width}' in widget.html()


def test_the_box_lab_tells_the_kernel_of_box_and_lam():
    widget, seen = W.box_lab((0, 0, 64, 64)), []
    widget.observe(lambda change: seen.append((change["name"], change["new"])), ["box", "lam"])
    widget.set_state({"x": 64, "y": 64, "height": 32})  # what the page sends
    assert seen == [("box", (64, 64, 128, 96)), ("lam", 0.875)]
    widget.set_state({"canvas_height": 96, "canvas_width": 128})
    assert seen[2:] == [("lam", 1 - 64 * 32 / (96 * 128))]
    sent = []
    widget.observe(lambda change: sent.append(change["name"]), ["x", "y", "width", "height"])
    widget.lam = 0.9
    assert {("lam", widget.lam), ("box", widget.box)} == set(seen[3:]) and "width" in sent
    assert abs(widget.lam - 0.9) < 0.01


@pytest.mark.parametrize("lam", [0.0, 0.6, 0.731, 1.0])
def test_a_lam_that_is_set_can_be_read_on_any_canvas(lam):
    widget = W.box_lab((0, 0, 33, 33), size=33)
    widget.canvas_width = 127
    widget.lam = lam
    x0, y0, x1, y1 = widget.box
    assert 0 <= x0 <= x1 <= 127 and 0 <= y0 <= y1 <= 33 and abs(widget.lam - lam) < 0.03
    again = widget.lam
    widget.lam = again
    assert widget.lam == again and widget.box == (x0, y0, x1, y1)


def test_the_box_lab_makes_a_box_for_a_share():
    images = torch.rand(2, 3, 8, 8)
    for size, lam in ((128, 0.6), (33, 0.75), (33, 1.0), (16, 0.0)):
        widget = W.box_lab(None, ("a", "b"), lam=lam, size=size, images=images, names=["a", "b"])
        generator = torch.Generator().manual_seed(0)
        boxes = ml.sample_boxes(torch.full((4000,), lam), size, size, generator=generator)
        assert [widget.width, widget.height] == (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
        assert widget.x + widget.width // 2 == size // 2
