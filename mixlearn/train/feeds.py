"""Batches for training: from images in memory or from a DataLoader, the same again for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from mixlearn.core.processes import gather_rows


class Batch(NamedTuple):
    """Images (B, C, H, W), their labels, and where they stand in the data set (None: not known)."""

    images: Tensor
    labels: Tensor
    ids: Tensor | None


def epoch_seed(seed: int, epoch: int) -> int:
    """One seed for each epoch of each run."""
    return (seed * 1_000_003 + epoch) % 2**62


class MemoryFeed:
    """Shuffled batches of a set with `.batch(index)`; the order depends on the seed and the epoch alone."""

    def __init__(self, data: Any, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if len(data) == 0:
            raise ValueError("data must hold at least one image, got none")
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.size = len(data)

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        order = torch.randperm(
            self.size, generator=torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        )
        for index in order.split(self.batch_size)[skip:]:
            images, labels = self.data.batch(index)
            yield Batch(images, labels, index)


class LoaderFeed:
    """Batches of a DataLoader. With several processes each reads its share and all see the whole batch.

    Its random draws come from torch's default generator, which `fit` seeds for each epoch, unless the
    loader has a generator of its own, which is then seeded likewise.
    """

    def __init__(
        self, loader: DataLoader[Any], seed: int, rank: int, world: int, device: torch.device
    ) -> None:
        self.seed, self.world, self.device = seed, world, device
        self.loader = loader if world == 1 else _dealt(loader, seed, rank, world)
        self.batch_size = loader.batch_size
        self.size = len(loader.dataset)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        for part in (self.loader, self.loader.sampler):
            generator = getattr(part, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(epoch_seed(self.seed, epoch))
        if isinstance(self.loader.sampler, DistributedSampler):
            self.loader.sampler.set_epoch(epoch)
        for number, batch in enumerate(self.loader):
            if not isinstance(batch, (list, tuple)) or len(batch) != 2:
                raise TypeError(f"a DataLoader must give (images, labels), got {type(batch).__name__}")
            if number < skip:
                continue
            images, labels = batch
            if self.world > 1:
                images = gather_rows(images.to(self.device), self.world)
                labels = gather_rows(labels.to(self.device), self.world)
            yield Batch(images, labels, None)


def as_feed(data: Any, batch_size: int, seed: int, rank: int, world: int, device: torch.device) -> Any:
    """The feed that suits the data: an in-memory set, a DataLoader, or a Dataset (images, labels)."""
    if isinstance(data, DataLoader):
        return LoaderFeed(data, seed, rank, world, device)
    if callable(getattr(data, "batch", None)) and hasattr(data, "__len__"):
        return MemoryFeed(data, batch_size, seed)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        share, rest = divmod(batch_size, world)
        if rest:
            raise ValueError(f"batch_size must be a multiple of the {world} processes, got {batch_size}")
        return LoaderFeed(DataLoader(data, batch_size=share, shuffle=True), seed, rank, world, device)
    raise TypeError(
        f"data must be an ImageSet, a Dataset or a DataLoader, got {type(data).__name__}; "
        "of a loaded data set give a part, such as data.train"
    )


def _dealt(loader: DataLoader[Any], seed: int, rank: int, world: int) -> DataLoader[Any]:
    """The same loader over the share of one process: every world-th image of the common order."""
    shuffle = isinstance(loader.sampler, RandomSampler)
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=DistributedSampler(loader.dataset, world, rank, shuffle=shuffle, seed=seed),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last,
        worker_init_fn=loader.worker_init_fn,
        persistent_workers=loader.persistent_workers,
    )
