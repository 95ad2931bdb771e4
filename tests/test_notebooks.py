"""The notebooks' sources: stripped, one set-up cell, honest numbers. The book's build executes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
sys.path.append(str(BOOK / "_tools"))

import address  # noqa: E402

NOTEBOOKS = address.notebooks()
PAGES = sorted(BOOK.glob("*.md"))
GPU_TAGS = {"gpu", "skip-execution", "nbval-skip"}


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def by_name(path: Path) -> str:
    return path.relative_to(BOOK).as_posix()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_gpu_cells_are_tagged_whole_and_alone_keep_their_output(path: Path) -> None:
    for cell in code_cells(path):
        kept = cell["metadata"].get("keep_output", False)
        assert (tags(cell) & GPU_TAGS, kept) in ((set(), False), (GPU_TAGS, True)), text(cell)[:60]
    metadata = read(path)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3" and set(metadata) <= {"kernelspec", "mystnb"}


def test_no_output_is_stored() -> None:
    options = ["--keep-id", "--extra-keys", "metadata.language_info", "--verify"]
    command = [sys.executable, "-m", "nbstripout", *options, *map(str, NOTEBOOKS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_set_up_cell_is_the_first_code_cell_and_the_same_everywhere(path: Path) -> None:
    first = code_cells(path)[0]
    assert text(first) == address.SETUP.format(url=address.address())
    assert first["metadata"] == address.SETUP_METADATA
    assert sum("setup" in tags(cell) for cell in code_cells(path)) == 1


def test_set_up_cell_does_nothing_outside_colab() -> None:
    from IPython.core.inputtransformer2 import TransformerManager

    python = TransformerManager().transform_cell(address.SETUP.format(url="https://example.org/a/b"))
    calls: list[tuple[str, str]] = []

    class Shell:
        def run_line_magic(self, name: str, line: str) -> None:
            calls.append((name, line))

    exec(python, {"get_ipython": Shell})
    assert calls == []
    sys.modules["google.colab"] = sys
    try:
        exec(python, {"get_ipython": Shell})
    finally:
        del sys.modules["google.colab"]
    assert calls == [("pip", 'install --quiet "mixlearn[lab] @ git+https://example.org/a/b"')]


# ------------------------------------------------------------------------------------------ outside the book
DIRECTIVE_AS_CODE = re.compile(r"^\s*(?:`{3,}|~{3,})\s*\{", re.MULTILINE)


def sources(path: Path) -> list[str]:
    """The Markdown of a page, cell by cell."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return [text(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown"]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=by_name)
def test_directives_are_colon_fences(path: Path) -> None:
    """JupyterLab, Colab and GitHub know no directives: they show colon fences as text, backticks as code."""
    found = [source for source in sources(path) if DIRECTIVE_AS_CODE.search(source)]
    assert not found, f"write :::{{name}} … ::: in place of backticks: {found[0][:200]}"


def test_a_directive_as_code_is_found() -> None:
    for fence in ("```{note}", "   ```{prf:proof} A title", "````{exercise}", "~~~ {tip}"):
        assert DIRECTIVE_AS_CODE.search(f"Some text.\n\n{fence}\nmore\n")
    assert not DIRECTIVE_AS_CODE.search("```python\nx = {}\n```\n:::{note}\n`{x}`\n:::")


# ------------------------------------------------------------------------------------------ numbers in prose
# A measured number reaches the page from a cell's output, from glue or from a run record, never from the
# keyboard. Text that names a share or an interval must say where it is from, in a comment of the same
# paragraph:
#     <!-- number: from the definition, 1 - e^-1 -->
RESULT = re.compile(
    r"\d(?:[.,]\d+)?\s*(?:%|‰|per\s?cent\b|percent\b|percentage points?\b)"  # a share
    r"|±"  # an interval
    r"|\d(?:\.\d+)?\s*(?:×|times)\s+(?:as\s+)?(?:fast|slow|better|worse)"  # a speed
    r"|\b(?:accuracy|NLL|ECE|loss)\b(?:\s+\w+){0,2}\s+\d*\.\d+",  # a metric's value
    re.IGNORECASE,
)
REASON = re.compile(r"<!--\s*number:\s*(\S.{9,}?)\s*-->", re.DOTALL)


