"""Tiny-ImageNet, CUB-200-2011 and ImageNet, read from folders that the reader has filled."""

from __future__ import annotations

from pathlib import Path

import torch

from mixlearn.lab.data.files import DamagedFile, cache_folder, digest, joint_digest, unpack, verify
from mixlearn.lab.data.folders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PictureSet,
    Transform,
    all_there,
    centre_crop,
    random_crop,
    whole,
)
from mixlearn.lab.data.sets import Data
from mixlearn.lab.extras import need

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
