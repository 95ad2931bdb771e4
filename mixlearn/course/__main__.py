"""`python -m mixlearn.course`: list the exercises, print one, grade a folder of notebooks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mixlearn import course
from mixlearn.course.grade import SECONDS, grade


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all went well.

    >>> main(["text", "mixedaccuracy"])
    1
    """
    parser = argparse.ArgumentParser(prog="python -m mixlearn.course", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name all exercises")
    commands.add_parser("text", help="print one exercise").add_argument("name")
    grader = commands.add_parser("grade", help="grade all notebooks of a folder")
    grader.add_argument("folder")
    grader.add_argument(
        "--out", help="where grades.csv and the pages go; by default `grades` beside the folder"
    )
    grader.add_argument(
        "--exercises", nargs="+", help="those that count; by default all that a notebook defines"
    )
    grader.add_argument("--seed", type=int, help="of the inputs; by default a secret one")
    grader.add_argument("--jobs", type=int, help="notebooks at a time; by default one for each processor")
    grader.add_argument("--seconds", type=float, default=SECONDS, help="for the calls of one exercise")
    given = parser.parse_args(arguments)
    try:
        if given.command == "list":
            for name in course.exercises():
                task = course.exercise(name)
                print(f"chapter {task.chapter}  level {task.level}  {task.points} points  {name}")
        elif given.command == "text":
            print(course.exercise(given.name).stub)
        else:
            several = given.folder, given.out, given.exercises
            results = grade(*several, seed=given.seed, jobs=given.jobs, seconds=given.seconds)
            for one in results:
                print(f"{one.points:4} points  {one.notebook.name}  {one.note}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
