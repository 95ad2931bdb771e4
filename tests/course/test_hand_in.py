"""The notebooks to hand in: made from the one source, executed empty and filled in, graded."""

import inspect
import json
import re
import sys
import textwrap
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from mixlearn import course
from mixlearn.course.grade import grade

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "book" / "_tools"))

import hand_in  # noqa: E402

CHAPTERS = {path.stem: json.loads(text)["cells"] for path, text in hand_in.made().items()}
STUB = re.compile(r"^def (\w+)\(.*raise NotImplementedError", re.S)
VARIETY = {"Predict"}, {"Debug", "Repair"}, {"Explore"}, {"Read", "Design"}


def sources(cells):
    return ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]


def reference(name):
    """The solution's source, without its decorator."""
    lines = textwrap.dedent(inspect.getsource(course.exercise(name).solution)).splitlines()
    return "\n".join(lines[next(k for k, one in enumerate(lines) if one.startswith("def ")) :])


def filled(cells):
    """The notebook as a student would hand it in who solved everything."""
    found = []
    for one in cells:
        text = "".join(one["source"])
        stub = STUB.match(text) if one["cell_type"] == "code" else None
        text = reference(stub[1]) if stub else text.replace('"""\n"""', '"""My answer."""')
        found.append({**one, "source": text})
    return found


def executed(cells, folder, monkeypatch):
    """The sheet that is handed in as a file, after all cells have run in order."""
    monkeypatch.chdir(folder)
    space = {"__name__": "__main__"}
    for text in sources(cells):
        exec(TransformerManager().transform_cell(text), space)
    (path,) = folder.glob("chapter-*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_they_are_what_the_tool_makes():
    for path, text in hand_in.made().items():
        assert path.read_text(encoding="utf-8") == text, "run python book/_tools/hand_in.py"
    assert len(CHAPTERS) == 9


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_six_exercises_of_every_kind_and_level(chapter):
    text = "\n".join("".join(one["source"]) for one in CHAPTERS[chapter])
    kinds = re.findall(r"^\*(\w+); from ", text, re.M) + re.findall(r"^### (Repair|Write) `", text, re.M)
    assert len(kinds) >= 6 and all(set(kinds) & one for one in VARIETY), kinds
    levels = [part.count("\n### ") for part in text.split("## Level ")[1:]]
    assert len(levels) == 3 and all(levels)
    names = set(re.findall(r'sheet\.(?:check|answer)\(\s*"([\w-]+)"', text))
    assert len(names) == len(kinds)
    solutions = (ROOT / f"book/solutions/{chapter}.ipynb").read_text(encoding="utf-8")
    assert all(f"{{solution}} {one}\\n" in solutions for one in names if one.startswith("ex-"))


def test_every_exercise_is_in_one_notebook_and_the_lab_repairs_real_bugs():
    text = "\n".join("\n".join(sources(cells)) for cells in CHAPTERS.values())
    for name in course.exercises():
        assert text.count(f"\ndef {name}(") + text.startswith(f"def {name}(") == 1, name
    assert {"cutmix", "sample_box"} <= {one for one in course.exercises() if course.exercise(one).repair}


@pytest.mark.parametrize("name", [one for one in course.exercises() if course.exercise(one).repair])
def test_what_is_to_be_repaired_runs_and_is_wrong(name):
    stub, space = course.exercise(name).repair, {}
    exec(hand_in.IMPORTS, space)
    exec("\n".join(reference(one) for one in ("distillation",)), space)
    exec("\n".join(line for line in stub.splitlines() if "raise NotImpl" not in line), space)
    found = course.check(name, space[name])
    assert not found.passed and found.mistake not in ("raises", "not-written", "wrong-parameters"), found


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_an_empty_notebook_says_not_yet_written(chapter, tmp_path, monkeypatch, capsys):
    sheet = executed(CHAPTERS[chapter], tmp_path, monkeypatch)
    assert sheet["points"] == 0 and not any(sheet["answers"].values())
    assert {one["mistake"] for one in sheet["exercises"].values()} <= {"not-written"}
    assert capsys.readouterr().out.count("not yet written") == len(sheet["answers"]) > 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_notebook_with_solutions_earns_all_points(chapter, tmp_path, monkeypatch):
    sheet = executed(filled(CHAPTERS[chapter]), tmp_path, monkeypatch)
    tasks = [course.exercise(name) for name in course.exercises()]
    own = {one.name: one.points for one in tasks if one.chapter == int(chapter[:2])}
    assert {name: one["points"] for name, one in sheet["exercises"].items()} == own
    assert sheet["points"] == sheet["of"] == sum(own.values()) and all(sheet["answers"].values())


def test_the_grader_reads_them_and_trusts_no_sheet(tmp_path):
    folder = tmp_path / "hand"
    folder.mkdir()
    for name, cells in (("empty", CHAPTERS["03_cutmix"]), ("full", filled(CHAPTERS["03_cutmix"]))):
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    empty, full = grade(folder, tmp_path / "grades", seed=3, jobs=1)
    assert {one.mistake for one in empty.verdicts.values()} == {"not-written"}
    assert len(full.verdicts) == 4 and all(one.passed for one in full.verdicts.values()), full


def test_a_sheet_replaces_a_sheet_and_nothing_else(tmp_path):
    sheet, path = course.Sheet("Ada"), tmp_path / "sheet.json"
    sheet.check("mixup", lambda images, targets, lam, partner: None)
    sheet.save(path)
    sheet.check("mixup", course.exercise("mixup").solution)
    sheet.save(path)
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["student"], kept["points"], kept["of"]) == ("Ada", 2, 2) and kept["mixlearn"]
    path.write_text("my essay", encoding="utf-8")
    with pytest.raises(FileExistsError, match="choose another name"):
        sheet.save(path)
    assert path.read_text(encoding="utf-8") == "my essay"
