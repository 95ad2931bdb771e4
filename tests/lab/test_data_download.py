"""Downloads go on where they stopped, and only whole files are used. The host is a server of this test."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

import mixlearn as ml
from mixlearn.lab import data_fashion
from mixlearn.lab.data_files import DamagedFile, fetch, unpack


@dataclass
class Host:
    """What a server hands out, how much of it before it breaks off, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def host() -> Iterator[Host]:
    state = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = int(wanted.split("=")[1].split("-")[0]) if wanted and state.ranges else 0
            if start >= len(content):
                self.send_error(416)
                return
            rest = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: state.breaks_after.pop(0)] if state.breaks_after else rest)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


CONTENT = bytes(range(256)) * 40


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_a_file_is_fetched_once(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT
    for _ in range(2):
        assert fetch(f"{host.url}/f", tmp_path / "new" / "f", md5(CONTENT)).read_bytes() == CONTENT
    assert host.asked == [("/f", None)]
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["f"]


def test_a_broken_download_goes_on_where_it_stopped(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT
    host.breaks_after = [3000, 2000]
    assert fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT)).read_bytes() == CONTENT
    assert [wanted for _, wanted in host.asked] == [None, "bytes=3000-", "bytes=5000-"]


def test_a_host_without_ranges_starts_anew(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT
    host.breaks_after, host.ranges = [3000], False
    assert fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT)).read_bytes() == CONTENT


def test_a_later_call_goes_on_too(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT
    host.breaks_after = [100, 100]
    with pytest.raises(
        ConnectionError, match=r"f could not be fetched.*after 100 of.*Call again.*mirror=.*by hand"
    ):
        fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT), attempts=2)
    assert (tmp_path / "f.part").stat().st_size == 200
    assert not (tmp_path / "f").exists()
    fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT))
    assert host.asked[-1] == ("/f", "bytes=200-")


def test_a_part_that_is_already_whole_is_used(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT
    (tmp_path / "f.part").write_bytes(CONTENT)
    assert fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT)).read_bytes() == CONTENT


def test_another_file_of_that_name_is_refused_and_removed(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT[::-1]
    with pytest.raises(DamagedFile, match=rf"f.part is damaged.*md5 is .*expected {md5(CONTENT)}.*removed"):
        fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_said_so(host: Host, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="404"):
        fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT))
    assert len(host.asked) == 1  # asking again would not help


def batch(count: int, seed: int, key: str, classes: int) -> bytes:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    return pickle.dumps({"data": pixels, key: [k % classes for k in range(count)]})


@dataclass
class Archive:
    """A small archive in the format of CIFAR."""

    name: str
    kind: type
    packed: bytes
    files: dict[str, bytes]


@pytest.fixture(params=["cifar10", "cifar100"])
def archive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Archive:
    name = request.param
    if name == "cifar10":
        kind, key, count = CIFAR10, "labels", 10
        files = {f"data_batch_{k}": batch(20, k, key, count) for k in range(1, 6)}
        files |= {"test_batch": batch(10, 9, key, count)}
        files |= {"batches.meta": pickle.dumps({"label_names": [f"class {k}" for k in range(count)]})}
    else:
        kind, key, count = CIFAR100, "fine_labels", 100
        files = {"train": batch(200, 0, key, count), "test": batch(100, 9, key, count)}
        files |= {"meta": pickle.dumps({"fine_label_names": [f"class {k}" for k in range(count)]})}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{kind.base_folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for lists in ("train_list", "test_list"):
        monkeypatch.setattr(kind, lists, [[file, md5(files[file])] for file, _ in getattr(kind, lists)])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(files[kind.meta["filename"]])})
    monkeypatch.setattr(kind, "tgz_md5", md5(buffer.getvalue()))
    return Archive(name, kind, buffer.getvalue(), files)


def test_cifar_is_fetched_from_a_mirror_and_read(archive: Archive, host: Host, tmp_path: Path) -> None:
    host.files[f"/sets/{archive.kind.filename}"] = archive.packed
    host.breaks_after = [1000]
    data = ml.data.load(archive.name, root=tmp_path, mirror=f"{host.url}/sets/")
    classes = 10 if archive.name == "cifar10" else 100
    assert len(data.classes) == classes and data.classes[3] == "class 3"
    first = pickle.loads(next(iter(archive.files.values())))
    assert torch.equal(data.train.images[0], torch.from_numpy(first["data"][0]).view(3, 32, 32))
    assert len(data.train) == (100 if classes == 10 else 200)
    assert data.train.labels[:20].tolist() == [k % classes for k in range(20)]
    again = ml.data.load(archive.name, root=tmp_path, download=False)
    assert again.sha256 == data.sha256
    assert len(host.asked) == 2


def test_an_archive_put_there_by_hand_is_used(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / archive.kind.filename).write_bytes(archive.packed)
    assert len(ml.data.load(archive.name, root=tmp_path, download=False).test) > 0


def test_a_partial_archive_is_refused_by_name(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / archive.kind.filename).write_bytes(archive.packed[:-100])
    match = rf"{archive.kind.filename} is damaged.*{len(archive.packed) - 100} bytes.*{archive.kind.tgz_md5}"
    with pytest.raises(DamagedFile, match=match):
        ml.data.load(archive.name, root=tmp_path)


def test_a_damaged_batch_is_refused_by_name(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / archive.kind.filename).write_bytes(archive.packed)
    ml.data.load(archive.name, root=tmp_path)
    file = tmp_path / archive.kind.base_folder / archive.kind.test_list[0][0]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFile, match=f"{file.name} is damaged"):
        ml.data.load(archive.name, root=tmp_path)


def test_without_download_the_reader_is_told_what_to_get(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"Get {archive.kind.filename} \(md5 .*put it into {tmp_path}"
    ):
        ml.data.load(archive.name, root=tmp_path, download=False)


def test_a_mirror_that_fails_leaves_instructions(archive: Archive, host: Host, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=f"{archive.kind.filename} could not be fetched.*by hand"):
        ml.data.load(archive.name, root=tmp_path, mirror=host.url)


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo("../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    (tmp_path / "inner").mkdir()
    with pytest.raises((tarfile.TarError, DamagedFile)):
        unpack(tmp_path / "evil.tar", tmp_path / "inner")
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host) -> Path:
    """As after an installation without the checkout, with a host of this test as the only mirror."""
    monkeypatch.setattr(data_fashion, "shipped_folders", lambda: [tmp_path / "nothing"])
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"{host.url}/"])
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fashion_mnist_is_downloaded_and_checked_by_the_same_sums(alone: Path, host: Host) -> None:
    checkout = Path(__file__).parents[2] / "data" / "fashion"
    host.files = {f"/{name}": (checkout / name).read_bytes() for name in data_fashion.SHA256}
    data = ml.data.load("fashion")
    assert (len(data.train), len(data.test)) == (60000, 10000)
    assert data.sha256 == ml.data.load("fashion", root=checkout).sha256
    asked = len(host.asked)
    ml.data.load("fashion")
    assert len(host.asked) == asked
    file = alone / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DamagedFile, match="t10k-labels-idx1-ubyte.gz is damaged"):
        ml.data.load("fashion")


def test_fashion_mnist_that_cannot_be_downloaded_leaves_instructions(alone: Path, host: Host) -> None:
    with pytest.raises(ConnectionError, match=rf"Put train-images.*into {alone}/FashionMNIST/raw.*root="):
        ml.data.load("fashion")
