"""Downloads go on where they stopped, and only whole files are used. The host is a server of this test."""

from pathlib import Path

import pytest
from torchvision.datasets import FashionMNIST

import mixlearn as ml
from mixlearn.data import fashion as data_fashion
from mixlearn.data.files import DamagedFile, fetch
from tests.data.host import DATA, Host, md5
from tests.refused import refused

CONTENT = bytes(range(256)) * 40


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
    (tmp_path / "f").rename(tmp_path / "f.part")  # all of it had come
    assert fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT)).read_bytes() == CONTENT


def test_another_file_of_that_name_is_refused_and_removed(host: Host, tmp_path: Path) -> None:
    host.files["/f"] = CONTENT[::-1]
    with pytest.raises(DamagedFile, match=rf"f.part is damaged.*md5 is .*expected {md5(CONTENT)}.*removed"):
        fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_said_so(host: Host, tmp_path: Path) -> None:
    refused(lambda: fetch(f"{host.url}/f", tmp_path / "f", md5(CONTENT)), "404", ConnectionError)
    assert len(host.asked) == 1  # asking again would not help


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host) -> Path:
    """As after an installation without the checkout, with a host of this test as the only mirror."""
    monkeypatch.setattr(data_fashion, "shipped_folders", lambda: [tmp_path / "nothing"])
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"{host.url}/"])
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_fashion_mnist_is_downloaded_and_checked_by_the_same_sums(alone: Path, host: Host) -> None:
    checkout = DATA / "fashion"
    host.files = {f"/{name}": (checkout / name).read_bytes() for name in data_fashion.SHA256}
    data = ml.data.load("fashion")
    assert (len(data.train), len(data.test)) == (60000, 10000)
    assert data.sha256 == ml.data.load("fashion", root=checkout).sha256
    asked = len(host.asked)
    ml.data.load("fashion")
    assert len(host.asked) == asked
    file = alone / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    refused(lambda: ml.data.load("fashion"), "t10k-labels-idx1-ubyte.gz is damaged", DamagedFile)


def test_fashion_mnist_that_cannot_be_downloaded_leaves_instructions(alone: Path, host: Host) -> None:
    with pytest.raises(ConnectionError, match=rf"Put train-images.*into {alone}/FashionMNIST/raw.*root="):
        ml.data.load("fashion")
