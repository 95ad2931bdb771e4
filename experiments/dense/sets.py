"""Pictures of any size with what they show and where: how they are handed out, where their files are."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor
from torch.utils.data import Dataset

from experiments.data import all_there, lines_of
from mixlearn.core.extras import need
from mixlearn.data.files import DamagedFile, cache_folder
from mixlearn.data.photos import decode

IGNORE = 255  # the label of a pixel that counts neither in a loss nor in a measure


@dataclass(frozen=True, eq=False)
class DenseSet(Dataset[tuple[Tensor, Any]]):
    """Picture files of any size, each handed out with what it shows and where.

    An item is an image (3, H, W) float32 in [0, 1], and its target. Of boxes that is a dict: `boxes` (k, 4)
    float32 as x0, y0, x1, y1, half-open, in pixels; `labels` (k,) int64; `iscrowd` (k,) int64, 1 for what is
    to be neither found nor missed; perhaps `masks` (k, H, W) bool. Of pixels it is their labels (H, W)
    int64, 255 where they do not count.

    Args:
        name: of the set.
        files: the pictures.
        read: the number of a picture and its height and width → its target.
        classes: names, in the order of the labels.

    >>> DenseSet("none", (), lambda index, size: torch.zeros(size), ("cat", "dog"))
    DenseSet('none', 0 pictures, 2 classes)
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[int, tuple[int, int]], Any]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        image = decoded(self.files[index], "RGB").permute(2, 0, 1).contiguous().float() / 255
        height, width = image.shape[-2:]
        return image, self.read(index, (height, width))

    def __repr__(self) -> str:
        return f"DenseSet({self.name!r}, {len(self)} pictures, {len(self.classes)} classes)"


