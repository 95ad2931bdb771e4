"""Run a function in a fresh process, for tests that kill it or let it fork. The fork server imports
everything once and does no more, so that no thread or lock of the test runner comes along."""

import multiprocessing
from collections.abc import Callable
from typing import Any

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["lightning.fabric", "mixlearn.train.fit", "tests.sets"])


def apart(function: Callable[..., Any], *args: Any) -> int | None:
    """Run `function(*args)` in a process of its own and return its exit code (negative: the signal)."""
    child = _server.Process(target=_quiet, args=(function, *args))
    child.start()
    child.join()
    return child.exitcode


def _quiet(function: Callable[..., Any], *args: Any) -> None:
    import torch

    torch.set_num_threads(1)
    function(*args)
