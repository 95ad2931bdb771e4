"""The Mix Block in the page, run by node, against Python."""

import base64

import pytest
import torch

from mixlearn.page.film import film_bytes, film_facts, packed_film, recorded_block
from mixlearn.page.studio_net import judged, normalised, studio_bytes
from tests.page.node import in_node
from tests.page.test_film import shot

MODULES = ("mix_block", "net", "paint")
MASKS = """const film = js.readFilm(js.fromBase64(given.film));
    return film.frames.map((shot) => given.pairs.map((pair) => {
      const [own, partner] = pair.map((image) => js.features(shot, image.map((v) => v / 255), 32, 32));
      return given.shares.map((lam) => [...js.blockMask(shot, own, partner, lam, 32)]);
    }));"""


def page_masks(film, pixels, shares):
    """The image's share of each pixel by the page: (frames, pairs, shares, 32, 32)."""
    given = {"film": base64.b64encode(film).decode(), "pairs": pixels.flatten(2).tolist(), "shares": shares}
    return 1 - torch.tensor(in_node(MODULES, MASKS, given)).unflatten(-1, (32, 32)) / 255


def test_the_page_makes_the_same_masks(designers):
    pixels = designers.images[torch.tensor([[630, 621], [621, 630], [3, 40]])]
    shares = [0.0, 0.137, 0.5, 0.6, 1.0]
    found = page_masks(film_bytes(), pixels, shares)
    for masks, epoch in zip(found, film_facts().epochs, strict=True):
        block = recorded_block(epoch)
        for pair, by_share in zip(pixels, masks, strict=True):
            for mask, lam in zip(by_share, shares, strict=True):
                expected = block(normalised(pair).float(), lam, torch.tensor([1, 0]))[0, 0]
                assert (mask - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("stages", "embed"), [(1, True), (2, False), (3, True)])
def test_at_other_stages_and_without_lambda(stages, embed, designers):
    facts = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    pixels = designers.images[torch.tensor([[5, 50]])]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in facts)
    images = (pixels[0] / 255 - mean) / std
    frame = shot(images, stages, embed)[0]
    for value in frame.state_dict().values():
        value.copy_(value.half())  # as the file holds them
    found = page_masks(packed_film({4: frame}, "", *facts), pixels, [0.2, 0.9])
    for mask, lam in zip(found[0, 0], [0.2, 0.9], strict=True):
        expected = frame(images, lam, torch.tensor([1, 0]))[0, 0]
        assert expected.std() > 0.01 and (mask - expected).abs().max() < 1e-5
    assert embed or torch.equal(found[0, 0, 0], found[0, 0, 1])  # without λ there is one mask


def test_the_page_judges_as_python_does(designers):
    places, lam = [630, 621], 0.37
    share = torch.rand(32, 32, generator=torch.Generator().manual_seed(3)).double()
    given = {
        "net": base64.b64encode(studio_bytes()).decode(),
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


def test_a_file_of_another_length_is_refused():
    body = "try { js.readFilm(js.fromBase64(given)); } catch (problem) { return problem.message; }"
    words = in_node(MODULES, body, base64.b64encode(film_bytes()[:-1] + b"\0\0\0").decode())
    assert words.startswith("the file of weights holds")
