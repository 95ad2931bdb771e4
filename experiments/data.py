"""Sets too large for memory: pictures in folders, decoded when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixlearn.core.extras import need
from mixlearn.data.files import DamagedFile, cache_folder, digest, joint_digest, unpack, verify
from mixlearn.data.photos import decode
from mixlearn.data.sets import Data

Transform = Callable[[Any], Tensor]


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class PictureSet(Dataset[tuple[Tensor, int]]):
    """Picture files, handed out one at a time as normalised images, for a DataLoader.

    Args:
        files: the pictures.
        labels: (N,) int64.
        transform: from a PIL picture in RGB to (3, H, W) float in [0, 1].
        mean: of each channel, taken off.
        std: of each channel, divided by.
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
        """One picture as a PIL image in RGB, as it lies in its file.

        Raises:
            DamagedFile: it cannot be decoded, or has too many pixels; the message names the file.
        """
        return decode(self.files[index], "RGB")


def random_crop(size: int, least: float = 0.08) -> Transform:
    """The ordinary training view of large pictures: a random part (8–100 %) made size × size, flipped or not.

    Its draws come from torch's default generator, which each worker of a DataLoader seeds for itself.

    Args:
        size: pixels of a side.
        least: share of the picture that the part shows at least.
    """
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(least, 1), antialias=True),
            v2.RandomHorizontalFlip(),
            *_to_tensor(v2),
        ]
    )


def centre_crop(size: int) -> Transform:
    """The ordinary test view: the shorter side made size · 8/7, then the middle size × size."""
    v2 = need("torchvision.transforms.v2", "cropping pictures")
    return v2.Compose([v2.Resize(round(size * 8 / 7), antialias=True), v2.CenterCrop(size), *_to_tensor(v2)])


def whole(size: int) -> Transform:
    """The whole picture made size × size."""
    v2 = need("torchvision.transforms.v2", "resizing pictures")
    return v2.Compose([v2.Resize((size, size), antialias=True), *_to_tensor(v2)])


def _to_tensor(v2: Any) -> list[Any]:
    return [v2.ToImage(), partial(v2.functional.to_dtype, dtype=torch.float32, scale=True), _plain]


def _plain(image: Tensor) -> Tensor:
    return image.as_subclass(Tensor)


