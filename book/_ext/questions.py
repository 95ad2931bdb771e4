"""Questions to click, in three kinds: `choose`, `order` and `wrong-line`.

A question is a prompt, a list (for `wrong-line` a listing), and a folded list
that explains each item:

    :::{choose}
    Which λ weighs the labels?

    1. The λ that was asked for
    2. The share of pixels that is left

    <details><summary>Answers</summary>

    1. **No.** The border has cut off a part of the box.
    2. **Right.** The label counts the pixels that are there.

    </details>
    :::

That is what print, Colab and GitHub show. In a browser `questions.js` puts
buttons in its place. The first word of an explanation is its verdict.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

VERDICTS = {
    "choose": ["Right", "No"],
    "wrong-line": ["Faulty", "Fine"],
    "order": ["First", "Second", "Third", "Fourth", "Fifth", "Sixth"],
}
BLOCK = re.compile(
    r"^:::\{(choose|order|wrong-line)\}\n(.*?)\n:::$", re.M | re.S
)
FOLD = "<details><summary>Answers</summary>\n\n"
ITEM = re.compile(r"^\d\. (.+?)(?=\n\d\. |\s*\Z)", re.M | re.S)
WHY = re.compile(r"\*\*(\w+)\.\*\* (.+)", re.S)
LISTING = re.compile(r"^```python\n(.+?)\n```$", re.M | re.S)


class Question(NamedTuple):
    """A question's parts, without Markdown around them."""

    prompt: str
    choices: list[str]
    verdicts: list[str]
    why: list[str]


def read(kind: str, text: str) -> Question:
    """The parts of a question.

    Raises:
        ValueError: one is missing, or the verdicts do not fit.
    """
    asked, _, folded = text.partition(FOLD)
    prompt, _, body = asked.strip().partition("\n\n")
    listing = LISTING.fullmatch(body)
    choices = listing[1].split("\n") if listing else ITEM.findall(body)
    if (kind == "wrong-line") != bool(listing) or len(choices) < 2:
        raise ValueError("needs a prompt, then a list (wrong-line: Python)")
    if not folded.endswith("\n\n</details>"):
        raise ValueError(f"needs a list between {FOLD!r} and </details>")
    told = ITEM.findall(folded.removesuffix("</details>"))
    found = [match for one in told if (match := WHY.fullmatch(one))]
    if not len(found) == len(told) == len(choices):
        raise ValueError("each item needs an explanation: **Verdict.** Why.")
    if "$" in body + folded:
        raise ValueError("no formulas below the prompt: buttons hold text")
    verdicts, words = [match[1] for match in found], VERDICTS[kind]
    if kind == "order":  # each place once, and not in order already
        places = words[: len(verdicts)]
        fits = set(verdicts) == set(places) and verdicts != places
    else:
        fits = set(verdicts) <= set(words) and verdicts.count(words[0]) == 1
    if not fits:
        raise ValueError(f"verdicts {verdicts}, of {kind} they are {words}")
    return Question(prompt, choices, verdicts, [match[2] for match in found])


class question(nodes.General, nodes.Element):
    """What `questions.js` brings to life."""


class Ask(SphinxDirective):
    """The directive of each kind."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            read(self.name, "\n".join(self.content))
        except ValueError as error:
            raise self.error(str(error)) from error
        node = question(kind=self.name)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def enter(writer: Any, node: question) -> None:
    writer.body.append(f'<div class="question" data-kind="{node["kind"]}">\n')


def leave(writer: Any, node: question) -> None:
    writer.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(question, html=(enter, leave))
    for kind in VERDICTS:
        app.add_directive(kind, Ask)
    app.add_css_file("questions.css")
    app.add_js_file("questions.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
