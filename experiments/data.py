"""Sets too large for memory: pictures in folders by class, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixlearn.core.extras import need
from mixlearn.data.files import DamagedFile, joint_digest
from mixlearn.data.photos import decode
from mixlearn.data.sets import Data, ImageSet
from mixlearn.methods.ict import UNKNOWN

Transform = Callable[[Any], Tensor]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYOUT = "ROOT/train/CLASS/PICTURE and ROOT/val/CLASS/PICTURE"


@dataclass(frozen=True, eq=False)
class PictureSet(Dataset[tuple[Tensor, int]]):
    """Picture files, handed out one at a time as normalised images, for a DataLoader.

    Args:
        files: the pictures.
        labels: (N,) int64.
        transform: from a PIL picture in RGB to (3, H, W) float in [0, 1].
        mean, std: of each channel, taken off and divided by.
        boxes: box of the object in pixels of the file, (N, 4): x0, y0, x1, y1, half-open; or None.
    """

    files: tuple[Path, ...]
    labels: Tensor
    transform: Transform
    mean: tuple[float, ...]
    std: tuple[float, ...]
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "boxes"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.files):
                raise ValueError(f"{name} must be {len(self.files)}, one a picture, got {len(part)}")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.transform(self.open(index))
        mean, std = (torch.tensor(v, dtype=image.dtype).view(-1, 1, 1) for v in (self.mean, self.std))
        return (image - mean) / std, int(self.labels[index])

    def open(self, index: int) -> Any:
        """One picture as a PIL image in RGB; `DamagedFile` names the file that cannot be decoded."""
        return decode(self.files[index], "RGB")


def pictures(
    root: str | Path,
    *,
    name: str = "imagenet-folder",
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """Pictures laid out as ROOT/train/CLASS/PICTURE and ROOT/val/CLASS/PICTURE, as ImageNet's usually are.

    ImageNet, Tiny-ImageNet, CUB, FGVC-Aircraft, iNaturalist and Places are for research and teaching that
    earn nothing: accept their terms, unpack them, and lay them out so.

    Args:
        root: the folder.
        name: of the set, for run records.
        size: pixels of a side.
        train_transform, test_transform: from a PIL picture to a float image in [0, 1]; None is
            `random_crop(size)` and `centre_crop(size)`.

    Returns:
        The set; its `sha256` is that of the names and sizes of the files.
    """
    datasets = need("torchvision.datasets", "reading folders of pictures")
    views = {"train": train_transform or random_crop(size), "val": test_transform or centre_crop(size)}
    parts, classes = [], []
    for part, view in views.items():
        folder = Path(root) / part
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing; expected {LAYOUT}")
        try:
            read = datasets.ImageFolder(str(folder))
        except FileNotFoundError as problem:
            raise DamagedFile(f"{root}: {problem}; expected {LAYOUT}") from problem
        files, labels = tuple(Path(file) for file, _ in read.samples), torch.tensor(read.targets)
        parts.append(PictureSet(files, labels, view, IMAGENET_MEAN, IMAGENET_STD))
        classes.append(tuple(read.classes))
    alone = sorted(set(classes[0]) ^ set(classes[1]))
    if alone:
        raise DamagedFile(
            f"{root}: classes must be in train and val, got {alone[0]!r} in one; expected {LAYOUT}"
        )
    sizes = {str(file.relative_to(root)): str(file.stat().st_size) for part in parts for file in part.files}
    train, test = parts
    return Data(name, classes[0], train, {"test": test}, IMAGENET_MEAN, IMAGENET_STD, joint_digest(sizes))


def random_crop(size: int, least: float = 0.08) -> Transform:
    """The ordinary training view of large pictures: a random part (8–100 %) made size × size, flipped or not.

    Its draws come from torch's default generator, which each worker of a DataLoader seeds for itself.
    The part shows at least the share `least` of the picture.
    """
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    crop = v2.RandomResizedCrop(size, scale=(least, 1), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), *_to_tensor(v2)])


def centre_crop(size: int) -> Transform:
    """The ordinary test view: the shorter side made size · 8/7, then the middle size × size."""
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    return v2.Compose([v2.Resize(round(size * 8 / 7), antialias=True), v2.CenterCrop(size), *_to_tensor(v2)])


def whole(size: int) -> Transform:
    """The whole picture made size × size."""
    v2 = need("torchvision.transforms.v2", "resizing pictures")
    return v2.Compose([v2.Resize((size, size), antialias=True), *_to_tensor(v2)])


def _to_tensor(v2: Any) -> list[Any]:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()]


def on_black(data: Data[ImageSet]) -> Data[ImageSet]:
    """A set whose objects have masks, with everything else made black: a set on which raw pixels fail."""

    def cut(part: ImageSet) -> ImageSet:
        assert part.masks is not None
        return replace(part, images=(part.images.float() * (part.masks / 255)).round().byte())

    train = cut(data.train)
    few = train.images[:10_000].float() / 255
    mean, std = (tuple(map(float, measure(few, (0, 2, 3)))) for measure in (torch.mean, torch.std))
    train = replace(train, mean=mean, std=std)
    tests = {name: replace(cut(part), mean=mean, std=std) for name, part in data.tests.items()}
    return replace(data, name="garments", train=train, tests=tests, mean=mean, std=std)


def with_objects(data: Data[ImageSet]) -> Data[ImageSet]:
    """The set with the masks of the training objects as a fourth channel of the training images."""
    assert data.train.masks is not None
    images = torch.cat([data.train.images, data.train.masks], dim=1)  # (N, 4, H, W)
    train = replace(data.train, images=images, mean=(*data.mean, 0.0), std=(*data.std, 1.0))
    return replace(data, train=train)


def with_wrong_labels(data: Data[ImageSet], percent: int) -> Data[ImageSet]:
    """The set with so many percent of the training labels drawn again at random, the right one among them.

    The draw is the same on every call, and that of a larger percentage includes that of a smaller one.
    """
    if not 0 < percent < 100:
        raise ValueError(f"percent must lie between 0 and 100, got {percent}")
    generator = torch.Generator().manual_seed(0)
    labels = data.train.labels
    drawn = torch.randint(len(data.classes), labels.shape, generator=generator)
    replaced = torch.rand(labels.shape, generator=generator) < percent / 100
    train = replace(data.train, labels=torch.where(replaced, drawn, labels))
    return replace(data, name=f"{data.name}-wrong-{percent}", train=train)


def half_labelled(part: ImageSet, known: ImageSet, *, alone: bool = False) -> ImageSet:
    """Images without labels, then those of `known` with theirs, repeated up to the same number.

    With `alone` the set is as large, and all of it are those of `known`.
    """
    size = len(part)
    shown = known.take(torch.arange(2 * size if alone else size) % len(known))
    if alone:
        return shown
    labels = torch.cat([torch.full((size,), UNKNOWN), shown.labels])
    return replace(part, images=torch.cat([part.images, shown.images]), labels=labels)


def long_tailed(part: ImageSet, counts: Sequence[int], generator: torch.Generator) -> ImageSet:
    """So many images of each class, drawn at random."""
    order = torch.randperm(len(part), generator=generator)
    kept = [order[part.labels[order] == k][:count] for k, count in enumerate(counts)]
    return part.take(torch.cat(kept))
