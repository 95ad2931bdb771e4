"""The repository as a whole: what is pinned, shipped, documented, cited, and where its address is set."""

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mixlearn
from tests import tree

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book" / "_tools"))

import address  # noqa: E402
import api  # noqa: E402
import toc  # noqa: E402

if sys.version_info >= (3, 11):
    import tomllib

MEBIBYTE = 2**20


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """Every file that git keeps, or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


# ------------------------------------------------------------------------------------------ versions and pins
def pins() -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in read("requirements.txt").splitlines()]
    parsed = [Requirement(line) for line in lines if line]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in parsed}


def project() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))["project"]


def test_pins_are_exact_and_each_once() -> None:
    lines = [line for line in read("requirements.txt").splitlines() if line and not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==[\w.]+(; .+)?", line), line
    assert len(lines) == len(pins())


def test_environment_yml_reads_the_pins() -> None:
    wanted = yaml.safe_load(read("environment.yml"))["dependencies"][-1]["pip"]
    assert "-r requirements.txt" in wanted and not any("==" in line for line in wanted)


def test_pins_meet_the_lower_bounds() -> None:
    declared = [*project()["dependencies"]]
    for extra in project()["optional-dependencies"].values():
        declared += extra
    for one in map(Requirement, declared):
        name = canonicalize_name(one.name)
        if name == "mixlearn":
            continue
        assert name in pins(), f"{one.name} is declared but not pinned"
        assert one.specifier.contains(pins()[name]), f"{one.name}: {pins()[name]} is outside {one.specifier}"
        assert "==" not in str(one.specifier), f"{one.name}: a reader's install must not be pinned"


def test_the_package_alone_needs_torch_alone() -> None:
    assert [canonicalize_name(Requirement(line).name) for line in project()["dependencies"]] == ["torch"]


def extra(name: str) -> list[Requirement]:
    return [Requirement(line) for line in project()["optional-dependencies"][name]]


def needed_imports(cell: str) -> set[str]:
    """What a cell cannot do without: its imports, save those it tries and can miss."""
    lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in cell.splitlines()]
    tree = ast.parse("\n".join(lines))
    tried = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and any("ImportError" in ast.unparse(h) for h in attempt.handlers)
        for statement in attempt.body
        for node in ast.walk(statement)
    }
    found = {
        name
        for node in ast.walk(tree)
        if node not in tried and isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    return {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {"google", ""}


@pytest.mark.parametrize("path", address.notebooks(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_notebook_imports_comes_with_the_lab_extra(path: Path) -> None:
    """Colab brings torchvision (the extra `vision`), and every kernel IPython; `lab` must bring the rest."""
    brought = {canonicalize_name(one.name) for one in (*extra("lab"), *extra("vision"))}
    brought |= {"torch", "mixlearn", "ipython"}
    owners = importlib.metadata.packages_distributions()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for name in set().union(*map(needed_imports, sources)):
        distributions = {canonicalize_name(owner) for owner in owners.get(name, [name])}
        assert distributions & brought, f"{name} is imported, but `lab` does not bring {distributions}"


def test_the_lab_extra_keeps_the_torch_that_is_there() -> None:
    """Nothing that `lab` brings, at the pinned versions, asks for more than the oldest torch we support."""
    (torch_bound,) = [Requirement(line) for line in project()["dependencies"]]
    oldest = min(str(one.version) for one in torch_bound.specifier)
    waiting, seen = [canonicalize_name(one.name) for one in extra("lab")], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system
            continue
        for one in map(Requirement, requirements):
            if one.marker is not None and not one.marker.evaluate({"extra": ""}):
                continue
            if canonicalize_name(one.name) == "torch":
                assert one.specifier.contains(f"{oldest}.0"), f"{name} asks for torch{one.specifier}"
            else:
                waiting.append(canonicalize_name(one.name))
    assert "torchvision" not in seen and {"lightning", "torchmetrics", "ipython"} <= seen


def test_pre_commit_uses_the_pinned_versions() -> None:
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    for line in (line for hook in hooks for line in hook["additional_dependencies"] if "==" in line):
        name, _, version = line.partition("==")
        assert pins().get(canonicalize_name(name), version) == version, line


def test_one_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == mixlearn.__version__
    newest = re.search(r"^## (\S+), (\S+)", read("CHANGELOG.md"), re.M)
    assert newest and newest.groups() == (mixlearn.__version__, str(citation["date-released"]))


# ------------------------------------------------------------------------------------------ the address
def test_the_address_is_carried_everywhere() -> None:
    url, branch = address.address(), address.branch()
    for name in address.REPEATING:
        assert address.with_address(read(name), url, branch) == read(name), "run make address"


def test_the_address_is_nowhere_else() -> None:
    slug = "/".join(address.address().split("/")[-2:])
    allowed = {ROOT / "_config.yml", *(ROOT / name for name in address.REPEATING), *address.notebooks()}
    allowed |= set(address.hand_ins())
    for path in set(tracked()) - allowed:
        assert slug not in path.read_text(encoding="utf-8", errors="ignore"), path.relative_to(ROOT)
    for path in address.notebooks():
        sources = [
            "".join(cell["source"]) for cell in yaml.safe_load(path.read_text(encoding="utf-8"))["cells"]
        ]
        assert sum(slug in source for source in sources) == 1, "only the set-up cell names the address"


def test_another_address_reaches_every_place(tmp_path: Path) -> None:
    for name in ("_config.yml", *address.REPEATING):
        shutil.copy(ROOT / name, tmp_path)
    notebooks = [*address.notebooks(), *address.hand_ins()]
    for path in notebooks:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    config = tmp_path / "_config.yml"
    old = address.address()
    config.write_text(config.read_text().replace(old, "https://github.com/someone/her-fork"))
    changed = address.carry(tmp_path)
    assert len(changed) == len(address.REPEATING) + len(notebooks)
    for path in changed:
        text = path.read_text(encoding="utf-8")
        assert "someone/her-fork" in text
        assert "/".join(old.split("/")[-2:]) not in text
    assert address.carry(tmp_path) == []


# ------------------------------------------------------------------------------------ bibliography, pages
def page_text() -> str:
    paths = [*(ROOT / "book").glob("*.md"), *address.notebooks()]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_every_reference_is_cited_and_every_citation_is_there() -> None:
    keys = re.findall(r"^@\w+\{([^,\s]+),", read("book/references.bib"), re.M)
    assert len(keys) == len(set(keys))
    groups = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page_text())
    cited = {key.strip() for group in groups for key in group.split(",")}
    assert cited - set(keys) == set(), "cited, not in references.bib"
    assert set(keys) - cited == set(), "in references.bib, not cited"


def test_every_reference_names_author_title_year_and_place() -> None:
    for entry in re.split(r"\n(?=@)", read("book/references.bib").strip()):
        fields = dict(re.findall(r"^\s+(\w+)\s*=\s*\{(.*)\},?$", entry, re.M))
        assert {"author", "title", "year"} <= set(fields), entry[:80]
        assert re.fullmatch(r"(19|20)\d\d", fields["year"])
        place = {"booktitle", "journal", "publisher", "institution", "note"}
        assert place & set(fields), f"{entry[:60]} appeared nowhere"


def test_every_page_is_in_the_book() -> None:
    paths = [*(ROOT / "book").glob("*.md"), *address.notebooks()]
    assert {path.relative_to(ROOT / "book").with_suffix("").as_posix() for path in paths} <= set(toc.pages())


def test_british_spelling() -> None:
    """The words that slip most often, in the book's prose and the readable files."""
    american = re.compile(
        r"\b(colou?r(?<!colour)s?|gray|behavior|center|neighbor\w*|favorite|analyz\w+|optimiz\w+|normaliz\w+"
        r"|regulariz\w+|visualiz\w+|summariz\w+|generaliz\w+|recogniz\w+|labeled|modeling)\b"
    )
    titles = {"regularization", "generalization", "recognition"}
    pages = [f"book/{path.name}" for path in (ROOT / "book").glob("*.md")]
    for name in ("README.md", "CONTRIBUTING.md", *pages):
        prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", read(name), flags=re.S)
        found = [word for word in american.findall(prose) if word.lower() not in titles]
        assert not found, f"{name}: {found}"


