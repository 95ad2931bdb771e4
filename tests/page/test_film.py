"""The recorded run of the mask film: packed in half precision, shipped, and what its masks have become."""

import pytest
import torch
from mixlearn.page.halves import read, written

import mixlearn as ml
from mixlearn.nets.resnet import resnet
from mixlearn.nets.taps import staged
from mixlearn.page.film import FILE, RecordedBlock, film_facts, packed_film, recorded_block, unpacked_film
from mixlearn.page.studio_net import folded
from tests.page.test_studio_net import busy


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


def test_a_file_of_weights():
    states = [{"a": torch.rand(2, 3), "b": torch.rand(4)} for _ in range(3)]
    data = written({"times": "xyz"}, states)
    header, found = read(data, times="times")
    assert header == {"times": "xyz", "shapes": [["a", [2, 3]], ["b", [4]]]} and len(found) == 3
    for given, back in zip(states, found, strict=True):
        assert all(torch.equal(back[name], given[name].half().float()) for name in given)
    with pytest.raises(ValueError, match="must take 20 bytes after the header, got 60"):
        read(data)
    with pytest.raises(ValueError, match="must take 60 bytes after the header, got 58"):
        read(data[:-2], times="times")


@pytest.mark.parametrize(("stages", "embed"), [(1, True), (2, False), (3, True)])
def test_a_film_holds_the_block_and_what_it_looks_at(stages, embed):
    images, partner = torch.randn(4, 3, 16, 16), torch.tensor([2, 0, 3, 1])
    frames = {epoch: shot(images, stages, embed) for epoch in (0, 2, 7)}
    data = packed_film({e: frame for e, (frame, _, _) in frames.items()}, "words", (0.5,) * 3, (0.2,) * 3)
    found, facts = unpacked_film(data)
    assert (facts.epochs, facts.stage, facts.words) == ((0, 2, 7), f"stage{stages}", "words")
    for epoch, (frame, net, block) in frames.items():
        expected = block(staged(net, images, f"stage{stages}"), 0.3, partner, (16, 16))
        assert torch.allclose(frame(images, 0.3, partner), expected, atol=1e-5)
        assert (found[epoch](images, 0.3, partner) - expected).abs().max() < 0.05  # half precision
        assert expected.std() > 0.02 and not found[epoch].training
        for name, value in frame.state_dict().items():
            assert torch.equal(found[epoch].state_dict()[name], value.half().float()), name
    with pytest.raises(ValueError, match="bytes after the header, got"):
        unpacked_film(data[:-2])


@pytest.fixture(scope="module")
def shown(designers):
    """Of 200 pairs, by epoch and λ, the masks (200, 1, 32, 32); and where the images' objects are."""
    images, _ = designers.batch(torch.arange(0, 1000, 5))
    partner, shares = torch.arange(200).roll(1), (0.1, 0.3, 0.5, 0.7, 0.9)
    blocks = {epoch: recorded_block(epoch) for epoch in film_facts().epochs}
    masks = {
        epoch: torch.stack([block(images, lam, partner) for lam in shares]) for epoch, block in blocks.items()
    }
    return masks, designers.masks[0:1000:5].float() / 255


def test_the_run_that_ships(shown):
    """Masks of ½ at first; later they differ from place to place; in the end their means follow λ."""
    assert FILE.stat().st_size < 450_000
    epochs, (masks, _) = film_facts().epochs, shown
    assert epochs[0] == 0 and list(epochs) == sorted(epochs) and 6 <= len(epochs) <= 16
    assert (masks[0] - 0.5).abs().max() < 0.05
    means = masks[epochs[-1]].mean((1, 2, 3, 4))
    assert (means.diff() > 0.1).all() and (means - torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])).abs().max() < 0.1
    spread = {epoch: float(each[2].flatten(1).std(1).mean()) for epoch, each in masks.items()}
    assert spread[0] < 0.01 and spread[epochs[-1]] > 0.04 and max(spread.values()) > 0.1


def test_masks_find_the_images_own_object(shown):
    masks, objects = shown

    def alike(epoch):  # correlation over the pixels of a mask, then the mean over pairs
        both = torch.stack([masks[epoch][2], objects]).flatten(2)
        both = torch.nn.functional.normalize(both - both.mean(2, keepdim=True), dim=2)
        return float((both[0] * both[1]).sum(1).mean())

    assert abs(alike(0)) < 0.1 and alike(film_facts().epochs[-1]) > 0.2


def test_an_epoch_that_was_not_kept():
    with pytest.raises(ValueError, match=r"epoch must be one of 0, 1, .*, got 99"):
        recorded_block(99)


def test_what_is_handed_out_can_be_changed():
    block = recorded_block(0)
    torch.nn.init.zeros_(block.block.value.weight)
    assert recorded_block(0).block.value.weight.abs().max() > 0