def all_there(files: Sequence[Path], what: str, remedy: str) -> None:
    """Check that files exist.

    Raises:
        DamagedFile: some are missing; the message says how many and names the first.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DamagedFile(
            f"{what} is not whole: {len(missing)} of {len(files)} pictures are missing, "
            f"the first is {missing[0]}. {remedy}"
        )


TINY_MD5, TINY_URL = "90528d7ca1a48142e341f4ef8d21d0de", "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


CUB_MD5, CUB_URL = "97eceeb196236b17998738112f37df78", "https://data.caltech.edu/records/65de6-vp158"


TERMS_IMAGENET = "https://www.image-net.org/download"


def load_tiny_imagenet(
    root: str | Path | None = None,
    size: int = 64,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """Tiny-ImageNet: its validation pictures are the test part, since the test labels are not public."""
    folder = place(
        root,
        "tiny-imagenet-200",
        "wnids.txt",
        "tiny-imagenet-200.zip",
        TINY_MD5,
        f"Its pictures are ImageNet's, free for research and teaching that earn nothing: accept the terms at "
        f"{TERMS_IMAGENET}, then get tiny-imagenet-200.zip (248 MB, md5 {TINY_MD5}) from {TINY_URL}.",
    )
    remedy = f"Remove {folder} and unpack its archive anew."
    ids = (folder / "wnids.txt").read_text().split()
    words = dict(line.split("\t", 1) for line in lines_of(folder / "words.txt"))
    train: list[tuple[Path, int, list[int]]] = []
    for label, one in enumerate(ids):
        rows = [line.split("\t") for line in lines_of(folder / "train" / one / f"{one}_boxes.txt")]
        train += [
            (folder / "train" / one / "images" / name, label, [int(v) for v in box]) for name, *box in rows
        ]
    rows = [line.split("\t") for line in lines_of(folder / "val" / "val_annotations.txt")]
    val = [
        (folder / "val" / "images" / name, ids.index(one), [int(v) for v in box]) for name, one, *box in rows
    ]
    all_there([file for file, *_ in train + val], "Tiny-ImageNet", remedy)
    views = train_transform or whole(size), test_transform or whole(size)
    parts = [
        PictureSet(
            tuple(file for file, *_ in rows_of),
            torch.tensor([label for _, label, _ in rows_of]),
            view,
            IMAGENET_MEAN,
            IMAGENET_STD,
            torch.tensor([box for *_, box in rows_of])
            + torch.tensor([0, 0, 1, 1]),  # the last pixel is inside
        )
        for rows_of, view in zip((train, val), views, strict=True)
    ]
    classes = tuple(words.get(one, one).split(",")[0] for one in ids)
    lists = [folder / "wnids.txt", folder / "words.txt", folder / "val" / "val_annotations.txt"]
    return from_lists("tiny-imagenet", classes, parts[0], parts[1], lists)


def load_cub200(
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """CUB-200-2011, with the box of each bird."""
    folder = place(
        root,
        "CUB_200_2011",
        "images.txt",
        "CUB_200_2011.tgz",
        CUB_MD5,
        f"Its pictures are for research and teaching that earn nothing: read the terms at {CUB_URL} and get "
        f"CUB_200_2011.tgz (1.1 GB, md5 {CUB_MD5}) there.",
    )
    names, labels, trained, boxes = (
        dict(line.split(" ", 1) for line in lines_of(folder / f"{table}.txt"))
        for table in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    )
    classes = tuple(
        line.split(" ", 1)[1].partition(".")[2].replace("_", " ") for line in lines_of(folder / "classes.txt")
    )
    all_there(
        [folder / "images" / name for name in names.values()],
        "CUB-200-2011",
        f"Remove {folder} and unpack its archive anew.",
    )

    def part(flag: str, view: Transform) -> PictureSet:
        ids = [one for one in names if trained[one] == flag]
        corners = torch.tensor([[float(v) for v in boxes[one].split()] for one in ids])
        corners[:, 2:] += corners[:, :2]  # x, y, width, height in the file
        return PictureSet(
            tuple(folder / "images" / names[one] for one in ids),
            torch.tensor([int(labels[one]) - 1 for one in ids]),
            view,
            IMAGENET_MEAN,
            IMAGENET_STD,
            corners.round().long(),
        )

    train = part("1", train_transform or random_crop(size))
    test = part("0", test_transform or centre_crop(size))
    lists = [folder / f"{table}.txt" for table in ("images", "train_test_split", "bounding_boxes")]
    return from_lists("cub200", classes, train, test, lists)


def load_imagenet_folder(
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """Any set laid out as ROOT/train/CLASS/*.JPEG and ROOT/val/CLASS/*.JPEG, as ImageNet-1k usually is."""
    layout = "ROOT/train/CLASS/PICTURE and ROOT/val/CLASS/PICTURE"
    if root is None:
        raise ValueError(
            f"imagenet-folder needs root=, a folder laid out as {layout}. ImageNet asks you to accept "
            f"its terms: {TERMS_IMAGENET}"
        )
    datasets = need("torchvision.datasets", "reading folders of pictures")
    folders = [Path(root) / "train", Path(root) / "val"]
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing; expected {layout}")
    try:
        read = [datasets.ImageFolder(str(folder)) for folder in folders]
    except FileNotFoundError as problem:
        raise DamagedFile(f"{root} is not whole: {problem}; expected {layout}") from problem
    strangers = sorted(set(read[0].classes) ^ set(read[1].classes))
    if strangers:
        raise DamagedFile(
            f"{root}: train and val must hold the same classes, but {len(strangers)} stand in one alone, "
            f"the first is {strangers[0]!r}; expected {layout}"
        )
    views = train_transform or random_crop(size), test_transform or centre_crop(size)
    train, test = (
        PictureSet(
            tuple(Path(file) for file, _ in part.samples),
            torch.tensor(part.targets, dtype=torch.int64),
            view,
            IMAGENET_MEAN,
            IMAGENET_STD,
        )
        for part, view in zip(read, views, strict=True)
    )
    names = {str(file.relative_to(root)): str(file.stat().st_size) for file in train.files + test.files}
    classes = tuple(read[0].classes)
    return Data(
        "imagenet-folder",
        classes,
        train,
        {"test": test},
        IMAGENET_MEAN,
        IMAGENET_STD,
        joint_digest(names),
    )


def place(root: str | Path | None, name: str, marker: str, archive: str, md5: str, get: str) -> Path:
    """The unpacked folder of a set; its archive is checked and unpacked if that alone is there."""
    base = cache_folder() if root is None else Path(root)
    for folder in (base, base / name):
        if (folder / marker).is_file():
            return folder
    if not (base / archive).is_file():
        raise FileNotFoundError(
            f"neither {base / name} nor {base / archive} is there. {get} Put it into {base} and load again."
        )
    unpack(verify(base / archive, md5, f"Remove it and get it anew. {get}", "md5"), base)
    if not (base / name / marker).is_file():
        raise DamagedFile(f"{base / archive} was unpacked, but {base / name / marker} is missing. {get}")
    return base / name


def from_lists(
    name: str, classes: tuple[str, ...], train: PictureSet, test: PictureSet, lists: list[Path]
) -> Data[PictureSet]:
    sums = {file.name: digest(file) for file in lists}
    return Data(name, classes, train, {"test": test}, IMAGENET_MEAN, IMAGENET_STD, joint_digest(sums))


def lines_of(file: Path) -> list[str]:
    if not file.is_file():
        raise DamagedFile(f"{file} is missing, so the set is not whole; unpack its archive anew")
    return [line for line in file.read_text(encoding="utf8").splitlines() if line]


AIRCRAFT_MD5 = "d4acdd33327262359767eeaa97a4f732"


AIRCRAFT_URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"


INATURALIST_URL = "https://github.com/visipedia/inat_comp/tree/master"


PLACES_URL = {
    "places205": "http://places.csail.mit.edu/downloadData.html",
    "places365": "http://places2.csail.mit.edu/download.html",
}


_PLACES: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {  # lists; folders of pictures
    "places205": (
        ("trainvalsplit_places205/train_places205.csv", "trainvalsplit_places205/val_places205.csv"),
        (("data/vision/torralba/deeplearning/images256", "images256"),) * 2,
    ),
    "places365": (
        ("places365_train_standard.txt", "places365_val.txt", "categories_places365.txt"),
        (("data_256_standard", "data_256", "data_large_standard", "data_large"), ("val_256", "val_large")),
    ),
}


BANNER = 20  # pixels at the bottom of each picture of an aircraft, with the photographer's name


Rows = list[tuple[Path, int]]


def load_aircraft(
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """FGVC-Aircraft with its hundred variants and the box of each aircraft; trained on its first two thirds.

    Each view is made of the picture without the banner at its bottom, as its makers ask.
    """
    folder = place(
        root,
        "fgvc-aircraft-2013b",
        "data/variants.txt",
        "fgvc-aircraft-2013b.tar.gz",
        AIRCRAFT_MD5,
        f"Its pictures are for research that earns nothing: read the terms at {AIRCRAFT_URL} and get "
        f"fgvc-aircraft-2013b.tar.gz (2.75 GB, md5 {AIRCRAFT_MD5}) there.",
    )
    inside = folder / "data"
    classes = tuple(line.strip() for line in lines_of(inside / "variants.txt"))
    number = {name: label for label, name in enumerate(classes)}
    boxes = {
        name: [int(v) for v in corners]
        for name, *corners in (line.split() for line in lines_of(inside / "images_box.txt"))
    }
    lists = [inside / f"images_variant_{part}.txt" for part in ("trainval", "test")]
    parts = []
    for file, view in zip(
        lists, (train_transform or random_crop(size), test_transform or centre_crop(size)), strict=True
    ):
        rows = [line.strip().split(" ", 1) for line in lines_of(file)]
        corners = torch.tensor([boxes[name] for name, _ in rows])
        parts.append(
            _pictures(
                [(inside / "images" / f"{name}.jpg", number[variant]) for name, variant in rows],
                partial(_without_banner, view=view),
                corners - torch.tensor([1, 1, 0, 0]),  # the file counts pixels from 1, the last one inside
            )
        )
    files = parts[0].files + parts[1].files
    all_there(files, "FGVC-Aircraft", f"Remove {folder} and unpack its archive anew.")
    return from_lists("aircraft", classes, parts[0], parts[1], [*lists, inside / "images_box.txt"])


def load_inaturalist(
    year: int,
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """iNaturalist of the competition of 2017 or 2018; its validation pictures are the test part."""
    name, pictures = f"inaturalist{year}", "train_val_images" if year == 2017 else "train_val2018"
    base = cache_folder() if root is None else Path(root)
    names = [f"{part}{year}.json" for part in ("train", "val")]
    homes = [base, base / name]
    choices = [[one / inner / file for file in names] for one in homes for inner in ("", f"train_val{year}")]
    lists = next((files for files in choices if all(file.is_file() for file in files)), None)
    folder = next((one for one in homes if (one / pictures).is_dir()), None)
    if lists is None or folder is None:
        what = f"{names[0]} and {names[1]}" if lists is None else f"the folder {pictures}"
        raise FileNotFoundError(
            f"{base} lacks {what} of iNaturalist {year}. Its pictures are for research and teaching that "
            f"earn nothing: read the terms at {INATURALIST_URL}/{year}, get pictures and annotations there, "
            f"unpack both into {base} and load again."
        )
    read = [_read_json(file) for file in lists]
    kinds = sorted(read[0]["categories"], key=lambda kind: kind["id"])
    number = {kind["id"]: label for label, kind in enumerate(kinds)}
    parts = []
    views = train_transform or random_crop(size), test_transform or centre_crop(size)
    for table, view in zip(read, views, strict=True):
        files = {image["id"]: folder / image["file_name"] for image in table["images"]}
        rows = [(files[note["image_id"]], number[note["category_id"]]) for note in table["annotations"]]
        parts.append(_sampled(rows, view, f"iNaturalist {year}", folder / pictures))
    return from_lists(name, tuple(str(kind["name"]) for kind in kinds), parts[0], parts[1], lists)


def load_places(
    name: str,
    root: str | Path | None = None,
    size: int = 224,
    train_transform: Transform | None = None,
    test_transform: Transform | None = None,
) -> Data[PictureSet]:
    """Places205, or Places365 in its standard part; the validation pictures are the test part."""
    base = cache_folder() if root is None else Path(root)
    wanted, folders = _PLACES[name]
    home = next((one for one in (base, base / name) if all((one / file).is_file() for file in wanted)), None)
    get = f"get lists and pictures there, unpack both into {base} and load again"
    if home is None:
        raise FileNotFoundError(
            f"{base} does not hold {', '.join(wanted)}. The pictures are for research and teaching that earn "
            f"nothing: read the terms at {PLACES_URL[name]}, {get}."
        )
    parts: list[PictureSet] = []
    paths: dict[int, str] = {}
    views = train_transform or random_crop(size), test_transform or centre_crop(size)
    for file, choice, view in zip(wanted[:2], folders, views, strict=True):
        inside = next((home / one for one in choice if (home / one).is_dir()), None)
        if inside is None:
            raise FileNotFoundError(
                f"{home} has none of the folders {', '.join(choice)}. See {PLACES_URL[name]}, {get}."
            )
        rows = [line.split() for line in lines_of(home / file)]
        parts.append(
            _sampled([(inside / path.lstrip("/"), int(label)) for path, label in rows], view, name, inside)
        )
        paths |= {int(label): path.rpartition("/")[0] for path, label in rows if not parts[1:]}
    for file in wanted[2:]:  # Places205 has no list of classes: folders are named after them
        paths = {int(label): path for path, label in (line.split() for line in lines_of(home / file))}
    classes = tuple(_scene(paths[label]) for label in sorted(paths))
    return from_lists(name, classes, parts[0], parts[1], [home / file for file in wanted])


def _without_banner(picture: Any, view: Transform) -> Tensor:
    return view(picture.crop((0, 0, picture.width, max(1, picture.height - BANNER))))


def _pictures(rows: Rows, view: Transform, boxes: Tensor | None = None) -> PictureSet:
    files, labels = tuple(file for file, _ in rows), torch.tensor([label for _, label in rows])
    return PictureSet(files, labels, view, IMAGENET_MEAN, IMAGENET_STD, boxes)


def _sampled(rows: Rows, view: Transform, what: str, folder: Path) -> PictureSet:
    """Pictures of which a thousandth must be there: to look for each of millions would take minutes."""
    part, every = _pictures(rows, view), 1 + len(rows) // 1000
    if every > 1:
        what += f", of which one picture in {every} was looked for,"
    all_there(part.files[::every], what, f"Unpack the archive of {folder} anew.")
    return part


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf8"))
    except ValueError as problem:
        raise DamagedFile(f"{file} is not whole ({problem}); unpack its archive anew") from problem


def _scene(path: str) -> str:
    """The name of a class from its path: /a/airport_terminal → airport terminal.

    >>> _scene("/a/apartment_building/outdoor"), _scene("b/bar")
    ('apartment building, outdoor', 'bar')
    """
    return path.strip("/").partition("/")[2].replace("/", ", ").replace("_", " ")
