"""The Python side of the widgets: state, HTML, errors."""

import json
import math
import re
import sys

import pytest
import torch

import mixlearn as ml
from mixlearn.page import widget_live
from mixlearn.page.host import bundle, script_json

EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("name", ["lambda_mixer", "beta_explorer", "box_lab"])
def test_a_module_stands_alone_and_is_small(name):
    module = bundle(name)
    assert "\nimport " not in module and module.count("export ") == 1 and "export default" in module
    assert "http:" not in module.replace("http://www.w3.org/2000/svg", "") and "https:" not in module
    assert len(module.encode()) < 60_000


def test_html_without_the_photographs_is_small():
    for widget in (ml.widgets.lambda_mixer(), ml.widgets.beta_explorer(), ml.widgets.box_lab()):
        without = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", widget.html())
        assert len(without.encode()) < 60_000
    assert len(ml.widgets.lambda_mixer().html()) < 300_000  # with six photographs and the still one


def test_two_equal_widgets_have_different_ids():
    widget = ml.widgets.beta_explorer()
    ids = {re.search(r'id="([^"]+)"', widget.html())[1] for _ in range(3)}
    assert len(ids) == 3


def test_hostile_names_stay_text():
    images = torch.rand(2, 3, 8, 8)
    widget = ml.widgets.lambda_mixer(images=images, names=[EVIL, "dog"], pair=(EVIL, "dog"))
    page = widget.html()
    assert EVIL not in page and "<img src=x" not in page
    assert page.count("</script>") == 1
    assert json.loads(script_json(EVIL)) == EVIL


def test_a_still_picture_stands_in_the_html():
    page = ml.widgets.lambda_mixer(0.63).html()
    assert re.search(
        r'<img src="data:image/webp;base64,[^"]+" alt="λ mixer: a mixture of 63 % dog and 37 % cat"', page
    )
    assert "<noscript>" in page


def test_one_bundle_holds_the_live_view_and_the_html():
    widget = ml.widgets.lambda_mixer(0.4)
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert '"lam": 0.4' in data["text/html"]
    widget.lam = 0.8  # what a kernel sets, the next rendering shows
    assert '"lam": 0.8' in widget.html()
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "lam")
    widget.set_state({"lam": 0.25})  # what the page sends
    assert seen == [0.25] and widget.lam == 0.25
    with pytest.raises(Exception, match="lam"):
        widget.lam = 1.5
    widget.partner_name = "owl"
    with pytest.raises(Exception, match="own_name must be one of dog, cat.*got 'unicorn'"):
        widget.own_name = "unicorn"
    assert (widget.own_name, widget.partner_name) == ("dog", "owl")


def test_without_anywidget_the_html_is_all_there_is(monkeypatch):
    widget_live.live_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget = ml.widgets.beta_explorer(0.3)
    assert isinstance(widget, widget_live.StandaloneWidget) and widget.alpha == 0.3
    assert set(widget._repr_mimebundle_()) == {"text/html", "text/plain"}
    with pytest.raises(AttributeError, match=r'observe needs .*anywidget: pip install "mixlearn\[lab\]"'):
        widget.observe(print, "alpha")
    widget_live.live_class.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
        ({"alpha": 0}, "alpha must be positive and finite, got 0"),
        ({"pair": ("dog", "unicorn")}, "pair must name two of dog, cat.*got 'unicorn'"),
        ({"images": torch.rand(2, 3, 4, 5)}, r"shape \(N, 3, S, S\), got \(2, 3, 4, 5\)"),
        ({"images": torch.rand(2, 3, 4, 4), "names": ["a"]}, "one name for each of 2 images, got 1"),
    ],
)
def test_errors_name_what_came(arguments, words):
    with pytest.raises(ValueError, match=words):
        ml.widgets.lambda_mixer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"box": (0, 0, 129, 8)},
            r"at most 128 × 128 and with its centre in the image, got \(0, 0, 129, 8\)",
        ),
        ({"box": (9, 0, 8, 8)}, r"got \(9, 0, 8, 8\)"),
        ({"box": (-60, 0, 50, 8)}, r"got \(-60, 0, 50, 8\)"),
        ({"box": (0, 0, 8)}, r"box must be \(x0, y0, x1, y1\) in whole pixels.*got \(0, 0, 8\)"),
        ({"box": (0, 0, 8.5, math.nan)}, r"in whole pixels.*got \(0, 0, 8.5, nan\)"),
        ({"box": None, "lam": -0.1}, r"lam must lie in \[0, 1\], got -0.1"),
        ({"size": 0}, "size must be at least 1 pixel, got 0"),
        ({"alpha": -1}, "alpha must be positive and finite, got -1"),
        ({"pair": ("dog", "unicorn")}, "pair must name two of dog, cat.*got 'unicorn'"),
    ],
)
def test_the_box_lab_names_what_came(arguments, words):
    with pytest.raises(ValueError, match=words):
        ml.widgets.box_lab(**arguments)