# ------------------------------------------------------------------------------------------ public names
ENTRIES = api.entries()


def test_every_public_name_is_on_the_reference_pages_once() -> None:
    wanted = set()
    for name in mixlearn.__all__:
        value = getattr(mixlearn, name)
        parts = api.public(value) if isinstance(value, ModuleType) else None
        wanted |= {name} if parts is None else {f"{name}.{part}" for part in parts}
    assert wanted - set(ENTRIES) == set()
    assert [name for name, count in Counter(ENTRIES).items() if count > 1] == []


def test_reference_pages_are_those_of_the_contents_and_the_index() -> None:
    pages = [f"reference/{name}" for name in api.PAGES]
    assert [name for name in toc.pages() if name.startswith("reference/")] == pages
    for name in pages:
        assert f"({name}.md)" in read("book/api.md") and "@REFERENCE@" in read(f"book/{name}.md")


@pytest.mark.parametrize("page", api.DERIVED)
def test_chapters_use_the_names_that_the_reference_sends_there_for(page: str) -> None:
    text = read(f"book/{page}.ipynb")
    for name in api.DERIVED[page].split():
        assert name in ENTRIES and re.search(rf"\b{name.split('.')[-1]}\b", text), name


def test_deprecated_names_are_listed() -> None:
    """All that were public once, by the snapshot, and are not now."""
    once = json.loads(read("tests/golden/names.json"))
    gone = {name for name in once if name.count(".") == 1 and name[0].islower()} - set(ENTRIES)
    assert {name for name in gone if f"`{name}`" not in read("book/api.md")} == set()
    assert len(gone) > 40


