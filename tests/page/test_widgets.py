"""The Python side of the widgets: state, HTML, errors."""

import json
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
        ({"box": (0, 0, 129, 8)}, r"sides of 0…128 pixels and its centre in the image, got \(0, 0, 129, 8\)"),
        ({"box": (9, 0, 8, 8)}, r"got \(9, 0, 8, 8\)"),
        ({"box": (-60, 0, 50, 8)}, r"got \(-60, 0, 50, 8\)"),
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


def test_the_box_lab_makes_a_box_for_a_share():
    images = torch.rand(2, 3, 8, 8)
    for size, lam in ((128, 0.6), (127, 0.75), (33, 0.75), (33, 1.0), (16, 0.0)):
        widget = ml.widgets.box_lab(None, ("a", "b"), lam=lam, size=size, images=images, names=["a", "b"])
        boxes = ml.sample_boxes(
            torch.full((4000,), lam), size, size, generator=torch.Generator().manual_seed(0)
        )
        assert [widget.width, widget.height] == (boxes[:, 2:] - boxes[:, :2]).amax(0).tolist()
        assert widget.x + widget.width // 2 == size // 2