def test_the_box_lab_in_a_kernel():
    widget = ml.widgets.box_lab((-16, 40, 48, 104))
    assert (widget.x, widget.y, widget.width, widget.height) == (-16, 40, 64, 64)
    assert 'alt="Box lab: 81 % dog + 19 % cat, box x 0–48, y 40–104"' in widget.html()
    widget.set_state({"x": -20, "canvas_height": 96})  # what the page sends
    assert (widget.x, widget.canvas_height) == (-20, 96) and '"x": -20' in widget.html()
    with pytest.raises(Exception, match="width"):
        widget.width = -1


@pytest.fixture(params=["live", "without anywidget"])
def either(request, monkeypatch):
    """Widgets with and without a kernel: the same values are right in both."""
    if request.param == "without anywidget":
        monkeypatch.setitem(sys.modules, "anywidget", None)
    widget_live.live_class.cache_clear()
    yield
    widget_live.live_class.cache_clear()


@pytest.mark.parametrize(
    ("make", "name", "value", "words"),
    [
        (ml.widgets.lambda_mixer, "lam", 1.01, r"lam must lie in \[0, 1\], got 1.01"),
        (ml.widgets.lambda_mixer, "lam", -0.5, r"lam must lie in \[0, 1\], got -0.5"),
        (ml.widgets.lambda_mixer, "lam", math.nan, r"lam must lie in \[0, 1\], got nan"),
        (ml.widgets.lambda_mixer, "alpha", 0.0, "alpha must be positive and finite, got 0.0"),
        (ml.widgets.lambda_mixer, "own_name", "unicorn", "own_name must be one of dog, cat.*got 'unicorn'"),
        (ml.widgets.lambda_mixer, "photos", [], r"photos must not change once the widget is made, got \[\]"),
        (ml.widgets.beta_explorer, "alpha", math.inf, "alpha must be positive and finite, got inf"),
        (ml.widgets.beta_explorer, "other", math.nan, "other must be positive and finite, got nan"),
        (ml.widgets.box_lab, "lam", math.nan, r"lam must lie in \[0, 1\], got nan"),
        (ml.widgets.box_lab, "box", (0, 0, 200, 8), r"box must be .*128 × 128.*got \(0, 0, 200, 8\)"),
        (ml.widgets.box_lab, "box", (9, 0, 8, 8), r"x0 ≤ x1 and y0 ≤ y1.*got \(9, 0, 8, 8\)"),
        (ml.widgets.box_lab, "box", (120, 0, 140, 8), r"its centre in the image, got \(120, 0, 140, 8\)"),
        (ml.widgets.box_lab, "box", (0, 0, 8), r"\(x0, y0, x1, y1\) in whole pixels.*got \(0, 0, 8\)"),
        (ml.widgets.box_lab, "box", (0, 0, 8, math.nan), r"in whole pixels.*got \(0, 0, 8, nan\)"),
        (ml.widgets.box_lab, "box", 8, "in whole pixels.*got 8"),
        (
            ml.widgets.box_lab,
            "x",
            127,
            r"x must leave the box's sides in 0…128 pixels and its centre.*got 127",
        ),
        (ml.widgets.box_lab, "width", 129, r"width must leave .*got 129"),
        (ml.widgets.box_lab, "canvas_width", 8, r"canvas_width must leave .*got 8"),
        (ml.widgets.box_lab, "canvas_height", 0, "canvas_height must be at least 1 pixel, got 0"),
        (ml.widgets.patch_groups, "order", [0, 1], r"a permutation of 0…8, got \[0, 1\]"),
        (ml.widgets.patch_groups, "step", 6, r"step must lie in \[0, 5\], got 6"),
        (
            ml.widgets.loss_ledger,
            "selected",
            "dis",
            "selected must be one of labels, mixed.*or empty, got 'dis'",
        ),
    ],
)
def test_a_trait_out_of_range_is_refused_and_nothing_changes(either, make, name, value, words):
    widget = make()
    before = getattr(widget, name)
    with pytest.raises(Exception, match=words):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_the_box_lab_has_box_and_lam(either):
    widget = ml.widgets.box_lab((-16, 40, 48, 104))
    assert widget.box == (-16, 40, 48, 104)
    assert widget.lam == 1 - 48 * 64 / 128**2  # what is seen of the box
    widget.box = torch.tensor([0, 0, 64, 128])
    assert widget.lam == 0.5 and (widget.x, widget.y, widget.width, widget.height) == (0, 0, 64, 128)
    widget.lam = 0.75
    assert (widget.box, widget.lam) == ((0, 32, 64, 96), 0.75)
    widget.lam = torch.tensor(0.6)
    assert widget.lam == pytest.approx(0.6, abs=0.005)  # whole pixels
    assert (
        widget.lam == ml.cutmix(torch.zeros(2, 3, 128, 128), boxes=[*widget.box], partner=[1, 0]).plan.lam[0]
    )
    for lam, area in ((1.0, 0), (0.0, 128**2)):
        widget.lam = lam
        x0, y0, x1, y1 = widget.box
        assert widget.lam == lam and (x1 - x0) * (y1 - y0) == area
    assert f'"width": {widget.width}' in widget.html()


