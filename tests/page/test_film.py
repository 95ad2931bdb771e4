"""The mask film: its file, its masks, the Mix Block in the page (by node), and its widget."""

import base64
import re

import pytest
import torch

import mixlearn as ml
from mixlearn.nets.resnet import resnet
from mixlearn.nets.taps import staged
from mixlearn.page.film import FILE, RecordedBlock, film_facts, recorded_block, unpacked_film
from mixlearn.page.studio_net import FILE as NET
from mixlearn.page.studio_net import PAIRS, folded, judged, normalised, read
from tests.data.test_shipped import script
from tests.page.node import in_node
from tests.page.test_studio import busy
from tests.refused import refusals, refused

packing = script("packing")
MODULES = ("mix_block", "net", "paint")
MASKS = """const film = js.readFilm(js.fromBase64(given.film));
    return film.frames.map((shot) => given.pairs.map((pair) => {
      const [own, partner] = pair.map((image) => js.features(shot, image.map((v) => v / 255), 32, 32));
      return given.shares.map((lam) => [...js.blockMask(shot, own, partner, lam, 32)]);
    }));"""


def shot(images, stages, embed=True):
    """A recorded block whose masks of these images are far from flat, and the network and block it has."""
    net = busy(resnet(8, 5, width=4))
    block = ml.MixBlock(4 * 2 ** (stages - 1), embed=embed)
    features = staged(net, images, f"stage{stages}").detach()
    middle, scale = features.mean((0, 2, 3)), features.std() * features.shape[1] ** 0.5
    for layer, size in ((block.look, 4), (block.value, 8)):
        torch.nn.init.normal_(layer.weight, std=size / float(scale))
        layer.bias.data -= layer.weight[:, : len(middle)].detach() @ middle
    return RecordedBlock(folded(net), stages, block), net, block


def page_masks(film, pixels, shares):
    """The image's share of each pixel by the page: (frames, pairs, shares, 32, 32)."""
    given = {"film": base64.b64encode(film).decode(), "pairs": pixels.flatten(2).tolist(), "shares": shares}
    return 1 - torch.tensor(in_node(MODULES, MASKS, given)).unflatten(-1, (32, 32)) / 255


def test_a_file_of_weights_is_a_safetensors_file():
    tensors = {"0.a": torch.rand(2, 3), "b": torch.rand(4)}
    data = packing.written({"words": "xyz"}, tensors)
    facts, back = read(data)
    assert facts == {"words": "xyz"} and list(back) == list(tensors)
    assert all(torch.equal(back[name], value.half().float()) for name, value in tensors.items())
    library = pytest.importorskip("safetensors.torch").load(data)
    assert all(torch.equal(library[name], value.half()) for name, value in tensors.items())
    refused(lambda: read(data[:-2]), "must take 20 bytes after the header, got 18")


@pytest.mark.parametrize(("stages", "embed"), [(1, True), (2, False), (3, True)])
def test_a_film_holds_the_block_and_what_it_looks_at(stages, embed):
    images, partner = torch.randn(4, 3, 16, 16), torch.tensor([2, 0, 3, 1])
    frames = {epoch: shot(images, stages, embed) for epoch in (0, 7)}
    data = packing.packed_film(
        {e: frame for e, (frame, _, _) in frames.items()}, "words", (0.5,) * 3, (0.2,) * 3
    )
    found, facts = unpacked_film(data)
    assert (facts.epochs, facts.stage, facts.words) == ((0, 7), f"stage{stages}", "words")
    for epoch, (frame, net, block) in frames.items():
        expected = block(staged(net, images, f"stage{stages}"), 0.3, partner, (16, 16))
        assert torch.allclose(frame(images, 0.3, partner), expected, atol=1e-5)
        assert (found[epoch](images, 0.3, partner) - expected).abs().max() < 0.05  # half precision
        assert expected.std() > 0.02 and not found[epoch].training


def test_the_run_that_ships(designers):
    """Masks of ½ at first; later they differ from place to place; in the end their means follow λ."""
    assert FILE.stat().st_size < 450_000
    epochs, shares = film_facts().epochs, (0.1, 0.3, 0.5, 0.7, 0.9)
    assert epochs[0] == 0 and list(epochs) == sorted(epochs) and 6 <= len(epochs) <= 16
    images, _ = designers.batch(torch.arange(0, 1000, 5))
    partner, objects = torch.arange(200).roll(1), designers.masks[0:1000:5].float() / 255
    first, last = (
        torch.stack([recorded_block(epoch)(images, lam, partner) for lam in shares])
        for epoch in (0, epochs[-1])
    )
    assert (first - 0.5).abs().max() < 0.05 and first[2].flatten(1).std(1).mean() < 0.01
    means = last.mean((1, 2, 3, 4))
    assert (means.diff() > 0.1).all() and (means - torch.tensor(shares)).abs().max() < 0.1
    assert last[2].flatten(1).std(1).mean() > 0.04

    def alike(masks):  # correlation over the pixels of a mask, then the mean over pairs
        both = torch.stack([masks, objects]).flatten(2)
        both = torch.nn.functional.normalize(both - both.mean(2, keepdim=True), dim=2)
        return float((both[0] * both[1]).sum(1).mean())

    assert abs(alike(first[2])) < 0.1 and alike(last[2]) > 0.2  # they find the images' own object


