"""The mask film as a widget: its state, its size and what it refuses."""

import base64
import re

import pytest
import torch

import mixlearn as ml
from mixlearn.page import widget_live
from mixlearn.page.film import film_facts, recorded_block
from mixlearn.page.host import bundle
from mixlearn.page.studio_net import PAIRS, judged


@pytest.fixture(scope="module")
def widget(designers):
    return ml.widgets.mask_film()


def test_the_module_stands_alone():
    module = bundle("mask_film")
    assert "\nimport " not in module and module.count("export ") == 1 and "export default" in module
    assert "http:" not in module.replace("http://www.w3.org/2000/svg", "") and "https:" not in module
    assert len(module.encode()) < 65_000


def test_no_two_modules_use_a_name():
    """The bundle is one module: what two of its files declare at the top would clash."""
    for name in ("mask_film", "mask_studio"):
        names = re.findall(r"^(?:async )?(?:function|const|class|let) (\w+)", bundle(name), re.M)
        assert len(names) == len(set(names)) > 20


def test_the_html_is_small(widget):
    page = widget.html()
    assert len(page.encode()) < 800_000  # with the recorded run, the classifier and ten pictures
    alt = r"Mask film: AutoMix.s mixture of koala and pie after epoch \d+ at λ = 0.60, \d+ % koala"
    assert re.search(r'<img src="data:image/webp;base64,[^"]+" alt="' + alt.replace(".s", "&#x27;s"), page)


def test_what_it_begins_with(designers):
    epoch, mask = film_facts().epochs[3], torch.linspace(0, 1, 1024).view(32, 32)
    widget = ml.widgets.mask_film(0.3, epoch=epoch, mask=mask, pairs=PAIRS[1:3])
    place = list(PAIRS[1])
    images, labels = designers.batch(place)
    expected = recorded_block(epoch)(images, 0.3, torch.tensor([1, 0]))[0, 0]
    assert (widget.lam, widget.epoch, widget.swapped) == (0.3, epoch, False)
    assert widget.block_mean == pytest.approx(float(expected.mean()), abs=1e-5)
    assert widget.block_score == pytest.approx(
        judged(designers.images[place], labels, 1 - expected, 0.3)[1], abs=0.01
    )
    painted = (255 * mask.double()).round() / 255
    assert widget.score == pytest.approx(judged(designers.images[place], labels, painted, 0.3)[1], abs=1e-4)
    assert base64.b64decode(widget.mask) == bytes((255 * painted).flatten().round().byte().tolist())


def test_in_a_kernel(widget):
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "epoch")
    widget.set_state({"epoch": 1, "swapped": True, "lam": 0.4, "block_score": 12.5, "block_mean": 0.5})
    assert seen == [1] and (widget.lam, widget.swapped, widget.block_score) == (0.4, True, 12.5)
    assert '"epoch": 1,' in widget.html()
    widget.pair = widget.pairs[1]["name"]
    for trait, value, words in (
        ("epoch", 99, r"epoch must be one of 0, 1, .*, got 99"),
        ("pair", "cat + unicorn", r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"),
        ("mask", "AAAA", "mask must be the base64 of 32 × 32 bytes, got 3 bytes"),
        ("lam", 1.5, "lam"),
    ):
        with pytest.raises(Exception, match=words):
            setattr(widget, trait, value)


def test_without_anywidget(monkeypatch):
    import sys

    widget_live.live_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget = ml.widgets.mask_film(0.5, epoch=0)
    assert isinstance(widget, widget_live.StandaloneWidget) and widget.epoch == 0
    widget_live.live_class.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
        ({"epoch": 99}, "epoch must be one of 0, 1, .*, got 99"),
        ({"pair": "cat + unicorn"}, r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"),
        ({"pairs": []}, "at least one pair of places, got none"),
        ({"pairs": [(0, 99_999)]}, r"two places from 0 to 1099, got \(0, 99999\)"),
        ({"pairs": [(0, 1)]}, r"of two classes, got two of 'ground vehicle' at \(0, 1\)"),
        ({"pairs": [PAIRS[0]] * 2}, r"pairs must have different names, got .* \+ "),
        ({"mask": torch.zeros(8, 8)}, r"mask must be \(32, 32\) in \[0, 1\], got \(8, 8\)"),
        ({"mask": torch.full((32, 32), 2.0)}, "with values from 2 to 2"),
    ],
)
def test_errors_name_what_came(arguments, words, designers):
    with pytest.raises(ValueError, match=words):
        ml.widgets.mask_film(**arguments)
