"""What users bring as data, as batches for training and for validation; the same again for the same seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, IterableDataset, Sampler

from mixlearn.core.processes import check_share, joined
from mixlearn.measure import evaluate
from mixlearn.measure.evaluate import InMemory
from mixlearn.nets.taps import evaluation

IMAGES = ("images", "image", "pixel_values", "img", "inputs", "input", "x")  # keys of a dict, first found
LABELS = ("labels", "label", "targets", "target", "y")
_AS_IT_COMES = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator"),
    *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
)


class Batch(NamedTuple):
    """Images (B, C, H, W), their labels if there are any, and their places in the data set if known."""

    images: Tensor
    labels: Tensor | None
    ids: Tensor | None


class Place(NamedTuple):
    """The seed of a run, and which of its processes this is."""

    seed: int
    rank: int
    world: int
    device: torch.device


def epoch_seed(seed: int, epoch: int) -> int:
    """One seed for each epoch of each run."""
    return (seed * 1_000_003 + epoch) % 2**62


def as_pair(batch: Any, labelled: bool = True) -> tuple[Tensor, Tensor | None]:
    """Images and labels of a batch: the first two entries, those under the usual keys, or images alone.

    >>> as_pair({"image": torch.ones(2, 3), "label": torch.zeros(2), "id": [5, 6]})[1]
    tensor([0., 0.])
    """
    given = type(batch).__name__
    if isinstance(batch, Mapping):
        keys = [next((key for key in names if key in batch), None) for names in (IMAGES, LABELS)]
        images, labels = (None if key is None else batch[key] for key in keys)
        given = f"a dict of {', '.join(map(str, batch))}"
    elif isinstance(batch, (list, tuple)):
        images, labels = (*batch, None, None)[:2]
        given = f"a {given} of {', '.join(type(part).__name__ for part in batch)}"
    else:
        images, labels = batch, None
    if not isinstance(images, Tensor) or (labels is None and labelled):
        raise TypeError(
            f"a DataLoader must give (images, labels), got {given}; a dict needs keys such as 'image' and "
            "'label', else give a collate_fn; images alone are for learners that read no labels"
        )
    return images, labels


class Memory:
    """Shuffled batches of a set with `.batch(index)`; the order depends on the seed and the epoch alone."""

    def __init__(self, data: Any, batch_size: int, seed: int) -> None:
        if len(data) == 0:
            raise ValueError("data must hold at least one image, got none")
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.size = len(data)
        self.length: int | None = -(-self.size // batch_size)  # batches of an epoch
        self.last: int | None = self.size % batch_size or batch_size  # images in the last of them

    def one(self) -> Tensor:
        """One image (1, C, H, W)."""
        return self.data.batch(torch.zeros(1, dtype=torch.long))[0]

    def epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        """The batches of an epoch but for the first `skip`."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        for index in torch.randperm(self.size, generator=generator).split(self.batch_size)[skip:]:
            images, labels = self.data.batch(index)
            yield Batch(images, labels, index)