def test_the_box_lab_tells_the_kernel_of_box_and_lam():
    widget, seen = ml.widgets.box_lab((0, 0, 64, 64)), []
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


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.6, 0.731, 1.0])
def test_a_lam_that_is_set_can_be_read_on_any_canvas(lam):
    widget = ml.widgets.box_lab((0, 0, 33, 33), size=33)
    widget.canvas_width = 127
    widget.lam = lam
    x0, y0, x1, y1 = widget.box
    assert 0 <= x0 <= x1 <= 127 and 0 <= y0 <= y1 <= 33 and abs(widget.lam - lam) < 0.03
    again = widget.lam
    widget.lam = again
    assert widget.lam == again and widget.box == (x0, y0, x1, y1)


def test_what_follows_is_not_set():
    studio = ml.widgets.mask_studio(pairs=[(630, 621)])
    with pytest.raises(Exception, match="lam must not be set: it follows mask, got 0.5"):
        studio.lam = 0.5
    studio.set_state({"lam": 0.5})  # the page may
    assert studio.lam == 0.5


def test_the_box_lab_makes_a_box_for_a_share():
    images = torch.rand(2, 3, 8, 8)
    for size, lam in ((128, 0.6), (127, 0.75), (33, 0.75), (33, 1.0), (16, 0.0)):
        widget = ml.widgets.box_lab(None, ("a", "b"), lam=lam, size=size, images=images, names=["a", "b"])
        boxes = ml.sample_boxes(
            torch.full((4000,), lam), size, size, generator=torch.Generator().manual_seed(0)
        )
        assert [widget.width, widget.height] == (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
        assert widget.x + widget.width // 2 == size // 2
