"""Mixing inside a loader: a `collate_fn` whose batches come out mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import default_collate, get_worker_info

from mixlearn.lab.batches import Mix
from mixlearn.lab.nested import Place, look_up, put


class MixCollate:
    """A `collate_fn` that mixes each batch as the loader makes it.

    Each process draws from a generator of its own: the main one starts from `seed`, a worker from `seed`
    and the seed that the loader gives it for the epoch (`DataLoader(generator=…)` fixes that). So a run
    with the same seeds and workers repeats itself, and no two workers or epochs draw alike.

    Args:
        mix: a `RandomMix` whose p is a number, or any function (images, labels, *, generator) → `Mixed`.
        seed: where the draws start.
        collate: turns a list of samples into a batch; None is torch's default_collate.
        images, labels: where they are in a batch that is not a pair: keys of a dict, as in
            `images="pixel_values", labels="labels"`, or paths of several, such as ("input", "image").

    Returns:
        Called on a list of samples: the pair (mixed images, soft targets), or where `images` and `labels` are
        named a batch of the same kind with these two in their places and everything else as it was.

    Raises:
        TypeError: the collated batch is not a pair of images and labels, and no names are given.
        KeyError, IndexError: a batch without the named images or labels.
        ValueError: a mix whose p is a schedule, a name for one of images and labels alone.

    A Hugging Face `Trainer` takes it as `data_collator`, with `remove_unused_columns=False`. The loss of its
    models expects class ids, so hand it `compute_loss_func`, a function (outputs, labels, num_items_in_batch)
    that returns `F.cross_entropy(outputs.logits, labels)`. A `Trainer` evaluates with the same collator:
    override `get_train_dataloader` to set it for training alone.

    >>> import torch, mixlearn as ml
    >>> collate = MixCollate(ml.RandomMix([ml.mixup], num_classes=2), seed=0)
    >>> images, targets = collate([(torch.zeros(3, 4, 4), 0), (torch.ones(3, 4, 4), 1)])
    >>> images.shape, targets.shape
    (torch.Size([2, 3, 4, 4]), torch.Size([2, 2]))
    >>> collate = MixCollate(ml.RandomMix([ml.mixup], num_classes=2), images="pixel_values", labels="labels")
    >>> batch = collate([{"pixel_values": torch.zeros(3, 4, 4), "labels": i, "id": 7 + i} for i in range(2)])
    >>> batch["labels"].shape, batch["id"]
    (torch.Size([2, 2]), tensor([7, 8]))
    """

    def __init__(
        self,
        mix: Mix,
        seed: int = 0,
        collate: Callable[[list[Any]], Any] | None = None,
        *,
        images: Place | None = None,
        labels: Place | None = None,
    ) -> None:
        if (images is None) != (labels is None):
            raise ValueError(f"name both images and labels, or neither, got {images!r} and {labels!r}")
        if callable(getattr(mix, "p", None)):
            raise ValueError(
                "p must be a number in a MixCollate, got a schedule: the workers of a loader hold copies of "
                "the mix and cannot know how far training has come; mix in the loop instead: fit with "
                "ml.learners.Mixing(mix), ml.lightning.MixBatches(mix), or a call of mix(images, labels)"
            )
        self.mix, self.seed, self.collate = mix, int(seed), collate or default_collate
        self.places = None if images is None or labels is None else (images, labels)
        self.generator: torch.Generator | None = None

    def __call__(self, samples: list[Any]) -> Any:
        batch = self.collate(samples)
        if self.places is not None:
            images, labels = (look_up(batch, place, "MixCollate") for place in self.places)
            mixed = self.mix(images, labels, generator=self._generator())
            return put(put(batch, self.places[0], mixed.images), self.places[1], mixed.targets)
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            kind = (
                f"{type(batch).__name__} of {len(batch)}"
                if hasattr(batch, "__len__")
                else type(batch).__name__
            )
            raise TypeError(
                f"MixCollate expects batches (images, labels), got {kind}; pass collate= to make them, "
                "or name where they are: MixCollate(mix, images=…, labels=…)"
            )
        images, labels = batch
        mixed = self.mix(images, labels, generator=self._generator())
        return mixed.images, mixed.targets

    def _generator(self) -> torch.Generator:
        """One generator a process: in a worker it starts from the seed of that worker and epoch."""
        worker = get_worker_info()
        if worker is None:
            if self.generator is None:
                self.generator = torch.Generator().manual_seed(self.seed)
            return self.generator
        if self.generator is None or getattr(self, "_worker_seed", None) != worker.seed:
            self._worker_seed = worker.seed
            self.generator = torch.Generator().manual_seed(
                (self.seed * 1_000_003 + worker.seed) & (2**63 - 1)
            )
        return self.generator

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "generator": None}  # generators cannot travel to a worker that is spawned
