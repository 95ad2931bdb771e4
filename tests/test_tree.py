"""The shape of the code: arrows go one way, functions and lines are short, a method can be lifted out."""

from pathlib import Path

import pytest

from tests import tree

PACKAGE = tree.files("mixlearn")
GRAPH = tree.arrows(PACKAGE)


def test_no_circle_and_no_arrow_upwards() -> None:
    assert tree.cycle(GRAPH) == [] and tree.upward(GRAPH) == []


@pytest.mark.parametrize(
    ("where", "line", "wrong"),
    [
        ("mixlearn/core/plan.py", "from mixlearn.methods.mixup import mixup", "core.plan → mixlearn.methods"),
        ("mixlearn/nets/vit.py", "def f():\n    from mixlearn.train import fit", "nets.vit → mixlearn.train"),
        ("mixlearn/methods/mixup.py", "import mixlearn.data.sets", "methods.mixup → mixlearn.data.sets"),
        ("mixlearn/data/sets.py", "from mixlearn.methods.mixup import mixup", "data.sets → mixlearn.methods"),
        ("mixlearn/measure/attacks.py", "import mixlearn", "measure.attacks → mixlearn"),
    ],
)
def test_an_arrow_upwards_is_found(tmp_path: Path, where: str, line: str, wrong: str) -> None:
    """Each of these lines added to the package as it is."""
    graph = changed(tmp_path, where, line)
    assert any(wrong in arrow for arrow in tree.upward(graph)), tree.upward(graph)


def test_a_circle_is_found(tmp_path: Path) -> None:
    graph = changed(tmp_path, "mixlearn/core/checks.py", "from mixlearn.core.plan import MixPlan")
    assert {"mixlearn.core.checks", "mixlearn.core.plan"} <= set(tree.cycle(graph))


def changed(folder: Path, where: str, line: str) -> dict[str, set[str]]:
    """The graph of a copy of the package in which one file has one more line."""
    for path in PACKAGE:
        copy = folder / path.relative_to(tree.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    target = folder / where
    target.write_text(f"{target.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    return tree.arrows(sorted(folder.rglob("*.py")), folder)


@pytest.mark.parametrize("part", ["mixlearn/course", "experiments"])
def test_parts_stay_within_their_lines(part: str) -> None:
    assert tree.counts()[part] <= tree.BOUNDS[part]


@pytest.mark.parametrize("room", ["core", "nets", "methods", "course"])
def test_mixing_needs_torch_alone(room: str) -> None:
    for path in tree.files(f"mixlearn/{room}"):
        assert tree.outside(path) - {"mixlearn", "torch"} == set(), path


def test_the_package_imports_nothing_of_the_repository_around_it() -> None:
    around = {"experiments", "tests", "benchmarks", "data", "book"}
    assert not [path for path in PACKAGE if tree.outside(path) & around]


def test_a_batch_passes_through_few_files() -> None:
    """From the loader to the loss and the optimiser's step: every file of the package that `fit` enters."""
    assert len(tree.entered()) <= 14, sorted(tree.entered())
