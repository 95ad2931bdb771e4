"""Links that work in the book and in its notebooks opened elsewhere.

A notebook is also read on GitHub, in Colab and in JupyterLab, where roles such as {ref} or {term} are shown
as they are typed. There a link is written as `[words](03_cutmix_bugs.ipynb#sec-bce)` or
`[plan](glossary.md#term-plan)`: outside the book it opens the page. Here it is led to the place on the page:
a label, an entry of the glossary, or a heading (`02_mixup.ipynb#the-loss`). MyST itself knows of the same
page all but propositions. A place that does not exist is left to MyST, which warns, and so fails the build.

A notebook to hand in is no page: its link becomes a download.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode


def place(env: BuildEnvironment, page: str, target: str) -> str | None:
    """The id on a page of a label, an entry of the glossary or a heading; None without one."""
    std: Any = env.get_domain("std")
    labels = {name: label[:2] for name, label in std.anonlabels.items()}
    for name, proof in getattr(env, "proof_list", {}).items():
        labels[name] = (proof["docname"], name)
    terms = {
        where for (kind, _), where in std.objects.items() if kind == "term"
    }
    if labels.get(target, ("", ""))[0] == page:
        return str(labels[target][1])
    headings = env.tocs[page].findall(nodes.reference)
    if any(one["anchorname"] == f"#{target}" for one in headings):
        return target
    return target if (page, target) in terms else None


class Places(SphinxPostTransform):
    default_priority = 8  # before MyST's own, at 9

    def run(self, **kwargs: Any) -> None:
        proofs = getattr(self.env, "proof_list", {})
        for node in list(self.document.findall(pending_xref)):
            page, target = node["reftarget"], node.get("reftargetid")
            if (
                node.get("reftype") == "myst" and page in proofs
            ):  # [words](#prop-cut)
                page, target = proofs[page]["docname"], page
            elif node.get("refdomain") != "doc" or not target:
                continue
            found = place(self.env, page, target)
            if found is not None:
                words = nodes.inline(
                    "", "", *node[0].children, classes=["std", "std-ref"]
                )
                here = node.get("refdoc", self.env.docname)
                node.replace_self(
                    make_refnode(self.app.builder, here, page, found, words)
                )


class Downloads(SphinxTransform):
    default_priority = 800  # before Sphinx collects what is downloaded

    def apply(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(pending_xref)):
            target = str(node["reftarget"])
            if node.get("refdomain") == "doc" and target.startswith(
                "hand_in/"
            ):
                node.replace_self(
                    download_reference(
                        "",
                        "",
                        *node.children,
                        reftarget=f"/{target}.ipynb",
                        refdoc=node["refdoc"],
                    )
                )


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(Downloads)
    app.add_post_transform(Places)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
