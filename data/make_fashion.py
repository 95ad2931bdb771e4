"""Make data/fashion: the four original files of Fashion-MNIST, from Debian's package of them.

    python data/make_fashion.py FOLDER        # FOLDER holds, or will hold, the package

What is missing in FOLDER is fetched by `apt-get download dataset-fashion-mnist`
(0.0~git20200523.55506a9-1) and unpacked by `dpkg -x`. Debian took name and time out of the heads of the gzip
files; put back, they are the published files again, byte for byte: their md5 are those of the authors'
page and of torchvision.
"""

import argparse
import hashlib
import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
FILES = {  # name: time in its head, md5 published
    "train-images-idx3-ubyte.gz": (1504176606, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte.gz": (1504176606, "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte.gz": (1504176627, "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte.gz": (1504176627, "bb300cfdad3c16e7a12a480ee83cd310"),
}


def restored(packed: bytes, name: str, time: int) -> bytes:
    """A gzip file with its name and time in its head again."""
    if packed[:4] != b"\x1f\x8b\x08\x00":
        raise ValueError(f"{name}: expected a gzip file with an empty head, got {packed[:4].hex()}")
    return b"\x1f\x8b\x08\x08" + struct.pack("<I", time) + b"\x00\x03" + name.encode() + b"\x00" + packed[10:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "fashion")
    args = parser.parse_args()
    if not list(args.folder.rglob("t10k-labels-idx1-ubyte.gz")):
        if not list(args.folder.glob("dataset-fashion-mnist_*.deb")):
            subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=args.folder, check=True)
        package = next(args.folder.glob("dataset-fashion-mnist_*.deb"))
        subprocess.run(["dpkg", "-x", package, args.folder / "fashion-mnist"], check=True)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, (time, md5) in FILES.items():
        content = restored(next(args.folder.rglob(name)).read_bytes(), name.removesuffix(".gz"), time)
        found = hashlib.md5(content).hexdigest()
        if found != md5:
            raise SystemExit(f"{name}: md5 {found}, expected {md5}")
        (args.out / name).write_bytes(content)


if __name__ == "__main__":
    main()
