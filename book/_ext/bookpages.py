"""What the pages take from elsewhere: the repository's address, the version, results, the reference.

In a page's source `@REPOSITORY@` stands for the address set in _config.yml, `@VERSION@` for the package's
version, `@RESULTS@`, `@HEADLINE@` and `@RECORDS@` for tables made from the run records and their number, `@REFERENCE@` for the public names with
their docstrings; what stands for the map of the field is in book/_tools/field.py. An interval such as 2.0 ± 2.6 is kept on one line. The fingerprint is a setting that changes with the package, the records and the pins (see
book/_tools/build_book.py), so that Sphinx reads every page anew when one of them has changed. At the end of a
build `_build/executed.json` says which notebooks were executed, and in how many seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

import mixlearn

sys.path.append(str(Path(__file__).resolve().parents[1] / "_tools"))


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    text = source[0]
    text = text.replace(
        "@REPOSITORY@", app.config.html_theme_options["repository_url"]
    )
    text = text.replace("@VERSION@", mixlearn.__version__)
    if "@RESULTS@" in text:
        import results

        records = mixlearn.runs.all()
        text = text.replace("@RESULTS@", results.page(records))
        text = text.replace("@HEADLINE@", results.headline(records))
        text = text.replace("@RECORDS@", str(len(records)))
    if "@REFERENCE@" in text:
        import api

        text = text.replace("@REFERENCE@", api.page(Path(docname).name))
    if "@FOREST@" in text:
        import forest

        text = text.replace("@FOREST@", forest.forest(text))
    if "@PUBLISHED" in text or "@METHODS@" in text:
        import field

        app.env.note_dependency(str(field.DATA))
        text = field.fill_in(text)
    source[0] = unbroken(text)


def unbroken(text: str) -> str:
    """The text with intervals that no line breaks.

    >>> unbroken("2.0 ± 2.6 points")
    '2.0\\xa0±\\xa02.6 points'
    """
    return re.sub(r"(?<=\d) ± (?=\d)", "\u00a0±\u00a0", text)


def on_config(app: Sphinx, config: Config) -> None:
    config.version = config.release = mixlearn.__version__
    config.html_theme_options["extra_footer"] = (
        f"<p>mixlearn {mixlearn.__version__}. Code: MIT licence. Text and figures: CC BY 4.0.</p>"
    )


def resolve(
    app: Sphinx,
    env: BuildEnvironment,
    node: pending_xref,
    contnode: nodes.TextElement,
) -> nodes.Node | None:
    """Types in signatures: those on the reference page are linked, others that exist are set plain.

    PyTorch's and Python's have no inventory here. A name of this package that cannot be found stays
    unresolved, and so fails the build.
    """
    if node.get("refdomain") != "py" or node.get("reftype") not in (
        "class",
        "exc",
        "obj",
        "data",
    ):
        return None
    target = node["reftarget"]
    last = target.rpartition(".")[2]
    domain = env.get_domain("py")
    ours = [name for name in domain.objects if name.rpartition(".")[2] == last]  # type: ignore[attr-defined]
    if ours and (target == last or target.startswith("mixlearn.")):
        name = min(ours, key=len)
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", name, node, contnode
        )
    if target.startswith("mixlearn.") and not exists(target):
        return None
    return contnode


def exists(dotted: str) -> bool:
    """Whether a dotted name leads to something in the package."""
    module, _, name = dotted.rpartition(".")
    try:
        return hasattr(import_module(module), name)
    except ImportError:
        return False


def escape(
    app: Sphinx,
    what: str,
    name: str,
    value: Any,
    options: dict[str, Any],
    lines: list[str],
) -> None:
    """Docstrings are written plainly: |x|, *args and name_ are no markup, and `Name`s is a word."""
    if what == "data":
        import api

        lines[:] = [api.DATA[name.removeprefix("mixlearn.")], ""]
    lines[:] = sectioned("\n".join(lines)).split("\n")
    for paragraph in paragraphs(lines):
        prose = "".join(
            part
            for index in paragraph
            for part in lines[index].split("`")[::2]
        )
        stars = "**" in prose or prose.count("*") % 2 == 1
        for index in paragraph:
            parts = lines[index].split("`")
            for place in range(0, len(parts), 2):
                parts[place] = re.sub(
                    r"(?<=\w)_(?!\w)|\|", r"\\\g<0>", parts[place]
                )
                if stars:
                    parts[place] = parts[place].replace("*", "\\*")
                after = place and parts[place - 1]  # none between two of them
                if after and parts[place][:1].isalnum():  # as in `ImageSet`s
                    parts[place] = "\\ " + parts[place]
            lines[index] = "`".join(parts)


def sectioned(text: str) -> str:
    """The text with sections for what comes back and for arguments that are those of another function.

    >>> sectioned("Returns a scalar. Source: Liu.")
    'Returns:\\n    A scalar.\\n\\nSource: Liu.'
    >>> sectioned("n, size: as for `draw`.")
    'Args:\\n    n, size: as for `draw`.'
    """

    def returns(found: re.Match[str]) -> str:
        what, source, paper = re.split(
            r"(\sSource:\s|$)", found[1], maxsplit=1
        )
        what = " ".join(what.split())
        more = f"\n\n{source.strip()} {paper}" if source else ""
        return f"Returns:\n    {what[0].upper()}{what[1:]}{more}"

    text = re.sub(
        r"^Returns (.+?)(?=\n\n|\n?\Z)", returns, text, flags=re.M | re.S
    )
    return re.sub(
        r"^((?:\w+, )*\w+: as for `)", r"Args:\n    \1", text, flags=re.M
    )


def paragraphs(lines: list[str]) -> list[list[int]]:
    """The line numbers of each paragraph, but for doctests, which are left as they are."""
    found: list[list[int]] = [[]]
    doctest = False
    for index, line in enumerate(lines):
        doctest = bool(line.strip()) and (
            doctest or line.lstrip().startswith(">>>")
        )
        if line.strip() and not doctest:
            found[-1].append(index)
        elif found[-1]:
            found.append([])
    return found


def executed(app: Sphinx, error: Exception | None) -> None:
    """Write which notebooks ran, with what result, so that a test can hold the build to it."""
    found: dict[str, Any] = {}
    for docname in sorted(app.env.found_docs):
        path = Path(app.env.doc2path(docname))
        data = (
            getattr(app.env, "nb_metadata", {})
            .get(docname, {})
            .get("exec_data")
        )
        if path.suffix == ".ipynb":
            found[docname] = {
                "succeeded": bool(data and data["succeeded"]),
                "seconds": data["runtime"] if data else None,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
    text = json.dumps(
        {"fingerprint": app.config.mixlearn_fingerprint, "notebooks": found},
        indent=1,
    )
    (Path(app.outdir).parent / "executed.json").write_text(
        text + "\n", encoding="utf-8"
    )


def defined(app: Sphinx, module: str, name: str) -> str | None:
    """The file of a name that a room such as `mixlearn.learners` passes on, for its link to the source."""
    try:
        value = attrgetter(f"{module}.{name}".removeprefix("mixlearn."))(
            mixlearn
        )
    except AttributeError:
        return None
    return getattr(value, "__module__", None)


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("viewcode-follow-imported", defined)
    app.add_config_value("mixlearn_fingerprint", "", "env")
    app.connect("config-inited", on_config)
    app.connect("source-read", fill_in)
    app.connect("missing-reference", resolve)
    app.connect(
        "autodoc-process-docstring", escape, priority=400
    )  # before napoleon
    app.connect("build-finished", executed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
