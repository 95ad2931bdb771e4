"""Mixing as a loader makes its batches, of lists, tuples and dicts within each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import default_collate, get_worker_info

from mixlearn.methods.random_mix import Mix

Place = int | str | tuple[int | str, ...]  # a position or key, or a path of several


def look_up(batch: Any, place: Place, who: str) -> Any:
    """What a batch holds at a place; None where some part on the way is None. `who` reads it, for errors.

    >>> look_up({"labelled": [1, 2], "other": 3}, ("labelled", 0), "MixBatches")
    1
    """
    path, where = place if isinstance(place, tuple) else (place,), "batch"
    for name in path:
        if batch is None and where != "batch":
            return None
        given = type(batch).__name__
        if not isinstance(batch, (Mapping, list, tuple)):
            raise TypeError(f"{who} reads batches that are a list, tuple or dict, the {where} is a {given}")
        try:
            inner = batch[name]  # type: ignore[index]
        except (KeyError, IndexError, TypeError) as error:
            held = list(batch) if isinstance(batch, Mapping) else len(batch)
            words = f"the {where} is a {given} of {held}, it has no {name!r}"
            raise type(error)(f"{words}; name the places: {who}(mix, images=…, labels=…)") from None
        batch = inner
        where += f"[{name!r}]"
    return batch


def put(batch: Any, place: Place, value: Any) -> Any:
    """A batch with another value at a place. Only what holds the place is copied; the batch is not changed.

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
    and the seed that the loader gives it for the epoch (`DataLoader(generator=…)` fixes that). In `fit`, and
    wherever `set_epoch` is called, all start from `seed`, the epoch and the worker's number.

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
    >>> collate = MixCollate(ml.RandomMix([ml.mixup], num_classes=2), images="image", labels="label")
    >>> batch = collate([{"image": torch.zeros(3, 4, 4), "label": i, "id": 7 + i} for i in range(2)])
    >>> batch["label"].shape, batch["id"]
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
        self.epoch = torch.tensor(-1).share_memory_()  # workers that stay see it change
        self._start: int | None = None

    def set_epoch(self, epoch: int) -> None:
        """Start the draws of an epoch, so that a resumed run mixes as an unbroken one."""
        self.epoch.fill_(epoch)

    def __call__(self, samples: list[Any]) -> Any:
        batch = self.collate(samples)
        if self.places is None and (not isinstance(batch, (tuple, list)) or len(batch) != 2):
            many = f" of {len(batch)}" if hasattr(batch, "__len__") else ""
            raise TypeError(
                f"MixCollate expects batches (images, labels), got {type(batch).__name__}{many}; pass "
                "collate= to make them, or name where they are: MixCollate(mix, images=…, labels=…)"
            )
        places = self.places or (0, 1)
        images, labels = (look_up(batch, place, "MixCollate") for place in places)
        mixed = self.mix(images, labels, generator=self._generator())
        if self.places is None:
            return mixed.images, mixed.targets
        return put(put(batch, places[0], mixed.images), places[1], mixed.targets)

    def _generator(self) -> torch.Generator:
        """One generator a process, begun anew with each epoch that is known of, and with each worker."""
        worker, epoch, start = get_worker_info(), int(self.epoch), self.seed
        if epoch >= 0:
            start = (start * 1_000_003 + epoch) * 1_000_003 + (0 if worker is None else worker.id + 1)
        elif worker is not None:
            start = start * 1_000_003 + worker.seed
        if self.generator is None or self._start != start:
            self.generator, self._start = torch.Generator().manual_seed(start & (2**63 - 1)), start
        return self.generator

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "generator": None}  # generators cannot travel to a worker that is spawned
