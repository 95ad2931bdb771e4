"""Make Emoji Scenes: emoji drawings on photographs, each with a mask, a box, a name and its sources.

    python data/make_emoji.py FOLDER            # FOLDER holds, or will hold, the packages
    python data/make_emoji.py FOLDER --check    # make it anew and compare with data/SHA256SUMS

Needs numpy, pillow (written with 13.0.0, libwebp 1.6.0) and resvg_py 0.5.0. What is missing in FOLDER is
fetched by `npm pack NAME@VERSION` for each of PACKAGES, and by `apt-get download gcompris-qt-data` (3.1-2),
which `dpkg -x` unpacks. The same versions give the same bytes.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image, ImageFilter, ImageOps
from rcc import entries

HERE = Path(__file__).parent
PACKAGES = {  # drawing set: npm package, version, designer
    "noto": ("@iconify-json/noto", "1.2.9", "noto"),
    "noto-v1": ("@iconify-json/noto-v1", "1.2.5", "noto"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7", "fluent"),
    "fluent-flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "fluent"),
    "fluent-3d": ("@lobehub/fluent-emoji-3d", "1.1.0", "fluent"),
    "emojione": ("@iconify-json/emojione", "1.2.3", "emojione"),
    "fxemoji": ("@iconify-json/fxemoji", "1.2.2", "fxemoji"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "twemoji"),
}
HELD_OUT = "twemoji"  # the designer that only the test split "designers" shows
IMAGES = {"train": 720, "concepts": 110, "designers": 110}  # of each class
TEST_SHARE = 0.22  # of the concepts of a class
SEED = 20171025
SIZE, DRAWN = 64, 256  # pixels: as kept, as composed
QUALITY = 86
CONTRAST = 40  # grey levels between the drawing and what it covers; up to TRIES backgrounds are drawn for it
TRIES = 6

# names in older sets that neither Unicode nor today's sets use
OLDER = {
    "aubergine": "1f346",
    "bolt": "26a1",
    "bunny": "1f430",
    "bunnyside": "1f407",
    "dromedarycamel": "1f42a",
    "earofmaize": "1f33d",
    "evergreen": "1f332",
    "flatshoe": "1f97f",
    "frenchfries": "1f35f",
    "hampster": "1f439",
    "leaffluttering": "1f343",
    "mooncakes": "1f96e",
    "multiplemusicalnotes": "1f3b6",
    "racecar": "1f3ce",
    "raincloud": "1f327",
    "ringingbell": "1f514",
    "sheep": "1f411",
    "snowcloud": "1f328",
    "speaker3soundwaves": "1f50a",
    "stormcloud": "1f329",
    "studiomic": "1f399",
    "sunraincloud": "1f326",
    "sunrays": "2600",
    "tie": "1f454",
    "toykotower": "1f5fc",
}


@dataclass(frozen=True)
class Drawing:
    label: int
    code: str
    concept: str
    set: str
    icon: str

    @property
    def designer(self) -> str:
        return PACKAGES[self.set][2]


@dataclass(frozen=True)
class Region:
    photograph: str
    part: tuple[int, int, int, int]  # hundredths of width and height


def read_classes() -> dict[str, list[list[tuple[str, str]]]]:
    """Class -> groups of kin concepts -> (code point, name)."""
    classes: dict[str, list[list[tuple[str, str]]]] = {}
    for line in (HERE / "emoji_classes.txt").read_text(encoding="utf8").splitlines():
        if line.startswith("["):
            groups = classes.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            groups.append([tuple(one.split(" ", 1)) for one in line.split(" + ")])
    codes = [code for groups in classes.values() for group in groups for code, _ in group]
    assert len(codes) == len(set(codes)), "a code point stands twice in emoji_classes.txt"
    return classes


def read_dropped() -> set[tuple[str, str]]:
    """Drawings left out after a look at each: (set, code point)."""
    lines = (HERE / "emoji_dropped.txt").read_text(encoding="utf8").splitlines()
    return {
        (name, code)
        for name, *codes in (line.split() for line in lines if line[:1] not in ("", "#"))
        for code in codes
    }


def read_regions() -> list[Region]:
    lines = (HERE / "emoji_backgrounds.tsv").read_text(encoding="utf8").splitlines()
    rows = (line.split("\t") for line in lines if line[:1] not in ("", "#"))
    return [Region(name, tuple(map(int, part.split()))) for name, part in rows]


class Packages:
    """The drawings and photographs, read straight from the packages in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.icons: dict[str, dict] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        for name, (package, version, _) in PACKAGES.items():
            archive = folder / f"{package.strip('@').replace('/', '-')}-{version}.tgz"
            if not archive.exists():
                subprocess.run(["npm", "pack", f"{package}@{version}"], cwd=folder, check=True)
            with tarfile.open(archive) as tar:
                wanted = (
                    m for m in tar if m.isfile() and m.name.endswith((".webp", "icons.json", "chars.json"))
                )
                files = {m.name.removeprefix("package/"): tar.extractfile(m).read() for m in wanted}
            if "icons.json" in files:
                self.icons[name] = json.loads(files["icons.json"])
                self.files[name] = {"chars.json": files["chars.json"]}
            else:
                self.files[name] = files
        if not list(folder.rglob("clickgame.rcc")):
            if not list(folder.glob("gcompris-qt-data_*.deb")):
                subprocess.run(["apt-get", "download", "gcompris-qt-data"], cwd=folder, check=True)
            subprocess.run(
                ["dpkg", "-x", next(folder.glob("gcompris-qt-data_*.deb")), folder / "gcompris"], check=True
            )
        self.archives = next(folder.rglob("clickgame.rcc")).parent

    def find(self, classes: dict[str, list[list[tuple[str, str]]]]) -> list[Drawing]:
        """Every drawing of every concept, in a fixed order."""
        concepts = {
            code: (label, name)
            for label, groups in enumerate(classes.values())
            for group in groups
            for code, name in group
        }
        names = {name: code for code, (_, name) in concepts.items()}
        for code in concepts:
            official = unicodedata.name(chr(int(code, 16)), "").lower()
            names.setdefault(official.replace(" ", "-"), code)
            names.setdefault(re.sub("[^a-z0-9]", "", official), code)
        names |= {name: code for name, code in OLDER.items() if code in concepts}
        dropped, drawings = read_dropped(), []
        for name in PACKAGES:
            if name in self.icons:
                found = dict(json.loads(self.files[name]["chars.json"]))
                for icon in sorted(self.icons[name]["icons"]):
                    if icon in names:
                        found.setdefault(names[icon], icon)
            else:
                found = {
                    code: path
                    for code in concepts
                    for path in (f"assets/{code}.webp", f"assets/{code}-fe0f.webp")
                    if path in self.files[name]
                }
            for code, (label, concept) in concepts.items():
                if code in found and (name, code) not in dropped:
                    drawings.append(Drawing(label, code, concept, name, found[code]))
        return drawings

    @cache  # noqa: B019 (one object, which lives as long as the script)
    def draw(self, drawing: Drawing) -> Image.Image:
        """The drawing at 384 pixels, cut to what is visible, with premultiplied alpha."""
        if drawing.set in self.icons:
            data = self.icons[drawing.set]
            icon = data["icons"].get(drawing.icon) or data["icons"][data["aliases"][drawing.icon]["parent"]]
            left, top = icon.get("left", data.get("left", 0)), icon.get("top", data.get("top", 0))
            width, height = (
                icon.get("width", data.get("width", 16)),
                icon.get("height", data.get("height", 16)),
            )
            spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            svg = f'<svg {spaces} viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
            png = resvg_py.svg_to_bytes(svg_string=svg, width=384, skip_system_fonts=True)
        else:
            png = self.files[drawing.set][drawing.icon]
        picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
        box = picture.getchannel("A").point(lambda a: 255 * (a > 12)).getbbox()
        return picture.crop(box).convert("RGBa")

    @cache  # noqa: B019 (one object, which lives as long as the script)
    def archive(self, name: str) -> dict[str, bytes]:
        return {
            path: content
            for path, content in entries((self.archives / f"{name}.rcc").read_bytes())
            if path.endswith((".webp", "README"))
        }

    @cache  # noqa: B019 (one object, which lives as long as the script)
    def photograph(self, name: str) -> Image.Image:
        files = self.archive(name.split("/")[0])
        return Image.open(io.BytesIO(next(c for p, c in files.items() if p.endswith(name)))).convert("RGB")

    def credit(self, name: str) -> tuple[str, str, str]:
        """Author, licence and source of a photograph, from the README beside it."""
        files = self.archive(name.split("/")[0])
        path = next(p for p in files if p.endswith(name))
        readme = max(
            (p for p in files if p.endswith("README") and path.startswith(p.removesuffix("README"))), key=len
        )
        inside = path.removeprefix(readme.removesuffix("README"))
        for block in re.split(r"\n\s*\n", files[readme].decode().replace("\r", "")):
            if re.search(rf"(^|\s){re.escape(inside)}\s*$", block, re.M):
                author, licence, source = (
                    re.search(rf"^{key}:\s*(.+)$", block, re.M)[1].strip()
                    for key in ("Copyright", "License", "Source")
                )
                if not re.search("public domain|CC0", licence, re.I):
                    raise ValueError(f"{name} is {licence}, neither public domain nor CC0")
                return author, licence, source
        raise ValueError(f"no credit for {name}")