def prose(markdown: str) -> list[str]:
    """The paragraphs of a page without its code, formulas, exercises, proofs and roles."""
    markdown = re.sub(
        r"^(`{3,}|~{3,})(?!\{(?:note|tip|warning|admonition|figure|margin|important|dropdown)).*?^\1\s*$",
        "",
        markdown,
        flags=re.M | re.S,
    )
    markdown = re.sub(r"^(:{3,})\{(?:exercise|solution|prf:).*?^\1\s*$", "", markdown, flags=re.M | re.S)
    markdown = re.sub(r"\$\$.*?\$\$", "", markdown, flags=re.S)
    markdown = re.sub(r"(?<!\$)\$[^$\n]+\$(?!\$)", "", markdown)
    markdown = re.sub(r"(\{[\w:]+\})?`[^`]*`", "", markdown)
    return re.split(r"\n\s*\n", markdown)


def typed_results(markdown: str) -> list[str]:
    """Every number of the prose that looks like a measured result and says no source."""
    return [
        paragraph[max(0, match.start() - 40) : match.end() + 20]
        for paragraph in prose(markdown)
        if not REASON.search(paragraph)
        for match in RESULT.finditer(paragraph)
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "Mixup reaches 81.3 % here.",
        "It gains 2 per cent.",
        "The accuracy was .82 ± .01 over three seeds.",
        "accuracy rises to 0.93 after that",
        "This is 2.5 times faster.",
        "Text with `code` and 12% more <!-- number: short -->",
    ],
)
def test_a_typed_result_is_found(bad: str) -> None:
    assert typed_results(bad)


@pytest.mark.parametrize(
    "good",
    [
        "The value is {glue:text}`fashion-mixup` here.",
        "Take `alpha=0.2`, so $63\\,\\%$ of it is one image.",
        "```python\nx = '12 %'\n```",
        "Half of draws give 50 %. <!-- number: exact, by symmetry of Beta -->",
        "Chapter 2 has 3 figures, section 2.1 one.",
        ":::{exercise}\nIf 10 % of labels are wrong, what then?\n:::",
        ":::{prf:proof}\nA half of 20 % is 10 %.\n:::",
    ],
)
def test_what_is_no_typed_result_passes(good: str) -> None:
    assert typed_results(good) == []


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=by_name)
def test_no_result_is_typed(path: Path) -> None:
    found = [hit for source in sources(path) for hit in typed_results(source)]
    assert not found, "\n".join(found)


# ------------------------------------------------------------------------------------------ links
LINK = re.compile(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)")
ROLE = re.compile(r"\{(?:ref|doc|term|numref|prf:ref|any|download)\}`[^`]*`")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)


def dead_links(markdown: str, folder: Path) -> list[str]:
    """Roles, which are raw code on GitHub, in Colab and in JupyterLab, and links that lead nowhere there."""
    found = [role[0] for role in ROLE.finditer(markdown)]
    for words, target in LINK.findall(CODE.sub("", markdown)):
        page = target.partition("#")[0]
        elsewhere = re.match(r"https?://", target)
        if not words.strip() or not (elsewhere or (folder / page).is_file() or target.startswith("#")):
            found.append(f"[{words}]({target})")
    return found


def test_a_link_that_leads_nowhere_is_found() -> None:
    for bad in ("{ref}`sec-bce`", "[](#sec-bce)", "[chapter 3](03_cutmix)", "[x](03_cutmix.html#a)"):
        assert dead_links(f"See {bad} for more.", BOOK)
    for good in ("[3](03_cutmix.ipynb#sec-bce)", "[below](#sec-bce)", "`a[i](x)`", "[a](https://a.org)"):
        assert dead_links(f"See {good} for more.", BOOK) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_links_work_outside_the_book(path: Path) -> None:
    """As GitHub, Colab and JupyterLab follow them: relative to the notebook, and to a file that is there."""
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            assert dead_links(text(cell), path.parent) == []
