"""Copies between the CPU and an accelerator that make the host wait as seldom as possible.

A plain `tensor.to("cuda")` waits until all that was asked of the GPU before is done, even for four numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on a device. To a GPU they are copied in the background, so nothing waits.

    What is copied to the CPU may be read at once, so that copy does wait.

    >>> sent(torch.ones(2), torch.device("cpu"))
    tensor([1., 1.])
    """
    return values.to(device, non_blocking=device.type not in ("cpu", "mps"))  # mps: may free them too early


def fetched(*values: Tensor) -> tuple[Tensor, ...]:
    """Several tensors of one device on the CPU, for a single wait.

    >>> fetched(torch.tensor(True), torch.ones(2))
    (tensor(True), tensor([1., 1.]))
    """
    if values[0].device.type == "cpu":
        return values
    together = torch.cat([value.reshape(-1) for value in values]).cpu()  # in a type that holds them all
    parts = together.split([value.numel() for value in values])
    return tuple(part.view(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True))
