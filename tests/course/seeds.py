"""False alarms: right answers under many seeds. `python -m tests.course.seeds [COUNT] [NAME …]`.

With a COUNT of 0 it tells how many right answers beside the solution, and mistakes, each exercise has.
"""

import sys
import time
from functools import partial

from mixlearn import course
from mixlearn.course.judge import judge
from mixlearn.course.run import perform_all
from tests.course.variants import RIGHT


def verdict(task, answer, seed):
    """The verdict without a time limit."""
    return judge(task, list(perform_all(answer, partial(task.requests, seed), task.wanted)), seed)


def alarms(name, seeds, answers=None):
    """The right answers that do not pass: (answer, seed, message)."""
    task = course.exercise(name)
    asked = [task.solution, *RIGHT[name]] if answers is None else answers
    found = ((k, seed, verdict(task, one, seed)) for seed in seeds for k, one in enumerate(asked))
    return [(k, seed, seen.message) for k, seed, seen in found if not seen.passed]


def main():
    """Each seed has one answer, in turn; where nothing is drawn but inputs, this takes seconds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    total = 0
    for name in sys.argv[2:] or course.exercises():
        start, task = time.perf_counter(), course.exercise(name)
        every = [task.solution, *RIGHT[name]]
        if not count:
            print(f"{name:20} {len(set(every)) - 1:3} right answers {len(task.mistakes):3} mistakes")
            continue
        found = [one for seed in range(count) for one in alarms(name, [seed], [every[seed % len(every)]])]
        total += len(found)
        print(
            f"{name:20} {len(found)} of {count}  {time.perf_counter() - start:.0f} s", *found[:2], flush=True
        )
    print(f"false alarms: {total}" if count else f"{len(course.exercises())} exercises in all")


if __name__ == "__main__":
    main()
