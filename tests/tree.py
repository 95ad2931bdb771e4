"""The shape of the code, in numbers: lines, arrows between files, how much a method needs.

`python -m tests.tree` prints them; `test_tree.py` holds them to their bounds.
"""

import ast
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
RANK = {"core": 0, "nets": 1, "methods": 2, "data": 2, "measure": 3, "train": 4, "page": 5, "course": 6}
LEAST = {"data": {"core", "data"}, "course": {"course"}}  # apart from others of their rank, or below
CODE = ("mixlearn", "experiments", "tests", "benchmarks", "examples", "book/_tools", "book/_ext")
BOUNDS = {"mixlearn": 12_000, "core + nets + methods + train": 7_000, "mixlearn/course": 1_500}
BOUNDS |= {"experiments": 4_000, "tests": 15_000}


def files(*folders: str) -> list[Path]:
    """All Python files below some folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def lines(paths: Iterable[Path]) -> int:
    """How many lines files have together."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def dotted(path: Path, root: Path = ROOT) -> str:
    """The module's name, of a package without `__init__`."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def arrows(paths: Iterable[Path], root: Path = ROOT) -> dict[str, set[str]]:
    """For each module the modules among `paths` that it imports, anywhere in it."""
    known = {dotted(path, root): path for path in paths}
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        asked: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                asked |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                asked |= {one for one in inner if one in known}
                if not inner <= set(known):
                    asked.add(node.module)
        found[name] = (asked & set(known)) - {name}
    return found


def outside(path: Path) -> set[str]:
    """What a file imports from outside the standard library: the first words of the modules' names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports; none if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Arrows from a package to one that stands above it, or beside it."""
    wrong = []
    for name, targets in graph.items():
        here = name.split(".")[1] if "." in name else ""
        if here not in RANK:
            continue
        for target in targets:
            there = target.split(".")[1] if "." in target else "mixlearn"
            allowed = LEAST.get(here, {room for room in RANK if RANK[room] < RANK[here]} | {here})
            if here == "methods":
                allowed = {"core", "nets", "methods"}
            if there not in allowed:
                wrong.append(f"{name} → {target}")
    return sorted(wrong)


def needs(graph: dict[str, set[str]], name: str) -> set[str]:
    """All modules that must be copied to use one elsewhere, itself included."""
    found, waiting = set(), [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += graph[one]
    return found


def entered() -> set[str]:
    """The files of the package that a short `fit` with CutMix enters."""
    import torch

    import mixlearn as ml

    data = torch.utils.data.TensorDataset(torch.rand(8, 3, 8, 8), torch.arange(8) % 4)
    net, learner = ml.nets.resnet(8, 4, width=4), ml.learners.Mixing(ml.cutmix, num_classes=4)
    found: set[str] = set()

    def see(frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("mixlearn") and frame.f_code.co_name != "<module>":
            found.add(name)

    fit = ml.fit
    for watch in (None, see):  # what is imported on the first call is no part of a batch's way
        sys.setprofile(watch)
        try:
            fit(net, data, learner, epochs=1, batch_size=4, progress=False)
        finally:
            sys.setprofile(None)
    return found


def long_bodies(paths: Iterable[Path], most: int = 50) -> list[str]:
    """Functions whose bodies, without docstring, have more than `most` lines."""
    found = []
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                count = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                if count > most:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {count} lines")
    return found


def wide_lines(paths: Iterable[Path], most: int = 110) -> list[str]:
    """Lines of more than `most` characters."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > most
    ]


def counts() -> dict[str, int]:
    """The lines that have a bound."""
    path = [files(f"mixlearn/{room}") for room in ("core", "nets", "methods", "train")]
    return {
        "mixlearn": lines(files("mixlearn")),
        "core + nets + methods + train": sum(map(lines, path)),
        "mixlearn/course": lines(files("mixlearn/course")),
        "experiments": lines(files("experiments")),
        "tests": lines(files("tests")),
    }


def kinds(paths: Iterable[Path]) -> dict[str, int]:
    """Lines of docstrings, of comments, blank lines and the rest."""
    found = dict.fromkeys(("docstrings", "comments", "blank", "code"), 0)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        taken: set[int] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                first = node.body[0]
                taken |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
        found["docstrings"] += len(taken)
        for number, line in enumerate(text.splitlines(), 1):
            if number not in taken:
                bare = line.strip()
                found["blank" if not bare else "comments" if bare.startswith("#") else "code"] += 1
    return found


def main() -> None:
    for name, count in counts().items():
        print(f"{name:32}{count:7,} lines of {BOUNDS[name]:,}")
    for room in (*RANK, ""):
        paths = files(f"mixlearn/{room}") if room else sorted((ROOT / "mixlearn").glob("*.py"))
        parts = ", ".join(f"{kind} {count:,}" for kind, count in kinds(paths).items())
        print(f"  {room or 'mixlearn/*.py':12}{lines(paths):7,} in {len(paths):3} files: {parts}")
    script = files("mixlearn", "experiments")
    graph = arrows(files("mixlearn"))
    print(f"longest file: {max((lines([path]), dotted(path)) for path in script)}")
    print(f"bodies of more than 50 lines: {len(long_bodies(script))}")
    web = sorted((ROOT / "mixlearn/page/assets").glob("*.js"))
    wide = f"Python {len(wide_lines(files(*CODE)))}, JavaScript {len(wide_lines(web))}"
    print(f"lines of more than 110 characters: {wide}")
    for name in ("cutmix", "automix", "mixskd", "patchmix"):
        found = needs(graph, f"mixlearn.methods.{name}")
        print(f"to lift out {name}: {len(found)} modules")
    print(f"files that a batch passes through in fit: {len(entered())}")
    print(f"a circle of imports: {cycle(graph) or 'none'}; arrows upwards: {upward(graph) or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