def split_concepts(classes: dict[str, list[list[tuple[str, str]]]], rng: np.random.Generator) -> set[str]:
    """Code points of the test concepts: whole groups of kin, about TEST_SHARE of each class."""
    test: set[str] = set()
    for groups in classes.values():
        total, taken = sum(map(len, groups)), 0
        for k in rng.permutation(len(groups)):
            if taken + len(groups[k]) / 2 <= TEST_SHARE * total:
                test |= {code for code, _ in groups[k]}
                taken += len(groups[k])
    return test


def background(photograph: Image.Image, region: Region, rng: np.random.Generator) -> np.ndarray:
    """A blurred square of the region, (DRAWN, DRAWN, 3) float."""
    width, height = photograph.size
    x0, y0, x1, y1 = (v * side // 100 for v, side in zip(region.part, (width, height) * 2, strict=True))
    side = int(min(x1 - x0, y1 - y0) * rng.uniform(0.6, 1.0))
    x, y = int(rng.integers(x0, x1 - side + 1)), int(rng.integers(y0, y1 - side + 1))
    square = photograph.crop((x, y, x + side, y + side)).resize((DRAWN, DRAWN), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        square = ImageOps.mirror(square)
    square = square.filter(ImageFilter.GaussianBlur(4))
    return np.clip(np.asarray(square, np.float32) * rng.uniform(0.75, 1.2), 0, 255)


def place(drawing: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """The drawing, turned and scaled, anywhere in the frame: (DRAWN, DRAWN, 4) float, premultiplied."""
    turned = drawing.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    turned = turned.crop(turned.getchannel("a").point(lambda a: 255 * (a > 12)).getbbox())
    scale = DRAWN * rng.uniform(0.62, 0.96) / max(turned.size)
    turned = turned.resize(
        tuple(max(1, round(side * scale)) for side in turned.size),
        Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC,
    )
    x, y = (int(rng.integers(0, DRAWN - side + 1)) for side in turned.size)
    front = np.zeros((DRAWN, DRAWN, 4), np.float32)
    front[y : y + turned.height, x : x + turned.width] = np.asarray(turned)
    return front


def compose(front: np.ndarray, behind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image (SIZE, SIZE, 3) and mask (SIZE, SIZE) uint8: composed at DRAWN pixels, then box-filtered."""
    whole = np.concatenate([front[..., :3] + (1 - front[..., 3:] / 255) * behind, front[..., 3:]], -1)
    n = DRAWN // SIZE
    small = np.rint(whole.reshape(SIZE, n, SIZE, n, 4).mean((1, 3))).clip(0, 255).astype(np.uint8)
    return small[..., :3], small[..., 3]


def contrast(front: np.ndarray, behind: np.ndarray) -> float:
    """Mean difference in grey levels between a drawing and what it covers."""
    alpha = front[..., 3:] / 255
    return float(np.abs(front[..., :3] - alpha * behind).sum() / (3 * alpha.sum()))


def pack(picture: np.ndarray) -> bytes:
    """The planes Y, Co, Cg, one above the other, as a grey WebP: its own colours have half the resolution."""
    r, g, b = picture.astype(np.int16).transpose(2, 0, 1)
    planes = [(r + 2 * g + b + 2) // 4, 128 + (r - b) // 2, 128 + (2 * g - r - b) // 4]
    file = io.BytesIO()
    Image.fromarray(np.concatenate(planes).clip(0, 255).astype(np.uint8)).save(
        file, "webp", quality=QUALITY, method=6
    )
    return file.getvalue()


def make(folder: Path, out: Path) -> None:
    classes, packages, rng = read_classes(), Packages(folder), np.random.default_rng(SEED)
    drawings, regions = packages.find(classes), read_regions()
    unseen = split_concepts(classes, rng)
    photographs = sorted({region.photograph for region in regions})
    kept = {photographs[k] for k in rng.permutation(len(photographs))[: round(0.4 * len(photographs))]}
    out.mkdir(parents=True, exist_ok=True)

    for split, count in IMAGES.items():
        usable = [k for k, region in enumerate(regions) if (region.photograph in kept) == (split != "train")]
        order: list[int] = []  # drawings
        for label in range(len(classes)):
            fitting = [
                k
                for k, drawing in enumerate(drawings)
                if drawing.label == label
                and (drawing.code in unseen) == (split == "concepts")
                and (drawing.designer == HELD_OUT) == (split == "designers")
            ]
            rounds = [rng.permutation(fitting) for _ in range(-(-count // len(fitting)))]
            order += [int(k) for k in np.concatenate(rounds)[:count]]
        order = [order[k] for k in rng.permutation(len(order))]
        pictures, masks, backgrounds = [], [], []
        for k in order:
            front = place(packages.draw(drawings[k]), rng)
            for _ in range(TRIES):
                region = int(rng.choice(usable))
                behind = background(packages.photograph(regions[region].photograph), regions[region], rng)
                if contrast(front, behind) >= CONTRAST:
                    break
            picture, mask = compose(front, behind)
            pictures.append(pack(picture))
            masks.append(np.rint(mask / 17).astype(np.uint8))  # sixteen steps
            backgrounds.append(region)
        np.savez_compressed(
            out / f"{split}.npz",
            pictures=np.frombuffer(b"".join(pictures), np.uint8),
            ends=np.cumsum([len(p) for p in pictures], dtype=np.int64),
            masks=np.stack(masks),
            labels=np.array([drawings[k].label for k in order], np.int64),
            drawings=np.array(order, np.int64),
            backgrounds=np.array(backgrounds, np.int64),
        )

    with open(out / "drawings.tsv", "w", encoding="utf8", newline="") as file:
        write = csv.writer(file, delimiter="\t", lineterminator="\n").writerow
        write(["drawing", "class", "concept", "code point", "set", "package", "version", "file"])
        for k, d in enumerate(drawings):
            write(
                [
                    k,
                    list(classes)[d.label],
                    d.concept.replace("-", " "),
                    f"U+{d.code.upper()}",
                    d.set,
                    *PACKAGES[d.set][:2],
                    d.icon,
                ]
            )
    with open(out / "backgrounds.tsv", "w", encoding="utf8", newline="") as file:
        write = csv.writer(file, delimiter="\t", lineterminator="\n").writerow
        write(["background", "splits", "photograph", "part", "author", "licence", "source"])
        for k, region in enumerate(regions):
            splits = "concepts, designers" if region.photograph in kept else "train"
            write(
                [
                    k,
                    splits,
                    region.photograph,
                    " ".join(map(str, region.part)),
                    *packages.credit(region.photograph),
                ]
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "emoji")
    parser.add_argument("--check", action="store_true", help="make it elsewhere and compare with SHA256SUMS")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as elsewhere:
        out = Path(elsewhere) if args.check else args.out
        make(args.folder.resolve(), out)
        expected = dict(line.split()[::-1] for line in (HERE / "SHA256SUMS").read_text().splitlines())
        differ = []
        for file in sorted(out.iterdir()):
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            print(f"{found}  emoji/{file.name}", f"({file.stat().st_size} bytes)")
            if found != expected.get(f"emoji/{file.name}"):
                differ.append(file.name)
    if args.check and differ:
        raise SystemExit(f"differs from data/SHA256SUMS: {', '.join(differ)}")


if __name__ == "__main__":
    main()
