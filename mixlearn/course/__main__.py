"""`python -m mixlearn.course`: list the exercises, print one, grade a folder of notebooks."""

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
    grader.add_argument("--out", help="where the results go; by default `grades` beside the folder")
    grader.add_argument("--exercises", nargs="+", dest="names", help="by default all defined")
    grader.add_argument("--seed", type=int, help="of the inputs; by default a secret one")
    grader.add_argument("--jobs", type=int, help="notebooks at a time; by default one for each processor")
    grader.add_argument("--seconds", type=float, default=SECONDS, help="for the calls of one exercise")
    given = vars(parser.parse_args(arguments))
    try:
        if (command := given.pop("command")) == "list":
            for task in map(course.exercise, course.exercises()):
                print(f"chapter {task.chapter}  level {task.level}  {task.points} points  {task.name}")
        elif command == "text":
            print(course.exercise(**given).stub)
        else:
            for one in grade(**given):
                points = sum(verdict.points for verdict in one.verdicts.values())
                print(f"{points:4} points  {one.notebook.name}  {one.note}")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
