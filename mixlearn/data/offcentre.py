"""Off-centre Fashion: each garment of Fashion-MNIST made small and put anywhere on a part of a photograph.

The images are generated on first use and kept in the cache. Every step is arithmetic on whole numbers, so
each machine makes the same bytes; their sha256 are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mixlearn.core.boxes import masks_to_boxes
from mixlearn.core.extras import need
from mixlearn.data.fashion import CLASSES, load_fashion
from mixlearn.data.files import cache_folder, joint_digest, new_files, read_bytes, shipped, verify
from mixlearn.data.photos import decode, read_table
from mixlearn.data.sets import Data, ImageSet

SIZE = 40  # pixels of a side
SMALLEST, LARGEST = 15, 24  # pixels of a side of a garment's frame, after scaling
CLOTH = 16  # pixels of Fashion-MNIST above this value are garment, the rest is ground
DARKEST = 40  # value of the darkest cloth before tinting, so that no garment is black
TINT = 96  # least of each channel's tint, of 255
SIDES = (48, 64, 96, 128, 160)  # of the photograph from which 40 × 40 pixels are cut
CHUNK = 2000  # images composed at a time
PHOTOGRAPHS = {  # none is in both parts
    "train": ("dog", "cat", "sheep", "owl", "koala", "scarlet_macaw", "polar_bear", "bison"),
    "test": ("duck", "kingfisher", "panda", "hedgehog"),
}
SALT = {"train": 1, "test": 2}
SHA256 = {
    "train-images.bin": "0548f25ce3675b8ef818d18861e37a86f47c183feee3712af682ff981789feea",
    "train-masks.bin": "790b391404a4fed5d3a56342e9c5b253c911dadf050f111f38f43b3a53e56347",
    "train-labels.bin": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "train-photographs.bin": "4b5a477f69bb11280568ba3254fb04bb992618fc8dfd8d40f7d599a7e673b577",
    "test-images.bin": "3b0a0b3043d630d82548192e2d088a487673fc3d4b67eab78f0c29cec730ade6",
    "test-masks.bin": "6bacbc2765118ae3c2a2ec09528f50437eba22273c85ed8e9669998aa59164e6",
    "test-labels.bin": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    "test-photographs.bin": "947352929db5c37f22bc46ce93129d3fbfda04167b3e81689a1b445b878d34e5",
}
MEAN = (0.5097418441993464, 0.45968847879901975, 0.40970514852941187)  # of the training images
STD = (0.20283490204802654, 0.22198163385782418, 0.21728407571991287)


def load_offcentre(root: str | Path | None = None) -> Data[ImageSet]:
    """The set from `root`, else from the cache; generated into it where it is missing."""
    folder = cache_folder() / "offcentre" if root is None else Path(root)
    if not all((folder / name).is_file() for name in SHA256):
        _generate(folder)
    for name, value in SHA256.items():
        verify(folder / name, value, f"Remove the folder {folder} and load again.")
    credits = {row["file"]: row for row in read_table(shipped("photos", ["CREDITS.tsv"])["CREDITS.tsv"])}
    parts = {}
    for split, stems in PHOTOGRAPHS.items():
        masks = read_bytes(folder / f"{split}-masks.bin", -1, 1, SIZE, SIZE)
        parts[split] = ImageSet(
            read_bytes(folder / f"{split}-images.bin", -1, 3, SIZE, SIZE),
            read_bytes(folder / f"{split}-labels.bin", -1).long(),
            MEAN,
            STD,
            masks=masks,
            boxes=masks_to_boxes(masks >= 128),
            sources=[credits[stems[k]] for k in read_bytes(folder / f"{split}-photographs.bin", -1).tolist()],
        )
    return Data(
        "offcentre", CLASSES, parts["train"], {"test": parts["test"]}, MEAN, STD, joint_digest(SHA256)
    )


def _generate(folder: Path) -> None:
    """Make all files, bytes without a head, and check them."""
    remedy = (
        "It was made just now, so Pillow or numpy counts otherwise on this machine than where the set was "
        "made; another version of them may help."
    )
    fashion = load_fashion()
    with new_files(folder) as made:
        for split, part in (("train", fashion.train), ("test", fashion.test)):
            photographs = backgrounds(split)
            (made / f"{split}-labels.bin").write_bytes(part.labels.byte().numpy().tobytes())
            with ExitStack() as stack:
                paths = [made / f"{split}-{name}.bin" for name in ("images", "masks", "photographs")]
                files = [stack.enter_context(open(path, "wb")) for path in paths]
                for first in range(0, len(part), CHUNK):
                    garments = part.images[first : first + CHUNK, 0].numpy()
                    arrays = compose(garments, photographs, SALT[split], first)
                    for file, array in zip(files, arrays, strict=True):
                        file.write(array.tobytes())
        for name, value in SHA256.items():
            verify(made / name, value, remedy)


def compose(garments: Any, photographs: Sequence[Any], salt: int, first: int = 0) -> tuple[Any, Any, Any]:
    """Put each garment on a part of one of the photographs.

    Args:
        garments: (N, 28, 28) numpy uint8, as in Fashion-MNIST.
        photographs: squares as `backgrounds` gives them.
        salt: a whole number that makes the draws, with the number of a garment.
        first: number of the first garment.

    Returns:
        Images (N, 3, 40, 40), masks (N, 1, 40, 40), and which photograph (N,), all uint8.
    """
    numpy: Any = need("numpy", "making Off-centre Fashion")
    count = len(garments)
    draws = _draws(numpy, first, count, 11, salt)
    size = SMALLEST + _below(draws[:, 0], LARGEST + 1 - SMALLEST)
    left, top = (_below(draws[:, k], SIZE + 1 - size) for k in (1, 2))
    tint = (TINT + _below(draws[:, 3:6], 256 - TINT)).astype(numpy.uint16)
    photograph, level = _below(draws[:, 6], len(photographs)), _below(draws[:, 7], len(SIDES))
    room = numpy.array(SIDES)[level] + 1 - SIZE
    mirrored, x, y = _below(draws[:, 8], 2) == 1, _below(draws[:, 9], room), _below(draws[:, 10], room)

    images = numpy.empty((count, 3, SIZE, SIZE), numpy.uint8)
    for p, sides in enumerate(photographs):
        for k, picture in enumerate(sides):
            here = numpy.flatnonzero((photograph == p) & (level == k))
            windows = numpy.lib.stride_tricks.sliding_window_view(picture, (SIZE, SIZE), (1, 2))
            images[here] = windows[:, y[here], x[here]].swapaxes(0, 1)
    images[mirrored] = images[mirrored, :, :, ::-1]

    masks, cloth = (numpy.zeros((count, SIZE, SIZE), numpy.uint8) for _ in range(2))
    cover = garments > CLOTH
    value = cover * (DARKEST + garments.astype(numpy.int64) * (255 - DARKEST) // 255)
    for side in range(SMALLEST, LARGEST + 1):
        here = numpy.flatnonzero(size == side)
        rows = top[here, None, None] + numpy.arange(side)[:, None]
        columns = left[here, None, None] + numpy.arange(side)
        masks[here[:, None, None], rows, columns] = shrink(255 * cover[here].astype(numpy.int64), side)
        cloth[here[:, None, None], rows, columns] = shrink(value[here], side)
    clear = (255 - masks).astype(numpy.uint16)
    for c in range(3):  # at most 255 · 255 + 127: sixteen bits hold it
        mixed = clear * images[:, c] + cloth * tint[:, c, None, None]
        images[:, c] = (mixed + numpy.uint16(127)) // numpy.uint16(255)
    return images, masks[:, None], photograph.astype(numpy.uint8)


def backgrounds(split: str) -> list[list[Any]]:
    """The photographs of a part, each at the sides of `SIDES`: (3, side, side) numpy uint8."""
    numpy: Any = need("numpy", "making Off-centre Fashion")
    files = shipped("photos", [f"{stem}.webp" for stem in PHOTOGRAPHS[split]])
    whole = [numpy.array(decode(file, "RGB")).transpose(2, 0, 1) for file in files.values()]
    return [[shrink(picture.astype(numpy.int64), side) for side in SIDES] for picture in whole]


def shrink(squares: Any, side: int) -> Any:
    """Box filter (..., n, n) to any smaller side: the mean of what each new pixel covers, rounded.

    The sums are whole numbers far below 2⁵³, so float64 holds them exactly, in any order.

    >>> import numpy
    >>> shrink(numpy.array([[0, 30, 90], [0, 30, 90], [0, 30, 90]]), 2).tolist()
    [[10, 70], [10, 70]]
    """
    numpy: Any = need("numpy", "making Off-centre Fashion")
    old = squares.shape[-1]
    ends, places = numpy.arange(side + 1) * old, numpy.arange(old + 1) * side
    upper = numpy.minimum(ends[1:, None], places[1:])
    lower = numpy.maximum(ends[:-1, None], places[:-1])
    overlap = (upper - lower).clip(0).astype(numpy.float64)  # (side, old), in parts of an old pixel
    total = (overlap @ squares.astype(numpy.float64) @ overlap.T).astype(numpy.int64)
    return ((2 * total + old * old) // (2 * old * old)).astype(numpy.uint8)


def _draws(numpy: Any, first: int, count: int, each: int, salt: int) -> Any:
    """(count, each) uint64 below 2³²: SplitMix64 (Steele, Lea and Flood 2014) at fixed places."""
    start = (salt << 40) + first * each + 1
    z = numpy.arange(start, start + count * each, dtype=numpy.uint64)
    z = z * numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> numpy.uint64(31))) >> numpy.uint64(32)).reshape(count, each)


def _below(draws: Any, n: Any) -> Any:
    """Whole numbers from 0 to n − 1, as int64."""
    return (draws.astype("int64") * n) >> 32
