"""Makes the book's own fonts, book/_assets/fonts, from npm packages.

    python book/_tools/fonts.py FOLDER          # FOLDER holds, or will hold, the packages
    python book/_tools/fonts.py FOLDER --check  # make them again, compare with SHA256SUMS

Needs fonttools 4.68.0 and brotli 1.2.1; the same versions give the same bytes. What is
missing in FOLDER is fetched by `npm pack NAME@VERSION`.

Each family is one variable font for the weights 400 to 700, upright and italic, cut down
to the characters of BLOCKS. Characters that it lacks come from DejaVu, so that no
character of a page depends on the fonts of a machine. Adobe reserves the name "Source"
for unchanged fonts: the families are called Mixlearn Text and Mixlearn Code.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

HERE = Path(__file__).parents[1] / "_assets" / "fonts"
SANS, CODE, DEJAVU = (
    "source-sans@3.52.0",
    "source-code-pro@2.42.0",
    "dejavu-fonts-ttf@2.37.3",
)
FACES = {  # file: package, file in it, family, style
    "text": (SANS, "VF/SourceSans3VF-Upright.ttf", "Mixlearn Text", "normal"),
    "text-italic": (
        SANS,
        "VF/SourceSans3VF-Italic.ttf",
        "Mixlearn Text",
        "italic",
    ),
    "code": (CODE, "VF/SourceCodeVF-Upright.ttf", "Mixlearn Code", "normal"),
    "code-italic": (
        CODE,
        "VF/SourceCodeVF-Italic.ttf",
        "Mixlearn Code",
        "italic",
    ),
}
SYMBOLS = {  # file: file in DejaVu's package, the family whose gaps it fills
    "text-symbols": ("ttf/DejaVuSans.ttf", "Mixlearn Text"),
    "code-symbols": ("ttf/DejaVuSansMono.ttf", "Mixlearn Code"),
}
LICENSES = {
    "LICENSE-Source-Sans.md": (SANS, "LICENSE.md"),
    "LICENSE-Source-Code.md": (CODE, "LICENSE.md"),
    "LICENSE-DejaVu.txt": (DEJAVU, "LICENSE"),
}
BLOCKS = (
    (0x0020, 0x007E),  # Latin, with the accents of Europe's languages
    (0x00A0, 0x017F),
    (0x0218, 0x021B),
    (0x02C6, 0x02DD),
    (0x0300, 0x0338),  # combining marks
    (0x0391, 0x03D6),  # Greek
    (0x1D2C, 0x1D6A),  # raised and lowered letters
    (0x1E00, 0x1EFF),
    (0x2010, 0x205F),  # punctuation
    (0x2070, 0x209F),  # raised and lowered digits
    (0x20AC, 0x20AC),
    (0x2100, 0x2189),  # letter-like signs, fractions
    (0x2190, 0x21FF),  # arrows
    (0x2200, 0x22FF),  # mathematics
    (0x2300, 0x2328),
    (0x2500, 0x25FF),  # boxes and bars, as progress bars and tables draw them
    (0x2605, 0x2606),
    (0x2713, 0x2718),
    (0x27E6, 0x27EB),
    (0x2A00, 0x2A3F),
    (0x2C7C, 0x2C7C),  # lowered j
)
WANTED = {code for first, last in BLOCKS for code in range(first, last + 1)}


def fetched(package: str, folder: Path) -> Path:
    """The folder of an npm package, fetched and unpacked if it is not there."""
    place = folder / package
    if not place.exists():
        done = subprocess.run(
            ["npm", "pack", "--silent", package],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        with tarfile.open(folder / done.stdout.split()[-1]) as archive:
            archive.extractall(place, filter="data")
    return place / "package"


def cut(path: Path, codes: set[int], family: str, style: str) -> TTFont:
    """A font with these characters alone, under the family's name."""
    font = TTFont(path, recalcTimestamp=False)
    options = Options(
        notdef_outline=True, drop_tables=[*Options().drop_tables, "STAT"]
    )
    options.name_IDs = [0, 1, 2, 3, 4, 6, 13, 14]
    cutter = Subsetter(options)
    cutter.populate(unicodes=codes)
    cutter.subset(font)
    if "fvar" in font:
        font = instantiateVariableFont(font, {"wght": (400, 700)})
    plain = family.replace(" ", "") + ("-Italic" if style == "italic" else "")
    for name, text in {
        1: family,
        2: style,
        3: plain,
        4: plain,
        6: plain,
    }.items():
        font["name"].setName(text, name, 3, 1, 0x409)
    font.flavor = "woff2"
    return font


def rule(
    name: str, family: str, style: str, weight: str, codes: set[int] | None
) -> str:
    """The @font-face rule of a file; `codes` are the characters it is asked for."""
    only = f"unicode-range: {ranges(codes)}; " if codes else ""
    return (
        f'@font-face {{ font-family: "{family}"; font-style: {style}; font-weight: {weight}; '
        f'font-display: swap; {only}src: url("{name}.woff2") format("woff2"); }}\n'
    )


def ranges(codes: set[int]) -> str:
    """Characters as CSS writes them: `U+2208, U+2211-2213`."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return ", ".join(
        f"U+{a:X}" if a == b else f"U+{a:X}-{b:X}" for a, b in runs
    )


def make(folder: Path, target: Path) -> None:
    """Write the fonts, the style sheet that names them, licences and checksums."""
    css, held = "/* Made by book/_tools/fonts.py. */\n", dict[str, set[int]]()
    for name, (package, inside, family, style) in FACES.items():
        font = cut(fetched(package, folder) / inside, WANTED, family, style)
        codes = set(font.getBestCmap())
        held[family] = held.get(family, codes) & codes
        font.save(target / f"{name}.woff2")
        css += rule(name, family, style, "400 700", None)
    for name, (inside, family) in SYMBOLS.items():
        own, path = f"{family} Symbols", fetched(DEJAVU, folder) / inside
        font = cut(path, WANTED - held[family], own, "normal")
        font.save(target / f"{name}.woff2")
        css += rule(name, own, "normal", "400 700", set(font.getBestCmap()))
    (target / "fonts.css").write_text(css, encoding="utf-8")
    for name, (package, inside) in LICENSES.items():
        text = (fetched(package, folder) / inside).read_text(encoding="utf-8")
        lines = (line.rstrip() for line in text.strip().splitlines())
        (target / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (target / "SHA256SUMS").write_text(sums(target), encoding="utf-8")


def sums(folder: Path) -> str:
    """What `sha256sum *` says of the files that `make` writes."""
    files: list[Any] = sorted(
        p for p in folder.glob("*") if p.suffix in (".woff2", ".css")
    )
    files += sorted(folder.glob("LICENSE-*"))
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in files
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the book's own fonts.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.check:
        make(given.folder, HERE)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        make(given.folder, Path(temporary))
        same = sums(Path(temporary)) == (HERE / "SHA256SUMS").read_text(
            encoding="utf-8"
        )
    print("the same bytes" if same else "other bytes than in SHA256SUMS")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
