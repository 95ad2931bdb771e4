"""The teachers' guide: its links, names and hours; the tests for otter-grader; the figures for slides."""

import doctest
import json
import math
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mixlearn import course
from mixlearn.course.exercise import explained

BOOK = Path(__file__).resolve().parents[2] / "book"
TOOLS = BOOK / "_tools"
sys.path.append(str(TOOLS))

import slides  # noqa: E402

GUIDE = (BOOK / "teachers.md").read_text(encoding="utf-8")
MINUTES = {1: 10, 2: 30, 3: 180}  # of an exercise, by level


def text(page):
    """The Markdown of a page of any kind."""
    found = (BOOK / page).read_text(encoding="utf-8")
    if page.endswith(".md"):
        return found
    return "\n".join("".join(c["source"]) for c in json.loads(found)["cells"] if c["cell_type"] == "markdown")


def tasks(page):
    """The level and name of each exercise of a notebook to hand in."""
    level, found = 0, []
    for one in json.loads((BOOK / page).read_text(encoding="utf-8"))["cells"]:
        source = "".join(one["source"])
        level = int(source[9]) if source.startswith("## Level ") else level
        found += [(level, name) for name in re.findall(r'sheet\.\w+\(\s*"([\w-]+)"', source)]
    return [one for one in found if not one[1].endswith("json")]


def reading(page):
    """Minutes of a page as it states them, half an hour where it states none."""
    if page == "exam.md":
        return 120
    found = re.search(r"\*\*Time\*\*: (an hour and a half|an hour|half an hour|\d+ minutes)", text(page))
    words = {"an hour and a half": 90, "an hour": 60, "half an hour": 30}
    return 30 if not found else words.get(found[1]) or int(found[1].split()[0])


def handing_in(cell):
    """Minutes of what is handed in: "levels 1–2", "level 1" or "one of level 3" of a notebook."""
    if not cell.strip():
        return 0
    page, words = re.fullmatch(r"\[\d\]\((.*)\), (.*)", cell.strip()).groups()
    if words == "one of level 3":
        return MINUTES[3]
    return sum(MINUTES[level] for level, _ in tasks(page) if str(level) in words)


def anchors(page):
    """What a link can lead to on a page: labels, exercises, headings."""
    found = text(page)
    heads = [
        re.sub(r"[^a-z0-9]+", "-", one.lower()).strip("-") for one in re.findall(r"^#+ (.*)$", found, re.M)
    ]
    return heads + re.findall(r"^(?:\(|:label: )([\w-]+)(?:\)=)?$", found, re.M)


def test_links_lead_somewhere():
    for name in ("teachers.md", "exam.md", "solutions/exam.md"):
        for page, anchor in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([\w-]+))?\)", text(name)):
            path = ((BOOK / name).parent / page).resolve()
            assert path.is_file(), page
            assert not anchor or anchor in anchors(str(path.relative_to(BOOK))), f"{page}#{anchor}"


def test_hours_are_those_of_pages_and_exercises_and_add_up():
    parts = re.findall(r"^\| 1 \|.*?^Total: ([\d.]+) hours", GUIDE, re.M | re.S)
    blocks = re.findall(r"((?:^\| \d+ \|.*\n)+)\nTotal", GUIDE, re.M)
    assert [len(one.splitlines()) for one in blocks] == [4, 8, 14] and len(parts) == 3
    for block, total in zip(blocks, parts, strict=True):
        stated = []
        for row in block.splitlines():
            _, *read, hand, hours = row.strip("|").split("|")
            pages = re.findall(r"\]\(([^)#]+)\)", "".join(read))  # a link to a place is work in class
            assert all(re.match(r" \d+ min", one) for one in re.findall(r"#[\w-]+\)(.{7})", "".join(read)))
            minutes = sum(map(reading, pages)) + handing_in(hand)
            assert math.ceil(minutes / 30) / 2 == float(hours), (row, minutes)
            stated.append(float(hours))
        assert sum(stated) == float(total)


