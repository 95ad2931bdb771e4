"""Builds the book: `python book/_tools/build_book.py`, or `make book`.

Notebooks are executed once and their outputs kept in a cache. jupyter-cache knows a notebook by its own code
alone, so an edit of the package would leave old outputs on the page. Here the place of the cache is named
after a fingerprint of everything else that the outputs depend on: the package, the shipped data's checksums,
the run records, the pins, and the tools beside this file. A change of any of them executes every notebook
again; otherwise only edited notebooks run.

Ends with status 1, and the traceback of each notebook that failed, unless the whole book was built without a
warning.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import address
import execute

ROOT = Path(__file__).resolve().parents[2]
DEPENDENCIES = (
    "mixlearn/**/*",
    "data/SHA256SUMS",
    "book/results/*.json",
    "book/_ext/*.py",
    "book/_tools/*.py",
    "requirements.txt",
    "_config.yml",
)


def fingerprint(root: Path = ROOT) -> str:
    """Sixteen hexadecimal digits that change when anything besides the pages changes what they show."""
    found = {
        path
        for pattern in DEPENDENCIES
        for path in root.glob(pattern)
        if path.is_file()
    }
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(found):
        if "__pycache__" not in path.parts:
            digest.update(
                f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode()
            )
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def build(root: Path = ROOT) -> int:
    """Build the site into root/_build/html; 0 if no notebook failed and Sphinx warned of nothing."""
    import yaml
    from jupyter_book.sphinx import build_sphinx

    mark = fingerprint(root)
    cache = root / "_build" / "executed" / mark
    for old in cache.parent.glob("*"):
        if old != cache:
            shutil.rmtree(old)
    cache.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load(
        (root / "_config.yml").read_text(encoding="utf-8")
    )
    for path, seconds in execute.ahead(
        address.notebooks(root), cache, settings["execute"]["timeout"]
    ):
        told = "failed" if seconds is None else f"{seconds:.0f} s"
        print(f"executed {path.relative_to(root)}: {told}", flush=True)
    status = build_sphinx(
        root / "book",
        root / "_build" / "html",
        noconfig=True,
        path_config=root / "_config.yml",
        confoverrides={
            "external_toc_path": str(root / "book" / "_toc.yml"),
            "latex_individualpages": False,
            "nb_execution_cache_path": str(cache),
            "mixlearn_fingerprint": mark,
            "nitpicky": True,
        },
        warningiserror=True,
        keep_going=True,
    )
    return status if isinstance(status, int) else 1


def report_failure(root: Path = ROOT) -> None:
    """Show the traceback of every notebook that failed, and have the next build read every page again."""
    reports = root / "_build" / "html" / "reports"
    for log in sorted(reports.glob("**/*.err.log")):
        print(
            f"\n=== {log.relative_to(reports)} ===\n{log.read_text(encoding='utf-8')}",
            file=sys.stderr,
        )
    (root / "_build" / ".doctrees" / "environment.pickle").unlink(
        missing_ok=True
    )
    print("\nThe book was not built: see the warnings above.", file=sys.stderr)


def main(root: Path = ROOT) -> int:
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # the kernels inherit it
    started = time.monotonic()
    shutil.rmtree(root / "_build" / "html" / "reports", ignore_errors=True)
    status = build(root)
    if status:
        report_failure(root)
        return status
    made = json.loads(
        (root / "_build" / "executed.json").read_text(encoding="utf-8")
    )["notebooks"]
    for name, outcome in made.items():
        print(
            f"  {name}: its cells took {outcome['seconds']:.0f} s when last executed"
        )
    print(f"Built in {time.monotonic() - started:.0f} s.")
    print(
        f"  from disk:  {(root / '_build' / 'html' / 'index.html').as_uri()}"
    )
    print("  over http:  make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
