"""Makes otter-grader tests of the exercises, a file each, in its OK format.

python book/_tools/otter.py FOLDER [CHAPTER …]      all chapters by default
"""

from __future__ import annotations

import sys
from pathlib import Path

from mixlearn import course

TEST = '''\
test = {{
    "name": "{name}",
    "points": {points},
    "suites": [
        {{
            "type": "doctest",
            "cases": [
                {{
                    "hidden": False,
                    "code": """
                    >>> from mixlearn import course
                    >>> verdict = course.check("{name}", {name}, seconds=10)
                    >>> verdict.passed or print(verdict)
                    True
                    """,
                }}
            ],
        }}
    ],
}}
'''


def write(folder: Path, chapters: set[int]) -> None:
    """One file for each exercise of the chapters."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in course.exercises():
        task = course.exercise(name)
        if task.chapter in chapters:
            text = TEST.format(name=name, points=task.points)
            (folder / f"{name}.py").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    write(Path(sys.argv[1]), set(map(int, sys.argv[2:])) or set(range(1, 8)))