def test_the_reference_lists_all_that_mixes_and_names_its_pages_as_they_are() -> None:
    names = api.MIXING.split()
    mixers = [name for name in ENTRIES if "." not in name and inspect.isfunction(api.value_of(name))]
    assert {n for n in mixers if api.value_of(n).__annotations__["return"] == "Mixed"} <= set(names)
    assert len(names) == len(set(names)) and [api.mixing().count(f"`ml.{n} <") for n in names] == [1] * len(
        names
    )
    for title, page in re.findall(r"\[([^]]+)\]\((reference/\w+\.md)\)", read("book/api.md")):
        assert read(f"book/{page}").startswith(f"# {' '.join(title.split())}\n"), title


def test_the_opening_example_of_plans_prints_what_it_says() -> None:
    result = doctest.testfile(str(ROOT / "book/reference/plans.md"), module_relative=False)
    assert result.failed == 0 and result.attempted > 5


def test_the_examples_of_the_reference_run(monkeypatch: pytest.MonkeyPatch) -> None:
    code, loop = re.findall(r"```python\n(.*?)```", read("book/api.md"), re.S)
    load, seen = mixlearn.data.load, {}

    def few(name: str) -> SimpleNamespace:
        data = load(name)
        return SimpleNamespace(train=data.train.take(range(256)), test=data.test.take(range(64)))

    monkeypatch.setattr(mixlearn.data, "load", few)
    exec(code.replace("epochs=10", "epochs=1").replace("print(", "found = dict("), seen)
    assert set(seen["found"]) == {"accuracy", "nll", "ece", "gap"} and 0 <= seen["found"]["accuracy"] <= 1
    batch = {"images": torch.rand(4, 1, 28, 28), "labels": torch.arange(4), "F": torch.nn.functional}
    exec(loop, seen | batch)


@pytest.mark.parametrize("dotted", ENTRIES)
def test_public_name_is_documented(dotted: str) -> None:
    value = api.value_of(dotted)
    text = api.DATA.get(dotted, inspect.getdoc(value) or "")
    assert len(text.splitlines()[0] if text else "") >= 15, "no one-line purpose"
    callables = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        callables = [
            method
            for name, method in vars(value).items()
            if inspect.isfunction(method) and (not name.startswith("_") or name == "__call__")
        ]
    for function in callables:
        for parameter in inspect.signature(function).parameters.values():
            bare = parameter.annotation is inspect.Parameter.empty
            assert not bare or parameter.name in ("self", "cls"), f"{function.__qualname__}: {parameter.name}"


@pytest.mark.parametrize("dotted", [name for name in ENTRIES if inspect.isfunction(api.value_of(name))])
def test_public_function_says_what_each_argument_is(dotted: str) -> None:
    function = api.value_of(dotted)
    text = inspect.getdoc(function) or ""
    names = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    if len(names) > 1:
        missing = [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]
        assert not missing, f"{dotted} says nothing of {missing}"


# ------------------------------------------------------------------------------------------ what is shipped
def test_the_repository_stays_small() -> None:
    assert sum(path.stat().st_size for path in tracked()) < 60 * MEBIBYTE