class Loader:
    """Batches of a DataLoader. Among several processes its own sampler's draws are shared out.

    Its random draws are apart from the network's. They come from torch's default generator, which `fit`
    seeds for each epoch, or from generators of its own, which are then seeded likewise. (Workers that stay
    keep theirs: what they draw for transforms is not the same again in a resumed run.)

    Args:
        loader: as the user made it.
        each: how many of its batches make one of training: one for each process, if its size is for each.
        labelled: whether each batch must hold labels.
    """

    def __init__(self, loader: DataLoader[Any], each: int, place: Place, labelled: bool) -> None:
        self.given, self.loader, self.each, self.labelled = loader, loader, each, labelled
        self.seed, self.rank, world, self.device = place
        self.world = world
        self.batch_size = loader.batch_size
        self.stream = isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None
        self.shares: Shares | None = None
        dealt = isinstance(loader.sampler, DistributedSampler) and loader.sampler.num_replicas == world
        if world > 1 and not self.stream and not dealt:
            self.shares = Shares(loader, each, self.rank, world)
            options = {name: getattr(loader, name) for name in _AS_IT_COMES}
            self.loader = DataLoader(loader.dataset, batch_sampler=self.shares, **options)
        self.size = None if self.stream else len(loader.dataset)  # type: ignore[arg-type]
        self.length = _length(self.loader)
        if self.length is not None and world > 1 and self.stream:
            self.length = -(-self.length // each)
        self.last: int | None = None
        if not self.stream and not dealt and type(loader.batch_sampler) is BatchSampler and self.batch_size:
            whole = self.batch_size * each
            self.last = whole if loader.drop_last else (_length(loader.sampler) or 0) % whole or whole
        if self.length == 0:
            raise ValueError(f"data gives no batch, with {self.size} images and batch_size {self.batch_size}")

    def one(self) -> Tensor:
        """One image (1, C, H, W)."""
        return as_pair(self.given.collate_fn([self.given.dataset[0]]), self.labelled)[0]

    def epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        """The batches of an epoch; the first `skip` are read, but left out."""
        given = self.given
        parts = (given, given.sampler, given.batch_sampler, given.dataset, given.collate_fn)
        for part in parts:
            if isinstance(generator := getattr(part, "generator", None), torch.Generator):
                generator.manual_seed(epoch_seed(self.seed, epoch))
            if callable(set_epoch := getattr(part, "set_epoch", None)):
                set_epoch(epoch)
        if getattr(self.loader, "_iterator", None) is not None:  # workers that stay: draw what new ones would
            torch.empty((), dtype=torch.int64).random_(generator=self.loader.generator)
        shared = self._read() if self.world > 1 else self.loader
        for batch in islice(_apart(shared), skip, None):
            yield Batch(*as_pair(batch, self.labelled), None)

    def _read(self) -> Iterator[Any]:
        """The batches of all processes together: each reads its share; of a stream the first reads all."""
        if not self.stream:
            for batch in self.loader:
                images, labels = as_pair(batch, self.labelled)
                sizes = self.shares.sizes.popleft() if self.shares else [len(images)] * self.world
                yield [joined(part.to(self.device), sizes) for part in (images, labels) if part is not None]
            return
        pairs = (as_pair(batch, self.labelled) for batch in self.loader)
        for group in _from_first(pairs, self.each, self.rank, self.device):
            yield [torch.cat(part) for part in zip(*group, strict=True) if part[0] is not None]


def _from_first(items: Iterable[Any], each: int, rank: int, device: Any = None) -> Iterator[list[Any]]:
    """In every process the items that the first one draws, so many at a time; there may be no end of them."""
    drawn = iter(items if rank == 0 else ())
    while True:
        group = [list(islice(drawn, each))]
        dist.broadcast_object_list(group, device=device)
        if not group[0]:
            return
        yield group[0]


class Shares(Sampler[list[int]]):
    """For one process its share of each batch: what the loader draws in the first, split among all.

    `sizes` holds the shares of the batches under way, in turn.
    """

    def __init__(self, loader: DataLoader[Any], each: int, rank: int, world: int) -> None:
        self.batches: Any = loader.batch_sampler
        self.each, self.rank, self.world, self.drop_last = each, rank, world, loader.drop_last
        self.sizes: deque[list[int]] = deque()

    def __len__(self) -> int:
        whole, rest = divmod(len(self.batches), self.each)
        return whole + bool(rest and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        self.sizes.clear()
        for group in _from_first(self.batches, self.each, self.rank):
            if len(group) < self.each and self.drop_last:
                return
            indices = [index for batch in group for index in batch]
            check_share(len(indices), self.world)
            parts = torch.arange(len(indices)).tensor_split(self.world)
            self.sizes.append([len(part) for part in parts])
            yield [indices[place] for place in parts[self.rank].tolist()]


def as_feed(data: Any, batch_size: int, place: Place, labelled: bool) -> Any:
    """Training batches of an in-memory set, a DataLoader, or a Dataset."""
    if isinstance(data, DataLoader):
        return Loader(data, place.world, place, labelled)
    if isinstance(data, InMemory):
        return Memory(data, batch_size, place.seed)
    stream = isinstance(data, IterableDataset)
    if stream or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        loader = DataLoader(data, batch_size=batch_size, shuffle=None if stream else True)
        return Loader(loader, 1, place, labelled)
    raise TypeError(
        f"data must be an ImageSet, a Dataset or a DataLoader, got {type(data).__name__}; "
        "of a loaded data set give a part, such as data.train"
    )


def measure_all(
    model: nn.Module, sets: Any, call: Callable[[Tensor], Tensor] | None = None
) -> dict[str, float]:
    """`measure.evaluate` of one test set, or of each in a dict under "name/measure".

    Args:
        model: put into evaluation mode and back.
        sets: an `ImageSet`, a Dataset, a DataLoader, or a dict of them.
        call: what computes the logits in place of the model itself.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    result = {}
    with evaluation(model):
        for name, data in (sets if isinstance(sets, dict) else {"": sets}).items():
            measured = evaluate(call or model, _test_batches(data), device=device)
            result.update({f"{name}/{key}" if name else key: value for key, value in measured.items()})
    return result


def _test_batches(data: Any) -> Any:
    if isinstance(data, InMemory):
        return data
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and not isinstance(data, (list, tuple))):
        data = DataLoader(data, batch_size=256)
    return (as_pair(batch) for batch in data)


def _length(items: Any) -> int | None:
    """How many there are, or None where that is not known beforehand."""
    try:
        return len(items)
    except (TypeError, NotImplementedError):
        return None


def _apart(items: Iterable[Any]) -> Iterator[Any]:
    """Items whose draws from torch's default generator are apart from those made between them."""
    iterator = iter(items)
    own, end = torch.get_rng_state(), object()
    while True:
        others = torch.get_rng_state()
        torch.set_rng_state(own)
        item = next(iterator, end)
        own = torch.get_rng_state()
        torch.set_rng_state(others)
        if item is end:
            return
        yield item
