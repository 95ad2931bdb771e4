"""The mask studio as a widget: its pairs, its masks, its state and what it refuses."""

import base64
import re
from functools import partial

import pytest
import torch

import mixlearn as ml
from mixlearn.page import studio, widget_live
from mixlearn.page.host import bundle
from mixlearn.page.studio import method_masks, shipped_methods
from mixlearn.page.studio_net import normalised, scored, studio_net


@pytest.fixture(scope="module")
def widget(designers):
    return ml.widgets.mask_studio()


def test_the_module_stands_alone():
    module = bundle("mask_studio")
    assert "\nimport " not in module and module.count("export ") == 1 and "export default" in module
    assert "http:" not in module.replace("http://www.w3.org/2000/svg", "") and "https:" not in module
    assert len(module.encode()) < 60_000


def test_the_html_is_small(widget):
    page = widget.html()
    assert len(page.encode()) < 450_000  # with the network, ten pictures and their masks
    assert re.search(r'<img src="data:image/webp;base64,[^"]+" alt="Mask studio: a mixture of 59 %', page)


def test_the_pairs_that_ship_are_named_right(widget, designers):
    net = studio_net()
    assert 4 <= len(widget.pairs) <= 6
    for pair in widget.pairs:
        images, labels = designers.batch(pair["places"])
        assert pair["labels"] == labels.tolist() == net(images).argmax(1).tolist()
        assert pair["words"] == [designers.names[place] for place in pair["places"]]


def test_the_masks_are_those_of_the_methods(designers):
    """The sheet that the page gets against direct calls of the package."""
    from io import BytesIO

    from PIL import Image

    places = list(studio.PAIRS[0])
    methods = {"box": ml.cutmix, "Fourier": partial(ml.fmix, soft=0.2)}
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
    pixels, labels = designers.images[list(studio.PAIRS[0])], designers.labels[list(studio.PAIRS[0])]
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
    widget.pair = widget.pairs[1]["name"]
    widget.target = 0.3
    with pytest.raises(Exception, match=r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"):
        widget.pair = "cat + unicorn"
    with pytest.raises(Exception, match="mask must be the base64 of 32 × 32 bytes, got 3 bytes"):
        widget.mask = "AAAA"
    with pytest.raises(Exception, match="mask must be base64, got 'no mask'"):
        widget.mask = "no mask"
    with pytest.raises(Exception, match="target"):
        widget.target = 1.5


def test_without_anywidget(monkeypatch):
    import sys

    widget_live.live_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    widget = ml.widgets.mask_studio(0.5, methods={"box": ml.cutmix}, pairs=studio.PAIRS[:1])
    assert isinstance(widget, widget_live.StandaloneWidget) and widget.lam == 0.5
    widget_live.live_class.cache_clear()


def test_it_begins_with_the_mask_that_is_given(designers):
    mask = torch.linspace(0, 1, 1024).view(32, 32)
    widget = ml.widgets.mask_studio(mask=mask, methods={"box": ml.cutmix}, pairs=studio.PAIRS[:2])
    assert widget.lam == pytest.approx(0.5, abs=1e-3)
    place = list(studio.PAIRS[0])
    found = scored(designers.images[place], designers.labels[place], (255 * mask).round().byte())
    assert (widget.lam, widget.score) == found[1:]


def moved(images, labels=None, *, lam, partner, generator, num_classes=None):
    return ml.Mixed(images.flip(3), None, ml.mixup(images, lam=lam, partner=partner).plan)


def three(images, labels=None, **options):
    plan = ml.MixPlan(
        torch.tensor([[0, 1]] * 3), torch.full((3, 2, 1, 1, 1), 1 / 3), torch.full((3, 2), 1 / 3)
    )
    return ml.Mixed(plan.mix(images), None, plan)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": 1.5}, r"target must lie in \[0, 1\], got 1.5"),
        ({"pair": "cat + unicorn"}, r"pair must be one of .* \+ .*, got 'cat \+ unicorn'"),
        ({"pairs": []}, "at least one pair of places, got none"),
        ({"pairs": [(0, 99_999)]}, r"two places from 0 to 1099, got \(0, 99999\)"),
        ({"pairs": [(0, 1, 2)]}, r"two places from 0 to 1099, got \(0, 1, 2\)"),
        ({"pairs": [(0, 1)]}, r"of two classes, got two of 'ground vehicle' at \(0, 1\)"),
        ({"pairs": [studio.PAIRS[0]] * 2}, r"pairs must have different names, got .* \+ "),
        ({"methods": {}}, "methods must hold at least one mixing function, got none"),
        ({"methods": {"flip": moved}}, "'flip' must give the image and its partner under one mask"),
        ({"methods": {"three": three}}, "'three' must mix two parts, got 3"),
        ({"mask": torch.zeros(8, 8)}, r"mask must be \(32, 32\) in \[0, 1\], got \(8, 8\)"),
        ({"mask": torch.full((32, 32), 2.0)}, "with values from 2 to 2"),
    ],
)
def test_errors_name_what_came(arguments, words, designers):
    defaults = {"methods": {"box": ml.cutmix}, "pairs": studio.PAIRS[:1]}
    with pytest.raises(ValueError, match=words):
        ml.widgets.mask_studio(**(defaults | arguments))


def test_images_of_another_size_are_refused(designers):
    large = ml.data.load("emoji", size=64).tests["designers"]
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, 32, 32\), got \(1100, 3, 64, 64\)"):
        ml.widgets.mask_studio(images=large)
