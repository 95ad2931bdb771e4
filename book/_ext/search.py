"""The search page and its index: every section of the book with its text.

`_static/search/index.js` is a script, which a page opened from disk may load. It
lists the sections: those with a heading, the terms of the glossary, the names of
the reference and the entries of the bibliography. Formulas are written in Unicode.
`_assets/search.js` does the searching.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pylatexenc import latex2text
from sphinx import addnodes
from sphinx.application import Sphinx

SYNONYMS = """
α, alpha
γ, gamma
δ, delta
ε, epsilon
θ, theta, parameters
λ, lambda, lam
μ, mu
π, pi
τ, tau, temperature
adversarial, FGSM, PGD
AUROC, AUC, ROC
augmentation, augment, aug
BCE, binary cross-entropy, sigmoid
bug, mistake, pitfall
class activation map, CAM, Grad-CAM
corruption, robustness, noise and blur
detector, detection, Faster R-CNN
ECE, expected calibration error, calibration
EMA, exponential moving average, momentum encoder, mean teacher, twin
fine-tuning, finetuning, pre-trained, pretrained, transfer
InfoNCE, NT-Xent, contrastive loss, SimCLR, MoCo
kNN, nearest neighbours
label noise, noisy labels, wrong labels
learning rate, lr
linear probe, linear evaluation
long-tailed, imbalanced, uneven classes
Manifold Mixup, feature mixing, mixing features
OOD, out-of-distribution, none of your classes
saliency, attention, heatmap
seed, generator, reproducible
self-supervised, unsupervised, without labels
soft label, soft target
stop-gradient, stopgrad, detach
vision transformer, ViT
"""
SPELLINGS = (  # of words in the text and in the question alike
    (r"(colo|neighbo|behavio|favo)u", "$1"),
    (r"(label|model)l", "$1"),
    ("iz", "is"),
    ("yz", "ys"),
    ("grey", "gray"),
    ("centre", "center"),
    (r"(?<=..[^isu])s$", ""),
)
WEIGHTS = {
    "api": 0.4,
    "bibliography": 0.3,
    "exam": 0.5,
    "solutions/": 0.5,
    "teachers": 0.5,
}

Section = tuple[str, str, str, str]  # anchor, title, text, code


def fraction(node: Any, l2tobj: Any) -> str:
    """a/b, with brackets where they are needed."""
    parts = [l2tobj.nodelist_to_text([arg]).strip() for arg in node.nodeargs]
    whole = [p if re.fullmatch(r"\w+", p) else f"({p})" for p in parts]
    return "/".join(whole) + " "


MACROS = {
    "arg": "arg ",
    "frac": fraction,
    "ne": "≠",
    "|": "‖",
}
CONTEXT = latex2text.get_default_latex_context_db()
CONTEXT.add_context_category(
    "book",
    prepend=True,
    macros=[
        latex2text.MacroTextSpec(name, text) for name, text in MACROS.items()
    ],
)
PLAIN = latex2text.LatexNodes2Text(
    CONTEXT, math_mode="text", strict_latex_spaces="based-on-source"
)
LETTERS = str.maketrans("𝔼ϵ", "Eε")  # as the book's fonts have them


def readable(tex: str) -> str:
    r"""A formula in plain Unicode.

    >>> readable(r"\tilde x = \lambda\,x_i + \tfrac12 e^{-D/\varepsilon}")
    'x̃ = λ x_i + 1/2 e^(-D/ε)'
    """
    tex = re.sub(r"\\[td]frac", r"\\frac", tex)
    tex = re.sub(r"\\binom\{(.*?)\}\{(.*?)\}", r"(\1 over \2)", tex)
    tex = re.sub(r"\\frac(\d)(\w)", r"\\frac{\1}{\2}", tex)
    tex = re.sub(r"([_^])\{((?!\\?\w+\})[^{}]+)\}", r"\1{(\2)}", tex)
    text = PLAIN.latex_to_text(tex).translate(LETTERS)
    text = re.sub(r"([=≠≤≥≈∼∈←⊙])", r" \1 ", text)
    return re.sub(r" (?=[,.)}\]])", "", " ".join(text.split()))


SKIPPED = (
    nodes.comment,
    nodes.image,
    nodes.raw,
    nodes.system_message,
    addnodes.index,
    addnodes.toctree,
)


class Reader:
    """The sections of one page: anchor, title, text and code of each."""

    def __init__(self, page: nodes.Element) -> None:
        self.found: list[Section] = []
        self.read(page, [], [])

    def start(self, anchor: str, title: str, *bodies: nodes.Element) -> None:
        text: list[str] = []
        code: list[str] = []
        for body in bodies:
            self.read(body, text, code)
        self.found.append((anchor, title, joined(text), joined(code)))

    def plain(self, node: nodes.Element) -> str:
        text: list[str] = []
        self.read(node, text, text)
        return joined(text)

    def read(
        self, node: nodes.Element, text: list[str], code: list[str]
    ) -> None:
        for child in node.children:
            if isinstance(child, nodes.Text):
                text.append(child)
            elif isinstance(child, (nodes.math, nodes.math_block)):
                space = " " * isinstance(child, nodes.math_block)
                text.append(space + readable(child.astext()) + space)
            elif isinstance(child, (nodes.literal_block, nodes.doctest_block)):
                code.append(f" {child.astext()} ")
            elif not isinstance(child, SKIPPED) and not self.own(child):
                self.read(child, text, code)
                if not isinstance(child, nodes.Inline):
                    text.append(" ")

    def own(self, node: nodes.Element) -> bool:
        """Whether the node is a section of its own, or nothing to be found."""
        terms = [one for one in node.children if isinstance(one, nodes.term)]
        if isinstance(node, nodes.title):
            return isinstance(node.parent, nodes.section)
        if isinstance(node, nodes.citation):
            self.start(node["ids"][0], "", *node.children[1:])
        elif isinstance(node, nodes.section) and node["ids"]:
            if not isinstance(node[0], nodes.title):  # of a definition
                return False
            self.start(node["ids"][0], self.plain(node[0]), node)
        elif terms and terms[0]["ids"]:
            title = ", ".join(self.plain(term) for term in terms)
            self.start(terms[0]["ids"][0], title, node[-1])
        elif isinstance(node, addnodes.desc) and node[0]["ids"]:
            anchor = node[0]["ids"][0]
            title = re.sub("^mixlearn", "ml", anchor)
            self.start(anchor, title, node[-1])
        else:
            return "tag_setup" in node.get("classes", ())
        return True


def joined(parts: list[str]) -> str:
    return " ".join("".join(parts).split())


def numbered(docname: str, title: str) -> str:
    """The page's title with the number of its chapter.

    >>> numbered("03_cutmix_bugs", "CutMix in practice")
    '3 CutMix in practice'
    """
    found = re.match(r"(\d\d)_", docname)
    return f"{int(found[1])} {title}" if found else title


class Index:
    """What is read while pages are written, and kept of those that are not."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}

    def add(self, app: Sphinx, page: nodes.document, docname: str) -> None:
        title = app.env.titles[docname].astext()
        weight = [
            w for start, w in WEIGHTS.items() if docname.startswith(start)
        ]
        self.pages[docname] = {
            "title": numbered(docname, title),
            "weight": min(weight, default=1),
            "sections": Reader(page).found,
        }

    def write(self, app: Sphinx, error: Exception | None) -> None:
        path = Path(app.outdir) / "_static" / "search" / "index.js"
        old = (
            path.read_text(encoding="utf-8") if path.is_file() else HEAD + "{}"
        )
        pages = (
            json.loads(old.removeprefix(HEAD)).get("pages", {}) | self.pages
        )
        told = {
            "pages": {
                n: p for n, p in pages.items() if n in app.env.found_docs
            },
            "synonyms": [
                row.split(", ") for row in SYNONYMS.strip().splitlines()
            ],
            "spellings": SPELLINGS,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            HEAD + json.dumps(told, ensure_ascii=False, separators=(",", ":")),
            encoding="utf-8",
        )


HEAD = "searchIndex="
PAGE = """<div class="search-here"><h1>Search</h1>
<noscript><p>The search needs JavaScript.</p></noscript>
<form class="bd-search" action="search.html" method="get" role="search">
<input type="search" class="form-control" name="q" autocomplete="off"
placeholder="Search this book…" aria-label="Search this book"></form></div>"""


def without_sphinx(app: Sphinx) -> None:
    """Neither Sphinx's search page nor its index, which knows pages alone."""
    app.builder.search = False


def page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "search", {"title": "Search", "body": PAGE}, "page.html"


def setup(app: Sphinx) -> dict[str, bool]:
    index = Index()
    app.connect("builder-inited", without_sphinx)
    app.connect("doctree-resolved", index.add)
    app.connect("html-collect-pages", page)
    app.connect("build-finished", index.write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
