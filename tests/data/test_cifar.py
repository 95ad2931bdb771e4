"""CIFAR from a mirror or put there by hand, read from small archives in its format."""

import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

import mixlearn as ml
from mixlearn.data.files import DamagedFile
from tests.data.host import Host, md5
from tests.refused import refused


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
    return packed(request.param, monkeypatch)


def packed(name: str, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive, whose sums torchvision then expects."""
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
    assert data.source == f"the archive {archive.kind.filename}" and data.source in repr(data)
    again = ml.data.load(archive.name, root=tmp_path, download=False)
    assert again.sha256 == data.sha256
    assert len(host.asked) == 2


def test_a_partial_archive_is_refused_by_name(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / archive.kind.filename).write_bytes(archive.packed[:-100])
    match = rf"{archive.kind.filename} is damaged.*{len(archive.packed) - 100} bytes.*{archive.kind.tgz_md5}"
    refused(lambda: ml.data.load(archive.name, root=tmp_path), match, DamagedFile)


def test_a_damaged_batch_is_refused_by_name(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / archive.kind.filename).write_bytes(archive.packed)
    ml.data.load(archive.name, root=tmp_path)
    file = tmp_path / archive.kind.base_folder / archive.kind.test_list[0][0]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    refused(lambda: ml.data.load(archive.name, root=tmp_path), f"{file.name} is damaged", DamagedFile)


def test_without_download_the_reader_is_told_what_to_get(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"Get {archive.kind.filename} \(md5 .*put it into {tmp_path}"
    ):
        ml.data.load(archive.name, root=tmp_path, download=False)


def test_a_mirror_that_fails_leaves_instructions(archive: Archive, host: Host, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=f"{archive.kind.filename} could not be fetched.*by hand"):
        ml.data.load(archive.name, root=tmp_path, mirror=host.url)