def test_what_is_handed_out_can_be_changed():
    block = recorded_block(0)
    torch.nn.init.zeros_(block.block.value.weight)
    assert recorded_block(0).block.value.weight.abs().max() > 0


def test_the_page_makes_the_same_masks(designers):
    pixels = designers.images[torch.tensor([[630, 621], [3, 40]])]
    shares = [0.0, 0.137, 0.6, 1.0]
    for masks, epoch in zip(page_masks(FILE.read_bytes(), pixels, shares), film_facts().epochs, strict=True):
        block = recorded_block(epoch)
        for pair, by_share in zip(pixels, masks, strict=True):
            for mask, lam in zip(by_share, shares, strict=True):
                expected = block(normalised(pair).float(), lam, torch.tensor([1, 0]))[0, 0]
                assert (mask - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("stages", "embed"), [(1, True), (2, False)])
def test_at_other_stages_and_without_lambda(stages, embed, designers):
    facts = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    pixels = designers.images[torch.tensor([[5, 50]])]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in facts)
    images = (pixels[0] / 255 - mean) / std
    frame = shot(images, stages, embed)[0]
    for value in frame.state_dict().values():
        value.copy_(value.half())  # as the file holds them
    found = page_masks(packing.packed_film({4: frame}, "", *facts), pixels, [0.2, 0.9])
    for mask, lam in zip(found[0, 0], [0.2, 0.9], strict=True):
        expected = frame(images, lam, torch.tensor([1, 0]))[0, 0]
        assert expected.std() > 0.01 and (mask - expected).abs().max() < 1e-5
    assert embed or torch.equal(found[0, 0, 0], found[0, 0, 1])  # without λ there is one mask


def test_the_page_judges_as_python_does_and_refuses_another_length(designers):
    places, lam = [630, 621], 0.37
    share = torch.rand(32, 32, generator=torch.Generator().manual_seed(3)).double()
    given = {
        "net": base64.b64encode(NET.read_bytes()).decode(),
        "pair": designers.images[places].flatten(1).tolist(),
        "labels": designers.labels[places].tolist(),
        "mask": (255 * share).flatten().tolist(),
        "lam": lam,
    }
    body = """const net = js.readNet(js.fromBase64(given.net)), [own, partner] = given.pair;
      return js.judge(net, { own, partner, labels: given.labels }, given.mask, 32, given.lam);"""
    found = in_node(("scores",), body, given)
    _, score = judged(designers.images[places], designers.labels[places], share, lam)
    assert found["score"] == pytest.approx(score, abs=1e-7) and found["lam"] == lam
    assert found["share"] == pytest.approx(1 - share.mean().item(), abs=1e-12)
    body = "try { js.readFilm(js.fromBase64(given)); } catch (problem) { return problem.message; }"
    words = in_node(MODULES, body, base64.b64encode(FILE.read_bytes() + b"\0\0").decode())
    assert words.startswith("the file of weights holds")


def test_what_it_begins_with(designers):
    epoch, mask = film_facts().epochs[3], torch.linspace(0, 1, 1024).view(32, 32)
    widget = ml.widgets.mask_film(0.3, epoch=epoch, mask=mask, pairs=PAIRS[1:3])
    place = list(PAIRS[1])
    images, labels = designers.batch(place)
    expected = recorded_block(epoch)(images, 0.3, torch.tensor([1, 0]))[0, 0]
    assert (widget.lam, widget.epoch, widget.swapped) == (0.3, epoch, False)
    assert widget.block_mean == pytest.approx(float(expected.mean()), abs=1e-5)
    theirs = judged(designers.images[place], labels, 1 - expected, 0.3)[1]
    assert widget.block_score == pytest.approx(theirs, abs=0.01)
    painted = (255 * mask.double()).round() / 255
    assert widget.score == pytest.approx(judged(designers.images[place], labels, painted, 0.3)[1], abs=1e-4)
    assert base64.b64decode(widget.mask) == bytes((255 * painted).flatten().round().byte().tolist())


def test_in_a_kernel(designers):
    widget, seen = ml.widgets.mask_film(), []
    alt = r"Mask film: AutoMix.s mixture of koala and pie after epoch \d+ at λ = 0.60, \d+ % koala"
    assert re.fullmatch(alt, widget.alt)
    widget.observe(lambda change: seen.append(change["new"]), "epoch")
    widget.set_state({"epoch": 1, "swapped": True, "lam": 0.4, "block_score": 12.5, "block_mean": 0.5})
    assert seen == [1] and (widget.lam, widget.swapped, widget.block_score) == (0.4, True, 12.5)
    assert '"epoch": 1,' in widget.html()


test_errors_name_what_came = refusals(
    ({"lam": 1.5}, r"lam must lie in \[0, 1\], got 1.5"),
    ({"epoch": 99}, "epoch must be one of 0, 1, .*, got 99"),
    by=lambda arguments: ml.widgets.mask_film(**arguments),
)
