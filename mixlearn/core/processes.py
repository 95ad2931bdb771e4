"""Several processes that together do what one would do on the same batch.

Every process holds the whole batch and draws the same plan from the same generator. Each sends its slice of
the batch through the network; the outputs are gathered, and all compute the same loss. The gradients,
averaged over processes, are those of one process on the whole batch. Batch normalisation is the exception:
its statistics are those of the slice, unless the network uses `nn.SyncBatchNorm`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only


class Shared:
    """A network that computes its slice of each batch and returns the outputs of the whole batch.

    A `tap` sees the features of the whole batch, so mixing hidden features reaches across processes.
    """

    def __init__(self, module: nn.Module, rank: int, world: int) -> None:
        self.module, self.rank, self.world = module, rank, world

    def __call__(self, images: Tensor, *args: Any, tap: Callable[[str, Tensor], Tensor] | None = None) -> Any:
        check_share(len(images), self.world)
        parts = images.tensor_split(self.world)
        sizes = [len(part) for part in parts]

        def whole(features: Tensor) -> Tensor:
            return _Gather.apply(features, sizes, self.rank)

        def shared_tap(name: str, features: Tensor) -> Tensor:
            if tap is None or name not in getattr(tap, "only", (name,)):  # it looks at another stage
                return features
            return tap(name, whole(features)).tensor_split(self.world)[self.rank]

        more = {} if tap is None else {"tap": shared_tap}
        return tree_map_only(Tensor, whole, self.module(parts[self.rank], *args, **more))

    def alongside(self, other: nn.Module) -> Shared:
        """Another network, such as a slow copy of this one, whose work is shared in the same way."""
        return Shared(other, self.rank, self.world)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


def check_share(images: int, world: int) -> None:
    """Whether a batch has an image for each process."""
    if images < world:
        raise ValueError(
            f"a batch must hold an image for each of {world} processes, got {images}; "
            "choose another batch_size, or give a DataLoader with drop_last=True"
        )


class _Gather(torch.autograd.Function):
    """Rows of all processes in order. Backward: each process gets the sum of what all ask of its rows."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.sizes, ctx.rank = sizes, rank
        return joined(part, sizes)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total.split(ctx.sizes)[ctx.rank], None, None


def average_gradients(module: nn.Module, world: int) -> None:
    """Average the gradients of a module that no strategy wraps (a learner's own parameters)."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= world


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in at least one process."""
    value = torch.tensor(int(flag), device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def joined(part: Tensor, sizes: list[int]) -> Tensor:
    """The rows of all processes, of which this one has `part`, in order."""
    padded = part.new_zeros((max(sizes), *part.shape[1:]))
    padded[: len(part)] = part
    every = stack_all(padded, len(sizes))
    return torch.cat([rows[:size] for rows, size in zip(every, sizes, strict=True)])


def stack_all(value: Tensor, world: int) -> Tensor:
    """The values of all processes, equal in shape, along a new first axis."""
    parts = [torch.empty_like(value) for _ in range(world)]
    dist.all_gather(parts, value.contiguous())
    return torch.stack(parts)