def chosen(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {given!r}")


def found(root: str | Path | None, name: str, wanted: Sequence[str], what: str, get: str) -> Path:
    """The folder that holds all that is wanted: the root, or the one of that name in it."""
    base = cache_folder() if root is None else Path(root)
    for folder in (base, base / name):
        if all((folder / part).exists() for part in wanted):
            return folder
    raise FileNotFoundError(
        f"{base} holds neither {what} nor the folder {name} with them: {get}, unpack into {base / name} and "
        "load again"
    )


def some_there(files: Sequence[Path], what: str, folder: Path) -> None:
    """Check that files exist; of very many a thousandth, since looking for each would take minutes."""
    every = 1 + len(files) // 1000
    if every > 1:
        what += f", of which one file in {every} was looked for,"
    all_there(files[::every], what, f"Unpack the archive of {folder} anew.")


def decoded(file: Path, mode: str | None = None) -> Tensor:
    """A picture's numbers (H, W) or (H, W, 3), uint8; without a mode those of its palette."""
    numpy = need("numpy", "reading pictures")
    return torch.from_numpy(numpy.array(decode(file, mode)))


COCO_URL = "https://cocodataset.org/#download"


VOC_URL = "http://host.robots.ox.ac.uk/pascal/VOC/"


SBD_URL = "http://home.bharathh.info/pubs/codes/SBD/download.html"


ADE_URL = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"


VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def coco(
    root: str | Path | None = None, part: str = "train", *, year: int = 2017, masks: bool = True
) -> DenseSet:
    """COCO's objects: boxes, classes and masks; crowds are marked.

    Args:
        root: the folder that holds `train2017`, `val2017` and `annotations`, or its parent, where it is
            called `coco`; None is $MIXLEARN_DATA or the user's cache.
        part: "train" or "val".
        year: 2014 or 2017.
        masks: whether targets have masks, which take time and memory.

    Raises:
        FileNotFoundError: pictures or annotations are not there; the message says where to get them.
        DamagedFile: the annotations cannot be read, or pictures are missing.

    Source: Lin et al., *Microsoft COCO*, ECCV 2014.

    >>> coco("/nowhere", "val")
    Traceback (most recent call last):
    FileNotFoundError: /nowhere holds neither val2017 with annotations/instances_val2017.json nor the ...
    """
    chosen("part", part, ("train", "val"))
    notes = f"annotations/instances_{part}{year}.json"
    folder = found(
        root,
        "coco",
        (f"{part}{year}", notes),
        f"{part}{year} with {notes}",
        f"get {part}{year}.zip and annotations_trainval{year}.zip at {COCO_URL}, under the terms named there",
    )
    need("pycocotools", "COCO")
    datasets = need("torchvision.datasets", "COCO")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            raw = datasets.CocoDetection(str(folder / f"{part}{year}"), str(folder / notes))
        kinds = sorted(raw.coco.cats.values(), key=lambda kind: kind["id"])
        files = tuple(folder / f"{part}{year}" / raw.coco.imgs[one]["file_name"] for one in raw.ids)
    except (ValueError, KeyError, AssertionError) as problem:
        raise DamagedFile(
            f"{folder / notes} cannot be read ({problem!r}); unpack its archive anew"
        ) from problem
    number = {kind["id"]: label for label, kind in enumerate(kinds)}  # the file's numbers have gaps
    some_there(files, f"COCO {year}", folder / f"{part}{year}")
    read = partial(_coco_objects, raw=raw, number=number, masks=masks)
    return DenseSet(f"coco{year} {part}", files, read, tuple(kind["name"] for kind in kinds))


def voc(
    root: str | Path | None = None,
    part: str = "trainval",
    *,
    years: Sequence[int] = (2012,),
    show: str = "boxes",
) -> DenseSet:
    """Pascal VOC: boxes and classes of objects, where difficult ones are marked, or the class of each pixel.

    Args:
        root: the folder that holds `VOC2012` and the like, or its parent, where it is called `VOCdevkit`;
            None is $MIXLEARN_DATA or the user's cache.
        part: "train", "val", "trainval", "test" (of 2007), or, for pixels of 2012, "trainaug": the training
            pictures with those of SBD, whose labels lie in `SegmentationClassAug`.
        years: whose pictures are put one after the other.
        show: "boxes" or "pixels". The first class of pixels is the background.

    Raises:
        ValueError: another part or another `show`, or no years.
        FileNotFoundError: a year is not there; the message says where to get it.
        DamagedFile: a list, pictures or annotations are missing.

    Source: Everingham et al., *The Pascal Visual Object Classes Challenge*, IJCV 2010; Hariharan et al.,
    *Semantic Contours from Inverse Detectors*, ICCV 2011, for "trainaug".

    >>> voc("/nowhere", show="pixels")
    Traceback (most recent call last):
    FileNotFoundError: /nowhere holds neither VOC2012 with JPEGImages nor the folder VOCdevkit with them: ...
    """
    chosen("show", show, ("boxes", "pixels"))
    chosen("part", part, ("train", "val", "trainval", "test" if show == "boxes" else "trainaug"))
    if not years:
        raise ValueError("years must name at least one, got none")
    files: list[Path] = []
    known: list[Path] = []
    for year in years:
        get = f"get the archive of {year} at {VOC_URL}, under the terms named there"
        wanted = (f"VOC{year}/JPEGImages",)
        base = found(root, "VOCdevkit", wanted, f"VOC{year} with JPEGImages", get) / f"VOC{year}"
        inside, ending = ("Annotations", "xml") if show == "boxes" else ("SegmentationClass", "png")
        listed = base / "ImageSets" / ("Main" if show == "boxes" else "Segmentation") / f"{part}.txt"
        if part == "trainaug":
            inside = "SegmentationClassAug"
            listed = next((one for one in _lists(base) if one.is_file()), listed)
            if not (listed.is_file() and (base / inside).is_dir()):
                raise FileNotFoundError(
                    f"{base} lacks {listed.relative_to(base)} or {inside}, SBD's labels in VOC's format: "
                    f"make both of what {SBD_URL} offers, put them there and load again"
                )
        names = [line.split()[0].rpartition("/")[2].partition(".")[0] for line in lines_of(listed)]
        files += [base / "JPEGImages" / f"{name}.jpg" for name in names]
        known += [base / inside / f"{name}.{ending}" for name in names]
    some_there(files, "Pascal VOC", base.parent)
    some_there(known, "Pascal VOC", base.parent)
    name = f"voc{'+'.join(map(str, years))} {part}"
    classes = VOC_CLASSES if show == "boxes" else ("background", *VOC_CLASSES)
    read = partial(_voc_objects if show == "boxes" else _voc_pixels, known=known)
    return DenseSet(name, tuple(files), read, classes)


def ade20k(root: str | Path | None = None, part: str = "training") -> DenseSet:
    """ADE20K of the scene parsing challenge of 2016: 150 classes of pixels, where others do not count.

    Args:
        root: the folder that holds `images`, `annotations` and `objectInfo150.txt`, or its parent, where it
            is called `ADEChallengeData2016`; None is $MIXLEARN_DATA or the user's cache.
        part: "training" or "validation".

    Raises:
        FileNotFoundError: pictures or labels are not there; the message says where to get them.
        DamagedFile: some of them are missing.

    Source: Zhou et al., *Scene Parsing through ADE20K Dataset*, CVPR 2017.

    >>> ade20k("/nowhere")
    Traceback (most recent call last):
    FileNotFoundError: /nowhere holds neither images/training with annotations/training and ...
    """
    chosen("part", part, ("training", "validation"))
    wanted = (f"images/{part}", f"annotations/{part}", "objectInfo150.txt")
    get = f"get ADEChallengeData2016.zip at {ADE_URL}, for research and teaching that earn nothing"
    what = f"{wanted[0]} with {wanted[1]} and {wanted[2]}"
    folder = found(root, "ADEChallengeData2016", wanted, what, get)
    files = tuple(sorted((folder / wanted[0]).glob("*.jpg")))
    known = [folder / wanted[1] / f"{file.stem}.png" for file in files]
    if not files:
        raise DamagedFile(f"{folder / wanted[0]} holds no pictures; unpack its archive anew")
    some_there(known, "ADE20K", folder)
    rows = lines_of(folder / wanted[2])[1:]
    classes = tuple(row.split("\t")[-1].split(",")[0].strip() for row in rows)
    return DenseSet(f"ade20k {part}", files, partial(_ade_pixels, known=known), classes)


def _lists(base: Path) -> Iterable[Path]:
    """Where the list of SBD's pictures may be."""
    for sets in ("Segmentation", "SegmentationAug"):
        for name in ("trainaug", "train_aug"):
            yield base / "ImageSets" / sets / f"{name}.txt"


def _coco_objects(
    index: int, size: tuple[int, int], raw: Any, number: dict[int, int], masks: bool
) -> dict[str, Tensor]:
    every = raw.coco.loadAnns(raw.coco.getAnnIds(raw.ids[index]))
    notes = [note for note in every if min(note["bbox"][2:]) > 0]
    sides = torch.tensor([note["bbox"] for note in notes], dtype=torch.float32).view(-1, 4)
    target = _objects(
        torch.cat([sides[:, :2], sides[:, :2] + sides[:, 2:]], 1),  # x, y, width, height in the file
        [number[note["category_id"]] for note in notes],
        [note.get("iscrowd", 0) for note in notes],
    )
    if masks:
        shown = [torch.from_numpy(raw.coco.annToMask(note)).bool() for note in notes]
        target["masks"] = torch.stack(shown) if shown else torch.zeros(0, *size, dtype=torch.bool)
    return target


def _voc_objects(index: int, size: tuple[int, int], known: list[Path]) -> dict[str, Tensor]:
    try:
        objects = ElementTree.parse(known[index]).getroot().findall("object")
        corners = [[float(one.findtext(f"bndbox/{side}", "")) for side in _SIDES] for one in objects]
        labels = [VOC_CLASSES.index(one.findtext("name", "")) for one in objects]
        difficult = [int(one.findtext("difficult", "0")) for one in objects]
    except (ElementTree.ParseError, ValueError) as problem:
        raise DamagedFile(f"{known[index]} cannot be read ({problem}); unpack its archive anew") from problem
    # the file counts pixels from 1, the last one inside
    return _objects(torch.tensor(corners).view(-1, 4) - torch.tensor([1.0, 1, 0, 0]), labels, difficult)


def _voc_pixels(index: int, size: tuple[int, int], known: list[Path]) -> Tensor:
    return decoded(known[index]).long()


def _ade_pixels(index: int, size: tuple[int, int], known: list[Path]) -> Tensor:
    labels = decoded(known[index]).long() - 1  # 0 in the file is what is none of the classes
    return torch.where(labels < 0, IGNORE, labels)


def _objects(boxes: Tensor, labels: list[int], ignored: list[int]) -> dict[str, Tensor]:
    numbers = {"labels": labels, "iscrowd": ignored}
    return {"boxes": boxes, **{key: torch.tensor(value, dtype=torch.int64) for key, value in numbers.items()}}
