"""Make data/photos: square photographs of 256 pixels, each with a mask of its animal.

    python data/make_photos.py FOLDER        # FOLDER holds the photographs and their CREDITS.tsv

Needs numpy, pillow and opencv-python-headless (written with 13.0.0 and 5.0.0). The photographs are those of
Debian's gcompris-qt-data 3.1-2 (`data/rcc.py` unpacks them); CREDITS.tsv names file, licence, author and
source of each, tab-separated. photo_crops.tsv, beside this script, holds the cuts and outlines drawn by hand;
within an outline GrabCut (Rother, Kolmogorov and Blake 2004) finds the edge.
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
SIZE, WORK = 256, 512  # pixels: as kept, as segmented
ROUNDS = 6


def extended(photograph: np.ndarray, rows: int, strip: int) -> np.ndarray:
    """More rows below: the lowest strip again and again, mirrored, moved sideways, blended in."""
    fade = strip // 3
    weight = np.linspace(0, 1, fade)[:, None, None]
    whole, turn = photograph.astype(np.float64), 0
    while len(whole) < len(photograph) + rows:
        turn += 1
        piece = np.roll(photograph[-strip:][:: (-1) ** turn], turn * photograph.shape[1] * 3 // 8, 1)
        seam = (1 - weight) * whole[-fade:] + weight * piece[:fade]
        whole = np.concatenate([whole[:-fade], seam, piece[fade:]])
    return np.rint(whole[: len(photograph) + rows]).astype(np.uint8)


def square(photograph: np.ndarray, cut: list[int]) -> np.ndarray:
    """The cut out of a photograph (H, W, 3), extended below where it does not reach."""
    left, top, side, *strip = cut
    if strip:
        photograph = extended(photograph, top + side - len(photograph), strip[0])
    whole = photograph[top : top + side, left : left + side]
    if whole.shape[:2] != (side, side):
        raise ValueError(f"a cut of {side} pixels from {left}, {top} does not fit: it gave {whole.shape}")
    return whole


def filled(polygons: str) -> np.ndarray:
    """True inside the polygons, (WORK, WORK)."""
    image = Image.new("1", (WORK, WORK))
    for polygon in filter(None, map(str.strip, polygons.split("|"))):
        ImageDraw.Draw(image).polygon([int(v) * WORK / 1000 for v in polygon.split()], fill=1)
    return np.asarray(image)


def segment(picture: np.ndarray, outline: str, inside: str, outside: str) -> np.ndarray:
    """Share of each pixel that is animal, (SIZE, SIZE) uint8, 255 for the whole."""
    state = np.where(filled(outline), cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    state[filled(inside)] = cv2.GC_FGD
    state[filled(outside)] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(
        picture[..., ::-1].copy(),
        state,
        None,
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        ROUNDS,
        cv2.GC_INIT_WITH_MASK,
    )
    animal = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    animal = cv2.medianBlur(animal * 255, 5)
    count, parts, facts, _ = cv2.connectedComponentsWithStats(animal)
    for k in range(1, count):  # crumbs
        if facts[k, cv2.CC_STAT_AREA] < 0.01 * animal.astype(bool).sum():
            animal[parts == k] = 0
    n = WORK // SIZE
    return np.rint(animal.reshape(SIZE, n, SIZE, n).mean((1, 3))).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "photos")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.folder / "CREDITS.tsv", encoding="utf8") as file:
        credits = {row["file"].removesuffix(".webp"): row for row in csv.DictReader(file, delimiter="\t")}
    with open(args.out / "CREDITS.tsv", "w", encoding="utf8", newline="") as file:
        write = csv.writer(file, delimiter="\t", lineterminator="\n").writerow
        write(["file", "name", "licence", "author", "source", "changes"])
        for line in (HERE / "photo_crops.tsv").read_text(encoding="utf8").splitlines():
            if line.startswith("#"):
                continue
            name, shown, cut, outline, inside, outside = line.split("\t")
            photograph = np.asarray(Image.open(args.folder / f"{name}.webp").convert("RGB"))
            cut_out = Image.fromarray(square(photograph, [int(v) for v in cut.split()]))
            small = cut_out.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
            small.save(args.out / f"{name}.webp", quality=92, method=6)
            mask = segment(
                np.asarray(cut_out.resize((WORK, WORK), Image.Resampling.LANCZOS)), outline, inside, outside
            )
            Image.fromarray(mask).save(args.out / f"{name}.mask.png", optimize=True)
            credit = credits[name]
            write(
                [
                    name,
                    shown,
                    credit["licence"],
                    credit["author"],
                    credit["source"],
                    "cut to a square, made smaller" + (", extended below" if len(cut.split()) > 3 else ""),
                ]
            )


if __name__ == "__main__":
    main()