def test_labs_list_what_the_notebooks_hold():
    rows = re.findall(r"^\| \[\d\]\((\S+)\) \| (.*) \| (\d+) \| (\d+\.\d) \| (\d+) \|$", GUIDE, re.M)
    assert len(rows) == 7
    for page, names, questions, usual, long in rows:
        held = tasks(page)
        found = {one: course.exercise(one).points for _, one in held if not one.startswith("ex-")}
        assert {a: int(b) for a, b in re.findall(r"`(\w+)` (\d)", names)} == found
        assert set(re.findall(r"`(\w+)` \d\*", names)) == {a for level, a in held if level == 3} & set(found)
        assert int(questions) == len(held) - len(found)
        assert usual == f"{sum(MINUTES[level] for level, _ in held if level < 3) / 60:.1f}"
        assert int(long) * 60 == sum(MINUTES[level] for level, _ in held if level == 3)


def test_what_comes_out_in_class():
    pages = [text(f"{one}.ipynb") for one in ("02_mixup_results", "05_automix_details", "03_cutmix_bugs")]
    assert "significantly in two of the nine settings, hurt significantly in two" in " ".join(
        pages[0].split()
    )
    assert "600 epochs in 59 hours with AutoMix, in 27 without mixing and in 35" in " ".join(pages[1].split())
    assert f"{600 * 59 / 27:,.0f} epochs without mixing or {600 * 59 / 35:,.0f} of PuzzleMix" in GUIDE
    assert f"{24 * 0.05:.1f} look significant; the probability of at least one is {1 - 0.95**24:.2f}" in GUIDE
    assert f"the image keeps {1 - 1 / 2 + 1 / 5 - 1 / 48:.2f} on average" in GUIDE
    assert len(re.findall(r"\| this test \|$", pages[2], re.M)) == 2


def test_named_mistakes_exist():
    part = GUIDE.partition("common misunderstandings")[2].partition("## Grading")[0]
    names = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", part)
    assert len(names) >= 8 and part.count("\n1") == 2
    for name in names:
        assert any(explained(one, name) for one in course.exercises()), name


def passes(code, space):
    """Whether a case passes as otter-grader runs it: a doctest with the notebook's names."""
    found = doctest.DocTestParser().get_doctest(textwrap.dedent(code), space, "case", None, None)
    heard = []
    return doctest.DocTestRunner(verbose=False).run(found, out=heard.append).failed == 0, "".join(heard)


def test_otter_passes_what_is_right_and_names_what_is_wrong(tmp_path):
    subprocess.run([sys.executable, TOOLS / "otter.py", tmp_path], check=True)
    assert {one.stem for one in tmp_path.iterdir()} == set(course.exercises())
    for name in ("mixup", "ema_update", "patchmix_targets"):
        space = {}
        exec((tmp_path / f"{name}.py").read_text(encoding="utf-8"), space)
        test, task = space["test"], course.exercise(name)
        (case,) = test["suites"][0]["cases"]
        assert (test["name"], test["points"]) == (name, task.points)
        assert passes(case["code"], {name: task.solution})[0]
        right, seen = passes(case["code"], {name: lambda *given: given[0]})
        assert not right and "Got" in seen
        assert not passes(case["code"], {})[0]


def test_otter_can_make_one_chapter(tmp_path):
    subprocess.run([sys.executable, TOOLS / "otter.py", tmp_path, "3"], check=True)
    assert {one.stem for one in tmp_path.iterdir()} == {"sample_box", "cutmix", "cutout", "resizemix"}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ('</a><span class="caption-text">Two <b>dogs</b></span><a href=""></a></figure>', "Two dogs"),
        ("</a>\n</div>\n</div>\n<p><em>One dog.</em></p>", "One dog."),
        ("</a></div><p>Text.</p>", "a dog"),
    ],
)
def test_slides_have_both_themes_and_a_caption(tmp_path, after, words):
    html, out = tmp_path / "html", tmp_path / "out"
    (html / "_images").mkdir(parents=True)
    images = ""
    for name in ("x.png", "x-dark.png"):
        (html / "_images" / name).write_text(name)
        images += f'<a><img alt="a dog" class="c" src="_images/{name}" style="" />'
    (html / "page.html").write_text(f"<figure>{images}{after}", encoding="utf-8")
    assert slides.copy(html, out) == 1
    assert (out / "page-001.png").read_text() == "x.png"
    assert (out / "page-001-dark.png").read_text() == "x-dark.png"
    index = (out / "index.html").read_text(encoding="utf-8")
    assert f"<figcaption>{words}</figcaption>" in index and "CC BY 4.0" in index