def test_licences_are_there() -> None:
    assert read("LICENSE").startswith("MIT License")
    assert "Creative Commons Attribution 4.0 International Public License" in read("LICENSE-TEXT")
    assert "Apache License" in read("book/_assets/mathjax/LICENSE")
    assert "MiniSearch" in read("book/_assets/search/README.md")
    assert "Permission is hereby granted" in read("book/_assets/search/LICENSE")
    assert (ROOT / "data" / "LICENSES.md").exists()


ABSENT = (
    "numpy PIL matplotlib torchvision torchmetrics lightning lightning_fabric pytorch_lightning tqdm typer "
    "ipywidgets anywidget traitlets IPython scipy tensorboard timm kornia pandas yaml requests pycocotools"
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    return target


def run_installed(installed: Path, folder: Path, code: str) -> str:
    """Run code in an empty folder, where `mixlearn` is the installed wheel and the home is empty too."""
    folder.mkdir(exist_ok=True)
    assert not list(folder.iterdir())
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    environment = {**os.environ, "PYTHONPATH": str(installed), **home}
    environment.pop("MIXLEARN_DATA", None)
    check = f"import mixlearn; assert mixlearn.__file__.startswith({str(installed)!r}), mixlearn.__file__\n"
    command = [sys.executable, "-c", code if "find_spec" in code else check + code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_is_small_and_holds_what_it_must(wheel: Path) -> None:
    assert wheel.stat().st_size < 20_000_000
    names = zipfile.ZipFile(wheel).namelist()
    for source in ("data/emoji", "data/photos", "book/results"):
        target = "_results" if source == "book/results" else f"_data/{Path(source).name}"
        for path in (ROOT / source).iterdir():
            if path.suffix != ".py" and not path.name.startswith("."):
                assert f"mixlearn/{target}/{path.name}" in names
    assert "mixlearn/py.typed" in names
    assert "mixlearn/_data/LICENSES.md" in names
    assert not [name for name in names if name.startswith(("tests/", "book/", "data/"))]
    assert sum("licenses/LICENSE" in name for name in names) == 2


def test_importing_the_wheel_needs_torch_alone(installed: Path, tmp_path: Path) -> None:
    code = f"""
import sys

class OnlyTorch:
    banned = set("{ABSENT}".split())
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.banned:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, OnlyTorch())
import warnings
warnings.simplefilter("ignore")
import torch
import mixlearn as ml
assert ml.__file__.startswith({str(installed)!r}), ml.__file__
mixed = ml.mixup(torch.rand(4, 3, 8, 8), torch.arange(4), num_classes=4)
ml.soft_cross_entropy(torch.zeros(4, 4), mixed.targets)
print(mixed.plan.describe(0))
try:
    ml.data.load("emoji")
except ImportError as error:
    print(error)
else:
    raise SystemExit("data came without numpy")
"""
    said = run_installed(installed, tmp_path / "empty", code)
    assert "%" in said.splitlines()[0]
    assert "mixlearn[lab]" in said


def test_wheel_brings_its_data_and_records(installed: Path, tmp_path: Path) -> None:
    code = """
import mixlearn as ml
emoji = ml.data.load("emoji")
print(len(emoji.train), len(emoji.test), len(ml.data.photos().names), len(ml.runs.all()))
"""
    counts = [int(word) for word in run_installed(installed, tmp_path / "empty", code).split()]
    import mixlearn as ml

    emoji = ml.data.load("emoji")
    assert counts == [len(emoji.train), len(emoji.test), len(ml.data.photos().names), len(ml.runs.all())]


def test_importing_is_quick_in_what_it_loads() -> None:
    """Rooms load when first used: `import mixlearn` adds nothing heavy to torch."""
    code = "import torch, sys; had = set(sys.modules); import mixlearn; print(*set(sys.modules) - had)"
    code += "; mixlearn.figures; print('matplotlib' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    added, matplotlib = said.splitlines()
    assert matplotlib == "False", "it waits for the first figure"
    tops = {name.partition(".")[0] for name in added.split()} - sys.stdlib_module_names
    assert tops <= {"mixlearn"}
    late = ("mixlearn.train", "mixlearn.page", "mixlearn.measure", "mixlearn.data")
    assert not [name for name in added.split() if name.startswith(late)]


def test_every_module_can_be_imported() -> None:
    for path in tree.files("mixlearn", "experiments"):
        dotted = tree.dotted(path)
        if not dotted.endswith("__main__"):
            importlib.import_module(dotted)
