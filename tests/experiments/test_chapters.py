"""Every setting of every experiment is that of its record, and no two of one experiment are the same."""

import re
from functools import cache
from typing import Any

import pytest

import mixlearn as ml
from experiments import recipes
from experiments.chapters import EXPERIMENTS
from mixlearn import data as data_room
from tests.prose import BOOK
from tests.sets import Blobs

RELEASED = ("mixskd-fashion-released", "mixskd-emoji-released")  # corrected since, as chapter 6 says


@pytest.fixture(scope="module")
def planned() -> dict[str, dict[str, Any]]:
    """What each setting says of itself, by the names of experiment and record."""
    small = Blobs(12, channels=3, size=32)
    found: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_room, "load", cache(ml.data.load))
        for name, settings in EXPERIMENTS.items():
            given = {"data": small, "images": None} if "cifar" in name else {}
            outcomes = {key: setting(dry=True, **given) for key, setting in settings.items()}
            found[name] = {key: (outcome.settings, outcome.data) for key, outcome in outcomes.items()}
    return found


def test_records_have_the_settings_of_the_code(planned) -> None:
    known = {name: both for settings in planned.values() for name, both in settings.items()}
    records = ml.runs.all()
    assert len(records) >= 169
    for record in records:
        settings, data = known[record.name]
        if "cifar10-" in record.name:  # its images are not shipped; ten classes in place of four
            count = re.search(r"-n(\d+)-", record.name)
            settings, data = settings | {"images": int(count[1]) if count else 2500}, record.data
            settings["parameters"] = record.settings["parameters"]
            assert data["name"] == "cifar10" and len(data["sha256"]) == 64
        if record.name in RELEASED:
            assert settings["mix"] == "MixSKD(critics_learn=False, weights={'critic': 0.5})"
            settings = settings | {"mix": "MixSKD(critics_learn=False)"}
        assert (settings, data) == (record.settings, record.data), record.name


def test_each_setting_is_another_one_under_a_name_of_its_own(planned) -> None:
    counts = {name: len(settings) for name, settings in planned.items()}
    assert counts == {
        "again": 5, "automix": 30, "boxes": 20, "confirmed": 2, "contrast": 32, "curves": 47, "dense": 5,
        "cifar": 12, "divided": 4, "embedded": 4, "few": 12, "judging": 15, "kin": 5,
        "masks": 29, "mixskd": 39, "pilot_cifar": 12, "pilot_masks": 12, "practice": 16, "scenes": 4,
        "sweep": 24, "transfer": 4, "truth": 12, "uneven": 8, "wrong": 16,
    }  # fmt: skip
    names = [name for settings in planned.values() for name in settings]
    assert len(set(names)) == len(names) and not {*names, *EXPERIMENTS} & set(recipes.__all__)
    for name in set(planned) - {"cifar", "pilot_cifar"}:  # on one small set in place of their own
        assert len({str(both) for both in planned[name].values()}) == counts[name], name
    assert " at 0x" not in str(planned), "no setting holds an address in memory"


def test_pages_name_experiments_that_exist() -> None:
    pages = [path.read_text(encoding="utf-8") for path in BOOK.rglob("*") if path.suffix in (".md", ".ipynb")]
    named = {name for page in pages for name in re.findall(r"python -m experiments ([\w-]+)", page)}
    settings = {name for experiment in EXPERIMENTS.values() for name in experiment}
    known = {*EXPERIMENTS, *recipes.__all__, *settings, "train", "runs", "NAME", "RECIPE"}
    assert len(named) >= 5 and named <= known, named - known
