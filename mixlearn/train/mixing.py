"""Batches of lists, tuples and dicts within each other: reading a place, and putting something else there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import default_collate, get_worker_info

from mixlearn.methods.random_mix import Mix

Place = int | str | tuple[int | str, ...]  # a position or key, or a path of several


def look_up(batch: Any, place: Place, who: str) -> Any:
    """What a batch holds at a place; None where some part on the way is None.

    Args:
        batch: lists, tuples and mappings, nested to any depth.
        place: a position or key, or a path of several from the outside in.
        who: reads the batch, for errors.

    Raises:
        TypeError: a part that is no list, tuple or dict.
        KeyError, IndexError: a part without that key or position.

    >>> look_up({"labelled": [1, 2], "other": 3}, ("labelled", 0), "MixBatches")
    1
    """
    path = place if isinstance(place, tuple) else (place,)
    for k, name in enumerate(path):
        where = f"batch{''.join(f'[{step!r}]' for step in path[:k])}"
        if batch is None and k:
            return None
        if isinstance(batch, Mapping):
            if name not in batch:
                raise KeyError(
                    f"the {where} has no {name!r}, only {list(batch)}; "
                    f"name its keys: {who}(mix, images=…, labels=…)"
                )
        elif not isinstance(batch, (list, tuple)):
            raise TypeError(
                f"{who} reads batches that are a list, tuple or dict, got {type(batch).__name__}"
                + (f" at {where}" if k else "")
            )
        elif name not in range(-len(batch), len(batch)):
            raise IndexError(
                f"the {where} is a {type(batch).__name__} of {len(batch)}, it has no item {name!r}"
            )
        batch = batch[name]
    return batch


def put(batch: Any, place: Place, value: Any) -> Any:
    """A batch with another value at a place. Only what holds the place is copied; the batch is not changed.

    Args:
        batch, place: as for `look_up`.
        value: what belongs there.

    >>> put({"labelled": (1, 2), "other": 3}, ("labelled", 0), 9)
    {'labelled': (9, 2), 'other': 3}
    """
    name, *rest = place if isinstance(place, tuple) else (place,)
    inner = put(batch[name], tuple(rest), value) if rest else value
    if isinstance(batch, Mapping):
        return {**batch, name: inner}
    items = list(batch)
    items[name] = inner  # type: ignore[index]
    if isinstance(batch, tuple):
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    return items


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
