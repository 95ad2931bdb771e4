"""How the networks of the mask studio and of the mask film are written to their files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mixlearn.nets.resnet import ResNet
from mixlearn.page.film import RecordedBlock


def written(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors in half precision as a safetensors file, with facts (JSON) in its metadata."""
    header: dict[str, Any] = {"__metadata__": {"facts": json.dumps(facts)}}
    end = 0
    for name, value in tensors.items():
        start, end = end, end + 2 * value.numel()
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    numbers = torch.cat([value.detach().cpu().flatten() for value in tensors.values()]).half()
    return len(text).to_bytes(8, "little") + text + numbers.numpy().astype("<f2").tobytes()


def packed(net: ResNet, classes: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> bytes:
    """A folded network as the bytes of a file; mean and std of the training images' channels."""
    state = net.state_dict()
    facts = {"classes": list(classes), "mean": list(mean), "std": list(std)}
    return written(facts | {"width": len(state["stem.0.weight"])}, state)


def packed_film(frames: dict[int, RecordedBlock], words: str, mean: Any, std: Any) -> bytes:
    """A recorded run, frames by epochs done, as the bytes of a file; mean and std as for `packed`."""
    first = next(iter(frames.values()))
    facts = {
        "epochs": list(frames),
        "words": words,
        "mean": list(mean),
        "std": list(std),
        "width": len(first.state_dict()["stem.0.weight"]),
        "stages": len(first.groups),
        "reduction": first.block.channels // first.block.look.out_features,
        "embed": first.block.embed,
    }
    states = {epoch: frame.state_dict().items() for epoch, frame in frames.items()}
    return written(facts, {f"{epoch}.{name}": value for epoch in states for name, value in states[epoch]})
